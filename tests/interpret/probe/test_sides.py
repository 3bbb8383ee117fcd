"""Effects on either side of a contrast."""

from __future__ import annotations

import numpy as np
import pytest

from cisnake.interpret.contrasts import Contrast
from cisnake.interpret.probe.sides import SIDE_COLUMNS, moved_sides, side_effects


@pytest.mark.parametrize(
    ("on", "off", "expected"),
    [
        ((1.0, 0.5, 1.5), (-0.1, -0.2, -0.05), "raises_on"),
        ((0.0, -0.1, 0.1), (-0.5, -0.6, -0.4), "lowers_off"),
        ((0.0, -0.1, 0.1), (0.5, 0.4, 0.6), "raises_off"),
        ((-0.5, -0.6, -0.4), (-1.0, -1.1, -0.9), "lowers_off,lowers_on"),
        ((1.0, 0.9, 1.1), (0.25, 0.2, 0.3), "raises_on,raises_off"),
        ((1.0, 0.9, 1.1), (0.24, 0.2, 0.3), "raises_on"),
        ((0.5, -0.1, 1.1), (-0.5, -1.1, 0.1), ""),
        # An effect in one background has no interval.
        ((0.5, np.nan, np.nan), (-0.5, np.nan, np.nan), ""),
        ((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), ""),
    ],
)
def test_sides_that_move(on, off, expected):
    assert moved_sides(on, off) == expected


def test_effects_on_the_sides_differ_by_that_on_the_score():
    rng = np.random.default_rng(0)
    tasks = list("abcdef")
    weights = Contrast("x", ("b", "e"), ("a", "c", "f"), "specificity").side_weights(tasks)
    deleted, inserted = rng.normal(1, 2, (40, 6)) @ weights, rng.normal(0, 1, (30, 6)) @ weights
    row = side_effects(deleted, inserted, np.random.default_rng(1))
    assert tuple(row) == SIDE_COLUMNS
    for test, sums in (("deletion", deleted), ("insertion", inserted)):
        on, off = row[f"{test}_on_mean"], row[f"{test}_off_mean"]
        assert on - off == pytest.approx(sums[:, 0].mean(), abs=1e-6)
        for side, mean, values in (("on", on, sums[:, 1]), ("off", off, sums[:, 2])):
            error = values.std() / np.sqrt(len(values))
            assert mean == pytest.approx(values.mean())
            assert row[f"{test}_{side}_low"] == pytest.approx(mean - 1.96 * error, abs=0.3 * error)
            assert row[f"{test}_{side}_high"] == pytest.approx(mean + 1.96 * error, abs=0.3 * error)


def test_without_off_tasks_there_is_one_side():
    weights = Contrast("x", ("a", "b"), (), "aggregate").side_weights(["a", "b", "c"])
    assert weights.tolist() == [[0.5], [0.5], [0.0]]
    row = side_effects(np.ones((5, 1)), np.zeros((0, 1)), np.random.default_rng(0))
    assert row["deletion_on_mean"] == row["deletion_on_low"] == 1
    assert all(np.isnan(row[name]) for name in SIDE_COLUMNS if "_off_" in name or name.startswith("insertion"))
