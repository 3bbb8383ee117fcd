"""Text files line by line, plain or gzipped; what is no text is refused in one sentence."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

from cisnake.errors import InputError

_GZIP = b"\x1f\x8b"


def is_gzipped(path: str | Path) -> bool:
    """Return whether a file begins as gzip does; its name does not count."""
    with open(path, "rb") as handle:
        return handle.read(2) == _GZIP


def compression(path: str | Path) -> Literal["gzip"] | None:
    """Return how a file is packed, in the words of pandas, which by itself goes by the name."""
    return "gzip" if is_gzipped(path) else None


def check_file(path: str | Path, what: str, key: str) -> Path:
    """Return the path of an input file that is there and is a file.

    Parameters
    ----------
    path: str or Path
    what: str
        What the file is, as it should read in the message: "annotation", "matrix".
    key: str
        The key of the configuration that names it.

    Raises
    ------
    InputError
        There is no such file, or it is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder: {key} in the configuration must name the file in it.")
    if not path.exists():
        raise InputError(f"{what} {path} is not there: check {key} in the configuration.")
    return path


def read_lines(path: str | Path, what: str) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text file with their numbers, from 1.

    Bytes that are no UTF-8 become U+FFFD: a description in another encoding must not stop what does not need it.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped, as its first bytes say; lines end with any of LF, CRLF and CR.
    what: str
        What the file is, as it should read in the message.

    Raises
    ------
    InputError
        The file cannot be read, its gzip is damaged or cut off (the message says after which line), or it is binary or
        UTF-16.

    Examples
    --------
    >>> import gzip, tempfile
    >>> from pathlib import Path
    >>> from cisnake.text_files import read_lines
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     n = (Path(folder) / "a.txt").write_bytes(gzip.compress(b"gene1\ngene2\n"))
    ...     list(read_lines(Path(folder) / "a.txt", "list of genes"))
    [(1, 'gene1\n'), (2, 'gene2\n')]
    """
    number = 0
    try:
        with open_text(path, errors="replace") as handle:
            for number, line in enumerate(handle, start=1):
                if number == 1:
                    line = line.removeprefix("\ufeff")
                # Text has no such character, but every second one of UTF-16 is it.
                if "\0" in line:
                    raise InputError(f"{what} {path}, line {number}, is binary or UTF-16: it must be plain text (UTF-8).")
                yield number, line
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{what} {path} may not be read: give yourself permission (chmod +r).") from error
        raise InputError(f"{what} {path} is damaged after line {number} ({error}): copy or make it again.") from error


def open_text(path: str | Path, errors: str = "strict", newline: str | None = None) -> IO[str]:
    """Open a text file (UTF-8) for reading, unpacked where its contents are gzip; `errors`, `newline` as of `open`."""
    form = {"encoding": "utf-8", "errors": errors, "newline": newline}
    return gzip.open(path, "rt", **form) if is_gzipped(path) else open(path, **form)  # type: ignore[call-overload]
