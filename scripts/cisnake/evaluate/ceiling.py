"""The best correlation that any prediction can reach, given how well replicates of a measurement agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from cisnake.evaluate.scores import pearson

_SPLITS = 100


def replicates_of(tasks: pd.DataFrame) -> list[list[int]] | None:
    """Return the tasks (row numbers) of each condition, or None if the table does not name replicates.

    Parameters
    ----------
    tasks: pandas.DataFrame
        One row per task. Tasks with the same text in the column `replicate_of` are replicates; a task without text is a
        condition of its own.
    """
    if "replicate_of" not in tasks:
        return None
    conditions = tasks["replicate_of"].fillna("").astype(str).to_numpy()
    named = [f"named {name}" if name else f"alone {row}" for row, name in enumerate(conditions)]
    return [rows.tolist() for rows in pd.Series(range(len(named))).groupby(named, sort=False).apply(np.asarray)]


def ceiling_of_contrast(
    labels: np.ndarray, on: Sequence[int], off: Sequence[int], conditions: list[list[int]] | None, seed: int = 0
) -> float | None:
    """Return the highest Pearson correlation that a prediction of a contrast can reach on these genes.

    The replicates of each condition are divided into random halves, and the contrast is computed from either half. With the
    mean r of the correlations of both over 100 divisions, the reliability of the contrast of all replicates is
    2 r / (1 + r) (Spearman 1910, Brown 1910), and the ceiling is its square root.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks)
        NaN for missing values.
    on, off: sequence of int
        Tasks on either side; `off` can be empty.
    conditions: list of list of int, optional
        As `replicates_of` returns them.
    seed: int

    Returns
    -------
    float or None
        0 if the halves do not agree. None if it is unknown: replicates are not named, or a condition has only one.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import ceiling_of_contrast
    >>> labels = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    >>> round(ceiling_of_contrast(labels, [0, 1], [], [[0, 1]]), 6), ceiling_of_contrast(labels, [0, 1], [], None)
    (1.0, None)
    """
    if conditions is None:
        return None
    sides = [[sorted(set(rows) & set(side)) for rows in conditions] for side in (on, off)]
    sides = [[rows for rows in side if rows] for side in sides]
    if any(len(rows) < 2 for side in sides for rows in side):
        return None
    rng = np.random.default_rng(seed)
    correlations = np.empty(_SPLITS)
    for split in range(_SPLITS):
        halves = np.zeros((2, len(labels)))
        for side, sign in zip(sides, (1, -1), strict=True):
            shuffled = [rng.permutation(rows) for rows in side]
            for half in range(2) if side else ():
                # Which half is the larger one alternates between conditions and divisions.
                rows = np.concatenate([part[(half + i + split) % 2 :: 2] for i, part in enumerate(shuffled)])
                halves[half] += sign * row_means(labels[:, rows])
        known = np.isfinite(halves).all(axis=0)
        correlations[split] = pearson(halves[0, known, None], halves[1, known, None])[0]
    defined = correlations[np.isfinite(correlations)]
    if not len(defined):
        return None
    r = max(float(defined.mean()), 0.0)
    return float(np.sqrt(2 * r / (1 + r)))


def ceiling_of_tasks(labels: np.ndarray, conditions: list[list[int]] | None) -> np.ndarray:
    """Return the highest Pearson correlation that a prediction of each single task can reach on these genes.

    It is the square root of the mean correlation of a task with the other replicates of its condition.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks)
        NaN for missing values.
    conditions: list of list of int, optional
        As `replicates_of` returns them.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float64
        NaN where it is unknown.
    """
    ceilings = np.full(labels.shape[1], np.nan)
    for rows in conditions or []:
        if len(rows) < 2:
            continue
        agreement = np.full((len(rows), len(rows)), np.nan)
        for i, row in enumerate(rows):
            others = [j for j in range(len(rows)) if j != i]
            both = np.where(np.isfinite(labels[:, [row]]), labels[:, [rows[j] for j in others]], np.nan)
            agreement[i, others] = pearson(both, np.where(np.isfinite(labels[:, [row]]), labels[:, [row]], 0.0))
        means = np.nanmean(agreement, axis=1) if np.isfinite(agreement).any() else np.full(len(rows), np.nan)
        ceilings[rows] = np.sqrt(np.maximum(means, 0.0))
    return ceilings


def row_means(values: np.ndarray) -> np.ndarray:
    """Return the mean of the measured values of each row, NaN if there are none."""
    n = np.isfinite(values).sum(axis=1)
    return np.where(n > 0, np.nansum(values, axis=1) / np.maximum(n, 1), np.nan)
