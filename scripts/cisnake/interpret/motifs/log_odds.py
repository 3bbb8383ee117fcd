"""Log-odds scores of motifs on a grid, with exact p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cisnake.data import Motif

# Grid spacing of scores, in bits. On a grid, the distribution can be computed exactly and ties are exact.
STEP = 0.005
# Share of background mixed into a motif. It limits the penalty of the worst base to 10 bits, however many sites were aligned.
PSEUDO_SHARE = 0.001
# Initial range below the best score, in steps, in which to search for the threshold; it grows as needed.
_REACH = 1024


@dataclass(frozen=True, eq=False)
class MotifScores:
    """Log-odds scores of a motif on a grid, and the exact distribution of their sum.

    Attributes
    ----------
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        round(log2(p / background) / STEP), where p includes `PSEUDO_SHARE` of the background.
    lowest: int
        The lowest computed sum, in steps; the lowest possible sum if no threshold was set.
    tail: numpy.ndarray, dtype=float64
        tail[i] is the probability, under the background, of a sum of at least lowest + i; up to the greatest sum.

    Examples
    --------
    One of the 256 words of four bases reaches the greatest sum, and 13 have at most one mismatch:

    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.interpret.motifs import STEP, motif_scores
    >>> motif = Motif("M1", "TATA", np.array([[0, 0, 0, 1], [1, 0, 0, 0]] * 2, float), 20)
    >>> scores = motif_scores(motif, np.full(4, 0.25))
    >>> round(float(scores.steps.max(axis=1).sum() * STEP), 2), float(scores.tail[-1])
    (8.0, 0.00390625)
    >>> float(scores.tail[scores.cut(0.06) - scores.lowest]) == 13 / 256
    True
    """

    steps: np.ndarray
    lowest: int
    tail: np.ndarray

    def cut(self, p_threshold: float) -> int:
        """Return the lowest sum, in steps, with a p-value of at most `p_threshold`; the greatest sum if there is none."""
        return self.lowest + min(int(np.count_nonzero(self.tail > p_threshold)), len(self.tail) - 1)

    def p_values(self, sums: np.ndarray) -> np.ndarray:
        """Return the p-values of sums, in steps; shape=(n,), dtype=float64. NaN for sums below `lowest`."""
        places = np.asarray(sums) - self.lowest
        return np.where(places >= 0, self.tail[np.maximum(places, 0)], np.nan)


def motif_scores(motif: Motif, background: np.ndarray, p_threshold: float = 1.0) -> MotifScores:
    """Return the scores of a motif and their distribution, by dynamic programming over its columns.

    The dynamic program tracks the distance of a word from the best word, and only as far as the threshold requires, which is a
    small part of all sums. The distribution is exact for the scores on the grid. These differ from the real log odds by at most
    STEP / 2 per column. The p-values of lightmotif are not used: its `log_odds(background)` ignores the background, and its
    tables give p = 0 for some greatest scores, and thresholds that exceed p for short motifs.

    Parameters
    ----------
    motif: Motif
    background: numpy.ndarray, shape=(4,), dtype=float64
        Base frequencies, positive, with A = T and C = G so that they apply to both strands.
    p_threshold: float
        Greatest p-value of interest; the tail is computed beyond it. Default is 1: all sums.
    """
    mixed = (1 - PSEUDO_SHARE) * motif.probabilities + PSEUDO_SHARE * background
    steps = np.rint(np.log2(mixed / background) / STEP).astype(np.int64)
    best = steps.max(axis=1, keepdims=True)
    below = best - steps
    furthest, reach = int(below.max(axis=1).sum()), _REACH if p_threshold < 1 else np.inf
    while True:
        reach = int(min(reach, furthest))
        # Sum from the top, where terms are smallest, for accuracy.
        tail = np.minimum(np.cumsum(_distribution(below, background, reach)), 1)
        if reach == furthest or tail[-1] > p_threshold:
            return MotifScores(steps, int(best.sum()) - reach, tail[::-1])
        reach *= 2


def _distribution(below: np.ndarray, background: np.ndarray, reach: int) -> np.ndarray:
    """Return the probability of each distance from the best sum, up to `reach`."""
    density = np.ones(1)
    for column in below:
        grown = np.zeros(min(len(density) + int(column.max()), reach + 1))
        for shift, frequency in zip(column.tolist(), background, strict=True):
            within = len(grown) - shift
            if within > 0:
                grown[shift : shift + len(density)] += frequency * density[:within]
        density = grown
    return density


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all motifs against several backgrounds.

    A level is a consecutive number for each sum at or above the threshold, over all backgrounds and motifs.

    Attributes
    ----------
    steps: list of list of numpy.ndarray
        By background and motif; see `MotifScores`.
    cuts: numpy.ndarray, shape=(backgrounds, motifs), dtype=int64
        Score threshold of a hit, in steps.
    first_level: numpy.ndarray, shape=(backgrounds, motifs), dtype=int64
        Level of the threshold; the next greater sum has the next level.
    p: numpy.ndarray, shape=(levels,), dtype=float64
        p-value of each level.
    """

    steps: list[list[np.ndarray]]
    cuts: np.ndarray
    first_level: np.ndarray
    p: np.ndarray

    @property
    def cut_p(self) -> np.ndarray:
        """p-values of the score thresholds, shape=(backgrounds, motifs); above the p threshold if no site can reach it."""
        return self.p[self.first_level]

    def describe(self, levels: np.ndarray) -> dict[str, np.ndarray]:
        """Return gc_class (the background), motif, score in bits, and p_value of ascending levels."""
        flat = np.searchsorted(self.first_level.ravel(), levels, side="right") - 1
        steps = self.cuts.ravel()[flat] + levels - self.first_level.ravel()[flat]
        background, motif = np.divmod(flat, self.cuts.shape[1])
        return {"gc_class": background, "motif": motif, "score": steps * STEP, "p_value": self.p[levels]}


def score_motifs(motifs: Sequence[Motif], backgrounds: np.ndarray, p_threshold: float) -> Scores:
    """Return the scores of motifs against each background, shape=(backgrounds, 4), with score thresholds for a p-value."""
    steps: list[list[np.ndarray]] = []
    cuts, tails = np.zeros((len(backgrounds), len(motifs)), np.int64), []
    for i, background in enumerate(backgrounds):
        steps.append([])
        for j, motif in enumerate(motifs):
            scores = motif_scores(motif, background, p_threshold)
            cuts[i, j] = scores.cut(p_threshold)
            steps[-1].append(scores.steps)
            tails.append(scores.tail[cuts[i, j] - scores.lowest :])
    first_level = np.cumsum([0, *map(len, tails)])[:-1].reshape(cuts.shape)
    return Scores(steps, cuts, first_level, np.concatenate(tails))


def base_composition(sequences: Iterable[np.ndarray]) -> np.ndarray:
    """Return the base frequencies of sequences, both strands pooled.

    Parameters
    ----------
    sequences: iterable of numpy.ndarray, dtype=int8
        Base codes of any shape; N is ignored. A pseudocount of one is added per base.

    Returns
    -------
    numpy.ndarray, shape=(4,), dtype=float64
        A = T and C = G.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs import base_composition
    >>> base_composition([encode("AACN"), encode("GGTT")]).round(3).tolist()
    [0.273, 0.227, 0.227, 0.273]
    """
    counts = sum((np.bincount(codes.ravel().astype(np.uint8), minlength=5)[:4] for codes in sequences), np.zeros(4))
    return pooled_frequencies(counts)


def pooled_frequencies(counts: np.ndarray) -> np.ndarray:
    """Return base frequencies, both strands pooled, from counts of A, C, G and T plus a pseudocount of one; shape=(4,)."""
    pooled = counts + counts[::-1] + 2.0
    return pooled / pooled.sum()
