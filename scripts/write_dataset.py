"""Write the HDF5 data set: windows, gene bodies and labels of the chosen genes.

Sequences are read from the genome on the gene's strand, labels from the matrix; labels are transformed with statistics of
the training genes alone (with folds, whose training genes differ, of all genes).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import __version__, program
from cisnake.data import hdf5, matrix
from cisnake.data.genes import read_genes_table
from cisnake.data.genome import Genome
from cisnake.files import file_sha256


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv of select_genes.py")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--matrix", type=Path, required=True, metavar="TSV", help="genes by tasks")
    p.add_argument("--transform", choices=matrix.TRANSFORMS, default="none", help="of the labels (default: none)")
    p.add_argument("--max-shift", type=int, default=0, metavar="BASES", help="by which training may move a window (default: 0)")
    p.add_argument("--folds", type=int, default=1, help="number of folds; 1 for one fixed split (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    return p


def main(args: argparse.Namespace) -> None:
    genes = read_genes_table(args.genes)
    matrix_genes, tasks, values = matrix.read_matrix(args.matrix)
    # With folds there is one file for models of different training genes: two numbers a task are then of all genes.
    in_training = (genes["split"] == "train").to_numpy() | (args.folds > 1)
    labels = matrix.transform_labels(values[matrix.find_rows(matrix_genes, genes["matrix_id"])], args.transform, in_training)
    attributes = {
        "target_transform": args.transform,
        "n_folds": args.folds,
        "genome": args.genome.name,
        "genome_sha256": file_sha256(args.genome),
        "matrix_sha256": file_sha256(args.matrix),
        "genes_sha256": file_sha256(args.genes),
        "cisnake_version": __version__,
    }
    hdf5.write_dataset(args.output, genes, labels, tasks, Genome(args.genome), args.max_shift, attributes)
    program.log.info("%d genes, %d tasks written to %s", len(genes), len(tasks), args.output)


if __name__ == "__main__":
    program.run(main, parser())
