"""Choose the genes of a coverage run and place their windows.

Brings annotation, genome and tiles together and writes one row for each gene kept (its TSS, its window, the gene body in it,
its split: that of the tiles that it shares bases with), one for each gene left out with the reason, the counts of both, and
one row for each track.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd

from cisnake import program
from cisnake.data.annotation import exons_of_genome
from cisnake.data.coverage import GeneBins, read_tracks
from cisnake.data.genome import Genome
from cisnake.data.windows import (
    add_selection_options,
    assign_genes,
    read_annotation,
    require_genes,
    select_genes,
    write_selection,
)
from cisnake.files import read_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    add_selection_options(p)
    p.add_argument("--tiles", type=Path, required=True, metavar="TSV", help="tiles.tsv of make_tiles.py")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks")
    p.add_argument("--data-dir", type=Path, default=Path(), metavar="DIR", help="where its files are (default: here)")
    p.add_argument("--gene-score", type=json.loads, required=True, metavar="JSON", help="region, upstream, downstream")
    p.add_argument("--bin-size", type=int, required=True, metavar="BASES")
    p.add_argument("--crop", type=int, default=0, metavar="BASES", help="at either end, without bins (default: 0)")
    return p


def main(args: argparse.Namespace) -> None:
    genome = Genome(args.genome)
    annotated, tss = read_annotation(args)
    integers = dict.fromkeys(("window_start", "window_end", "fold"), "int64")
    tiles, tracks = read_table(args.tiles, **integers), read_tracks(args.tracks, args.data_dir)
    placed, dropped, summary = select_genes(annotated, tss, genome, args.annotation, args.windows)
    exons = exons_of_genome(args.gtf, genome.sizes) if args.gene_score["region"] == "exons" else None
    bins = GeneBins(placed, **args.gene_score, bin_size=args.bin_size, crop=args.crop, exons=exons).present()
    reason = {"reason": "no_bins", "detail": f"nothing of its {args.gene_score['region']} lies in the bins of its window"}
    kept, elsewhere = assign_genes(placed[bins], tiles, args.windows["max_shift"])
    dropped = pd.concat([table[dropped.columns] for table in (dropped, placed[~bins].assign(**reason), elsewhere)])
    require_genes(kept, dropped)
    tasks = tracks.rename(columns={"identifier": "task"})[["task", "group", "description"]]
    write_selection(args, kept, dropped, tasks, summary | {"n_tasks": len(tasks)})


if __name__ == "__main__":
    program.run(main, parser())
