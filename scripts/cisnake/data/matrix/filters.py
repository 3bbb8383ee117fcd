"""Filter tasks and genes of a matrix that have too little data."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.sections import GeneFiltersSection, TaskFiltersSection


def filter_tasks(
    values: np.ndarray, tasks: pd.DataFrame, limits: TaskFiltersSection
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Drop tasks with too little data.

    Parameters
    ----------
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN marks missing values.
    tasks: pandas.DataFrame
        The task table, one row per task.
    limits: TaskFiltersSection
        `max_missing`: maximum fraction of missing values among the genes that are measured in any task; `min_total`: minimum
        sum of values; `min_genes`: minimum number of genes with a value above 0. None disables a filter.

    Returns
    -------
    values: numpy.ndarray
        Values of the kept tasks; the input array itself if all tasks are kept.
    kept: pandas.DataFrame
        Rows of the task table for the kept tasks.
    dropped: pandas.DataFrame
        task, reason ("mostly_missing", "low_total" or "few_genes") and detail of the dropped tasks.

    Raises
    ------
    InputError
        No task is left.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.data.matrix import filter_tasks
    >>> from cisnake.sections import TaskFiltersSection
    >>> limits = TaskFiltersSection(max_missing=None, min_total=2, min_genes=None)
    >>> values, tasks = np.array([[5.0, 0.0], [2.0, 1.0]]), pd.DataFrame({"task": ["liver", "blood"]})
    >>> values, kept, dropped = filter_tasks(values, tasks, limits)
    >>> values.tolist(), kept["task"].tolist(), dropped.values.tolist()
    ([[5.0], [2.0]], ['liver'], [['blood', 'low_total', 'values sum to 1']])
    """
    measured = np.isfinite(values)
    verdicts = _apply_limits(values, measured, 0, int(measured.any(axis=1).sum()), "genes", limits)
    verdicts.insert(0, "task", tasks["task"].to_numpy())
    keep = (verdicts["reason"] == "").to_numpy()
    if not keep.any():
        raise InputError(
            f"targets.filters.tasks drops every task; the first is {verdicts['task'][0]}: {verdicts['detail'][0]}."
        )
    return values if keep.all() else values[:, keep], tasks[keep], verdicts[~keep]


def filter_genes(values: np.ndarray, limits: GeneFiltersSection) -> pd.DataFrame:
    """Find genes with too little data.

    Parameters
    ----------
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Values in the tasks of the run; NaN marks missing values.
    limits: GeneFiltersSection
        `max_missing`: maximum fraction of tasks with a missing value; `min_total`: minimum sum of values; `min_tasks`: minimum
        number of tasks with a value above 0. None disables a filter.

    Returns
    -------
    pandas.DataFrame
        One row per gene: reason to drop it ("mostly_missing", "low_total", "few_tasks"; empty if it is kept) and detail.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.matrix import filter_genes
    >>> from cisnake.sections import GeneFiltersSection
    >>> values = np.array([[5.0, 0.0], [np.nan, 1.0]])
    >>> filter_genes(values, GeneFiltersSection(max_missing=0.4, min_total=None, min_tasks=1)).values.tolist()
    [['', ''], ['mostly_missing', '50.0% of the tasks not measured']]
    """
    return _apply_limits(values, np.isfinite(values), 1, values.shape[1], "tasks", limits)


def _apply_limits(
    values: np.ndarray,
    measured: np.ndarray,
    axis: int,
    n_units: int,
    unit: str,
    limits: TaskFiltersSection | GeneFiltersSection,
) -> pd.DataFrame:
    # Not 1 minus the measured fraction: rounding could lift it above a limit that is met exactly.
    n_units = max(1, n_units)
    missing: np.ndarray = (n_units - measured.sum(axis=axis)) / n_units
    total = np.asarray(np.sum(values, axis=axis, dtype=np.float64, where=measured))
    positive = (values > 0).sum(axis=axis)
    result = pd.DataFrame({"reason": "", "detail": ""}, index=range(len(missing)))
    for key, reason, numbers, fails, template in (
        ("max_missing", "mostly_missing", missing, np.greater, f"{{:.1%}} of the {unit} not measured"),
        ("min_total", "low_total", total, np.less, "values sum to {:.7g}"),
        (f"min_{unit}", f"few_{unit}", positive, np.less, f"above 0 in {{}} {unit}"),
    ):
        if (limit := getattr(limits, key)) is not None:
            rows: pd.Series = (result["reason"] == "") & fails(numbers, limit)
            result.loc[rows, "reason"] = reason
            result.loc[rows, "detail"] = [template.format(number) for number in numbers[rows.to_numpy()]]
    return result
