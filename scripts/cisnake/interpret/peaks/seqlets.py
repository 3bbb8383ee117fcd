"""Seqlets: spans of attribution in which every sub-span is unlikely given the distribution of all attributions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.interpret.peaks.spans import Blocks, Caller, as_blocks, call_spans, no_spans, span_table

_N_BINS = 1000


@dataclass(frozen=True)
class RecursiveSeqlets:
    """Settings of `recursive_seqlets`.

    Attributes
    ----------
    threshold: float
        Every part of a span has a smaller p-value. Default is 0.01.
    min_length, max_length: int
        Shortest and longest span in bases, both included. Defaults are 4 and 25.

    Raises
    ------
    InputError
        Lengths or threshold that make no sense.
    """

    threshold: float = 0.01
    min_length: int = 4
    max_length: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"peaks: threshold must lie between 0 and 1, not {self.threshold}.")
        if not 2 <= self.min_length <= self.max_length:
            raise InputError(
                f"peaks: lengths must satisfy 2 <= min_length ({self.min_length}) <= max_length ({self.max_length})."
            )

    def fit(self, blocks: Blocks) -> Caller:
        """Return the caller of seqlets of either sign, with bins and null distribution of the given scores.

        Spans of other scores, as of shuffled windows, are then called against this null; scores beyond its range fall into the
        outermost bins. Where nearly all scores are negative the highest spans may be negative too: only spans whose sum has the
        sign that they are called for are kept.

        Parameters
        ----------
        blocks: Blocks
            Read twice.
        """
        caller = _fit(blocks, self, signs=(1, -1))

        def call(scores: np.ndarray) -> pd.DataFrame:
            spans = caller(scores)
            return spans[spans["attribution"] * spans["sign"] > 0]

        return call


@dataclass(frozen=True, eq=False)
class _Null:
    """The null of one sign: bins from `low` on, each `width` wide, and the tails R_m of sums of m of them."""

    low: float
    width: float
    tails: list[np.ndarray]


def recursive_seqlets(
    scores: np.ndarray | Blocks, threshold: float = 0.01, min_length: int = 4, max_length: int = 25
) -> pd.DataFrame:
    """Return the spans of positive attribution whose every inner span is unlikely too.

    Scores a are cut into 1000 equal bins between their least and greatest, b = floor((a - min) / width); S_m is the m-fold
    convolution of their distribution over all genes and positions with itself, and R_m its sum from the top, summed from the
    small end so that small tails keep their digits. A span of length m has p = R_m[sum of b]. It is called when it and every
    span of at least `min_length` within it have p < `threshold`. Called spans are taken longest first, then by the greatest p
    of the spans that share their start (then upstream first), leaving out what overlaps one taken before.

    p ranks spans: neighbours are not independent, and the null is the distribution of the attributions themselves, signal
    included; it is no error rate. Negative peaks are those of -a. After tangermeme 1.6.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or callable
        Projected attribution, one score a position. A callable returns an iterable of such arrays of consecutive genes each
        time it is called, and is called three times, so that memory is that of one block. Blocks do not change the result.
    threshold: float
        Default is 0.01.
    min_length, max_length: int
        Shortest and longest span, both included. Defaults are 4 and 25.

    Returns
    -------
    pandas.DataFrame
        row (of the gene), start, end (half-open, in the window), attribution (sum of scores), p_value (the span's own); sorted
        by row and start. Empty when all scores are the same.

    Raises
    ------
    InputError
        Lengths or threshold that make no sense, or scores that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks import recursive_seqlets
    >>> scores = np.random.default_rng(0).normal(size=(20, 100))
    >>> scores[3, 40:48] += 5
    >>> spans = recursive_seqlets(scores, threshold=0.001)
    >>> spans[["row", "start", "end"]].to_numpy().tolist()
    [[3, 38, 50]]
    """
    blocks = as_blocks(scores)
    caller = _fit(blocks, RecursiveSeqlets(threshold, min_length, max_length), signs=(1,))
    return call_spans(caller, blocks())[["row", "start", "end", "attribution", "p_value"]]


def _fit(blocks: Blocks, settings: RecursiveSeqlets, signs: Sequence[int]) -> Caller:
    nulls = _nulls(blocks, settings.max_length, signs)

    def call(scores: np.ndarray) -> pd.DataFrame:
        spans = [no_spans()]
        for sign, null in nulls.items():
            bins = _bins(sign * scores, null.low, null.width)
            row, start, end, p_value = _spans(bins, null.tails, settings)
            spans.append(span_table(scores, row, start, end, np.full(len(row), sign), p_value))
        return pd.concat(spans, ignore_index=True)

    return call


def _nulls(blocks: Blocks, max_length: int, signs: Sequence[int]) -> dict[int, _Null]:
    """Return the null of each sign; none where all scores are the same."""
    low, high = _range(blocks())
    if not low < high:
        return {}
    width = (high - low) / (_N_BINS - 1)
    lows = {sign: low if sign > 0 else -high for sign in signs}
    counts = {sign: np.zeros(_N_BINS) for sign in signs}
    for block in blocks():
        for sign in signs:
            counts[sign] += np.bincount(_bins(sign * block, lows[sign], width).ravel(), minlength=_N_BINS)
    return {sign: _Null(lows[sign], width, _tails(counts[sign] / counts[sign].sum(), max_length)) for sign in signs}


def _range(blocks: Iterable[np.ndarray]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for block in blocks:
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
    return low, high


def _bins(scores: np.ndarray, low: float, width: float) -> np.ndarray:
    bins = scores.astype(np.float64)
    bins -= low
    bins /= width
    # Cut off before and after: what is far out of the range would not fit into an integer, and below zero does not round down.
    return np.clip(bins, 0, _N_BINS - 1, out=bins).astype(np.int32)


def _tails(distribution: np.ndarray, max_length: int) -> list[np.ndarray]:
    """Return R_m for m = 0 .. max_length: the chance that m independent bins sum to at least that index."""
    sums, tails = np.ones(1), [np.ones(1)]
    for _ in range(max_length):
        # Convolved directly: the error of an FFT would swallow the small tails.
        sums = np.convolve(sums, distribution)
        tails.append(np.minimum(np.cumsum(sums[::-1])[::-1], 1))
    return tails


def _spans(
    bins: np.ndarray, tails: Sequence[np.ndarray], settings: RecursiveSeqlets
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, start, end and p of the called spans of one block, without overlaps.

    A span is called when it passes itself and the two spans one base shorter within it are called, so that only the
    neighbourhoods of called spans are ever looked at again. `position` counts through the genes of the block.
    """
    position, total, p_value = _shortest_spans(bins, tails, settings)
    greatest, flat = p_value, bins.ravel()
    candidates = []
    for m in range(settings.min_length, settings.max_length + 1):
        if not len(position):
            break
        candidates.append((m, position, greatest, p_value))
        # Spans of m + 1: both inner spans of m are called. The last starts of a gene and the first of the next are never
        # neighbours, as every span is of two bases at least.
        both = np.flatnonzero(position[1:] == position[:-1] + 1)
        if m == settings.max_length or not len(both):
            break
        total = total[both] + flat[position[both] + m]
        p_value = tails[m + 1][total]
        passes = p_value < settings.threshold
        position, total, p_value = position[both][passes], total[passes], p_value[passes]
        greatest = np.maximum(p_value, greatest[both][passes])
    return _without_overlaps(candidates, *bins.shape)


def _shortest_spans(
    bins: np.ndarray, tails: Sequence[np.ndarray], settings: RecursiveSeqlets
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return position, sum of bins and p of the called spans of the least length."""
    n, length = bins.shape
    size = settings.min_length
    if not n or length < size:
        return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0)
    total = bins[:, : length - size + 1].copy()
    for k in range(1, size):
        total += bins[:, k : length - size + 1 + k]
    # The tails fall: a sum passes from some value on, and p is looked up for those that pass only.
    row, start = np.nonzero(total >= np.count_nonzero(tails[size] >= settings.threshold))
    total = total[row, start]
    return row * length + start, total, tails[size][total]


def _without_overlaps(
    candidates: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]], n: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Take candidates, a tuple (length, positions, greatest p, own p) for each length in rising order, the longest first."""
    taken = bytearray(n * length)
    seen = np.frombuffer(taken, np.uint8)
    first, last, p_value = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for m, position, greatest, p_of_length in reversed(candidates):
        # Longer spans came before: one that overlaps this one covers one of its ends. Most fall here, outside of the loop.
        free = np.flatnonzero((seen[position] == 0) & (seen[position + m - 1] == 0))
        free = free[np.lexsort((position[free], greatest[free]))]
        marks, kept = b"\x01" * m, []
        for index, at in zip(free.tolist(), position[free].tolist(), strict=True):
            if not taken[at] and not taken[at + m - 1]:
                taken[at : at + m] = marks
                kept.append(index)
        chosen = np.array(kept, np.int64)
        first.append(position[chosen])
        last.append(position[chosen] + m)
        p_value.append(p_of_length[chosen])
    starts = np.concatenate(first)
    row = starts // max(length, 1)
    return row, starts - row * length, np.concatenate(last) - row * length, np.concatenate(p_value)
