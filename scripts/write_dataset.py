"""Write the HDF5 data set: windows, gene bodies and labels of the selected genes.

Sequences are read from the genome on the strand of the gene, labels from the matrix (those of background regions are 0). Labels
are transformed with statistics of the training genes only (with folds, of the training genes of the fold in which the gene is
held out), and counts per million with the sums over all genes of the matrix, or over those of the annotation.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake import __version__, configuration, program
from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.data.genome import Genome
from cisnake.data.matrix import find_rows, fit_transform, matrix_files, matrix_keys, read_matrix, transform_labels
from cisnake.data.windows import BACKGROUND, is_background, read_genes_table, split_for_fold
from cisnake.errors import InputError
from cisnake.files import digest, file_sha256, read_table
from cisnake.joins import explain_mismatch
from cisnake.sections import Sections


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "write_dataset")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv from select_genes.py")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument(
        "--matrix", type=Path, metavar="FILE", help="matrix: TSV, CSV, GCT, h5ad or Matrix Market (default: no labels)"
    )
    p.add_argument("--tasks", type=Path, metavar="TSV", help="tasks.tsv from select_genes.py (default: those of the matrix)")
    p.add_argument("--dropped", type=Path, metavar="TSV", help="genes_dropped.tsv from select_genes.py, for targets.library")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "write_dataset")
    genes = read_genes_table(args.genes)
    attributes = {
        "n_folds": configured.splits.folds or 1,
        "genome": args.genome.name,
        "genome_sha256": file_sha256(args.genome),
        "genes_sha256": file_sha256(args.genes),
        "cisnake_version": __version__,
    }
    if args.matrix:
        labels = measured_labels(args, configured, genes)
        files = matrix_files(args.matrix)
        attributes["matrix_sha256"] = file_sha256(files[0]) if len(files) == 1 else digest(*files)
    elif args.tasks is None:
        raise InputError("neither --matrix nor --tasks is given: name one of them.")
    else:
        tasks = read_table(args.tasks)["task"].tolist()
        labels = Labels(np.full((len(genes), len(tasks)), np.nan, np.float32), tasks)
    write_dataset(args.output, genes, labels, Genome(args.genome), Layout(configured.windows.max_shift), attributes)
    program.log.info("%d genes, %d tasks written to %s", len(genes), len(labels.tasks), args.output)


def measured_labels(args: argparse.Namespace, configured: Sections, genes: pd.DataFrame) -> Labels:
    """Return the labels of genes: rows of the matrix, transformed."""
    folds = configured.splits.folds or 1
    matrix_genes, tasks, values = read_matrix(args.matrix, *matrix_keys(configured.targets))
    if args.tasks:
        chosen = read_table(args.tasks)["task"].tolist()
        if missing := set(chosen) - set(tasks):
            why = explain_mismatch("the table", chosen, "the matrix", tasks)
            raise InputError(f"{args.matrix} lacks {len(missing)} of the tasks in {args.tasks}: {why}.")
        if chosen != tasks:
            values, tasks = values[:, [tasks.index(task) for task in chosen]], chosen
    if is_background(genes).any():
        matrix_genes, values = matrix_genes.append(pd.Index([BACKGROUND])), np.pad(values, ((0, 1), (0, 0)))
    rows = find_rows(matrix_genes, genes["matrix_id"])
    train = [rows[split_for_fold(genes, fold, folds) == "train"] for fold in range(folds)]
    only_annotated = configured.targets.library == "annotation"
    annotated = None
    if args.dropped:
        annotated = matrix_genes.isin({*genes["matrix_id"], *read_table(args.dropped)["matrix_id"]})
    elif only_annotated:
        raise InputError("targets.library is annotation, which requires --dropped: name genes_dropped.tsv.")
    transform = fit_transform(configured.targets.transform, values, train, matrix_genes, tasks, annotated, only_annotated)
    return Labels(transform_labels(values[rows], transform, genes["fold"].to_numpy()), tasks, transform.to_dict())


if __name__ == "__main__":
    program.run(main, parser())
