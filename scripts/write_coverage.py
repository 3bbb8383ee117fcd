"""Write an HDF5 data set of coverage: windows of the genome and, in bins, what each track holds there.

Tiles of the genome are for training. For windows of genes, the bins that are a gene's own are stored too: their sum is the
gene's value.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cisnake import __version__, program
from cisnake.data.annotation import exons_of_genome
from cisnake.data.coverage import CoverageReader, CoverageSettings, GeneBins, as_bigwigs, clipped, negative_tracks, read_tracks
from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.data.genome import Genome
from cisnake.data.windows import read_genes_table
from cisnake.files import digest, file_sha256


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--windows", type=Path, required=True, metavar="TSV", help="tiles.tsv, or genes.tsv")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks")
    p.add_argument("--data-dir", type=Path, default=Path(), metavar="DIR", help="where its files are (default: here)")
    p.add_argument("--converted", type=Path, required=True, metavar="DIR", help="BigWigs of the tracks that are none")
    p.add_argument("--settings", type=json.loads, default={}, metavar="JSON", help="fields of CoverageSettings")
    p.add_argument("--bin-size", type=int, required=True, metavar="BASES")
    p.add_argument("--crop", type=int, default=0, metavar="BASES", help="at either end, without bins (default: 0)")
    p.add_argument("--clip-pct", type=float, default=1.0, metavar="Q", help="cut tracks at this quantile (default: 1)")
    p.add_argument("--gene-score", type=json.loads, metavar="JSON", help="of genes: region, upstream, downstream")
    p.add_argument("--gtf", type=Path, metavar="GTF", help="for the region exons")
    p.add_argument("--max-shift", type=int, default=0, metavar="BASES", help="by which training may move a window (default: 0)")
    p.add_argument("--folds", type=int, default=1, help="number of folds; 1 for one fixed split (default: 1)")
    p.add_argument("--processes", type=int, default=1, help="that read tracks side by side (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    return p


def main(args: argparse.Namespace) -> None:
    windows, genome = read_genes_table(args.windows), Genome(args.genome)
    table = as_bigwigs(read_tracks(args.tracks, args.data_dir), args.converted)
    settings = CoverageSettings(**args.settings)
    reader = CoverageReader(table, windows, genome.sizes, args.bin_size, args.crop, settings)
    for identifier, chroms in reader.missing.groupby("identifier")["chrom"]:
        program.log.warning("%s has no data on %s: zeros", identifier, ", ".join(chroms))
    if negative := negative_tracks(reader):
        program.log.warning(
            "labels go below 0, where a gene's value counts 0: if these strands are stored so, give them a negative scale: %s",
            ", ".join(negative),
        )
    bins = None
    if args.gene_score:
        exons = exons_of_genome(args.gtf, genome.sizes) if args.gene_score["region"] == "exons" else None
        bins = GeneBins(windows, **args.gene_score, bin_size=args.bin_size, crop=args.crop, exons=exons)
    attributes = {
        "n_folds": args.folds,
        "genome": args.genome.name,
        "genome_sha256": file_sha256(args.genome),
        "tracks_sha256": digest(*map(file_sha256, table["file"])),
        "coverage_settings": json.dumps(args.settings | {"clip_pct": args.clip_pct}),
        "strand_pair": table["strand_pair"].to_numpy(np.int32),
        "cisnake_version": __version__,
    }
    values = clipped(reader, args.clip_pct, args.processes)
    labels = Labels(values, list(table["identifier"]), reader.transform.to_dict(), bins)
    layout = Layout(args.max_shift, args.bin_size, args.crop)
    write_dataset(args.output, windows, labels, genome, layout, attributes, args.processes)
    program.log.info("%d windows, %d tasks, %d bins written to %s", len(windows), len(table), reader.bins, args.output)


if __name__ == "__main__":
    program.run(main, parser())
