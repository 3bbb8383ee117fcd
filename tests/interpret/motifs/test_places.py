import numpy as np
import pandas as pd
import pytest

from cisnake.interpret.motifs import places as peak_sites
from cisnake.interpret.motifs.places import Axis, distinct, draw_background, place_peaks, sites_within, unoccupied


def axis_of(rows, length=100):
    windows = pd.DataFrame(rows, columns=["chrom", "start", "strand"])
    return Axis(windows.assign(end=windows["start"] + length))


def table(rows):
    return pd.DataFrame(rows, columns=["gene_id", "window_start", "window_end", "attribution"])


def test_places_on_the_axis_are_those_on_the_genome():
    rows = [("chr2", 40, "-"), ("chr1", -20, "+"), ("chr1", 30, "-"), ("chr10", 0, "+")]
    axis = axis_of(rows)
    row, first = np.repeat(np.arange(4), 91), np.tile(np.arange(91), 4)
    low, high = axis.place(row, first, first + 10)
    assert (high - low == 10).all()
    assert axis.forward(np.arange(4)).tolist() == [False, True, False, True]
    genome = [
        (rows[r][0], rows[r][1] + f if rows[r][2] == "+" else rows[r][1] + 90 - f) for r, f in zip(row, first, strict=True)
    ]
    same = {}
    for place, at in zip(genome, low.tolist(), strict=True):
        assert same.setdefault(place, at) == at
    assert len(set(same.values())) == len(same)


@pytest.mark.parametrize("min_share", [0, 0.5, 1])
@pytest.mark.parametrize("seed", range(5))
def test_distinct_intervals_are_those_of_a_greedy_choice(seed, min_share):
    rng = np.random.default_rng(seed)
    first = rng.integers(0, 300, 60)
    last, rank = first + rng.integers(1, 30, 60), rng.permutation(60)
    kept = []
    for i in np.argsort(rank):
        shared = [min(last[i], last[j]) - max(first[i], first[j]) for j in kept]
        shorter = [min(last[i] - first[i], last[j] - first[j]) for j in kept]
        if not any(a > 0 and a >= min_share * b for a, b in zip(shared, shorter, strict=True)):
            kept.append(i)
    assert np.flatnonzero(distinct(first, last, rank, min_share)).tolist() == sorted(kept)
    assert distinct(*np.zeros((3, 0), int), min_share).tolist() == []


def test_peaks_are_extended_within_the_window_and_counted_once_on_the_genome():
    # g0 and g1 read the same hundred bases from opposite strands; g2 begins 50 later, g3 lies elsewhere.
    axis = axis_of([("chr1", 0, "+"), ("chr1", 0, "-"), ("chr1", 50, "+"), ("chr2", 0, "+")])
    rows = [
        ("g1", 40, 50, -3.0),  # [50, 60) of chr1
        ("g0", 2, 12, 1.0),
        ("g0", 48, 58, 2.0),  # mostly the first one's place, weaker
        ("g2", 6, 16, 1.0),  # [56, 66): less than half
        ("g3", 50, 60, 0.5),
        ("g0", 90, 99, 2.0),
    ]
    placed = place_peaks(table(rows), ["g0", "g1", "g2", "g3"], axis, 5)
    assert placed[["peak", "row", "start", "end"]].to_numpy().tolist() == [
        [1, 0, 0, 17], [2, 0, 43, 63], [5, 0, 85, 100], [0, 1, 35, 55], [3, 2, 1, 21], [4, 3, 45, 65]
    ]  # fmt: skip
    assert placed["counted"].tolist() == [True, False, True, True, True, True]
    assert placed["positive"].tolist() == [True, True, True, False, True, True]
    first, last = axis.place(placed["row"].to_numpy(), placed["start"].to_numpy(), placed["end"].to_numpy())
    assert (placed["first"] == first).all() and (placed["last"] == last).all()
    assert len(place_peaks(table([]), ["g0"], axis, 5)) == 0


@pytest.mark.parametrize("seed", range(4))
def test_free_bases_are_outside_the_peaks_of_all_genes(seed):
    rng = np.random.default_rng(seed)
    places = [(f"chr{rng.integers(2)}", int(rng.integers(0, 200)), "+-"[rng.integers(2)]) for _ in range(8)]
    axis, known = axis_of(places), rng.random((8, 100)) > 0.02
    start = rng.integers(0, 90, 20)
    rows = [(f"g{rng.integers(8)}", s, s + int(rng.integers(2, 10)), 1.0) for s in start]
    placed = place_peaks(table(rows), [f"g{i}" for i in range(8)], axis, 2).sort_values("first", kind="stable")
    covered = {}
    for peak in placed.itertuples():
        chrom, begin, strand = places[peak.row]
        for i in range(peak.start, peak.end):
            covered[chrom, begin + i if strand == "+" else begin + 99 - i] = True
    some = np.array([5, 0, 7, 2])
    free = unoccupied(known[some], some, axis, placed)
    for row, gene in enumerate(some):
        chrom, begin, strand = places[gene]
        for i in range(100):
            at = begin + i if strand == "+" else begin + 99 - i
            assert free[row, i] == (known[gene, i] and (chrom, at) not in covered)


def test_a_long_peak_that_begins_before_short_ones_is_not_forgotten():
    """A window that begins after the short peaks and within the long peak."""
    axis = axis_of([("chr1", 0, "+"), ("chr1", 60, "-")])
    rows = [("g0", 10, 95, 1.0), ("g0", 12, 16, 1.0), ("g0", 20, 24, 1.0)]
    placed = place_peaks(table(rows), ["g0", "g1"], axis, 0).sort_values("first", kind="stable")
    free = unoccupied(np.ones((1, 100), bool), np.array([1]), axis, placed)
    # [60, 95) of chr1 is the end of a window on the other strand.
    assert np.flatnonzero(~free[0]).tolist() == list(range(65, 100))


def drawn(free, rows, seed=0, genes=None):
    peaks = pd.DataFrame(rows, columns=["row", "start", "end"])
    names = np.array(genes or [f"g{i}" for i in range(len(free))], dtype=object)
    return draw_background(free, names, peaks, seed)


def test_background_has_the_length_of_its_peak_and_lies_in_free_bases_apart():
    free = np.ones((5, 600), bool)
    free[:, 300:340] = False
    rows = [(g, a, a + size) for g in range(5) for a, size in ((20, 18), (110, 25), (400, 35))]
    for row, start, end in rows:
        free[row, start:end] = False
    background = drawn(free, rows)
    assert len(background) == 3 * len(rows)
    assert sorted(background["end"] - background["start"]) == sorted(3 * [end - start for _, start, end in rows])
    used = (~free).astype(int)
    for row, start, end in background.to_numpy():
        used[row, start:end] += 1
    assert used.max() == 1


def test_background_lies_near_its_peak():
    free = np.ones((1, 20_000), bool)
    free[0, 9_000:9_020] = False
    background = drawn(free, [(0, 9_000, 9_020)])
    assert (background["start"] - 9_000).abs().max() <= peak_sites.NEAREST
    assert len(background) == 3


def test_a_crowded_window_gives_less_background_and_a_full_one_none():
    free = np.ones((1, 70), bool)
    free[0, 5:35] = False
    assert len(drawn(free[:, :60], [(0, 5, 35)])) == 0  # 25 bases left
    assert len(drawn(free, [(0, 5, 35)])) == 1
    assert len(drawn(np.zeros((1, 90), bool), [(0, 5, 35)])) == 0


def test_the_draw_depends_on_seed_and_gene_id_not_on_the_row():
    free = np.ones((3, 900), bool)
    first = drawn(free, [(1, 400, 420)], genes=["a", "b", "c"])
    moved = drawn(free, [(0, 400, 420)], genes=["b", "x", "y"])
    assert first["start"].tolist() == moved["start"].tolist()
    assert first["row"].tolist() == [1] * 3
    assert first["start"].tolist() != drawn(free, [(1, 400, 420)], seed=1, genes=["a", "b", "c"])["start"].tolist()


def test_sites_are_in_the_interval_that_they_share_most_with():
    rng = np.random.default_rng(2)
    first = rng.integers(0, 500, 300)
    last = first + rng.integers(4, 20, 300)
    begin = rng.integers(0, 480, 40)
    end, eligible = begin + rng.integers(4, 50, 40), rng.random(40) < 0.8
    interval, shared = sites_within(first, last, begin, end, eligible)
    for i in range(300):
        best = (0, 0)
        for j in np.flatnonzero(eligible):
            overlap = min(last[i], end[j]) - max(first[i], begin[j])
            if overlap > 0 and 2 * overlap >= min(last[i] - first[i], end[j] - begin[j]):
                best = max(best, (overlap, -j))
        assert shared[i] == best[0]
        assert interval[i] == (-best[1] if best[0] else -1)
    assert (interval >= 0).sum() > 100
    assert sites_within(first, last, begin[:0], end[:0], eligible[:0])[0].tolist() == [-1] * 300
