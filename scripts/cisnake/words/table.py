"""A linear model of the words in a window: each occurrence of a word adds the word's entry in a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from cisnake.errors import InputError
from cisnake.files import open_hdf5, write_whole
from cisnake.words.kmers import count_kmers

# Bases on either side of the anchor that have three-base words of their own: core promoter, and start of the transcript.
_CORE = 150


class WordBlock(NamedTuple):
    """Words of one length in one part of the window.

    A word belongs to the block if it begins at `start`, `start + step`, ... before `end` (in bases from the start of the
    window) and ends within the window. If `canonical`, a word and its reverse complement have the same entry in the table.
    """

    k: int
    start: int
    end: int
    step: int = 1
    canonical: bool = False


def word_blocks(upstream: int, downstream: int) -> list[WordBlock]:
    """Return the blocks of words for a window.

    - Words of six bases in the whole window, whatever their strand: sites of many transcription factors.
    - Words of five bases upstream and downstream of the anchor, by strand: a promoter and a transcript are different things.
    - Words of three bases in the core promoter, in the start of the transcript, and in the rest of either side.
    - Words of three bases downstream of the anchor, in each of three frames. If the anchor is a start codon, one frame counts
      codons, whose usage predicts the level of many transcripts.

    Parameters
    ----------
    upstream, downstream: int
        Bases on either side of the anchor; `downstream` includes the anchor base.

    Examples
    --------
    >>> from cisnake.words import word_blocks
    >>> for block in word_blocks(400, 50):
    ...     print(*block)
    6 0 450 1 True
    5 0 400 1 False
    5 400 450 1 False
    3 0 250 1 False
    3 250 400 1 False
    3 400 450 1 False
    3 400 450 3 False
    3 401 450 3 False
    3 402 450 3 False
    """
    anchor, length = upstream, upstream + downstream
    edges = [0, max(anchor - _CORE, 0), anchor, min(anchor + _CORE, length), length]
    blocks = [WordBlock(6, 0, length, canonical=True), WordBlock(5, 0, anchor), WordBlock(5, anchor, length)]
    blocks += [WordBlock(3, start, end) for start, end in pairwise(edges)]
    blocks += [WordBlock(3, anchor + frame, length, 3) for frame in range(3)]
    return [block for block in blocks if block.start < block.end and block.start + block.k <= length]


def count_words(codes: np.ndarray, blocks: Sequence[WordBlock]) -> np.ndarray:
    """Count the words of sequences, block by block.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        A0 C1 G2 T3 N4. Words that contain an N are not counted.
    blocks: sequence of WordBlock

    Returns
    -------
    numpy.ndarray, shape=(n, words), dtype=float32
        The words of each block in alphabetical order.

    Examples
    --------
    >>> from cisnake.data.genome import encode
    >>> from cisnake.words import WordBlock, count_words
    >>> count_words(encode("ACGTC")[None], [WordBlock(1, 0, 3), WordBlock(1, 1, 5, 3)]).astype(int).tolist()
    [[1, 1, 1, 0, 0, 2, 0, 0]]
    """
    counts = []
    for block in blocks:
        last = min(block.end, codes.shape[1] - block.k + 1)
        starts = np.arange(block.start, last, block.step)
        if block.step == 1:
            counts.append(count_kmers(codes[:, block.start : max(last, block.start) + block.k - 1], block.k))
        else:
            words = codes[:, starts[:, None] + np.arange(block.k)]
            counts.append(np.sum([count_kmers(words[:, at], block.k) for at in range(len(starts))], axis=0))
    return np.concatenate(counts, axis=1)


@dataclass(frozen=True)
class WordTable:
    """A fitted linear model of words for one fold.

    The prediction for a window is `intercept` plus the entry of each of its words, in standard deviations of the labels.

    Attributes
    ----------
    blocks: tuple of WordBlock
    table: numpy.ndarray, shape=(words, tasks), dtype=float32
        The words of each block in alphabetical order, block by block.
    intercept: numpy.ndarray, shape=(tasks,), dtype=float32
    mean_penalty, deviation_penalty: float
        Penalties of the mean over tasks, and of the deviations of tasks from it.
    """

    blocks: tuple[WordBlock, ...]
    table: np.ndarray
    intercept: np.ndarray
    mean_penalty: float
    deviation_penalty: float

    def predict(self, codes: np.ndarray) -> np.ndarray:
        """Return the predictions for windows, shape=(n, length) int8, in standard deviations; shape=(n, tasks) float32."""
        return count_words(codes, self.blocks) @ self.table + self.intercept


def write_word_table(table: WordTable, path: Path) -> None:
    """Write a table as HDF5."""
    with write_whole(path) as part, h5py.File(part, "w") as file:
        file["blocks"] = np.array(table.blocks, dtype=np.int64)
        file.create_dataset("table", data=table.table, compression="gzip", shuffle=True)
        file["intercept"] = table.intercept
        file.attrs["mean_penalty"], file.attrs["deviation_penalty"] = table.mean_penalty, table.deviation_penalty


def read_word_table(path: Path, n_tasks: int, length: int) -> WordTable:
    """Read a table from `write_word_table` for a network.

    Parameters
    ----------
    path: Path
    n_tasks, length: int
        Tasks and window length of the network.

    Raises
    ------
    InputError
        The file is missing or damaged, or the table is for other tasks or windows.
    """
    with open_hdf5(path, "a table of words", "run the rule fit_words again") as file:
        blocks = tuple(WordBlock(k, start, end, step, bool(both)) for k, start, end, step, both in file["blocks"][:].tolist())
        penalties = (float(file.attrs[name]) for name in ("mean_penalty", "deviation_penalty"))
        table = WordTable(blocks, file["table"][:], file["intercept"][:], *penalties)
    if table.table.shape[1] != n_tasks or max(block.end for block in blocks) > length:
        raise InputError(f"{path} is for other tasks or windows than the network: run the rule fit_words again.")
    return table
