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
        Upper limit on the p-value of every sub-span. Default is 0.01.
    min_length, max_length: int
        Minimum and maximum length of a span in bases, inclusive. Defaults are 4 and 25.

    Raises
    ------
    InputError
        A length or the threshold is out of range.
    """

    threshold: float = 0.01
    min_length: int = 4
    max_length: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise InputError(f"peaks: threshold is {self.threshold}: set it between 0 and 1.")
        if not 2 <= self.min_length <= self.max_length:
            raise InputError(
                f"peaks: lengths must satisfy 2 <= min_length ({self.min_length}) <= max_length ({self.max_length})."
            )

    def fit(self, blocks: Blocks) -> Caller:
        """Return a caller of seqlets of either sign, with bins and null distributions computed from the scores.

        The caller applies this null distribution to any scores, such as those of shuffled windows. Scores beyond its range are
        assigned to the outermost bins. If nearly all scores are negative, the highest spans may be negative too; only spans
        whose sum has the sign for which they were called are kept.

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
    """The null distribution for one sign: bins of size `width` starting at `low`, and the tails R_m of sums of m bins."""

    low: float
    width: float
    tails: list[np.ndarray]


def recursive_seqlets(
    scores: np.ndarray | Blocks, threshold: float = 0.01, min_length: int = 4, max_length: int = 25
) -> pd.DataFrame:
    """Return spans of positive attribution in which every sub-span is unlikely too.

    Scores a are binned into 1000 equal bins between their minimum and maximum, b = floor((a - min) / width). S_m is the m-fold
    convolution of the distribution of b over all genes and positions. R_m is the cumulative sum of S_m from the top, which
    preserves the precision of small tails. A span of length m has p = R_m[sum of b]. It is called if it and all its sub-spans
    of at least `min_length` have p < `threshold`. Overlaps are resolved greedily: longer spans first, then the span with the
    lower maximum p over its sub-spans that have the same start, then the more upstream span.

    Use p only to rank spans. It is not an error rate: neighbouring positions are not independent, and the null distribution is
    that of the attributions themselves, including signal. For negative peaks, call the function on -a. The method follows
    tangermeme 1.6.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or callable
        Projected attribution, one score per position. A callable must return an iterable of such arrays of consecutive genes.
        It is called three times, so that only one block is in memory. The block size does not affect the result.
    threshold: float
        Upper limit on the p-value of every sub-span. Default is 0.01.
    min_length, max_length: int
        Minimum and maximum length of a span, inclusive. Defaults are 4 and 25.

    Returns
    -------
    pandas.DataFrame
        row (of the gene), start, end (half-open, in the window), attribution (sum of scores), p_value (of the whole span);
        sorted by row and start. Empty if all scores are equal.

    Raises
    ------
    InputError
        A length or the threshold is out of range, or scores are not finite.

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
    """Return the null distribution for each sign; empty if all scores are equal."""
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
    # Clip before the conversion: values far outside the range overflow, and negative values would be truncated towards zero.
    return np.clip(bins, 0, _N_BINS - 1, out=bins).astype(np.int32)


def _tails(distribution: np.ndarray, max_length: int) -> list[np.ndarray]:
    """Return R_m for m = 0 .. max_length: the probability that m independent bins sum to at least the index."""
    sums, tails = np.ones(1), [np.ones(1)]
    for _ in range(max_length):
        # Direct convolution: the rounding error of an FFT would exceed the small tails.
        sums = np.convolve(sums, distribution)
        tails.append(np.minimum(np.cumsum(sums[::-1])[::-1], 1))
    return tails


def _spans(
    bins: np.ndarray, tails: Sequence[np.ndarray], settings: RecursiveSeqlets
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return row, start, end and p of the called, non-overlapping spans of one block.

    A span is called if it passes the threshold and both of its sub-spans that are one base shorter are called. Only the
    neighbourhoods of called spans are therefore extended. `position` is an index into the flattened block.
    """
    position, total, p_value = _shortest_spans(bins, tails, settings)
    greatest, flat = p_value, bins.ravel()
    candidates = []
    for m in range(settings.min_length, settings.max_length + 1):
        if not len(position):
            break
        candidates.append((m, position, greatest, p_value))
        # Spans of m + 1 whose two sub-spans of length m are called. As every span has at least two bases, the last start of a
        # gene is never adjacent to the first of the next.
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
    """Return position, sum of bins and p of the called spans of minimum length."""
    n, length = bins.shape
    size = settings.min_length
    if not n or length < size:
        return np.empty(0, np.int64), np.empty(0, np.int32), np.empty(0)
    total = bins[:, : length - size + 1].copy()
    for k in range(1, size):
        total += bins[:, k : length - size + 1 + k]
    # Tails decrease, so the threshold on p is a threshold on the sum; p is looked up only for sums that pass.
    row, start = np.nonzero(total >= np.count_nonzero(tails[size] >= settings.threshold))
    total = total[row, start]
    return row * length + start, total, tails[size][total]


def _without_overlaps(
    candidates: list[tuple[int, np.ndarray, np.ndarray, np.ndarray]], n: int, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Select non-overlapping spans, the longest first, from (length, positions, greatest p, own p) by ascending length."""
    taken = bytearray(n * length)
    seen = np.frombuffer(taken, np.uint8)
    first, last, p_value = [np.empty(0, np.int64)], [np.empty(0, np.int64)], [np.empty(0)]
    for m, position, greatest, p_of_length in reversed(candidates):
        # A longer or equal selected span that overlaps a candidate covers one of its ends; most candidates are removed here.
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
