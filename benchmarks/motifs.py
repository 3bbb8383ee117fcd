"""Speed of scanning with motifs, process against process, and the cuts that stand behind the hits.

Each tool is a process of its own that reads windows and motifs, scans both strands and writes all hits; nothing stays between
runs but what a tool keeps on the disk itself. Writes the motif section of docs/performance.md. Nothing depends on the clock.
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
# FIMO takes minutes for all: it is given a tenth of the windows and of the motifs.
SHARE = 10
WIDEST = 16
"""Widest motif whose cuts are checked against all words, which two halves of it make."""

Hits = dict[str, np.ndarray]


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--envs", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help=f"environments (default {DEFAULT_FOLDER})")
    p.add_argument("--python", type=Path, metavar="PYTHON", help="of an environment that has the peers, instead")
    p.add_argument("--runs", type=int, default=5, metavar="N", help="rounds (default 5)")
    p.add_argument("--threads", type=int, default=2, metavar="N", help="threads or processes of each tool (default 2)")
    p.add_argument("--windows", type=int, default=5000, metavar="N", help="windows of 2 kb (default 5000)")
    p.add_argument("--motifs", type=int, default=200, metavar="N", help="motifs of JASPAR's vertebrates (default 200)")
    p.add_argument("--alone", action="store_true", help="time Cisnake alone, and write nothing: for inputs of any size")
    p.add_argument("--output", type=Path, default=OUTPUT, metavar="MD", help="page to write the section to")
    return p


def make_inputs(folder: Path, n_windows: int, n_motifs: int, length: int = 2000) -> None:
    """Write random windows as data set and as FASTA, and motifs; bases are equally frequent, as some peers take for granted."""
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
        raise SystemExit(f"JASPAR 2026 has {len(motifs)} motifs of vertebrates: ask for fewer.")
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
    """Return the seconds from the start of a process to its end, and those that processors spent on it and its children.

    It is bound to as many cores as it has threads.
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
    """Time every tool in each of several rounds, after one that is not counted.

    Returns
    -------
    dict
        By tool: seconds, and seconds of processors, shape=(2, runs).
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in tools}
    for number in range(runs + 1):
        for name, command in tools.items():
            took = run(command, threads)
            said = "warm-up" if number == 0 else f"run {number}/{runs}"
            print(f"{said}: {name}: {took[0]:.2f} s, {took[1]:.2f} s of processors", file=sys.stderr)
            seconds[name] += [took] if number else []
    return {name: np.array(values).T for name, values in seconds.items()}


def our_hits(path: Path) -> Hits:
    """Return Cisnake's hits in the form of the peers'."""
    file = HitFile(path)
    hits = file.read(np.arange(len(file)))
    return {"motif": hits.motif, "window": hits.row, "start": hits.start, "reverse": hits.orientation < 0}


def only(hits: Hits, chosen: np.ndarray) -> Hits:
    """Return the hits of chosen motifs, shape=(motifs,), dtype=bool."""
    here = chosen[hits["motif"]]
    return {name: values[here] for name, values in hits.items()}


def true_p(scores: np.ndarray, background: np.ndarray, least: float, strict: bool) -> float:
    """Return the chance that a word scores at least `least` (or more), from all words of each half of the motif."""
    halves = []
    for part in (scores[: len(scores) // 2], scores[len(scores) // 2 :]):
        total, chance = np.zeros(1), np.ones(1)
        for column in part:
            total = (total[:, None] + column).ravel()
            chance = (chance[:, None] * background).ravel()
        order = np.argsort(total)
        halves.append((total[order], chance[order]))
    (left, of_left), (right, of_right) = halves
    above = np.append(np.cumsum(of_right[::-1])[::-1], 0)
    return float(
        of_left @ above[np.searchsorted(right, least - left - (0 if strict else 1e-9), side="right" if strict else "left")]
    )


def compare(ours: Hits, theirs: Hits, codes: np.ndarray, motifs: list, background: np.ndarray) -> str:
    """Return how many hits both have, and the exact p of those that one alone has."""
    keys = [
        ((hits["motif"].astype(np.int64) * 2 + hits["reverse"]) * len(codes) + hits["window"]) * codes.shape[1] + hits["start"]
        for hits in (ours, theirs)
    ]
    alone = [np.flatnonzero(~np.isin(keys[0], keys[1])), np.flatnonzero(~np.isin(keys[1], keys[0]))]
    text = f"{len(keys[1]):,} hits, {len(keys[0]) - len(alone[0]):,} of them Cisnake's"
    for who, hits, rows in (("Cisnake", ours, alone[0]), ("it", theirs, alone[1])):
        if len(rows):
            low, high = np.quantile(
                _p_values({name: v[rows] for name, v in hits.items()}, codes, motifs, background), [0.01, 0.99]
            )
            text += f"; {len(rows):,} that {who} alone has, of p {low:.2g} to {high:.2g}"
    return text


def _p_values(hits: Hits, codes: np.ndarray, motifs: list, background: np.ndarray) -> np.ndarray:
    p = np.empty(len(hits["motif"]))
    for number in np.unique(hits["motif"]):
        here = np.flatnonzero(hits["motif"] == number)
        scores = motif_scores(motifs[number], background)
        at = hits["start"][here, None] + np.arange(len(scores.steps))
        words = codes[hits["window"][here, None], at]
        words = np.where(hits["reverse"][here, None], 3 - words[:, ::-1], words)
        p[here] = scores.tail[scores.steps[np.arange(len(scores.steps)), words].sum(axis=1) - scores.lowest]
    return p


def cut_table(folder: Path, motifs: list, background: np.ndarray, tools: Mapping[str, list[str]], threads: int) -> str:
    """Return a table of the true p of every tool's cuts: mean, greatest, and how many exceed the threshold."""
    short = [motif for motif in motifs if len(motif) <= WIDEST]
    of_tool: dict[str, list[float]] = {OURS: [], "lightmotif's own cuts": []}
    import lightmotif

    for motif in short:
        scores = motif_scores(motif, background)
        of_tool[OURS].append(true_p(scores.steps.astype(float), background, scores.cut(P_THRESHOLD), False))
        matrix = lightmotif.ScoringMatrix(
            {base: (column * STEP).tolist() for base, column in zip(BASES, scores.steps.T, strict=True)}
        )
        of_tool["lightmotif's own cuts"].append(true_p(scores.steps * STEP, background, matrix.score(P_THRESHOLD), False))
    for name in (MEMELITE, MOODS):
        run([*tools[name], "--cuts"], threads)
        with np.load(folder / f"{MODULES[name]}.npz") as cuts:
            of_tool[name] = [
                true_p(
                    cuts[f"scores {motif.id}"], background,
                    float(cuts[f"above {motif.id}"] if name == MEMELITE else cuts[f"from {motif.id}"]), name == MEMELITE,
                )
                for motif in short
            ]  # fmt: skip
    # A motif that cannot reach the threshold has no cut to speak of: its best word is likelier.
    able = np.array([motif_scores(motif, background, P_THRESHOLD).tail[-1] <= P_THRESHOLD for motif in short])
    rows = [
        f"| {able.sum()} motifs of at most {WIDEST} bases | mean true p | greatest | above {P_THRESHOLD:g} |",
        "|---|---|---|---|",
    ]
    for name, values in of_tool.items():
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
            print(f"{spread(wall)} s, {spread(processors)} s of processors; {machine}")
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
                compared.append(f"{tool}: " + compare(ours, only(dict(hits), able), codes, motifs, background))
        cuts = cut_table(folder, motifs, background, tools, arguments.threads)
        versions = json.loads(
            subprocess.run([python, "-c", VERSIONS], capture_output=True, text=True, check=True).stdout.splitlines()[-1]
        )
    speeds = {name: (1 / SHARE**2 if name == FIMO else 1) / values[0] for name, values in seconds.items()}
    rows = ratio_table(speeds, OURS, "scans/s")
    times = bullets([f"{name}: {spread(values[0])}; of processors {spread(values[1])}" for name, values in seconds.items()])
    said = [
        f"{datetime.date.today()}: `python benchmarks/motifs.py --runs {arguments.runs} --threads {arguments.threads} "
        f"--windows {arguments.windows} --motifs {arguments.motifs}`",
        f"{machine}; {arguments.threads} cores for every tool",
        ", ".join(f"{package} {version}" for package, version in versions.items()),
        f"{arguments.runs} rounds after one that is not counted; in each, the tools are run one after the other",
    ]
    equal = [
        f"{arguments.windows:,} random windows of 2 kb, the first {arguments.motifs} motifs of JASPAR 2026's vertebrates, both "
        f"strands, p ≤ {P_THRESHOLD:g}; every process reads windows and motifs, and writes all hits",
    ]
    unequal = [
        "Cisnake reads HDF5 and writes p, q and genome coordinates with its hits, compressed; the others read FASTA and write "
        "motif, window, position and strand, as arrays",
        f"Cisnake has {arguments.threads} processes, memelite as many threads; MOODS and FIMO have one",
        "FIMO is given a tenth of the windows and of the motifs; its scans/s are a hundredth of what it reached on them",
        "memelite's compiled code is on the disk after the round that is not counted (it takes some ten seconds to compile)",
    ]
    text = (
        f"## Motifs\n\nWhole processes:\n\n{rows}\n\nSeconds:\n\n{times}\n\nWhat stands behind p ≤ {P_THRESHOLD:g}, "
        f"from all words under the windows' base composition:\n\n{cuts}\n\nHits of motifs that can reach the threshold:\n\n"
        f"{bullets(compared)}\n\nEqual:\n\n"
        f"{bullets(equal)}\n\nNot equal:\n\n{bullets(unequal)}\n\nMeasured:\n\n{bullets(said)}"
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
