"""Compare the speed and memory of scoring variants with Baskerville's hound_snp and with a plain loop in Keras.

All score the same VCF with the same network and weights, as whole processes. First, the statistics of single-base variants,
insertions and deletions, also near the ends of a chromosome, must agree with hound_snp within the rounding of its output to
float16. Writes the variants section of docs/performance.md. A slow machine changes the figures, but causes no failure.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
from environments import DEFAULT_FOLDER, python_of
from machine import describe_machine, describe_revision
from peers.architecture import BN_MOMENTUM, STEM, TASKS, TOWER
from report import OUTPUT, bullets, spread, write_section

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent / "scripts"

OURS, BASKERVILLE, LOOP = "Cisnake `score_vcf.py`", "Baskerville `hound_snp`", "plain loop in Keras"

LENGTH, CROP, CHROMOSOME = 2560, 8, 1_000_000
LONGEST_INDEL = 12
# Too few to reach from a predicted position to the end of the window, where Baskerville puts N behind deletions.
RESIDUAL = {"name": "dilated_residual", "filters": 64, "kernel_size": 3, "rate_mult": 2, "repeat": 2}
CHECKED = 300
# Statistics of Baskerville that are compared; its logJS is 0 for one shift, because it is normalised over shifts.
STATISTICS = (
    "SUM", "logSUM", "sqrtSUM", "logSED", "SAX", "D1", "logD1", "sqrtD1", "D2", "logD2", "sqrtD2", "JS", "REF", "ALT",
)  # fmt: skip
TIMED = ("logSUM", "D2")
# Half a unit in the last place of float16; half of its smallest number; and what float32 predictions may differ by, relative to
# the largest value of a statistic.
ROUNDING, SMALLEST, FLOAT32 = 2.0**-11, 2.0**-25, 1e-5


@dataclass(frozen=True)
class Usage:
    """What a process took: elapsed and processor seconds, and its largest memory in bytes."""

    seconds: float
    busy: float
    memory: int


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--baskerville", type=Path, required=True, metavar="FOLDER", help="clone of Baskerville's repository")
    parser.add_argument("--variants", type=int, default=10_000, metavar="N", help="variants to score (default 10,000)")
    parser.add_argument("--batch-size", type=int, default=64, metavar="N", help="windows per pass (default 64)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="counted rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads and cores (default 2)")
    parser.add_argument("--check", action="store_true", help="compare the statistics, and time nothing")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="Python with Baskerville's requirements (default: in --envs)"
    )
    parser.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of its environment, created if missing"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="page to write (default docs/performance.md)"
    )
    return parser


def make_files(folder: Path, n: int) -> None:
    """Write genome.fa, params.json, targets.txt, and the variants: checked.vcf and timed.vcf."""
    rng = np.random.default_rng(0)
    genome = {name: "".join(rng.choice(list("ACGT"), CHROMOSOME)) for name in ("chr1", "chr2")}
    (folder / "genome.fa").write_text("".join(f">{name}\n{bases}\n" for name, bases in genome.items()))
    trunk = [{"name": "conv_dna", **STEM}, {"name": "conv_tower", **TOWER}, RESIDUAL, {"name": "Cropping1D", "cropping": CROP}]
    head = {"name": "final", "units": TASKS, "activation": "softplus"}
    shape = {"seq_length": LENGTH, "activation": "relu", "norm_type": "batch", "bn_momentum": BN_MOMENTUM}
    (folder / "params.json").write_text(json.dumps({"model": {**shape, "trunk": trunk, "head": head}}))
    targets = pd.DataFrame({"identifier": [f"t{i}" for i in range(TASKS)], "clip_soft": 1e9, "scale": 1, "sum_stat": "sum"})
    targets.assign(description="").to_csv(folder / "targets.txt", sep="\t")
    # At the ends of a chromosome half of the window is N.
    ends = [1, 40, CHROMOSOME - 40, CHROMOSOME - LONGEST_INDEL]
    places = {"checked": [*ends, *rng.integers(LENGTH, CHROMOSOME - LENGTH, CHECKED - len(ends)).tolist()]}
    places["timed"] = rng.integers(LENGTH, CHROMOSOME - LENGTH, n).tolist()
    for name, positions in places.items():
        kinds = ("snv", "insertion", "deletion") if name == "checked" else ("snv",) * 18 + ("insertion", "deletion")
        rows = []
        for i, pos in enumerate(positions):
            chrom = f"chr{i % 2 + 1}"
            ref, alt = draw_alleles(genome[chrom], pos, kinds[i % len(kinds)], rng)
            # In some records of the checked file the genome has ALT.
            if name == "checked" and i % 7 == 6 and len(ref) == len(alt):
                ref, alt = alt, ref
            rows.append(f"{chrom}\t{pos}\tv{i}\t{ref}\t{alt}\n")
        (folder / f"{name}.vcf").write_text("#CHROM\tPOS\tID\tREF\tALT\n" + "".join(rows))


def draw_alleles(bases: str, pos: int, kind: str, rng: np.random.Generator) -> tuple[str, str]:
    """Return REF and ALT of a variant at a position (from 1); alleles share no base but the first one of an indel.

    Parameters
    ----------
    bases: str
        The chromosome.
    pos: int
        From 1.
    kind: str
        snv, insertion or deletion.
    rng: numpy.random.Generator
    """
    here = bases[pos - 1]
    other = str(rng.choice([base for base in "ACGT" if base != here]))
    if kind == "snv":
        return here, other
    more = int(rng.integers(1, LONGEST_INDEL))
    if kind == "insertion":
        return here, here + "".join(rng.choice(list("ACGT"), more - 1)) + other
    # A deletion that ends with the base before it could be placed further left.
    longest = bases[pos - 1 : pos + more]
    while len(longest) > 1 and longest[-1] == here:
        longest = longest[:-1]
    return (longest, here) if len(longest) > 1 else (here, other)


def commands(folder: Path, arguments: argparse.Namespace, python: Path, name: str, statistics: tuple[str, ...]) -> dict:
    """Return the command of each program for one of the two VCFs."""
    vcf, targets, genome = folder / f"{name}.vcf", folder / "targets.txt", folder / "genome.fa"
    network = ["--networks", folder / "model.h5", "--params", folder / "params.json"]
    options = ["--tasks", targets, "--batch-size", arguments.batch_size, "--threads", arguments.threads]
    ours = [sys.executable, SCRIPTS / "score_vcf.py", *network, "--vcf", vcf, "--genome", genome, *options]
    hound = [python, "-m", "baskerville.scripts.hound_snp", "--indel_stitch", "--stats", ",".join(statistics), "-f", genome]
    hound += ["-t", targets, "-o", folder / "hound", folder / "params.json", folder / "model.h5", vcf]
    loop = [sys.executable, "-m", "peers.loop_variants", folder, arguments.batch_size, arguments.threads, vcf.name]
    return {OURS: [*ours, "--statistics", *statistics, "--output", folder / "ours.tsv"], BASKERVILLE: hound, LOOP: loop}


def run(command: list, arguments: argparse.Namespace) -> Usage:
    """Run a process on as many cores as it has threads, and return what it took.

    Raises
    ------
    SystemExit
        The process fails; the message has the last lines that it printed.
    """
    cores = sorted(os.sched_getaffinity(0))[: arguments.threads] if hasattr(os, "sched_setaffinity") else []
    paths = [HERE, SCRIPTS, arguments.baskerville.resolve() / "src"]
    counts = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    environment = {
        **os.environ,
        **dict.fromkeys(counts, str(arguments.threads)),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with tempfile.TemporaryFile("w+") as log:
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(map(str, command)),
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        )
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begin
        if status:
            log.seek(0)
            raise SystemExit(f"{command[1]} {command[2]} failed:\n" + "\n".join(log.read().splitlines()[-15:]))
    unit = 1 if sys.platform == "darwin" else 1024
    return Usage(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * unit)


def compare(folder: Path) -> dict[str, float]:
    """Return, for each statistic, the largest difference from hound_snp in units of what is allowed.

    Allowed are the rounding of hound_snp's output to float16, and differences of float32 predictions. REF and ALT, which
    hound_snp writes position by position, are added up.

    Raises
    ------
    SystemExit
        A difference is larger than allowed, or the loop differs for a variant of a single base.
    """
    table = pd.read_csv(folder / "ours.tsv", sep="\t")
    if (table["status"] == "flipped").sum() == 0 or not table["status"].isin(["ok", "flipped"]).all():
        raise SystemExit(f"unexpected status of variants: {table['status'].value_counts().to_dict()}.")
    worst = {}
    with h5py.File(folder / "hound" / "scores.h5") as theirs:
        for name in STATISTICS:
            ours = table[name].to_numpy().reshape(-1, TASKS)
            value = theirs[name][:].astype(np.float64)
            rounding = ROUNDING * np.abs(value) + SMALLEST
            if value.ndim > 2:
                value, rounding = (part.mean(axis=1).sum(axis=1) for part in (value, rounding))
            allowed = rounding + FLOAT32 * np.abs(value).max()
            worst[name] = float((np.abs(ours - value) / allowed).max())
    wrong = [f"{name} by {ratio:.3g} times" for name, ratio in worst.items() if not ratio <= 1]
    if wrong:
        raise SystemExit(f"statistics differ from hound_snp by more than rounding: {', '.join(wrong)} what is allowed.")
    loop = pd.read_csv(folder / "loop.tsv", sep="\t")
    single = ((table["ref"].str.len() == 1) & (table["alt"].str.len() == 1) & (table["status"] == "ok")).to_numpy()
    for name in ("SUM", "D2"):
        difference = np.abs(loop[name].to_numpy()[single] - table[name].to_numpy()[single]).max()
        if not difference <= FLOAT32 * 10 * table[name].abs().max():
            raise SystemExit(f"{name} of the loop differs by {difference:.2g}.")
    return worst


def table_of(usages: dict[str, list[Usage]], n: int) -> str:
    """Return a Markdown table: variants per second, the ratio of ours to each within rounds, processor time and memory."""
    head = "| | variants/s, median (range) | Cisnake ÷ this | processor s | largest memory, MB |"
    rows = [head, "|---|---|---|---|---|"]
    speeds = {name: np.array([n / usage.seconds for usage in values]) for name, values in usages.items()}
    for name, values in usages.items():
        ratio = "" if name == OURS else spread(speeds[OURS] / speeds[name])
        busy, memory = spread([usage.busy for usage in values]), max(usage.memory for usage in values) / 1e6
        rows.append(f"| {name} | {spread(speeds[name])} | {ratio} | {busy} | {memory:.0f} |")
    return "\n".join(rows)


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    python = arguments.python or python_of("baskerville", arguments.envs)
    with tempfile.TemporaryDirectory(prefix="cisnake-benchmark-") as name:
        folder = Path(name)
        make_files(folder, arguments.variants)
        run([python, "-m", "peers.baskerville_network", folder], arguments)
        for command in commands(folder, arguments, python, "checked", STATISTICS).values():
            run(command, arguments)
        worst = compare(folder)
        print(f"{CHECKED} variants: largest difference from hound_snp, as a fraction of what rounding allows:")
        print("\n".join(f"{statistic}: {ratio:.2g}" for statistic, ratio in worst.items()))
        if arguments.check:
            return
        usages: dict[str, list[Usage]] = {}
        for i in range(arguments.runs):
            for program, command in commands(folder, arguments, python, "timed", TIMED).items():
                usages.setdefault(program, []).append(run(command, arguments))
                print(f"run {i + 1}/{arguments.runs}: {program}: {usages[program][-1].seconds:.3g} s", file=sys.stderr)
    table = table_of(usages, arguments.variants)
    equal = [
        f"{arguments.variants:,} variants (a tenth of them insertions and deletions) in windows of {LENGTH:,} bp, one network "
        f"with {TASKS} tasks, its weights and float32; {', '.join(TIMED)}",
        f"{len(STATISTICS)} statistics of {CHECKED} variants of all kinds agree with hound_snp within the rounding of its "
        "output",
        "whole processes: start-up, reading the network, the genome and the VCF, and writing",
    ]
    unequal = [
        f"Cisnake and the loop predict {arguments.batch_size} windows at a time, hound_snp one",
        "Cisnake writes text, hound_snp HDF5 with its percentiles, the loop a table of two numbers per variant and task",
        "for insertions and deletions, Cisnake and hound_snp predict one allele twice, the loop does not",
    ]
    measured = [
        f"{datetime.date.today()}: `python benchmarks/variants.py --baskerville baskerville --variants {arguments.variants} "
        f"--batch-size {arguments.batch_size} --runs {arguments.runs} --threads {arguments.threads}`",
        f"{machine}; {arguments.threads} threads per program; Baskerville at {describe_revision(arguments.baskerville)}",
        f"{arguments.runs} rounds after a warm-up with {CHECKED} variants; in each, the programs run one after the other",
    ]
    sections = {"Equal": equal, "Not equal": unequal, "Measured": measured}
    text = "\n\n".join(["## Variants", table, *(f"{title}:\n\n{bullets(lines)}" for title, lines in sections.items())])
    write_section(arguments.output, "variants", text)
    print(table)


if __name__ == "__main__":
    main()
