"""Write tables of intervals as bigBed, an indexed form of BED from which browsers read only the displayed part."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pybigtools

from cisnake.errors import InputError
from cisnake.files import write_whole

# The standard BED columns in their order, with their autoSql types and descriptions.
_BED = {
    "chrom": ("string", "chromosome"),
    "start": ("uint", "start, counted from 0"),
    "end": ("uint", "end, not included"),
    "name": ("string", "name"),
    "score": ("uint", "0 to 1000"),
    "strand": ("char[1]", "+ or -"),
    "thick_start": ("uint", "start of what is drawn thick"),
    "thick_end": ("uint", "end of what is drawn thick"),
    "rgb": ("uint", "colour"),
}
_BED_NAMES = {"chrom": "chrom", "start": "chromStart", "end": "chromEnd", "rgb": "itemRgb"}


def bed_type(table: pd.DataFrame) -> str:
    """Return the UCSC type of a table's bigBed: such as `bigBed 6`, or `bigBed 9 +` if there are extra columns.

    Examples
    --------
    >>> import pandas as pd
    >>> bed_type(pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [9], "name": ["peak"], "q_value": [0.01]}))
    'bigBed 4 +'
    """
    n = sum(column in _BED for column in table)
    return f"bigBed {n}" + (" +" if table.shape[1] > n else "")


def write_bigbed(table: pd.DataFrame, sizes: Mapping[str, int], what: str, path: str | Path) -> None:
    """Write a table as bigBed.

    Parameters
    ----------
    table: pandas.DataFrame
        Standard BED columns in BED order, at least chrom, start, end (0-based, half-open), followed by any extra columns. Extra
        columns are written as text and described by their names. Scores are integers in [0, 1000]; colours are "r,g,b". Rows
        can be in any order. At least one row is required: bigBed does not support empty files.
    sizes: mapping of str to int
        Lengths of the chromosomes.
    what: str
        The kind of interval in one word, such as "peak".
    path: str or Path
        Must end in `.bb`.

    Raises
    ------
    InputError
        An interval is empty or extends beyond its chromosome.
    OSError
        The file could not be written completely.

    Examples
    --------
    >>> import tempfile, pandas as pd, pybigtools
    >>> peaks = pd.DataFrame({"chrom": ["chr1", "chr1"], "start": [50, 10], "end": [60, 20], "name": ["b", "a"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bigbed(peaks, {"chr1": 100}, "peak", f"{folder}/peaks.bb")
    ...     list(pybigtools.open(f"{folder}/peaks.bb").records("chr1"))
    [(10, 20, 'a'), (50, 60, 'b')]
    """
    lengths = table["chrom"].map(dict(sizes))
    wrong = ~((table["start"] >= 0) & (table["end"] > table["start"]) & (table["end"] <= lengths))
    if wrong.any():
        row = table[wrong].iloc[0]
        raise InputError(
            f"{what} {row.get('name', '')} at {row['chrom']}:{row['start']}-{row['end']} is outside the genome's chromosomes: "
            "are genome and results from the same run?"
        )
    # bigBed requires rows sorted by the bytes of the chromosome names, then by start.
    table = table.sort_values(["chrom", "start", "end"], kind="stable")
    rest = pd.Series("", index=table.index)
    for i, column in enumerate(table.columns[3:]):
        rest = rest + ("\t" if i else "") + table[column].astype(str).str.replace(r"[\t\r\n]", " ", regex=True)
    with write_whole(path) as part:
        rows = zip(table["chrom"], table["start"].astype(int), table["end"].astype(int), rest, strict=True)
        used = {chrom: sizes[chrom] for chrom in sorted(sizes)}
        pybigtools.open(str(part), "w").write(used, rows, autosql=_autosql(table, what))
        # pybigtools prints errors instead of raising them.
        if not _is_whole(part):
            raise OSError(f"{path} could not be written completely: is the disk full?")


def _is_whole(path: Path) -> bool:
    """Return whether a bigBed is complete, that is, ends with the signature with which it begins."""
    if not path.is_file() or path.stat().st_size < 64:
        return False
    with open(path, "rb") as file:
        signature = file.read(4)
        file.seek(-4, os.SEEK_END)
        return file.read() == signature


def _autosql(table: pd.DataFrame, what: str) -> str:
    """Return the autoSql description of the columns that is stored in a bigBed."""
    fields = []
    for column in table:
        kind, words = _BED.get(column, ("string", column.replace("_", " ")))
        fields.append(f'    {kind} {_BED_NAMES.get(column, column)}; "{words}"')
    return "\n".join([f"table {what}", f'"Each row is a {what}."', "(", *fields, ")", ""])
