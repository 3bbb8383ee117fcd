"""Tables of chrom, start and end, which BED files and files of fragments begin with."""

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
        Three columns or more, separated by tabs, plain or gzipped. Comments, blank lines and the lines `track` and `browser`
        are passed over.

    Yields
    ------
    pandas.DataFrame
        chrom (str), start and end (int64, 0-based and half-open); the index is the line, from 1. A file without rows yields
        a table without rows.

    Raises
    ------
    InputError
        The file cannot be read or is no such table.
    """
    # Blank lines are kept while reading, so that the index is the line.
    form: dict[str, Any] = {"sep": "\t", "header": None, "names": ["chrom", "start", "end"], "usecols": range(3)}
    # Numbers are read as such, unless a piece has lines of text between them.
    form |= {"dtype": {"chrom": str}, "low_memory": False}
    form |= {"keep_default_na": False, "skip_blank_lines": False, "quoting": csv.QUOTE_NONE, "chunksize": _ROWS_AT_ONCE}
    try:
        progress = Progress(f"MB of {path.name} read", path.stat().st_size // _MEGABYTE)
        with open(path, "rb") as raw, gzip.open(raw) if is_gzipped(path) else raw as unpacked:
            for table in pd.read_csv(unpacked, **form):
                progress.advance(raw.tell() // _MEGABYTE - progress.done)
                yield _to_numbers(path, table)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        # Where all lines are comments, of one column, pandas misses the other two.
        if not isinstance(error, pd.errors.ParserError) or _has_rows(path):
            raise InputError(f"{path} cannot be read as a table of chrom, start and end, separated by tabs: {error}") from error
        yield pd.DataFrame({"chrom": "", "start": 0, "end": 0}, index=[])


def refuse_lines(path: Path, wrong: pd.Series, message: str) -> None:
    """Raise an InputError that names the first line, which is the index, of those that are wrong.

    Parameters
    ----------
    path: Path
        The file, for the message.
    wrong: pandas.Series of bool
        Which rows are wrong; the index has the numbers of their lines.
    message: str
        What is wrong.

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
        refuse_lines(path, wrong, f"the {column} is no whole number: needed are chrom, start and end, separated by tabs.")
        table[column] = numbers.astype(np.int64)
    wrong = (table["start"] < 0) | (table["end"] < table["start"])
    refuse_lines(path, wrong, "the start must be at least 0, the end not before it.")
    return table
