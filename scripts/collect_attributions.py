"""Join the shards of a contrast's attributions to one file, and write their sum over nucleotides as a BigWig track."""

from __future__ import annotations

import argparse
from pathlib import Path

from cisnake import program
from cisnake.data.genome import Genome
from cisnake.interpret import attribution_tracks


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--shards", type=Path, required=True, nargs="+", metavar="H5")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    p.add_argument("--output-bigwig", type=Path, required=True, metavar="BW")
    return p


def main(args: argparse.Namespace) -> None:
    attribution_tracks.collect_shards(args.shards, args.output)
    attribution_tracks.write_bigwig(args.output, Genome(args.genome).sizes, args.output_bigwig)


if __name__ == "__main__":
    program.run(main, parser())
