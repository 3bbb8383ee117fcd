"""Genomic loci of peaks: resolve overlaps, draw background windows, and assign sites to intervals."""

from __future__ import annotations

import zlib

import numpy as np
import pandas as pd

from cisnake.data.genome import to_genome, to_window

PER_PEAK = 3
NEAREST = 200
MIN_SHARE = 0.5
"""Minimum overlap, as a share of the shorter interval, to count two intervals as one locus or a site as within an interval."""


class Axis:
    """A linear axis over the genome, on which intervals of different chromosomes never overlap.

    Parameters
    ----------
    windows: pandas.DataFrame
        chrom, start, end, strand; one row per gene.

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
        """Map intervals [first, last) in the windows of genes to half-open intervals on the axis."""
        start = self._start[row]
        return to_genome(start, start + self.length, self._strand[row], first, last)

    def within(self, row: int, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Map intervals on the axis to the window of a gene, clipped to the window; the inverse of `place`."""
        start = self._start[row]
        begin, end = to_window(start, start + self.length, self._strand[row], first, last)
        return np.clip(begin, 0, self.length), np.clip(end, 0, self.length)

    def forward(self, row: np.ndarray) -> np.ndarray:
        """Return whether the windows of genes are on the forward strand."""
        return self._strand[row] == "+"


def place_peaks(peaks: pd.DataFrame, genes: list[str], axis: Axis, flank: int) -> pd.DataFrame:
    """Extend peaks and map them to the genome.

    Parameters
    ----------
    peaks: pandas.DataFrame
        gene_id, window_start, window_end, attribution.
    genes: list of str
        Gene ids in the order of the windows of `axis`; must include the gene of every peak.
    axis: Axis
    flank: int
        Bases added to both ends, within the window.

    Returns
    -------
    pandas.DataFrame
        peak (row in `peaks`), row (in `genes`), start, end (in the window, extended), first, last (on `axis`), positive, and
        counted: whether no stronger peak, of any gene, is at the same locus. Sorted by row and start.
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
    """Select intervals greedily, best first, removing those that overlap a better selected interval.

    Parameters
    ----------
    first, last: numpy.ndarray, shape=(n,), dtype=int
        Half-open intervals.
    rank: numpy.ndarray, shape=(n,), dtype=int
        A permutation of 0 ... n - 1; 0 is the best.
    min_share: float
        Minimum overlap as a share of the shorter interval; with 0, one shared base is enough.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool
        Whether each interval is kept.

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
        # Keep intervals that no remaining interval beats, then remove the intervals they overlap.
        beaten = np.zeros(len(first), bool)
        beaten[worse] = True
        kept[better[~beaten[better]]] = True
        removed[worse[kept[better]]] = True
        open_ = ~removed[worse] & ~removed[better]
        worse, better = worse[open_], better[open_]
    return ~removed


def unoccupied(known: np.ndarray, rows: np.ndarray, axis: Axis, peaks: pd.DataFrame) -> np.ndarray:
    """Return a mask of window positions that have a known base and are outside the peaks of all genes.

    Parameters
    ----------
    known: numpy.ndarray, shape=(n, length), dtype=bool
        Window positions other than N.
    rows: numpy.ndarray, shape=(n,), dtype=int
        Gene of each window, as a row of `axis`.
    axis: Axis
    peaks: pandas.DataFrame
        first and last from `place_peaks`, sorted by first.

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
    """Draw background windows near peaks: same gene and length, but outside all peaks.

    Each peak gets up to `per_peak` non-overlapping windows of its own length (including flanks), which contain free bases only.
    They are drawn from the `nearest` possible positions, so that base composition and distance to the TSS are similar to those
    of the peak. If there is not enough space, a peak gets fewer windows. Draws for a gene depend only on the seed and gene id.

    Parameters
    ----------
    free: numpy.ndarray, shape=(genes, length), dtype=bool
        Mask from `unoccupied`.
    genes: numpy.ndarray of str
        Gene ids, one per row of `free`.
    peaks: pandas.DataFrame
        row (of `free`), start, end.
    seed: int
    per_peak, nearest: int
        Windows per peak, and number of nearest positions to draw from. Defaults are 3 and 200.

    Returns
    -------
    pandas.DataFrame
        row, start, end; one row per drawn window.

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
    """Assign each site to the interval with the greatest overlap (ties: the first interval).

    A site is in an interval if they overlap by at least half of the shorter of the two.

    Parameters
    ----------
    first, last: numpy.ndarray, shape=(sites,), dtype=int
        Half-open sites.
    begin, end: numpy.ndarray, shape=(intervals,), dtype=int
        Half-open intervals.
    eligible: numpy.ndarray, shape=(intervals,), dtype=bool
        Intervals to consider.

    Returns
    -------
    interval: numpy.ndarray, shape=(sites,), dtype=int64
        Index of the interval; -1 if there is none.
    shared: numpy.ndarray, shape=(sites,), dtype=int64
        Bases of overlap.

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
    # An interval that overlaps a site starts at most the longest interval length before it; overlap is tested below.
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
    """Return the `nearest` start positions of `size` free bases, sorted by distance from `start`."""
    # Search nearby first. Only crowded windows need a search of the whole window, which is slow.
    for reach in (2 * nearest, len(taken)):
        low, high = max(start - reach, 0), min(start + reach + size, len(taken))
        before = np.concatenate([[0], np.cumsum(taken[low:high])])
        free = low + np.flatnonzero(before[size:] == before[:-size])
        if len(free) >= nearest:
            break
    return free[np.argsort(np.abs(free - start), kind="stable")[:nearest]]
