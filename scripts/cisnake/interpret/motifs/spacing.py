"""Preferred distances and orientations of two motifs, beyond what their own positions explain."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc

from cisnake.interpret.motifs.columns import Columns

# How two sites read: along the strand of both, or towards or away from each other. Of a motif with itself, the first two are
# one. ANY counts all alike, for motifs that care for the distance alone or read the same on both strands.
ORIENTATIONS = ("first_second", "second_first", "convergent", "divergent", "any")
ALONE_ORIENTATIONS = ("same_strand", "", "convergent", "divergent", "any")

# Numbers in one block of permutations.
_BLOCK = 1 << 21
_OVERLAP = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Sites(Columns):
    """Sites of one motif, in the direction of their genes, sorted by gene.

    Attributes
    ----------
    gene: numpy.ndarray, shape=(n,), dtype=int64
    centre: numpy.ndarray, shape=(n,), dtype=int32
        Twice the middle of the site, from the TSS: the sum of its start and its end.
    width: numpy.ndarray, shape=(n,), dtype=int32
        Bases.
    orientation: numpy.ndarray, shape=(n,), dtype=int32
        1 or -1.
    """

    gene: np.ndarray
    centre: np.ndarray
    width: np.ndarray
    orientation: np.ndarray


@dataclass(frozen=True)
class Spacing:
    """The most enriched distance of two motifs.

    Attributes
    ----------
    n_genes: int
        Genes with a pair of sites.
    median_distance: float
        Between the centres of the nearest pair of each, in bases.
    orientation: int
        Index of `ORIENTATIONS`.
    bin: int
        Distances from bin x width to below (bin + 1) x width.
    count: int
        Genes whose nearest pair is in that bin and orientation.
    expected: float
    p_value: float
        Of the bin, corrected for the choice among all bins and orientations; at least 1 / (permutations + 1).
    """

    n_genes: int
    median_distance: float
    orientation: int
    bin: int
    count: int
    expected: float
    p_value: float


def measure_spacing(
    first: Sites, second: Sites | None, bin_width: int, n_bins: int, permutations: int, rng: np.random.Generator
) -> Spacing | None:
    """Find the distance and orientation that the nearest sites of two motifs have more often than by chance.

    Each gene with both counts once, by its nearest pair of sites that do not overlap. By chance means: with the sites of the
    second motif, places from the TSS and strands, exchanged between the genes that have both motifs. That keeps each
    motif's preference for a distance from the TSS, and breaks only the relation of both. All sites of a gene move together, to
    a gene that has as many, so that their relation to each other is kept too. Of a motif with itself, single sites are
    exchanged between the genes that have two or more.

    Sites that overlap are no pair, in exchanged genes as in real ones; so counts are compared with shares of the pairs that
    are left. How unusual a count is, is its Poisson tail, given the expected one; the p-value compares the most unusual of all
    bins and orientations with that of each permutation. Expected shares are means over all permutations and the real
    arrangement, which is one more of them if there is no relation.

    Parameters
    ----------
    first: Sites
    second: Sites, optional
        None for the first motif with itself.
    bin_width: int
        Bases.
    n_bins: int
        Distances of bin_width x n_bins and more are in no bin, but count among all pairs.
    permutations: int
    rng: numpy.random.Generator

    Returns
    -------
    Spacing, or None where no gene has a pair

    Examples
    --------
    The second motif is 20 bases downstream of the first in each of 30 genes; widths are 8 bases:

    >>> import numpy as np
    >>> from cisnake.interpret.motifs.spacing import ORIENTATIONS, Sites, measure_spacing
    >>> gene, at, rng = np.arange(30), np.random.default_rng(0).integers(-300, -50, 30), np.random.default_rng(1)
    >>> ones = np.ones(30, np.int32)
    >>> first, second = (Sites(gene, (2 * (at + by)).astype(np.int32), 8 * ones, ones) for by in (0, 20))
    >>> spacing = measure_spacing(first, second, bin_width=10, n_bins=20, permutations=99, rng=rng)
    >>> spacing.median_distance, ORIENTATIONS[spacing.orientation], spacing.count, spacing.p_value
    (20.0, 'first_second', 30, 0.01)
    """
    alone = second is None
    first, second = _of_shared_genes(first, second)
    pairs = _slots(first, second, alone)
    if not len(pairs[0]):
        return None
    nearest = _nearest_pairs(first, second, pairs, alone, permutations, rng)
    real = next(nearest)
    distances = real[0][real[0] < _OVERLAP] >> 2
    if not len(distances):
        return None
    blocks = [_summary(block, bin_width, n_bins) for block in itertools.chain([real], nearest)]
    totals, counts = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    return _most_enriched(totals, counts, float(np.median(distances)) / 2)


def _nearest_pairs(
    first: Sites, second: Sites, pairs: tuple[np.ndarray, np.ndarray], alone: bool, permutations: int, rng: np.random.Generator
) -> Iterator[np.ndarray]:
    """Yield the key of each gene's nearest pair of sites (see `_keys`), of the real sites and then of permutations.

    Yields
    ------
    numpy.ndarray, shape=(arrangements, genes), dtype=int32
    """
    first_site, second_site = pairs
    begins = np.flatnonzero(np.diff(first.gene[first_site], prepend=-1))
    groups = _exchangeable(second, alone)
    size = max(1, _BLOCK // (len(first_site) + len(second)))
    for done in range(0, permutations + 1, size):
        moved = _exchange(groups, len(second), min(size, permutations + 1 - done), rng)
        if done == 0:
            moved[0] = np.arange(len(second))
        left = moved[:, first_site] if alone else first_site[None]
        yield np.minimum.reduceat(_keys(first, left, second, moved[:, second_site], alone), begins, axis=1)


def _summary(nearest: np.ndarray, bin_width: int, n_bins: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many genes have a pair, shape=(arrangements,), and each distance and orientation, as `_count` does."""
    return (nearest < _OVERLAP).sum(axis=1), _count(nearest, 2 * bin_width, n_bins)


def _most_enriched(totals: np.ndarray, counts: np.ndarray, median: float) -> Spacing:
    """Return the most unusual distance and orientation of the first arrangement, compared with the others.

    Parameters
    ----------
    totals: numpy.ndarray, shape=(arrangements,), dtype=int64
        Genes with a pair.
    counts: numpy.ndarray, shape=(arrangements, n_bins, orientations), dtype=int64
    median: float
        Of the distances of the first arrangement.
    """
    expected = totals[:, None, None] * (counts.sum(axis=0) / totals.sum())
    # The chance of so many or more.
    tails = np.where(counts > 0, gammainc(np.maximum(counts, 1), expected), 1.0)
    best = tails.reshape(len(tails), -1).min(axis=1)
    place, orientation = np.unravel_index(int(tails[0].argmin()), tails.shape[1:])
    p = np.count_nonzero(best <= best[0] * (1 + 1e-9)) / len(best)
    chance = float(expected[0, place, orientation])
    return Spacing(int(totals[0]), median, int(orientation), int(place), int(counts[0, place, orientation]), chance, float(p))


def _of_shared_genes(first: Sites, second: Sites | None) -> tuple[Sites, Sites]:
    """Return the sites of the genes that have both motifs, or two sites of the one."""
    if second is None:
        genes, number = np.unique(first.gene, return_counts=True)
        both = first[np.isin(first.gene, genes[number > 1])]
        return both, both
    genes = np.intersect1d(first.gene, second.gene)
    return first[np.isin(first.gene, genes)], second[np.isin(second.gene, genes)]


def _slots(first: Sites, second: Sites, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return all pairs of a site of either that are of the same gene, as indices, by gene."""
    low, high = (np.searchsorted(second.gene, first.gene, side=side) for side in ("left", "right"))
    number = high - low
    first_site = np.repeat(np.arange(len(first)), number)
    second_site = np.repeat(low, number) + np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    kept = first_site < second_site if alone else np.full(len(first_site), True)
    return first_site[kept], second_site[kept]


def _exchangeable(sites: Sites, single: bool) -> list[np.ndarray]:
    """Return groups of what may change places: arrays of indices of sites, (genes, sites of each), or (sites, 1) if single."""
    if single:
        return [np.arange(len(sites))[:, None]]
    begins = np.flatnonzero(np.diff(sites.gene, prepend=-1))
    sizes = np.diff(begins, append=len(sites))
    return [begins[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes).tolist()]


def _exchange(groups: list[np.ndarray], n_sites: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Return which site takes the place of each, for a number of permutations; shape=(number, n_sites), dtype=int64."""
    moved = np.empty((number, n_sites), np.int64)
    for group in groups:
        order = rng.permuted(np.tile(np.arange(len(group)), (number, 1)), axis=1)
        moved[:, group.ravel()] = group[order].reshape(number, -1)
    return moved


def _keys(first: Sites, first_site: np.ndarray, second: Sites, second_site: np.ndarray, alone: bool) -> np.ndarray:
    """Return for each pair of sites 8 x distance of their centres + orientation, or `_OVERLAP`; dtype=int32."""
    apart = second.centre[second_site] - first.centre[first_site]
    strand = first.orientation[first_site]
    opposite = strand != second.orientation[second_site]
    behind = apart * strand < 0
    if alone:
        # Of two sites of the same motif on one strand, none is the first.
        behind &= opposite
    apart = np.abs(apart)
    keys = (apart << 2) | (opposite << 1) | behind
    return np.where(apart < first.width[first_site] + second.width[second_site], _OVERLAP, keys)


def _count(nearest: np.ndarray, bin_width: int, n_bins: int) -> np.ndarray:
    """Return how many genes have each distance and orientation; shape=(permutations, n_bins, 5), dtype=int64."""
    bins = (nearest >> 2) // bin_width
    row, _ = near = np.nonzero(bins < n_bins)
    cell = (row * n_bins + bins[near]) * 4 + (nearest[near] & 3)
    counts = np.bincount(cell, minlength=len(nearest) * n_bins * 4).reshape(len(nearest), n_bins, 4)
    return np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)
