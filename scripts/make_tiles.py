"""Tile the genome with the windows on which coverage models are trained.

Chromosomes are cut at gaps into contigs, contigs are assigned to splits (or folds) by region or by fraction of the bases, and
each contig is tiled with windows. Contigs of different splits are far enough apart that training windows do not overlap windows
of other splits. Writes one row per window, and a summary of what was dropped and why.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.genome import Genome, read_regions
from cisnake.data.windows import TileRegions, TileShape, check_overlap, make_tiles
from cisnake.files import write_json, write_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "make_tiles")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--gaps", type=Path, metavar="BED", help="gaps of the assembly (default: long runs of N)")
    p.add_argument("--limit", type=Path, metavar="BED", help="regions that must contain all bins (default: the whole genome)")
    p.add_argument("--unmappable", type=Path, metavar="BED", help="unmappable regions")
    p.add_argument("--regions", type=Path, metavar="TSV", help="table of splits per region, if set (splits.regions)")
    p.add_argument("--output", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-summary", type=Path, required=True, metavar="JSON")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "make_tiles")
    windows, targets = configured.windows, configured.targets
    splits = dataclasses.replace(configured.splits, regions=args.regions and str(args.regions))
    genome = Genome(args.genome)
    beds = {name: getattr(args, name) for name in ("gaps", "limit", "unmappable")}
    regions = TileRegions(**{name: bed and read_regions(bed, genome.sizes) for name, bed in beds.items()})
    shape = TileShape(windows.upstream + windows.downstream, targets.bin_size, targets.crop, windows.max_shift)
    tiles, summary = make_tiles(genome, configured.tiles, splits, shape, regions, configured.run.seed)
    if not splits.allow_overlap:
        check_overlap(tiles, splits.folds or 1, windows.max_shift)
    for notice in summary["notices"]:
        program.log.warning("%s", notice)
    for name, part in summary["splits"].items():
        share = 100 * part["share"]
        program.log.info("%s: %d tiles on %d contigs, %.1f %% of the bases", name, part["tiles"], part["contigs"], share)
    program.log.info("dropped: bases %s, tiles %s", summary["dropped_bases"], summary["dropped_tiles"])
    write_json(summary, args.output_summary)
    write_table(tiles, args.output)


if __name__ == "__main__":
    program.run(main, parser())
