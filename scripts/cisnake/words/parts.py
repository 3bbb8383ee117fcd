"""Two parts of labels and predictions: the mean over tasks, and the deviations of tasks from it."""

from __future__ import annotations

import numpy as np


def split_parts(values: np.ndarray, measured: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over the measured tasks of each gene, and the deviations of these tasks from it.

    Parameters
    ----------
    values: numpy.ndarray, shape=(n, tasks)
    measured: numpy.ndarray, shape=(n, tasks), dtype=bool

    Returns
    -------
    mean: numpy.ndarray, shape=(n, tasks)
        The same for all measured tasks of a gene; 0 for other tasks.
    deviations: numpy.ndarray, shape=(n, tasks)
        0 for other tasks.
    """
    values = np.where(measured, values, 0.0)
    mean = values.sum(axis=1, keepdims=True) / np.maximum(measured.sum(axis=1, keepdims=True), 1)
    return np.where(measured, mean, 0.0), np.where(measured, values - mean, 0.0)


def squared_errors(true: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return the sums of squared errors of the mean over tasks and of the deviations from it.

    Their sum is the sum of squared errors of all measured labels.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, tasks)
        NaN where missing.
    predicted: numpy.ndarray, shape=(n, tasks)
    """
    mean, deviations = split_parts(np.where(np.isfinite(true), true - predicted, 0.0), np.isfinite(true))
    return float((mean**2).sum()), float((deviations**2).sum())
