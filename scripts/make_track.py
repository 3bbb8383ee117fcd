"""Turn aligned reads, fragments or regions into a BigWig track of coverage.

BAM and files of fragments give the fragments over each base, or the ends of fragments at each base; BED and narrowPeak give 1
in their regions and 0 elsewhere.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from cisnake import program
from cisnake.data.coverage import CountSettings, write_track
from cisnake.data.genome import Genome


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--input", type=Path, required=True, metavar="FILE", help="BAM, table of fragments, or BED")
    p.add_argument("--format", choices=("bam", "fragments", "bed"), required=True, help="what the file is")
    p.add_argument("--genome", type=Path, required=True, metavar="FASTA", help="whose chromosomes the track has")
    p.add_argument(
        "--count",
        type=json.loads,
        default={},
        metavar="JSON",
        help="what is counted: count (fragments, ends or reads), shift, extend, strand, min_mapq, keep_duplicates, cpm",
    )
    p.add_argument("--output", type=Path, required=True, metavar="BW")
    return p


def main(args: argparse.Namespace) -> None:
    n = write_track(args.input, args.format, Genome(args.genome).sizes, args.output, CountSettings.from_dict(args.count))
    program.log.info("%d counted, written to %s", n, args.output)


if __name__ == "__main__":
    program.run(main, parser())
