"""Regions of splits cover what the user names, base by base, and share none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.windows.split_regions import find_held_out, read_split_regions, resolve_regions
from cisnake.errors import InputError
from cisnake.sections import SplitsSection

SIZES = {"chr1": 100, "chr2": 60}


def by(**keys: Any) -> SplitsSection:
    return configuration.section("splits", **keys)


def split_of_bases(regions: pd.DataFrame) -> dict[tuple[str, int], str]:
    """Return the split of each base; a base in two regions of different splits is an error."""
    found: dict[tuple[str, int], str] = {}
    for chrom, start, end, split in regions[["chrom", "start", "end", "split"]].itertuples(index=False):
        for i in range(start, end):
            assert found.setdefault((chrom, i), split) == split
    return found


def test_each_base_has_the_split_of_its_region():
    # The regions of test overlap, touch, and reach both ends of chromosomes.
    found = split_of_bases(
        resolve_regions(by(val=["chr2:60-60", "chr1:31-40"], test=["chr1:1-20", "chr1:11-30", "chr2:1-9"]), SIZES)
    )
    assert len(found) == 160
    for (chrom, i), split in found.items():
        test = i < 30 if chrom == "chr1" else i < 9
        val = 30 <= i < 40 if chrom == "chr1" else i == 59
        assert split == ("test" if test else "val" if val else "train")


def test_all_that_fractions_divide_is_training_at_first():
    assert set(split_of_bases(resolve_regions(by(val_fraction=0.1, test_fraction=0.1), SIZES)).values()) == {"train"}
    mixed = split_of_bases(resolve_regions(by(val_fraction=0.1, test=["chr2"]), SIZES))
    assert {split: list(mixed.values()).count(split) for split in ("train", "val", "test")} == {
        "train": 100,
        "val": 0,
        "test": 60,
    }


@pytest.mark.parametrize(
    ("val", "test", "place"),
    [
        ("chr2", "chr2", "chr2"),
        ("chr2", "chr2:5-9", "chr2:5-9"),
        ("chr1:1-50", "chr1:50-60", "chr1:50-50"),
        ("chr1:1-100", "chr1", "chr1"),
    ],
)
def test_val_and_test_share_no_base(val, test, place):
    message = f"splits.val and splits.test both contain {place}: remove it from one of them"
    assert find_held_out({"val": [val], "test": [test]}, SIZES)[1] == [message]
    with pytest.raises(InputError, match=message):
        resolve_regions(by(val=[val], test=[test]), SIZES)


def test_adjacent_regions_share_no_base():
    assert find_held_out({"val": ["chr1:1-50"], "test": ["chr1:51-60", "chr2:1-50"]}, SIZES)[1] == []


def test_every_wrong_entry_is_reported():
    problems = find_held_out({"val": ["chr1:1-101", "chr7"], "test": ["chr2:0-5", "chr2"]}, SIZES)[1]
    assert len(problems) == 3 and "which has 100 bp" in problems[0] and "chr7" in problems[1] and "from 1" in problems[2]


def write(folder: Path, *rows: str, header: str = "chrom\tstart\tend\tsplit") -> Path:
    path = folder / "regions.tsv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


ROWS = ("chr1\t0\t40\ttrain", "chr1\t50\t100\ttest", "chr2\t0\t60\tval", "chr1\t30\t45\ttrain")


@pytest.mark.parametrize("header", ["chrom\tstart\tend\tsplit", "#chrom\tstart\tend\tsplit"])
def test_a_table_has_the_coordinates_of_bed(tmp_path: Path, header):
    found = split_of_bases(resolve_regions(by(regions=str(write(tmp_path, *ROWS, header=header))), SIZES))
    wanted = {("chr1", i): "train" for i in range(45)} | {("chr1", i): "test" for i in range(50, 100)}
    assert found == wanted | {("chr2", i): "val" for i in range(60)}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("chr1\t45\t60\tval", "assigns chr1:51-60 to both val and test"),
        ("chr1\t39\t46\tval", "assigns chr1:40-45 to both train and val"),
        ("chr2\t0\t60\ttest", "assigns chr2 to both val and test"),
        ("chr2\t0\t61\tval", "line 6: 0-61 extends beyond the end of chr2, which has 60 bp"),
        ("chr3\t0\t61\tval", r"unknown chromosome in .*regions\.tsv, line 6: 'chr3': did you mean"),
        ("chr2\t0\t60\tvalid", r"unknown split in .*line 6: 'valid': did you mean val"),
        ("chr2\t9\t9\tval", "line 6: the start must be at least 0, and the end greater"),
        ("chr2\t-1\t9\tval", "line 6: the start must be at least 0"),
        ("chr2\tx\t9\tval", "line 6: start is 'x'"),
    ],
)
def test_wrong_rows_are_named(tmp_path: Path, row, message):
    with pytest.raises(InputError, match=message):
        read_split_regions(write(tmp_path, *ROWS, row), SIZES)


def test_a_table_lists_all_splits_and_names_its_columns(tmp_path: Path):
    with pytest.raises(InputError, match="no region for train: bases in no region are not used"):
        read_split_regions(write(tmp_path, *ROWS[1:3]), SIZES)
    with pytest.raises(InputError, match="columns chrom, start, end and split"):
        read_split_regions(write(tmp_path, *ROWS[1:], header=ROWS[0]), SIZES)
