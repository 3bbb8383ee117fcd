"""Ridge regressions that share a factorisation agree with a fit per task by another library."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from cisnake.words import ridge as module
from cisnake.words.ridge import Ridge


def regression(n: int, p: int, missing: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return predictors, labels and other predictors; two predictors are equal, one is constant, one is far from 0."""
    rng = np.random.default_rng(seed)
    x = rng.poisson(2.0, size=(n + 40, p)).astype(np.float64)
    x[:, 1], x[:, 2], x[:, 3] = x[:, 0], 7.0, x[:, 3] + 1000
    labels = x[:n] @ rng.normal(size=(p, 4)) * 0.2 + rng.normal(size=(n, 4)) + [0, 5, -100, 1]
    labels[rng.random(labels.shape) < missing] = np.nan
    return x[:n], labels.astype(np.float32), x[n:]


def fit(x: np.ndarray, labels: np.ndarray, held_out: np.ndarray, penalty: float) -> np.ndarray:
    ridge = Ridge(x.copy())
    return ridge.predict(ridge.fill_missing(labels, penalty), ridge.rotate(held_out), penalty)


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("n", "p"), [(300, 30), (60, 200)])
@pytest.mark.parametrize("penalty", [1.0, 100.0, 10_000.0])
def test_ridge_equals_a_fit_per_task_to_its_measured_genes(missing, n, p, penalty):
    """With more genes than predictors, and with fewer."""
    x, labels, held_out = regression(n, p, missing)
    found = fit(x, labels, held_out, penalty)
    for task in range(4):
        measured = np.isfinite(labels[:, task])
        expected = SklearnRidge(alpha=penalty).fit(x[measured], labels[measured, task].astype(np.float64)).predict(held_out)
        np.testing.assert_allclose(found[:, task], expected, rtol=0, atol=1e-5 * np.nanstd(labels[:, task]))


def test_one_factorisation_serves_every_penalty():
    x, labels, held_out = regression(100, 30, 0.0)
    ridge = Ridge(x.copy())
    rotated = ridge.rotate(held_out)
    for penalty in module.PENALTIES:
        expected = SklearnRidge(alpha=penalty).fit(x, labels.astype(np.float64)).predict(held_out)
        np.testing.assert_allclose(ridge.predict(labels, rotated, penalty), expected, atol=1e-6)


def test_tasks_are_independent():
    x, labels, held_out = regression(100, 30, 0.3)
    np.testing.assert_allclose(fit(x, labels[:, :1], held_out, 50), fit(x, labels, held_out, 50)[:, :1], atol=1e-6)


def test_a_start_changes_the_way_and_not_the_result():
    x, labels, _ = regression(100, 30, 0.3)
    ridge = Ridge(x.copy())
    other = ridge.fill_missing(labels, 500.0)
    alone, started = ridge.fill_missing(labels, 50.0), ridge.fill_missing(labels, 50.0, start=other)
    assert np.abs(alone - other).max() > 1e-3
    np.testing.assert_allclose(started, alone, atol=1e-5)
    np.testing.assert_array_equal(started[np.isfinite(labels)], labels[np.isfinite(labels)].astype(np.float64))


def test_fits_that_do_not_converge_are_reported(monkeypatch, caplog):
    x, labels, held_out = regression(100, 150, 0.6)
    monkeypatch.setattr(module, "_MAX_STEPS", 2)
    monkeypatch.setattr(module.log, "propagate", True)
    fit(x, labels, held_out, 50)
    assert "4 tasks" in caplog.text
