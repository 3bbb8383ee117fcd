"""Scores of contrasts on held-out genes: measured against predicted contrast, with baseline, bounds and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cisnake.evaluate.ceiling import ceiling_of_contrast, replicates_of
from cisnake.evaluate.intervals import draw_scores, percentile_interval, sum_blocks
from cisnake.evaluate.scores import score_tasks
from cisnake.evaluate.verdicts import judge
from cisnake.interpret import Contrast

_SHUFFLES = 100
_SCORES = ("pearson", "spearman", "r2")


def score_contrasts(
    true: np.ndarray,
    predicted: np.ndarray,
    baseline: np.ndarray,
    contrasts: Sequence[Contrast],
    tasks: pd.DataFrame,
    blocks: np.ndarray | None,
    parts: Mapping[str, np.ndarray] | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Score the predicted contrasts of genes.

    Parameters
    ----------
    true: numpy.ndarray, shape=(genes, tasks)
        Labels; NaN for missing values.
    predicted: numpy.ndarray, shape=(genes, tasks)
        Predictions of the model.
    baseline: numpy.ndarray, shape=(genes, contrasts)
        Predictions of the baseline for the contrasts themselves.
    contrasts: sequence of Contrast
    tasks: pandas.DataFrame
        One row per task.
    blocks: numpy.ndarray, shape=(genes,), dtype=int, optional
        As `neighbour_blocks` returns them; None for no intervals.
    parts: mapping of str to numpy.ndarray, shape=(genes, tasks), optional
        Predictions of parts of the model, by name.
    seed: int

    Returns
    -------
    pandas.DataFrame
        One row per contrast: contrast; n (genes with a measured contrast); pearson, spearman and r2 of the model, with the
        prefix `kmer_ridge_` of the baseline, and with the prefix `shuffled_` the means over predictions of the model that
        were exchanged between genes at random; `<part>_pearson` for parts of the model; `<score>_low` and `<score>_high`,
        95% intervals of pearson, r2, kmer_ridge_pearson and difference (pearson of model minus baseline); ceiling (NaN if
        unknown); verdict.
    """
    names = tasks["task"].tolist()
    measured = np.stack([contrast.measured(true, names) for contrast in contrasts], axis=1)
    weights = np.stack([contrast.weights(names) for contrast in contrasts], axis=1)
    model = np.asarray(predicted, np.float64) @ weights
    scores = score_tasks(measured, model)
    table = pd.DataFrame({"contrast": [contrast.name for contrast in contrasts]}).join(scores)
    table = table.join(score_tasks(measured, baseline)[list(_SCORES)].add_prefix("kmer_ridge_"))
    table = table.join(_shuffled(measured, model, seed).add_prefix("shuffled_"))
    for name, part in (parts or {}).items():
        table[f"{name}_pearson"] = score_tasks(measured, np.asarray(part, np.float64) @ weights)["pearson"]
    bounds = _bounds(measured, [model, baseline], blocks, seed)
    for name, of_contrasts in bounds.items():
        table[f"{name}_low"], table[f"{name}_high"] = zip(*(pair or (np.nan, np.nan) for pair in of_contrasts), strict=True)
    conditions = replicates_of(tasks)
    sides = [contrast.sides(names) for contrast in contrasts]
    ceilings = [ceiling_of_contrast(true, on, off, conditions, seed) for on, off in sides]
    table["ceiling"] = [np.nan if value is None else value for value in ceilings]
    verdicts = []
    for i, row in enumerate(table.to_dict("records")):
        pearson, r2, ridge = (_defined(row[name]) for name in ("pearson", "r2", "kmer_ridge_pearson"))
        intervals = None if blocks is None else {name: pairs[i] for name, pairs in bounds.items()}
        verdicts.append(judge(pearson, r2, ridge, intervals))
    table["verdict"] = verdicts
    return table


def _defined(value: Any) -> float | None:
    return None if np.isnan(value) else float(value)


def _shuffled(measured: np.ndarray, model: np.ndarray, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    tables = [score_tasks(measured, model[rng.permutation(len(model))])[list(_SCORES)] for _ in range(_SHUFFLES)]
    return sum(tables[1:], tables[0]) / _SHUFFLES


def _bounds(
    measured: np.ndarray, predictors: list[np.ndarray], blocks: np.ndarray | None, seed: int
) -> dict[str, list[tuple[float, float] | None]]:
    """Return the intervals of each score, one per contrast."""
    if blocks is None:
        return {name: [None] * measured.shape[1] for name in ("pearson", "r2", "kmer_ridge_pearson", "difference")}
    shift = np.nan_to_num(np.nanmean(np.where(np.isfinite(measured), measured, np.nan), axis=0))
    draws = draw_scores(sum_blocks(measured, predictors, blocks, int(blocks.max()) + 1, shift), seed)
    scores = {
        "pearson": draws.pearson[0],
        "r2": draws.r2[0],
        "kmer_ridge_pearson": draws.pearson[1],
        "difference": draws.pearson[0] - draws.pearson[1],
    }
    return {name: [percentile_interval(column) for column in values.T] for name, values in scores.items()}
