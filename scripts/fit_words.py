"""Fit the words of a network: a linear model of the words (k-mers) in a window, which is added to every network of the fold.

The penalties are chosen on validation genes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from cisnake import configuration, program
from cisnake.data.dataset import labels_for_fold, open_dataset, read_codes, read_windows
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.words import fit_words, word_blocks, write_word_table


def parser() -> argparse.ArgumentParser:
    p = program.argument_parser(__doc__)
    p.add_argument("--dataset", type=Path, required=True, metavar="H5", help="training data: dataset.h5")
    configuration.add_options(p, "fit_words")
    p.add_argument("--fold", type=int, default=0, help="fold whose genes are held out (default: 0)")
    p.add_argument("--output", type=Path, required=True, metavar="H5", help="table of words")
    return p


def main(args: argparse.Namespace) -> None:
    upstream = configuration.read(args, "fit_words").windows.upstream
    codes, labels = {}, {}
    with open_dataset(args.dataset) as file:
        role = split_for_fold(read_windows(file), args.fold, int(file.attrs["n_folds"]))
        pad, length = int(file["pad"][()]), int(file["seq_len"][()])
        for split in ("train", "val"):
            rows = np.flatnonzero(role == split)
            if not len(rows):
                raise InputError(f"no gene is in the split {split}: check the section 'splits' of the configuration.")
            codes[split] = read_codes(file, rows, pad, pad + length)
            labels[split] = labels_for_fold(file, rows, args.fold)
    write_word_table(fit_words(codes, labels, word_blocks(upstream, length - upstream)), args.output)


if __name__ == "__main__":
    program.run(main, parser())
