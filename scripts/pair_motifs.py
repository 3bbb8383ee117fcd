"""Find pairs of motif clusters that co-occur in genes, or at a preferred distance and orientation.

Each peak is assigned to the cluster of its best hit. The number of genes with both clusters is compared with the expectation
under independence. Distances between the nearest sites are compared with a null distribution from permutations of the sites of
the second cluster between genes, which preserve the position of each cluster relative to the TSS.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import pair_table, read_places


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "pair_motifs")
    p.add_argument("--hits", type=Path, required=True, metavar="TSV", help="hits.tsv of the contrast")
    p.add_argument("--enrichment", type=Path, required=True, metavar="TSV", help="enrichment.tsv of the contrast")
    p.add_argument("--processes", type=int, default=1, help="number of processes (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="pairs.tsv, one row per pair of clusters")
    return p


def main(args: argparse.Namespace) -> None:
    settings = configuration.read(args, "pair_motifs")
    pairs = settings.motifs.pairs
    places = read_places(args.hits, read_table(args.enrichment), pairs.top)
    table = pair_table(places, pairs.max_distance, pairs.permutations, settings.run.seed, args.processes)
    write_table(table, args.output)
    cooccurring, spaced = ((table[name] <= 0.05).sum() for name in ("q_value", "spacing_q_value"))
    program.log.info("%d pairs of clusters: %d co-occur, %d have a preferred distance", len(table), cooccurring, spaced)


if __name__ == "__main__":
    program.run(main, parser())
