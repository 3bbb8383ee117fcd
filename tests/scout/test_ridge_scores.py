"""Scores of windows, and the choice among them."""

from __future__ import annotations

import numpy as np
import pytest

from cisnake.evaluate import pearson
from cisnake.scout import enclosing, smallest_good
from cisnake.scout.ridge_scores import MAX_FITTED_TASKS, Fitted, Prediction, choose_columns, predict_from_words, standard_errors


def fitted(n: int, seed: int = 0) -> tuple[Fitted, np.ndarray, np.ndarray]:
    """Return labels that depend on the count of one word, and counts of 64 words; some labels are missing."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(3, (2 * n, 64)).astype(np.float32)
    signal = np.log1p(counts[:, 7])
    labels = np.column_stack([signal + rng.normal(0, 0.2, 2 * n) for _ in range(3)] + [rng.normal(size=2 * n)])
    labels[rng.random(labels.shape) < 0.1] = np.nan
    return Fitted(labels[:n], labels[n:], 3, ("noise",)), counts[:n], counts[n:]


def test_words_that_matter_predict_and_others_do_not() -> None:
    labels, train, val = fitted(400)
    found = predict_from_words(train, val, labels)
    assert found.level > 0.8 and found.contrasts["noise"] < 0.25
    assert found.level == pytest.approx(np.median(pearson(labels.val[:, :3], found.values[:, :3])), abs=1e-6)
    assert found.score == pytest.approx((found.level + found.contrasts["noise"]) / 2)
    train[:, 7], val[:, 7] = 0, 0
    assert predict_from_words(train, val, labels).level < 0.3


def test_errors_are_those_of_the_difference() -> None:
    labels, train, val = fitted(400)
    best = predict_from_words(train, val, labels)
    noisy = Prediction(best.values + np.random.default_rng(1).normal(0, 0.3, best.values.shape).astype(np.float32), 0.0, {})
    shifted = Prediction(5 + 2 * best.values, best.level, best.contrasts)
    same, moved, other = standard_errors(labels, best, [best, shifted, noisy])
    # Correlations do not depend on location and scale; the shared part of the scores cancels.
    assert same == 0 and moved < 1e-5 and 0.002 < other < 0.1
    large, *rest = fitted(6400)
    again = predict_from_words(*rest, large)
    noise = np.random.default_rng(1).normal(0, 0.3, again.values.shape).astype(np.float32)
    larger = standard_errors(large, again, [Prediction(again.values + noise, 0.0, {})])[0]
    assert larger == pytest.approx(other / 4, rel=0.5), "16 times as many genes"


def test_labels_without_values_or_spread_are_left_out() -> None:
    rng = np.random.default_rng(0)
    train, val = rng.normal(size=(50, 4)), rng.normal(size=(30, 4))
    train[5:, 0], val[:, 1], val[:, 2] = np.nan, 1.0, np.nan
    known = (rng.normal(size=50), rng.normal(size=30))
    chosen = choose_columns(train, val, {"good": known, "flat": (known[0], np.zeros(30))})
    assert (chosen.n_levels, chosen.contrasts) == (1, ("good",))
    assert np.array_equal(chosen.train, np.column_stack([train[:, 3], known[0]]))
    wide = rng.normal(size=(50, 3 * MAX_FITTED_TASKS))
    assert np.array_equal(choose_columns(wide, wide, {}).train[:, [0, -1]], wide[:, [0, -1]])
    assert choose_columns(wide, wide, {}).n_levels == MAX_FITTED_TASKS


def test_the_smallest_window_as_good_as_the_best() -> None:
    sizes = [250, 500, 500, 1000]
    assert smallest_good(sizes, np.array([0.30, 0.30, 0.30, 0.32]), np.zeros(4)) == 3
    assert smallest_good(sizes, np.array([0.30, 0.311, 0.312, 0.32]), np.zeros(4)) == 2
    assert smallest_good(sizes, np.array([0.30, 0.0, 0.0, 0.32]), np.array([0.03, 0, 0, 0])) == 0
    assert smallest_good(sizes, np.array([np.nan, 0.2, np.nan, 0.1]), np.zeros(4)) == 1
    assert smallest_good(sizes, np.full(4, np.nan), np.zeros(4)) in range(4)


def test_the_recommended_window_contains_all_good_ones() -> None:
    cells = [(0, 500), (250, 0), (250, 500), (500, 0), (500, 500), (4000, 500)]
    levels, contrasts = np.array([0.1, 0.3, 0.2, 0.2, 0.2, 0.1]), np.array([0.1, 0.1, 0.1, 0.4, 0.1, 0.1])
    assert enclosing(cells, levels[:, None])[1] == (250, 0)
    # Each kind of score counts by itself, also if it is lower in all windows.
    as_good, window = enclosing(cells, np.column_stack([levels, contrasts]))
    assert window == (500, 0) and np.flatnonzero(as_good).tolist() == [1, 3]
    levels[0] = 0.2901
    assert enclosing(cells, levels[:, None])[1] == (250, 500)
    # A kind that is defined nowhere, and windows without a score, do not count.
    nothing = np.full(6, np.nan)
    assert enclosing(cells, np.column_stack([levels, nothing]))[1] == (250, 500)
    levels[1] = np.nan
    assert enclosing(cells, levels[:, None])[1] == (0, 500)
    assert not enclosing(cells, nothing[:, None])[0].any()
