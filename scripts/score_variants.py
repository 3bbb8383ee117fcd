"""Score variants: predict the effect of each variant on every gene whose window it overlaps.

The program reads a VCF (plain or compressed), checks REF against the genome, builds each gene's window with and without the
variant while keeping the TSS in place, and predicts both with the models of the gene's fold. The effect on a task is
prediction(ALT) - prediction(REF). It is given as the mean over replicates, their standard deviation, and the value of each
replicate. Every variant is in the output; if a variant was not scored, its status gives the reason (docs/troubleshooting.md).
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.dataset import open_dataset, read_tasks, read_windows
from cisnake.data.genome import Genome
from cisnake.data.windows import read_genes_table
from cisnake.errors import InputError
from cisnake.variants import draw_controls, find_genes, read_variants, replicate_names, score_variants, write_effects


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--vcf", type=Path, required=True, metavar="VCF", help="variants, .vcf or .vcf.gz")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="the genome used to select the genes")
    p.add_argument("--genes", type=Path, required=True, metavar="TSV", help="the genes.tsv of the run")
    p.add_argument(
        "--dataset", type=Path, required=True, metavar="H5", help="data set, for the task names and the window length"
    )
    configuration.add_options(p, "score_variants")
    program.add_model_options(p)
    p.add_argument("--output-tsv", type=Path, required=True, metavar="TSV", help="effects, one row per variant, gene and task")
    p.add_argument("--output-vcf", type=Path, required=True, metavar="VCF", help="annotated VCF (.vcf.gz)")
    return p


def main(args: argparse.Namespace) -> None:
    from cisnake.model import configure_devices, gene_readout, predictors_by_fold

    configured = configuration.read(args, "score_variants")
    paths, batch_size = program.find_models(args.models, configured), configured.resources.batch_size
    configure_devices(args.threads)
    reference = Genome(args.genome)
    genes = read_genes_table(args.genes)
    variants = read_variants(args.vcf, reference)
    with open_dataset(args.dataset) as file:
        tasks, seq_len = read_tasks(file), int(file["seq_len"][()])
        if list(read_windows(file)["gene_id"]) != list(genes["gene_id"]):
            raise InputError(f"{args.genes} and {args.dataset} have different genes: use files of the same run.")
        models = predictors_by_fold(paths, gene_readout(file), batch_size)
        pairs = find_genes(variants, genes, seq_len)
        count, seed = configured.variants.controls, configured.run.seed
        controls = draw_controls(pairs, reference, models, len(tasks), count, seed, batch_size)
        if controls:
            n, scored = len(controls.shuffled), int((pairs.gene >= 0).sum())
            program.log.info("%d control changes in shuffles, and %d at matched places", n, len(controls.matched))
            least = controls.least_q(scored)
            program.log.info("a single effect among %d pairs of variant and gene reaches q = %.2g at best", scored, least)
        blocks = score_variants(pairs, reference, models, len(tasks), batch_size)
        write_effects(blocks, pairs, tasks, replicate_names(models), args.vcf, args.output_tsv, args.output_vcf, controls)
    for status, count in pairs.variants["status"].value_counts().items():
        program.log.info("%d variants: %s", count, status)


if __name__ == "__main__":
    program.run(main, parser())
