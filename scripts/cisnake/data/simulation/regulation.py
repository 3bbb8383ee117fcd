"""The rule by which a simulated genome's sequence sets its expression, and the sites that the rule acts through.

The log expression of a gene in a task of group g is a sum over active motifs m, positions p of its regulatory region and
both orientations:

    f_g = base_g + sum_m weight[m, g] * sum_p occupancy_m(p) * exp(-|from_tss(p)| / decay)
    occupancy_m(p) = 1 / (1 + exp(-(score_m(p) - threshold_m) / TEMPERATURE))

where score is the log-odds of the site in bits and from_tss is taken at the site's centre. It is a function of the sequence
alone, so that a site that arose by chance counts as one that was planted, and the true effect of a variant is f(alt) - f(ref).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cisnake.data.genome import reverse_complement
from cisnake.data.motif_database import Motif, fetch_jaspar
from cisnake.errors import unknown_name

TEMPERATURE = 0.5
"""Bits of score over which occupancy goes from 0.5 to 0.73: steep, so that a site is there or is not."""

PSEUDO_PROBABILITY = 0.002
"""Added to each base's probability, so that no base is impossible and scores stay finite."""

ACTIVE_ROLES = ("activator", "repressor", "shared")


@dataclass(frozen=True, eq=False)
class Regulator:
    """A motif and what it does.

    Attributes
    ----------
    motif: Motif
    role: str
        activator, repressor, shared or decoy.
    weights: numpy.ndarray, shape=(groups,), dtype=float64
        Change of log expression per fully occupied site at the TSS; all zero for a decoy.
    log_odds: numpy.ndarray, shape=(width, 4), dtype=float64
        Bits against the background.
    threshold: float
        Score, in bits, at which a site is half occupied.
    """

    motif: Motif
    role: str
    weights: np.ndarray
    log_odds: np.ndarray
    threshold: float

    @property
    def active(self) -> bool:
        """Whether the motif does anything in any group."""
        return self.role in ACTIVE_ROLES


@dataclass(frozen=True, eq=False)
class Regulation:
    """All that turns sequences into expression.

    Attributes
    ----------
    regulators: list of Regulator
    groups: list of str
        Names of the groups of tasks, in the order of the regulators' weights.
    base: numpy.ndarray, shape=(tasks,), dtype=float64
        Log expression of a gene without any site.
    group_of_task: numpy.ndarray, shape=(tasks,), dtype=int
    tss: int
        Position of the TSS in a sequence.
    decay: float
        Base pairs from the TSS over which an effect falls by e.
    """

    regulators: list[Regulator]
    groups: list[str]
    base: np.ndarray
    group_of_task: np.ndarray
    tss: int
    decay: float

    def expression(self, codes: np.ndarray) -> np.ndarray:
        """Return the log expression of sequences in every task.

        Parameters
        ----------
        codes: numpy.ndarray, shape=(n, length), dtype=int8
            Gene-oriented, with the TSS base at `tss`.

        Returns
        -------
        numpy.ndarray, shape=(n, tasks), dtype=float64
        """
        by_group = np.zeros((len(codes), len(self.groups)))
        for regulator in self.regulators:
            if regulator.active:
                activity = sum((bound * near).sum(axis=1) for _, bound, near in self._strands(regulator, codes))
                by_group += np.outer(activity, regulator.weights)
        return self.base + by_group[:, self.group_of_task]

    def sites(self, codes: np.ndarray, occupancy: float) -> pd.DataFrame:
        """Return the sites of active motifs that are occupied at least so much.

        Parameters
        ----------
        codes: numpy.ndarray, shape=(n, length), dtype=int8
        occupancy: float
            0 to 1.

        Returns
        -------
        pandas.DataFrame
            Columns sequence (row of `codes`), regulator (its index), start (in the sequence), orientation (+ or -, relative
            to the gene).
        """
        found = []
        for index, regulator in enumerate(self.regulators):
            if regulator.active:
                for orientation, bound, _ in self._strands(regulator, codes):
                    sequence, start = np.nonzero(bound >= occupancy)
                    found.append(
                        pd.DataFrame({"sequence": sequence, "regulator": index, "start": start, "orientation": orientation})
                    )
        return pd.concat(found, ignore_index=True)

    def contributions(self, codes: np.ndarray, sites: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return occupancy, shape=(sites,), and additive effect by group, shape=(sites, groups), of sites as `sites` gives."""
        bound, effects = np.zeros(len(sites)), np.zeros((len(sites), len(self.groups)))
        by_regulator = sites.reset_index(drop=True).groupby("regulator", sort=True)
        for index, rows in by_regulator:
            regulator = self.regulators[int(index)]
            width = len(regulator.log_odds)
            start = rows["start"].to_numpy()
            windows = codes[rows["sequence"].to_numpy()[:, None], start[:, None] + np.arange(width)]
            reverse = (rows["orientation"] == "-").to_numpy()
            windows[reverse] = reverse_complement(windows[reverse])
            place = rows.index.to_numpy()
            bound[place] = occupied(site_scores(windows, regulator.log_odds)[:, 0], regulator.threshold)
            effects[place] = np.outer(bound[place] * self._near(start, width), regulator.weights)
        return bound, effects

    def _strands(self, regulator: Regulator, codes: np.ndarray) -> list[tuple[str, np.ndarray, np.ndarray]]:
        near = self._near(np.arange(codes.shape[1] - len(regulator.log_odds) + 1), len(regulator.log_odds))
        forward, reverse = regulator.log_odds, regulator.log_odds[::-1, ::-1]
        return [(o, occupied(site_scores(codes, m), regulator.threshold), near) for o, m in (("+", forward), ("-", reverse))]

    def _near(self, start: np.ndarray, width: int) -> np.ndarray:
        return np.exp(-np.abs(centre(start, width) - self.tss) / self.decay)


def centre(start: np.ndarray, width: int | np.ndarray) -> np.ndarray:
    """Return the middle base of sites; of an even width, the right one of the two in the middle."""
    return start + width // 2


def site_scores(codes: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Return the score of a motif at every start.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    log_odds: numpy.ndarray, shape=(width, 4), dtype=float64

    Returns
    -------
    numpy.ndarray, shape=(n, length - width + 1), dtype=float64
        Bits. N scores as the worst base of its position.
    """
    table = np.column_stack([log_odds, log_odds.min(axis=1)])
    starts = codes.shape[1] - len(table) + 1
    total = np.zeros((len(codes), starts))
    for offset, row in enumerate(table):
        total += row[codes[:, offset : offset + starts]]
    return total


def occupied(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the occupancy, 0 to 1, of sites with the scores given (bits)."""
    return 1.0 / (1.0 + np.exp(np.clip((threshold - scores) / TEMPERATURE, -60.0, 60.0)))


def background(gc: float) -> np.ndarray:
    """Return the share of A, C, G, T in random sequence with the GC content given (0 to 1)."""
    return np.array([1 - gc, gc, gc, 1 - gc]) / 2


def log_odds(motif: Motif, gc: float) -> np.ndarray:
    """Return log2(probability / background), shape=(width, 4), dtype=float64."""
    return np.log2(motif.probabilities / background(gc))


def sample(motif: Motif, n: int, sharpness: float, rng: np.random.Generator) -> np.ndarray:
    """Draw instances of a motif.

    Parameters
    ----------
    motif: Motif
    n: int
        How many.
    sharpness: float
        Exponent of the probabilities: 1 samples the motif as it is, more leans to its consensus.
    rng: numpy.random.Generator

    Returns
    -------
    numpy.ndarray, shape=(n, width), dtype=int8
    """
    weights = motif.probabilities**sharpness
    cumulative = np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)[:, :3]
    return (rng.random((n, len(weights), 1)) > cumulative).sum(axis=2).astype(np.int8)


def choose_threshold(motif: Motif, gc: float, sharpness: float, draws: int = 20_000) -> float:
    """Return the score at which a site is half occupied, in bits.

    It lies below all but a tenth of the instances that are planted, by as much as makes those at least 0.88 occupied: what
    is planted acts. The draws have a generator of their own, so that a motif has one threshold, whatever the seed of the run.

    Parameters
    ----------
    motif: Motif
    gc: float
        Share of G and C in the background, 0 to 1.
    sharpness: float
        Power of the probabilities from which instances are drawn.
    draws: int
        Number of instances. Default 20,000.
    """
    drawn = sample(motif, draws, sharpness, np.random.default_rng(0))
    return float(np.quantile(site_scores(drawn, log_odds(motif, gc))[:, 0], 0.1) - 2 * TEMPERATURE)


def jaspar_motifs(names: list[str], release: str) -> dict[str, Motif]:
    """Return vertebrate CORE motifs of JASPAR, from the database that pyjaspar brings along.

    Parameters
    ----------
    names: list of str
        Matrix identifiers (MA0114.5) or names of factors in any case (HNF4A); of a factor with several matrices, the one
        with the lowest identifier is taken.
    release: str
        JASPAR2026, for example.

    Returns
    -------
    dict of str to Motif
        By the names given.

    Raises
    ------
    InputError
        The release or a name is unknown.
    """
    motifs = fetch_jaspar(release.removeprefix("JASPAR"), "vertebrates")
    by_name: dict[str, Motif] = {}
    # Sorted by id: of several matrices of a factor, the first stays.
    for motif in motifs:
        by_name.setdefault(motif.name.casefold(), motif)
    by_name |= {motif.id.casefold(): motif for motif in motifs}
    found = {}
    for name in names:
        if name.casefold() not in by_name:
            raise unknown_name("motif", name, [motif.name for motif in motifs])
        motif = by_name[name.casefold()]
        probabilities = motif.probabilities + PSEUDO_PROBABILITY
        found[name] = replace(motif, probabilities=probabilities / probabilities.sum(axis=1, keepdims=True))
    return found
