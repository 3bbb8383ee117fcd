"""Counts of k-mers (words of k bases) in sequences."""

from __future__ import annotations

import numpy as np

WORDS = ("stranded", "canonical")

# Bases per block, which bounds memory.
_BLOCK_BASES = 1 << 24


def count_kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Count the k-mers of sequences as they are written, from 5' to 3'.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        A0 C1 G2 T3 N4. K-mers that contain an N are not counted.
    k: int
        At most 10.

    Returns
    -------
    numpy.ndarray, shape=(n, 4^k), dtype=float32
        Columns in alphabetical order.

    Examples
    --------
    >>> from cisnake.data.genome import encode
    >>> from cisnake.words import count_kmers
    >>> count_kmers(encode("ACGTNA")[None], 1).astype(int).tolist()
    [[2, 1, 1, 1]]
    """
    n, length = codes.shape
    counts = np.zeros((n, 4**k), np.float32)
    if length < k:
        return counts
    step = max(1, _BLOCK_BASES // length)
    for first in range(0, n, step):
        block = codes[first : first + step]
        at = np.zeros((len(block), length - k + 1), dtype=np.int32)
        known = np.ones_like(at, dtype=bool)
        for i in range(k):
            base = block[:, i : length - k + 1 + i]
            at = 4 * at + np.minimum(base, 3)
            known &= base < 4
        word = np.repeat(np.arange(len(block)), known.sum(axis=1)) * 4**k + at[known]
        counts[first : first + step] = np.bincount(word, minlength=len(block) * 4**k).reshape(len(block), -1)
    return counts


def add_reverse_complements(counts: np.ndarray) -> np.ndarray:
    """Add the counts of each k-mer and of its reverse complement, whose sum does not depend on the strand.

    Parameters
    ----------
    counts: numpy.ndarray, shape=(n, 4^k)
        As `count_kmers` returns them.

    Returns
    -------
    numpy.ndarray, shape=(n, k-mers)
        (4^k + palindromes) / 2 columns, in the alphabetical order of whichever of the two k-mers sorts first. A palindrome,
        which is its own reverse complement, is counted once.

    Examples
    --------
    AC and its reverse complement GT are counted together. The canonical 2-mers are AA AC AG AT CA CC CG GA GC TA.

    >>> from cisnake.data.genome import encode
    >>> from cisnake.words import add_reverse_complements, count_kmers
    >>> add_reverse_complements(count_kmers(encode("ACGTNA")[None], 2)).astype(int).tolist()
    [[0, 2, 0, 0, 0, 0, 1, 0, 0, 0]]
    """
    reverse = _reverse_complements(counts.shape[1])
    first = np.flatnonzero(np.arange(len(reverse)) <= reverse)
    palindromes = reverse[first] == first
    return counts[:, first] + np.where(palindromes, 0, counts[:, reverse[first]]).astype(counts.dtype)


def spread_to_strands(values: np.ndarray, k: int) -> np.ndarray:
    """Return the values of all k-mers from those of canonical ones: a k-mer and its reverse complement get the same.

    Parameters
    ----------
    values: numpy.ndarray, shape=(canonical k-mers, ...)
        In the order of `add_reverse_complements`.
    k: int

    Returns
    -------
    numpy.ndarray, shape=(4^k, ...)
    """
    first = np.minimum(np.arange(4**k), _reverse_complements(4**k))
    return values[np.searchsorted(np.unique(first), first)]


def _reverse_complements(n: int) -> np.ndarray:
    """Return the number of the reverse complement of each k-mer, given the number of k-mers."""
    rest, reverse = np.arange(n), np.zeros(n, dtype=np.int64)
    for _ in range((n.bit_length() - 1) // 2):
        reverse, rest = 4 * reverse + 3 - rest % 4, rest // 4
    return reverse


def kmer_features(counts: np.ndarray, words: str, scale: str) -> np.ndarray:
    """Return the predictors of a ridge regression from k-mer counts; shape=(n, k-mers), dtype=float64.

    Parameters
    ----------
    counts: numpy.ndarray, shape=(n, 4^k)
        As `count_kmers` returns them.
    words: str
        "stranded": each k-mer by itself. "canonical": a k-mer and its reverse complement count as one.
    scale: str
        "log1p" for log(1 + count), or "counts".
    """
    counts = add_reverse_complements(counts) if words == "canonical" else counts
    return np.log1p(counts, dtype=np.float64) if scale == "log1p" else counts.astype(np.float64)
