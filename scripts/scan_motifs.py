"""Scan the windows of all genes with motifs, and test which motifs stand in peaks of attribution.

Every window is scanned on both strands; p-values are against the base composition of the windows. A hit that overlaps a peak
is marked as such, and gets the attribution of its site. Motifs are then ranked by how much more often they have a hit in a
peak than in windows beside it, and grouped by similarity.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.data import motif_database
from cisnake.files import read_table, write_table
from cisnake.interpret import motif_enrichment, motifs
from cisnake.interpret.attribution_file import AttributionFile


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--attributions", type=Path, required=True, metavar="H5", help="attributions of one contrast")
    p.add_argument("--peaks", type=Path, required=True, metavar="TSV", help="its peaks, from call_peaks.py")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="motifs, from fetch_motifs.py")
    p.add_argument(
        "--p-threshold",
        type=float,
        default=1e-4,
        help="greatest p-value of a hit; a motif too short for it is matched by its best words alone (default: 1e-4)",
    )
    p.add_argument("--flank", type=int, default=5, help="bases added to both sides of a peak (default: 5)")
    p.add_argument("--processes", type=int, default=1, help="processes that scan (default: 1)")
    p.add_argument("--seed", type=int, default=0, help="seed of the draw of background windows (default: 0)")
    p.add_argument("--output-hits", type=Path, required=True, metavar="TSV", help="table of hits")
    p.add_argument("--output-bed", type=Path, required=True, metavar="BED", help="the same for a genome browser")
    p.add_argument("--output-enrichment", type=Path, required=True, metavar="TSV", help="table of motifs, best first")
    return p


def main(args: argparse.Namespace) -> None:
    peaks = read_table(args.peaks, window_start="int", window_end="int", attribution="float")
    collection = motif_database.read_meme(args.motifs)
    names = ("p_threshold", "flank", "processes", "seed")
    scan = motifs.write_scan(
        AttributionFile(args.attributions), peaks, collection, args.output_hits, args.output_bed,
        **{name: getattr(args, name) for name in names},
    )  # fmt: skip
    enrichment = motif_enrichment.enrichment_table(collection, scan.counts)
    write_table(enrichment, args.output_enrichment)
    program.log.info("%d hits of %d motifs among %d sites", scan.n_hits, len(collection), scan.n_tests)
    if scan.best_only:
        some = ", ".join(scan.best_only[:10])
        program.log.info(
            "%d motifs are too short for p <= %g and are matched by their best words alone: %s%s",
            len(scan.best_only), args.p_threshold, some, ", ..." if len(scan.best_only) > 10 else "",
        )  # fmt: skip
    significant = int((enrichment["q_value"] <= 0.05).sum())
    program.log.info("%d motifs enriched in peaks at q <= 0.05", significant)


if __name__ == "__main__":
    program.run(main, parser())
