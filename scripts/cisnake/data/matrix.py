"""The matrix of measurements: genes by tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.files import read_table

TRANSFORMS = ("none", "log1p", "zscore")


def read_matrix(path: str | Path) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a table of one row a gene and one column a task.

    Parameters
    ----------
    path: str or Path
        TSV or CSV, plain or gzipped; the first column has gene ids. Empty cells, NA and NaN are not measured.

    Returns
    -------
    genes: pandas.Index
        Ids in the order of the file, repeated if the file repeats them.
    tasks: list of str
        Names of the columns.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32

    Raises
    ------
    InputError
        The file is missing, a value is not a finite number (the message has gene and task), or a task is there twice.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"matrix {path} is not there: check targets.matrix in the configuration.")
    separator = "," if path.name.removesuffix(".gz").endswith(".csv") else "\t"
    missing = ["", "NA", "NaN", "nan", "N/A"]
    # Ids are read apart, as text: a gene may be called NA or 1e5.
    raw = pd.read_csv(path, sep=separator, dtype=str, keep_default_na=False, comment=None, header=None)
    header, raw = raw.iloc[0].tolist(), raw.iloc[1:]
    tasks = [str(name) for name in header[1:]]
    if not tasks or raw.empty:
        raise InputError(f"matrix {path} has {len(raw)} genes and {len(tasks)} tasks: is it separated by {separator!r}?")
    repeated = pd.Index(tasks)[pd.Index(tasks).duplicated()]
    if len(repeated):
        raise InputError(f"matrix {path} has the task {repeated[0]} twice: name each column once.")
    text = raw.iloc[:, 1:].to_numpy(dtype=object)
    text[np.isin(text, missing)] = "nan"
    try:
        values = text.astype(np.float32)
    except ValueError:
        values = pd.DataFrame(text).apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    bad = np.argwhere(~np.isfinite(values) & (text != "nan"))
    genes = pd.Index(raw.iloc[:, 0].astype(str))
    if len(bad):
        gene, task = bad[0]
        raise InputError(
            f"matrix {path}, line {gene + 2}: gene {genes[gene]}, task {tasks[task]} is {text[gene, task]!r}, "
            "not a finite number; leave cells without a measurement empty."
        )
    return genes, tasks, values


def read_tasks_table(path: str | Path | None, tasks: list[str], columns: dict[str, str] | None = None) -> pd.DataFrame:
    """Return one row a task of the matrix: task, group, description and whatever else the table has.

    Parameters
    ----------
    path: str or Path, optional
        TSV with the column `task`; None gives every task the group "all".
    tasks: list of str
        Tasks of the matrix, whose order is kept.
    columns: dict, optional
        What the table calls `task`, `group` and `description`, where it has other names for them.

    Raises
    ------
    InputError
        The table lacks the column `task` or a task of the matrix, or has one twice.
    """
    if path is None:
        return pd.DataFrame({"task": tasks, "group": "all", "description": ""})
    if not Path(path).is_file():
        raise InputError(f"task table {path} is not there: check targets.tasks in the configuration.")
    table = read_table(path)
    for name, own in (columns or {}).items():
        if own not in table:
            raise unknown_name(f"column of {path} (targets.task_columns.{name})", own, table.columns)
        table[name] = table[own]
    if "task" not in table:
        raise InputError(f"task table {path} has no column task: it has {', '.join(table.columns)}.")
    if table["task"].duplicated().any():
        raise InputError(f"task table {path} has the task {table['task'][table['task'].duplicated()].iloc[0]} twice.")
    for task in tasks:
        if task not in set(table["task"]):
            raise unknown_name(f"task of the matrix (not in {path})", task, table["task"])
    for column, default in (("group", "all"), ("description", "")):
        if column not in table:
            table[column] = default
    return table.set_index("task").loc[tasks].reset_index()


def transform_labels(labels: np.ndarray, kind: str, train: np.ndarray) -> np.ndarray:
    """Return labels on the scale that the model is to predict.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN where not measured.
    kind: str
        "none"; "log1p", log(1 + x) of values above -1; or "zscore", each task less its mean and by its standard deviation
        over the training genes.
    train: numpy.ndarray, shape=(genes,), dtype=bool
        Which genes are trained on: no other may shape the labels.

    Raises
    ------
    InputError
        log1p of a value of -1 or less.
    """
    if kind == "none":
        return labels
    if kind == "log1p":
        if (labels <= -1).any():
            raise InputError(
                "targets.transform log1p needs values above -1, but the matrix has lower ones: log ratios need none."
            )
        return np.log1p(labels)
    if kind == "zscore":
        mean = np.nanmean(labels[train].astype(np.float64), axis=0)
        sd = np.nanstd(labels[train].astype(np.float64), axis=0)
        return ((labels - mean) / np.where(sd > 0, sd, 1.0)).astype(np.float32)
    raise unknown_name("targets.transform", kind, TRANSFORMS)
