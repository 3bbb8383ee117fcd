"""Attribute the predictions of one shard of genes to the bases of their windows, for every contrast.

Each gene is asked of the models of its own fold, and what the replicates answer is averaged. All contrasts share the
forward passes. Writes one file a contrast.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from cisnake import configuration, program


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "attribute_genes")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    program.add_model_options(p)
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table, whose groups contrasts may name")
    p.add_argument("--shard", type=int, default=0, help="number of the shard, from 0 (default: 0)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="<contrast>/<shard>.h5 are written in it")
    return p


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cisnake.interpret.attribution import AttributionSettings, Extras, GeneShard, attribute_shard
    from cisnake.model import WindowViews, configure_devices

    configured = configuration.read(args, "attribute_genes")
    asked, batch_size = configured.attribution, configured.resources.batch_size
    program.log.info("attributing on %s", configure_devices(args.threads))
    extras = Extras(asked.dtype, asked.hypothetical, asked.null_windows, asked.quality_genes, configured.run.seed)
    options = configuration.chosen_options("attribution", vars(asked))
    settings = AttributionSettings(asked.method, options, WindowViews(asked.shifts, asked.reverse_complement), extras)
    shard = GeneShard(asked.genes, args.shard, asked.n_shards)
    models = program.find_models(args.models, configured)
    attribute_shard(args.dataset, models, args.tasks, asked.contrasts, shard, settings, batch_size, args.output)


if __name__ == "__main__":
    program.run(main, parser())
