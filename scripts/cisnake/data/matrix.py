"""The matrix of measurements: genes by tasks."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.files import read_table

TRANSFORMS = ("none", "log1p", "zscore")

_MISSING = ["", "NA", "NaN", "nan", "N/A"]
_BLOCK_CELLS = 2_000_000


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
    # Everything is read as text: a gene may be called NA or 1e5.
    form: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "header": None, "skip_blank_lines": False}
    ids: list[str] = []
    blocks: list[np.ndarray] = []
    try:
        tasks = pd.read_csv(path, nrows=1, **form).iloc[0, 1:].tolist()
        rows = max(1, _BLOCK_CELLS // (len(tasks) + 1))
        # In blocks: as text the matrix takes twenty times the memory of its numbers.
        # One column more than the first line names, so that a longer row shows.
        for block in pd.read_csv(path, skiprows=1, names=range(len(tasks) + 2), index_col=False, chunksize=rows, **form):
            block = block.fillna("")
            block = block[(block != "").any(axis=1)]
            longer = block.index[block.pop(len(tasks) + 1) != ""]
            if len(longer):
                raise InputError(
                    f"matrix {path}, line {longer[0] + 2} has more cells than the first line, which must name every column, "
                    "that of the gene ids too."
                )
            ids += block[0].tolist()
            blocks.append(_numbers(path, block, tasks))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"matrix {path} cannot be read as a table: {error}") from error
    if not tasks or not ids:
        raise InputError(f"matrix {path} has {len(ids)} genes and {len(tasks)} tasks: is it separated by {separator!r}?")
    if "" in tasks:
        raise InputError(f"matrix {path}: column {tasks.index('') + 2} has no name in the first line.")
    repeated = pd.Index(tasks)[pd.Index(tasks).duplicated()]
    if len(repeated):
        raise InputError(f"matrix {path} has the task {repeated[0]} twice: name each column once.")
    return pd.Index(ids, dtype=object), tasks, np.concatenate(blocks)


def _numbers(path: Path, block: pd.DataFrame, tasks: list[str]) -> np.ndarray:
    text = block.iloc[:, 1:].to_numpy(dtype=object, copy=True)
    text[np.isin(text, _MISSING)] = "nan"
    # A number too large for float32 becomes infinite, and is refused with the others below.
    with np.errstate(over="ignore"):
        try:
            values = text.astype(np.float32)
        except ValueError:
            values = pd.DataFrame(text).apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
    bad = np.argwhere(~np.isfinite(values) & (text != "nan"))
    if len(bad):
        gene, task = bad[0]
        raise InputError(
            f"matrix {path}, line {block.index[gene] + 2}: gene {block.iloc[gene, 0]}, task {tasks[task]} is "
            f"{text[gene, task]!r}, not a finite number; leave cells without a measurement empty."
        )
    return values


def find_rows(genes: pd.Index, wanted: pd.Series) -> np.ndarray:
    """Return the row of the matrix for each wanted id; shape=(n,), dtype=int64.

    Parameters
    ----------
    genes: pandas.Index of str
        Ids of the matrix; it may repeat those that are not wanted.
    wanted: pandas.Series of str

    Raises
    ------
    InputError
        The matrix lacks an id, or has several rows of it.
    """
    n_rows = wanted.map(genes.value_counts()).fillna(0)
    for problem, wrong in (("lacks", n_rows == 0), ("has several rows of", n_rows > 1)):
        if wrong.any():
            raise InputError(
                f"the matrix {problem} {wanted[wrong].iloc[0]} and {int(wrong.sum()) - 1} more of the chosen genes: "
                "choose genes again with select_genes.py."
            )
    return genes.get_indexer_for(wanted)


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
    known = set(table["task"])
    for task in tasks:
        if task not in known:
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
