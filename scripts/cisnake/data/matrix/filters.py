"""Tasks and genes of a matrix that have too little to learn from, and why."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.sections import GeneFiltersSection, TaskFiltersSection


def filter_tasks(
    values: np.ndarray, tasks: pd.DataFrame, limits: TaskFiltersSection
) -> tuple[np.ndarray, pd.DataFrame, pd.DataFrame]:
    """Leave out tasks that have too little.

    Parameters
    ----------
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN where not measured.
    tasks: pandas.DataFrame
        The task table, one row a task.
    limits: TaskFiltersSection
        `max_missing`: the largest share of genes, among those measured in any task, that may lack a value; `min_total`: the
        smallest sum of values; `min_genes`: the fewest genes with a value above 0. What is None is not asked.

    Returns
    -------
    values: numpy.ndarray
        Of the tasks that are kept; the array given, if all are.
    kept: pandas.DataFrame
        Their rows of the task table.
    dropped: pandas.DataFrame
        task, reason ("mostly_missing", "low_total" or "few_genes") and detail of the others.

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
    judged = _judge(values, measured, 0, int(measured.any(axis=1).sum()), "genes", limits)
    judged.insert(0, "task", tasks["task"].to_numpy())
    keep = (judged["reason"] == "").to_numpy()
    if not keep.any():
        raise InputError(f"targets.filters.tasks leaves no task; the first is {judged['task'][0]}: {judged['detail'][0]}.")
    return values if keep.all() else values[:, keep], tasks[keep], judged[~keep]


def filter_genes(values: np.ndarray, limits: GeneFiltersSection) -> pd.DataFrame:
    """Say which genes are to be left out.

    Parameters
    ----------
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Of the tasks that are used; NaN where not measured.
    limits: GeneFiltersSection
        `max_missing`: the largest share of tasks that may lack a value; `min_total`: the smallest sum of values;
        `min_tasks`: the fewest tasks with a value above 0. What is None is not asked.

    Returns
    -------
    pandas.DataFrame
        reason ("mostly_missing", "low_total", "few_tasks"; empty where the gene is kept) and detail, one row a gene.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.matrix import filter_genes
    >>> from cisnake.sections import GeneFiltersSection
    >>> values = np.array([[5.0, 0.0], [np.nan, 1.0]])
    >>> filter_genes(values, GeneFiltersSection(max_missing=0.4, min_total=None, min_tasks=1)).values.tolist()
    [['', ''], ['mostly_missing', '50.0% of the tasks not measured']]
    """
    return _judge(values, np.isfinite(values), 1, values.shape[1], "tasks", limits)


def _judge(
    values: np.ndarray,
    measured: np.ndarray,
    axis: int,
    n_others: int,
    others: str,
    limits: TaskFiltersSection | GeneFiltersSection,
) -> pd.DataFrame:
    # Not 1 less the share that was measured: that is rounded, and may be above a limit which is met exactly.
    n_others = max(1, n_others)
    missing: np.ndarray = (n_others - measured.sum(axis=axis)) / n_others
    total = np.asarray(np.sum(values, axis=axis, dtype=np.float64, where=measured))
    positive = (values > 0).sum(axis=axis)
    found = pd.DataFrame({"reason": "", "detail": ""}, index=range(len(missing)))
    for key, reason, numbers, wrong, words in (
        ("max_missing", "mostly_missing", missing, np.greater, f"{{:.1%}} of the {others} not measured"),
        ("min_total", "low_total", total, np.less, "values sum to {:.7g}"),
        (f"min_{others}", f"few_{others}", positive, np.less, f"above 0 in {{}} {others}"),
    ):
        if (limit := getattr(limits, key)) is not None:
            rows: pd.Series = (found["reason"] == "") & wrong(numbers, limit)
            found.loc[rows, "reason"] = reason
            found.loc[rows, "detail"] = [words.format(number) for number in numbers[rows.to_numpy()]]
    return found
