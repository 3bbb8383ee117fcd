"""Read the matrix of measurements, genes by tasks, in any supported format, and the table of its tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from cisnake.data.matrix import market, text
from cisnake.data.matrix.market import market_file
from cisnake.data.matrix.summary_rows import drop_summary_rows
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table
from cisnake.joins import explain_mismatch
from cisnake.sections import TargetsSection
from cisnake.text_files import check_file


def read_matrix(
    path: str | Path, layer: str | None = None, gene_column: str | None = None
) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a matrix of measurements, genes by tasks.

    The format is that of the file name: `.h5ad` (AnnData, one row per task), `.gct`, `.mtx` or a folder with such a file
    (Matrix Market as written by 10x, one column per task), `.csv`, otherwise TSV (one row per gene). Text may be gzipped.
    Entries that a sparse matrix does not store are 0; NaN, NA and empty cells are missing values. Rows that are summaries of
    htseq-count or STAR instead of genes are left out. Memory holds the result and a block of a few million values.

    Parameters
    ----------
    path: str or Path
    layer: str, optional
        Layer of an h5ad file, or "raw" for its `.raw`. Default: X.
    gene_column: str, optional
        Source of the gene ids: a column of var of an h5ad file, a column of a GCT file, or id or name of features.tsv.
        Default: the index of var, or the first column.

    Returns
    -------
    genes: pandas.Index
        Gene ids in the order of the file; duplicates are kept.
    tasks: list of str
        Names of the tasks.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Missing values are NaN.

    Raises
    ------
    InputError
        The file is missing, damaged or empty, a value is not a finite number (the message names gene and task), or a task
        name is duplicated.
    """
    path = check_file(market_file(path), "matrix", "targets.matrix")
    if layer is not None and path.suffix != ".h5ad":
        raise InputError(f"targets.layer is {layer}, but {path} is not an .h5ad file: only .h5ad files have layers.")
    if path.suffix == ".h5ad":
        genes, tasks, values = _h5ad().read_anndata(path, layer, gene_column)
    elif market.is_market(path):
        genes, tasks, values = market.read_market(path, gene_column)
    else:
        genes, tasks, values = text.read_text_matrix(path, gene_column)
    _check_tasks(path, tasks)
    genes, values = drop_summary_rows(genes, values)
    if not values.size:
        raise InputError(f"matrix {path} is empty: it has {len(genes)} genes and {len(tasks)} tasks.")
    return genes, tasks, values


def read_task_names(path: str | Path) -> list[str]:
    """Read the task names of a matrix without its values.

    Raises
    ------
    InputError
        The file is missing, its header is malformed, or a task name is duplicated.
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
    # AnnData takes a second to import, which every job would spend even if the run has no h5ad file.
    from cisnake.data.matrix import h5ad

    return h5ad


def matrix_files(path: str | Path) -> list[Path]:
    """Return the files of a matrix: one, or three for Matrix Market."""
    return market.market_files(path) if market.is_market(path) else [Path(path)]


def _check_tasks(path: Path, tasks: list[str]) -> None:
    names = pd.Index(tasks, dtype=object)
    if names.has_duplicates:
        raise InputError(f"matrix {path} has the task {names[names.duplicated()][0]} twice: make task names unique.")
    if "" in tasks:
        raise InputError(f"matrix {path}: task {tasks.index('') + 1} has no name.")


def find_rows(genes: pd.Index, wanted: pd.Series) -> np.ndarray:
    """Return the matrix row of each wanted gene id; shape=(n,), dtype=int64.

    Parameters
    ----------
    genes: pandas.Index of str
        Gene ids of the matrix. Only ids that are not wanted may be duplicated.
    wanted: pandas.Series of str
        Gene ids to find.

    Raises
    ------
    InputError
        A wanted id is missing from the matrix, or has several rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.matrix import find_rows
    >>> find_rows(pd.Index(["g1", "g2", "g3", "g3"]), pd.Series(["g2", "g1"])).tolist()
    [1, 0]
    """
    n_rows = wanted.map(genes.value_counts()).fillna(0)
    for problem, is_wrong in (("lacks", n_rows == 0), ("has several rows for", n_rows > 1)):
        if is_wrong.any():
            why = f" ({explain_mismatch('genes.tsv', wanted, 'the matrix', genes)})" if problem == "lacks" else ""
            raise InputError(
                f"the matrix {problem} {wanted[is_wrong].iloc[0]} and {int(is_wrong.sum()) - 1} more of the selected genes"
                f"{why}: select genes again with select_genes.py."
            )
    return genes.get_indexer_for(wanted)


def describes_tasks(path: str | Path) -> bool:
    """Return whether the format of a matrix can hold the task table: obs of .h5ad, column annotations of .gct."""
    return Path(path).name.removesuffix(".gz").endswith((".h5ad", ".gct"))


def matrix_keys(targets: TargetsSection) -> tuple[str | None, str | None]:
    """Return the `layer` and `gene_column` with which to read the matrix of a run; both are None for pseudobulks.

    With `targets.cells` they apply to the matrix of cells, from which pseudobulks are computed.

    Parameters
    ----------
    targets: TargetsSection
        Uses `cells`, `layer` and `gene_column`.
    """
    return (None, None) if targets.cells else (targets.layer, targets.gene_column)


def read_tasks_table(
    path: str | Path | None,
    tasks: list[str] | None,
    columns: Mapping[str, str | None] | None = None,
    genes: Iterable[str] = (),
) -> pd.DataFrame:
    """Return the task table, one row per task of the matrix: task, group, description and all further columns.

    Parameters
    ----------
    path: str or Path, optional
        TSV with the column `task`, or a matrix for which `describes_tasks` is true. If None, every task has the group "all".
    tasks: list of str, optional
        Tasks of the matrix, in the order of the result. None: there is no matrix, and all tasks of the table are returned in
        its order.
    columns: mapping, optional
        Names of the columns `task`, `group`, `replicate_of` and `description` in the table; None for the default name.
    genes: iterable of str
        Genes of the matrix, to recognise a transposed matrix. Default: none.

    Raises
    ------
    InputError
        There is neither table nor matrix, the table lacks the column `task` or a task of the matrix, or a task is duplicated.
    """
    if path is None and tasks is None:
        raise InputError("there is neither a matrix nor a task table: name one of them.")
    if path is None:
        return pd.DataFrame({"task": tasks, "group": "all", "description": ""})
    if not Path(path).is_file():
        raise InputError(f"task table {path} does not exist: check targets.tasks in the configuration.")
    table = _describe_tasks(Path(path))
    for name, column_name in (columns or {}).items():
        if column_name is None:
            continue
        if column_name not in table:
            raise unknown_name(f"column of {path} (targets.task_columns.{name})", column_name, table.columns)
        table[name] = table[column_name]
    if "task" not in table:
        raise InputError(f"task table {path} has no column task: its columns are {', '.join(table.columns)}.")
    if table["task"].duplicated().any():
        raise InputError(
            f"task table {path} has the task {table['task'][table['task'].duplicated()].iloc[0]} twice: remove one row."
        )
    tasks = table["task"].tolist() if tasks is None else tasks
    known = set(table["task"])
    missing = [task for task in tasks if task not in known]
    if missing:
        causes = {"The matrix is transposed, with tasks in rows: exchange rows and columns": (genes, table["task"])}
        raise InputError(
            f"task table {path} lacks {len(missing)} of {len(tasks)} tasks of the matrix: "
            f"{explain_mismatch('the matrix', tasks, 'the table', table['task'], causes)}."
        )
    for column, default in (("group", "all"), ("description", "")):
        if column not in table:
            table[column] = default
    return table.set_index("task").loc[tasks].reset_index()


def _describe_tasks(path: Path) -> pd.DataFrame:
    if path.suffix == ".h5ad":
        return _h5ad().read_obs(path)
    return text.read_layout(path).about_tasks if describes_tasks(path) else read_user_table(path)
