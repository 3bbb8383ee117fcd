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
from cisnake.data.annotation import read_genes, read_tss
from cisnake.data.genome import Genome
from cisnake.data.matrix import describes_tasks, filter_genes, filter_tasks, read_matrix, read_tasks_table
from cisnake.data.windows import assign_splits, check_overlap, select_genes
from cisnake.errors import InputError
from cisnake.files import write_json, write_table
from cisnake.interpret import resolve_contrast


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--gtf", type=Path, required=True, metavar="GTF")
    p.add_argument("--matrix", type=Path, required=True, metavar="FILE", help="TSV, CSV, GCT, h5ad, or MTX with its folder")
    p.add_argument("--layer", help="layer of an h5ad matrix, or raw (default: X)")
    p.add_argument("--gene-column", help="where an h5ad, GCT or MTX matrix has the gene ids")
    p.add_argument("--filters", type=json.loads, default={}, metavar="JSON", help="of tasks and genes: targets.filters")
    p.add_argument("--tss-bed", type=Path, metavar="BED", help="measured transcription start sites")
    p.add_argument("--tasks", type=Path, metavar="TSV", help="task table (default: what an h5ad or GCT matrix says)")
    p.add_argument("--contrasts", type=json.loads, default={}, metavar="JSON", help="whose tasks must be there after filtering")
    p.add_argument("--task-columns", type=json.loads, default={}, metavar="JSON", help="its names of task, group, description")
    for section in ("annotation", "windows", "splits"):
        p.add_argument(
            f"--{section}", type=json.loads, required=True, metavar="JSON", help=f"section {section} of the configuration"
        )
    p.add_argument("--output-genes", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-dropped", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-tasks", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-tasks-dropped", type=Path, required=True, metavar="TSV")
    p.add_argument("--output-summary", type=Path, required=True, metavar="JSON")
    return p


def main(args: argparse.Namespace) -> None:
    genome = Genome(args.genome)
    annotated = read_genes(args.gtf, list(args.annotation["exclude"]), args.annotation["feature"])
    tss = read_tss(args.tss_bed) if args.tss_bed else None
    matrix_genes, tasks, values = read_matrix(args.matrix, args.layer, args.gene_column)
    described = args.tasks or (args.matrix if describes_tasks(args.matrix) else None)
    task_table = read_tasks_table(described, tasks, args.task_columns)
    values, task_table, tasks_dropped = filter_tasks(values, task_table, args.filters.get("tasks", {}))
    # Before anything is trained: filters may have taken a task away, or the matrix was not there when the run began.
    for name, section in args.contrasts.items():
        resolve_contrast(name, section, task_table)
    poor = filter_genes(values, args.filters.get("genes", {}))
    measured = np.isfinite(values).any(axis=1)
    kept, dropped, summary = select_genes(annotated, tss, genome, matrix_genes, measured, args.annotation, args.windows, poor)
    if kept.empty:
        raise InputError(f"no gene is left; reasons: {summary['dropped']}. Check that annotation and matrix name genes alike.")
    kept = assign_splits(kept, args.splits, list(genome.sizes), args.windows["max_shift"])
    if not args.splits["allow_overlap"]:
        check_overlap(kept, args.splits.get("folds") or 1, args.windows["max_shift"])
    summary |= {
        "n_tasks": len(task_table),
        "n_tasks_dropped": len(tasks_dropped),
        "split": kept["split"].value_counts().to_dict(),
    }
    for notice in summary["notices"]:
        program.log.warning("%s", notice)
    program.log.info("%d genes kept, %d dropped: %s", len(kept), len(dropped), summary["dropped"])
    program.log.info("%d tasks kept, %d dropped", len(task_table), len(tasks_dropped))
    write_table(task_table, args.output_tasks)
    write_table(tasks_dropped, args.output_tasks_dropped)
    write_table(dropped, args.output_dropped)
    write_json(summary, args.output_summary)
    write_table(kept, args.output_genes)


if __name__ == "__main__":
    program.run(main, parser())
