"""Ceilings: what replicates say about the best correlation agrees with simulated truth."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from cisnake.evaluate.ceiling import ceiling_of_contrast, ceiling_of_tasks, replicates_of


def measured(n_genes: int, sizes: list[int], noise: float, seed: int) -> tuple[np.ndarray, np.ndarray, list[list[int]]]:
    """Return truth per condition, labels of all replicates, and the replicates of each condition."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n_genes, len(sizes)))
    labels = np.repeat(truth, sizes, axis=1) + noise * rng.normal(size=(n_genes, sum(sizes)))
    ends = np.cumsum([0, *sizes])
    return truth, labels, [list(range(a, b)) for a, b in itertools.pairwise(ends)]


@pytest.mark.parametrize("sizes", [[8, 8], [7, 6], [2, 2]])
@pytest.mark.parametrize("noise", [0.3, 1.0])
def test_no_prediction_beats_the_ceiling_and_the_truth_reaches_it(sizes, noise):
    truth, labels, conditions = measured(4000, sizes, noise, 0)
    on, off = conditions
    mean = labels[:, on].mean(axis=1) - labels[:, off].mean(axis=1)
    reached = np.corrcoef(truth[:, 0] - truth[:, 1], mean)[0, 1]
    assert ceiling_of_contrast(labels, on, off, conditions) == pytest.approx(reached, abs=0.02)
    level = np.corrcoef(truth[:, 0], labels[:, on].mean(axis=1))[0, 1]
    assert ceiling_of_contrast(labels, on, [], conditions) == pytest.approx(level, abs=0.02)


def test_a_task_alone_is_limited_by_its_own_noise():
    truth, labels, conditions = measured(4000, [4, 3], 0.7, 1)
    reached = [
        np.corrcoef(truth[:, condition], labels[:, task])[0, 1] for condition, rows in enumerate(conditions) for task in rows
    ]
    np.testing.assert_allclose(ceiling_of_tasks(labels, conditions), reached, atol=0.03)


def test_replicates_without_agreement_have_a_ceiling_of_zero():
    labels = np.random.default_rng(0).normal(size=(5000, 4))
    assert ceiling_of_contrast(labels, [0, 1, 2, 3], [], [[0, 1, 2, 3]]) < 0.2
    opposite = np.stack([labels[:, 0], -labels[:, 0]], axis=1)
    assert ceiling_of_contrast(opposite, [0, 1], [], [[0, 1]]) == 0
    assert ceiling_of_tasks(opposite, [[0, 1]]).tolist() == [0, 0]


def test_the_ceiling_is_unknown_without_replicates_on_either_side():
    _, labels, conditions = measured(100, [3, 1], 0.5, 0)
    on, off = conditions
    assert ceiling_of_contrast(labels, on, off, conditions) is None
    assert ceiling_of_contrast(labels, off, on, conditions) is None
    assert ceiling_of_contrast(labels, on, [], None) is None
    assert ceiling_of_contrast(labels, on, [], conditions) is not None
    np.testing.assert_array_equal(np.isnan(ceiling_of_tasks(labels, conditions)), [False, False, False, True])
    assert np.isnan(ceiling_of_tasks(labels, None)).all()


def test_missing_values_are_left_out():
    _, labels, conditions = measured(4000, [6, 6], 0.5, 2)
    whole = ceiling_of_contrast(labels, *conditions, conditions)
    labels[np.random.default_rng(0).random(labels.shape) < 0.1] = np.nan
    assert ceiling_of_contrast(labels, *conditions, conditions) == pytest.approx(whole, abs=0.03)
    assert np.isfinite(ceiling_of_tasks(labels, conditions)).all()


def test_replicates_are_never_guessed_from_groups():
    tasks = pd.DataFrame({"task": ["a", "b", "c"], "group": "all"})
    assert replicates_of(tasks) is None
    assert replicates_of(tasks.assign(replicate_of=["wt", "", "wt"])) == [[0, 2], [1]]
