"""Add predictions to the AnnData file that the measurements came from, as layers.

Genes that were not scored have NaN. A gene that is in several files of predictions is taken from the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.files import read_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--matrix", type=Path, required=True, metavar="H5AD", help="obs tasks, var genes")
    p.add_argument("--gene-column", help="column of var that has the gene ids (default: its index)")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv of select_genes.py")
    p.add_argument("--predictions", type=Path, required=True, nargs="+", metavar="H5AD", help="of evaluate_model.py")
    p.add_argument("--output", type=Path, required=True, metavar="H5AD")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.evaluate import export_predictions

    n = export_predictions(args.matrix, args.predictions, read_table(args.genes), args.output, args.gene_column)
    program.log.info("predictions of %d genes written to %s", n, args.output)


if __name__ == "__main__":
    program.run(main, parser())
