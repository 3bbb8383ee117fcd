"""Predict coverage along regions of a genome with trained networks, and write BigWig tracks, without a run.

Each bin is predicted once: regions that touch are merged, and covered by windows whose predictions follow one another. The
tracks have the mean over all networks, shifts and strands.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from cisnake import program
from cisnake.data.annotation import read_bed_regions
from cisnake.data.coverage import read_network_tasks
from cisnake.data.genome import Genome
from cisnake.errors import unknown_name
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    program.add_network_options(p)
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--regions", type=Path, metavar="BED", help="regions to predict (default: the whole genome)")
    p.add_argument("--bin-size", type=int, required=True, metavar="BASES", help="bases per predicted position")
    p.add_argument("--select", nargs="+", metavar="TASK", help="tasks to write (default: all)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="new folder for <task>.bw")
    return p


def main(args: argparse.Namespace) -> None:
    genome = Genome(args.genome)
    if args.regions:
        regions = read_bed_regions(args.regions)
    else:
        regions = pd.DataFrame([(chrom, 0, size) for chrom, size in genome.sizes.items()], columns=["chrom", "start", "end"])
    params = read_params(args.params) if args.params else None
    from cisnake.model import WindowViews, configure_devices, read_network, write_track_predictions

    configure_devices(args.threads, 0)
    models = [read_network(path, params, args.head) for path in args.networks]
    tasks, strand_pair = read_network_tasks(args.tasks, models[0].output_shape[-1])
    for name in args.select or []:
        if name not in tasks:
            raise unknown_name("task in --select", name, tasks)
    views = WindowViews(args.shifts, args.reverse_complement, strand_pair)
    n = write_track_predictions(regions, genome, models, tasks, args.output, args.bin_size, args.select, views, args.batch_size)
    program.log.info("%d windows predicted by %d networks", n, len(models))


if __name__ == "__main__":
    program.run(main, parser())
