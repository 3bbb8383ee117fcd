"""Write an HDF5 data set of coverage: windows of the genome and, in bins, what each track holds there.

Tiles of the genome are for training. For windows of genes, the bins that are a gene's own are stored too: their sum is the
gene's value.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cisnake import __version__, configuration, program
from cisnake.data.annotation import exons_of_genome
from cisnake.data.coverage import CoverageReader, CoverageSettings, GeneBins, as_bigwigs, clipped, negative_tracks, read_tracks
from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.data.genome import Genome
from cisnake.data.windows import read_genes_table
from cisnake.files import digest, file_sha256


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "write_coverage")
    p.add_argument("--windows", type=Path, required=True, metavar="TSV", help="tiles.tsv, or genes.tsv")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks")
    p.add_argument("--converted", type=Path, required=True, metavar="DIR", help="BigWigs of the tracks that are none")
    p.add_argument("--blacklist", type=Path, metavar="BED", help="regions whose coverage is cut to the window's baseline")
    p.add_argument("--unmappable", type=Path, metavar="BED", help="regions to which no read can be assigned")
    p.add_argument("--gene-bins", action="store_true", help="the windows are of genes: store which bins are a gene's own")
    p.add_argument("--gtf", type=Path, metavar="GTF", help="annotation, where exons are a gene's own")
    p.add_argument("--processes", type=int, default=1, help="that read tracks side by side (default: 1)")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    return p


def main(args: argparse.Namespace) -> None:
    configured = configuration.read(args, "write_coverage")
    targets = configured.targets
    windows, genome = read_genes_table(args.windows), Genome(args.genome)
    table = as_bigwigs(read_tracks(args.tracks, configured.run.data_dir or "."), args.converted)
    settings = CoverageSettings.from_targets(targets, args.blacklist, args.unmappable)
    reader = CoverageReader(table, windows, genome.sizes, targets.bin_size, targets.crop, settings)
    warn(reader)
    bins = None
    if args.gene_bins:
        exons = exons_of_genome(args.gtf, genome.sizes) if targets.gene_score.region == "exons" else None
        bins = GeneBins(windows, **vars(targets.gene_score), bin_size=targets.bin_size, crop=targets.crop, exons=exons)
    attributes = {
        "n_folds": configured.splits.folds or 1,
        "genome": args.genome.name,
        "genome_sha256": file_sha256(args.genome),
        "tracks_sha256": digest(*map(file_sha256, table["file"])),
        "coverage_settings": json.dumps(vars(settings) | {"clip_pct": targets.clip_pct}, default=str),
        "cisnake_version": __version__,
    }
    values = clipped(reader, targets.clip_pct, args.processes)
    labels = Labels(values, list(table["identifier"]), reader.transform.to_dict(), bins, table["strand_pair"].to_numpy())
    layout = Layout(configured.windows.max_shift, targets.bin_size, targets.crop)
    write_dataset(args.output, windows, labels, genome, layout, attributes, args.processes)
    program.log.info("%d windows, %d tasks, %d bins written to %s", len(windows), len(table), reader.bins, args.output)


def warn(reader: CoverageReader) -> None:
    """Name the tracks that lack a chromosome, and those whose labels go below 0."""
    for identifier, chroms in reader.missing.groupby("identifier")["chrom"]:
        program.log.warning("%s has no data on %s: zeros", identifier, ", ".join(chroms))
    if negative := negative_tracks(reader):
        program.log.warning(
            "labels go below 0, where a gene's value counts 0: if these strands are stored so, give them a negative scale: %s",
            ", ".join(negative),
        )


if __name__ == "__main__":
    program.run(main, parser())
