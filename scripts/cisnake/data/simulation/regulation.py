"""The model that computes expression from sequence in a simulated genome.

The log expression of a gene in a task of group g is a sum over active motifs m, positions p of its regulatory region and
both orientations:

    f_g = base_g + sum_m weight[m, g] * sum_p occupancy_m(p) * exp(-|from_tss(p)| / decay)
    occupancy_m(p) = 1 / (1 + exp(-(score_m(p) - threshold_m) / TEMPERATURE))

where score is the log-odds of the site in bits and from_tss is the position of the site's centre. Expression depends only on
the sequence. Chance sites therefore act like planted ones, and the true effect of a variant is f(alt) - f(ref).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cisnake.data.genome import reverse_complement
from cisnake.data.motif_database import Motif, fetch_jaspar
from cisnake.errors import unknown_name

TEMPERATURE = 0.5
"""Score difference, in bits, over which occupancy rises from 0.5 to 0.73; small, so that most sites are on or off."""

PSEUDO_PROBABILITY = 0.002
"""Added to the probability of each base, so that no base is impossible and scores are finite."""

ACTIVE_ROLES = ("activator", "repressor", "shared")


@dataclass(frozen=True, eq=False)
class Regulator:
    """A motif with its role, effect and threshold.

    Attributes
    ----------
    motif: Motif
    role: str
        activator, repressor, shared or decoy.
    weights: numpy.ndarray, shape=(groups,), dtype=float64
        Change in log expression per fully occupied site at the TSS; all zero for a decoy.
    log_odds: numpy.ndarray, shape=(width, 4), dtype=float64
        Log-odds relative to the background, in bits.
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
        """Whether the motif has an effect in any group."""
        return self.role in ACTIVE_ROLES


@dataclass(frozen=True, eq=False)
class Regulation:
    """The model that predicts expression from sequence.

    Attributes
    ----------
    regulators: list of Regulator
    groups: list of str
        Names of the groups of tasks, in the order of the regulators' weights.
    base: numpy.ndarray, shape=(tasks,), dtype=float64
        Log expression of a gene without sites.
    group_of_task: numpy.ndarray, shape=(tasks,), dtype=int
        Index of the group of each task.
    tss: int
        Position of the TSS in a sequence.
    decay: float
        Distance from the TSS, bp, over which an effect falls by a factor of e.
    """

    regulators: list[Regulator]
    groups: list[str]
    base: np.ndarray
    group_of_task: np.ndarray
    tss: int
    decay: float

    def expression(self, codes: np.ndarray) -> np.ndarray:
        """Compute the log expression of sequences in every task.

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
        """Return the sites of active motifs with at least the given occupancy.

        Parameters
        ----------
        codes: numpy.ndarray, shape=(n, length), dtype=int8
        occupancy: float
            Minimum occupancy, 0 to 1.

        Returns
        -------
        pandas.DataFrame
            Columns sequence (row of `codes`), regulator (its index), start (in the sequence), orientation (+ or -, relative
            to the gene).
        """
        tables = []
        for index, regulator in enumerate(self.regulators):
            if regulator.active:
                for orientation, bound, _ in self._strands(regulator, codes):
                    sequence, start = np.nonzero(bound >= occupancy)
                    tables.append(
                        pd.DataFrame({"sequence": sequence, "regulator": index, "start": start, "orientation": orientation})
                    )
        return pd.concat(tables, ignore_index=True)

    def contributions(self, codes: np.ndarray, sites: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Return the occupancy, shape=(sites,), and effect per group, shape=(sites, groups), of sites returned by `sites`."""
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
    """Return the position of the middle base of sites; for an even width, the right one of the two."""
    return start + width // 2


def site_scores(codes: np.ndarray, log_odds: np.ndarray) -> np.ndarray:
    """Compute the score of a motif at every start position.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    log_odds: numpy.ndarray, shape=(width, 4), dtype=float64

    Returns
    -------
    numpy.ndarray, shape=(n, length - width + 1), dtype=float64
        Scores in bits. N scores like the lowest-scoring base at its position.
    """
    table = np.column_stack([log_odds, log_odds.min(axis=1)])
    starts = codes.shape[1] - len(table) + 1
    total = np.zeros((len(codes), starts))
    for offset, row in enumerate(table):
        total += row[codes[:, offset : offset + starts]]
    return total


def occupied(scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the occupancy, 0 to 1, of sites with the given scores (bits)."""
    return 1.0 / (1.0 + np.exp(np.clip((threshold - scores) / TEMPERATURE, -60.0, 60.0)))


def background(gc: float) -> np.ndarray:
    """Return the frequencies of A, C, G and T in random sequence with the given GC content (0 to 1)."""
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
        Number of instances.
    sharpness: float
        Exponent of the probabilities: 1 samples from the motif itself; larger values favour its consensus.
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

    The threshold is 2 TEMPERATURE below the 10 % quantile of the scores of drawn instances. Nine in ten planted instances
    are therefore at least 0.88 occupied. The draws use a fixed seed, so the threshold of a motif is the same in every run.

    Parameters
    ----------
    motif: Motif
    gc: float
        GC content of the background, 0 to 1.
    sharpness: float
        Exponent of the probabilities; see `sample`.
    draws: int
        Number of instances to draw. Default 20,000.
    """
    drawn = sample(motif, draws, sharpness, np.random.default_rng(0))
    return float(np.quantile(site_scores(drawn, log_odds(motif, gc))[:, 0], 0.1) - 2 * TEMPERATURE)


def jaspar_motifs(names: list[str], release: str) -> dict[str, Motif]:
    """Return vertebrate CORE motifs of JASPAR, from the database bundled with pyjaspar.

    Parameters
    ----------
    names: list of str
        Matrix identifiers (MA0114.5) or names of factors, case-insensitive (HNF4A). If a factor has several matrices, the one
        with the lowest identifier is used.
    release: str
        For example, JASPAR2026.

    Returns
    -------
    dict of str to Motif
        Motifs by the names in `names`.

    Raises
    ------
    InputError
        The release or a name is unknown.
    """
    motifs = fetch_jaspar(release.removeprefix("JASPAR"), "vertebrates")
    by_name: dict[str, Motif] = {}
    # Motifs are sorted by id, so the first matrix of a factor is kept.
    for motif in motifs:
        by_name.setdefault(motif.name.casefold(), motif)
    by_name |= {motif.id.casefold(): motif for motif in motifs}
    selected = {}
    for name in names:
        if name.casefold() not in by_name:
            raise unknown_name("motif", name, [motif.name for motif in motifs])
        motif = by_name[name.casefold()]
        probabilities = motif.probabilities + PSEUDO_PROBABILITY
        selected[name] = replace(motif, probabilities=probabilities / probabilities.sum(axis=1, keepdims=True))
    return selected
