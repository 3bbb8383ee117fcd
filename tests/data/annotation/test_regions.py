"""Regions from BED and narrowPeak: every column, and every line that is not a region."""

from __future__ import annotations

import gzip
import math
from pathlib import Path

import pytest

from cisnake.data.annotation.regions import read_bed_regions
from cisnake.errors import InputError


def test_columns_that_a_file_lacks_have_defaults(tmp_path: Path) -> None:
    rows = ["chr1\t10\t21", "chr1\t5\t9\tname\t3.5\t-", "chr2\t0\t1\t.\tx\t.", "chr1\t100\t200\tpeak\t7\t+\t2.5\t3\t1\t40"]
    rows.append("chr1\t100\t200\tno summit\t7\t.\t2.5\t3\t1\t-1")
    (tmp_path / "a.bed.gz").write_bytes(gzip.compress(("# made by hand\ntrack name=x\n" + "\n".join(rows) + "\n").encode()))
    table = read_bed_regions(tmp_path / "a.bed.gz")
    assert table.index.tolist() == [3, 4, 5, 6, 7]
    assert table["name"].tolist() == ["chr1:10-21", "name", "chr2:0-1", "peak", "no summit"]
    assert table["place"].tolist()[:2] == ["chr1:10-21", "chr1:5-9"]
    assert table["strand"].tolist() == [".", "-", ".", "+", "."]
    assert table["middle"].tolist() == [15, 7, 0, 140, 150]
    assert table["has_summit"].tolist() == [False, False, False, True, False]
    assert [None if math.isnan(value) else value for value in table["signal"]] == [None, 3.5, None, 2.5, 2.5]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.bed has no regions"),
        ("# only a comment\n", "a.bed has no regions"),
        ("chr1\t5\n", "line 1: expected the tab-separated columns"),
        ("chr1 5 9\n", "line 1: expected the tab-separated columns"),
        ("chr1\t5\t9\nchr1\t-5\t9\n", "line 2: expected the tab-separated columns"),
        ("chr1\t5\t5\n", "line 1: the end of the region is not after its start"),
        ("chr1\t5\t9\tp\t0\t.\t1\t1\t1\t4\n", r"line 1: the summit \(column 10\) is not within the region"),
        ("chr1\t5\t9\tp\t0\t.\t1\t1\t1\tx\n", r"line 1: the summit \(column 10\) is not within the region"),
    ],
)
def test_other_lines_are_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(InputError, match=message):
        read_bed_regions(tmp_path / "a.bed")
