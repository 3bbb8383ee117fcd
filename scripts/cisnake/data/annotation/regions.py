"""Read regions of a genome from BED and narrowPeak files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.annotation.bed import is_row
from cisnake.data.annotation.gtf import refuse
from cisnake.errors import InputError
from cisnake.text_files import check_file, read_lines

_EXPECTED = "expected the tab-separated columns chrom, start and end."
# A narrowPeak file has ten columns: the seventh is the signal, the last the distance of the summit from the start.
_NARROW_PEAK = 10


def read_bed_regions(path: str | Path) -> pd.DataFrame:
    r"""Return the regions of a BED or narrowPeak file, in the order of the file.

    Parameters
    ----------
    path: str or Path
        BED with 3 to 12 columns, or narrowPeak, which is recognised by its ten columns; plain or gzipped. Comments, blank
        lines, and lines that begin with `track` or `browser` are skipped.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end (0-based, half-open); place ("chrom:start-end"); name (column 4, or the place if it is empty or `.`);
        strand (+, - or `.`); middle (0-based position of the base: the summit of a peak, else (start + end) // 2);
        has_summit; signal (column 7 of narrowPeak, else column 5; NaN if it is not a number). The index holds line numbers.

    Raises
    ------
    InputError
        The file is missing or has no regions, or a line is not a region; the message names it.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from cisnake.data.annotation import read_bed_regions
    >>> path = pathlib.Path(tempfile.mkdtemp(), "a.bed")
    >>> _ = path.write_text("chr1\t100\t121\nchr1\t200\t300\tpeak\t0\t.\t7.5\t3\t2\t40\n")
    >>> read_bed_regions(path)[["name", "middle"]].values.tolist()
    [['chr1:100-121', 110], ['peak', 240]]
    """
    path = check_file(Path(path), "file of regions", "regions.file")
    rows, numbers = [], []
    for number, line in read_lines(path, "regions"):
        if is_row(line):
            rows.append([cell.strip() for cell in line.split("\t")])
            numbers.append(number)
    if not rows:
        raise InputError(f"{path} has no regions: {_EXPECTED}")
    width = np.array([len(row) for row in rows])
    cells = [[row[i] if i < len(row) else "" for row in rows] for i in range(_NARROW_PEAK)]
    table = pd.DataFrame({"chrom": cells[0], "name": cells[3]}, index=numbers, dtype=object)
    for column, values in (("start", cells[1]), ("end", cells[2])):
        digits = pd.Series(values, index=numbers, dtype=str).str.fullmatch(r"\d{1,12}")
        refuse(~digits, path, _EXPECTED)
        table[column] = np.array(values, dtype=np.int64)
    start, end = table["start"], table["end"]
    refuse(end <= start, path, "the end of the region is not after its start.")
    summit = pd.to_numeric(pd.Series(np.where(width == _NARROW_PEAK, cells[9], "-1"), index=numbers), errors="coerce")
    refuse(
        summit.isna() | (summit % 1 != 0) | (summit >= end - start), path, "the summit (column 10) is not within the region."
    )
    place = table["chrom"] + ":" + start.astype(str) + "-" + end.astype(str)
    signal = pd.to_numeric(np.where(width == _NARROW_PEAK, cells[6], cells[4]), errors="coerce")
    return table.assign(
        place=place,
        name=table["name"].where(~table["name"].isin(["", "."]), place),
        strand=np.where(np.isin(cells[5], ["+", "-"]), cells[5], "."),
        middle=np.where(summit >= 0, start + summit, (start + end) // 2).astype(np.int64),
        has_summit=summit >= 0,
        signal=signal,
    )
