"""Array operations that turn per-base coverage of windows into bins."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd


def fill_missing(values: np.ndarray, interpolate: bool) -> np.ndarray:
    """Fill missing values of bases in place.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, length), dtype=float32
        NaN marks missing values.
    interpolate: bool
        Interpolate linearly between the nearest values on either side, with zeros assumed just outside the window. If False,
        missing values become 0.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool
        Which windows had missing values.
    """
    missing = np.isnan(values)
    has_missing = missing.any(axis=1)
    if not interpolate:
        values[missing] = 0
        return has_missing
    for row in np.flatnonzero(has_missing):
        known = np.flatnonzero(~missing[row])
        positions, heights = np.r_[-1, known, values.shape[1]], np.r_[0, values[row, known], 0]
        values[row, missing[row]] = np.interp(np.flatnonzero(missing[row]), positions, heights)
    return has_missing


def cut_to_baseline(values: np.ndarray, intervals: Iterable[tuple[int, int]], baseline: float) -> None:
    """Clip the bases of a window in half-open intervals to [-|baseline|, |baseline|], in place."""
    for start, end in intervals:
        np.clip(values[start:end], -abs(baseline), abs(baseline), out=values[start:end])


def pool(values: np.ndarray, how: str, bin_size: int, scale: float = 1.0) -> np.ndarray:
    """Pool the bases of each bin to one number.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, bins * bin_size), dtype=float32
    how: str
        "sum", "mean", "max", "median", or "peak": sqrt(4 mean), at most 1.
    bin_size: int
    scale: float
        Factor applied to values before "peak". The other statistics are not scaled.

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
    # The square root of a negative mean is NaN; the caller rejects it.
    with np.errstate(invalid="ignore"):
        return mean if how == "mean" else np.minimum(np.sqrt(4 * scale * mean), 1)


def count_covered(pieces: pd.DataFrame, n: int, bins: int, bin_size: int) -> np.ndarray:
    """Count the bases of each bin that intervals cover.

    Parameters
    ----------
    pieces: pandas.DataFrame
        row (of the window), start and end (relative to the window), sorted and without overlaps.
    n, bins, bin_size: int
        Number of windows, bins per window, bases per bin.

    Returns
    -------
    numpy.ndarray, shape=(n, bins), dtype=float64
    """
    # Concatenate all windows: the number of covered bases up to a position rises by 1 per base within intervals and is constant
    # between them, so it can be interpolated from the ends of intervals.
    ends = (pieces[["start", "end"]].to_numpy() + (pieces["row"] * bins * bin_size).to_numpy()[:, None]).ravel()
    n_before = np.repeat(np.r_[0, np.cumsum(ends[1::2] - ends[::2])], 2)[1:-1]
    edges = bin_size * np.arange(n * bins + 1)
    return np.diff(np.interp(edges, ends, n_before)).reshape(n, bins) if len(ends) else np.zeros((n, bins))


def cut_unmappable(binned: np.ndarray, unmappable: np.ndarray, quantile: float) -> None:
    """Clip unmappable bins, shape=(n, bins), from above at a quantile of all bins of their window, in place."""
    rows = np.flatnonzero(unmappable.any(axis=1))
    limits = np.quantile(binned[rows], quantile, axis=1).astype(np.float32)[:, None]
    binned[rows] = np.where(unmappable[rows], np.minimum(binned[rows], limits), binned[rows])
