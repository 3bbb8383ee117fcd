"""Scores must equal SciPy's, on hard numbers too, and be undefined where they are undefined."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

from cisnake.evaluate import scores


def pairs(seed: int, n: int = 400, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n, 6))
    return true + offset, 0.5 * true + rng.normal(size=(n, 6)) + offset


def plain_r2(true: np.ndarray, predicted: np.ndarray) -> float:
    return 1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum()


def check(true: np.ndarray, predicted: np.ndarray, tolerance: float = 1e-9) -> None:
    table = scores.score_tasks(true, predicted)
    for task, row in table.iterrows():
        known = np.isfinite(true[:, task])
        t, p = true[known, task].astype(np.float64), predicted[known, task].astype(np.float64)
        assert row["n"] == known.sum()
        assert row["pearson"] == pytest.approx(stats.pearsonr(t, p).statistic, abs=tolerance)
        assert row["spearman"] == pytest.approx(stats.spearmanr(t, p).statistic, abs=tolerance)
        assert row["r2"] == pytest.approx(plain_r2(t, p), abs=tolerance, rel=tolerance)


@pytest.mark.parametrize("seed", range(3))
def test_plain_numbers_and_missing_labels(seed):
    true, predicted = pairs(seed)
    check(true, predicted)
    true[np.random.default_rng(seed).random(true.shape) < 0.3] = np.nan
    check(true, predicted)
    check(true.astype(np.float32), predicted.astype(np.float32))


@pytest.mark.parametrize("offset", [1e3, -1e3, 1e6])
def test_mean_far_above_spread(offset):
    true, predicted = pairs(1, n=3000, offset=offset)
    check(true, predicted, tolerance=1e-7)


def test_float32_labels_with_a_large_mean_lose_no_more_than_their_own_rounding():
    true, predicted = (values.astype(np.float32) for values in pairs(1, offset=1e3))
    check(true, predicted, tolerance=1e-7)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_very_small_and_very_large_numbers(scale):
    true, predicted = pairs(2)
    check(true * scale, predicted * scale)


def test_one_huge_outlier():
    true, predicted = pairs(3)
    true[7, 0] = 1e9
    predicted[7, 0] = -3e8
    true[9, 1] = -1e12
    check(true, predicted)


def test_ties_get_mid_ranks():
    rng = np.random.default_rng(0)
    check(rng.integers(0, 4, (50, 6)).astype(float), rng.integers(0, 3, (50, 6)).astype(float))


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6 + 0.1, -3.3])
def test_constant_measurements_are_undefined_and_constant_predictions_explain_nothing(value):
    true, predicted = pairs(4, n=3001)
    true[:, 0] = value
    predicted[:, 1] = value
    table = scores.score_tasks(true, predicted)
    assert table.loc[0, ["pearson", "spearman"]].isna().all()
    assert (table.loc[1, ["pearson", "spearman"]] == 0).all()
    assert np.isnan(table.loc[0, "r2"]) and table.loc[1, "r2"] == pytest.approx(plain_r2(true[:, 1], predicted[:, 1]))
    assert table.loc[2:].notna().all(axis=None)
    summary = scores.summarize(table)
    assert summary["pearson_median"] == pytest.approx(np.median(table.loc[1:, "pearson"]))
    assert summary["pearson_max"] == pytest.approx(table.loc[1:, "pearson"].max())
    assert summary["pearson_mean"] == pytest.approx(table.loc[1:, "pearson"].mean())
    assert summary["r2_median"] == pytest.approx(np.median(table["r2"].dropna()))
    assert tuple(summary) == scores.SUMMARY_KEYS


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows(n):
    true, predicted = np.full((5, 2), np.nan), np.arange(10.0).reshape(5, 2)
    true[:n] = np.array([[1.0, 2.0], [3.0, 1.0]])[:n]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = scores.score_tasks(true, predicted)
    assert table["n"].tolist() == [n, n]
    if n < 2:
        assert table[["pearson", "spearman", "r2"]].isna().all(axis=None)
        assert set(scores.summarize(table).values()) == {None}
    else:
        assert table["pearson"].tolist() == pytest.approx([1, -1]) and table["spearman"].tolist() == pytest.approx([1, -1])


def test_no_gene_at_all():
    table = scores.score_tasks(np.zeros((0, 2)), np.zeros((0, 2)))
    assert table["n"].tolist() == [0, 0] and table[["pearson", "spearman", "r2"]].isna().all(axis=None)


def test_missing_prediction_is_not_excused():
    true, predicted = pairs(5)
    predicted[3, 0] = np.nan
    true[4, 1] = predicted[4, 1] = np.nan
    table = scores.score_tasks(true, predicted)
    assert table.loc[0, ["pearson", "spearman", "r2"]].isna().all()
    assert table.loc[1, ["pearson", "spearman", "r2"]].notna().all()


def test_perfect_and_inverted():
    true, _ = pairs(6)
    assert scores.pearson(true, 3 * true + 2) == pytest.approx(np.ones(6)) and scores.r2(true, true).tolist() == [1] * 6
    assert scores.pearson(true, -true) == pytest.approx(-np.ones(6))


def test_genes_are_scored_across_tasks():
    true, predicted = pairs(7, n=8)
    true[2, 3] = np.nan
    true[5] = np.nan
    table = scores.score_genes(true, predicted)
    for gene, row in table.drop(index=5).iterrows():
        known = np.isfinite(true[gene])
        assert row["n"] == known.sum()
        assert row["pearson"] == pytest.approx(stats.pearsonr(true[gene, known], predicted[gene, known]).statistic)
        assert row["mse"] == pytest.approx(((true[gene] - predicted[gene])[known] ** 2).mean())
    assert table.loc[5, "n"] == 0 and table.loc[5, ["pearson", "mse"]].isna().all()
