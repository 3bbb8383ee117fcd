"""Read BED files of named, stranded intervals."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cisnake.data.annotation.gtf import refuse, whole_numbers
from cisnake.errors import InputError
from cisnake.text_files import read_lines

NAMES = ("chrom", "start", "end", "name", "score", "strand")
_EXPECTED = "expected BED with six columns (chrom, start, end, gene id, score, strand)"
_BLOCKS = {10: "block_sizes", 11: "block_starts"}


def is_bed(path: str | Path) -> bool:
    """Return whether a file is BED: its first row has integers in columns 2 and 3, unlike GTF and GFF3."""
    for _, line in read_lines(path, "annotation"):
        if is_row(line):
            cells = line.split("\t")
            return len(cells) >= 3 and cells[1].strip().isdigit() and cells[2].strip().isdigit()
    return False


def read_bed(path: str | Path, what: str) -> pd.DataFrame:
    """Read a BED file with names and strands.

    Parameters
    ----------
    path: str or Path
        Plain or gzipped, with at least six tab-separated columns. Comments, blank lines, and lines that begin with `track` or
        `browser` are skipped.
    what: str
        Description of the file for error messages.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end (0-based, half-open), name, score and strand. If every row has twelve columns, also block_sizes and
        block_starts, as text. The index holds line numbers.

    Raises
    ------
    InputError
        A row has fewer than six columns, invalid coordinates, no name or no strand. The message names the line.
    """
    path = Path(path)
    line_numbers: list[int] = []
    rows: list[list[str]] = []
    for number, line in read_lines(path, what):
        if not is_row(line):
            continue
        cells = [cell.strip() for cell in line.split("\t")]
        if len(cells) < len(NAMES):
            raise InputError(f"{what} {path}, line {number}: {_EXPECTED}, found {len(cells)}.")
        line_numbers.append(number)
        rows.append(cells[:12])
    if not rows:
        raise InputError(f"{what} {path} has no rows: {_EXPECTED}.")
    columns = dict(enumerate(NAMES)) | (_BLOCKS if all(len(row) == 12 for row in rows) else {})
    table = pd.DataFrame({name: [row[i] for row in rows] for i, name in columns.items()}, index=line_numbers, dtype=object)
    for column in ("start", "end"):
        table[column] = whole_numbers(table[column], path, column)
    refuse(
        (table["start"] < 0) | (table["end"] <= table["start"]), path, "start must be at least 0, and end greater than start."
    )
    refuse(table["name"] == "", path, "the name (column 4), used as the gene id, is empty.")
    refuse(~table["strand"].isin(["+", "-"]), path, "the strand (column 6) must be + or -; it decides which end is the start.")
    return table


def is_row(line: str) -> bool:
    """Return whether a line of a BED file is an interval: not a comment, not blank, and not a line for browsers."""
    return not (line.startswith(("#", "track ", "browser ")) or line.isspace())
