"""Speed of reading windows, and their size on disk, beside Decima: random order, moved at random, the same windows.

Each side reads its own file, from the disk (what the system keeps of the file in memory is dropped first) and from memory.
Writes the section on loading of docs/performance.md.
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

# For `make_files`, which writes our file with our own writer.
sys.path.append(str(Path(__file__).resolve().parent.parent / "scripts"))

OURS, DECIMA = "Cisnake", "Decima"
KINDS = {
    (OURS, "alone"): "Cisnake `HDF5Dataset`, one thread",
    (OURS, "threads"): "the same, two threads",
    (OURS, "fit"): "the same as Keras's `fit` takes it",
    (DECIMA, "1"): "Decima `HDF5Dataset` in a DataLoader, 1 worker",
    (DECIMA, "2"): "the same, 2 workers",
}


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="counted rounds (default 3)")
    parser.add_argument("--threads", type=int, default=2, metavar="N", help="threads and cores of every peer (default 2)")
    parser.add_argument("--python", type=Path, metavar="FILE", help="Python of an environment with Decima (default: of --envs)")
    parser.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="FOLDER", help="where the environment of Decima is, or is made"
    )
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="page (default docs/performance.md)")
    return parser


def speed_table(speeds: dict[tuple[str, str], np.ndarray], state: str) -> str:
    """Return a Markdown table of examples a second by window, and of the ratio of `fit` to the faster of Decima's."""
    lengths = list(WINDOWS)
    rows = ["| examples/s | " + " | ".join(f"{length:,} bp" for length in lengths) + " |", "|---" * (len(lengths) + 1) + "|"]
    for (name, kind), title in KINDS.items():
        rows.append(f"| {title} | " + " | ".join(spread(speeds[name, f"{x} {state} {kind}"]) for x in lengths) + " |")
    for kind, title in (
        ("alone", "one thread ÷ Decima's faster"),
        ("threads", "two threads ÷ Decima's faster"),
        ("fit", "`fit` ÷ Decima's faster"),
    ):
        ratios = []
        for length in lengths:
            fastest = max((speeds[DECIMA, f"{length} {state} {workers}"] for workers in (1, 2)), key=np.median)
            ratios.append(spread(speeds[OURS, f"{length} {state} {kind}"] / fastest))
        rows.append(f"| {title} | " + " | ".join(ratios) + " |")
    return "\n".join(rows)


def size_table(sizes: dict[int, tuple[int, int]]) -> str:
    """Return a Markdown table of bytes on disk, (ours, Decima's) by length of window."""
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
        f"window moved by up to a hundredth of its length ({', '.join(f'{shift_of(x):,}' for x in WINDOWS)}), {TASKS:,} tasks, "
        f"batches of {', '.join(str(batch) for _, batch in WINDOWS.values())}, float32 one-hot with the gene body as a fifth "
        "channel",
        "Decima's file has the layout of its writer: bases int8 and gene bodies float32, contiguous and not compressed",
        "from the disk: what the system keeps of the file is dropped (`posix_fadvise`) before an epoch; what a virtual "
        "machine's host keeps is not",
    ]
    measured = [
        f"{datetime.date.today()}: `python benchmarks/loading.py --runs {arguments.runs} --threads {arguments.threads}`",
        f"{machine}; {arguments.threads} cores for every peer, worker processes included",
        "; ".join(f"{name}: {said}" for name, said in versions.items()),
        f"{arguments.runs} rounds after one that is not counted; in each, the peers are timed one after the other",
    ]
    text = f"""## Loading

From memory, median (range):

{speed_table(speeds, "warm")}

From the disk:

{speed_table(speeds, "cold")}

Size on disk:

{size_table(sizes)}

Equal:

{bullets(equal)}

Measured:

{bullets(measured)}
"""
    write_section(arguments.output, "loading", text)
    print(f"{text}\nwritten to {arguments.output}")


if __name__ == "__main__":
    main()
