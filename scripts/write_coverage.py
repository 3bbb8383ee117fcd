"""Write an HDF5 data set of coverage: windows of the genome, with the binned coverage of each track.

Tiles of the genome are used for training. For windows of genes, the bins that score the gene are stored as well: the value of
the gene is computed from their sum.
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
    p.add_argument("--windows", type=Path, required=True, metavar="TSV", help="tiles.tsv or genes.tsv")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--tracks", type=Path, required=True, metavar="TSV", help="table of tracks")
    p.add_argument(
        "--converted", type=Path, required=True, metavar="DIR", help="folder of BigWigs converted from other formats"
    )
    p.add_argument(
        "--blacklist", type=Path, metavar="BED", help="regions in which coverage is clipped to the window's baseline"
    )
    p.add_argument("--unmappable", type=Path, metavar="BED", help="unmappable regions")
    p.add_argument("--gene-bins", action="store_true", help="windows are of genes: store the bins that score each gene")
    p.add_argument("--gtf", type=Path, metavar="GTF", help="annotation, required if genes are scored over their exons")
    p.add_argument("--processes", type=int, default=1, help="number of processes that read tracks (default: 1)")
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
    """Log tracks that lack a chromosome, and tracks with negative labels."""
    for identifier, chroms in reader.missing.groupby("identifier")["chrom"]:
        program.log.warning("%s has no data on %s: its coverage is set to 0 there", identifier, ", ".join(chroms))
    if negative := negative_tracks(reader):
        program.log.warning(
            "labels below 0 count as 0 in gene values; for strands stored as negative values, set a negative scale: %s",
            ", ".join(negative),
        )


if __name__ == "__main__":
    program.run(main, parser())
