"""Places of peaks on the genome: overlapping peaks, background windows beside them, and the sites in them."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from cisnake.data.genome import to_genome, to_window

PER_PEAK = 3
NEAREST = 200
MIN_SHARE = 0.5
"""Least share of the shorter of two intervals that lies in both, for them to be one place, or one in the other."""


class Axis:
    """The genome as one line: windows become intervals of integers, apart for different chromosomes.

    Parameters
    ----------
    windows: pandas.DataFrame
        chrom, start, end, strand; one row a gene.

    Examples
    --------
    Two windows of ten bases; the second is on the minus strand and overlaps the first by half:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.interpret.motifs.places import Axis
    >>> axis = Axis(pd.DataFrame({"chrom": "chr1", "start": [100, 105], "end": [110, 115], "strand": ["+", "-"]}))
    >>> first, last = axis.place(np.array([0, 1]), np.array([6, 6]), np.array([9, 9]))
    >>> first.tolist(), last.tolist()
    ([106, 106], [109, 109])
    """

    def __init__(self, windows: pd.DataFrame) -> None:
        chrom = np.unique(windows["chrom"].to_numpy(str), return_inverse=True)[1]
        start, end = (windows[name].to_numpy(np.int64) for name in ("start", "end"))
        lowest = start.min(initial=0)
        self.length = int((end - start).max(initial=0))
        self._start = start - lowest + chrom * (end.max(initial=0) - lowest + 1)
        self._strand = windows["strand"].to_numpy(str)

    def place(self, row: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the half-open intervals of the line that stand for [first, last) of the windows of some genes."""
        start = self._start[row]
        return to_genome(start, start + self.length, self._strand[row], first, last)

    def within(self, row: int, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the parts of a gene's window that stand for intervals of the line; the inverse of `place`."""
        start = self._start[row]
        begin, end = to_window(start, start + self.length, self._strand[row], first, last)
        return np.clip(begin, 0, self.length), np.clip(end, 0, self.length)

    def forward(self, row: np.ndarray) -> np.ndarray:
        """Return whether the windows of some genes run along the line."""
        return self._strand[row] == "+"


def place_peaks(peaks: pd.DataFrame, genes: list[str], axis: Axis, flank: int) -> pd.DataFrame:
    """Return peaks, extended, with their places on the genome.

    Parameters
    ----------
    peaks: pandas.DataFrame
        gene_id, window_start, window_end, attribution.
    genes: list of str
        Ids, in the order of the windows of `axis`; every peak's is among them.
    axis: Axis
    flank: int
        Bases added to both ends, within the window.

    Returns
    -------
    pandas.DataFrame
        peak (row in `peaks`), row (in `genes`), start, end (in the window, extended), first, last (on `axis`), positive;
        and counted: whether no stronger peak, of whatever gene, is the same place. By row and start.
    """
    row = pd.Series(np.arange(len(genes)), index=genes).reindex(peaks["gene_id"]).to_numpy(np.int64)
    start, end = (peaks[name].to_numpy(np.int64) for name in ("window_start", "window_end"))
    attribution = peaks["attribution"].to_numpy(float)
    rank = np.argsort(np.argsort(-np.abs(attribution), kind="stable"))
    table = pd.DataFrame({"peak": np.arange(len(peaks)), "row": row})
    table["start"], table["end"] = np.maximum(start - flank, 0), np.minimum(end + flank, axis.length)
    table["first"], table["last"] = axis.place(row, table["start"].to_numpy(), table["end"].to_numpy())
    table["positive"], table["counted"] = attribution > 0, distinct(*axis.place(row, start, end), rank, MIN_SHARE)
    return table.sort_values(["row", "start", "end", "peak"], kind="stable", ignore_index=True)


def distinct(first: np.ndarray, last: np.ndarray, rank: np.ndarray, min_share: float) -> np.ndarray:
    """Return which intervals remain when each, best first, removes those that it shares enough with.

    Parameters
    ----------
    first, last: numpy.ndarray, shape=(n,), dtype=int
        Half-open.
    rank: numpy.ndarray, shape=(n,), dtype=int
        A permutation of 0 ... n - 1; the least is the best.
    min_share: float
        Least share of the shorter of two intervals that lies in both; with 0, any base.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.places import distinct
    >>> first, last, rank = np.array([0, 4, 30]), np.array([10, 14, 40]), np.array([1, 0, 2])
    >>> distinct(first, last, rank, min_share=0.5).tolist()
    [False, True, True]
    """
    order = np.argsort(first, kind="stable")
    ordered = first[order]
    number = np.searchsorted(ordered, last[order], side="left") - np.arange(len(order)) - 1
    first_of_pair, second_of_pair = _pairs(np.maximum(number, 0), np.arange(1, len(order) + 1))
    first_of_pair, second_of_pair = order[first_of_pair], order[second_of_pair]
    shared = np.minimum(last[first_of_pair], last[second_of_pair]) - np.maximum(first[first_of_pair], first[second_of_pair])
    same = (shared > 0) & (
        shared
        >= min_share * np.minimum(last[first_of_pair] - first[first_of_pair], last[second_of_pair] - first[second_of_pair])
    )
    first_of_pair, second_of_pair = first_of_pair[same], second_of_pair[same]
    worse = np.where(rank[first_of_pair] > rank[second_of_pair], first_of_pair, second_of_pair)
    better = first_of_pair + second_of_pair - worse
    removed, kept = np.zeros(len(first), bool), np.zeros(len(first), bool)
    while len(worse):
        # What no interval that is still there is better than, stays; then what it removes goes.
        beaten = np.zeros(len(first), bool)
        beaten[worse] = True
        kept[better[~beaten[better]]] = True
        removed[worse[kept[better]]] = True
        open_ = ~removed[worse] & ~removed[better]
        worse, better = worse[open_], better[open_]
    return ~removed


def unoccupied(known: np.ndarray, rows: np.ndarray, axis: Axis, peaks: pd.DataFrame) -> np.ndarray:
    """Return where windows are free of peaks of any gene, and known.

    Parameters
    ----------
    known: numpy.ndarray, shape=(n, length), dtype=bool
        Where windows have no N.
    rows: numpy.ndarray, shape=(n,), dtype=int
        Their genes.
    axis: Axis
    peaks: pandas.DataFrame
        first, last: of `place_peaks`, by first.

    Returns
    -------
    numpy.ndarray, shape=(n, length), dtype=bool
    """
    free = known.copy()
    first, last = peaks["first"].to_numpy(), peaks["last"].to_numpy()
    ends = np.maximum.accumulate(last)
    low, high = axis.place(rows, np.zeros(len(rows), np.int64), np.full(len(rows), axis.length))
    begin, stop = np.searchsorted(ends, low, side="right"), np.searchsorted(first, high, side="left")
    for window, row, a, b in zip(free, rows, begin, stop, strict=True):
        for start, end in zip(*(edge.tolist() for edge in axis.within(row, first[a:b], last[a:b])), strict=True):
            window[start:end] = False
    return free


def draw_background(
    free: np.ndarray, genes: np.ndarray, peaks: pd.DataFrame, seed: int, per_peak: int = PER_PEAK, nearest: int = NEAREST
) -> pd.DataFrame:
    """Draw windows to compare peaks with: the same gene, length and neighbourhood, but no attribution.

    Each peak gets up to `per_peak` windows as long as itself (flanks included), of free bases and not overlapping each other,
    drawn from the `nearest` placements that there are: so composition and distance to the TSS are about those of the peak.
    Where a window has no room it gets fewer. The draw of a gene depends on the seed and on the gene's id alone.

    Parameters
    ----------
    free: numpy.ndarray, shape=(genes, length), dtype=bool
        As of `unoccupied`.
    genes: numpy.ndarray of str
    peaks: pandas.DataFrame
        row (of `free`), start, end.
    seed: int
    per_peak, nearest: int
        Defaults are 3 and 200.

    Returns
    -------
    pandas.DataFrame
        row, start, end; as many rows as windows drawn.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.interpret.motifs.places import draw_background
    >>> free = np.ones((1, 30), bool)
    >>> free[0, 12:18] = False
    >>> peaks = pd.DataFrame({"row": [0], "start": [12], "end": [18]})
    >>> draw_background(free, np.array(["g1"]), peaks, seed=0, per_peak=2).to_numpy().tolist()
    [[0, 4, 10], [0, 18, 24]]
    """
    drawn: list[tuple[int, int, int]] = []
    starts, ends = peaks["start"].to_numpy(), peaks["end"].to_numpy()
    for row, members in peaks.groupby("row").indices.items():
        rng = np.random.default_rng([seed, zlib.crc32(str(genes[row]).encode())])
        taken = ~free[row]
        for start, end in zip(starts[members].tolist(), ends[members].tolist(), strict=True):
            size = end - start
            near = _nearest_free(taken, start, size, nearest)
            got = 0
            for place in rng.permutation(near).tolist():
                if not taken[place : place + size].any():
                    taken[place : place + size] = True
                    drawn.append((row, place, place + size))
                    got += 1
                    if got == per_peak:
                        break
    return pd.DataFrame(drawn, columns=["row", "start", "end"], dtype=np.int64)


def sites_within(
    first: np.ndarray, last: np.ndarray, begin: np.ndarray, end: np.ndarray, eligible: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return which interval each site is in, if any: that of the greatest overlap, then the first.

    A site is in an interval if they overlap by at least half of the shorter of both.

    Parameters
    ----------
    first, last: numpy.ndarray, shape=(sites,), dtype=int
        Half-open.
    begin, end: numpy.ndarray, shape=(intervals,), dtype=int
        Half-open.
    eligible: numpy.ndarray, shape=(intervals,), dtype=bool
        Others are passed over.

    Returns
    -------
    interval: numpy.ndarray, shape=(sites,), dtype=int64
        -1 for none.
    shared: numpy.ndarray, shape=(sites,), dtype=int64
        Bases of the overlap.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.places import sites_within
    >>> first, last = np.array([0, 8, 50]), np.array([8, 16, 58])
    >>> interval, shared = sites_within(first, last, np.array([5, 11]), np.array([9, 30]), np.array([True, True]))
    >>> interval.tolist(), shared.tolist()
    ([0, 1, -1], [3, 5, 0])
    """
    number = np.flatnonzero(eligible)
    order = number[np.argsort(begin[number], kind="stable")]
    ordered = begin[order]
    longest = int((end - begin).max(initial=0))
    # Every interval that may reach a site begins less than the longest one before it; the test of overlap follows.
    low = np.searchsorted(ordered, first - longest, side="right")
    high = np.searchsorted(ordered, last, side="left")
    site, at = _pairs(np.maximum(high - low, 0), low)
    interval = order[at]
    shared = np.minimum(last[site], end[interval]) - np.maximum(first[site], begin[interval])
    shorter = np.minimum(last[site] - first[site], end[interval] - begin[interval])
    good = (shared > 0) & (shared >= MIN_SHARE * shorter)
    site, interval, shared = site[good], interval[good], shared[good]
    best = np.lexsort((interval, -shared, site))
    site, chosen = np.unique(site[best], return_index=True)
    interval_of_site, shared_with_site = np.full(len(first), -1, np.int64), np.zeros(len(first), np.int64)
    interval_of_site[site], shared_with_site[site] = interval[best][chosen], shared[best][chosen]
    return interval_of_site, shared_with_site


def _pairs(number: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (i, low[i] + k) for all i and all k < number[i]."""
    index = np.repeat(np.arange(len(number)), number)
    within = np.arange(len(index)) - np.repeat(np.cumsum(number) - number, number)
    return index, low[index] + within


def _nearest_free(taken: np.ndarray, start: int, size: int, nearest: int) -> np.ndarray:
    """Return the `nearest` placements of `size` free bases, by distance from `start`."""
    # Looked for nearby first: only crowded windows need the whole, which would take most of the time.
    for reach in (2 * nearest, len(taken)):
        low, high = max(start - reach, 0), min(start + reach + size, len(taken))
        before = np.concatenate([[0], np.cumsum(taken[low:high])])
        free = low + np.flatnonzero(before[size:] == before[:-size])
        if len(free) >= nearest:
            break
    return free[np.argsort(np.abs(free - start), kind="stable")[:nearest]]
