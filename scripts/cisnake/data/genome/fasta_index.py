"""Find or create the index of a FASTA file, safely when several processes do so at once."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from cisnake.errors import InputError
from cisnake.text_files import is_gzipped

# The empty block with which bgzip ends a file.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MESSAGE = re.compile(r"^\[[EW]::\w+\] (.*)$", flags=re.MULTILINE)
# Run in a subprocess, because htslib reports errors only on standard error.
_PROGRAM = "import sys, pysam; pysam.faidx(sys.argv[1], '--fai-idx', sys.argv[2], '--gzi-idx', sys.argv[3])"


def find_index(path: Path) -> tuple[Path, Path | None]:
    """Return the index of a FASTA file, creating it if it is missing, older than the file, or does not fit it.

    The index is searched for and created next to the file. If that folder is not writable, `$XDG_CACHE_HOME/cisnake` (default
    `~/.cache/cisnake`) is used, with a file name derived from a digest of the file's path, size and modification time. The
    index is written under a temporary name and renamed once it is complete.

    Parameters
    ----------
    path: Path
        FASTA, plain or bgzipped.

    Returns
    -------
    index: Path
        The `.fai` file.
    blocks: Path or None
        The `.gzi` file, with the positions of the compressed blocks; None if the file is not bgzipped.

    Raises
    ------
    InputError
        The file is not FASTA, is truncated or compressed with gzip, or has a repeated name or an empty sequence; or the index
        cannot be written anywhere.
    """
    compressed = _is_bgzipped(path)
    candidates = (path.with_name(path.name + ".fai"), _cache_folder() / f"{_digest(path)}.fai")
    for index in candidates:
        if fits(index, path):
            return index, index.with_suffix(".gzi") if compressed else None
    for index in candidates:
        try:
            index.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=index.parent) as folder:
                temporary = Path(folder) / "index.fai"
                _write_index(path, temporary)
                if compressed:
                    os.replace(temporary.with_suffix(".gzi"), index.with_suffix(".gzi"))
                os.replace(temporary, index)
        except OSError:
            continue
        return index, index.with_suffix(".gzi") if compressed else None
    raise InputError(
        f"genome {path} has no up-to-date index, and none can be written next to it or in {candidates[1].parent}: create it "
        "with `samtools faidx`, or set XDG_CACHE_HOME to a writable folder."
    )


def _is_bgzipped(path: Path) -> bool:
    """Return whether a file is compressed with bgzip, which marks its first block with an extra field."""
    try:
        if not is_gzipped(path):
            return False
        with open(path, "rb") as handle:
            head = handle.read(14)
            handle.seek(-min(path.stat().st_size, len(_BGZIP_END)), os.SEEK_END)
            tail = handle.read()
    except PermissionError as error:
        raise InputError(f"genome {path} is not readable: check its permissions.") from error
    if head[12:] != b"BC":
        raise InputError(f"genome {path} is compressed with gzip: compress it with bgzip instead, or decompress it.")
    if tail != _BGZIP_END:
        raise InputError(f"genome {path} is truncated: bgzip's final block is missing; copy or regenerate the file.")
    return True


def _cache_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME")
    return Path(cache or os.path.expanduser("~/.cache")) / "cisnake"


def _digest(path: Path) -> str:
    state = path.stat()
    return hashlib.sha256(f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:32]


def fits(index: Path, path: Path) -> bool:
    """Return whether an index exists, is not older than its FASTA file and fits it; for bgzip, also check the `.gzi`."""
    try:
        compressed = is_gzipped(path)
        parts = (index, index.with_suffix(".gzi")) if compressed else (index,)
        if any(part.stat().st_mtime_ns < path.stat().st_mtime_ns for part in parts):
            return False
        records = _records(index)
    except (OSError, ValueError):
        return False
    return bool(records) and (compressed or _end(*records[-1][1:]) <= path.stat().st_size)


def _records(index: Path) -> list[tuple[str, int, int, int, int]]:
    """Return name, length, offset of the first base, bases per line and bytes per line of each sequence."""
    rows = (line.rsplit("\t", 4) for line in index.read_text(encoding="utf-8").splitlines())
    return [(name, int(length), int(first), int(bases), int(width)) for name, length, first, bases, width in rows]


def _end(length: int, first: int, bases: int, width: int) -> int:
    """Return the offset of the byte after the last base of a sequence."""
    return first + (length - 1) // max(bases, 1) * width + (length - 1) % max(bases, 1) + 1


def _write_index(path: Path, index: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(path), str(index), str(index.with_suffix(".gzi"))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    messages = _MESSAGE.findall(done.stderr)
    records = _records(index) if done.returncode == 0 else []
    if messages or not records:
        reason = messages[0] if messages else "it contains no sequences"
        raise InputError(f"genome {path} is not a valid FASTA file: {reason}; it must be plain or bgzipped, with unique names.")
    # htslib silently skips empty sequences.
    if not is_gzipped(path):
        _refuse_empty(path, records)


def _refuse_empty(path: Path, records: list[tuple[str, int, int, int, int]]) -> None:
    begin = 0
    with open(path, "rb") as handle:
        for _, length, first, bases, width in [*records, ("", 0, path.stat().st_size, 1, 1)]:
            handle.seek(begin)
            headers = [line for line in handle.read(first - begin).splitlines() if line.startswith(b">")]
            if len(headers) > (length > 0):
                name = headers[0][1:].split()[:1]
                raise InputError(f"genome {path}: the sequence {b''.join(name).decode(errors='replace')} is empty.")
            begin = _end(length, first, bases, width) if length else first
