"""Add predictions as layers to the AnnData file of the measurements.

Genes without predictions are NaN. If a gene is in several files of predictions, the first one is used.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import read_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "export_predictions")
    p.add_argument("--matrix", type=Path, required=True, metavar="H5AD", help="measurements (obs: tasks, var: genes)")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv from select_genes.py")
    p.add_argument(
        "--predictions", type=Path, required=True, nargs="+", metavar="H5AD", help="predictions from evaluate_model.py"
    )
    p.add_argument("--output", type=Path, required=True, metavar="H5AD")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.evaluate import export_predictions

    targets = configuration.read(args, "export_predictions").targets
    # In pseudobulks, gene ids are the index.
    gene_column = None if targets.cells else targets.gene_column
    n = export_predictions(args.matrix, args.predictions, read_table(args.genes), args.output, gene_column)
    program.log.info("predictions of %d genes written to %s", n, args.output)


if __name__ == "__main__":
    program.run(main, parser())
