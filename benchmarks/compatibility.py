"""Check that Decima and Cisnake read each other's files, and their own, alike: to the last bit.

Both write a small data set of the same genes; each reads both files with every function that Decima has for them. Exits with
status 1 and the names of what differs.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from environments import DEFAULT_FOLDER, python_of
from measurement import HERE

sys.path.append(str(HERE.parent / "scripts"))

from peers import cisnake_files

from cisnake.data.genome import Genome
from cisnake.files import write_table

FILES = ("genome.fa", "genes.tsv", "labels.npy", "decima.h5", "cisnake.h5", "decima_of_decima.npz", "decima_of_cisnake.npz")


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--envs", type=Path, default=DEFAULT_FOLDER, metavar="DIR", help=f"environments of peers (default {DEFAULT_FOLDER})"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep inputs, files and Decima's answers (tests/data/dataset/decima)"
    )
    return parser


def make_files(folder: Path, python: Path) -> None:
    """Let both write their files, and Decima read them."""

    def decima(*arguments: object) -> None:
        # By its path: with -m this very file would stand for the package decima.
        command = [str(python), str(HERE / "peers" / "decima_files.py"), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"Decima failed: {' '.join(command)}\n" + "\n".join(done.stderr.splitlines()[-15:]))

    cisnake_files.make_inputs(folder)
    genes, labels = cisnake_files.read_inputs(folder)
    genome = Genome(folder / "genome.fa")
    cisnake_files.write(genes, labels, genome, folder / "cisnake.h5")
    inside = cisnake_files.within_chromosomes(genes, genome)
    write_table(genes[inside], folder / "inside.tsv")
    np.save(folder / "inside.npy", labels[inside])
    inputs = [folder / name for name in ("inside.tsv", "inside.npy", "genome.fa")]
    decima("write", *inputs, cisnake_files.PAD, folder / "decima.h5")
    for name in ("decima", "cisnake"):
        decima("read", folder / f"{name}.h5", folder / f"decima_of_{name}.npz")


def compare(folder: Path) -> dict[str, list[str]]:
    """Return what differs, by what was compared."""
    found = {}
    for name in ("decima", "cisnake"):
        with np.load(folder / f"decima_of_{name}.npz") as theirs:
            found[f"answers for {name}.h5"] = cisnake_files.differences(cisnake_files.read(folder / f"{name}.h5"), dict(theirs))
    found["contents of the files"] = compare_files(folder / "cisnake.h5", folder / "decima.h5")
    return found


def compare_files(ours: Path, theirs: Path) -> list[str]:
    """Return the data sets of Decima's file whose values ours does not have, in the rows of the genes that both have."""
    with h5py.File(ours) as mine, h5py.File(theirs) as other:
        ids = list(mine["genes"][:, 0])
        rows = [ids.index(gene) for gene in other["genes"][:, 0]]
        wrong = []
        for name, data in other.items():
            per_gene = name in ("genes", "labels", "masks", "sequences")
            value = mine[name][()] if name in mine else None
            same = value is not None and np.array_equal(
                value[rows] if per_gene else value, data[()], equal_nan=data.dtype.kind == "f"
            )
            wrong += [] if same else [name]
        return wrong


def main() -> None:
    arguments = parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="cisnake-decima-") as name:
        folder = Path(name)
        make_files(folder, python_of("decima", arguments.envs))
        found = compare(folder)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for file in FILES:
                shutil.copy(folder / file, arguments.keep / file)
    for what, wrong in found.items():
        print(f"{what}: {'differ in ' + ', '.join(wrong) if wrong else 'the same'}")
    sys.exit(any(found.values()))


if __name__ == "__main__":
    main()
