"""Log odds of motifs on a grid, with exact p-values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cisnake.data import Motif

# Scores are multiples of this many bits, so that their distribution can be computed exactly and equal scores are equal.
STEP = 0.005
# Share of the background mixed into a motif: the worst base costs at most 10 bits, however many sites a motif was built from.
PSEUDO_SHARE = 0.001
# Reach below the best score, in steps, within which the cut is looked for first; it grows as needed.
_REACH = 1024


@dataclass(frozen=True, eq=False)
class MotifScores:
    """A motif's log odds on a grid, and the exact distribution of their sum.

    Attributes
    ----------
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        round(log2(p / background) / STEP), p having `PSEUDO_SHARE` of background mixed in.
    lowest: int
        The least sum that was followed, in steps: of all sums, where no threshold was given.
    tail: numpy.ndarray, dtype=float64
        tail[i]: chance, under the background, of a sum of at least lowest + i; up to the greatest sum.

    Examples
    --------
    One of 256 words of four bases reaches the greatest sum, and 13 have at most one mismatch:

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
        """Return the least sum, in steps, whose p-value is at most `p_threshold`, or the greatest sum if there is none."""
        return self.lowest + min(int(np.count_nonzero(self.tail > p_threshold)), len(self.tail) - 1)


def motif_scores(motif: Motif, background: np.ndarray, p_threshold: float = 1.0) -> MotifScores:
    """Return a motif's scores and their distribution by dynamic programming over its columns.

    What is followed from column to column is how far a word is below the best one, and only as far as the threshold needs:
    that is a small part of all sums. The distribution is that of the scores on the grid, which differ from the real log odds by
    at most STEP / 2 a column; nothing else is approximate. lightmotif's own p-values are not used: its
    `log_odds(background)` leaves out the background, and its tables give p = 0 for some greatest scores and thresholds that
    exceed p on short motifs.

    Parameters
    ----------
    motif: Motif
    background: numpy.ndarray, shape=(4,), dtype=float64
        Base frequencies, positive, with A = T and C = G so that they hold for both strands.
    p_threshold: float
        Greatest p-value that matters: the tail reaches beyond it, or has all sums. Default is 1, all sums.
    """
    mixed = (1 - PSEUDO_SHARE) * motif.probabilities + PSEUDO_SHARE * background
    steps = np.rint(np.log2(mixed / background) / STEP).astype(np.int64)
    best = steps.max(axis=1, keepdims=True)
    below = best - steps
    furthest, reach = int(below.max(axis=1).sum()), _REACH if p_threshold < 1 else np.inf
    while True:
        reach = int(min(reach, furthest))
        # Summed from the top, where terms are smallest.
        tail = np.minimum(np.cumsum(_distribution(below, background, reach)), 1)
        if reach == furthest or tail[-1] > p_threshold:
            return MotifScores(steps, int(best.sum()) - reach, tail[::-1])
        reach *= 2


def _distribution(below: np.ndarray, background: np.ndarray, reach: int) -> np.ndarray:
    """Return the chance of each distance from the best sum, up to `reach`."""
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
    """Scores of all motifs against several backgrounds; levels number the sums from the cut on through all of them.

    Attributes
    ----------
    steps: list of list of numpy.ndarray
        By background and motif, as of `MotifScores`.
    cuts: numpy.ndarray, shape=(backgrounds, motifs), dtype=int64
        Least sum of a hit, in steps.
    first_level: numpy.ndarray, shape=(backgrounds, motifs), dtype=int64
        Level of that sum; the next greater sum has the next level.
    p: numpy.ndarray, shape=(levels,), dtype=float64
        p-value of each level.
    """

    steps: list[list[np.ndarray]]
    cuts: np.ndarray
    first_level: np.ndarray
    p: np.ndarray

    @property
    def cut_p(self) -> np.ndarray:
        """p-values of the cuts, shape=(backgrounds, motifs): above the threshold where no site can reach it."""
        return self.p[self.first_level]

    def describe(self, levels: np.ndarray) -> dict[str, np.ndarray]:
        """Return gc_class (the background), motif, score in bits, and p_value of some levels, ascending."""
        flat = np.searchsorted(self.first_level.ravel(), levels, side="right") - 1
        steps = self.cuts.ravel()[flat] + levels - self.first_level.ravel()[flat]
        background, motif = np.divmod(flat, self.cuts.shape[1])
        return {"gc_class": background, "motif": motif, "score": steps * STEP, "p_value": self.p[levels]}


def score_motifs(motifs: Sequence[Motif], backgrounds: np.ndarray, p_threshold: float) -> Scores:
    """Return the scores of motifs against each background, shape=(backgrounds, 4), with the cuts for a threshold."""
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
        Codes of any shape; N is left out. One base of each kind is added, so that none is impossible.

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
    """Return base frequencies, both strands pooled, of counts of A, C, G and T, one of each added; shape=(4,)."""
    pooled = counts + counts[::-1] + 2.0
    return pooled / pooled.sum()
