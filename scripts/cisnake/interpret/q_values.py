"""False discovery rates.

- `empirical_q_values` needs no p-values: it compares statistics with those of a null data set, such as shuffled windows.
- `bh_q_values` (Benjamini-Hochberg) takes the p-values of all tests and ignores NaN.
- `bh_q_values_of_smallest` takes only the smallest p-values, with a count per value, and the number of all tests. It is meant
  for scans that test millions of sites but keep only the hits.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import false_discovery_control


def empirical_q_values(statistic: np.ndarray, null_statistic: np.ndarray, n_windows: int, n_null_windows: int) -> np.ndarray:
    """Return the empirical q-value of each peak: the expected share of null peaks among peaks at least as high.

    Null peaks are called with the same thresholds in dinucleotide-shuffled windows. At a height s there are
    n(s) / n_windows peaks per window and (n_null(s) + 1) / n_null_windows peaks per shuffled window. Their ratio estimates the
    share of false peaks. The q-value of a peak is the smallest ratio over all heights at which the peak is still called, at
    most 1. The added 1 keeps q above zero when there are too few shuffled windows.

    Parameters
    ----------
    statistic: numpy.ndarray, shape=(n,)
        Height of each peak; greater is stronger. Equal heights have equal q-values.
    null_statistic: numpy.ndarray, shape=(m,)
        Height of each peak in the shuffled windows.
    n_windows, n_null_windows: int
        Number of windows searched, and of shuffled windows searched, with or without peaks. All have the same length.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64

    Examples
    --------
    Three peaks in 10 windows, and two in 20 shuffled windows:

    >>> import numpy as np
    >>> from cisnake.interpret import empirical_q_values
    >>> empirical_q_values(np.array([9.0, 4.0, 2.0]), np.array([3.0, 1.0]), n_windows=10, n_null_windows=20).round(3).tolist()
    [0.25, 0.25, 0.333]
    """
    order = np.argsort(statistic)
    ranked = np.asarray(statistic, np.float64)[order]
    called = len(ranked) - np.searchsorted(ranked, ranked)
    null = len(null_statistic) - np.searchsorted(np.sort(null_statistic), ranked)
    ratio = (null + 1) / n_null_windows / (called / n_windows)
    q = np.empty(len(ranked))
    q[order] = np.minimum(np.minimum.accumulate(ratio), 1)
    return q


def bh_q_values(p: np.ndarray) -> np.ndarray:
    """Return Benjamini-Hochberg q-values.

    Unlike `scipy.stats.false_discovery_control`, this accepts missing p-values and empty input.

    Parameters
    ----------
    p: numpy.ndarray, shape=(n,), dtype=float64
        p-values of all tests. NaN marks an untested item, which is not counted as a test.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64
        NaN where p is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret import bh_q_values
    >>> bh_q_values(np.array([0.01, np.nan, 0.04, 0.03])).round(3).tolist()
    [0.03, nan, 0.04, 0.04]
    """
    q = np.full(len(p), np.nan)
    tested = ~np.isnan(p)
    if tested.any():
        q[tested] = false_discovery_control(p[tested])
    return q


def bh_q_values_of_smallest(p: np.ndarray, counts: np.ndarray, n_tests: int) -> np.ndarray:
    """Return Benjamini-Hochberg q-values when only the smallest p-values were kept.

    The q-value of p is the minimum of p' n_tests / #{tests with p <= p'} over all p' >= p. Ranks are exact, because every
    smaller p-value is given. The p' above the threshold are missing, so q is an upper bound on the q-value from the full
    table; the two are equal wherever the minimum lies below the threshold. If some tests were kept at a different threshold,
    ranks can only be too low, so q is still an upper bound.

    Parameters
    ----------
    p: numpy.ndarray, shape=(n,), dtype=float64
        p-values, in any order; may repeat.
    counts: numpy.ndarray, shape=(n,), dtype=int
        Number of tests with each p-value; may be zero.
    n_tests: int
        Number of all tests, including those above the threshold.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64

    Examples
    --------
    Of 1,000 tests, two had p = 1e-4 and one had p = 2e-3; the others were not kept:

    >>> import numpy as np
    >>> from cisnake.interpret import bh_q_values_of_smallest
    >>> bh_q_values_of_smallest(np.array([1e-4, 2e-3]), np.array([2, 1]), n_tests=1000).round(3).tolist()
    [0.05, 0.667]
    """
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    cumulative = np.cumsum(counts[order])
    rank = cumulative[np.searchsorted(ordered, ordered, side="right") - 1] if len(p) else cumulative
    ratio = np.divide(ordered * n_tests, rank, out=np.full(len(p), np.inf), where=rank > 0)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1)
    return q
