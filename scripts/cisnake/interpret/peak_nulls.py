"""Error rates of peaks, from those that the same cuts call in windows with nothing to find."""

from __future__ import annotations

import numpy as np


def q_values(statistic: np.ndarray, null_statistic: np.ndarray, n_windows: int, n_null_windows: int) -> np.ndarray:
    """Return the empirical q-value of each peak: the share of nulls among the peaks that are at least as high.

    Peaks of windows whose dinucleotides were shuffled are called by the same cuts. Calling peaks from a height s on, a window
    gives n(s) / n_windows of them and a shuffled one (n_null(s) + 1) / n_null_windows; the ratio is how many of the called ones
    nothing at all would give, and q of a peak is the least ratio of all cuts that keep it, at most 1. The one that is added
    keeps q from zero where too few shuffles were looked at to say.

    Parameters
    ----------
    statistic: numpy.ndarray, shape=(n,)
        Of the peaks; greater is stronger. Equal ones have the same q.
    null_statistic: numpy.ndarray, shape=(m,)
        Of the peaks of the shuffled windows.
    n_windows, n_null_windows: int
        How many windows were searched for either, with and without peaks, all of one length.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64
    """
    order = np.argsort(statistic)
    ranked = np.asarray(statistic, np.float64)[order]
    called = len(ranked) - np.searchsorted(ranked, ranked)
    null = len(null_statistic) - np.searchsorted(np.sort(null_statistic), ranked)
    ratio = (null + 1) / n_null_windows / (called / n_windows)
    q = np.empty(len(ranked))
    q[order] = np.minimum(np.minimum.accumulate(ratio), 1)
    return q
