"""Filters drop tasks and genes of a matrix, with the first reason that applies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.matrix.filters import filter_genes, filter_tasks
from cisnake.errors import InputError
from cisnake.sections import GeneFiltersSection, TaskFiltersSection


def genes_with(**keys: Any) -> GeneFiltersSection:
    return configuration.section("targets.filters.genes", **keys)


def tasks_with(**keys: Any) -> TaskFiltersSection:
    return configuration.section("targets.filters.tasks", **keys)


NAN = np.nan
VALUES = np.float32(
    [
        [1, 2, NAN, 5],
        [0, 2, NAN, 5],
        [NAN, NAN, NAN, NAN],
        [3, NAN, 1, 5],
        [0, 0, 4, NAN],
    ]
)
TASKS = pd.DataFrame({"task": ["a", "b", "c", "d"], "group": ["x", "x", "y", "y"]})


def test_filters_are_off_by_default():
    values, kept, dropped = filter_tasks(VALUES, TASKS, tasks_with())
    assert values is VALUES and len(kept) == 4 and dropped.empty
    assert (filter_genes(VALUES, genes_with())["reason"] == "").all()


@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        # Fractions of the four genes that are measured in any task.
        ({"max_missing": 0.25}, ["", "", "mostly_missing", ""]),
        ({"max_missing": 0.24}, ["", "mostly_missing", "mostly_missing", "mostly_missing"]),
        ({"min_total": 4}, ["", "", "", ""]),
        ({"min_total": 4.5}, ["low_total", "low_total", "", ""]),
        ({"min_genes": 3}, ["few_genes", "few_genes", "few_genes", ""]),
        ({"max_missing": 0.3, "min_total": 5, "min_genes": 3}, ["low_total", "low_total", "mostly_missing", ""]),
    ],
)
def test_dropped_tasks_have_a_reason(limits, reasons):
    values, kept, dropped = filter_tasks(VALUES, TASKS, tasks_with(**limits))
    used = [i for i, reason in enumerate(reasons) if not reason]
    np.testing.assert_array_equal(values, VALUES[:, used])
    assert kept["task"].tolist() == TASKS["task"][used].tolist() and "group" in kept
    assert dropped["task"].tolist() == [task for task, reason in zip("abcd", reasons) if reason]
    assert dropped["reason"].tolist() == [reason for reason in reasons if reason]


def test_details_have_the_number_that_failed():
    limits = {"max_missing": 0.3, "min_total": 4.5}
    assert filter_tasks(VALUES, TASKS, tasks_with(**limits))[2]["detail"].tolist() == [
        "values sum to 4", "values sum to 4", "50.0% of the genes not measured",
    ]  # fmt: skip
    assert filter_genes(VALUES, genes_with(min_tasks=2))["detail"].tolist() == [
        "",
        "",
        "above 0 in 0 tasks",
        "",
        "above 0 in 1 tasks",
    ]


@pytest.mark.parametrize(
    ("limits", "reasons"),
    [
        ({"max_missing": 0.25}, ["", "", "mostly_missing", "", ""]),
        ({"max_missing": 0}, ["mostly_missing"] * 5),
        ({"min_total": 7}, ["", "", "low_total", "", "low_total"]),
        ({"min_tasks": 3}, ["", "few_tasks", "few_tasks", "", "few_tasks"]),
    ],
)
def test_dropped_genes_have_a_reason(limits, reasons):
    assert filter_genes(VALUES, genes_with(**limits))["reason"].tolist() == reasons


def test_dropping_every_task_is_an_error():
    with pytest.raises(InputError, match=r"drops every task; the first is a: values sum to 4"):
        filter_tasks(VALUES, TASKS, tasks_with(min_total=100))


@pytest.mark.parametrize(("missing", "among", "limit"), [(3, 10, 0.3), (1, 20, 0.05), (3, 4, 0.75), (7, 10, 0.7)])
def test_a_fraction_equal_to_the_limit_is_allowed(missing, among, limit):
    values = np.ones((among, 2), np.float32)
    values[:missing, 0] = NAN
    tasks = pd.DataFrame({"task": ["a", "b"]})
    below = (missing - 0.5) / among
    assert filter_tasks(values, tasks, tasks_with(max_missing=limit))[1]["task"].tolist() == ["a", "b"]
    assert filter_tasks(values, tasks, tasks_with(max_missing=below))[1]["task"].tolist() == ["b"]
    assert filter_genes(values.T, genes_with(max_missing=limit))["reason"].tolist() == ["", ""]
    assert filter_genes(values.T, genes_with(max_missing=below))["reason"].tolist() == ["mostly_missing", ""]
