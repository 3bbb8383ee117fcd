"""Scores equal those of SciPy, also for numerically difficult values, and are NaN where undefined."""

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
def test_ordinary_and_missing_labels(seed):
    true, predicted = pairs(seed)
    check(true, predicted)
    true[np.random.default_rng(seed).random(true.shape) < 0.3] = np.nan
    check(true, predicted)
    check(true.astype(np.float32), predicted.astype(np.float32))


@pytest.mark.parametrize("offset", [1e3, -1e3, 1e6])
def test_mean_far_larger_than_the_spread(offset):
    true, predicted = pairs(1, n=3000, offset=offset)
    check(true, predicted, tolerance=1e-7)


def test_float32_labels_with_a_large_mean_lose_no_precision():
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
def test_constant_measurements_are_undefined_and_constant_predictions_score_zero(value):
    true, predicted = pairs(4, n=3001)
    true[:, 0] = value
    predicted[:, 1] = value
    table = scores.score_tasks(true, predicted)
    assert table.loc[0, ["pearson", "spearman"]].isna().all()
    assert (table.loc[1, ["pearson", "spearman"]] == 0).all()
    assert np.isnan(table.loc[0, "r2"]) and table.loc[1, "r2"] == pytest.approx(plain_r2(true[:, 1], predicted[:, 1]))
    assert table.loc[2:].notna().all(axis=None)
    summary = scores.summarize_scores(table)
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
        assert set(scores.summarize_scores(table).values()) == {None}
    else:
        assert table["pearson"].tolist() == pytest.approx([1, -1]) and table["spearman"].tolist() == pytest.approx([1, -1])


def test_no_genes():
    table = scores.score_tasks(np.zeros((0, 2)), np.zeros((0, 2)))
    assert table["n"].tolist() == [0, 0] and table[["pearson", "spearman", "r2"]].isna().all(axis=None)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_prediction_that_is_not_finite_makes_the_score_nan(value):
    true, predicted = pairs(5)
    predicted[3, 0] = value
    true[4, 1], predicted[4, 1] = np.nan, value
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = scores.score_tasks(true, predicted)
    assert table.loc[0, ["pearson", "spearman", "r2"]].isna().all()
    assert table.loc[1, ["pearson", "spearman", "r2"]].notna().all()
    assert scores.score_genes(true, predicted)["pearson"].isna().to_list() == [gene == 3 for gene in range(len(true))]


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


def plain_normalized(values: np.ndarray) -> np.ndarray:
    """Quantile-normalise columns without missing values, rank by rank."""
    common = np.sort(values, axis=0).mean(axis=1)
    normal = np.zeros(values.shape)
    for i, j in np.ndindex(values.shape):
        below, equal = (values[:, j] < values[i, j]).sum(), (values[:, j] == values[i, j]).sum()
        normal[i, j] = common[below : below + equal].mean()
    return normal


def plain_specificity(true: np.ndarray, predicted: np.ndarray) -> list[float]:
    t, p = (plain_normalized(values) for values in (true, predicted))
    t, p = t - t.mean(axis=1, keepdims=True), p - p.mean(axis=1, keepdims=True)
    return [stats.pearsonr(a, b).statistic for a, b in zip(t.T, p.T)]


def with_ties(n: int = 60) -> tuple[np.ndarray, np.ndarray]:
    true, predicted = pairs(8, n)
    true, predicted = np.exp(true) * [1, 10, 1, 100, 1, 1], np.exp(predicted) * [5, 1, 1, 1, 1, 1]
    true[:, 1], predicted[:, 2] = np.round(true[:, 1], -1), np.round(predicted[:, 2])
    return true, predicted


def test_quantile_normalized_columns_have_the_same_distribution():
    values, _ = with_ties()
    normal = scores.quantile_normalize(values)
    np.testing.assert_allclose(normal, plain_normalized(values), rtol=1e-12)
    np.testing.assert_allclose(np.sort(normal[:, 0]), np.sort(normal[:, 5]))
    np.testing.assert_allclose(scores.quantile_normalize(normal), plain_normalized(normal), rtol=1e-12)
    # Normalisation keeps the order of the values.
    np.testing.assert_array_equal(np.argsort(normal[:, 3]), np.argsort(values[:, 3]))


def test_quantile_normalization_with_missing_values():
    values = np.array([[1.0, np.nan], [3.0, 10.0], [2.0, 30.0]])
    # The second column has values at quantiles 1/4 and 3/4; interpolated to 1/6, 1/2 and 5/6 it is 10, 20, 30.
    expected = np.array([[5.5, np.nan], [16.5, 5.5 + 5.5 / 4], [11.0, 16.5 - 5.5 / 4]])
    np.testing.assert_allclose(scores.quantile_normalize(values), expected)
    unmeasured = scores.quantile_normalize(np.array([[1.0, np.nan], [2.0, np.nan]]))
    np.testing.assert_array_equal(unmeasured, [[1, np.nan], [2, np.nan]])
    # Values missing at random change the result little.
    true, _ = pairs(9, 4000)
    gaps = np.where(np.random.default_rng(0).random(true.shape) < 0.3, np.nan, true)
    normal, known = scores.quantile_normalize(true), np.isfinite(gaps)
    np.testing.assert_allclose(scores.quantile_normalize(gaps)[known], normal[known], atol=0.3)
    assert np.abs(scores.quantile_normalize(gaps) - normal)[known].mean() < 0.03


def test_specificity_is_computed_within_each_group():
    true, predicted = with_ties()
    groups = ["b", "a", "b", "a", "c", "b"]
    found = scores.specificity(true, predicted, groups)
    for tasks in ([0, 2, 5], [1, 3]):
        np.testing.assert_allclose(found[tasks], plain_specificity(true[:, tasks], predicted[:, tasks]), rtol=1e-10)
    assert np.isnan(found[4])
    assert np.isnan(scores.specificity(true, predicted, groups, min_tasks=3)).tolist() == [
        False,
        True,
        False,
        True,
        True,
        False,
    ]
    np.testing.assert_allclose(scores.specificity(true, predicted, [0] * 6), plain_specificity(true, predicted), rtol=1e-10)


def test_specificity_ignores_missing_values():
    true, predicted = with_ties()
    more = [np.concatenate([values, values[:3]]) for values in (true, predicted)]
    # Rows with no or one measured task do not enter the comparison of tasks, whatever their predictions.
    more[0][60:] = np.nan
    more[1][60:] = np.nan
    np.testing.assert_allclose(scores.specificity(*more, [0] * 6), plain_specificity(true, predicted), rtol=1e-10)
    more[0][61, 2], more[1][61] = np.median(true[:, 2]), np.median(predicted[:, 2])
    one = scores.specificity(*more, [0] * 6)
    assert np.isfinite(one).all() and np.abs(one - plain_specificity(true, predicted)).max() < 0.05
    # A row with one measured task would be at (0, 0); a hundred of them would change the correlation.
    single = np.full((100, 6), np.nan)
    single[np.arange(100), np.arange(100) % 6] = np.tile(np.median(true, axis=0), 17)[:100]
    with_single = [np.concatenate([true, single]), np.concatenate([predicted, np.tile(np.median(predicted, axis=0), (100, 1))])]
    normal = [scores.quantile_normalize(np.where(np.isnan(with_single[0]), np.nan, values))[:60] for values in with_single]
    expected = scores.pearson(*(values - values.mean(axis=1, keepdims=True) for values in normal))
    np.testing.assert_allclose(scores.specificity(*with_single, [0] * 6), expected, rtol=1e-10)
    with_single[1][np.isnan(with_single[0])] = 1e6
    np.testing.assert_allclose(scores.specificity(*with_single, [0] * 6), expected, rtol=1e-10)
    for value in (np.nan, np.inf, -np.inf):
        more[1][5, 0] = value
        assert np.isnan(scores.specificity(*more, [0] * 6)).all()


@pytest.mark.parametrize("offset", [0.0, 0.1, 1e6])
def test_specificity_of_what_is_common_to_all_tasks_is_zero(offset):
    true, predicted = pairs(10)
    common = np.repeat(predicted[:, :1], 6, axis=1) * [1, 2, 3, 4, 5, 0.1] + offset
    # Tasks that differ only in scale are identical after normalisation, so nothing specific is left.
    assert scores.specificity(true, common, [0] * 6).tolist() == [0] * 6
    assert np.isnan(scores.specificity(common, true, [0] * 6)).all()
    assert scores.specificity(true, true * 3 + offset, [0] * 6) == pytest.approx(np.ones(6))


def test_specificity_of_no_rows():
    assert np.isnan(scores.specificity(np.zeros((0, 3)), np.zeros((0, 3)), [0, 0, 1])).all()
