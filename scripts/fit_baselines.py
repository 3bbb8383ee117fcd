"""Fit the baseline of the models: ridge regressions on k-mer counts.

The window in which k-mers are counted, the kind of words and the penalty are chosen on validation genes, once for all tasks and
once for each contrast. Writes the choices, and the predictions for the genes of the splits that are evaluated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import open_dataset, read_tasks
from cisnake.data.matrix import read_tasks_table
from cisnake.evaluate import fit_baselines, write_baselines
from cisnake.interpret import resolve_contrasts


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    configuration.add_options(p, "fit_baselines")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table with groups")
    p.add_argument("--output", type=Path, required=True, metavar="H5", help="predictions of held-out genes")
    p.add_argument("--output-choices", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "fit_baselines")
    with open_dataset(args.dataset) as file:
        tasks = read_tasks_table(args.tasks, read_tasks(file))
    contrasts = resolve_contrasts(configured.attribution.contrasts or {}, tasks)
    evaluate = configured.evaluate
    fitted = fit_baselines(args.dataset, evaluate.splits, evaluate.baseline, configured.windows.upstream, contrasts)
    write_baselines(*fitted, args.output, args.output_choices)


if __name__ == "__main__":
    program.run(main, parser())
