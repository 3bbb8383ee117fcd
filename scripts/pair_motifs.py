"""Find pairs of motifs in peaks: clusters that genes have together, and at a preferred distance and orientation.

Each peak is named by its best hit of these clusters. Genes with both clusters are compared with what
independence would give; the distances of their nearest sites with those after the sites of the second cluster were exchanged
between these genes, which keeps each cluster's own place from the TSS.
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
    p.add_argument("--processes", type=int, default=1, help="how many work at a time (default 1)")
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="pairs.tsv: a row a pair of clusters")
    return p


def main(args: argparse.Namespace) -> None:
    settings = configuration.read(args, "pair_motifs")
    pairs = settings.motifs.pairs
    places = read_places(args.hits, read_table(args.enrichment), pairs.top)
    table = pair_table(places, pairs.max_distance, pairs.permutations, settings.run.seed, args.processes)
    write_table(table, args.output)
    together, spaced = ((table[name] <= 0.05).sum() for name in ("q_value", "spacing_q_value"))
    program.log.info("%d pairs of clusters: %d occur together, %d at a preferred distance", len(table), together, spaced)


if __name__ == "__main__":
    program.run(main, parser())
