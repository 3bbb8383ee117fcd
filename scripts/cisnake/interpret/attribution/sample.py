"""Which genes of a run are shuffled or checked, and what is drawn for them: the same however the genes are cut into shards."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from cisnake.data.genome import N
from cisnake.interpret.nulls import dinucleotide_shuffle

# Agreement with mutagenesis is measured at all positions of windows up to this length, and at so many of longer ones.
WHOLE_WINDOW, SAMPLED_POSITIONS = 512, 256


def deal_evenly(count: int, n: int) -> np.ndarray:
    """Return how many of `count` draws each of n genes gets, spread evenly over their order; shape=(n,), dtype=int64.

    Numbers differ by one at most: with more draws than genes every gene gets some.
    """
    return np.bincount(((2 * np.arange(count) + 1) * n) // (2 * max(count, 1)), minlength=n) if n else np.zeros(0, np.int64)


def gene_rng(gene: str, seed: int, *purpose: int) -> np.random.Generator:
    """Return a generator that depends on a gene's id, the seed, and what the draws are for, and on nothing else."""
    return np.random.default_rng([seed, zlib.crc32(gene.encode()), *purpose])


def shuffled_windows(codes: np.ndarray, genes: Sequence[str], copies: Sequence[int], seed: int) -> np.ndarray:
    """Return dinucleotide shuffles of windows.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    genes: sequence of str
        The gene of each window.
    copies: sequence of int
        The number of each shuffle among those of its gene.
    seed: int

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=int8
    """
    shuffled = np.empty_like(codes)
    for row, (window, gene, copy) in enumerate(zip(codes, genes, copies, strict=True)):
        shuffled[row] = dinucleotide_shuffle(window, gene_rng(gene, seed, 0, copy))
    return shuffled


def sampled_positions(codes: np.ndarray, genes: Sequence[str], seed: int) -> np.ndarray:
    """Return where windows are mutated: where they have a base, or at some of these positions if the window is long.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    genes: sequence of str
        The gene of each window.
    seed: int

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=bool
    """
    known = codes != N
    if codes.shape[1] <= WHOLE_WINDOW:
        return known
    chosen = np.zeros_like(known)
    for row, gene in enumerate(genes):
        bases = np.flatnonzero(known[row])
        chosen[row, gene_rng(gene, seed, 1).permutation(bases)[:SAMPLED_POSITIONS]] = True
    return chosen
