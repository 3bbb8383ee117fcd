"""False discovery rates.

- `empirical_q_values` needs no p-values: it compares statistics with those of a null data set, such as shuffled windows.
- `bh_q_values` (Benjamini and Hochberg) takes the p-values of all tests, and leaves out NaN.
- `bh_q_values_of_smallest` takes only the smallest p-values of many tests, counted by value, and the number of all tests: for
  scans of millions of sites, of which only hits are kept.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import false_discovery_control


def empirical_q_values(statistic: np.ndarray, null_statistic: np.ndarray, n_windows: int, n_null_windows: int) -> np.ndarray:
    """Return the empirical q-value of each peak: the expected share of nulls among peaks at least as high.

    Null peaks come from windows whose dinucleotides were shuffled, and are called with the same thresholds. At a height s, a
    window gives n(s) / n_windows peaks and a shuffled one (n_null(s) + 1) / n_null_windows; their ratio estimates the share of
    false peaks, and q of a peak is the smallest ratio of all heights that keep it, at most 1. The added 1 keeps q above zero
    where shuffled windows are too few to tell.

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

    Examples
    --------
    Three peaks of 10 windows, and two of 20 shuffled ones:

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
    """Return q-values by Benjamini and Hochberg.

    Unlike `scipy.stats.false_discovery_control`, tests without a p-value are allowed, and so are no tests at all.

    Parameters
    ----------
    p: numpy.ndarray, shape=(n,), dtype=float64
        p-values of all tests; NaN for what was not tested, which does not count.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64
        NaN where p is.


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
    """Return Benjamini-Hochberg q-values of the smallest p-values of many tests.

    q of a p-value is the least of p' n_tests / #{tests with p <= p'} over all p' >= p. Ranks are right, since every smaller
    p-value is given; what is not given are the p' above the threshold, so that q is an upper bound of the q-value that the
    whole table would give, equal to it wherever the least is reached below the threshold. Leaving out some tests at other
    thresholds than those of the rest only lowers ranks, and so keeps the bound.

    Parameters
    ----------
    p: numpy.ndarray, shape=(n,), dtype=float64
        p-values, in any order; equal ones may repeat.
    counts: numpy.ndarray, shape=(n,), dtype=int
        How many tests had each; may be zero.
    n_tests: int
        All tests, those above the threshold included.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64

    Examples
    --------
    Of 1,000 tests, two had p = 1e-4 and one 2e-3; the others were not kept:

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
