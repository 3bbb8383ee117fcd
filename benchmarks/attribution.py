"""Compare attribution speed with Basenji's gradients, Captum, and a plain loop over tasks.

All ten tasks of a batch of sequences are attributed, with the same network and weights in every peer. Writes the attribution
section of docs/performance.md. A slow machine changes the figures, but causes no failure.
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

# Input x gradient: rows of the first table, with the peer and job of each.
ROWS = {
    OURS: (OURS, "input_x_gradient"),
    "the same network, an eager tape per task": (OURS, "input_x_gradient loop"),
    "Basenji `gradients`, compiled, task by task": (BASENJI, "gradients"),
    "Basenji `gradients_orig`": (BASENJI, "gradients_orig"),
    "Captum `InputXGradient`, task by task": (TORCH, "input_x_gradient"),
    "PyTorch, one forward pass for all tasks": (TORCH, "one forward pass"),
}

# Rows of the second table, with the equivalent in Captum.
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
    parser.add_argument("--batch-size", type=int, default=8, metavar="N", help="sequences per batch (default 8)")
    parser.add_argument("--passes", type=int, default=8, metavar="N", help="points to average gradients over, even (default 8)")
    return parser


def peers(envs: Path) -> dict[str, Peer]:
    """Return the peers, after creating their environments."""
    return {
        OURS: Peer(Path(sys.executable), "cisnake_attribution"),
        BASENJI: Peer(python_of("basenji", envs), "basenji_attribution"),
        TORCH: Peer(python_of("torch", envs), "torch_attribution"),
    }


def blocks() -> list[tuple[str, str]]:
    """Return the blocks of a round in order; blocks that are compared run close together."""
    pairs = list(ROWS.values())
    for method, captum in METHODS.items():
        pairs += [(OURS, method), (OURS, f"{method} loop")] + ([(TORCH, method)] if captum else [])
    return list(dict.fromkeys(pairs))


def method_table(speeds: Speeds) -> str:
    """Return a table with the speed of every method, of the loop and of Captum, and their ratios."""
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
        measured = conditions(workers, arguments, "attribution", machine)
    one = ratio_table({name: speeds[block] for name, block in ROWS.items()}, OURS, "sequences/s")
    each = method_table(speeds)
    equal = [
        f"the network of the training benchmark ({parameters['trainable']:,} trainable parameters) with the same weights: "
        f"predictions differ by {predictions:.1g}, input × gradient by {attributions:.1g} (root mean square, relative)",
        f"{LENGTH:,} bp, batches of {arguments.batch_size}, all {TASKS} tasks of each sequence, float32",
        f"gradients at {arguments.passes} points for integrated gradients, expected integrated gradients and smoothgrad, in "
        "all columns",
    ]
    unequal = [
        "for input × gradient, saliency and smoothgrad, all but Captum subtract the mean gradient over the four bases",
        "timing of Cisnake and the loop ends with a NumPy array projected on the sequence; timing of Captum ends with tensors",
        "the loop's points (noisy copies, baselines) are drawn before timing starts, Cisnake's during it",
        "`GradientShap` takes one gradient at each of several random points between sequence and baseline; Cisnake's "
        "`expected_integrated_gradients` integrates from dinucleotide shuffles, which it also creates; `NoiseTunnel` adds "
        "normal noise, Cisnake's `smoothgrad` substitutes bases",
        f"the loop of in-silico mutagenesis predicts {arguments.batch_size} mutants at a time, eagerly, all tasks at once; "
        "it is timed on 320 of the 4,096 positions of a sequence",
        "`gradients_orig` takes one sequence at a time; it and Cisnake's in-silico mutagenesis are timed on one sequence",
        "Basenji's `gradients` does not run unchanged: the missing import of `gc` is added",
    ]
    text = (
        f"## Attribution\n\nInput × gradient of {TASKS} tasks:\n\n{one}\n\nEvery method compared with a plain loop (an eager "
        f"tape per task and point) and Captum (task by task):\n\n{each}\n\nEqual:\n\n{bullets(equal)}\n\nNot equal:\n\n"
        f"{bullets(unequal)}\n\nMeasured:\n\n{bullets(measured)}"
    )
    write_section(arguments.output, "attribution", text)
    print(f"{one}\n\n{each}")


if __name__ == "__main__":
    main()
