"""BED files: intervals with names and strands, line by line."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cisnake.data.annotation.gtf import refuse, whole_numbers
from cisnake.errors import InputError
from cisnake.text_files import read_lines

NAMES = ("chrom", "start", "end", "name", "score", "strand")
_EXPECTED = "must be BED with six columns (chrom, start, end, gene id, score, strand)"
_BLOCKS = {10: "block_sizes", 11: "block_starts"}


def is_bed(path: str | Path) -> bool:
    """Return whether a file's first row has whole numbers in its second and third column, as BED has and GTF has not."""
    for _, line in read_lines(path, "annotation"):
        if _is_row(line):
            cells = line.split("\t")
            return len(cells) >= 3 and cells[1].strip().isdigit() and cells[2].strip().isdigit()
    return False


def read_bed(path: str | Path, what: str) -> pd.DataFrame:
    """Read a BED file with names and strands.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped, at least six columns separated by tabs. Comments, blank lines, and lines that begin with `track` or
        `browser` are passed over.
    what: str
        What the file is, as it should read in the message.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end (0-based, half-open), name, score, strand, and where the file has twelve columns block_sizes and
        block_starts as text; the index is the number of the line.

    Raises
    ------
    InputError
        A row has fewer than six columns, an impossible place, no name, or no strand; the message names the line.
    """
    path = Path(path)
    numbers: list[int] = []
    rows: list[list[str]] = []
    for number, line in read_lines(path, what):
        if not _is_row(line):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < len(NAMES):
            raise InputError(f"{what} {path}, line {number}: it {_EXPECTED}, but has {len(cells)}.")
        numbers.append(number)
        rows.append(cells[:12])
    if not rows:
        raise InputError(f"{what} {path} {_EXPECTED}, but has no rows.")
    columns = dict(enumerate(NAMES)) | (_BLOCKS if all(len(row) == 12 for row in rows) else {})
    table = pd.DataFrame({name: [row[at] for row in rows] for at, name in columns.items()}, index=numbers, dtype=object)
    for column in ("start", "end"):
        table[column] = whole_numbers(table[column], path, column)
    refuse((table["start"] < 0) | (table["end"] <= table["start"]), path, "start must be at least 0, and end above start.")
    refuse(table["name"] == "", path, "the name (column 4), which is the gene's id, is empty.")
    refuse(~table["strand"].isin(["+", "-"]), path, "the strand (column 6) must be + or -: it says which end is the start.")
    return table


def _is_row(line: str) -> bool:
    return not (line.startswith(("#", "track ", "browser ")) or line.isspace())
