"""Attribute the predictions of one shard of genes to the bases of their windows, for every contrast.

Each gene is asked of the models of its own fold, and what the replicates answer is averaged. All contrasts share the
forward passes. Writes one file a contrast.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from cisnake import program


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    program.add_model_options(p)
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table, whose groups contrasts may name")
    p.add_argument("--contrasts", type=json.loads, required=True, metavar="JSON", help="contrasts by name")
    p.add_argument("--genes", default="all", metavar="WHICH", help="all, held_out, or a file of ids (default: all)")
    p.add_argument(
        "--method", default="integrated_gradients", metavar="NAME", help="attribution method (default: integrated_gradients)"
    )
    p.add_argument("--options", type=json.loads, default={}, metavar="JSON", help='of the method, as {"n_steps": 20}')
    p.add_argument("--reverse-complement", action="store_true", help="ask both strands and average (default: the gene's)")
    p.add_argument("--shifts", type=int, nargs="+", default=[0], metavar="BP", help="shown moved by, and averaged (default: 0)")
    p.add_argument("--dtype", choices=("float32", "float16"), default="float32", help="of what is written (default: float32)")
    p.add_argument("--hypothetical", action="store_true", help="keep what all four bases would add, not only that which stands")
    p.add_argument("--null-windows", type=int, default=0, metavar="N", help="shuffled windows in the whole run (default: 0)")
    p.add_argument("--quality-genes", type=int, default=0, metavar="N", help="genes checked in the whole run (default: 0)")
    p.add_argument("--seed", type=int, default=0, help="of shuffles and checks (default: 0)")
    p.add_argument("--shard", type=int, default=0, help="number of the shard, from 0 (default: 0)")
    p.add_argument("--n-shards", type=int, default=1, help="shards that the genes are cut into (default: 1)")
    p.add_argument("--output", type=Path, required=True, nargs="+", metavar="H5", help="one file a contrast, in their order")
    return p


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cisnake.interpret.attribution import AttributionSettings, Extras, GeneShard, attribute_shard
    from cisnake.model import WindowViews, configure_devices

    program.log.info("attributing on %s", configure_devices(args.threads))
    extras = Extras(args.dtype, args.hypothetical, args.null_windows, args.quality_genes, args.seed)
    settings = AttributionSettings(args.method, args.options, WindowViews(args.shifts, args.reverse_complement), extras)
    shard = GeneShard(args.genes, args.shard, args.n_shards)
    attribute_shard(args.dataset, args.models, args.tasks, args.contrasts, shard, settings, args.batch_size, args.output)


if __name__ == "__main__":
    program.run(main, parser())
