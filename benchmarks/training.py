"""Training speed beside Basenji's own trainer and a plain PyTorch loop: the same network, weights, batch and optimizer.

Each peer runs in a process and an environment of its own; those of Basenji (TensorFlow 2.15) and PyTorch are made where
they are missing. Writes the training section of docs/performance.md. Nothing depends on the clock: a slow machine makes other
figures, no failure.
"""

from __future__ import annotations

import argparse
import datetime
import subprocess
import sys
from pathlib import Path

from environments import DEFAULT_FOLDER, python_of
from machine import describe_machine
from measurement import Peer, Worker, check_equal, check_parameters, measure, running
from peers.architecture import LENGTH, TASKS
from report import OUTPUT, bullets, ratio_table, write_section

OURS, BASENJI, TORCH = "Cisnake", "Basenji", "PyTorch"

# Weights are equal and all compute in float32: what remains is the order of sums.
TOLERANCE = 1e-4


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="examples in a batch (default 32)")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="batches in a timed block (default 40)")
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what both benchmarks are told."""
    parser.add_argument("--basenji", type=Path, required=True, metavar="FOLDER", help="a checkout of Basenji's repository")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="counted rounds (default 5)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads of every peer (default 2)")
    parser.add_argument(
        "--envs",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="where environments of peers are, or are made (default ~/.cache/cisnake-benchmarks)",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="page to write (default docs/performance.md)"
    )


def peers(envs: Path) -> dict[str, Peer]:
    """Return the peers, making their environments."""
    return {
        OURS: Peer(Path(sys.executable), "cisnake_training"),
        BASENJI: Peer(python_of("basenji", envs), "basenji_training"),
        TORCH: Peer(python_of("torch", envs), "torch_training"),
    }


def conditions(workers: dict[str, Worker], arguments: argparse.Namespace, program: str, machine: str) -> list[str]:
    """Return what a reader must know of a measurement: date, command, machine, versions."""
    defaults = {"basenji", "envs", "output"}
    given = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in vars(arguments).items() if key not in defaults)
    versions = [
        f"{name}: {', '.join(f'{package} {version}' for package, version in worker.ready['versions'].items())}"
        for name, worker in workers.items()
    ]
    return [
        f"{datetime.date.today()}: `python benchmarks/{program}.py --basenji basenji {given}`",
        f"{machine}; {arguments.threads} threads for every peer",
        f"{'; '.join(versions)}; Basenji at {_revision(arguments.basenji)}",
        f"{arguments.runs} rounds after one that is not counted; in each, the peers are timed one after the other, in "
        "processes that stay, so that starting and compiling are no part of a figure",
    ]


def _revision(folder: Path) -> str:
    found = subprocess.run(["git", "-C", folder, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return f"commit {found.stdout.strip()}" if found.returncode == 0 else "a commit that is not known"


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    settings = {"batch_size": arguments.batch_size, "steps": arguments.steps, "basenji": str(arguments.basenji.resolve())}
    with running(peers(arguments.envs), settings, arguments.threads) as workers:
        parameters = check_parameters(workers)
        difference = check_equal(workers, "predictions", TOLERANCE)
        speeds = measure(workers, [(name, "train") for name in workers], arguments.runs)
        said = conditions(workers, arguments, "training", machine)
    table = ratio_table({name: values for (name, _), values in speeds.items()}, OURS, "examples/s")
    equal = [
        f"{parameters['trainable']:,} trainable and {parameters['other']:,} other parameters in every peer: a convolution of "
        f"64 × 15, four with pooling, four dilated residual units, the mean over positions, a dense layer to {TASKS} tasks; "
        f"{LENGTH:,} bp, batches of {arguments.batch_size}, float32",
        f"the same weights at the start: predictions differ by at most {difference:.1g} (root mean square, relative)",
        "Poisson loss, SGD with momentum; blocks of "
        f"{arguments.steps} batches, which hold reading, shuffling, one-hot encoding, the step, and the metrics of training",
    ]
    unequal = [
        "each reads data its own way: Basenji from compressed TFRecords, Cisnake from its HDF5 file, PyTorch from memory with "
        "`TensorDataset` and `DataLoader` in the same process",
        "Basenji and Cisnake sum up Pearson r and R² over each step, PyTorch only the loss",
        "Cisnake computes its losses so that labels which were not measured are left out",
        "validation and checkpoints are no part of a block",
    ]
    text = (
        f"## Training\n\n{table}\n\nEqual:\n\n{bullets(equal)}\n\nNot equal:\n\n{bullets(unequal)}\n\n"
        f"Measured:\n\n{bullets(said)}"
    )
    write_section(arguments.output, "training", text)
    print(table)


if __name__ == "__main__":
    main()
