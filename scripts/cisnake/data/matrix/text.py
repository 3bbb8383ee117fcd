"""Read text matrices: TSV, CSV and GCT, plain or gzipped."""

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

# Cells that are read as missing values.
MISSING = ["", "NA", "NaN", "nan", "N/A"]
_BLOCK_CELLS = 2_000_000


@dataclass(frozen=True)
class TextLayout:
    """Positions of genes, tasks and values in a text file.

    Attributes
    ----------
    separator: str
        Column separator.
    tasks: list of str
        Names of the value columns, in order.
    first_line: int
        0-based line of the first gene.
    id_column: int
        0-based column of the gene ids.
    n_before: int
        Number of columns before the first value column.
    n_genes: int, optional
        Number of genes in the header; None for formats that do not record it.
    about_tasks: pandas.DataFrame
        Annotations of tasks (GCT 1.3) as text, one row per task, with the name in the column `task`.
    """

    separator: str
    tasks: list[str]
    first_line: int
    id_column: int
    n_before: int
    n_genes: int | None
    about_tasks: pd.DataFrame


def read_layout(path: Path, gene_column: str | None = None) -> TextLayout:
    """Read the header of a text matrix.

    Parameters
    ----------
    path: Path
        GCT 1.2 or 1.3 if it is named .gct, comma-separated if .csv, otherwise tab-separated. A further suffix .gz is ignored:
        gzip is detected from the contents.
    gene_column: str, optional
        Column of a GCT file with the gene ids. Default: the first column, which TSV and CSV always use.

    Raises
    ------
    InputError
        The file is not a table, its header is malformed, `gene_column` does not exist or does not apply to the format, or a
        column has no name.
    """
    name = path.name.removesuffix(".gz")
    with refusing_broken_files(path):
        layout = _gct_layout(path, gene_column) if name.endswith(".gct") else _table_layout(path, name.endswith(".csv"))
    if gene_column is not None and not name.endswith(".gct"):
        raise InputError(
            f"targets.gene_column is {gene_column}, but the gene ids of {path} are always in the first column: remove it."
        )
    if "" in layout.tasks:
        column = layout.tasks.index("") + layout.n_before
        raise InputError(f"matrix {path}: column {column + 1} has no name in the header.")
    return layout


@contextmanager
def refusing_broken_files(path: Path) -> Iterator[None]:
    """Convert the errors of text readers, for truncated or binary files, to an `InputError` that names the file."""
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


def _table_layout(path: Path, is_csv: bool) -> TextLayout:
    separator = "," if is_csv else "\t"
    # Not with pandas, which takes seconds to parse a header of thousands of columns.
    with open_text(path) as file:
        cells = next((row for row in csv.reader(file, delimiter=separator) if row), None)
    if cells is None:
        raise InputError(f"matrix {path} is empty: its first line must name the tasks.")
    tasks = cells[1:]
    return TextLayout(separator, tasks, 1, 0, 1, None, pd.DataFrame({"task": tasks}))


def _gct_layout(path: Path, gene_column: str | None) -> TextLayout:
    with open_text(path) as file:
        lines = [file.readline().rstrip("\r\n").split("\t") for _ in range(3)]
        version, sizes = lines[0][0], [int(size) for size in lines[1] if size.isdecimal()]
        if version not in ("#1.2", "#1.3") or len(sizes) != (2 if version == "#1.2" else 4):
            raise InputError(
                f"matrix {path} is not a GCT file: line 1 must be #1.2 or #1.3, and line 2 the numbers of rows and columns (in "
                "1.3, also those of row and column annotations), but they are "
                f"{lines[0][0]!r} and {' '.join(lines[1])!r}."
            )
        n_genes, n_tasks, n_row_annotations, n_column_annotations = [*sizes, 1, 0][:4]
        row_columns, tasks = lines[2][: n_row_annotations + 1], lines[2][n_row_annotations + 1 :]
        if len(tasks) != n_tasks:
            raise InputError(
                f"matrix {path}, line 3 names {len(tasks)} value columns, but according to line 2 there are {n_tasks}."
            )
        annotations = pd.DataFrame({"task": tasks})
        for number in range(n_column_annotations):
            cells = file.readline().rstrip("\r\n").split("\t")
            if len(cells) != len(lines[2]):
                raise InputError(f"matrix {path}, line {number + 4} has {len(cells)} cells, but line 3 has {len(lines[2])}.")
            if cells[0] != "task":
                annotations[cells[0]] = cells[n_row_annotations + 1 :]
    if gene_column is not None and gene_column not in row_columns:
        raise unknown_name(f"column of {path} (targets.gene_column)", gene_column, row_columns)
    id_column = 0 if gene_column is None else row_columns.index(gene_column)
    return TextLayout("\t", tasks, 3 + n_column_annotations, id_column, len(row_columns), n_genes, annotations)


def read_text_matrix(path: Path, gene_column: str | None = None) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a text matrix: one row per gene, one column per task.

    Parameters
    ----------
    path: Path
    gene_column: str, optional
        As for `read_layout`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Empty cells, NA, N/A and NaN are NaN.

    Raises
    ------
    InputError
        As for `read_layout`; or a line has more or fewer cells than the header, a value is not a finite number (the message
        names line, gene and task), or the file is truncated.
    """
    layout = read_layout(path, gene_column)
    ids: list[str] = []
    lines_to_check: list[int] = []
    n = len(layout.tasks)
    values = np.empty((0, n), np.float32)
    if n:
        try:
            for block in _blocks(path, layout, as_text=False):
                # Grow the array in place: joining a list of blocks would hold the matrix in memory twice.
                values.resize((len(ids) + len(block), n), refcheck=False)
                new_rows = values[len(ids) :]
                new_rows[:] = block.iloc[:, layout.n_before :]
                if np.isinf(new_rows).any():
                    raise ValueError("not finite")
                ids += block[layout.id_column].tolist()
                lines_to_check += block.index[np.isnan(new_rows[:, -1])].tolist()
                del new_rows
        except ValueError as error:
            raise _bad_cell(path, layout) or InputError(f"matrix {path} cannot be read as a table: {error}") from error
    if not n or not ids:
        raise InputError(f"matrix {path} has {len(ids)} genes and {n} tasks: is the separator {layout.separator!r}?")
    if layout.n_genes not in (None, len(ids)):
        raise InputError(
            f"matrix {path} has {len(ids)} genes, but according to line 2 it has {layout.n_genes}: is the file truncated?"
        )
    _check_short(path, layout, lines_to_check)
    return pd.Index(ids, dtype=object), layout.tasks, values


def _blocks(path: Path, layout: TextLayout, as_text: bool) -> Iterator[pd.DataFrame]:
    """Yield blocks of rows without blank lines, values as float32 or text; the index is the 1-based line.

    Raises
    ------
    ValueError
        A value is not a number.
    """
    n = layout.n_before + len(layout.tasks)
    # Read ids as text: a gene may be named NA or 1e5. One column more than in the header reveals rows that are too long.
    text_dtypes = dict.fromkeys(range(n + 1), str)
    value_columns = range(layout.n_before, n)
    options: dict[str, Any] = {
        "dtype": text_dtypes if as_text else text_dtypes | dict.fromkeys(value_columns, np.float32),
        "na_values": {} if as_text else dict.fromkeys(value_columns, MISSING),
        "keep_default_na": False,
        "skip_blank_lines": False,
        "compression": compression(path),
        "chunksize": max(1, _BLOCK_CELLS // n),
    }
    with refusing_broken_files(path), np.errstate(over="ignore"):
        reader = pd.read_csv(
            path, sep=layout.separator, header=None, skiprows=layout.first_line, names=range(n + 1), index_col=False, **options
        )
        for block in reader:
            block.index += layout.first_line + 1
            extra = block.pop(n) != ""
            if extra.any():
                raise InputError(
                    f"matrix {path}, line {block.index[extra.to_numpy()][0]} has more cells than the header, which must name "
                    "every column, including that of the gene ids."
                )
            values = block.iloc[:, layout.n_before :]
            yield block[(block[layout.id_column] != "") | ((values != "") if as_text else values.notna()).any(axis=1)]


def _check_short(path: Path, layout: TextLayout, lines: list[int]) -> None:
    """Check that rows are complete; `lines` are the 1-based lines whose last cell was read as missing."""
    line_numbers, n = set(lines), layout.n_before + len(layout.tasks)
    with open_text(path) as file:
        for number, line in enumerate(file, start=1) if line_numbers else ():
            if number in line_numbers and len(next(csv.reader([line], delimiter=layout.separator))) < n:
                raise InputError(
                    f"matrix {path}, line {number} has fewer cells than the header: is the file truncated? Missing values must "
                    "be empty cells."
                )


def _bad_cell(path: Path, layout: TextLayout) -> InputError | None:
    """Return an error that names the first cell that is not a finite number, or None."""
    for block in _blocks(path, layout, as_text=True):
        text = block.iloc[:, layout.n_before :]
        with np.errstate(over="ignore"):
            values = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float32)
        bad = np.argwhere(~np.isfinite(values) & ~text.isin(MISSING).to_numpy())
        if len(bad):
            gene, task = bad[0]
            return InputError(
                f"matrix {path}, line {block.index[gene]}: gene {block[layout.id_column].iloc[gene]}, "
                f"task {layout.tasks[task]} is {text.iloc[gene, task]!r}, not a finite number: use empty cells for missing "
                "values."
            )
    return None
