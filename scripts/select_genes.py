"""Choose the genes of a run and place their windows.

Brings annotation, genome and matrix together and writes one row for each gene kept (its TSS, its window, the gene body in
it, its split), one for each gene left out with the reason, the counts of both, and the same of tasks. Refuses splits that
share bases.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cisnake import program
from cisnake.data.genome import Genome
from cisnake.data.matrix import describes_tasks, filter_genes, filter_tasks, read_matrix, read_tasks_table
from cisnake.data.windows import (
    MatrixGenes,
    add_selection_options,
    assign_splits,
    check_overlap,
    read_annotation,
    require_genes,
    select_genes,
    write_selection,
)
from cisnake.files import write_table
from cisnake.interpret import resolve_contrast


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    add_selection_options(p)
    p.add_argument("--matrix", type=Path, required=True, metavar="FILE", help="TSV, CSV, GCT, h5ad, or MTX with its folder")
    p.add_argument("--layer", help="layer of an h5ad matrix, or raw (default: X)")
    p.add_argument("--gene-column", help="where an h5ad, GCT or MTX matrix has the gene ids")
    p.add_argument("--filters", type=json.loads, default={}, metavar="JSON", help="of tasks and genes: targets.filters")
    p.add_argument("--tasks", type=Path, metavar="TSV", help="task table (default: what an h5ad or GCT matrix says)")
    p.add_argument("--contrasts", type=json.loads, default={}, metavar="JSON", help="whose tasks must be there after filtering")
    p.add_argument("--task-columns", type=json.loads, default={}, metavar="JSON", help="its names of task, group, description")
    program.add_section_options(p, "splits")
    p.add_argument("--output-tasks-dropped", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    genome = Genome(args.genome)
    annotated, tss = read_annotation(args)
    ids, tasks, values = read_matrix(args.matrix, args.layer, args.gene_column)
    described = args.tasks or (args.matrix if describes_tasks(args.matrix) else None)
    task_table = read_tasks_table(described, tasks, args.task_columns)
    values, task_table, tasks_dropped = filter_tasks(values, task_table, args.filters.get("tasks", {}))
    # Before anything is trained: filters may have taken a task away, or the matrix was not there when the run began.
    for name, section in args.contrasts.items():
        resolve_contrast(name, section, task_table)
    matrix = MatrixGenes(ids, np.isfinite(values).any(axis=1), filter_genes(values, args.filters.get("genes", {})))
    kept, dropped, summary = select_genes(annotated, tss, genome, args.annotation, args.windows, matrix)
    require_genes(kept, dropped, " Check that annotation and matrix name genes alike.")
    kept = assign_splits(kept, args.splits, list(genome.sizes), args.windows["max_shift"])
    if not args.splits["allow_overlap"]:
        check_overlap(kept, args.splits.get("folds") or 1, args.windows["max_shift"])
    write_table(tasks_dropped, args.output_tasks_dropped)
    counts = {"n_tasks": len(task_table), "n_tasks_dropped": len(tasks_dropped)}
    write_selection(args, kept, dropped, task_table, summary | counts)
    program.log.info("%d tasks kept, %d dropped", len(task_table), len(tasks_dropped))


if __name__ == "__main__":
    program.run(main, parser())
