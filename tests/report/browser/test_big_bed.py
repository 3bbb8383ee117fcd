"""BigBed files are read back with pyBigWig."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig
import pytest

from cisnake.errors import InputError
from cisnake.report.browser import big_bed

SIZES = {"chr2": 5_000, "chr10": 3_000, "chr1": 4_000, "empty": 10}


def make_table(n: int = 500) -> pd.DataFrame:
    rng = np.random.default_rng(4)
    chrom = rng.choice(["chr10", "chr1", "chr2"], n)
    start = rng.integers(0, 2_950, n)
    table = pd.DataFrame(
        {
            "chrom": chrom, "start": start, "end": start + rng.integers(1, 50, n), "name": [f"a {i}\tß" for i in range(n)],
            "score": rng.integers(0, 1001, n), "strand": rng.choice(["+", "-"], n), "thick_start": start, "thick_end": start,
            "rgb": "0,114,178", "gene_id": "g1", "p_value": "",
        }
    )  # fmt: skip
    table.loc[0, ["chrom", "start", "end"]] = ["chr1", 0, 4_000]
    table.loc[1, ["chrom", "start", "end"]] = ["chr10", 2_999, 3_000]
    return table


@pytest.mark.parametrize(("n_columns", "kind"), [(3, "bigBed 3"), (6, "bigBed 6"), (9, "bigBed 9"), (11, "bigBed 9 +")])
def test_intervals_are_read_back(tmp_path, n_columns, kind):
    table = make_table().iloc[:, :n_columns]
    path = tmp_path / "a.b.bb"
    assert big_bed.bed_type(table) == kind
    big_bed.write_bigbed(table, SIZES, "peak", path)
    file = pyBigWig.open(str(path))
    assert file.isBigBed()
    found = {
        (chrom, start, end, *(rest.split("\t") if n_columns > 3 else []))
        for chrom in ("chr1", "chr10", "chr2")
        for start, end, rest in file.entries(chrom, 0, SIZES[chrom])
    }
    columns = [table[column] if i in (1, 2) else table[column].astype(str) for i, column in enumerate(table)]
    expected = {tuple(x.replace("\t", " ") if isinstance(x, str) else x for x in row) for row in zip(*columns, strict=True)}
    assert found == expected and len(expected) == len(table)
    assert {chrom: SIZES[chrom] for chrom in file.chroms()} == file.chroms()
    fields = np.frombuffer(path.read_bytes()[32:36], "<u2")
    assert list(fields) == [n_columns, n_columns], "numbers of columns in the header"
    sql = file.SQL().decode()
    assert sql.count(";") == n_columns and sql.startswith("table peak")
    assert ("p value" in sql) == (n_columns == 11)


@pytest.mark.parametrize(("chrom", "start", "end"), [("chr1", 3_999, 4_001), ("chr1", 5, 5), ("chr3", 1, 2), ("chr1", -1, 2)])
def test_intervals_outside_the_genome_are_refused(tmp_path, chrom, start, end):
    table = make_table(5)
    table.loc[3, ["chrom", "start", "end"]] = [chrom, start, end]
    with pytest.raises(InputError, match=f"peak a 3.*{chrom}:{start}-{end}"):
        big_bed.write_bigbed(table, SIZES, "peak", tmp_path / "a.bb")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("n_bytes", [0, 10, 600, -1])
def test_a_truncated_file_is_not_left_behind(tmp_path, monkeypatch, n_bytes):
    big_bed.write_bigbed(make_table(50), SIZES, "peak", tmp_path / "whole.bb")
    content = (tmp_path / "whole.bb").read_bytes()

    class Broken:
        def __init__(self, path, mode):
            self.path = path

        def write(self, *args, **kwargs):
            if n_bytes:
                Path(self.path).write_bytes(content[:n_bytes])

    monkeypatch.setattr(big_bed.pybigtools, "open", Broken)
    with pytest.raises(OSError, match="disk full"):
        big_bed.write_bigbed(make_table(5), SIZES, "peak", tmp_path / "a.bb")
    assert [path.name for path in tmp_path.iterdir()] == ["whole.bb"]
