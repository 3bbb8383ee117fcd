"""Enrichment of motifs in attribution peaks relative to nearby background windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import hypergeom

from cisnake.data import Motif
from cisnake.interpret.q_values import bh_q_values

TEST_COLUMNS = (
    "motif_id", "motif_name", "n_peaks", "n_peaks_with_hit", "n_background", "n_background_with_hit",
    "odds_ratio", "p_value", "q_value", "mean_attribution", "n_hits", "rank", "n_positive", "n_negative",
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class SiteCounts:
    """Numbers of peaks and background windows with a site of each motif; every genomic locus is counted once.

    Attributes
    ----------
    n_peaks, n_background: int
        Number of peaks, and of background windows drawn for them.
    positive, negative, background: numpy.ndarray, shape=(motifs,), dtype=int64
        Number of positive peaks, negative peaks and background windows with at least one hit of each motif.
    hits: numpy.ndarray, shape=(motifs,), dtype=int64
        Number of hits in peaks.
    attribution: numpy.ndarray, shape=(motifs,), dtype=float64
        Sum of site_attr_score over these hits.
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
        """Return counts of zero, for a run without genes."""
        positive, negative, background, hits = np.zeros((4, n_motifs), np.int64)
        return cls(0, 0, positive, negative, background, hits, np.zeros(n_motifs))


def enrichment_tests(motifs: Sequence[Motif], counts: SiteCounts) -> pd.DataFrame:
    """Test each motif for enrichment of hits in peaks over background windows.

    The test is a one-sided Fisher's exact test on the table (peaks, background windows) x (with, without a hit). q-values are
    Benjamini-Hochberg over motifs. The odds ratio uses Haldane's correction: 0.5 is added to each of the four counts.

    Parameters
    ----------
    motifs: sequence of Motif
    counts: SiteCounts

    Returns
    -------
    pandas.DataFrame
        The columns of `TEST_COLUMNS`, one row per motif, best first: by p, then |mean attribution|, then id. mean_attribution
        is empty if no hit is in a peak. n_positive and n_negative count the positive and negative peaks with a hit.

    Examples
    --------
    40 of 100 peaks have a hit of M1, and 12 of 300 background windows:

    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.interpret.motifs import SiteCounts, enrichment_tests
    >>> motifs = [Motif(f"M{i}", f"m{i}", np.eye(4)[[i, 0, 1, 2, i]], 20) for i in (1, 2)]
    >>> positive, negative, background = np.array([35, 4]), np.array([5, 1]), np.array([12, 16])
    >>> counts = SiteCounts(100, 300, positive, negative, background, positive + negative, np.array([30.0, 1.0]))
    >>> table = enrichment_tests(motifs, counts)
    >>> table["motif_id"].tolist(), table["odds_ratio"].round(1).tolist(), (table["q_value"] < 0.05).tolist()
    (['M1', 'M2'], [15.5, 1.0], [True, False])
    """
    inside, outside = counts.positive + counts.negative, counts.background
    n, m = counts.n_peaks, counts.n_background
    log_p = log_p_values(n, m, inside, outside)
    p = np.exp(log_p)
    mean = np.divide(counts.attribution, counts.hits, out=np.full(len(motifs), np.nan), where=counts.hits > 0)
    table = pd.DataFrame(
        {
            "motif_id": [motif.id for motif in motifs],
            "motif_name": [motif.name for motif in motifs],
            "n_peaks": n,
            "n_peaks_with_hit": inside,
            "n_background": m,
            "n_background_with_hit": outside,
            "odds_ratio": (inside + 0.5) * (m - outside + 0.5) / ((n - inside + 0.5) * (outside + 0.5)),
            "p_value": p,
            "q_value": bh_q_values(p),
            "mean_attribution": mean,
            "n_hits": counts.hits,
            "n_positive": counts.positive,
            "n_negative": counts.negative,
        }
    )
    table = table.assign(log_p=log_p, size=table["mean_attribution"].abs().fillna(0))
    table = table.sort_values(["log_p", "size", "motif_id"], ascending=[True, False, True], ignore_index=True)
    return table.assign(rank=np.arange(1, len(table) + 1))[list(TEST_COLUMNS)]


def log_p_values(n_peaks: int, n_background: int, with_hit: np.ndarray, background_with_hit: np.ndarray) -> np.ndarray:
    """Return the natural logarithms of the p-values of `enrichment_tests`, which are finite where p-values underflow to 0.

    Parameters
    ----------
    n_peaks, n_background: int
        Number of peaks and of background windows.
    with_hit, background_with_hit: numpy.ndarray, shape=(motifs,), dtype=int64
        How many of them have a hit.

    Returns
    -------
    numpy.ndarray, shape=(motifs,), dtype=float64
    """
    total = n_peaks + n_background
    if not total:
        return np.zeros(len(with_hit))
    p = np.minimum(hypergeom.sf(with_hit - 1, total, with_hit + background_with_hit, n_peaks), 1.0)
    # Logarithms of p-values are slow to compute directly, and only needed where these underflow.
    log_p, tiny = np.log(np.maximum(p, 1e-300)), p < 1e-300
    log_p[tiny] = hypergeom.logsf(with_hit[tiny] - 1, total, (with_hit + background_with_hit)[tiny], n_peaks)
    return log_p


def rank_clusters(enrichment: pd.DataFrame) -> pd.DataFrame:
    """Return clusters of similar motifs, best first.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        Table from `enrichment_table`.

    Returns
    -------
    pandas.DataFrame
        cluster, cluster_name, members (names by rank, joined by commas), n_members, p_value, q_value and odds_ratio (of the
        best member), mean_attribution (over the hits of all members), rank.
    """
    ordered = enrichment.sort_values("rank")
    weighted = ordered.assign(total=(ordered["mean_attribution"] * ordered["n_hits"]).fillna(0))
    groups = weighted.groupby("cluster", sort=False)
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
