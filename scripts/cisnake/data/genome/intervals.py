"""Read tables whose first columns are chrom, start and end, such as BED and fragment files."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.program import Progress
from cisnake.text_files import is_gzipped

_ROWS_AT_ONCE = 1_000_000
_MEGABYTE = 1 << 20
_NO_ROW = r"\s*$|#|track\b|browser\b"


def read_intervals(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table of intervals, a million lines at a time.

    Parameters
    ----------
    path: Path
        A table with at least three tab-separated columns, plain or gzipped. Comments, blank lines, and `track` and `browser`
        lines are skipped.

    Yields
    ------
    pandas.DataFrame
        chrom (str), start and end (int64, 0-based and half-open). The index is the line number, counted from 1. A file without
        rows yields one empty table.

    Raises
    ------
    InputError
        The file is not readable or not a table of intervals.
    """
    # Blank lines are kept while reading, so that the index is the line number.
    options: dict[str, Any] = {"sep": "\t", "header": None, "names": ["chrom", "start", "end"], "usecols": range(3)}
    # Columns are parsed as numbers, unless lines of text occur in between.
    options |= {"dtype": {"chrom": str}, "low_memory": False}
    options |= {"keep_default_na": False, "skip_blank_lines": False, "quoting": csv.QUOTE_NONE, "chunksize": _ROWS_AT_ONCE}
    try:
        progress = Progress(f"MB of {path.name} read", path.stat().st_size // _MEGABYTE)
        with open(path, "rb") as raw, gzip.open(raw) if is_gzipped(path) else raw as unpacked:
            for table in pd.read_csv(unpacked, **options):
                progress.advance(raw.tell() // _MEGABYTE - progress.done)
                yield _to_numbers(path, table)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        # If all lines are comments, they have one column, and pandas complains about the other two.
        if not isinstance(error, pd.errors.ParserError) or _has_rows(path):
            raise InputError(f"{path} cannot be read as a tab-separated table of chrom, start and end: {error}") from error
        yield pd.DataFrame({"chrom": "", "start": 0, "end": 0}, index=[])


def refuse_lines(path: Path, wrong: pd.Series, message: str) -> None:
    """Raise an InputError for the first invalid row, if there is one.

    Parameters
    ----------
    path: Path
        The file, for the message.
    wrong: pandas.Series of bool
        Whether each row is invalid; the index holds line numbers.
    message: str
        Description of the problem.

    Examples
    --------
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from cisnake.data.genome import refuse_lines
    >>> refuse_lines(Path("a.bed"), pd.Series([False, True], index=[1, 4]), "the end is missing.")
    Traceback (most recent call last):
        ...
    cisnake.errors.InputError: a.bed, line 4: the end is missing.
    """
    if wrong.any():
        raise InputError(f"{path}, line {wrong.index[wrong][0]}: {message}")


def _has_rows(path: Path) -> bool:
    with gzip.open(path) if is_gzipped(path) else open(path, "rb") as lines:
        return any(not re.match(_NO_ROW.encode(), line) for line in lines)


def _to_numbers(path: Path, table: pd.DataFrame) -> pd.DataFrame:
    table.index += 1
    names = pd.Series(table["chrom"].unique())
    table = table[~table["chrom"].isin(names[names.str.match(_NO_ROW)])].copy()
    for column in ("start", "end"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = numbers.isna() | (numbers % 1 != 0)
        refuse_lines(path, wrong, f"the {column} is not an integer: the file needs tab-separated columns chrom, start and end.")
        table[column] = numbers.astype(np.int64)
    wrong = (table["start"] < 0) | (table["end"] < table["start"])
    refuse_lines(path, wrong, "the start must be at least 0, and the end must not precede the start.")
    return table
