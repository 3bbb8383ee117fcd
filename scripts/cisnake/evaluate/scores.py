"""Scores of predictions against measurements, task by task and gene by gene."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

SUMMARY_KEYS = ("pearson_median", "pearson_max", "pearson_mean", "spearman_median", "r2_median")

# A variance below this share of the mean square is rounding error, not spread.
_CONSTANT = 1e-12


def pearson(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the Pearson correlation of each column over the rows that were measured.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, columns)
        NaN where not measured.
    predicted: numpy.ndarray, shape=(n, columns)

    Returns
    -------
    numpy.ndarray, shape=(columns,), dtype=float64
        NaN where either side is constant or fewer than two rows were measured.
    """
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    measured = np.isfinite(true) & np.isfinite(predicted)
    n = np.maximum(measured.sum(axis=0), 1)
    centred = []
    for values in (true, predicted):
        values = np.where(measured, values, 0.0)
        mean = values.sum(axis=0) / n
        deviation = np.where(measured, values - mean, 0.0)
        square = (values**2).sum(axis=0)
        centred.append(np.where((deviation**2).sum(axis=0) > _CONSTANT * square, deviation, 0.0))
    t, p = centred
    scale = np.sqrt((t**2).sum(axis=0) * (p**2).sum(axis=0))
    return np.where(scale > 0, (t * p).sum(axis=0) / np.where(scale > 0, scale, 1.0), np.nan)


def spearman(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the Spearman correlation (Pearson's of mid-ranks) of each column over its measured rows; shape=(columns,)."""
    measured = np.isfinite(true) & np.isfinite(predicted)
    ranks = [rankdata(np.where(measured, values, np.nan), axis=0, nan_policy="omit") for values in (true, predicted)]
    return pearson(*ranks)


def r2(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return 1 - sum (t - p)² / sum (t - mean t)² of each column over its measured rows; NaN for constant labels."""
    true, predicted = np.asarray(true, np.float64), np.asarray(predicted, np.float64)
    measured = np.isfinite(true) & np.isfinite(predicted)
    n = np.maximum(measured.sum(axis=0), 1)
    true, predicted = np.where(measured, true, 0.0), np.where(measured, predicted, 0.0)
    spread = (np.where(measured, true - true.sum(axis=0) / n, 0.0) ** 2).sum(axis=0)
    constant = spread <= _CONSTANT * (true**2).sum(axis=0)
    return np.where(constant, np.nan, 1.0 - ((true - predicted) ** 2).sum(axis=0) / np.where(constant, 1.0, spread))


def score_tasks(true: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return one row a task: n (genes measured), pearson, spearman, r2.

    Parameters
    ----------
    true, predicted: numpy.ndarray, shape=(genes, tasks)
        NaN labels were not measured.
    """
    return pd.DataFrame(
        {
            "n": np.isfinite(true).sum(axis=0),
            "pearson": pearson(true, predicted),
            "spearman": spearman(true, predicted),
            "r2": r2(true, predicted),
        }
    )


def summarize(scores: pd.DataFrame) -> dict[str, Any]:
    """Return `SUMMARY_KEYS` over the tasks that have a value, None where none has."""

    def over_tasks(column: str, how: str) -> float | None:
        values = scores[column].dropna()
        return float(getattr(values, how)()) if len(values) else None

    return {key: over_tasks(*key.split("_")) for key in SUMMARY_KEYS}


def score_genes(true: np.ndarray, predicted: np.ndarray) -> pd.DataFrame:
    """Return one row a gene: n (tasks measured), pearson across tasks, and mean squared error over measured tasks."""
    measured = np.isfinite(true)
    error = np.where(measured, np.asarray(true, np.float64) - predicted, 0.0) ** 2
    n = measured.sum(axis=1)
    return pd.DataFrame({"n": n, "pearson": pearson(true.T, predicted.T), "mse": error.sum(axis=1) / np.maximum(n, 1)})
