"""Call peaks of attribution: the short spans of each gene's window that drive its score, up or down.

recursive_seqlets takes the spans whose every part is unlikely under the distribution of all attributions of the file;
find_attr_peaks takes the highest local maxima of each gene. Both are run on either sign.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.files import write_table
from cisnake.interpret import peaks
from cisnake.interpret.attribution_file import AttributionFile


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--method", choices=peaks.METHODS, default="recursive_seqlets")
    p.add_argument("--threshold", type=float, default=0.01, help="recursive_seqlets: greatest p of a span (default: 0.01)")
    p.add_argument("--min-length", type=int, default=4, help="recursive_seqlets: shortest span in bases (default: 4)")
    p.add_argument("--max-length", type=int, default=25, help="recursive_seqlets: longest span in bases (default: 25)")
    p.add_argument("--n", type=int, default=5, help="find_attr_peaks: peaks of each sign kept per gene (default: 5)")
    p.add_argument("--min-dist", type=int, default=6, help="find_attr_peaks: least bases between two peaks (default: 6)")
    p.add_argument(
        "--height",
        type=float,
        default=3.0,
        help="find_attr_peaks: least height in standard deviations of all attributions of the file (default: 3)",
    )
    p.add_argument("--output-tsv", type=Path, required=True, metavar="TSV", help="table of peaks")
    p.add_argument("--output-bed", type=Path, required=True, metavar="BED", help="the same for a genome browser")
    return p


def main(args: argparse.Namespace) -> None:
    file = AttributionFile(args.attributions)
    names = ("threshold", "min_length", "max_length", "n", "min_dist", "height")
    found = peaks.call_peaks(file, args.method, **{name: getattr(args, name) for name in names})
    write_table(found, args.output_tsv)
    peaks.write_bed(found, args.output_bed)
    positive = int((found["attribution"] > 0).sum())
    genes = found["gene_id"].nunique()
    program.log.info("%d peaks (%d positive) in %d of %d genes", len(found), positive, genes, len(file))


if __name__ == "__main__":
    program.run(main, parser())
