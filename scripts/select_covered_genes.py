"""Select the genes of a coverage run and place their windows.

Combines annotation, genome and tiles. Writes one row per selected gene (its TSS, its window, the gene body in the window, and
its split, that of the overlapping tiles), one row per dropped gene with the reason, the counts of both, and one row per track.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from cisnake import configuration, program
from cisnake.data.annotation import exons_of_genome
from cisnake.data.coverage import GeneBins, read_tracks
from cisnake.data.genome import Genome
from cisnake.data.windows import (
    add_selection_options,
    assign_genes,
    read_annotation,
    require_genes,
    select_units,
    write_selection,
)
from cisnake.files import read_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "select_covered_genes")
    add_selection_options(p)
    p.add_argument("--tiles", type=Path, required=True, metavar="TSV", help="tiles.tsv from make_tiles.py")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "select_covered_genes")
    windows, targets = configured.windows, configured.targets
    region = targets.gene_score.region
    genome = Genome(args.genome)
    annotated, tss = read_annotation(args, configured)
    integers = dict.fromkeys(("window_start", "window_end", "fold"), "int64")
    tiles, tracks = read_table(args.tiles, **integers), read_tracks(args.tracks, configured.run.data_dir or ".")
    placed, dropped, summary = select_units(annotated, tss, genome, configured, configured.annotation)
    exons = exons_of_genome(args.gtf, genome.sizes) if region == "exons" else None
    bins = GeneBins(placed, **vars(targets.gene_score), bin_size=targets.bin_size, crop=targets.crop, exons=exons).present()
    reason = {"reason": "no_bins", "detail": f"no bin of its window overlaps its {region}"}
    kept, elsewhere = assign_genes(placed[bins], tiles, windows.max_shift)
    dropped = pd.concat([table[dropped.columns] for table in (dropped, placed[~bins].assign(**reason), elsewhere)])
    require_genes(kept, dropped)
    tasks = tracks.rename(columns={"identifier": "task"})[["task", "group", "description"]]
    write_selection(args, kept, dropped, tasks, summary | {"n_tasks": len(tasks)})


if __name__ == "__main__":
    program.run(main, parser())
