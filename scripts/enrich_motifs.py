"""Find motif hits in the peaks of a contrast, and test which motifs are enriched there.

A hit that overlaps a peak gets the attribution of its site. Motifs are ranked by the enrichment of hits in peaks relative to
windows beside the peaks, with every genomic locus counted once. cluster_motifs.py adds clusters of similar motifs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "enrich_motifs")
    p.add_argument("--hits", type=Path, required=True, metavar="H5", help="all hits, from scan_motifs.py")
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--peaks", type=Path, required=True, metavar="TSV", help="peaks of the contrast, from call_peaks.py")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned")
    p.add_argument("--processes", type=int, default=1, help="number of processes (default: 1)")
    p.add_argument("--output-hits", type=Path, required=True, metavar="TSV", help="table of hits in peaks")
    p.add_argument("--output-bed", type=Path, required=True, metavar="BED", help="the hits in peaks for a genome browser")
    p.add_argument("--output-tests", type=Path, required=True, metavar="TSV", help="tests of all motifs, best first")
    return p


def main(args: argparse.Namespace) -> None:
    # Imported here, because the processes that this starts import this file too.
    from cisnake.data import read_meme
    from cisnake.files import read_table, write_table
    from cisnake.interpret.attribution import AttributionFile
    from cisnake.interpret.motifs import HitSearch, enrichment_tests, write_hits_in_peaks

    settings = configuration.read(args, "enrich_motifs")
    peaks = read_table(args.peaks, window_start="int", window_end="int", attribution="float")
    motifs = read_meme(args.motifs)
    counts = write_hits_in_peaks(
        args.hits, AttributionFile(args.attributions), peaks, motifs, args.output_hits, args.output_bed,
        HitSearch(settings.motifs.flank, settings.run.seed, args.processes),
    )  # fmt: skip
    tests = enrichment_tests(motifs, counts)
    write_table(tests, args.output_tests)
    program.log.info(
        "%d of %d peaks are distinct loci; %d background windows beside them", counts.n_peaks, len(peaks), counts.n_background
    )
    significant = int((tests["q_value"] <= 0.05).sum())
    program.log.info("%d of %d motifs enriched in peaks at q <= 0.05", significant, len(motifs))


if __name__ == "__main__":
    program.run(main, parser())
