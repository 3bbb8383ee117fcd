"""Atomic file writing, and reading of tables, HDF5 and JSON."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from cisnake.errors import InputError

if TYPE_CHECKING:
    import h5py

# Number of rows of a large table to hold in memory at once.
CHUNK_ROWS = 200_000

_STARTED = time.time()


@contextmanager
def write_whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and rename it to `path` if the block succeeds.

    The temporary name keeps the suffixes of `path`, because libraries choose formats by suffix. If the block raises, the
    temporary file is removed and `path` is unchanged. Temporary files of `path` left by killed processes are removed, too.

    Parameters
    ----------
    path: str or Path
        The file (or folder) to write. Missing parent folders are created.

    Yields
    ------
    Path
        The temporary path.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from cisnake.files import write_whole
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with write_whole(Path(folder) / "a.txt") as part:
    ...         n = part.write_text("whole")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        os.replace(part, path)
    finally:
        _remove(part)


def _sweep(path: Path) -> None:
    """Remove temporary files of `path` that have not been modified since this process started."""
    for part in path.parent.glob(".part-*"):
        if re.fullmatch(r"\.part-\d+-" + re.escape(path.name), part.name):
            with suppress(FileNotFoundError):
                if part.stat().st_mtime < _STARTED:
                    _remove(part)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table as TSV with a header, without index, with empty missing values and seven significant digits.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import pandas as pd
    >>> from cisnake.files import read_table, write_table
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(pd.DataFrame({"gene_id": ["NA", "1e5"], "score": [0.1, float("nan")]}), Path(folder) / "a.tsv")
    ...     read_table(Path(folder) / "a.tsv", score="float").values.tolist()
    [['NA', 0.1], ['1e5', nan]]
    """
    with write_whole(path) as part:
        table.to_csv(part, sep="\t", index=False, float_format="%.7g", compression="infer")


def read_table(path: str | Path, **columns: str) -> pd.DataFrame:
    """Read a TSV written by `write_table`.

    Identifiers are not parsed, because "NA", "nan" and "1e5" can be gene names.

    Parameters
    ----------
    path: str or Path
        The file.
    **columns: str
        Types of the columns that are not text, by column name. Empty cells of "float" columns are NaN.

    Returns
    -------
    pandas.DataFrame
        Columns that are not in `columns` are text.

    Raises
    ------
    InputError
        The file is empty or not a table, or a value is not of the type of its column.
    """
    try:
        table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a table of tab-separated columns: {error}") from error
    for column, kind in columns.items():
        if column not in table:
            continue
        if kind == "bool":
            table[column] = table[column] == "True"
            continue
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = (numbers.isna() & (table[column] != "")) | ((kind != "float") & (numbers.isna() | (numbers % 1 != 0)))
        if wrong.any():
            line = int(wrong.to_numpy().argmax()) + 2
            raise InputError(
                f"{path}, line {line}: {column} is {table[column][line - 2]!r}, not a number: is the file truncated?"
            )
        table[column] = numbers.astype(kind)
    return table


def read_user_table(path: str | Path, **columns: str) -> pd.DataFrame:
    """Read a user's TSV as `read_table` does, and raise if a cell extends over several lines.

    Without this check, an unmatched quotation mark at the start of a cell would silently swallow all rows up to the next mark.

    Raises
    ------
    InputError
        As for `read_table`; or a cell contains a line break.
    """
    table = read_table(path, **columns)
    for column in table.columns:
        if table[column].dtype.kind == "O" or pd.api.types.is_string_dtype(table[column]):
            broken = table[column].str.contains("\n", regex=False).to_numpy(bool)
            if broken.any():
                row = int(broken.argmax())
                raise InputError(
                    f"{path}, row {row + 1}, column {column}: a quotation mark opens a cell but does not close it: remove "
                    "the mark, or double it and quote the whole cell."
                )
    return table


def read_chunks(path: str | Path, columns: Mapping[str, type]) -> Iterator[pd.DataFrame]:
    """Yield selected columns of a table written by `write_table`, in chunks of rows; the table may exceed memory.

    Parameters
    ----------
    path: str or Path
        The file.
    columns: mapping of str to type
        Column names and types: `str`, or a numeric type. Numeric columns must not have empty cells.

    Raises
    ------
    InputError
        The file is not a table, a column is missing, or a value is not a number.
    """
    try:
        with pd.read_csv(
            path, sep="\t", dtype=dict(columns), usecols=list(columns), na_filter=False, chunksize=CHUNK_ROWS
        ) as pieces:
            yield from pieces
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a table of tab-separated columns: {error}") from error


def read_header(path: str | Path) -> list[str]:
    """Return the names of the columns of a table written by `write_table`; raises an InputError as `read_chunks` does."""
    try:
        return list(pd.read_csv(path, sep="\t", dtype=str, nrows=0))
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a table of tab-separated columns: {error}") from error


@contextmanager
def open_hdf5(
    path: str | Path, what: str, remedy: str = "regenerate it", faults: tuple[type[Exception], ...] = ()
) -> Iterator[h5py.File]:
    """Open an HDF5 file for reading, and raise a readable error if it is not usable.

    Parameters
    ----------
    path: str or Path
        The file.
    what: str
        Kind of file, as it appears after "cannot be read as": "a data set".
    remedy: str
        What the user should do; the end of the message.
    faults: tuple of exception types
        Exceptions inside the block that are reported as errors of the file. Use this only for blocks that just read the file.

    Yields
    ------
    h5py.File

    Raises
    ------
    InputError
        The file is missing, truncated, or of another kind.
    """
    # Imported here, because most programs only read tables and h5py is slow to import.
    import h5py

    with ExitStack() as stack:
        try:
            file = stack.enter_context(h5py.File(path, "r"))
        except OSError as error:
            raise _unreadable(path, what, error, remedy) from error
        try:
            yield file
        except faults as error:
            raise _unreadable(path, what, error, remedy) from error


def _unreadable(path: str | Path, what: str, error: Exception, remedy: str) -> InputError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return InputError(f"{path} cannot be read as {what} ({reason}): {remedy}.")


def write_json(value: Any, path: str | Path) -> None:
    """Write a value as indented JSON; NaN and infinities become null, because JSON has neither."""
    with write_whole(path) as part:
        part.write_text(json.dumps(_plain(value), indent=2, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "item"):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's contents, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(*parts: str | Path) -> str:
    """Return a combined SHA-256, in hexadecimal, of texts and files; the order matters.

    Examples
    --------
    >>> from cisnake.files import digest
    >>> digest("genes", "tasks")[:12], digest("tasks", "genes")[:12]
    ('7d1fe9e1bfda', 'ef4d8dcb6202')
    """
    hashes = [file_sha256(part) if isinstance(part, Path) else hashlib.sha256(part.encode()).hexdigest() for part in parts]
    return hashlib.sha256("".join(hashes).encode()).hexdigest()
