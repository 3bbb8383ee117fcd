"""The index of a FASTA file: found, or made, whole whoever else makes it at the same time."""

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

# What bgzip writes last, an empty block.
_BGZIP_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_MESSAGE = re.compile(r"^\[[EW]::\w+\] (.*)$", flags=re.MULTILINE)
# In a process of its own, as htslib prints its reasons to standard error and nowhere else.
_PROGRAM = "import sys, pysam; pysam.faidx(sys.argv[1], '--fai-idx', sys.argv[2], '--gzi-idx', sys.argv[3])"


def find_index(path: Path) -> tuple[Path, Path | None]:
    """Return the index of a FASTA file, made if there is none that is as new as the file and fits it.

    It is looked for and made beside the file, or where that folder cannot be written to in `$XDG_CACHE_HOME/cisnake` (default
    `~/.cache/cisnake`), under a name that has the digest of the file's path, size and time of change. A process that makes one
    does so under another name, and renames it when it is whole.

    Parameters
    ----------
    path: Path
        FASTA, plain or bgzipped.

    Returns
    -------
    index: Path
        The `.fai`.
    blocks: Path or None
        The `.gzi`, where the compressed blocks of a bgzipped file are.

    Raises
    ------
    InputError
        The file is no FASTA, cut off, compressed with gzip, or has two sequences of one name or an empty one; or there is
        nowhere to write an index.
    """
    compressed = _is_bgzipped(path)
    places = (path.with_name(path.name + ".fai"), _cache_folder() / f"{_digest(path)}.fai")
    for index in places:
        if fits(index, path):
            return index, index.with_suffix(".gzi") if compressed else None
    for index in places:
        try:
            index.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".part-", dir=index.parent) as folder:
                made = Path(folder) / "index.fai"
                _make(path, made)
                if compressed:
                    os.replace(made.with_suffix(".gzi"), index.with_suffix(".gzi"))
                os.replace(made, index)
        except OSError:
            continue
        return index, index.with_suffix(".gzi") if compressed else None
    raise InputError(
        f"genome {path} has no index that is as new as the file, and none can be written beside it or in {places[1].parent}: "
        "make it with `samtools faidx`, or set XDG_CACHE_HOME to a folder that can be written to."
    )


def _is_bgzipped(path: Path) -> bool:
    """Return whether a file is compressed with bgzip, which says so in an extra field of its first block."""
    try:
        if not is_gzipped(path):
            return False
        with open(path, "rb") as handle:
            head = handle.read(14)
            handle.seek(-min(path.stat().st_size, len(_BGZIP_END)), os.SEEK_END)
            tail = handle.read()
    except PermissionError as error:
        raise InputError(f"genome {path} may not be read: give yourself permission (chmod +r).") from error
    if head[12:] != b"BC":
        raise InputError(f"genome {path} is compressed with gzip: compress it with bgzip instead, or unpack it.")
    if tail != _BGZIP_END:
        raise InputError(f"genome {path} is cut off: it lacks bgzip's last block; copy or make it again.")
    return True


def _cache_folder() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given or os.path.expanduser("~/.cache")) / "cisnake"


def _digest(path: Path) -> str:
    state = path.stat()
    return hashlib.sha256(f"{path.resolve()}\n{state.st_size}\n{state.st_mtime_ns}".encode()).hexdigest()[:32]


def fits(index: Path, path: Path) -> bool:
    """Return whether an index is there, no older than its FASTA file, and within it; for a bgzipped file also the `.gzi`."""
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
    """Return the name of each sequence, its length, its first byte, and the bases and bytes of its lines."""
    rows = (line.rsplit("\t", 4) for line in index.read_text(encoding="utf-8").splitlines())
    return [(name, int(length), int(first), int(bases), int(width)) for name, length, first, bases, width in rows]


def _end(length: int, first: int, bases: int, width: int) -> int:
    """Return the byte after the last base of a sequence."""
    return first + (length - 1) // max(bases, 1) * width + (length - 1) % max(bases, 1) + 1


def _make(path: Path, index: Path) -> None:
    command = [sys.executable, "-c", _PROGRAM, str(path), str(index), str(index.with_suffix(".gzi"))]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    messages = _MESSAGE.findall(done.stderr)
    records = _records(index) if done.returncode == 0 else []
    if messages or not records:
        reason = messages[0] if messages else "it holds no sequence"
        raise InputError(f"genome {path} cannot be used as FASTA: {reason}; it must be plain or bgzipped, each name once.")
    # htslib passes over a sequence of no bases without a word.
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
