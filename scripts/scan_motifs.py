"""Scan the windows of genes with motifs, once for all contrasts: needs no model, so that it can run beside training.

Every window is scanned on both strands. p-values are against the base composition of the windows, or of windows of similar
GC content; q-values are over all motifs and positions of the genome. enrich_motifs.py then says which motifs stand in
peaks of a contrast; export_hits.py makes a table of the hits.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "scan_motifs")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="windows, from write_dataset.py")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="motifs, from fetch_motifs.py")
    p.add_argument("--processes", type=int, default=1, help="processes that scan (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="H5", help="all hits")
    return p


def main(args: argparse.Namespace) -> None:
    # Not above: the processes that scan import this file too, and have no use for these.
    from cisnake.data import read_meme
    from cisnake.interpret.motifs import scan_genes

    settings = configuration.read(args, "scan_motifs")
    collection = read_meme(args.motifs)
    scan = scan_genes(
        args.dataset,
        settings.attribution.genes,
        collection,
        args.output,
        p_threshold=settings.motifs.p_threshold,
        gc_classes=settings.motifs.gc_classes,
        processes=args.processes,
    )
    program.log.info(
        "%d hits of %d motifs in %d genes, among %d sites", scan.n_hits, len(collection), scan.n_genes, scan.n_tests
    )
    if scan.best_only:
        some = ", ".join(scan.best_only[:10]) + (", ..." if len(scan.best_only) > 10 else "")
        program.log.info(
            "%d motifs are too short for p <= %g and are matched by their best words alone: %s",
            len(scan.best_only), settings.motifs.p_threshold, some,
        )  # fmt: skip


if __name__ == "__main__":
    program.run(main, parser())
