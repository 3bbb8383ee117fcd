"""The matrix of measurements, genes by tasks, in whatever format it comes; and what is known of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from cisnake.data.matrix import market, text
from cisnake.data.matrix.market import market_file
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table
from cisnake.sections import TargetsSection
from cisnake.text_files import check_file


def read_matrix(
    path: str | Path, layer: str | None = None, gene_column: str | None = None
) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read measurements of genes in tasks.

    The name says the format: `.h5ad` (AnnData, one row a task), `.gct`, `.mtx` or a folder that has such a file (Matrix Market
    as 10x writes it, one column a task), `.csv`, else TSV (one row a gene); text may be gzipped. What is not stored in a sparse
    matrix is 0; NaN, empty cells and NA are not measured. Beside the result a block of a few million cells is in memory.

    Parameters
    ----------
    path: str or Path
    layer: str, optional
        Layer of an h5ad file, or "raw" for its `.raw`. Default: X.
    gene_column: str, optional
        Where gene ids are: a column of var of an h5ad file, a column of a GCT file, or id or name of a features.tsv. Default:
        the index of var; the first column.

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
        The file is missing, damaged or empty, a value is not a finite number (the message has gene and task), or a task is
        there twice.
    """
    path = check_file(market_file(path), "matrix", "targets.matrix")
    if layer is not None and path.suffix != ".h5ad":
        raise InputError(f"targets.layer is {layer}, but only .h5ad files have layers, and {path} is none.")
    if path.suffix == ".h5ad":
        genes, tasks, values = _h5ad().read_anndata(path, layer, gene_column)
    elif market.is_market(path):
        genes, tasks, values = market.read_market(path, gene_column)
    else:
        genes, tasks, values = text.read_text_matrix(path, gene_column)
    _check_tasks(path, tasks)
    if not values.size:
        raise InputError(f"matrix {path} is empty: it has {len(genes)} genes and {len(tasks)} tasks.")
    return genes, tasks, values


def read_task_names(path: str | Path) -> list[str]:
    """Return the tasks of a matrix without reading its values.

    Raises
    ------
    InputError
        The file is missing, its head is not as its format asks, or a task is there twice.
    """
    path = check_file(market_file(path), "matrix", "targets.matrix")
    if path.suffix == ".h5ad":
        tasks = _h5ad().read_obs(path)["task"].tolist()
    elif market.is_market(path):
        tasks = market.open_market(path).columns
    else:
        tasks = text.read_layout(path).tasks
    _check_tasks(path, tasks)
    return tasks


def _h5ad() -> ModuleType:
    # AnnData takes a second to import, which every job of the workflow would spend to read a configuration without any.
    from cisnake.data.matrix import h5ad

    return h5ad


def matrix_files(path: str | Path) -> list[Path]:
    """Return the files that a matrix consists of: one, or three of a Matrix Market file."""
    return market.market_files(path) if market.is_market(path) else [Path(path)]


def _check_tasks(path: Path, tasks: list[str]) -> None:
    names = pd.Index(tasks, dtype=object)
    if names.has_duplicates:
        raise InputError(f"matrix {path} has the task {names[names.duplicated()][0]} twice: name each column once.")
    if "" in tasks:
        raise InputError(f"matrix {path}: task {tasks.index('') + 1} has no name.")


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


def describes_tasks(path: str | Path) -> bool:
    """Whether a matrix is of a format that can hold its task table: the obs of .h5ad, the column annotations of .gct."""
    return Path(path).name.removesuffix(".gz").endswith((".h5ad", ".gct"))


def matrix_keys(targets: TargetsSection) -> tuple[str | None, str | None]:
    """Return `layer` and `gene_column` of the matrix of a run; pseudobulks have neither, theirs are those of the cells.

    Parameters
    ----------
    targets: TargetsSection
        With `cells`, `layer` and `gene_column`.
    """
    return (None, None) if targets.cells else (targets.layer, targets.gene_column)


def read_tasks_table(
    path: str | Path | None, tasks: list[str], columns: Mapping[str, str | None] | None = None
) -> pd.DataFrame:
    """Return one row a task of the matrix: task, group, description and whatever else the table has.

    Parameters
    ----------
    path: str or Path, optional
        TSV with the column `task`, or a matrix that `describes_tasks`. None gives every task the group "all".
    tasks: list of str
        Tasks of the matrix, whose order is kept.
    columns: mapping, optional
        What the table calls `task`, `group` and `description`; None where it has no other name.

    Raises
    ------
    InputError
        The table lacks the column `task` or a task of the matrix, or has one twice.
    """
    if path is None:
        return pd.DataFrame({"task": tasks, "group": "all", "description": ""})
    if not Path(path).is_file():
        raise InputError(f"task table {path} is not there: check targets.tasks in the configuration.")
    table = _describe_tasks(Path(path))
    for name, own in (columns or {}).items():
        if own is None:
            continue
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


def _describe_tasks(path: Path) -> pd.DataFrame:
    if path.suffix == ".h5ad":
        return _h5ad().read_obs(path)
    return text.read_layout(path).about_tasks if describes_tasks(path) else read_user_table(path)
