"""Compare training speed with Basenji's trainer and a plain PyTorch loop, for the same network, weights, batch and optimizer.

Each peer runs in its own process and environment; those of Basenji (TensorFlow 2.15) and PyTorch are created if they are
missing. Writes the training section of docs/performance.md. A slow machine changes the figures, but causes no failure.
"""

from __future__ import annotations

import argparse
import datetime
import sys
from pathlib import Path

from environments import DEFAULT_FOLDER, python_of
from machine import describe_machine, describe_revision
from measurement import Peer, Worker, check_equal, check_parameters, measure, running
from peers.architecture import LENGTH, TASKS
from report import OUTPUT, bullets, ratio_table, write_section

OURS, BASENJI, TORCH = "Cisnake", "Basenji", "PyTorch"

# All peers have the same weights and compute in float32, so only the order of summation differs.
TOLERANCE = 1e-4


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="examples per batch (default 32)")
    parser.add_argument("--steps", type=int, default=40, metavar="N", help="batches per timed block (default 40)")
    return parser


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that training.py and attribution.py share."""
    parser.add_argument("--basenji", type=Path, required=True, metavar="FOLDER", help="clone of Basenji's repository")
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="counted rounds (default 5)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads per peer (default 2)")
    parser.add_argument(
        "--envs",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="folder of the peers' environments, created if missing (default ~/.cache/cisnake-benchmarks)",
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="page to write (default docs/performance.md)"
    )


def peers(envs: Path) -> dict[str, Peer]:
    """Return the peers, after creating their environments."""
    return {
        OURS: Peer(Path(sys.executable), "cisnake_training"),
        BASENJI: Peer(python_of("basenji", envs), "basenji_training"),
        TORCH: Peer(python_of("torch", envs), "torch_training"),
    }


def conditions(workers: dict[str, Worker], arguments: argparse.Namespace, program: str, machine: str) -> list[str]:
    """Return the conditions of a measurement: date, command, machine, versions."""
    defaults = {"basenji", "envs", "output"}
    options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in vars(arguments).items() if key not in defaults)
    versions = [
        f"{name}: {', '.join(f'{package} {version}' for package, version in worker.ready['versions'].items())}"
        for name, worker in workers.items()
    ]
    return [
        f"{datetime.date.today()}: `python benchmarks/{program}.py --basenji basenji {options}`",
        f"{machine}; {arguments.threads} threads per peer",
        f"{'; '.join(versions)}; Basenji at {describe_revision(arguments.basenji)}",
        f"{arguments.runs} rounds after one warm-up round; in each, the peers are timed one after the other, in "
        "long-lived processes, so that start-up and compilation are not measured",
    ]


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    settings = {"batch_size": arguments.batch_size, "steps": arguments.steps, "basenji": str(arguments.basenji.resolve())}
    with running(peers(arguments.envs), settings, arguments.threads) as workers:
        parameters = check_parameters(workers)
        difference = check_equal(workers, "predictions", TOLERANCE)
        speeds = measure(workers, [(name, "train") for name in workers], arguments.runs)
        measured = conditions(workers, arguments, "training", machine)
    table = ratio_table({name: values for (name, _), values in speeds.items()}, OURS, "examples/s")
    equal = [
        f"{parameters['trainable']:,} trainable and {parameters['other']:,} other parameters in every peer: a convolution of "
        f"64 × 15, four with pooling, four dilated residual units, the average over positions, a dense layer to {TASKS} tasks; "
        f"{LENGTH:,} bp, batches of {arguments.batch_size}, float32",
        f"the same initial weights: predictions differ by at most {difference:.1g} (root mean square, relative)",
        "Poisson loss, SGD with momentum; blocks of "
        f"{arguments.steps} batches, which include reading, shuffling, one-hot encoding, the step, and training metrics",
    ]
    unequal = [
        "each peer reads data in its own way: Basenji from compressed TFRecords, Cisnake from its HDF5 file, PyTorch from "
        "memory with `TensorDataset` and `DataLoader` in the same process",
        "Basenji and Cisnake update Pearson r and R² at each step, PyTorch only the loss",
        "Cisnake's losses also handle missing labels",
        "blocks do not include validation and checkpoints",
    ]
    text = (
        f"## Training\n\n{table}\n\nEqual:\n\n{bullets(equal)}\n\nNot equal:\n\n{bullets(unequal)}\n\n"
        f"Measured:\n\n{bullets(measured)}"
    )
    write_section(arguments.output, "training", text)
    print(table)


if __name__ == "__main__":
    main()
