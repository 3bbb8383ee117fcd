"""Compare the time of calling peaks with tangermeme: whole processes, from a file of attributions to a file of peaks.

Both call positive and negative spans in the same scores by the same definition, and must find the same spans. Writes the peaks
section of docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from environments import DEFAULT_FOLDER, REQUIREMENTS, python_of
from machine import describe_machine
from report import OUTPUT, bullets, spread, write_section

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "scripts"
sys.path.append(str(SCRIPTS))

from cisnake.data.genome import BASES  # noqa: E402
from cisnake.interpret.attribution import write_attributions  # noqa: E402
from cisnake.interpret.peaks import PEAK_METHODS  # noqa: E402

GENES, LENGTH, NULL, SITES = 1000, 10_000, 200, 30
THEIRS = "tangermeme `recursive_seqlets`"


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, metavar="N", help="counted rounds (default 5)")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="Python of an environment with tangermeme (default: the one in --envs)"
    )
    parser.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of its environment, created if missing"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="page to write (default docs/performance.md)"
    )
    return parser


def make_files(folder: Path) -> None:
    """Write attributions.h5, attributions_null.h5 (with shuffled windows) and scores.npy (for tangermeme)."""
    rng = np.random.default_rng(0)
    scores = rng.laplace(size=(GENES, LENGTH)).astype(np.float32)
    for row in range(GENES):
        for start in rng.integers(0, LENGTH - 20, SITES):
            scores[row, start : start + rng.integers(6, 20)] += rng.choice([-1, 1]) * rng.uniform(1, 5)
    # In double precision, so that rounding does not move any score into another bin than in Cisnake.
    np.save(folder / "scores.npy", scores.astype(np.float64))
    sequences = rng.integers(0, len(BASES), (GENES, LENGTH)).astype(np.int8)
    attributions = np.zeros((GENES, 4, LENGTH), np.float32)
    np.put_along_axis(attributions, sequences[:, None].astype(int), scores[:, None], axis=1)
    start = 2 * LENGTH * np.arange(1, GENES + 1)
    windows = pd.DataFrame({"gene_id": [f"g{i}" for i in range(GENES)], "chrom": "chr1", "start": start, "end": start + LENGTH})
    windows = windows.assign(strand="+", mask_start=LENGTH // 2, mask_end=LENGTH, fold=0, split="test", measured=0.0)
    attrs = {"contrast": "c", "score": "specificity", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1}
    for name, null in (("attributions", 0), ("attributions_null", NULL)):
        path = folder / f"{name}.h5"
        with write_attributions(path, windows, LENGTH, attrs, null_genes=["g0"] * null) as append:
            append(attributions, sequences, np.zeros(GENES), np.zeros(GENES))
            if null:
                append.null(rng.laplace(size=(null, LENGTH)).astype(np.float32))


def programs(folder: Path, python: Path) -> dict[str, list[str | Path]]:
    """Return the command of each row of the table."""

    def ours(method: str, name: str) -> list[str | Path]:
        outputs: list[str | Path] = ["--output-tsv", folder / "ours.tsv", "--output-bed", folder / "ours.bed"]
        return [
            sys.executable,
            SCRIPTS / "call_peaks.py",
            "--attributions",
            folder / name,
            "--set",
            f"peaks.method={method}",
            *outputs,
        ]

    found = {f"Cisnake `call_peaks.py`, {method}": ours(method, "attributions.h5") for method in PEAK_METHODS}
    found[f"the first, with q-values from {NULL} shuffled windows"] = ours("recursive_seqlets", "attributions_null.h5")
    found[THEIRS] = [python, HERE / "peers" / "tangermeme_peaks.py", folder / "scores.npy", folder / "theirs.npz"]
    return found


def run(command: Sequence[str | Path]) -> tuple[float, float, str]:
    """Run a process and return its elapsed seconds, its processor seconds and its output.

    Raises
    ------
    SystemExit
        The process fails.
    """
    start, before = time.perf_counter(), _processor_seconds()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    if done.returncode:
        raise SystemExit(f"{command[1]} failed:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start, _processor_seconds() - before, done.stdout


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def check_spans(folder: Path) -> int:
    """Return the number of spans, and check that both programs found the same ones with the same p-values.

    Raises
    ------
    SystemExit
        The spans differ.
    """
    ours = pd.read_csv(folder / "ours.tsv", sep="\t")
    count = 0
    with np.load(folder / "theirs.npz") as theirs:
        for name, sign in (("positive", 1), ("negative", -1)):
            peaks = ours[np.sign(ours["attribution"]) == sign]
            row = peaks["gene_id"].str[1:].astype(int)
            spans = np.column_stack(
                [row, peaks["window_start"], peaks["window_end"], sign * peaks["attribution"], peaks["p_value"]]
            )
            # Cisnake omits positive spans whose sum is not positive, because they do not raise the score.
            other = theirs[name][theirs[name][:, 3] > 0]
            if (
                spans.shape != other.shape
                or (spans[:, :3] != other[:, :3]).any()
                or not np.allclose(spans, other, rtol=1e-5, atol=0)
            ):
                raise SystemExit(f"{name} spans differ: Cisnake found {len(spans)}, tangermeme {len(other)}.")
            count += len(spans)
    return count


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    python = arguments.python or python_of("tangermeme", arguments.envs)
    with tempfile.TemporaryDirectory(prefix="cisnake-benchmark-") as name:
        folder = Path(name)
        make_files(folder)
        commands = programs(folder, python)
        first = next(iter(commands))
        run(commands[first])
        run(commands[THEIRS])
        count = check_spans(folder)
        seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        parts: list[dict[str, float]] = []
        for i in range(arguments.runs):
            for name, command in commands.items():
                took, busy, printed = run(command)
                seconds[name].append((took, busy))
                print(f"run {i + 1}/{arguments.runs}: {name}: {took:.3g} s", file=sys.stderr)
                if name == THEIRS:
                    parts.append(json.loads(printed))
    rows = ["| | s, median (range) | tangermeme ÷ this | processor s | tangermeme ÷ this |", "|---|---|---|---|---|"]
    for name, pairs in seconds.items():
        ratios = np.divide(seconds[THEIRS], pairs).T
        cells = []
        for values, ratio in zip(np.transpose(pairs), ratios, strict=True):
            cells += [spread(values), "" if name == THEIRS else spread(ratio)]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    inside = ", ".join(f"{key} {spread([part[key] for part in parts])}" for key in parts[0])
    equal = [
        f"the same scores, {GENES:,} windows of {LENGTH:,} bp, each with {SITES} raised or lowered stretches in Laplace noise; "
        f"both signs; {count:,} identical spans with identical p-values in the first and the last row",
        "whole processes: Python start-up, imports, reading, calling and writing",
    ]
    unequal = [
        "Cisnake reads compressed HDF5 and writes tables with genome coordinates as TSV and BED; tangermeme reads and writes "
        "NumPy files",
        f"tangermeme's seconds include: {inside}; the first call compiles, in every process",
    ]
    measured = [
        f"{datetime.date.today()}: `python benchmarks/peaks.py --runs {arguments.runs}`",
        machine,
        f"{arguments.runs} rounds after one warm-up round; in each, the programs run one after the other; tangermeme "
        f"{REQUIREMENTS['tangermeme'][1][0].split('==')[1]}",
    ]
    table = "\n".join(rows)
    sections = {"Equal": equal, "Not equal": unequal, "Measured": measured}
    text = "\n\n".join(["## Peaks", table, *(f"{name}:\n\n{bullets(lines)}" for name, lines in sections.items())])
    write_section(arguments.output, "peaks", text)
    print(table)


if __name__ == "__main__":
    main()
