"""Select the genes of a run and place their windows.

Combines annotation, genome and matrix. Writes one row per selected gene (its TSS, its window, the gene body in the window, its
split), one row per dropped gene with the reason, the counts of both, and the same for tasks. Genes whose
windows cross a border between splits are dropped, or refused if a table of splits asks for them.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake import configuration, program
from cisnake.data.genome import Genome
from cisnake.data.matrix import describes_tasks, filter_genes, filter_tasks, matrix_keys, read_matrix, read_tasks_table
from cisnake.data.windows import (
    MatrixGenes,
    add_selection_options,
    assign_splits,
    check_overlap,
    match_places,
    read_annotation,
    select_units,
    write_selection,
)
from cisnake.files import write_table
from cisnake.interpret import resolve_contrasts


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "select_genes")
    add_selection_options(p)
    p.add_argument(
        "--matrix",
        type=Path,
        metavar="FILE",
        help="matrix: TSV, CSV, GCT, h5ad or Matrix Market (default: nothing is measured)",
    )
    p.add_argument("--tasks", type=Path, metavar="TSV", help="task table (default: annotations in the matrix)")
    p.add_argument("--splits", type=Path, metavar="TSV", help="table of splits per gene, if set (splits.genes)")
    p.add_argument("--regions", type=Path, metavar="TSV", help="table of splits per region, if set (splits.regions)")
    p.add_argument("--output-tasks-dropped", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "select_genes")
    windows, targets = configured.windows, configured.targets
    genome = Genome(args.genome)
    annotated, tss = read_annotation(args, configured)
    annotation, matrix, tasks_dropped = configured.annotation, None, pd.DataFrame(columns=["task", "reason", "detail"])
    columns = dataclasses.asdict(targets.task_columns)
    if args.matrix:
        ids, tasks, values = read_matrix(args.matrix, *matrix_keys(targets))
        if configured.regions.file:
            annotated, match_by = match_places(annotated, ids)
            annotation = dataclasses.replace(annotation, match_by=match_by)
        described = args.tasks or (args.matrix if describes_tasks(args.matrix) else None)
        task_table = read_tasks_table(described, tasks, columns, ids)
        values, task_table, tasks_dropped = filter_tasks(values, task_table, targets.filters.tasks)
        matrix = MatrixGenes(ids, np.isfinite(values).any(axis=1), filter_genes(values, targets.filters.genes), tasks)
    else:
        task_table = read_tasks_table(args.tasks, None, columns)
    # Check contrasts again: filters may have dropped a task, or the matrix did not exist when the run started.
    resolve_contrasts(configured.attribution.contrasts or {}, task_table)
    kept, dropped, summary = select_units(annotated, tss, genome, configured, annotation, matrix)
    if configured.splits.unmeasured:
        kept = kept.assign(split="test", fold=0)
    else:
        table, regions = (path and str(path) for path in (args.splits, args.regions))
        splits = dataclasses.replace(configured.splits, genes=table, regions=regions)
        kept, at_borders = assign_splits(kept, splits, genome.sizes, windows.max_shift, configured.run.seed)
        dropped = pd.concat([dropped, at_borders[dropped.columns]])
        if not splits.allow_overlap:
            check_overlap(kept, splits.folds or 1, windows.max_shift)
    write_table(tasks_dropped, args.output_tasks_dropped)
    counts = {"n_tasks": len(task_table), "n_tasks_dropped": len(tasks_dropped)}
    write_selection(args, kept, dropped, task_table, summary | counts)
    program.log.info("%d tasks kept, %d dropped", len(task_table), len(tasks_dropped))


if __name__ == "__main__":
    program.run(main, parser())
