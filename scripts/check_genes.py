"""Check a list of genes to attribute against the selected genes, before any network is trained.

Writes the listed genes that were selected. Ids that the annotation lacks are an error, and so is a list of dropped genes only;
if some of the listed genes were dropped, a warning names them with the reason.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.data.windows import check_list
from cisnake.files import read_table, write_whole


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--list", type=Path, required=True, metavar="FILE", help="one gene id per line (attribution.genes)")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv of the run")
    p.add_argument("--dropped", type=Path, required=True, metavar="TSV", help="genes_dropped.tsv of the run")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help="one gene id per line")
    return p


def main(args: argparse.Namespace) -> None:
    genes = check_list(args.list, read_table(args.genes), read_table(args.dropped))
    with write_whole(args.output) as part:
        part.write_text("".join(f"{gene}\n" for gene in genes), encoding="utf-8")
    program.log.info("%d genes of %s are attributed", len(genes), args.list)


if __name__ == "__main__":
    program.run(main, parser())
