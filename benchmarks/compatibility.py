"""Check that Decima and Cisnake read each other's files, and their own, with identical results.

Both write a small data set of the same genes. Each reads both files with every function that Decima has for them. If any value
differs, the program lists the differences and exits with status 1.
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
        "--envs",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="DIR",
        help=f"folder of the peers' environments (default {DEFAULT_FOLDER})",
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep inputs, files and Decima's results in this folder (tests/data/dataset/decima)",
    )
    return parser


def make_files(folder: Path, python: Path) -> None:
    """Write the files of both programs, and read them with Decima."""

    def decima(*arguments: object) -> None:
        # By path: with -m, decima_files.py could be imported in place of the package decima.
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
    """Return the names of differing values for each comparison."""
    differing = {}
    for name in ("decima", "cisnake"):
        with np.load(folder / f"decima_of_{name}.npz") as theirs:
            differing[f"results for {name}.h5"] = cisnake_files.differences(
                cisnake_files.read(folder / f"{name}.h5"), dict(theirs)
            )
    differing["contents of the files"] = compare_files(folder / "cisnake.h5", folder / "decima.h5")
    return differing


def compare_files(ours: Path, theirs: Path) -> list[str]:
    """Return the names of the data sets of Decima's file that differ in ours, over the genes that both files have."""
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
        differing = compare(folder)
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
            for file in FILES:
                shutil.copy(folder / file, arguments.keep / file)
    for what, wrong in differing.items():
        print(f"{what}: {'differ in ' + ', '.join(wrong) if wrong else 'identical'}")
    sys.exit(any(differing.values()))


if __name__ == "__main__":
    main()
