"""Scores that compare predictions with measurements, per task and per gene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

SUMMARY_KEYS = ("pearson_median", "pearson_max", "pearson_mean", "spearman_median", "r2_median")

# A range below this fraction of the largest value is rounding error, not signal.
_ROUNDING = 1e-14


def pearson(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each column over its measured rows.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, columns)
        NaN for missing values.
    predicted: numpy.ndarray, shape=(n, columns)
        A NaN or infinite prediction for a measured value makes the correlation of the column NaN, so that invalid predictions
        are not hidden.

    Returns
    -------
    numpy.ndarray, shape=(columns,), dtype=float64
        0 where the predictions are constant but the measurements are not. NaN where the measurements are constant or fewer
        than two rows are measured.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import pearson
    >>> true = np.array([[1.0, 0.0], [2.0, 5.0], [3.0, np.nan]])
    >>> pearson(true, np.array([[2.0, 1.0], [4.0, 0.0], [6.0, 9.0]])).round(6).tolist()
    [1.0, -1.0]
    """
    measured = np.isfinite(true)
    t, p = _deviations(true, measured), _deviations(_finite(predicted), measured)
    size_t, size_p = (np.sqrt((deviations**2).sum(axis=0)) for deviations in (t, p))
    undefined = np.where(size_t > 0, 0.0, np.nan)
    return np.divide((t * p).sum(axis=0), size_t * size_p, out=undefined, where=size_t * size_p != 0)


def _finite(predicted: np.ndarray) -> np.ndarray:
    """Replace infinite predictions with NaN; next to them all others would seem equal."""
    return np.where(np.isfinite(predicted), predicted, np.nan)


def _deviations(values: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Return values minus their column mean over measured rows, in float64; 0 for missing values and in constant columns."""
    values = np.where(measured, np.asarray(values, np.float64), 0.0)
    highest = values.max(axis=0, where=measured, initial=-np.inf)
    lowest = values.min(axis=0, where=measured, initial=np.inf)
    deviations = np.where(measured, values - values.sum(axis=0) / np.maximum(measured.sum(axis=0), 1), 0.0)
    # A NaN makes the comparison false, so its column becomes NaN and does not count as constant.
    return np.where(highest - lowest <= _ROUNDING * np.maximum(np.abs(highest), np.abs(lowest)), 0.0, deviations)


def spearman(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the Spearman correlation (Pearson correlation of mid-ranks) of each column over its measured rows.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(n, columns)
        As for `pearson`.

    Returns
    -------
    numpy.ndarray, shape=(columns,), dtype=float64
        0 and NaN in the same cases as for `pearson`.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import spearman
    >>> spearman(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [10.0], [100.0]])).round(6).tolist()
    [1.0]
    """
    measured = np.isfinite(true)
    missed = measured & ~np.isfinite(predicted)
    ranks = [rankdata(np.where(measured, values, np.nan), axis=0, nan_policy="omit") for values in (true, predicted)]
    return np.where(missed.any(axis=0), np.nan, pearson(*ranks))


def r2(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the coefficient of determination, 1 - sum (t - p)² / sum (t - mean t)², of each column over its measured rows.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(n, columns)
        Measurements t (NaN for missing values) and predictions p.

    Returns
    -------
    numpy.ndarray, shape=(columns,), dtype=float64
        NaN where the measurements are constant, and in the other cases in which `pearson` is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import r2
    >>> r2(np.array([[1.0], [2.0], [3.0]]), np.array([[1.0], [2.0], [2.0]])).tolist()
    [0.5]
    """
    measured = np.isfinite(true)
    spread = (_deviations(true, measured) ** 2).sum(axis=0)
    error = (np.where(measured, np.asarray(true, np.float64) - _finite(predicted), 0.0) ** 2).sum(axis=0)
    return 1.0 - np.divide(error, spread, out=np.full(len(spread), np.nan), where=spread != 0)


def quantile_normalize(values: np.ndarray) -> np.ndarray:
    """Quantile-normalise columns: give all of them their average distribution, averaged quantile by quantile.

    The i-th smallest of the n values in a column is its quantile (i - 1/2) / n. If columns have different numbers of values,
    quantiles are interpolated linearly. Tied values get the mean of the values for their ranks.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, columns)
        NaN stays NaN and is not ranked.

    Returns
    -------
    numpy.ndarray, shape=(n, columns), dtype=float64

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import quantile_normalize
    >>> quantile_normalize(np.array([[1.0, 30.0], [2.0, 10.0], [3.0, 20.0]])).tolist()
    [[5.5, 16.5], [11.0, 5.5], [16.5, 11.0]]
    """
    values = np.asarray(values, np.float64)
    grid = _quantiles((~np.isnan(values)).sum(axis=0).max(initial=0))
    total, columns = np.zeros(len(grid)), 0
    for column in values.T:
        known = np.sort(column[~np.isnan(column)])
        if len(known):
            total += known if len(known) == len(grid) else np.interp(grid, _quantiles(len(known)), known)
            columns += 1
    common = total / max(columns, 1)
    normal = np.full(values.shape, np.nan)
    for column, into in zip(values.T, normal.T):
        at = np.flatnonzero(~np.isnan(column))
        distinct, which = np.unique(column[at], return_inverse=True)
        order = np.argsort(which, kind="stable")
        by_rank = common if len(at) == len(grid) else np.interp(_quantiles(len(at)), grid, common)
        sums = np.bincount(which[order], by_rank, minlength=len(distinct))
        into[at] = (sums / np.bincount(which, minlength=len(distinct)))[which]
    return normal


def _quantiles(n: int) -> np.ndarray:
    """Return the quantiles that n sorted values represent; shape=(n,)."""
    return (np.arange(n) + 0.5) / max(n, 1)


def specificity(true: np.ndarray, predicted: np.ndarray, groups: Sequence[Any], min_tasks: int = 2) -> np.ndarray:
    """Return the Pearson correlation of each task after removing differences between tasks and between rows.

    It measures how well predictions identify the rows that are high in one task relative to the other tasks of its group.
    Measurements and predictions are quantile-normalised within each group of tasks, which removes differences between tasks.
    Then the mean of each row is subtracted, which removes differences between rows. The residuals are correlated over rows.
    This is the specificity evaluation of Baskerville, which uses `min_tasks` 20.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(n, tasks)
        NaN labels are missing values. Predictions for them are ignored, and distributions and row means are computed from
        measured values only. Within a group, rows with fewer than two measured tasks are left out.
    groups: sequence, length tasks
        The group of each task. Tasks of a group should be comparable, for example from the same assay.
    min_tasks: int
        Tasks in groups smaller than this get NaN. Values below 2 count as 2. Default 2.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float64
        NaN where undefined (see `pearson`) and in groups smaller than `min_tasks`.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import specificity
    >>> true = np.array([[1.0, 3.0, 7.0], [2.0, 2.0, 8.0], [3.0, 1.0, 9.0]])
    >>> specificity(true, true * 2, ["RNA", "RNA", "ATAC"]).round(6).tolist()
    [1.0, 1.0, nan]
    """
    measured = np.isfinite(true)
    correlations = np.full(true.shape[1], np.nan)
    numbers = np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    for number in range(numbers.max(initial=-1) + 1):
        tasks = np.flatnonzero(numbers == number)
        if len(tasks) < max(min_tasks, 2):
            continue
        known = measured[:, tasks]
        compared = known & (known.sum(axis=1) >= 2)[:, None]
        pair = true[:, tasks], _finite(predicted[:, tasks])
        deviations = [_from_row_mean(np.where(known, values, np.nan), compared) for values in pair]
        correlations[tasks] = pearson(*deviations)
    return correlations


def _from_row_mean(values: np.ndarray, compared: np.ndarray) -> np.ndarray:
    normal = quantile_normalize(values)
    n = np.maximum(compared.sum(axis=1, keepdims=True), 1)
    deviations = np.where(compared, normal - np.where(compared, normal, 0.0).sum(axis=1, keepdims=True) / n, np.nan)
    largest = np.max(np.abs(normal), axis=1, where=compared, initial=0.0, keepdims=True)
    # Tasks with equal normalised values must not differ by the rounding of their mean.
    return np.where(np.abs(deviations) <= 1e-12 * largest, 0.0, deviations)


def score_tasks(true: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return one row per task: n (number of measured genes), pearson, spearman, r2.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(genes, tasks)
        NaN labels are missing values.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import score_tasks
    >>> table = score_tasks(np.array([[1.0], [2.0], [3.0], [np.nan]]), np.array([[1.0], [2.0], [2.0], [9.0]]))
    >>> table.round(3).to_dict("records")
    [{'n': 3, 'pearson': 0.866, 'spearman': 0.866, 'r2': 0.5}]
    """
    return pd.DataFrame(
        {
            "n": np.isfinite(true).sum(axis=0),
            "pearson": pearson(true, predicted),
            "spearman": spearman(true, predicted),
            "r2": r2(true, predicted),
        }
    )


def summarize_scores(scores: pd.DataFrame) -> dict[str, Any]:
    """Return the `SUMMARY_KEYS` of the available scores over tasks with a value, or None if no task has one.

    Parameters
    ----------
    scores: pandas.DataFrame
        One row per task, with any of the columns pearson, spearman, r2.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.evaluate import summarize_scores
    >>> summarize_scores(pd.DataFrame({"pearson": [0.5, 0.75, 0.25, float("nan")]}))
    {'pearson_median': 0.5, 'pearson_max': 0.75, 'pearson_mean': 0.5}
    """

    def over_tasks(column: str, how: str) -> float | None:
        values = scores[column].dropna()
        return float(getattr(values, how)()) if len(values) else None

    return {key: over_tasks(*key.split("_")) for key in SUMMARY_KEYS if key.split("_")[0] in scores}


def score_genes(true: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return one row per gene: n (number of measured tasks), pearson across tasks, and mse over measured tasks.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(genes, tasks)
        NaN labels are missing values.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import score_genes
    >>> score_genes(np.array([[1.0, 2.0, np.nan]]), np.array([[2.0, 4.0, 0.0]])).round(6).to_dict("records")
    [{'n': 2, 'pearson': 1.0, 'mse': 2.5}]
    """
    measured = np.isfinite(true)
    error = np.where(measured, np.asarray(true, np.float64) - predicted, 0.0) ** 2
    n = measured.sum(axis=1)
    mse = np.where(n > 0, error.sum(axis=1) / np.maximum(n, 1), np.nan)
    return pd.DataFrame({"n": n, "pearson": pearson(true.T, predicted.T), "mse": mse})
