"""Arithmetic on regions agrees with sets of bases; errors in BED files name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome import intervals, regions
from cisnake.errors import InputError

Bases = set[tuple[str, int]]


def table(*places: tuple[str, int, int]) -> pd.DataFrame:
    return pd.DataFrame(places, columns=["chrom", "start", "end"]).astype({"chrom": object, "start": int, "end": int})


def random_regions(rng: np.random.Generator, n: int, longest: int = 25) -> pd.DataFrame:
    """Regions that overlap, touch, are empty, and begin before a chromosome's first base."""
    start = rng.integers(-15, 120, n)
    return table(*zip(rng.choice(["chr2", "chr1", "x"], n), start, start + rng.integers(0, longest, n)))


def bases(regions: pd.DataFrame) -> Bases:
    return {(place.chrom, i) for place in regions.itertuples() for i in range(place.start, place.end)}


def runs(bases: Bases) -> list[tuple[str, int, int]]:
    """The bases as merged, sorted runs."""
    found: list[tuple[str, int, int]] = []
    for chrom, i in sorted(bases):
        if found and found[-1][0] == chrom and found[-1][2] == i:
            found[-1] = (chrom, found[-1][1], i + 1)
        else:
            found.append((chrom, i, i + 1))
    return found


@pytest.mark.parametrize("seed", range(40))
def test_against_sets_of_bases(seed):
    rng = np.random.default_rng(seed)
    a, b = random_regions(rng, rng.integers(0, 12)), random_regions(rng, rng.integers(0, 12))
    a["name"] = [f"r{i}" for i in range(len(a))]
    other = bases(b)
    merged = regions.merge(b)
    assert sorted(merged.itertuples(index=False, name=None)) == runs(other)
    assert merged["chrom"].drop_duplicates().tolist() == b["chrom"][b["end"] > b["start"]].drop_duplicates().tolist()
    assert merged.groupby("chrom", sort=False)["start"].is_monotonic_increasing.all()
    for function, combine in ((regions.subtract, Bases.__sub__), (regions.intersect, Bases.__and__)):
        wanted = [
            (chrom, start, end, place.name)
            for place in a.itertuples(index=False)
            for chrom, start, end in runs(combine(bases(a[a["name"] == place.name]), other))
        ]
        assert list(function(a, b).itertuples(index=False, name=None)) == wanted
    shared = [len(bases(a.iloc[[i]]) & other) for i in range(len(a))]
    assert regions.count_bases(a, b).tolist() == shared
    assert regions.overlaps(a, b).tolist() == [n > 0 for n in shared]


@pytest.mark.parametrize("at_once", [1, 20, 1 << 22])
@pytest.mark.parametrize("seed", range(10))
def test_bins_against_sets_of_bases(seed, at_once, monkeypatch):
    monkeypatch.setattr(regions, "_EDGES_AT_ONCE", at_once)
    rng = np.random.default_rng(seed)
    start, b = rng.integers(-15, 100, 7), random_regions(rng, 10)
    a, other = table(*zip(rng.choice(["chr1", "x"], 7), start, start + 24)), bases(b)
    shared = [[len(bases(table((r.chrom, i, i + 4))) & other) for i in range(r.start, r.end, 4)] for r in a.itertuples()]
    for least in (0, 0.5, 1, 2, 4, 4.5):
        assert regions.count_bins(a, b, 4, least).tolist() == [sum(n >= least for n in bins) for bins in shared]
    assert regions.count_bins(a[:0], b, 4, 1).shape == (0,)
    assert regions.count_bins(a, b[:0], 4, 1).tolist() == [0] * 7


def test_merging_joins_what_touches_and_keeps_the_order_of_chromosomes():
    found = regions.merge(table(("x", 50, 60), ("b", 5, 9), ("x", 0, 50), ("b", 10, 11), ("b", 7, 8)))
    assert list(found.itertuples(index=False, name=None)) == [("x", 0, 60), ("b", 5, 9), ("b", 10, 11)]


SIZES = {"chr1": 100, "chr2": 50}


@pytest.mark.parametrize("suffix", [".bed", ".bed.gz"])
def test_bed(tmp_path: Path, suffix):
    path = tmp_path / f"regions{suffix}"
    text = 'track name="my regions\n#c\n1\t5\t10\tname\t0\t+\n\nchr2\t40\t70\nchr1\t0\t0\nNA\t3\t4\nbrowser x\n2\t7\t9\tx\n'
    (path.write_bytes(gzip.compress(text.encode())) if suffix.endswith("gz") else path.write_text(text))
    found = regions.read_regions(path, SIZES)
    assert list(found.itertuples(index=False, name=None)) == [
        ("chr1", 5, 10),
        ("chr2", 40, 50),
        ("chr1", 0, 0),
        ("chr2", 7, 9),
    ]
    assert found["start"].dtype == found["end"].dtype == np.int64


def test_many_rows_are_read_in_pieces(tmp_path: Path, monkeypatch):
    path = tmp_path / "many.bed"
    path.write_text("".join(f"chr1\t{i}\t{i + 1}\n" for i in range(10)))
    monkeypatch.setattr(intervals, "_ROWS_AT_ONCE", 3)
    assert regions.read_regions(path, SIZES)["start"].tolist() == list(range(10))
    path.write_text("".join(f"chr1\t{i}\t{i + 1}\n" for i in range(10)) + "chr1\tten\t11\n")
    with pytest.raises(InputError, match=r"many\.bed, line 11: the start is not an integer"):
        regions.read_regions(path, SIZES)


def test_an_empty_bed_has_no_regions(tmp_path: Path):
    path = tmp_path / "none.bed"
    for text in ("", "#chrom\tstart\tend\n", "# none yet\n", "#a\n\ntrack name=none\n  \n"):
        path.write_text(text)
        assert regions.read_regions(path, SIZES).empty
        path.write_bytes(gzip.compress(text.encode()))
        assert regions.read_regions(path, SIZES).empty


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\t9\nchr1 5 9\n", "line 2: the start is not an integer"),
        ("585\tchr1\t5\t9\n", "line 1: the start is not an integer"),
        ("chr1\t5\t9.5\n", "line 1: the end is not an integer"),
        ("chr1\t5\t9\n#a\nchr1\t5\n", "line 3: the end is not an integer"),
        ("#a\nchr1\t5\n", "cannot be read as a tab-separated table of chrom, start and end: .*found 2"),
        ("chr1\t-1\t9\n", "line 1: the start must be at least 0"),
        ("chr1\t9\t8\n", "line 1: the start must be"),
        ("chr2\t49\t60\nchr2\t50\t60\n", "line 2: the region starts beyond the end"),
        ("scaffold\t0\t9\n", "no chromosome of .*has scaffold; the genome has chr1, chr2"),
    ],
)
def test_invalid_bed_is_refused(tmp_path: Path, text, message):
    path = tmp_path / "bad.bed"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"{message}"):
        regions.read_regions(path, SIZES)


def test_a_missing_or_broken_file_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.bed does not exist"):
        regions.read_regions(tmp_path / "none.bed", SIZES)
    (tmp_path / "broken.bed.gz").write_bytes(gzip.compress(b"chr1\t1\t2\n" * 1000)[:-20])
    with pytest.raises(InputError, match=r"broken\.bed\.gz cannot be read as a tab-separated table"):
        regions.read_regions(tmp_path / "broken.bed.gz", SIZES)


NAMED = {"chr1": 1000, "chr2": 600_000, "HLA:01": 50, "chr3:1-9": 20}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("chr1", ("chr1", 0, 1000)),
        ("chr1:1-1000", ("chr1", 0, 1000)),
        ("chr1:1000-1000", ("chr1", 999, 1000)),
        ("chr2:1,001-500,000", ("chr2", 1000, 500_000)),
        ("HLA:01", ("HLA:01", 0, 50)),
        ("HLA:01:2-3", ("HLA:01", 1, 3)),
        # As in samtools, the name of a chromosome comes first.
        ("chr3:1-9", ("chr3:1-9", 0, 20)),
    ],
)
def test_regions_are_1_based_and_include_their_last_base(text, wanted):
    assert regions.parse_region(text, NAMED, "splits.val") == wanted
    assert regions.chromosome_of(text) == (wanted[0] if text != "chr3:1-9" else "chr3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr4", r"unknown chromosome in splits\.val 'chr4': did you mean"),
        ("chr4:1-9", r"unknown chromosome in splits\.val 'chr4': did you mean"),
        ("chr1:1-1,001", r"splits\.val: chr1:1-1,001 extends beyond the end of chr1, which has 1,000 bp"),
        ("chr1:0-9", "positions count from 1"),
        ("chr1:9-8", "the last must not precede the first"),
        ("chr1:5", r"write it as chromosome:first-last, such as chr2:1-500000"),
        ("chr1:5-", "write it as chromosome:first-last"),
        ("chr1:a-b", "write it as chromosome:first-last"),
    ],
)
def test_regions_that_are_not_on_the_genome_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        regions.parse_region(text, NAMED, "splits.val")
