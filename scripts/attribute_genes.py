"""Compute how much each base of a gene's window contributes to its predictions, for one shard (part) of the genes.

Each gene is attributed with the models of its own fold, and the attributions are averaged over replicates. All contrasts are
computed together, which is faster than one after the other. One file per contrast is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "attribute_genes")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="windows of the genes: dataset.h5 or genes.h5")
    program.add_model_options(p)
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table with the groups used in contrasts")
    p.add_argument("--gene-list", type=Path, metavar="FILE", help="one gene id per line (default: attribution.genes)")
    p.add_argument("--shard", type=int, default=0, help="number of the shard, from 0 (default: 0)")
    p.add_argument("--output", type=Path, required=True, metavar="DIR", help="output folder; files are <contrast>/<shard>.h5")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.interpret.attribution import AttributionSettings, Extras, GeneShard, attribute_shard
    from cisnake.model import WindowViews, configure_devices

    configured = configuration.read(args, "attribute_genes")
    attribution, batch_size = configured.attribution, configured.resources.batch_size
    program.log.info("attributing on %s", configure_devices(args.threads))
    extras = Extras(
        attribution.dtype, attribution.hypothetical, attribution.null_windows, attribution.quality_genes, configured.run.seed
    )
    options = configuration.chosen_options("attribution", vars(attribution))
    views = WindowViews(attribution.shifts, attribution.reverse_complement)
    settings = AttributionSettings(attribution.method, options, views, extras)
    shard = GeneShard(str(args.gene_list or attribution.genes), args.shard, attribution.n_shards)
    models = program.find_models(args.models, configured)
    attribute_shard(args.dataset, models, args.tasks, attribution.contrasts, shard, settings, batch_size, args.output)


if __name__ == "__main__":
    program.run(main, parser())
