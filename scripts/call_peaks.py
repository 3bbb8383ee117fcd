"""Call peaks of attribution: the short spans of each gene's window that drive its score, up or down.

recursive_seqlets takes spans in which every sub-span is unlikely given the distribution of all attributions of the file;
find_attr_peaks takes the highest local maxima of each gene; tfmodisco_seqlets takes windows whose sum is larger than expected
under a fitted null distribution. All call peaks of either sign. If the file has attributions of shuffled windows, each peak
gets an empirical q-value.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.files import write_table
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.peaks import PEAK_METHODS, call_peaks, peak_method, write_bed


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--method", choices=list(PEAK_METHODS), default="recursive_seqlets")
    p.add_argument("--threshold", type=float, default=0.01, help="recursive_seqlets: greatest p of a span (default: 0.01)")
    p.add_argument("--min-length", type=int, default=4, help="recursive_seqlets: shortest span in bases (default: 4)")
    p.add_argument("--max-length", type=int, default=25, help="recursive_seqlets: longest span in bases (default: 25)")
    p.add_argument("--n", type=int, default=5, help="find_attr_peaks: peaks of each sign kept per gene (default: 5)")
    p.add_argument("--min-dist", type=int, default=6, help="find_attr_peaks: least bases between two peaks (default: 6)")
    p.add_argument(
        "--height", type=float, default=3.0, help="find_attr_peaks: least height in standard deviations (default: 3)"
    )
    p.add_argument("--window", type=int, default=21, help="tfmodisco_seqlets: bases that are summed (default: 21)")
    p.add_argument("--flank", type=int, default=10, help="tfmodisco_seqlets: bases kept free on both sides (default: 10)")
    p.add_argument("--precision", type=float, default=0.8, help="tfmodisco_seqlets: precision aimed at (default: 0.8)")
    p.add_argument("--max-q", type=float, help="leave out peaks of a greater q-value (default: keep all)")
    p.add_argument("--output-tsv", type=Path, required=True, metavar="TSV", help="table of peaks")
    p.add_argument("--output-bed", type=Path, required=True, metavar="BED", help="the same for a genome browser")
    return p


def main(args: argparse.Namespace) -> None:
    file = AttributionFile(args.attributions)
    peaks = call_peaks(file, peak_method(args.method, vars(args)), args.max_q)
    write_table(peaks, args.output_tsv)
    write_bed(peaks, args.output_bed)
    positive, sure = int((peaks["attribution"] > 0).sum()), int((peaks["q_value"] <= 0.1).sum())
    described = f"{positive} positive" + (f", {sure} with q <= 0.1" if file.n_null else "")
    program.log.info("%d peaks (%s) in %d of %d genes", len(peaks), described, peaks["gene_id"].nunique(), len(file))


if __name__ == "__main__":
    program.run(main, parser())
