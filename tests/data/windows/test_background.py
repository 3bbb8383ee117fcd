"""Background regions: composition, matching, and distance from all regions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome import to_genome
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows import background
from cisnake.data.windows.background import add_background, count_composition, is_background, match_composition
from cisnake.data.windows.gene_windows import GENE_COLUMNS, select_genes
from cisnake.data.windows.region_units import regions_as_genes
from cisnake.sections import AnnotationSection, WindowsSection

ANNOTATION = AnnotationSection(None, "gene", "gene_id", None, 1000, (), {}, ("chr3",))
WINDOWS = WindowsSection("tss", 13, 27, 5, 0.3)
LENGTH = 40


@pytest.fixture
def sequences() -> dict[str, str]:
    """Chromosomes whose GC content drifts from 20 to 80%, with runs of N, also at both ends of one."""
    rng = np.random.default_rng(3)
    texts = {}
    for name, size in (("chr1", 30_000), ("chr2", 9_001), ("chr3", 2_000)):
        gc = np.linspace(0.2, 0.8, size)
        letters = np.where(rng.random(size) < gc, rng.choice([*"GCgc"], size), rng.choice([*"ATat"], size))
        for start in rng.integers(0, size, size // 500):
            letters[start : start + rng.integers(1, 30)] = rng.choice([*"NnR"])
        texts[name] = "".join(letters)
    texts["chr2"] = "N" * 25 + texts["chr2"][25:-9] + "N" * 9
    return texts


@pytest.fixture
def genome(sequences: dict[str, str], tmp_path: Path) -> Genome:
    return as_genome(sequences, tmp_path)


def as_genome(sequences: dict[str, str], folder: Path) -> Genome:
    (folder / "g.fa").write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    return Genome(folder / "g.fa")


def regions(rows: list[tuple[str, int, int, str]], signal: list[float] | None = None) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["chrom", "start", "end", "strand"])
    place = table["chrom"] + ":" + table["start"].astype(str) + "-" + table["end"].astype(str)
    middle = (table["start"] + table["end"]) // 2
    names = [f"r{i}" for i in range(len(table))]
    return table.assign(place=place, name=names, middle=middle, has_summit=False, signal=signal or 1.0)


def many_regions(n: int, spread: float = 1.0) -> pd.DataFrame:
    """Overlapping regions on both strands, some at the ends of chromosomes or longer than a window."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(n):
        chrom, size = (("chr1", 30_000), ("chr2", 9_001), ("chr3", 2_000))[i % 7 % 3]
        start = int(rng.integers(0, spread * (size - 90)))
        rows.append((chrom, start, start + int(rng.choice([1, 20, 88])), "+-."[i % 3]))
    rows += [("chr1", 0, 9, "+"), ("chr2", 8_990, 9_001, "-"), ("chrX", 5, 9, ".")]
    return regions(rows, rng.random(len(rows)).tolist())


def selected(table: pd.DataFrame, genome: Genome, top: int | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    listed = regions_as_genes(table, top)
    kept, _, _ = select_genes(listed, None, genome, ANNOTATION, WINDOWS)
    return kept, listed


@pytest.mark.parametrize("block", [7, 64, 1 << 24])
def test_composition_is_counted_base_by_base(
    sequences: dict[str, str], genome: Genome, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "_BASES_AT_ONCE", block)
    text = sequences["chr2"].upper()
    starts = np.r_[np.random.default_rng(0).integers(0, len(text) - LENGTH, 300), len(text) - LENGTH, 0, 0, 7, 64]
    expected = []
    for start in starts:
        window = text[start : start + LENGTH]
        known = sum(window.count(base) for base in "ACGT")
        expected.append([window.count("G") + window.count("C"), LENGTH - known])
    np.testing.assert_array_equal(count_composition(genome, "chr2", starts, LENGTH), expected)
    assert count_composition(genome, "chr2", np.zeros(0, np.int64), LENGTH).shape == (0, 2)


def in_words(counts: np.ndarray, length: int) -> list[tuple[int, int]]:
    """Return the percentage point of the GC content and the tenth of the share of N of windows, in whole numbers."""
    return [(100 * int(gc) // max(length - int(n), 1), -(-10 * int(n) // length)) for gc, n in counts]


@pytest.mark.parametrize(("n", "m", "times"), [(300, 4000, 2), (400, 500, 3), (50, 0, 1), (0, 50, 1), (30, 7, 1)])
def test_matches_are_without_replacement_and_leave_no_match_undone(n: int, m: int, times: int) -> None:
    rng, length = np.random.default_rng(n + m), 217

    def draw(size: int, low: float, high: float) -> np.ndarray:
        unknown = rng.choice([0, 0, 0, 1, 20, 60, 217], size)
        return np.stack([(rng.uniform(low, high, size) * (length - unknown)).astype(int), unknown], axis=1)

    wanted, offered = draw(n, 0.0, 1.01), draw(m, 0.3, 1.01)
    row, drawn = match_composition(wanted, offered, length, times, np.random.default_rng(1))
    assert len(row) == len(drawn) == len(set(drawn.tolist()))
    assert np.bincount(row, minlength=n).max(initial=0) <= times
    own, other = in_words(wanted, length), in_words(offered, length)
    for i, j in zip(row.tolist(), drawn.tolist(), strict=True):
        assert own[i][1] == other[j][1] and abs(own[i][0] - other[j][0]) <= 2
        gc = [counts[0] / max(length - counts[1], 1) for counts in (wanted[i], offered[j])]
        assert abs(gc[0] - gc[1]) < 0.03
    # Nothing that is still wanted could be given.
    left = set(range(m)) - set(drawn.tolist())
    lacking = [i for i in range(n) if (row == i).sum() < times]
    assert not [(i, j) for i in lacking for j in left if own[i][1] == other[j][1] and abs(own[i][0] - other[j][0]) <= 2]
    # Of the same percentage point, as many as there are.
    exact = sum(own[i] == other[j] for i, j in zip(row.tolist(), drawn.tolist(), strict=True))
    assert exact == sum(min(times * own.count(key), other.count(key)) for key in set(own))


def test_draws_are_random_among_windows_that_match() -> None:
    wanted, offered = np.array([[50, 0]]), np.tile([[50, 0]], (10, 1))
    drawn = [int(match_composition(wanted, offered, 100, 1, np.random.default_rng(seed))[1][0]) for seed in range(500)]
    counts = np.bincount(drawn, minlength=10)
    assert ((counts - 50) ** 2 / 50).sum() < 27.9  # chi-squared with 9 degrees of freedom, p = 0.001


@pytest.mark.parametrize("top", [None, 60])
def test_background_keeps_away_from_all_regions_and_resembles_those_that_are_used(
    sequences: dict[str, str], genome: Genome, top: int | None
) -> None:
    table = many_regions(120)
    kept, listed = selected(table, genome, top)
    assert 40 < len(kept) < len(listed)
    units, summary, notices = add_background(kept, listed, genome, WINDOWS, 2, seed=1)
    assert units[~is_background(units)][kept.columns].reset_index(drop=True).equals(kept)
    found = units[is_background(units)]
    assert len(found) == summary["found"] and summary["asked"] == 2 * len(kept)
    assert bool(notices) == (summary["found"] < summary["asked"]) and summary["found"] > len(kept)
    assert set(found["chrom"]) == {"chr1", "chr2"} == set(kept["chrom"])
    # Bases of regions and their windows, from their definitions, on the forward strand.
    taken: dict[str, set[int]] = {"chr1": set(), "chr2": set()}
    for region in table.itertuples():
        before, after = (WINDOWS.upstream, WINDOWS.downstream) if region.strand != "-" else (26, 14)
        if region.chrom in taken:
            taken[region.chrom] |= {*range(region.middle - before, region.middle + after), *range(region.start, region.end)}
    for row in found.itertuples():
        assert row.window_start >= 0 and row.window_end == row.window_start + LENGTH <= len(sequences[row.chrom])
        shifted = range(row.window_start - WINDOWS.max_shift, row.window_end + WINDOWS.max_shift)
        assert taken[row.chrom].isdisjoint(shifted)
        text = sequences[row.chrom][row.window_start : row.window_end].upper()
        assert sum(text.count(base) for base in "ACGT") >= (1 - WINDOWS.max_n_fraction) * LENGTH
    for _, rows in found.groupby("chrom"):
        assert (np.diff(np.sort(rows["window_start"])) >= LENGTH + WINDOWS.max_shift).all()

    def contents(rows: pd.DataFrame) -> np.ndarray:
        codes = [genome.codes(row.chrom, row.window_start, row.window_end) for row in rows.itertuples()]
        return np.array([np.isin(code, (1, 2)).sum() / max((code < 4).sum(), 1) for code in codes])

    own, other = contents(kept), contents(found)
    assert abs(own.mean() - other.mean()) < 0.02 < abs(contents_of_genome(sequences) - own.mean()) + 0.02
    for name, share in (("regions", own), ("background", other)):
        numbers = summary["gc"][name]
        assert numbers["mean"] == pytest.approx(share.mean(), abs=1e-4)
        for key, q in (("q05", 0.05), ("median", 0.5), ("q95", 0.95)):
            assert numbers[key] == pytest.approx(np.quantile(share, q), abs=1e-4)


def contents_of_genome(sequences: dict[str, str]) -> float:
    text = (sequences["chr1"] + sequences["chr2"]).upper()
    return (text.count("G") + text.count("C")) / len(text)


def test_background_follows_regions_where_the_genome_differs_from_them(genome: Genome) -> None:
    """Regions in the first sixth of a chromosome, which is poor in GC: background drawn at random would have 50%."""
    kept, listed = selected(many_regions(40, spread=0.17), genome)
    _, summary, _ = add_background(kept, listed, genome, WINDOWS, 3, seed=0)
    assert summary["found"] > 2 * len(kept)
    assert summary["gc"]["regions"]["mean"] < 0.32
    assert summary["gc"]["background"]["mean"] == pytest.approx(summary["gc"]["regions"]["mean"], abs=0.015)


def test_the_seed_decides(genome: Genome) -> None:
    kept, listed = selected(many_regions(40), genome)
    first, again, other = (add_background(kept, listed, genome, WINDOWS, 1, seed=seed)[0] for seed in (4, 4, 5))
    assert first.equals(again) and not first.equals(other)


@pytest.mark.parametrize("times", [1, 3])
def test_rows_of_background_are_like_those_of_regions(genome: Genome, times: int) -> None:
    kept, listed = selected(many_regions(60), genome)
    units, _, _ = add_background(kept, listed, genome, WINDOWS, times, seed=2)
    assert units.columns.tolist() == [*GENE_COLUMNS, "matrix_id", "background"] and units["gene_id"].is_unique
    found = units[is_background(units)]
    strands = (found["strand"] == "-").mean(), (kept["strand"] == "-").mean()
    assert set(found["strand"]) == {"+", "-"} and abs(strands[0] - strands[1]) < 0.15
    for row in found.itertuples():
        place = f"{row.chrom}:{row.window_start}-{row.window_end}"
        assert (row.gene_id, row.gene_name, row.matrix_id) == (f"background:{place}", place, "background")
        assert (row.start, row.end) == (row.window_start, row.window_end) and row.tss_source == "background"
        # The window is that of a region with its middle there.
        assert to_genome(row.tss, row.tss + 1, row.strand, -13, 27) == (row.window_start, row.window_end)
        assert row.mask_start == row.mask_end == WINDOWS.upstream
    order = [(list(genome.sizes).index(row.chrom), row.window_start) for row in units.itertuples()]
    assert order == sorted(order)


@pytest.mark.parametrize(("spare", "starts"), [(0, {0, 205}), (-1, set())])
def test_windows_reach_to_both_ends_of_a_chromosome(spare: int, starts: set[int], tmp_path: Path) -> None:
    """One region in the middle; on either side is exactly the room for a window, or one base too few."""
    size = 245 + 2 * spare
    small = as_genome({"chr1": ("ACGT" * 62)[:size]}, tmp_path)
    start, end = 45 + spare, size - 45 - spare
    kept, listed = selected(regions([("chr1", start, end, "+")]), small)
    units, summary, notices = add_background(kept, listed, small, WINDOWS, 2, seed=0)
    assert set(units.loc[is_background(units), "window_start"]) == starts and summary["found"] == len(starts)
    assert bool(notices) == (spare < 0)


def test_too_few_windows_are_counted(tmp_path: Path) -> None:
    """Half of the chromosome has no GC, and no window of the other half is far enough from the region."""
    small = as_genome({"chr1": "AT" * 200 + "GC" * 60}, tmp_path)
    kept, listed = selected(regions([("chr1", 440, 500, "+")]), small)
    units, summary, notices = add_background(kept, listed, small, WINDOWS, 4, seed=0)
    assert len(units) == 1 and (summary["asked"], summary["found"]) == (4, 0)
    assert set(summary["gc"]) == {"regions"}
    assert notices[0].startswith("Only 0 of 4 background regions (regions.negatives) were found")


def test_windows_with_n_match_windows_with_n(tmp_path: Path) -> None:
    """The window of the first region has 10% N. One other run of N gives windows with up to 10%, or lies between windows."""
    text = np.array([*"ACGT" * 1000])
    text[104:108] = text[3004:3008] = "N"
    small = as_genome({"chr1": "".join(text)}, tmp_path)
    kept, listed = selected(regions([("chr1", 105, 106, "+"), ("chr1", 2004, 2005, "+")]), small)
    counts = [
        count_composition(small, "chr1", units.loc[is_background(units), "window_start"].to_numpy(), LENGTH)[:, 1].tolist()
        for units in (add_background(kept, listed, small, WINDOWS, 1, seed=seed)[0] for seed in range(20))
    ]
    assert all(n.count(0) == 1 and len(n) <= 2 for n in counts) and any(len(n) == 2 for n in counts)
