"""Correctly predicted genes: the same third of measured and predicted contrasts, compared with what shuffling gives."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake.interpret.correctness import correct_by_chance, judge_predictions, thirds


def genes(measured, predicted, split="test") -> pd.DataFrame:
    return pd.DataFrame({"split": split, "measured": measured, "predicted": predicted}).astype({"measured": float})


@pytest.mark.parametrize("n", [3, 4, 10, 300])
def test_thirds_are_equally_large_and_in_order(n):
    values = np.random.default_rng(n).normal(size=n)
    found = thirds(values)
    counts = np.bincount(found, minlength=3)
    assert counts.max() - counts.min() <= 1
    assert (np.diff(found[np.argsort(values)]) >= 0).all()
    assert (thirds(-values) == 2 - found).all()


def test_scale_and_offset_do_not_matter():
    rng = np.random.default_rng(0)
    measured, predicted = rng.normal(size=(2, 90))
    found = judge_predictions(genes(measured, predicted))
    assert (judge_predictions(genes(3 * measured + 100, 0.01 * predicted - 7)) == found).all()
    assert (judge_predictions(genes(measured, measured)) == "correct").all()


def test_shuffled_predictions_are_correct_as_often_as_expected():
    rng = np.random.default_rng(0)
    table = genes(rng.normal(size=200), np.round(rng.normal(size=200)), ["train"] * 80 + ["test"] * 120)
    table.loc[::9, "measured"] = np.nan
    known = table["measured"].notna().to_numpy()
    shares = []
    for _ in range(400):
        shuffled = table.copy()
        for seen in (True, False):
            rows = np.flatnonzero(known & ((table["split"] == "train") == seen).to_numpy())
            shuffled.loc[rows, "predicted"] = rng.permutation(table["predicted"].to_numpy()[rows])
        shares.append((judge_predictions(shuffled)[known] == "correct").mean())
    assert correct_by_chance(table) == pytest.approx(np.mean(shares), abs=0.01)


def test_training_genes_are_ranked_apart():
    """Training genes are predicted with twice the range; ranked together, no held-out gene would be at an end."""
    held_out, seen = np.arange(30.0), 100 * (np.arange(30.0) - 15)
    table = genes([*held_out, *held_out], [*held_out, *seen], ["test"] * 30 + ["train"] * 30)
    assert (judge_predictions(table) == "correct").all()


def test_missing_measurements_and_broken_predictions():
    table = genes([1.0, np.nan, 3.0, 2.0], [1.0, 2.0, np.inf, np.nan])
    assert judge_predictions(table).tolist() == ["correct", "not_measured", "poor", "poor"]
    assert judge_predictions(table.iloc[:0]).tolist() == [] and np.isnan(correct_by_chance(table.iloc[:0]))
    assert correct_by_chance(genes([1.0] * 3, [2.0] * 3)) == 1
