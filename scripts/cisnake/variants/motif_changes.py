"""Find the motifs whose match is changed by a variant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.genome import N, decode, reverse_complement
from cisnake.interpret.motifs import STEP, motif_scores

# Lower than any sum of log odds: a site with an N never matches.
_NO_MATCH = -(1 << 40)
_KINDS = np.array(["lost", "gained", "weakened", "strengthened"], dtype=object)


@dataclass(frozen=True, eq=False)
class AlleleWindow:
    """A window with one allele, shape=(length,), dtype=int8, in the direction of the gene; the allele is at [first, last).

    `first` equals `last` if the allele has no bases.
    """

    codes: np.ndarray
    first: int
    last: int


@dataclass(frozen=True, eq=False)
class _BestSites:
    """The best site of a motif in each of several sequences: its score in steps, its start, and +1 or -1."""

    total: np.ndarray
    start: np.ndarray
    orientation: np.ndarray


def changed_motifs(
    references: Sequence[AlleleWindow],
    alternatives: Sequence[AlleleWindow],
    motifs: Sequence[Motif],
    backgrounds: np.ndarray,
    p_threshold: float,
) -> pd.DataFrame:
    """Compare the best site of each motif at the reference allele with the best one at the alternative allele.

    Compared are all sites that contain a base of the allele or, where it has none, the bases on both of its sides. All other
    sites are the same in both windows. Scores and p-values are those of the scan (see `log_odds.motif_scores`).

    Parameters
    ----------
    references, alternatives: sequence of AlleleWindow, n entries
    motifs: sequence of Motif
    backgrounds: numpy.ndarray, shape=(n, 4), dtype=float64
        Base frequencies for each pair of windows.
    p_threshold: float
        Greatest p-value of a match. Of motifs that cannot reach it, the best words match.

    Returns
    -------
    pandas.DataFrame
        One row per change, ordered by variant, then by the p-value of the better site:

        - variant: index of the pair of windows; motif_id, motif_name;
        - change: `lost` or `gained` if only one allele has a match; `weakened` or `strengthened` if both have one, of different
          scores;
        - ref_score, alt_score, score_difference (ALT - REF) and threshold of a match, in bits; ref_p_value, alt_p_value. NaN
          for an allele that is next to N or the end of the window on all sites;
        - allele: `ref` or `alt`, the one with the better site; window_start, window_end: the better site in this window,
          half-open; orientation: "+" or "-" relative to the window; matched_seq: its bases, in the orientation of the motif.
    """
    n, parts = len(references), []
    widest = max((len(motif) for motif in motifs), default=1)
    windows = [*references, *alternatives]
    sequences, sizes = _around(windows, widest)
    classes, of_variant = np.unique(np.reshape(backgrounds, (n, 4)), axis=0, return_inverse=True)
    for number, background in enumerate(classes):
        chosen = np.flatnonzero(of_variant.ravel() == number)
        rows = np.concatenate([chosen, n + chosen])
        for index, motif in enumerate(motifs):
            scores = motif_scores(motif, background)
            cut = scores.cut(p_threshold)
            best = _best_sites(sequences[rows], sizes[rows], scores.steps, widest)
            ref, alt = best.total.reshape(2, -1)
            at = np.flatnonzero(((ref >= cut) | (alt >= cut)) & (ref != alt))
            ref, alt = ref[at], alt[at]
            kind = np.where(alt < cut, 0, np.where(ref < cut, 1, np.where(alt < ref, 2, 3)))
            better = np.where(alt > ref, len(chosen) + at, at)
            shift = np.array([windows[row].first - widest for row in rows[better]], np.int64)
            known = [np.where(total > _NO_MATCH // 2, total * STEP, np.nan) for total in (ref, alt)]
            p_values = [scores.p_values(total) for total in (ref, alt)]
            start = best.start[better] + shift
            parts.append(
                pd.DataFrame(
                    {
                        "variant": chosen[at], "motif": index, "change": _KINDS[kind],
                        "ref_score": known[0], "alt_score": known[1], "score_difference": known[1] - known[0],
                        "threshold": cut * STEP, "ref_p_value": p_values[0], "alt_p_value": p_values[1],
                        "allele": np.where(alt > ref, "alt", "ref"), "window_start": start, "window_end": start + len(motif),
                        "orientation": np.where(best.orientation[better] > 0, "+", "-"), "row": rows[better],
                    }
                )
            )  # fmt: skip
    table = pd.concat([part for part in parts if len(part)] or parts[:1] or [pd.DataFrame(columns=_COLUMNS)])
    return _described(table, windows, motifs)


_COLUMNS = [
    "variant", "motif", "change", "ref_score", "alt_score", "score_difference", "threshold", "ref_p_value", "alt_p_value",
    "allele", "window_start", "window_end", "orientation", "row",
]  # fmt: skip


def _described(table: pd.DataFrame, windows: Sequence[AlleleWindow], motifs: Sequence[Motif]) -> pd.DataFrame:
    """Sort the changes, and add the names of motifs and the bases of sites."""
    table = table.assign(p=np.fmin(table["ref_p_value"].astype(float), table["alt_p_value"].astype(float)))
    table = table.sort_values(["variant", "p", "motif"], kind="stable", ignore_index=True)
    site = zip(*(table[name] for name in ("row", "window_start", "window_end", "orientation")), strict=True)
    bases = [(windows[row].codes[start:end], strand) for row, start, end, strand in site]
    table["matched_seq"] = [decode(codes if strand == "+" else reverse_complement(codes)) for codes, strand in bases]
    for place, name in ((1, "id"), (2, "name")):
        table.insert(place, f"motif_{name}", np.array([getattr(motifs[index], name) for index in table["motif"]], dtype=object))
    return table.drop(columns=["motif", "row", "p"])


def _around(windows: Sequence[AlleleWindow], widest: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each allele with `widest` bases on either side, padded with N, and the numbers of bases of the alleles."""
    sizes = np.array([window.last - window.first for window in windows], np.int64)
    sequences = np.full((len(windows), int(sizes.max(initial=0)) + 2 * widest), N, np.int8)
    for sequence, window in zip(sequences, windows, strict=True):
        start, end = window.first - widest, window.last + widest
        low, high = max(start, 0), min(end, len(window.codes))
        sequence[low - start : high - start] = window.codes[low:high]
    return sequences, sizes


def _best_sites(sequences: np.ndarray, sizes: np.ndarray, steps: np.ndarray, widest: int) -> _BestSites:
    """Return the best site that touches the allele, in either orientation; of equal ones the first, in orientation +.

    Parameters
    ----------
    sequences: numpy.ndarray, shape=(n, length), dtype=int8
        The allele begins at `widest`.
    sizes: numpy.ndarray, shape=(n,), dtype=int64
        Bases of the allele.
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
    """
    width = len(steps)
    first = widest - width + 1
    words = np.lib.stride_tricks.sliding_window_view(sequences, width, axis=1)[:, first:]
    # The last site that touches the allele begins with its last base, or with the base before it if it has none.
    touching = np.arange(words.shape[1]) < sizes[:, None] + width - 1
    totals = []
    for oriented in (steps, steps[::-1, ::-1]):
        extended = np.column_stack([oriented, np.full(width, _NO_MATCH)])
        totals.append(np.where(touching, extended[np.arange(width), words].sum(axis=2), width * _NO_MATCH))
    both = np.stack(totals, axis=2).reshape(len(sequences), -1)
    at = both.argmax(axis=1)
    return _BestSites(both[np.arange(len(both)), at], first + at // 2, np.where(at % 2, -1, 1))
