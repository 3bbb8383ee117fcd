"""Score variants with trained networks in windows centred on the variants, without genes and without a run.

For each variant and task, the output has the statistics of Baskerville's hound_snp (docs/models.md). With --controls, it also
has p- and q-values: is the effect larger than that of the same change without its surroundings? Effects on genes are scored
by score_variants.py.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.data.coverage import read_network_tasks
from cisnake.data.genome import Genome
from cisnake.errors import InputError
from cisnake.model import read_params
from cisnake.variants import SCORED, VARIANT_STATISTICS, check_centered_output, read_variants, write_centered


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    program.add_network_options(p)
    p.add_argument("--vcf", type=Path, required=True, metavar="VCF", help="variants, .vcf or .vcf.gz")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    known = list(VARIANT_STATISTICS)
    told = f"of {', '.join(known)} (default: logSUM D2)"
    p.add_argument("--statistics", nargs="+", choices=known, default=["logSUM", "D2"], metavar="NAME", help=told)
    p.add_argument("--sum-strands", action="store_true", help="add up the tasks of the two strands (strand_pair in --tasks)")
    controls = "changes in shuffled windows, for p- and q-values (default: 0, which leaves them out)"
    p.add_argument("--controls", type=int, default=0, metavar="N", help=controls)
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help=".tsv, or .h5ad with a layer per statistic")
    return p


def main(args: argparse.Namespace) -> None:
    check_centered_output(args.output)
    genome = Genome(args.genome)
    variants = read_variants(args.vcf, genome)
    params = read_params(args.params) if args.params else None
    from cisnake.model import WindowViews, configure_devices, read_network
    from cisnake.variants import AlleleScorer, draw_centered_controls, mark_too_long, merge_strands, score_centered

    configure_devices(args.threads, 0)
    models = [read_network(path, params, args.head) for path in args.networks]
    tasks, strand_pair = read_network_tasks(args.tasks, models[0].output_shape[-1])
    merged = None
    if args.sum_strands:
        if strand_pair is None:
            raise InputError("--sum-strands needs a table with the column strand_pair: add it to --tasks.")
        tasks, merged = merge_strands(tasks, strand_pair)
    variants = mark_too_long(variants, models[0].input_shape[1])
    views = WindowViews(args.shifts, args.reverse_complement, strand_pair)
    statistics = list(dict.fromkeys(args.statistics))
    scorer = AlleleScorer(models, statistics, views, args.batch_size, merged)
    controls = draw_centered_controls(variants, genome, scorer, args.controls)
    if controls:
        scored = int(variants["status"].isin(SCORED).sum())
        least = controls.least_q(scored)
        program.log.info("a single effect among %d variants reaches q = %.2g at best", scored, least)
    write_centered(variants, score_centered(variants, genome, scorer), statistics, tasks, args.output, controls)
    for status, count in variants["status"].value_counts().items():
        program.log.info("%d variants: %s", count, status)


if __name__ == "__main__":
    program.run(main, parser())
