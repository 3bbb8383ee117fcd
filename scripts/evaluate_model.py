"""Score the ensemble on the genes of one split, with the training mean and a k-mer ridge regression beside it.

Writes scores per task and per gene, a summary, and all predictions.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from cisnake import program
from cisnake.data.dataset import open_dataset, read_tasks
from cisnake.data.matrix import read_tasks_table
from cisnake.data.windows import SPLITS


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    program.add_model_options(p)
    p.add_argument("--split", choices=SPLITS, default="test", help="(default: test)")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table with groups")
    p.add_argument("--baseline", type=json.loads, required=True, metavar="JSON", help="k, upstream, downstream, counts, alpha")
    p.add_argument("--anchor", type=int, required=True, metavar="BASES", help="position of the anchor in the window")
    p.add_argument("--output", type=Path, required=True, metavar="DIR")
    return p


def main(args: argparse.Namespace) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from cisnake.evaluate import evaluate_split, write_evaluation
    from cisnake.model import configure_devices

    program.log.info("evaluating on %s", configure_devices(args.threads))
    with open_dataset(args.dataset) as file:
        tasks = read_tasks_table(args.tasks, read_tasks(file))
    results = evaluate_split(args.dataset, args.models, args.split, args.baseline, args.anchor, tasks, args.batch_size)
    write_evaluation(args.output, *results)
    program.log.info(
        "median Pearson r %s, k-mer ridge %s",
        *(part["pearson_median"] for part in (results[0]["model"], results[0]["baselines"]["kmer_ridge"])),
    )


if __name__ == "__main__":
    program.run(main, parser())
