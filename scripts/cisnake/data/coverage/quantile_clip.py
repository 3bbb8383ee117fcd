"""Clip labels at a quantile of all labels of their task, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cisnake.processes import map_apart
from cisnake.program import Progress

# Function that returns the values of a slice of rows of a data set.
Rows = Callable[[slice], np.ndarray]


@dataclass(frozen=True, eq=False)
class ClippedRows:
    """Reader of label rows that clips each task to [-limit, limit]; can be pickled if `read` can.

    Parameters
    ----------
    read: callable
        Takes a slice of rows and returns labels, shape=(n, tasks, bins), dtype=float32.
    limits: numpy.ndarray, shape=(tasks,), dtype=float32
        Non-negative limit per task.
    """

    read: Rows
    limits: np.ndarray

    def __call__(self, rows: slice) -> np.ndarray:
        limits = self.limits[:, None]
        return np.clip(self.read(rows), -limits, limits)


def find_limits(read: Rows, n: int, quantile: float, rows: int = 64, processes: int = 1) -> np.ndarray:
    """Return a quantile of the absolute labels of each task, identical to `numpy.quantile` of all labels.

    Every label is read once. Only the largest labels of each task, those above the quantile, are kept in memory.

    Parameters
    ----------
    read: callable
        Takes a slice of rows and returns labels, shape=(rows, tasks, bins), dtype=float32, without NaN.
    n: int
        Number of rows.
    quantile: float
        Quantile from 0 to 1. It should be near 1: memory holds a fraction 1 - quantile of all labels.
    rows: int
        Rows read at a time. Default 64.
    processes: int
        Number of processes that read. Default 1: only this process.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float32

    Raises
    ------
    InputError
        A process was killed.
    """
    bins = read(slice(0, 1)).shape[2]
    position = (n * bins - 1) * quantile
    # Ranks, from the largest label, of the two labels that enclose the quantile.
    lower, fraction = n * bins - 1 - math.floor(position), position - math.floor(position)
    upper = max(lower - 1, 0)
    pieces = [slice(first, min(first + rows, n)) for first in range(0, n, rows)]
    work = "searched for the highest labels"
    progress, largest = Progress("windows read to find clipping limits", n), None
    for read_rows, piece_largest in map_apart(_largest_of, (read, lower + 1), pieces, processes, work):
        largest = piece_largest if largest is None else _largest(np.concatenate([largest, piece_largest], axis=1), lower + 1)
        progress.advance(read_rows)
    assert largest is not None
    descending = -np.sort(-largest.astype(np.float64), axis=1)
    return (descending[:, lower] + fraction * (descending[:, upper] - descending[:, lower])).astype(np.float32)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the k largest values of each row, or all values if there are fewer."""
    return values if values.shape[1] <= k else np.partition(values, values.shape[1] - k, axis=1)[:, -k:].copy()


def _largest_of(task: tuple[Rows, int], rows: slice) -> tuple[int, np.ndarray]:
    """Return the number of rows read, and the k largest absolute labels of each task in them."""
    read, k = task
    labels = np.abs(read(rows))
    return len(labels), _largest(labels.transpose(1, 0, 2).reshape(labels.shape[1], -1), k)
