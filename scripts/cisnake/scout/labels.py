"""What the labels of training genes look like, and what is unusual about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.data.matrix import check_kinds
from cisnake.evaluate import pearson

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)

# Replicates compared per group, and groups compared.
_MAX_REPLICATES, _MAX_GROUPS = 20, 50
# A task's spread that is so many times that of the median task is extreme.
_EXTREME_SPREAD = 10
# Share of equal labels from which a task is nearly constant.
_CONSTANT = 0.95
_NAMES = 3


@dataclass(frozen=True, eq=False)
class LabelSummary:
    """Distribution of the labels.

    Attributes
    ----------
    tasks: pandas.DataFrame
        One row per task: task, group, missing (share of the genes), one column per quantile (named by it), sd, equal (share of
        its labels that have the most frequent value). Of training genes.
    replicates: pandas.DataFrame
        One row per group with several tasks: group, n_tasks, pearson (median over pairs of tasks). Of training and validation
        genes; the least similar first.
    hints: list of str
        What is unusual, and what to do.
    """

    tasks: pd.DataFrame
    replicates: pd.DataFrame
    hints: list[str]


def summarize_labels(
    labels: np.ndarray, raw: np.ndarray, train: np.ndarray, tasks: pd.DataFrame, transform: str | Sequence[str]
) -> LabelSummary:
    """Describe the labels.

    Parameters
    ----------
    labels, raw: numpy.ndarray, shape=(genes, tasks)
        Of training and validation genes, after and before the transform; NaN for missing values.
    train: numpy.ndarray, shape=(genes,), dtype=bool
        Which genes are training genes.
    tasks: pandas.DataFrame
        task, group.
    transform: str or sequence of str
        `targets.transform`.
    """
    of_train = labels[train].astype(np.float64)
    known = np.isfinite(of_train)
    columns = [column[mask] for column, mask in zip(of_train.T, known.T, strict=True)]
    table = tasks[["task", "group"]].reset_index(drop=True)
    table["missing"] = 1 - known.mean(axis=0)
    quantiles = np.array([np.quantile(column, QUANTILES) if len(column) else [np.nan] * len(QUANTILES) for column in columns])
    table[list(map(str, QUANTILES))] = quantiles
    table["sd"] = [float(column.std()) if len(column) else np.nan for column in columns]
    table["equal"] = [
        np.unique(column, return_counts=True)[1].max() / len(column) if len(column) else np.nan for column in columns
    ]
    hints = [*_raw_counts(raw[train], transform), *_spreads(table), *_constants(table), *_missing(table)]
    return LabelSummary(table, compare_replicates(labels, tasks), hints)


def compare_replicates(labels: np.ndarray, tasks: pd.DataFrame) -> pd.DataFrame:
    """Return the median correlation over genes between the replicates of each condition, or else the tasks of each group.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks)
    tasks: pandas.DataFrame
        task, group, and replicate_of (the condition), if it is known.

    Returns
    -------
    pandas.DataFrame
        group (or condition), n_tasks, pearson; at most 50 groups of at least two tasks, of each at most 20 tasks, lowest first.
    """
    rows = []
    names = tasks.get("replicate_of", tasks["group"]).reset_index(drop=True)
    groups = names[names != ""].groupby(names, sort=False).groups
    for group, members in [item for item in groups.items() if len(item[1]) > 1][:_MAX_GROUPS]:
        part = labels[:, list(members)[:_MAX_REPLICATES]]
        r = np.concatenate([_correlate(part[:, i + 1 :], part[:, [i]]) for i in range(part.shape[1] - 1)])
        rows.append((str(group), len(members), float(np.nanmedian(r)) if np.isfinite(r).any() else np.nan))
    return pd.DataFrame(rows, columns=["group", "n_tasks", "pearson"]).sort_values("pearson", kind="stable", ignore_index=True)


def _correlate(columns: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Return the correlation of columns with one column, over the rows where both are measured."""
    return pearson(np.where(np.isnan(column), np.nan, columns), np.broadcast_to(column, columns.shape))


def _raw_counts(raw: np.ndarray, transform: str | Sequence[str]) -> list[str]:
    known = raw[np.isfinite(raw)]
    if set(check_kinds(transform)) - {"none", "zscore"} or not len(known) or known.min() < 0:
        return []
    if (known == np.floor(known)).all() and known.max() > 50:
        return [
            f"The measurements are whole numbers up to {known.max():,.0f} and look like raw counts. Set targets.transform to "
            f"log2_cpm and run scout again: without it, a few highly expressed genes decide everything."
        ]
    if known.max() > 100 * max(float(np.median(known[known > 0])) if (known > 0).any() else 0.0, 1e-9):
        return [
            f"The largest measurement is {known.max():,.4g}, more than a hundred times a typical one. If the values are not on "
            "a logarithmic scale, set targets.transform to log1p and run scout again."
        ]
    return []


def _spreads(table: pd.DataFrame) -> list[str]:
    sd = table["sd"].to_numpy()
    positive = sd[sd > 0]
    if len(positive) < 2:
        return []
    middle = float(np.median(positive))
    wide = table["task"][sd > _EXTREME_SPREAD * middle].tolist()
    narrow = table["task"][(sd > 0) & (sd < middle / _EXTREME_SPREAD)].tolist()
    return [
        f"{_listed(names)} {'varies' if len(names) == 1 else 'vary'} more than {_EXTREME_SPREAD} times as {how} as the median "
        "task. With targets.transform zscore, all tasks have equal weight."
        for names, how in ((wide, "much"), (narrow, "little"))
        if names
    ]


def _constants(table: pd.DataFrame) -> list[str]:
    names = table["task"][table["equal"] >= _CONSTANT].tolist()
    if not names:
        return []
    return [
        f"{_listed(names)} {'has' if len(names) == 1 else 'have'} the same value in at least {_CONSTANT:.0%} of the genes: "
        "nothing can be learned there. Drop such tasks from the matrix."
    ]


def _missing(table: pd.DataFrame) -> list[str]:
    names = table["task"][table["missing"] > 0.5].tolist()
    if not names:
        return []
    return [
        f"{_listed(names)} {'lacks' if len(names) == 1 else 'lack'} more than half of the labels. "
        "targets.filters.tasks.max_missing drops such tasks."
    ]


def _listed(names: list[str]) -> str:
    """Return the first names as the subject of a sentence."""
    more = len(names) - _NAMES
    return f"Task{'s' if len(names) > 1 else ''} {', '.join(names[:_NAMES])}" + (f" and {more} more" if more > 0 else "")
