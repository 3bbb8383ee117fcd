"""Measure how well a run recovers the known truth of a simulated genome.

Compares the held-out score with the best possible one, enriched motifs with planted ones, peaks with sites, and predicted with
true variant effects. For each contrast, it reads attributions/<contrast>.h5, peaks/<contrast>.tsv and
motifs/<contrast>/enrichment.tsv from the results folder.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cisnake import configuration, program
from cisnake.files import read_table, write_json
from cisnake.report import (
    measure_recovery,
    measure_variants,
    possible_pearson,
    read_expression,
    read_findings,
    read_true_effects,
)


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "measure_recovery")
    p.add_argument("--truth", type=Path, required=True, metavar="TSV", help="truth.tsv from the simulation")
    p.add_argument("--simulation", type=Path, required=True, metavar="DIR", help="output folder of simulate_inputs.py")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="genes.tsv, for the split of each gene")
    p.add_argument("--evaluation", type=Path, required=True, metavar="JSON", help="summary.json of one split")
    p.add_argument("--results", type=Path, required=True, metavar="DIR", help="results folder: attributions, peaks, motifs")
    p.add_argument("--variants", type=Path, metavar="TSV", help="predicted effects; without them, variants are not evaluated")
    p.add_argument("--vcf", type=Path, metavar="VCF", help="true effects (default: variants.vcf of the simulation)")
    p.add_argument("--output", type=Path, required=True, metavar="JSON", help="recovery.json")
    return p


def main(args: argparse.Namespace) -> None:
    """Compare the results of a run with the truth of the simulation."""
    tasks = read_table(args.simulation / "tasks.tsv")
    group_of_task = dict(zip(tasks["task"], tasks["group"], strict=True))
    floats = dict.fromkeys([f"effect_{group}" for group in tasks["group"].unique()], "float")
    truth = read_table(args.truth, start="int", end="int", **floats)
    summary = json.loads(args.evaluation.read_text(encoding="utf-8"))
    genes = read_table(args.genes)
    held_out = genes["gene_id"][genes["split"] == summary["split"]].to_list()
    noiseless, observed = (read_expression(args.simulation / f"{n}.tsv") for n in ("expression_noiseless", "expression"))
    variants = {}
    if args.variants is not None:
        predicted = read_table(args.variants, start="int", effect_mean="float")
        known = read_true_effects(args.vcf or args.simulation / "variants.vcf", list(group_of_task))
        variants = measure_variants(predicted, known)
    contrasts = configuration.read(args, "measure_recovery").attribution.contrasts
    findings = read_findings(args.results, list(contrasts or ()))
    possible = possible_pearson(noiseless, observed, held_out)
    recovery = measure_recovery(truth, group_of_task, findings, summary, possible, variants)
    write_json(recovery, args.output)
    program.log.info("%s: %d of %d motifs recovered", args.output, recovery["motifs_recovered"], recovery["motifs_planted"])


if __name__ == "__main__":
    program.run(main, parser())
