"""Export motif hits in whole windows as a table, or as BED for a genome browser.

The input is hits.h5 from scan_motifs.py, which stores all hits in a compact format. Genes and motifs can be selected.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.files import write_whole
from cisnake.interpret.motifs import HitFile, bed_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--hits", type=Path, required=True, metavar="H5", help="all hits, from scan_motifs.py")
    p.add_argument("--genes", nargs="+", metavar="ID", help="genes to export (default: all)")
    p.add_argument("--motifs", nargs="+", metavar="ID", help="motifs to export (default: all)")
    p.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="output file: BED6 if the name ends in .bed, otherwise TSV"
    )
    return p


def main(args: argparse.Namespace) -> None:
    file, bed, n = HitFile(args.hits), args.output.suffix == ".bed", 0
    with write_whole(args.output) as part, open(part, "w", encoding="utf-8", newline="") as output:
        for number, table in enumerate(file.tables(args.genes, args.motifs)):
            written = bed_table(table) if bed else table
            written.to_csv(output, sep="\t", index=False, header=not bed and number == 0, float_format="%.7g")
            n += len(table)
    program.log.info("%d hits", n)


if __name__ == "__main__":
    program.run(main, parser())
