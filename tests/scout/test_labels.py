"""What is said about labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake.scout import summarize_labels
from cisnake.scout.labels import compare_replicates


def summary(labels: np.ndarray, raw: np.ndarray | None = None, transform: str = "zscore", groups: list[str] | None = None):
    names = [f"t{i}" for i in range(labels.shape[1])]
    tasks = pd.DataFrame({"task": names, "group": groups or names})
    train = np.arange(len(labels)) < len(labels) // 2
    return summarize_labels(labels, labels if raw is None else raw, train, tasks, transform)


def test_ordinary_labels_need_no_hint() -> None:
    labels = np.random.default_rng(0).normal(size=(200, 4))
    found = summary(labels, transform="none")
    assert found.hints == [] and found.replicates.empty
    # Only training genes are described.
    assert found.tasks["1.0"].tolist() == pytest.approx(labels[:100].max(axis=0))


def test_raw_counts_are_recognised() -> None:
    rng = np.random.default_rng(0)
    counts = rng.negative_binomial(1, 0.002, (200, 2)).astype(float)
    assert any("raw counts" in hint for hint in summary(counts, transform="none").hints)
    assert summary(np.log1p(counts), counts, "log1p").hints == []
    # Log ratios that happen to be whole numbers are no counts, nor are normalised values on a logarithmic scale.
    assert summary(counts - 500, transform="none").hints == []
    assert summary(rng.uniform(0, 12, (200, 2)), transform="none").hints == []
    skewed = np.exp(rng.normal(0, 3, (200, 2)))
    assert any("log1p" in hint for hint in summary(skewed, transform="none").hints)


def test_odd_tasks_are_named() -> None:
    labels = np.random.default_rng(0).normal(size=(200, 6))
    labels[:, 1] *= 50
    labels[:, 3] = 0
    labels[0, 3] = 1
    labels[:70, 4] = np.nan
    hints = "\n".join(summary(labels).hints)
    assert "Task t1 varies more than 10 times as much" in hints and "Task t4 lacks more than half" in hints
    assert "Task t3 has the same value" in hints and "t0" not in hints and "t5" not in hints


def test_replicates_are_compared_within_groups_only() -> None:
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(300, 1))
    good, bad, alone = shared + rng.normal(0, 0.1, (300, 2)), rng.normal(size=(300, 2)), rng.normal(size=(300, 1))
    labels = np.column_stack([good[:, 0], bad[:, 0], alone, good[:, 1], bad[:, 1]])
    labels[:20, 0] = np.nan
    tasks = pd.DataFrame({"task": list("abcde"), "group": ["good", "bad", "alone", "good", "bad"]})
    table = compare_replicates(labels, tasks)
    assert table["group"].tolist() == ["bad", "good"] and table["n_tasks"].tolist() == [2, 2]
    conditions = compare_replicates(labels, tasks.assign(replicate_of=["x", "", "", "x", ""]))
    assert conditions["group"].tolist() == ["x"] and conditions["pearson"][0] > 0.9
    assert table["pearson"][1] == pytest.approx(0.99, abs=0.01) and abs(table["pearson"][0]) < 0.2
