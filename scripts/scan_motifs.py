"""Scan the windows of genes for motifs, once for all contrasts.

Requires no model, so it can run in parallel with training. Every window is scanned on both strands. p-values are relative to
the base composition of the windows, or of windows with similar GC content; q-values cover all motifs and genomic positions.
enrich_motifs.py then finds the motifs that are enriched in the peaks of a contrast; export_hits.py writes a table of the hits.
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
    p.add_argument("--gene-list", type=Path, metavar="FILE", help="one gene id per line (default: attribution.genes)")
    p.add_argument("--processes", type=int, default=1, help="number of processes (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="H5", help="file of all hits")
    return p


def main(args: argparse.Namespace) -> None:
    # Imported here, because the scanning processes import this file too and do not need these modules.
    from cisnake.data import read_meme
    from cisnake.interpret.motifs import scan_genes

    settings = configuration.read(args, "scan_motifs")
    collection = read_meme(args.motifs)
    scan = scan_genes(
        args.dataset,
        str(args.gene_list or settings.attribution.genes),
        collection,
        args.output,
        p_threshold=settings.motifs.p_threshold,
        gc_classes=settings.motifs.gc_classes,
        processes=args.processes,
    )
    program.log.info(
        "%d hits of %d motifs in %d genes, among %d scanned positions", scan.n_hits, len(collection), scan.n_genes, scan.n_tests
    )
    if scan.best_only:
        examples = ", ".join(scan.best_only[:10]) + (", ..." if len(scan.best_only) > 10 else "")
        program.log.info(
            "%d motifs are too short to reach p <= %g; only their best-scoring sequences count as hits: %s",
            len(scan.best_only), settings.motifs.p_threshold, examples,
        )  # fmt: skip


if __name__ == "__main__":
    program.run(main, parser())
