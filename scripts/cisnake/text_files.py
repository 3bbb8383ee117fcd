"""Reading of plain and gzipped text files, with readable errors for binary and damaged files."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal

import yaml

from cisnake.errors import InputError

_GZIP = b"\x1f\x8b"
_BEGINS_AS_JSON = re.compile(r'\s*\{\s*"')


def is_gzipped(path: str | Path) -> bool:
    """Return whether a file is gzipped, judged by its first bytes and not by its name."""
    with open(path, "rb") as handle:
        return handle.read(2) == _GZIP


def compression(path: str | Path) -> Literal["gzip"] | None:
    """Return the `compression` argument for pandas, judged by the content and not by the file name."""
    return "gzip" if is_gzipped(path) else None


def check_file(path: str | Path, what: str, key: str) -> Path:
    """Check that an input file exists and is not a folder, and return its path.

    Parameters
    ----------
    path: str or Path
        The file.
    what: str
        Kind of file, as it appears in the message: "annotation", "matrix".
    key: str
        Key of the configuration that names the file.

    Raises
    ------
    InputError
        The file does not exist, or is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{what} {path} is a folder: set {key} in the configuration to a file.")
    if not path.exists():
        raise InputError(f"{what} {path} does not exist: check {key} in the configuration.")
    return path


def read_lines(path: str | Path, what: str) -> Iterator[tuple[int, str]]:
    r"""Yield the lines of a text file with their line numbers, from 1.

    Bytes that are not valid UTF-8 become U+FFFD, so that free text in another encoding does not prevent reading.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped file, detected from the first bytes. Lines may end with LF, CRLF or CR.
    what: str
        Kind of file, as it appears in the message.

    Raises
    ------
    InputError
        The file is not readable, its gzip data are damaged or truncated (the message gives the last line read), or the file is
        binary or UTF-16.

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
                # Text does not contain NUL, but in UTF-16 about every second byte of ASCII text is NUL.
                if "\0" in line:
                    raise InputError(
                        f"{what} {path}, line {number}, is binary or UTF-16: convert the file to plain text (UTF-8)."
                    )
                yield number, line
    except (EOFError, OSError, zlib.error) as error:
        if isinstance(error, PermissionError):
            raise InputError(f"{what} {path} is not readable: check its permissions.") from error
        raise InputError(f"{what} {path} is damaged after line {number} ({error}): copy it again or regenerate it.") from error


def open_text(path: str | Path, errors: str = "strict", newline: str | None = None) -> IO[str]:
    """Open a UTF-8 text file for reading, plain or gzipped; `errors` and `newline` as in `open`."""
    form = {"encoding": "utf-8", "errors": errors, "newline": newline}
    return gzip.open(path, "rt", **form) if is_gzipped(path) else open(path, **form)  # type: ignore[call-overload]


def parse_yaml(text: str, loader: Any) -> Any:
    r"""Parse JSON as JSON and all other text as YAML; JSON may be indented with tabs, which YAML rejects.

    Parameters
    ----------
    text: str
    loader: type
        A loader of PyYAML.

    Raises
    ------
    json.JSONDecodeError, yaml.YAMLError
        The text is neither.

    Examples
    --------
    >>> import yaml
    >>> from cisnake.text_files import parse_yaml
    >>> parse_yaml('{\n\t"a": [1]}', yaml.SafeLoader), parse_yaml("a: [1]", yaml.SafeLoader)
    ({'a': [1]}, {'a': [1]})
    """
    if not text.lstrip().startswith("{"):
        return yaml.load(text, loader)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        json_error = error
    try:
        # YAML in braces also starts with "{", and some invalid JSON is valid YAML.
        return yaml.load(text, loader)
    except yaml.YAMLError:
        if _BEGINS_AS_JSON.match(text):
            raise json_error from None
        raise
