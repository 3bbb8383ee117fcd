"""Which motifs stand in peaks of attribution more often than beside them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, hypergeom

from cisnake.data.genome import N
from cisnake.data.motif_database import Motif
from cisnake.interpret.motif_clusters import MIN_SIMILARITY, cluster_motifs

ENRICHMENT_COLUMNS = (
    "motif_id", "motif_name", "cluster", "cluster_name", "n_peaks", "n_peaks_with_hit", "n_background", "n_background_with_hit",
    "odds_ratio", "p_value", "q_value", "mean_attribution", "n_hits", "rank", "n_positive", "n_negative",
)  # fmt: skip

PER_PEAK = 3
NEAREST = 200


@dataclass
class SiteCounts:
    """Additive counts of a scan: of blocks of genes they sum to those of the file.

    Attributes
    ----------
    n_peaks, n_background: int
        Peaks, and background windows drawn for them.
    positive, negative, background: numpy.ndarray, shape=(motifs,), dtype=int64
        Peaks of either sign, and background windows, with at least one hit of each motif.
    hits: numpy.ndarray, shape=(motifs,), dtype=int64
        Hits in peaks, each counted once.
    attribution: numpy.ndarray, shape=(motifs,), dtype=float64
        Sum of site_attr_score over them.
    """

    n_peaks: int
    n_background: int
    positive: np.ndarray
    negative: np.ndarray
    background: np.ndarray
    hits: np.ndarray
    attribution: np.ndarray

    @classmethod
    def none(cls, n_motifs: int) -> SiteCounts:
        """Return the counts of no gene."""
        positive, negative, background, hits = np.zeros((4, n_motifs), np.int64)
        return cls(0, 0, positive, negative, background, hits, np.zeros(n_motifs))

    def __add__(self, other: SiteCounts) -> SiteCounts:
        return SiteCounts(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))


def block_peaks(peaks: pd.DataFrame, genes: np.ndarray, flank: int, length: int) -> pd.DataFrame:
    """Return the peaks of some genes, extended.

    Parameters
    ----------
    peaks: pandas.DataFrame
        gene_id, window_start, window_end, attribution.
    genes: numpy.ndarray of str
    flank: int
        Bases added to both ends, within the window.
    length: int
        Bases of a window.

    Returns
    -------
    pandas.DataFrame
        peak (row in `peaks`), row (in `genes`), start, end (extended), positive; by row and start.
    """
    rows = pd.Series(np.arange(len(genes)), index=genes)
    inside = np.flatnonzero(peaks["gene_id"].isin(rows.index).to_numpy())
    here = peaks.iloc[inside]
    table = pd.DataFrame(
        {
            "peak": inside,
            "row": rows.reindex(here["gene_id"]).to_numpy(np.int64),
            "start": np.maximum(here["window_start"].to_numpy(np.int64) - flank, 0),
            "end": np.minimum(here["window_end"].to_numpy(np.int64) + flank, length),
            "positive": here["attribution"].to_numpy(float) > 0,
        }
    )
    return table.sort_values(["row", "start", "end", "peak"], kind="stable", ignore_index=True)


def draw_background(
    codes: np.ndarray, genes: np.ndarray, peaks: pd.DataFrame, seed: int, per_peak: int = PER_PEAK, nearest: int = NEAREST
) -> pd.DataFrame:
    """Draw windows to compare peaks with: the same gene, length and neighbourhood, but no attribution.

    Each peak gets up to `per_peak` windows as long as itself (flanks included), outside of all extended peaks of its gene,
    without N and not overlapping each other, drawn from the `nearest` placements that are free: so composition and distance to
    the TSS are about those of the peak. Where a window has no room it gets fewer. The draw of a gene depends on the seed
    and on the gene's id alone.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(genes, length), dtype=int8
    genes: numpy.ndarray of str
    peaks: pandas.DataFrame
        As of `block_peaks`.
    seed: int
    per_peak, nearest: int
        Defaults are 3 and 200.

    Returns
    -------
    pandas.DataFrame
        row, start, end; as many rows as windows drawn.
    """
    drawn: list[tuple[int, int, int]] = []
    starts, ends = peaks["start"].to_numpy(), peaks["end"].to_numpy()
    for row, members in peaks.groupby("row").indices.items():
        rng = np.random.default_rng([seed, zlib.crc32(str(genes[row]).encode())])
        taken = codes[row] == N
        for start, end in zip(starts[members], ends[members], strict=True):
            taken[start:end] = True
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


def count_sites(
    n_motifs: int,
    motif: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    attribution: np.ndarray,
    peaks: pd.DataFrame,
    background: pd.DataFrame,
    length: int,
) -> tuple[np.ndarray, SiteCounts]:
    """Assign hits to peaks, and count peaks and background windows with a hit of each motif.

    A hit is in an interval if they overlap by at least half of the shorter of both.

    Parameters
    ----------
    n_motifs: int
    motif, row, start, end: numpy.ndarray, shape=(hits,), dtype=int
        Hits: motif, gene and half-open interval in the window.
    attribution: numpy.ndarray, shape=(hits,), dtype=float
        site_attr_score.
    peaks, background: pandas.DataFrame
        As of `block_peaks` and `draw_background`.
    length: int
        Bases of a window.

    Returns
    -------
    peak: numpy.ndarray, shape=(hits,), dtype=int32
        Row of the table of peaks (its column `peak`), that of the greatest overlap, then the first; -1 for none.
    counts: SiteCounts
    """
    offset = row.astype(np.int64) * length
    first, last = offset + start, offset + end
    hit, interval, shared = _overlaps(first, last, peaks, length)
    positive = peaks["positive"].to_numpy(bool)
    with_hit = np.unique(np.column_stack([motif[hit], interval]), axis=0)
    up = positive[with_hit[:, 1]]
    order = np.lexsort((interval, -shared, hit))
    assigned, chosen = np.unique(hit[order], return_index=True)
    peak = np.full(len(motif), -1, np.int32)
    peak[assigned] = peaks["peak"].to_numpy()[interval[order][chosen]]
    beside, window, _ = _overlaps(first, last, background, length)
    of_background = np.unique(np.column_stack([motif[beside], window]), axis=0)[:, 0]
    return peak, SiteCounts(
        len(peaks),
        len(background),
        np.bincount(with_hit[up, 0], minlength=n_motifs),
        np.bincount(with_hit[~up, 0], minlength=n_motifs),
        np.bincount(of_background, minlength=n_motifs),
        np.bincount(motif[assigned], minlength=n_motifs),
        np.bincount(motif[assigned], weights=attribution[assigned], minlength=n_motifs),
    )


def enrichment_table(motifs: Sequence[Motif], counts: SiteCounts, min_similarity: float = MIN_SIMILARITY) -> pd.DataFrame:
    """Return how much more often each motif has a hit in a peak than in a background window.

    One-sided Fisher's exact test of (peaks, background windows) x (with, without a hit); q by Benjamini-Hochberg over motifs.
    The odds ratio has Haldane's correction, a half added to each of the four counts.

    Parameters
    ----------
    motifs: sequence of Motif
    counts: SiteCounts
    min_similarity: float
        Of `motif_clusters.cluster_motifs`.

    Returns
    -------
    pandas.DataFrame
        The columns of `ENRICHMENT_COLUMNS`, one row a motif, best first: by p, then |mean attribution|, then id. Clusters are
        numbered from 1 in the order of their best motif, which also names them. mean_attribution is empty where no
        hit is in a peak; n_positive and n_negative are peaks of either sign with a hit.
    """
    inside, outside = counts.positive + counts.negative, counts.background
    n, m = counts.n_peaks, counts.n_background
    p = np.minimum(hypergeom.sf(inside - 1, n + m, inside + outside, n), 1.0) if n + m else np.ones(len(motifs))
    # With many peaks, the p of several motifs is below the smallest float: their logarithms, slow to compute, break the tie.
    log_p, tiny = np.log(np.maximum(p, 1e-300)), p < 1e-300
    log_p[tiny] = hypergeom.logsf(inside[tiny] - 1, n + m, (inside + outside)[tiny], n)
    mean = np.divide(counts.attribution, counts.hits, out=np.full(len(motifs), np.nan), where=counts.hits > 0)
    table = pd.DataFrame(
        {
            "motif_id": [motif.id for motif in motifs],
            "motif_name": [motif.name for motif in motifs],
            "cluster": cluster_motifs(motifs, min_similarity),
            "n_peaks": n,
            "n_peaks_with_hit": inside,
            "n_background": m,
            "n_background_with_hit": outside,
            "odds_ratio": (inside + 0.5) * (m - outside + 0.5) / ((n - inside + 0.5) * (outside + 0.5)),
            "p_value": p,
            "q_value": false_discovery_control(p) if len(motifs) else p,
            "mean_attribution": mean,
            "n_hits": counts.hits,
            "n_positive": counts.positive,
            "n_negative": counts.negative,
        }
    )
    table["log_p"], table["size"] = log_p, table["mean_attribution"].abs().fillna(0)
    table = table.sort_values(["log_p", "size", "motif_id"], ascending=[True, False, True], ignore_index=True)
    table["rank"] = np.arange(1, len(table) + 1)
    best = table.drop_duplicates("cluster")
    table["cluster_name"] = table["cluster"].map(dict(zip(best["cluster"], best["motif_name"], strict=True)))
    table["cluster"] = table["cluster"].map({cluster: number for number, cluster in enumerate(best["cluster"], start=1)})
    return table[list(ENRICHMENT_COLUMNS)]


def rank_clusters(enrichment: pd.DataFrame) -> pd.DataFrame:
    """Return clusters of similar motifs, best first.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        As of `enrichment_table`.

    Returns
    -------
    pandas.DataFrame
        cluster, cluster_name, members (names by rank, joined by commas), n_members, p_value and q_value (of the best member),
        odds_ratio (of it), mean_attribution (over the hits of all members), rank.
    """
    ordered = enrichment.sort_values("rank")
    weighted = ordered.assign(total=(ordered["mean_attribution"] * ordered["n_hits"]).fillna(0))
    groups = weighted.groupby("cluster", sort=True)
    clusters = groups.agg(
        cluster_name=("cluster_name", "first"),
        members=("motif_name", ", ".join),
        n_members=("motif_name", "size"),
        p_value=("p_value", "first"),
        q_value=("q_value", "first"),
        odds_ratio=("odds_ratio", "first"),
        total=("total", "sum"),
        n_hits=("n_hits", "sum"),
    ).reset_index()
    clusters["mean_attribution"] = (clusters["total"] / clusters["n_hits"]).where(clusters["n_hits"] > 0)
    return clusters.assign(rank=np.arange(1, len(clusters) + 1)).drop(columns=["total", "n_hits"])


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


def _overlaps(
    first: np.ndarray, last: np.ndarray, intervals: pd.DataFrame, length: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return pairs (hit, interval) that overlap by at least half of the shorter, and by how many bases."""
    begin = intervals["row"].to_numpy(np.int64) * length + intervals["start"].to_numpy(np.int64)
    end = begin + (intervals["end"] - intervals["start"]).to_numpy(np.int64)
    order = np.argsort(begin, kind="stable")
    ordered = begin[order]
    longest = int((end - begin).max(initial=0))
    # Every interval that may reach a hit begins less than the longest one before it; the test of overlap follows.
    low = np.searchsorted(ordered, first - longest, side="right")
    high = np.searchsorted(ordered, last, side="left")
    number = np.maximum(high - low, 0)
    hit = np.repeat(np.arange(len(first)), number)
    within = np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    interval = order[np.repeat(low, number) + within]
    shared = np.minimum(last[hit], end[interval]) - np.maximum(first[hit], begin[interval])
    shorter = np.minimum(last[hit] - first[hit], end[interval] - begin[interval])
    good = (shared > 0) & (2 * shared >= shorter)
    return hit[good], interval[good], shared[good]
