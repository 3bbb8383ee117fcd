"""Compare the speed of reading windows, and their size on disk, with Decima: same windows, random order, random shifts.

Each program reads its own file, from disk (after dropping the file from the page cache) and from memory. Writes the loading
section of docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import sys
import tempfile
from pathlib import Path

import numpy as np
from environments import DEFAULT_FOLDER, python_of
from machine import describe_machine
from measurement import Peer, check_equal, measure, running
from peers.loading_files import TASKS, WINDOWS, make_files, our_file, shift_of, their_file
from report import OUTPUT, bullets, spread, write_section

# `make_files` uses Cisnake's writer.
sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

OURS, DECIMA = "Cisnake", "Decima"
KINDS = {
    (OURS, "alone"): "Cisnake `HDF5Dataset`, one thread",
    (OURS, "threads"): "the same, two threads",
    (OURS, "fit"): "the same, read by Keras's `fit`",
    (DECIMA, "1"): "Decima `HDF5Dataset` in a DataLoader, 1 worker",
    (DECIMA, "2"): "the same, 2 workers",
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="counted rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads and cores per peer (default 2)")
    parser.add_argument(
        "--python", type=Path, metavar="FILE", help="Python of an environment with Decima (default: the one in --envs)"
    )
    parser.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="folder of Decima's environment, created if missing"
    )
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, metavar="FILE", help="page to write (default docs/performance.md)"
    )
    return parser


def speed_table(speeds: dict[tuple[str, str], np.ndarray], state: str) -> str:
    """Return a Markdown table of examples per second by window length, with ratios to the faster of Decima's two."""
    lengths = list(WINDOWS)
    rows = ["| examples/s | " + " | ".join(f"{length:,} bp" for length in lengths) + " |", "|---" * (len(lengths) + 1) + "|"]
    for (name, kind), title in KINDS.items():
        rows.append(f"| {title} | " + " | ".join(spread(speeds[name, f"{x} {state} {kind}"]) for x in lengths) + " |")
    for kind, title in (
        ("alone", "one thread ÷ faster Decima row"),
        ("threads", "two threads ÷ faster Decima row"),
        ("fit", "`fit` ÷ faster Decima row"),
    ):
        ratios = []
        for length in lengths:
            fastest = max((speeds[DECIMA, f"{length} {state} {workers}"] for workers in (1, 2)), key=np.median)
            ratios.append(spread(speeds[OURS, f"{length} {state} {kind}"] / fastest))
        rows.append(f"| {title} | " + " | ".join(ratios) + " |")
    return "\n".join(rows)


def size_table(sizes: dict[int, tuple[int, int]]) -> str:
    """Return a Markdown table of file sizes; `sizes` has bytes, (ours, Decima's), by window length."""
    rows = ["| windows | Cisnake, MB | Decima, MB | Decima ÷ Cisnake |", "|---|---|---|---|"]
    for length, (ours, theirs) in sizes.items():
        rows.append(f"| {WINDOWS[length][0]} of {length:,} bp | {ours / 1e6:.1f} | {theirs / 1e6:.1f} | {theirs / ours:.1f} |")
    return "\n".join(rows)


def main() -> None:
    arguments, machine = parser().parse_args(), describe_machine()
    python = arguments.python or python_of("decima", arguments.envs)
    peers = {OURS: Peer(Path(sys.executable), "cisnake_loading"), DECIMA: Peer(python, "decima_loading")}
    with tempfile.TemporaryDirectory(prefix="cisnake-benchmark-") as name:
        folder = Path(name)
        for length in WINDOWS:
            make_files(folder, length)
        sizes = {x: (our_file(folder, x).stat().st_size, their_file(folder, x).stat().st_size) for x in WINDOWS}
        with running(peers, {"files": name}, arguments.threads) as workers:
            check_equal(workers, "probe", 1e-6)
            blocks = [(name, f"{x} {state} {kind}") for x in WINDOWS for state in ("cold", "warm") for name, kind in KINDS]
            speeds = measure(workers, blocks, arguments.runs)
            versions = {k: ", ".join(f"{p} {v}" for p, v in w.ready["versions"].items()) for k, w in workers.items()}
    equal = [
        "the same windows, gene bodies and labels, read back from both files and compared; an epoch in random order, each "
        f"window shifted by up to a hundredth of its length ({', '.join(f'{shift_of(x):,}' for x in WINDOWS)}), {TASKS:,} "
        f"tasks, batches of {', '.join(str(batch) for _, batch in WINDOWS.values())}, float32 one-hot with the gene body as a "
        "fifth channel",
        "Decima's file has the layout of its own writer: bases int8 and gene bodies float32, contiguous and uncompressed",
        "from disk: the file is dropped from the page cache (`posix_fadvise`) before an epoch, but not from the cache "
        "of a virtual machine's host",
    ]
    measured = [
        f"{datetime.date.today()}: `python benchmarks/loading.py --runs {arguments.runs} --threads {arguments.threads}`",
        f"{machine}; {arguments.threads} cores per peer, including worker processes",
        "; ".join(f"{name}: {packages}" for name, packages in versions.items()),
        f"{arguments.runs} rounds after one warm-up round; in each, the peers are timed one after the other",
    ]
    text = f"""## Loading

From memory, median (range):

{speed_table(speeds, "warm")}

From disk:

{speed_table(speeds, "cold")}

Size on disk:

{size_table(sizes)}

Equal:

{bullets(equal)}

Measured:

{bullets(measured)}
"""
    write_section(arguments.output, "loading", text)
    print(f"{text}\nWrote {arguments.output}")


if __name__ == "__main__":
    main()
