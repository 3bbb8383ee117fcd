"""Cluster similar motifs once for all contrasts, and name each cluster after one motif.

The representative of a cluster is its motif with the smallest p-value of enrichment in any contrast. Writes the table of
clusters, and the enrichment of each contrast with the cluster of each motif.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data import read_meme
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import enrichment_table, name_clusters


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "cluster_motifs")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned")
    p.add_argument(
        "--folder",
        type=Path,
        required=True,
        help="folder with <contrast>/tests.tsv from enrich_motifs.py; enrichment.tsv is written beside each",
    )
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="clusters.tsv, one row per motif")
    return p


def main(args: argparse.Namespace) -> None:
    contrasts = list(configuration.read(args, "cluster_motifs").attribution.contrasts)
    tests = {name: read_table(args.folder / name / "tests.tsv") for name in contrasts}
    clusters = name_clusters(read_meme(args.motifs), tests)
    for name, table in tests.items():
        write_table(enrichment_table(table, clusters), args.folder / name / "enrichment.tsv")
    write_table(clusters, args.output)
    program.log.info("%d motifs in %d clusters", len(clusters), clusters["cluster"].nunique())


if __name__ == "__main__":
    program.run(main, parser())
