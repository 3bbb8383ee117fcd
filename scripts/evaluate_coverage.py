"""Evaluate the ensemble on the tiles of one split, per bin, and compare it with baselines.

The baselines are the mean of the training tiles, the mean profile around transcription start sites, and a ridge regression on
the k-mers around each bin. Writes scores per task, a summary, and measured and predicted coverage of example tiles.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import open_dataset, read_tasks
from cisnake.data.matrix import read_tasks_table
from cisnake.data.windows import SPLITS, is_background, read_genes_table
from cisnake.files import write_json, write_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="data set of tiles")
    configuration.add_options(p, "evaluate_coverage")
    program.add_model_options(p)
    p.add_argument("--split", choices=SPLITS, default="test", help="split to evaluate (default: test)")
    p.add_argument("--gene-windows", type=Path, required=True, metavar="H5", help="data set of gene windows")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv, for transcription start sites")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table")
    p.add_argument("--output-summary", type=Path, required=True, metavar="JSON")
    p.add_argument("--output-tasks", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-examples", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.evaluate import evaluate_tiles, gene_profiles
    from cisnake.model import configure_devices

    configured = configuration.read(args, "evaluate_coverage")
    models, batch_size = program.find_models(args.models, configured), configured.resources.batch_size
    program.log.info("evaluating on %s", configure_devices(args.threads))
    with open_dataset(args.dataset) as file:
        tasks = read_tasks_table(args.tasks, read_tasks(file))
    genes = read_genes_table(args.genes)
    genes = genes[~is_background(genes)]
    summary, by_task, examples = evaluate_tiles(
        args.dataset, models, args.split, genes, tasks, configured.evaluate.baseline, batch_size
    )
    by_task["gene_profile_pearson"] = gene_profiles(args.gene_windows, models, args.split, batch_size)
    write_table(examples, args.output_examples)
    write_table(by_task, args.output_tasks)
    write_json(summary, args.output_summary)
    medians = {name: scores["pearson_median"] for name, scores in {"model": summary["model"], **summary["baselines"]}.items()}
    program.log.info("median Pearson r of bins: %s", medians)


if __name__ == "__main__":
    program.run(main, parser())
