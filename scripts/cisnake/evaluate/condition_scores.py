"""Scores of conditions: each is the mean of its replicates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cisnake.evaluate.ceiling import ceiling_of_contrast, replicates_of, row_means
from cisnake.evaluate.scores import score_tasks, summarize_scores


def score_conditions(true: np.ndarray, model: np.ndarray, ridge: np.ndarray, tasks: pd.DataFrame) -> dict[str, Any] | None:
    """Score the means of the replicates of each condition.

    Noise of single replicates lowers the score of each task. In the mean it cancels, so that this score is nearer to what is
    known about the condition.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, tasks)
        Measured values, NaN where missing. A gene counts if at least one replicate was measured.
    model, ridge: numpy.ndarray, shape=(n, tasks)
        Predictions of the model and of the k-mer ridge.
    tasks: pandas.DataFrame
        One row per task; see `replicates_of`.

    Returns
    -------
    dict or None
        n_conditions; model and kmer_ridge, as `summarize_scores` returns them; ceiling, the median over the conditions for
        which it is known, or "unknown". None if no condition has several replicates.
    """
    conditions = replicates_of(tasks)
    if conditions is None or max(map(len, conditions)) == 1:
        return None
    measured, *predicted = (np.stack([row_means(x[:, rows]) for rows in conditions], axis=1) for x in (true, model, ridge))
    of_model, of_ridge = (summarize_scores(score_tasks(measured, means)) for means in predicted)
    ceilings = [ceiling_of_contrast(true, rows, [], conditions) for rows in conditions]
    known = [ceiling for ceiling in ceilings if ceiling is not None]
    ceiling = float(np.median(known)) if known else "unknown"
    return {"n_conditions": len(conditions), "model": of_model, "kmer_ridge": of_ridge, "ceiling": ceiling}
