"""Predict sequences, or regions or genes of a genome, with trained networks, without a run.

Sequences come from a FASTA file or a table of names and sequences, regions from a BED or narrowPeak file, and genes from an
annotation; their windows are placed as a run with default settings places them. The output has the mean over all networks,
shifts and strands; with --layer, what a layer inside one network computes. score_vcf.py predicts the variants of a VCF with
either allele (--statistics REF ALT SUM).
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.coverage import read_network_tasks
from cisnake.data.genome import Genome
from cisnake.data.windows import GivenWindow, read_gene_windows, read_region_windows, read_sequences
from cisnake.errors import InputError
from cisnake.model import read_params

VCF = re.compile(r"\.(vcf(\.b?gz)?|bcf)$", re.IGNORECASE)


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    program.add_network_options(p)
    what = p.add_mutually_exclusive_group(required=True)
    what.add_argument("--sequences", type=Path, metavar="FILE", help="FASTA, or two columns: name and sequence")
    what.add_argument("--regions", type=Path, metavar="BED", help="windows around their middle, or the summit of narrowPeak")
    what.add_argument("--annotation", type=Path, metavar="GTF", help="windows of genes: GTF, GFF3 or BED")
    p.add_argument("--genome", type=Path, metavar="FASTA", help="genome of the regions or genes")
    p.add_argument("--genes", type=Path, metavar="FILE", help="gene ids, one per line (default: all of the annotation)")
    p.add_argument("--upstream", type=int, metavar="BASES", help="bases of the window before the TSS (windows.upstream)")
    p.add_argument("--gene-start", type=int, metavar="BASE", help="base of the window at which the gene begins")
    p.add_argument("--layer", metavar="NAME", help="write the output of this layer (an embedding) instead of predictions")
    p.add_argument("--output", type=Path, required=True, metavar="FILE", help=".tsv, .h5ad, or .h5 with every position")
    return p


def main(args: argparse.Namespace) -> None:
    if VCF.search(str(args.sequences or args.regions)):
        message = "is a VCF: use score_vcf.py, which predicts variants with either allele (--statistics REF ALT SUM)."
        raise InputError(f"{args.sequences or args.regions} {message}")
    if (args.regions or args.annotation) and not args.genome:
        raise InputError("--regions and --annotation need --genome.")
    if bool(args.annotation) != (args.upstream is not None) or (args.genes and not args.annotation):
        raise InputError("--annotation needs --upstream; --upstream and --genes need --annotation.")
    if args.annotation and args.gene_start is not None:
        raise InputError("--gene-start is not for genes of an annotation, which says where they begin: leave it out.")
    if args.layer and (len(args.networks) > 1 or args.reverse_complement or args.shifts != [0] or args.tasks):
        raise InputError("--layer is for one network and one view: leave out --reverse-complement, --shifts and --tasks.")
    params = read_params(args.params) if args.params else None
    from cisnake.model import WindowViews, configure_devices, layer_model, read_network, write_window_predictions

    configure_devices(args.threads, 0)
    models = [read_network(path, params, args.head) for path in args.networks]
    length = models[0].input_shape[1]
    if args.layer:
        models = [layer_model(models[0], args.layer)]
    tasks, strand_pair = read_network_tasks(args.tasks, models[0].output_shape[-1])
    windows = find_windows(args, length)
    views = WindowViews(args.shifts, args.reverse_complement, strand_pair)
    n = write_window_predictions(windows, models, tasks, args.output, views, args.gene_start, args.batch_size)
    program.log.info("%d windows predicted by %d networks", n, len(models))


def find_windows(args: argparse.Namespace, length: int) -> Iterator[GivenWindow]:
    """Return the windows to predict."""
    if args.sequences:
        return read_sequences(args.sequences, length)
    if args.regions:
        return read_region_windows(args.regions, Genome(args.genome), length)
    if not 0 < args.upstream < length:
        raise InputError(f"--upstream is {args.upstream}: with windows of {length} bases, it must be from 1 to {length - 1}.")
    placed = configuration.section("windows", upstream=args.upstream, downstream=length - args.upstream)
    return read_gene_windows(args.annotation, Genome(args.genome), configuration.section("annotation"), placed, args.genes)


if __name__ == "__main__":
    program.run(main, parser())
