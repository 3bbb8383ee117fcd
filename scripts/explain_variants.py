"""Explain the variants with the strongest effects: what the networks see with either allele, and which motifs change.

Each of the top variants is explained in one gene and one task, by the networks of the fold of the gene. The stretch around it
is attributed with either allele, and bases near it are substituted one by one. Matches of known motifs that a variant creates,
destroys, strengthens or weakens are listed with the verdicts of the probes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data import read_meme
from cisnake.data.dataset import open_dataset, read_tasks, read_windows
from cisnake.data.genome import Genome
from cisnake.data.matrix import read_tasks_table
from cisnake.data.windows import read_genes_table
from cisnake.errors import InputError
from cisnake.files import write_table
from cisnake.interpret import resolve_contrasts
from cisnake.interpret.motifs import HitFile
from cisnake.variants import choose_top_variants, write_explanations


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "explain_variants")
    p.add_argument("--effects", type=Path, required=True, metavar="TSV", help="effects.tsv from score_variants.py")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="the genome used to select the genes")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="the genes.tsv of the run")
    p.add_argument("--tasks", type=Path, required=True, metavar="TSV", help="task table with the groups used in contrasts")
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="windows of the genes: dataset.h5 or genes.h5")
    p.add_argument("--motifs", type=Path, required=True, metavar="MEME", help="the motifs that were scanned")
    p.add_argument("--hits", type=Path, required=True, metavar="H5", help="hits.h5 from scan_motifs.py")
    p.add_argument("--probes", type=Path, required=True, metavar="DIR", help="folder with <contrast>/effects.tsv of the probes")
    program.add_model_options(p)
    p.add_argument("--output", type=Path, required=True, metavar="H5", help="attributions and mutagenesis of both alleles")
    p.add_argument("--output-motifs", type=Path, required=True, metavar="TSV", help="one row per variant and changed motif")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.interpret.attribution import AttributionSettings
    from cisnake.model import WindowViews, configure_devices, models_by_fold
    from cisnake.variants import explain_variants, read_verdicts

    configured = configuration.read(args, "explain_variants")
    configure_devices(args.threads)
    attribution = configured.attribution
    views = WindowViews(attribution.shifts, attribution.reverse_complement)
    options = configuration.chosen_options("attribution", vars(attribution))
    settings = AttributionSettings(attribution.method, options, views)
    models = models_by_fold(program.find_models(args.models, configured))
    genes, variants = read_genes_table(args.genes), choose_top_variants(args.effects, configured.variants.explained)
    with open_dataset(args.dataset) as file:
        if list(read_windows(file)["gene_id"]) != list(genes["gene_id"]):
            raise InputError(f"{args.genes} and {args.dataset} have different genes: use files of the same run.")
        contrasts = resolve_contrasts(attribution.contrasts, read_tasks_table(args.tasks, read_tasks(file)))
        explanations, changes = explain_variants(
            *(variants, Genome(args.genome), genes, file, models, settings, read_meme(args.motifs), HitFile(args.hits)),
            read_verdicts(args.probes, contrasts),
            configured.resources.batch_size,
        )
    write_table(changes, args.output_motifs)
    write_explanations(explanations, args.output)
    changed = changes.drop_duplicates(["chrom", "start", "end", "ref", "alt"])
    program.log.info("%d variants explained; %d of them change a match of a motif", len(explanations), len(changed))


if __name__ == "__main__":
    program.run(main, parser())
