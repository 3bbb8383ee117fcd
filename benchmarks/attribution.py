"""Attribution speed beside Basenji's own gradients, Captum, and the loop over tasks that both stand for.

All ten tasks of a batch of sequences are attributed, with the same network and weights in every peer. Writes the attribution
section of docs/performance.md. Nothing depends on the clock: a slow machine makes other figures, no failure.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from environments import python_of
from machine import describe_machine
from measurement import Peer, check_equal, check_parameters, measure, running
from peers.architecture import LENGTH, TASKS
from report import bullets, ratio_table, spread, write_section
from training import TOLERANCE, add_arguments, conditions

OURS, BASENJI, TORCH = "Cisnake", "Basenji", "PyTorch"

# Input x gradient: rows of the first table, and who does them as which job.
ROWS = {
    OURS: (OURS, "input_x_gradient"),
    "the same network, an eager tape for each task": (OURS, "input_x_gradient loop"),
    "Basenji `gradients`, compiled, task by task": (BASENJI, "gradients"),
    "Basenji `gradients_orig`": (BASENJI, "gradients_orig"),
    "Captum `InputXGradient`, task by task": (TORCH, "input_x_gradient"),
    "PyTorch, one forward pass for all tasks": (TORCH, "one forward pass"),
}

# Rows of the second table, and what stands for each in Captum.
METHODS = {
    "gradient": "`Saliency(abs=False)`",
    "input_x_gradient": "`InputXGradient`",
    "saliency": "`Saliency`",
    "integrated_gradients": "`IntegratedGradients`",
    "expected_integrated_gradients": "`GradientShap`",
    "smoothgrad": "`NoiseTunnel(Saliency)`",
    "in_silico_mutagenesis": None,
}

Speeds = dict[tuple[str, str], np.ndarray]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="sequences in a batch (default 8)")
    parser.add_argument(
        "--passes", type=int, default=8, metavar="N", help="points at which methods average gradients, even (default 8)"
    )
    return parser


def peers(envs: Path) -> dict[str, Peer]:
    """Return the peers, making their environments."""
    return {
        OURS: Peer(Path(sys.executable), "cisnake_attribution"),
        BASENJI: Peer(python_of("basenji", envs), "basenji_attribution"),
        TORCH: Peer(python_of("torch", envs), "torch_attribution"),
    }


def blocks() -> list[tuple[str, str]]:
    """Return what is timed in a round, in this order; what is compared stands close together."""
    found = list(ROWS.values())
    for method, captum in METHODS.items():
        found += [(OURS, method), (OURS, f"{method} loop")] + ([(TORCH, method)] if captum else [])
    return list(dict.fromkeys(found))


def method_table(speeds: Speeds) -> str:
    """Return a table of every method: its speed, that of the loop, that of Captum, and the ratios."""
    rows = ["| | Cisnake, sequences/s | loop | Cisnake ÷ loop | Captum | Cisnake ÷ Captum |", "|---|---|---|---|---|---|"]
    for method, captum in METHODS.items():
        ours, loop = speeds[OURS, method], speeds[OURS, f"{method} loop"]
        cells = [f"`{method}`", spread(ours), spread(loop), spread(ours / loop)]
        theirs = speeds.get((TORCH, method))
        cells += ["", ""] if theirs is None else [f"{spread(theirs)} {captum}", spread(ours / theirs)]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    settings = {key: getattr(arguments, key) for key in ("batch_size", "passes")}
    settings["basenji"] = str(arguments.basenji.resolve())
    with running(peers(arguments.envs), settings, arguments.threads) as workers:
        parameters = check_parameters(workers)
        predictions = check_equal(workers, "predictions", TOLERANCE)
        attributions = check_equal(workers, "attributions", TOLERANCE)
        speeds = measure(workers, blocks(), arguments.runs)
        said = conditions(workers, arguments, "attribution", machine)
    one = ratio_table({name: speeds[block] for name, block in ROWS.items()}, OURS, "sequences/s")
    each = method_table(speeds)
    equal = [
        f"the network of the training benchmark ({parameters['trainable']:,} trainable parameters) with the same weights: "
        f"predictions differ by {predictions:.1g}, input × gradient by {attributions:.1g} (root mean square, relative)",
        f"{LENGTH:,} bp, batches of {arguments.batch_size}, all {TASKS} tasks of each sequence, float32",
        f"gradients at {arguments.passes} points for integrated gradients, its expected form and smoothgrad, in all columns",
    ]
    unequal = [
        "in input × gradient, saliency and smoothgrad, all but Captum subtract the mean of the gradient over bases",
        "Cisnake's and the loop's time ends with an array of NumPy, projected on the sequence; Captum's with tensors",
        "the loop's points (noisy copies, baselines) are drawn before the clock starts, Cisnake's after",
        "`GradientShap` takes random points between sequence and baseline, one gradient each; Cisnake's "
        "`expected_integrated_gradients` integrates towards dinucleotide shuffles, which it makes; `NoiseTunnel` adds normal "
        "noise, Cisnake's `smoothgrad` substitutes bases",
        f"the loop of in silico mutagenesis asks the network for {arguments.batch_size} mutants at a time, eagerly, all tasks "
        "at once; it is timed on 320 of the 4,096 positions of a sequence",
        "`gradients_orig` takes one sequence at a time; it and Cisnake's in silico mutagenesis are timed on one",
        "Basenji's `gradients` does not run as it is: the import of `gc` that it lacks is added",
    ]
    text = (
        f"## Attribution\n\nInput × gradient of {TASKS} tasks:\n\n{one}\n\nEvery method beside the plain loop (an eager tape "
        f"for each task and point) and Captum (task by task):\n\n{each}\n\nEqual:\n\n{bullets(equal)}\n\nNot equal:\n\n"
        f"{bullets(unequal)}\n\nMeasured:\n\n{bullets(said)}"
    )
    write_section(arguments.output, "attribution", text)
    print(f"{one}\n\n{each}")


if __name__ == "__main__":
    main()
