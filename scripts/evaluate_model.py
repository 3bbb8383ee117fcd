"""Evaluate the ensemble on the genes of one split, and compare it with baselines.

The baselines are the mean of the training genes and the ridge regressions of fit_baselines.py. Writes scores per task, per
contrast and per gene, a summary, and all predictions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import open_dataset, read_tasks
from cisnake.data.matrix import read_tasks_table
from cisnake.interpret import resolve_contrasts
from cisnake.model import read_params


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    configuration.add_options(p, "evaluate_model")
    program.add_model_options(p)
    p.add_argument("--split", choices=("val", "test"), default="test", help="split to evaluate (default: test)")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table with groups")
    p.add_argument("--baselines", type=Path, metavar="H5", help="predictions from fit_baselines.py (default: no baseline)")
    p.add_argument("--baseline-choices", type=Path, metavar="TSV", help="choices from fit_baselines.py")
    p.add_argument("--output", type=Path, required=True, metavar="DIR")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.evaluate import evaluate_split, read_baselines, read_choices, write_evaluation
    from cisnake.model import configure_devices

    configured = configuration.read(args, "evaluate_model")
    models, batch_size = program.find_models(args.models, configured), configured.resources.batch_size
    program.log.info("evaluating on %s", configure_devices(args.threads))
    with open_dataset(args.dataset) as file:
        tasks = read_tasks_table(args.tasks, read_tasks(file))
    contrasts = resolve_contrasts(configured.attribution.contrasts or {}, tasks)
    ridges = read_baselines(args.baselines, args.split) if args.baselines else None
    choices = read_choices(args.baseline_choices) if args.baseline_choices else None
    section = configured.model
    params = read_params(section.params, section.overrides) if section.params else {}
    from_elsewhere = bool(section.trained or params.get("transfer", {}).get("weights"))
    evaluation = evaluate_split(
        *(args.dataset, models, args.split, ridges, choices, tasks, contrasts, batch_size),
        *(from_elsewhere, section.trained_on or None),
    )
    write_evaluation(args.output, evaluation)
    summary = evaluation.summary
    program.log.info(
        "median Pearson r %s, k-mer ridge %s: %s",
        *(part["pearson_median"] for part in (summary["model"], summary["baselines"]["kmer_ridge"])),
        summary["verdict"],
    )


if __name__ == "__main__":
    program.run(main, parser())
