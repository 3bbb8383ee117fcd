"""Find pairs of motifs in peaks: clusters that genes have together, and at a preferred distance and orientation.

Each peak is named by its best hit of these clusters. Genes with both clusters are compared with what
independence would give; the distances of their nearest sites with those after the sites of the second cluster were exchanged
between these genes, which keeps each cluster's own place from the TSS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import pair_table, read_places


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--hits", type=Path, required=True, metavar="TSV", help="hits.tsv of the contrast")
    p.add_argument("--enrichment", type=Path, required=True, metavar="TSV", help="enrichment.tsv of the contrast")
    p.add_argument("--top", type=int, default=20, metavar="N", help="clusters of motifs to pair, best first (default 20)")
    p.add_argument("--max-distance", type=int, default=200, metavar="BASES", help="greatest distance looked at (default 200)")
    p.add_argument("--permutations", type=int, default=1000, metavar="N", help="of the positions, for each pair (default 1000)")
    p.add_argument("--seed", type=int, default=0, help="of the permutations (default 0)")
    p.add_argument("--processes", type=int, default=1, help="how many work at a time (default 1)")
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="pairs.tsv: a row a pair of clusters")
    return p


def main(args: argparse.Namespace) -> None:
    places = read_places(args.hits, read_table(args.enrichment), args.top)
    table = pair_table(places, args.max_distance, args.permutations, args.seed, args.processes)
    write_table(table, args.output)
    together, spaced = ((table[name] <= 0.05).sum() for name in ("q_value", "spacing_q_value"))
    program.log.info("%d pairs of clusters: %d occur together, %d at a preferred distance", len(table), together, spaced)


if __name__ == "__main__":
    program.run(main, parser())
