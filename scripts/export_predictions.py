"""Add predictions to the AnnData file that the measurements came from, as layers.

Genes that were not scored have NaN. A gene that is in several files of predictions is taken from the first.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import read_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "export_predictions")
    p.add_argument("--matrix", type=Path, required=True, metavar="H5AD", help="obs tasks, var genes")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv of select_genes.py")
    p.add_argument("--predictions", type=Path, required=True, nargs="+", metavar="H5AD", help="of evaluate_model.py")
    p.add_argument("--output", type=Path, required=True, metavar="H5AD")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.evaluate import export_predictions

    targets = configuration.read(args, "export_predictions").targets
    # Pseudobulks, which cells are summed to, have the gene ids as index.
    gene_column = None if targets.cells else targets.gene_column
    n = export_predictions(args.matrix, args.predictions, read_table(args.genes), args.output, gene_column)
    program.log.info("predictions of %d genes written to %s", n, args.output)


if __name__ == "__main__":
    program.run(main, parser())
