"""Call peaks of attribution: short stretches of a gene's window that increase or decrease its score.

The method recursive_seqlets calls spans in which every shorter span is also unlikely, given the distribution of all
attributions in the file; find_attr_peaks calls the highest local maxima of each gene; tfmodisco_seqlets calls spans of fixed
width whose sum is larger than expected under a fitted null distribution. All methods call positive and negative peaks. If the
file has attributions of shuffled windows, each peak is given a q-value estimated from them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import write_table
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.peaks import call_peaks, peak_method, write_bed


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "call_peaks")
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--output-tsv", type=Path, required=True, metavar="TSV", help="table of peaks")
    p.add_argument("--output-bed", type=Path, required=True, metavar="BED", help="the peaks for a genome browser")
    return p


def main(args: argparse.Namespace) -> None:
    settings = configuration.read(args, "call_peaks").peaks
    file = AttributionFile(args.attributions)
    max_q = settings.max_q if settings.max_q < 1 else None
    peaks = call_peaks(file, peak_method(settings.method, vars(settings)), max_q)
    write_table(peaks, args.output_tsv)
    write_bed(peaks, args.output_bed)
    positive, reliable = int((peaks["attribution"] > 0).sum()), int((peaks["q_value"] <= 0.1).sum())
    described = f"{positive} positive" + (f", {reliable} with q <= 0.1" if file.n_null else "")
    program.log.info("%d peaks (%s) in %d of %d genes", len(peaks), described, peaks["gene_id"].nunique(), len(file))


if __name__ == "__main__":
    program.run(main, parser())
