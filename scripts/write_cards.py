"""Write the cards of all genes of a contrast beside the report, which loads them when they are asked for.

Reads the attributions of the contrast, peaks, motif hits, variant effects and predictions from the results folder. Writes a
folder of small scripts, each with the cards of some genes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.report import read_contrast, read_evaluations, read_run_genes
from cisnake.report.cards import CardReader, write_card_files


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "write_cards")
    p.add_argument("--results", type=Path, required=True, metavar="FOLDER", help="results folder of the run")
    p.add_argument("--contrast", required=True, metavar="NAME", help="name of the contrast")
    p.add_argument("--effects", type=Path, metavar="TSV", help="effects of variants (default: none were scored)")
    p.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="report_data/<contrast> in the results folder")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "write_cards")
    contrast = read_contrast(args.results, args.contrast)
    evaluations = read_evaluations(args.results, configured.evaluate.splits)
    genes = contrast.attributions.genes
    reader = CardReader(contrast, read_run_genes(args.results), evaluations, genes, args.effects)
    n = write_card_files(reader, args.output)
    program.log.info("wrote the cards of %d genes in %d files", len(genes), n)


if __name__ == "__main__":
    program.run(main, parser())
