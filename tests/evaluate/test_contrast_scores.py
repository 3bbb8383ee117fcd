"""Scores of contrasts: beside a baseline, shuffled predictions, intervals, ceilings and verdicts."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from cisnake.evaluate.ceiling import ceiling_of_contrast
from cisnake.evaluate.contrast_scores import score_contrasts
from cisnake.evaluate.verdicts import AT_BASELINE, BELOW, NO_BETTER, UNKNOWN, WELL_ABOVE
from cisnake.interpret import Contrast

TASKS = pd.DataFrame({"task": list("abcd"), "replicate_of": ["x", "x", "y", "y"]})
CONTRASTS = [Contrast("both", ("a", "b"), ("c", "d"), "specificity"), Contrast("level", ("a", "b"), (), "aggregate")]
BLOCKS = np.repeat(np.arange(60), 10)


def simulated(model: float, ridge: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels of 600 genes, and predictions of model and baseline with these parts of the signal."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(600, 4))
    predicted = model * signal + rng.normal(size=(600, 4)) * 0.1 * (1 + abs(model))
    measured = [signal[:, :2].mean(axis=1) - signal[:, 2:].mean(axis=1), signal[:, :2].mean(axis=1)]
    baseline = ridge * np.stack(measured, axis=1) + rng.normal(size=(600, 2)) * 0.3
    offset = np.array([5, 5, 0, 0])
    return signal + rng.normal(size=(600, 4)) * 0.5 + offset, predicted + offset, baseline + 5


def test_scores_equal_their_definitions():
    true, predicted, baseline = simulated(0.8, 0.5)
    true[:50, 0] = true[40:60, 2] = true[50, 3] = np.nan
    table = score_contrasts(true, predicted, baseline, CONTRASTS, TASKS, BLOCKS).set_index("contrast")
    with warnings.catch_warnings(action="ignore"):
        measured = np.nanmean(true[:, :2], axis=1) - np.nanmean(true[:, 2:], axis=1)
    known = np.isfinite(measured)
    contrast = predicted[:, :2].mean(axis=1) - predicted[:, 2:].mean(axis=1)
    row = table.loc["both"]
    assert row["n"] == known.sum() == 599
    assert row["pearson"] == pytest.approx(np.corrcoef(measured[known], contrast[known])[0, 1])
    assert row["spearman"] == pytest.approx(spearmanr(measured[known], contrast[known])[0])
    assert row["r2"] == pytest.approx(1 - np.var(measured[known] - contrast[known]) / np.var(measured[known]), abs=0.01)
    assert row["kmer_ridge_pearson"] == pytest.approx(np.corrcoef(measured[known], baseline[known, 0])[0, 1])
    for score in ("pearson", "r2", "kmer_ridge_pearson"):
        assert row[f"{score}_low"] < row[score] < row[f"{score}_high"]
    assert row["difference_low"] < row["pearson"] - row["kmer_ridge_pearson"] < row["difference_high"]
    assert abs(row["shuffled_pearson"]) < 0.02 and row["shuffled_r2"] < 0 and abs(row["shuffled_spearman"]) < 0.02
    assert row["ceiling"] == pytest.approx(ceiling_of_contrast(true, [0, 1], [2, 3], [[0, 1], [2, 3]]))


@pytest.mark.parametrize(
    ("model", "ridge", "verdict"),
    [(1.0, 0.2, WELL_ABOVE), (0.1, 3.0, BELOW), (0.0, 0.2, NO_BETTER), (-1.0, 0.2, NO_BETTER)],
)
def test_verdicts(model, ridge, verdict):
    table = score_contrasts(*simulated(model, ridge), CONTRASTS, TASKS, BLOCKS)
    assert table["verdict"].tolist() == [verdict] * 2


def test_a_baseline_with_as_much_noise_is_reached_and_not_beaten():
    true, predicted, _ = simulated(1.0, 0.5)
    baseline = predicted + np.random.default_rng(3).normal(size=(600, 4)) * 0.01
    equal = np.stack([baseline[:, :2].mean(axis=1) - baseline[:, 2:].mean(axis=1), baseline[:, :2].mean(axis=1)], axis=1)
    assert score_contrasts(true, predicted, equal, CONTRASTS, TASKS, BLOCKS)["verdict"].tolist() == [AT_BASELINE] * 2


def test_constant_predictions_are_no_better_than_the_mean_even_with_few_genes():
    true, _, baseline = simulated(1.0, 0.5)
    flat = score_contrasts(true[:12], np.full((12, 4), 3.0), baseline[:12], CONTRASTS, TASKS, None)
    assert flat["verdict"].tolist() == [NO_BETTER] * 2
    true, predicted, baseline = simulated(1.0, 0.5)
    few = score_contrasts(true[:12], predicted[:12], baseline[:12], CONTRASTS, TASKS, None)
    assert few["verdict"].tolist() == [UNKNOWN] * 2 and few[["pearson_low", "difference_high"]].isna().all(axis=None)


def test_model_and_baseline_are_drawn_together():
    """Two equal predictors never differ, whatever is drawn."""
    true, predicted, _ = simulated(0.8, 0.5)
    equal = np.stack([predicted[:, :2].mean(axis=1) - predicted[:, 2:].mean(axis=1), predicted[:, :2].mean(axis=1)], axis=1)
    table = score_contrasts(true, predicted, equal, CONTRASTS, TASKS, BLOCKS)
    np.testing.assert_allclose(table[["difference_low", "difference_high"]], 0, atol=1e-6)


def test_without_named_replicates_the_ceiling_is_unknown():
    table = score_contrasts(*simulated(1.0, 0.5), CONTRASTS, TASKS.drop(columns="replicate_of"), BLOCKS)
    assert table["ceiling"].isna().all()
