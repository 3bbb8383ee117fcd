"""Predict sequences or regions of a genome with trained networks.

Sequences come from a FASTA file or a table of names and sequences, regions from a BED or narrowPeak file and a genome. The
output has the mean over all networks, shifts and strands.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cisnake import program
from cisnake.data.genome import Genome
from cisnake.data.windows import read_region_windows, read_sequences
from cisnake.errors import InputError
from cisnake.files import read_user_table
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument(
        "--networks", type=Path, required=True, nargs="+", metavar="FILE", help="networks: .keras, or .h5 with --params"
    )
    p.add_argument("--params", type=Path, metavar="FILE", help="parameter file of .h5 networks")
    p.add_argument("--head", metavar="KEY", help="head to use, if the networks have several")
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--sequences", type=Path, metavar="FILE", help="FASTA, or two columns: name and sequence")
    what.add_argument("--regions", type=Path, metavar="BED", help="windows around their middle, or the summit of narrowPeak")
    p.add_argument("--genome", type=Path, metavar="FASTA", help="genome of the regions")
    p.add_argument("--tasks", type=Path, metavar="TSV", help="names of the tasks: column task or identifier (default: numbers)")
    p.add_argument(
        "--gene-start", type=int, metavar="BASE", help="where the gene begins in every window, if the network reads it"
    )
    p.add_argument("--shifts", type=int, nargs="+", default=[0], metavar="BASES", help="shifts to average over (default: 0)")
    p.add_argument("--reverse-complement", action="store_true", help="average over both strands")
    p.add_argument("--batch-size", type=int, default=64, metavar="N", help="windows per pass (default: 64)")
    p.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help=".tsv, or .h5 with every position")
    return p


def main(args: argparse.Namespace) -> None:
    if args.regions and not args.genome:
        raise InputError("--regions needs --genome.")
    params = read_params(args.params) if args.params else None
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cisnake.model import WindowViews, configure_devices, read_network, write_window_predictions

    configure_devices(args.threads, 0)
    models = [read_network(path, params, args.head) for path in args.networks]
    length = models[0].input_shape[1]
    windows = (
        read_region_windows(args.regions, Genome(args.genome), length)
        if args.regions
        else read_sequences(args.sequences, length)
    )
    views = WindowViews(args.shifts, args.reverse_complement)
    tasks = task_names(args.tasks) if args.tasks else [f"task_{i}" for i in range(models[0].output_shape[-1])]
    n = write_window_predictions(windows, models, tasks, args.output, views, args.gene_start, args.batch_size)
    program.log.info("%d windows predicted by %d networks", n, len(models))


def task_names(path: Path) -> list[str]:
    table = read_user_table(path)
    for column in ("task", "identifier"):
        if column in table:
            return list(table[column].astype(str))
    raise InputError(f"{path} has no column task or identifier.")


if __name__ == "__main__":
    program.run(main, parser())
