"""Labels cut at a quantile of all labels of their task, in memory that does not grow with the number of windows."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cisnake.processes import map_apart
from cisnake.program import Progress

# From a slice of rows of a data set to their values.
Rows = Callable[[slice], np.ndarray]


@dataclass(frozen=True, eq=False)
class ClippedRows:
    """Reads rows of labels and cuts each task to [-limit, limit]; can be pickled if `read` can.

    Parameters
    ----------
    read: callable
        From a slice of rows to labels, shape=(n, tasks, bins), dtype=float32.
    limits: numpy.ndarray, shape=(tasks,), dtype=float32
    """

    read: Rows
    limits: np.ndarray

    def __call__(self, rows: slice) -> np.ndarray:
        limits = self.limits[:, None]
        return np.clip(self.read(rows), -limits, limits)


def find_limits(read: Rows, n: int, quantile: float, rows: int = 64, processes: int = 1) -> np.ndarray:
    """Return a quantile of the absolute labels of each task, exactly as `numpy.quantile` of all of them would.

    Every label is read once; what is kept are the largest ones of each task, as many as lie above the quantile.

    Parameters
    ----------
    read: callable
        From a slice of rows to labels, shape=(rows, tasks, bins), dtype=float32, without NaN.
    n: int
        Number of rows.
    quantile: float
        0 to 1, near 1: a share of 1 - quantile of all labels is held.
    rows: int
        Read at once. Default 64.
    processes: int
        How many read. Default 1, this one.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float32

    Raises
    ------
    InputError
        A process was killed.
    """
    bins = read(slice(0, 1)).shape[2]
    place = (n * bins - 1) * quantile
    # Places from the top of the two labels between which the quantile lies.
    lower, share = n * bins - 1 - math.floor(place), place - math.floor(place)
    upper = max(lower - 1, 0)
    pieces = [slice(first, min(first + rows, n)) for first in range(0, n, rows)]
    work = "looked for the highest labels"
    progress, largest = Progress("windows read for the highest labels", n), None
    for read_rows, of_piece in map_apart(_largest_of, (read, lower + 1), pieces, processes, work):
        largest = of_piece if largest is None else _largest(np.concatenate([largest, of_piece], axis=1), lower + 1)
        progress.advance(read_rows)
    assert largest is not None
    ordered = -np.sort(-largest.astype(np.float64), axis=1)
    return (ordered[:, lower] + share * (ordered[:, upper] - ordered[:, lower])).astype(np.float32)


def _largest(values: np.ndarray, k: int) -> np.ndarray:
    """Return the k largest values of each row, or all where there are fewer."""
    return values if values.shape[1] <= k else np.partition(values, values.shape[1] - k, axis=1)[:, -k:].copy()


def _largest_of(task: tuple[Rows, int], rows: slice) -> tuple[int, np.ndarray]:
    """Return the number of rows read, and the k largest labels of each task in them."""
    read, k = task
    labels = np.abs(read(rows))
    return len(labels), _largest(labels.transpose(1, 0, 2).reshape(labels.shape[1], -1), k)
