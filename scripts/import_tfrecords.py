"""Convert a data folder of Basenji or Baskerville to a Cisnake data set.

Sequences, targets, splits (valid becomes val) and folds are preserved exactly, so models of both packages can be trained on the
same examples. The transform of the targets is read from targets.txt, so that predictions can be converted back to coverage; so
are the strand pairs of targets.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from cisnake import __version__, program
from cisnake.data.basenji import Examples, read_folder, read_target_transform
from cisnake.data.coverage import ORDERS
from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.files import file_sha256


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument(
        "--folder",
        type=Path,
        required=True,
        metavar="DIR",
        help="data folder with statistics.json, sequences.bed and tfrecords/",
    )
    p.add_argument("--genome", type=Path, metavar="FASTA", help="genome of the data set; its name and checksum are stored")
    p.add_argument(
        "--order",
        choices=ORDERS,
        default="new",
        help="order of the target transform; old: as with --transform_old (default: new)",
    )
    p.add_argument("--output", type=Path, required=True, metavar="H5")
    return p


def main(args: argparse.Namespace) -> None:
    folder = read_folder(args.folder)
    attributes = {
        "n_folds": folder.n_folds,
        "genome": args.genome.name if args.genome else "",
        "genome_sha256": file_sha256(args.genome) if args.genome else "",
        "sequences_bed_sha256": file_sha256(args.folder / "sequences.bed"),
        "cisnake_version": __version__,
    }
    examples, transform = Examples(folder), read_target_transform(args.folder, args.order)
    sequences: Any = examples  # takes the place of a genome
    labels = Labels(examples.labels, folder.tasks, transform, strand_pair=folder.strand_pair)
    layout = Layout(bin_size=folder.bin_size, crop=folder.crop)
    write_dataset(args.output, folder.windows, labels, sequences, layout, attributes)
    counts = folder.windows["fold" if folder.n_folds > 1 else "split"].value_counts().to_dict()
    program.log.info("%d windows (%s), %d tasks written to %s", len(folder.windows), counts, len(folder.tasks), args.output)


if __name__ == "__main__":
    program.run(main, parser())
