"""Find the genes of the factors that the probed motifs are named after, with their own expression.

A factor that acts in a tissue should be expressed there. The table has the mean expression of the factor's gene over the tasks
on either side of each contrast, and its correlation over contrasts with the effect of the motif on the on-tasks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import measured_values, open_dataset, read_tasks, read_windows
from cisnake.data.matrix import read_tasks_table
from cisnake.files import read_table, write_table
from cisnake.interpret import resolve_contrasts
from cisnake.interpret.motifs import factor_rows, factor_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "match_factors")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="tasks.tsv of the run")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv of the run")
    p.add_argument("--motifs", type=Path, required=True, metavar="FOLDER", help="folder with the motif tables of all contrasts")
    p.add_argument("--output", type=Path, required=True, metavar="TSV", help="factors.tsv")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "match_factors")
    names = list(configured.attribution.contrasts)
    numbers = {"q_value": "float", "odds_ratio": "float"}
    enrichment = {name: read_table(args.motifs / name / "enrichment.tsv", **numbers) for name in names}
    effects = {
        name: read_table(args.motifs / name / "effects.tsv", insertion_mean="float", insertion_on_mean="float")
        for name in names
    }
    with open_dataset(args.dataset) as file:
        tasks = read_tasks(file)
        contrasts = resolve_contrasts(configured.attribution.contrasts, read_tasks_table(args.tasks, tasks))
        genes = read_windows(file)[["gene_id"]].merge(read_table(args.genes), on="gene_id", how="left", validate="1:1")
        rows = factor_rows(genes, {motif for table in enrichment.values() for motif in table["motif_name"]})
        genes, labels = genes.iloc[rows], measured_values(file, rows)
    table = factor_table(contrasts, enrichment, effects, genes, labels, tasks)
    write_table(table, args.output)
    factors, known = table["factor"].nunique(), table.loc[table["gene_id"] != "", "factor"].nunique()
    program.log.info("%d of %d factors have a gene in the data set", known, factors)


if __name__ == "__main__":
    program.run(main, parser())
