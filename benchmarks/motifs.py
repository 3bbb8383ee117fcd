"""Compare the speed of motif scanning, process by process, and the score thresholds behind the hits.

Each tool runs in its own process, reads windows and motifs, scans both strands and writes all hits. Nothing is kept between
runs except what a tool stores on disk. Writes the motif section of docs/performance.md. A slow machine causes no failure.
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
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from environments import DEFAULT_FOLDER, python_of
from machine import describe_machine
from peers.motif_files import P_THRESHOLD
from report import OUTPUT, ROOT, bullets, ratio_table, spread, write_section

sys.path.append(str(ROOT / "scripts"))
from cisnake.data import load_motifs, read_meme, write_meme
from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.data.genome import BASES, Genome
from cisnake.interpret.motifs import STEP, HitFile, motif_scores

OURS, MEMELITE, MOODS, FIMO = "Cisnake", "memelite", "MOODS", "FIMO (pymemesuite)"
MODULES = {MEMELITE: "memelite_motifs", MOODS: "moods_motifs", FIMO: "fimo_motifs"}
# FIMO would take minutes for everything, so it scans a tenth of the windows with a tenth of the motifs.
SHARE = 10
WIDEST = 16
"""Widest motif whose thresholds are checked against all words, enumerated from its two halves."""

Hits = dict[str, np.ndarray]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help=f"folder of environments (default {DEFAULT_FOLDER})"
    )
    p.add_argument(
        "--python", type=Path, metavar="PYTHON", help="Python of an environment that has the peers (default: the one in --envs)"
    )
    p.add_argument("--runs", type=int, default=5, metavar="N", help="rounds (default 5)")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="threads or processes per tool (default 2)")
    p.add_argument("--windows", type=int, default=5000, metavar="N", help="windows of 2 kb (default 5000)")
    p.add_argument("--motifs", type=int, default=200, metavar="N", help="number of JASPAR vertebrate motifs (default 200)")
    p.add_argument("--alone", action="store_true", help="time only Cisnake, on inputs of any size, and write nothing")
    p.add_argument("--output", type=Path, default=OUTPUT, metavar="MD", help="page to write the section to")
    return p


def make_inputs(folder: Path, n_windows: int, n_motifs: int, length: int = 2000) -> None:
    """Write random windows (data set and FASTA) and motifs; bases are equally frequent, as some peers assume."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(BASES.encode(), np.uint8)
    bases = letters[rng.integers(0, 4, (n_windows, length), np.int8)]
    (folder / "genome.fa").write_bytes(b">chr1\n" + bases.tobytes() + b"\n")
    for name, rows in (("windows", bases), ("few_windows", bases[: n_windows // SHARE])):
        (folder / f"{name}.fa").write_text("".join(f">{i}\n{row.tobytes().decode()}\n" for i, row in enumerate(rows)))
    start = length * np.arange(n_windows)
    table = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n_windows)], "window_start": start, "window_end": start + length})
    table = table.assign(chrom="chr1", strand="+", split="test", mask_start=length // 2, mask_end=length, fold=0)
    labels = Labels(np.zeros((n_windows, 1), np.float32), ["task"])
    write_dataset(folder / "dataset.h5", table, labels, Genome(folder / "genome.fa"), Layout(), {})
    motifs = load_motifs("jaspar:2026/vertebrates")[:n_motifs]
    if len(motifs) < n_motifs:
        raise SystemExit(f"JASPAR 2026 has {len(motifs)} vertebrate motifs: set --motifs to at most this number.")
    write_meme(motifs, folder / "motifs.meme")
    write_meme(motifs[::SHARE], folder / "few_motifs.meme")


def commands(folder: Path, python: Path, threads: int) -> dict[str, list[str]]:
    """Return the command of each tool."""
    scan = [sys.executable, str(ROOT / "scripts" / "scan_motifs.py"), "--dataset", str(folder / "dataset.h5")]
    found = {OURS: [*scan, "--motifs", str(folder / "motifs.meme"), f"--processes={threads}", f"--output={folder / 'hits.h5'}"]}
    for name, module in MODULES.items():
        few = "few_" if name == FIMO else ""
        inputs = [str(folder / f"{few}windows.fa"), str(folder / f"{few}motifs.meme"), str(folder / f"{module}.npz")]
        found[name] = [str(python), "-m", f"peers.{module}", *inputs]
    return found


def run(command: list[str], threads: int) -> tuple[float, float]:
    """Run a process, and return its elapsed seconds and the processor seconds of it and its children.

    The process is bound to as many cores as it has threads.
    """
    cores = sorted(os.sched_getaffinity(0))[:threads] if hasattr(os, "sched_setaffinity") else []
    counts = {name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    environment = {**os.environ, **counts, "PYTHONPATH": str(ROOT / "benchmarks")}
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        command,
        env=environment,
        capture_output=True,
        text=True,
        preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
    )
    seconds, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def measure(tools: Mapping[str, list[str]], runs: int, threads: int) -> dict[str, np.ndarray]:
    """Time every tool once per round, after a warm-up round that does not count.

    Returns
    -------
    dict
        By tool: elapsed seconds and processor seconds, shape=(2, runs).
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
    for number in range(runs + 1):
        for name, command in tools.items():
            took = run(command, threads)
            label = "warm-up" if number == 0 else f"run {number}/{runs}"
            print(f"{label}: {name}: {took[0]:.2f} s, {took[1]:.2f} s of processor time", file=sys.stderr)
            seconds[name] += [took] if number else []
    return {name: np.array(values).T for name, values in seconds.items()}


def our_hits(path: Path) -> Hits:
    """Return Cisnake's hits in the format of the peers."""
    file = HitFile(path)
    hits = file.read(np.arange(len(file)))
    return {"motif": hits.motif, "window": hits.row, "start": hits.start, "reverse": hits.orientation < 0}


def only(hits: Hits, chosen: np.ndarray) -> Hits:
    """Return the hits of the chosen motifs; `chosen` has shape=(motifs,), dtype=bool."""
    is_chosen = chosen[hits["motif"]]
    return {name: values[is_chosen] for name, values in hits.items()}


def true_p(scores: np.ndarray, background: np.ndarray, least: float, strict: bool) -> float:
    """Return the probability that a word scores at least `least` (above it if `strict`), from all words of both halves."""
    halves = []
    for part in (scores[: len(scores) // 2], scores[len(scores) // 2 :]):
        total, chance = np.zeros(1), np.ones(1)
        for column in part:
            total = (total[:, None] + column).ravel()
            chance = (chance[:, None] * background).ravel()
        order = np.argsort(total)
        halves.append((total[order], chance[order]))
    (left, left_chance), (right, right_chance) = halves
    above = np.append(np.cumsum(right_chance[::-1])[::-1], 0)
    return float(
        left_chance @ above[np.searchsorted(right, least - left - (0 if strict else 1e-9), side="right" if strict else "left")]
    )


def compare(tool: str, ours: Hits, theirs: Hits, codes: np.ndarray, motifs: list, background: np.ndarray) -> str:
    """Return the number of shared hits, and the exact p-values of hits that only one tool has."""
    keys = [
        ((hits["motif"].astype(np.int64) * 2 + hits["reverse"]) * len(codes) + hits["window"]) * codes.shape[1] + hits["start"]
        for hits in (ours, theirs)
    ]
    alone = [np.flatnonzero(~np.isin(keys[0], keys[1])), np.flatnonzero(~np.isin(keys[1], keys[0]))]
    text = f"{len(keys[1]):,} hits, {len(keys[0]) - len(alone[0]):,} of them shared with Cisnake"
    for who, hits, rows in (("Cisnake", ours, alone[0]), (tool, theirs, alone[1])):
        if len(rows):
            low, high = np.quantile(
                _p_values({name: v[rows] for name, v in hits.items()}, codes, motifs, background), [0.01, 0.99]
            )
            text += f"; {len(rows):,} found only by {who}, p {low:.2g} to {high:.2g}"
    return text


def _p_values(hits: Hits, codes: np.ndarray, motifs: list, background: np.ndarray) -> np.ndarray:
    p = np.empty(len(hits["motif"]))
    for number in np.unique(hits["motif"]):
        rows = np.flatnonzero(hits["motif"] == number)
        scores = motif_scores(motifs[number], background)
        at = hits["start"][rows, None] + np.arange(len(scores.steps))
        words = codes[hits["window"][rows, None], at]
        words = np.where(hits["reverse"][rows, None], 3 - words[:, ::-1], words)
        p[rows] = scores.tail[scores.steps[np.arange(len(scores.steps)), words].sum(axis=1) - scores.lowest]
    return p


def cut_table(folder: Path, motifs: list, background: np.ndarray, tools: Mapping[str, list[str]], threads: int) -> str:
    """Return a table of the true p-values of each tool's thresholds: mean, largest, and the number above the nominal p."""
    short = [motif for motif in motifs if len(motif) <= WIDEST]
    p_by_tool: dict[str, list[float]] = {OURS: [], "lightmotif's own thresholds": []}
    import lightmotif

    for motif in short:
        scores = motif_scores(motif, background)
        p_by_tool[OURS].append(true_p(scores.steps.astype(float), background, scores.cut(P_THRESHOLD), False))
        matrix = lightmotif.ScoringMatrix(
            {base: (column * STEP).tolist() for base, column in zip(BASES, scores.steps.T, strict=True)}
        )
        p_by_tool["lightmotif's own thresholds"].append(
            true_p(scores.steps * STEP, background, matrix.score(P_THRESHOLD), False)
        )
    for name in (MEMELITE, MOODS):
        run([*tools[name], "--cuts"], threads)
        with np.load(folder / f"{MODULES[name]}.npz") as cuts:
            p_by_tool[name] = [
                true_p(
                    cuts[f"scores {motif.id}"], background,
                    float(cuts[f"above {motif.id}"] if name == MEMELITE else cuts[f"from {motif.id}"]), name == MEMELITE,
                )
                for motif in short
            ]  # fmt: skip
    # Motifs whose best word is more likely than the nominal p cannot reach it and have no threshold.
    able = np.array([motif_scores(motif, background, P_THRESHOLD).tail[-1] <= P_THRESHOLD for motif in short])
    rows = [
        f"| {able.sum()} motifs of at most {WIDEST} bases | mean true p | largest | motifs above {P_THRESHOLD:g} |",
        "|---|---|---|---|",
    ]
    for name, values in p_by_tool.items():
        p = np.array(values)[able]
        rows.append(f"| {name} | {p.mean():.3g} | {p.max():.3g} | {np.count_nonzero(p > P_THRESHOLD * (1 + 1e-9))} |")
    return "\n".join(rows)


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    python = Path() if arguments.alone else arguments.python or python_of("motifs", arguments.envs)
    with tempfile.TemporaryDirectory(prefix="cisnake-benchmark-") as name:
        folder = Path(name)
        make_inputs(folder, arguments.windows, arguments.motifs)
        if arguments.alone:
            tools = {OURS: commands(folder, python, arguments.threads)[OURS]}
            wall, processors = measure(tools, arguments.runs, arguments.threads)[OURS]
            print(f"{spread(wall)} s, {spread(processors)} s of processor time; {machine}")
            return
        tools = commands(folder, python, arguments.threads)
        seconds = measure(tools, arguments.runs, arguments.threads)
        file = HitFile(folder / "hits.h5")
        background, codes = file.background[0], file.sequences(np.arange(len(file)))
        motifs = read_meme(folder / "motifs.meme")
        able = ~file.motifs["best_only"].to_numpy()
        ours = only(our_hits(folder / "hits.h5"), able)
        compared = [f"Cisnake: {len(ours['motif']):,} hits"]
        for tool in (MEMELITE, MOODS):
            with np.load(folder / f"{MODULES[tool]}.npz") as hits:
                compared.append(f"{tool}: " + compare(tool, ours, only(dict(hits), able), codes, motifs, background))
        cuts = cut_table(folder, motifs, background, tools, arguments.threads)
        versions = json.loads(
            subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
    speeds = {name: (1 / SHARE**2 if name == FIMO else 1) / values[0] for name, values in seconds.items()}
    rows = ratio_table(speeds, OURS, "scans/s")
    times = bullets([f"{name}: {spread(values[0])}; processor time {spread(values[1])}" for name, values in seconds.items()])
    measured = [
        f"{datetime.date.today()}: `python benchmarks/motifs.py --runs {arguments.runs} --threads {arguments.threads} "
        f"--windows {arguments.windows} --motifs {arguments.motifs}`",
        f"{machine}; {arguments.threads} cores per tool",
        ", ".join(f"{package} {version}" for package, version in versions.items()),
        f"{arguments.runs} rounds after one warm-up round; in each, the tools run one after the other",
    ]
    equal = [
        f"{arguments.windows:,} random windows of 2 kb, the first {arguments.motifs} motifs of JASPAR 2026's vertebrates, both "
        f"strands, p ≤ {P_THRESHOLD:g}; every process reads windows and motifs and writes all hits",
    ]
    unequal = [
        "Cisnake reads HDF5 and writes hits with p, q and genome coordinates, compressed; the others read FASTA and write "
        "motif, window, position and strand as arrays",
        f"Cisnake uses {arguments.threads} processes and memelite {arguments.threads} threads; MOODS and FIMO use one",
        "FIMO scans a tenth of the windows with a tenth of the motifs; its scans/s are therefore divided by a hundred",
        "memelite's compiled code is on disk after the warm-up round (compiling takes about ten seconds)",
    ]
    text = (
        f"## Motifs\n\nWhole processes:\n\n{rows}\n\nSeconds:\n\n{times}\n\nTrue p-values of each tool's threshold for "
        f"p ≤ {P_THRESHOLD:g}, from all words under the base composition of the windows:\n\n{cuts}\n\n"
        "Hits of motifs that can reach the threshold:\n\n"
        f"{bullets(compared)}\n\nEqual:\n\n"
        f"{bullets(equal)}\n\nNot equal:\n\n{bullets(unequal)}\n\nMeasured:\n\n{bullets(measured)}"
    )
    write_section(arguments.output, "motifs", text)
    print(text)


VERSIONS = """
import json
from importlib.metadata import version
print(json.dumps({name: version(name) for name in ("memelite", "numba", "MOODS-python", "pymemesuite")}))
"""

if __name__ == "__main__":
    main()
