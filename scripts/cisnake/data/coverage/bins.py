"""From the values of bases to those of bins: arithmetic on arrays of windows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def fill_missing(values: np.ndarray, interpolate: bool) -> np.ndarray:
    """Give bases without a value one, in place.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, length), dtype=float32
        NaN where a base has no value.
    interpolate: bool
        Take it from the straight line between the nearest values on either side, as if there were a zero just before the
        window and one just after it; otherwise it is 0.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool
        Which windows had such bases.
    """
    without = np.isnan(values)
    lacking = without.any(axis=1)
    if not interpolate:
        values[without] = 0
        return lacking
    for row in np.flatnonzero(lacking):
        known = np.flatnonzero(~without[row])
        at, height = np.r_[-1, known, values.shape[1]], np.r_[0, values[row, known], 0]
        values[row, without[row]] = np.interp(np.flatnonzero(without[row]), at, height)
    return lacking


def cut_to_baseline(values: np.ndarray, intervals: Iterable[tuple[int, int]], baseline: float) -> None:
    """Cut intervals, half-open, of a window's bases to [-|baseline|, |baseline|], in place."""
    for start, end in intervals:
        np.clip(values[start:end], -abs(baseline), abs(baseline), out=values[start:end])


def pool(values: np.ndarray, how: str, bin_size: int, scale: float = 1.0) -> np.ndarray:
    """Return one number for each bin.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, bins * bin_size), dtype=float32
    how: str
        "sum", "mean", "max", "median", or "peak": sqrt(4 mean), at most 1.
    bin_size: int
    scale: float
        By which values are multiplied before "peak"; the others are not scaled.

    Returns
    -------
    numpy.ndarray, shape=(n, bins), dtype=float64
    """
    values = values.reshape(len(values), -1, bin_size)
    if how == "sum":
        return values.sum(axis=-1, dtype=np.float64)
    if how == "max":
        return values.max(axis=-1).astype(np.float64)
    if how == "median":
        return np.median(values, axis=-1).astype(np.float64)
    mean = values.mean(axis=-1, dtype=np.float64)
    # The root of a negative mean is NaN, which whoever asks for it refuses.
    with np.errstate(invalid="ignore"):
        return mean if how == "mean" else np.minimum(np.sqrt(4 * scale * mean), 1)


def count_covered(pieces: pd.DataFrame, n: int, bins: int, bin_size: int) -> np.ndarray:
    """Return how many bases of each bin lie in pieces of windows.

    Parameters
    ----------
    pieces: pandas.DataFrame
        row (of the window), start and end (in it), in order and without overlaps.
    n, bins, bin_size: int
        Windows, bins of a window, bases of a bin.

    Returns
    -------
    numpy.ndarray, shape=(n, bins), dtype=float64
    """
    # On one line of all windows, the covered bases before a place rise by one a base in pieces, and not between them.
    ends = (pieces[["start", "end"]].to_numpy() + (pieces["row"] * bins * bin_size).to_numpy()[:, None]).ravel()
    before = np.repeat(np.r_[0, np.cumsum(ends[1::2] - ends[::2])], 2)[1:-1]
    edges = bin_size * np.arange(n * bins + 1)
    return np.diff(np.interp(edges, ends, before)).reshape(n, bins) if len(ends) else np.zeros((n, bins))


def cut_unmappable(binned: np.ndarray, unmappable: np.ndarray, quantile: float) -> None:
    """Cut unmappable bins, shape=(n, bins), at a quantile of all bins of their window, in place."""
    rows = np.flatnonzero(unmappable.any(axis=1))
    highest = np.quantile(binned[rows], quantile, axis=1).astype(np.float32)[:, None]
    binned[rows] = np.where(unmappable[rows], np.minimum(binned[rows], highest), binned[rows])
