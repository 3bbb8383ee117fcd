"""Join the attribution shards of a contrast into one file, and write the attributions as a BigWig track.

Also writes a table with the prediction quality of each gene and the reliability of its attributions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import configuration, program
from cisnake.data.genome import Genome
from cisnake.files import write_table
from cisnake.interpret.attribution import AttributionFile, collect_shards, quality_table, shard_file, write_bigwig


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    configuration.add_options(p, "collect_attributions")
    p.add_argument("--shards", type=Path, required=True, metavar="DIR", help="folder of the contrast, from attribute_genes.py")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    p.add_argument("--output-bigwig", type=Path, required=True, metavar="BW")
    p.add_argument("--output-quality", type=Path, required=True, metavar="TSV")
    return p


def main(args: argparse.Namespace) -> None:
    n_shards = configuration.read(args, "collect_attributions").attribution.n_shards
    collect_shards([shard_file(args.shards, number) for number in range(n_shards)], args.output)
    write_bigwig(args.output, Genome(args.genome).sizes, args.output_bigwig)
    table = quality_table(AttributionFile(args.output))
    write_table(table, args.output_quality)
    trained, poor = ((table[column] == value).sum() for column, value in (("split", "train"), ("prediction", "poor")))
    program.log.info(
        "%d genes, of these %d in the training split of their models and %d predicted poorly", len(table), trained, poor
    )


if __name__ == "__main__":
    program.run(main, parser())
