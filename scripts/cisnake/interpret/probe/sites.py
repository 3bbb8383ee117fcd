"""Choose sites to test in silico, control positions and replacement sequences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.genome import N
from cisnake.errors import unknown_name
from cisnake.files import read_chunks
from cisnake.interpret.nulls import markov_bases

# Redraw replacements that recreate the motif, at most this many times; keep the last draw.
_REDRAWS = 20
# Lower than any sum of log odds, so that a site with an N never matches.
_NO_MATCH = -(1 << 40)


def choose_motifs(enrichment: pd.DataFrame, motifs: Sequence[Motif], top: int) -> list[Motif]:
    """Return the representative of each of the `top` best clusters.

    Parameters
    ----------
    enrichment: pandas.DataFrame
        Columns motif_id, representative and rank of enrichment.tsv. Clusters are ranked by their best motif in this contrast.
    motifs: sequence of Motif
        The motifs used in the scan.
    top: int
        Maximum number of motifs.

    Raises
    ------
    InputError
        A motif of the table is not among the motifs.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.data import Motif
    >>> from cisnake.interpret.probe.sites import choose_motifs
    >>> motifs = [Motif(name, name, np.full((6, 4), 0.25), 20) for name in ("M1", "M2", "M3")]
    >>> enrichment = pd.DataFrame({"motif_id": ["M1", "M2", "M3"], "rank": [2, 3, 1], "representative": ["M1", "M2", "M1"]})
    >>> [motif.id for motif in choose_motifs(enrichment, motifs, top=2)]
    ['M1', 'M2']
    """
    ordered = enrichment.assign(rank=pd.to_numeric(enrichment["rank"])).sort_values("rank", kind="stable")
    known = {motif.id: motif for motif in motifs}
    chosen = ordered["representative"].drop_duplicates().head(top)
    for name in chosen:
        if name not in known:
            raise unknown_name("motif", name, known)
    return [known[name] for name in chosen]


def read_peak_hits(path: str | Path, motif_ids: Sequence[str], genes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the hits of selected motifs in peaks, and the positions of the hits of all motifs, from hits.tsv in chunks.

    Parameters
    ----------
    path: str or Path
    motif_ids: sequence of str
    genes: sequence of str
        Hits in the windows of other genes are left out.

    Returns
    -------
    hits: pandas.DataFrame
        motif_id, gene_id, region, chrom, strand, orientation (text), start, end, window_start, window_end, from_tss (int64),
        p_value (float64).
    places: pandas.DataFrame
        row (of `genes`), start, end in the window; int64.
    """
    text = ["motif_id", "gene_id", "region", "chrom", "strand", "orientation"]
    whole = ["start", "end", "window_start", "window_end", "from_tss"]
    types = dict.fromkeys(text, str) | dict.fromkeys(whole, np.int64) | {"p_value": float}
    rows = pd.Index(genes)
    hits, places = [], []
    for chunk in read_chunks(path, types):
        chunk = chunk[(chunk["region"] == "peak") & chunk["gene_id"].isin(rows)]
        hits.append(chunk[chunk["motif_id"].isin(motif_ids)])
        intervals = chunk[["window_start", "window_end"]].set_axis(["start", "end"], axis=1)
        intervals.insert(0, "row", rows.get_indexer(chunk["gene_id"]).astype(np.int64))
        places.append(intervals.drop_duplicates())
    return pd.concat(hits, ignore_index=True), pd.concat(places, ignore_index=True)


def choose_sites(hits: pd.DataFrame, number: int, rng: np.random.Generator) -> pd.DataFrame:
    """Choose the sites of one motif with the smallest p-values, breaking ties at random.

    The p-value of a match does not depend on the model. Choosing sites by attribution instead would bias the test towards an
    effect. If even the best matches have no effect, the motif has none. Ties are broken at random because many sites share a
    p-value, and the first in gene order would all be on one chromosome.

    Parameters
    ----------
    hits: pandas.DataFrame
        Columns row, window_start, window_end, orientation and p_value, in any order. A position that matches on both strands is
        one site, in the orientation of the better match.
    number: int
        Maximum number of sites.
    rng: numpy.random.Generator

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.interpret.probe.sites import choose_sites
    >>> hits = pd.DataFrame({"row": [0, 0, 1], "window_start": [5, 5, 9], "window_end": [13, 13, 17]})
    >>> hits = hits.assign(orientation=["+", "-", "+"], p_value=[1e-5, 1e-6, 1e-4])
    >>> choose_sites(hits, 2, np.random.default_rng(0))[["row", "orientation"]].to_numpy().tolist()
    [[0, '-'], [1, '+']]
    """
    ordered = hits.sort_values(["p_value", "row", "window_start", "orientation"], kind="stable")
    ordered = ordered.drop_duplicates(["row", "window_start", "window_end"])
    order = np.lexsort((rng.random(len(ordered)), ordered["p_value"].to_numpy()))
    return ordered.iloc[order[:number]].reset_index(drop=True)


def control_starts(window: np.ndarray, taken: np.ndarray, width: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw random control positions in a window.

    Parameters
    ----------
    window: numpy.ndarray, shape=(length,), dtype=int8
        Base codes; controls never contain N.
    taken: numpy.ndarray, shape=(length,), dtype=bool
        Bases that controls must avoid: those of peaks and hits.
    width: int
        Bases per control.
    number: int
        Number of controls to draw; fewer if there is not enough space. Controls are distinct but may overlap.
    rng: numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(at most number,), dtype=int64
        Start positions.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.probe.sites import control_starts
    >>> window = encode("ACGTNACGTACG")
    >>> sorted(control_starts(window, np.arange(12) < 2, width=4, number=9, rng=np.random.default_rng(0)).tolist())
    [5, 6, 7, 8]
    """
    before = np.concatenate([[0], np.cumsum(taken | (window == N))])
    free = np.flatnonzero(before[width:] == before[:-width]) if width <= len(window) else np.empty(0, np.int64)
    return rng.choice(free, min(number, len(free)), replace=False)


def replacements(
    window: np.ndarray, start: int, draws: int, steps: np.ndarray, cut: int, rng: np.random.Generator
) -> np.ndarray:
    """Draw replacement bases for a site that follow the dinucleotide frequencies of the window and do not match the motif.

    Bases are drawn with `nulls.markov_bases`. A draw is repeated, at most `_REDRAWS` times, if it matches the motif on either
    strand, alone or together with adjacent bases.

    Parameters
    ----------
    window: numpy.ndarray, shape=(length,), dtype=int8
    start: int
        Start of the site, which has the width of the motif.
    draws: int
        Number of replacements.
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        Scores of the motif; see `log_odds.MotifScores`.
    cut: int
        Score threshold of a match, in steps.
    rng: numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(draws, width), dtype=int8

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import decode, encode
    >>> from cisnake.interpret.probe.sites import replacements
    >>> steps, window = np.eye(4, dtype=np.int64)[encode("GATA")], encode("CCACGATACCAACCA")
    >>> drawn = replacements(window, start=4, draws=3, steps=steps, cut=3, rng=np.random.default_rng(0))
    >>> [decode(bases) for bases in drawn]
    ['CACT', 'AAGG', 'AACC']
    """
    width = len(steps)
    # Any match that overlaps the site is within these bounds.
    low, high = max(0, start - width + 1), min(len(window), start + 2 * width - 1)
    scores = np.column_stack([steps, np.full(width, _NO_MATCH)])
    reverse = np.column_stack([steps[::-1, ::-1], np.full(width, _NO_MATCH)])
    drawn = np.empty((draws, width), np.int8)
    again = np.arange(draws)
    for _ in range(1 + _REDRAWS):
        drawn[again] = markov_bases(window, start, width, len(again), rng)
        around = np.tile(window[low:high], (len(again), 1))
        around[:, start - low : start - low + width] = drawn[again]
        words = np.lib.stride_tricks.sliding_window_view(around, width, axis=1)
        best = np.maximum(
            *(strand_scores[np.arange(width), words].sum(axis=2).max(axis=1) for strand_scores in (scores, reverse))
        )
        again = again[best >= cut]
        if not len(again):
            break
    return drawn


def peak_places(peaks: pd.DataFrame, genes: Sequence[str]) -> pd.DataFrame:
    """Return the positions of peaks in the windows of `genes`: row, start, end; int64. Peaks of other genes are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret.probe import peak_places
    >>> peaks = pd.DataFrame({"gene_id": ["g2", "g9"], "window_start": [4, 7], "window_end": [12, 15]})
    >>> peak_places(peaks, ["g1", "g2"]).to_numpy().tolist()
    [[1, 4, 12]]
    """
    rows = pd.Index(genes).get_indexer(peaks["gene_id"])
    table = pd.DataFrame({"row": rows, "start": peaks["window_start"], "end": peaks["window_end"]}, dtype=np.int64)
    return table[rows >= 0].reset_index(drop=True)
