"""Matrices of measurements as text: TSV, CSV and GCT, plain or gzipped."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.text_files import compression, open_text

# What stands for a value that is not there.
MISSING = ["", "NA", "NaN", "nan", "N/A"]
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True)
class TextLayout:
    """Where in a text file genes, tasks and values stand.

    Attributes
    ----------
    separator: str
    tasks: list of str
        Names of the columns of values, in their order.
    first_line: int
        The line, counted from 0, on which the first gene stands.
    id_column: int
        The column of the gene ids.
    n_before: int
        How many columns stand before the first one of values.
    n_genes: int, optional
        How many genes the file says it has; None where its format says nothing.
    about_tasks: pandas.DataFrame
        What the file says of each task (GCT 1.3), as text; one row a task, which stands in the column `task`.
    """

    separator: str
    tasks: list[str]
    first_line: int
    id_column: int
    n_before: int
    n_genes: int | None
    about_tasks: pd.DataFrame


def read_layout(path: Path, gene_column: str | None = None) -> TextLayout:
    """Read the head of a text matrix.

    Parameters
    ----------
    path: Path
        GCT 1.2 or 1.3 if it is named .gct, comma-separated if .csv, else tab-separated; each may end with .gz,
        which does not count: whether it is gzipped is seen from its contents.
    gene_column: str, optional
        The column of a GCT file that has the gene ids. Default: the first, which is the one that TSV and CSV have.

    Raises
    ------
    InputError
        The file is no table, its header is not as its format asks, or a column has no name or that of another.
    """
    name = path.name.removesuffix(".gz")
    with refusing_broken_files(path):
        layout = _gct_layout(path, gene_column) if name.endswith(".gct") else _table_layout(path, name.endswith(".csv"))
    if gene_column is not None and not name.endswith(".gct"):
        raise InputError(f"targets.gene_column is {gene_column}, but the gene ids of {path} are always in its first column.")
    if "" in layout.tasks:
        at = layout.tasks.index("") + layout.n_before
        raise InputError(f"matrix {path}: column {at + 1} has no name in the first line.")
    return layout


@contextmanager
def refusing_broken_files(path: Path) -> Iterator[None]:
    """Turn what readers of text raise for a file that is cut or no text into an `InputError` that names it."""
    try:
        yield
    except (
        csv.Error,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
        UnicodeDecodeError,
        gzip.BadGzipFile,
        zlib.error,
        EOFError,
    ) as error:
        raise InputError(f"matrix {path} cannot be read as a table: {error}") from error


def _table_layout(path: Path, commas: bool) -> TextLayout:
    separator = "," if commas else "\t"
    # Not by pandas, which takes seconds for a line of thousands of columns.
    with open_text(path) as file:
        cells = next((row for row in csv.reader(file, delimiter=separator) if row), None)
    if cells is None:
        raise InputError(f"matrix {path} is empty: its first line should name the tasks.")
    tasks = cells[1:]
    return TextLayout(separator, tasks, 1, 0, 1, None, pd.DataFrame({"task": tasks}))


def _gct_layout(path: Path, gene_column: str | None) -> TextLayout:
    with open_text(path) as file:
        lines = [file.readline().rstrip("\r\n").split("\t") for _ in range(3)]
        version, sizes = lines[0][0], [int(size) for size in lines[1] if size.isdecimal()]
        if version not in ("#1.2", "#1.3") or len(sizes) != (2 if version == "#1.2" else 4):
            raise InputError(
                f"matrix {path} is no GCT file: its first line must be #1.2 or #1.3 and its second have the numbers of "
                "rows and columns (of 1.3, those of their annotations too), but they are "
                f"{lines[0][0]!r} and {' '.join(lines[1])!r}."
            )
        n_genes, n_tasks, n_about_genes, n_about_tasks = [*sizes, 1, 0][:4]
        before, tasks = lines[2][: n_about_genes + 1], lines[2][n_about_genes + 1 :]
        if len(tasks) != n_tasks:
            raise InputError(f"matrix {path}, line 3 names {len(tasks)} columns of values, but line 2 says {n_tasks}.")
        about = pd.DataFrame({"task": tasks})
        for number in range(n_about_tasks):
            cells = file.readline().rstrip("\r\n").split("\t")
            if len(cells) != len(lines[2]):
                raise InputError(f"matrix {path}, line {number + 4} has {len(cells)} cells, but line 3 has {len(lines[2])}.")
            if cells[0] != "task":
                about[cells[0]] = cells[n_about_genes + 1 :]
    if gene_column is not None and gene_column not in before:
        raise unknown_name(f"column of {path} (targets.gene_column)", gene_column, before)
    id_column = 0 if gene_column is None else before.index(gene_column)
    return TextLayout("\t", tasks, 3 + n_about_tasks, id_column, len(before), n_genes, about)


def read_text_matrix(path: Path, gene_column: str | None = None) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a text matrix: one row a gene, one column a task.

    Parameters
    ----------
    path: Path
    gene_column: str, optional
        As of `read_layout`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Empty cells, NA and NaN are NaN.

    Raises
    ------
    InputError
        As `read_layout`; or a line has more or fewer cells than the header, a value is not a finite number (the message has
        line, gene and task), or the file is cut.
    """
    layout = read_layout(path, gene_column)
    ids: list[str] = []
    ends_empty: list[int] = []
    n = len(layout.tasks)
    values = np.empty((0, n), np.float32)
    if n:
        try:
            for block in _blocks(path, layout, as_text=False):
                # Memory grows in place: with a list of blocks to be joined the matrix would be there twice.
                values.resize((len(ids) + len(block), n), refcheck=False)
                new = values[len(ids) :]
                new[:] = block.iloc[:, layout.n_before :]
                if np.isinf(new).any():
                    raise ValueError("not finite")
                ids += block[layout.id_column].tolist()
                ends_empty += block.index[np.isnan(new[:, -1])].tolist()
                del new
        except ValueError as error:
            raise _bad_cell(path, layout) or InputError(f"matrix {path} cannot be read as a table: {error}") from error
    if not n or not ids:
        raise InputError(f"matrix {path} has {len(ids)} genes and {n} tasks: is it separated by {layout.separator!r}?")
    if layout.n_genes not in (None, len(ids)):
        raise InputError(f"matrix {path} has {len(ids)} genes, but says in line 2 that it has {layout.n_genes}: is it cut?")
    _check_short(path, layout, ends_empty)
    return pd.Index(ids, dtype=object), layout.tasks, values


def _blocks(path: Path, layout: TextLayout, as_text: bool) -> Iterator[pd.DataFrame]:
    """Yield rows without the blank ones; the index is the line, counted from 1. Values are float32 or, if asked for, text.

    Raises
    ------
    ValueError
        A value is no number.
    """
    n = layout.n_before + len(layout.tasks)
    # Ids are read as text: a gene may be called NA or 1e5. One column more than the header names shows a row that is too long.
    kinds = dict.fromkeys(range(n + 1), str)
    numbers = range(layout.n_before, n)
    form: dict[str, Any] = {
        "dtype": kinds if as_text else kinds | dict.fromkeys(numbers, np.float32),
        "na_values": {} if as_text else dict.fromkeys(numbers, MISSING),
        "keep_default_na": False,
        "skip_blank_lines": False,
        "compression": compression(path),
        "chunksize": max(1, _BLOCK_CELLS // n),
    }
    with refusing_broken_files(path), np.errstate(over="ignore"):
        reader = pd.read_csv(
            path, sep=layout.separator, header=None, skiprows=layout.first_line, names=range(n + 1), index_col=False, **form
        )
        for block in reader:
            block.index += layout.first_line + 1
            longer = block.pop(n) != ""
            if longer.any():
                raise InputError(
                    f"matrix {path}, line {block.index[longer.to_numpy()][0]} has more cells than the line of names, which "
                    "must name every column, that of the gene ids too."
                )
            values = block.iloc[:, layout.n_before :]
            yield block[(block[layout.id_column] != "") | ((values != "") if as_text else values.notna()).any(axis=1)]


def _check_short(path: Path, layout: TextLayout, lines: list[int]) -> None:
    """Refuse a row that ends too early, among those (lines, counted from 1) whose last cell seems to be empty."""
    wanted, n = set(lines), layout.n_before + len(layout.tasks)
    with open_text(path) as file:
        for number, line in enumerate(file, start=1) if wanted else ():
            if number in wanted and len(next(csv.reader([line], delimiter=layout.separator))) < n:
                raise InputError(
                    f"matrix {path}, line {number} has fewer cells than the line of names: leave cells without a measurement "
                    "empty; or is the file cut?"
                )


def _bad_cell(path: Path, layout: TextLayout) -> InputError | None:
    """Return the error that names the first cell that is no finite number; None if there is none."""
    for block in _blocks(path, layout, as_text=True):
        text = block.iloc[:, layout.n_before :]
        with np.errstate(over="ignore"):
            values = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
        bad = np.argwhere(~np.isfinite(values) & ~text.isin(MISSING).to_numpy())
        if len(bad):
            gene, task = bad[0]
            return InputError(
                f"matrix {path}, line {block.index[gene]}: gene {block[layout.id_column].iloc[gene]}, "
                f"task {layout.tasks[task]} is {text.iloc[gene, task]!r}, not a finite number; leave cells without a "
                "measurement empty."
            )
    return None
