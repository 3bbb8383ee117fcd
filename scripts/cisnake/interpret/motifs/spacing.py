"""Preferred distances and orientations between two motifs, given the position preference of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import gammainc

from cisnake.interpret.motifs.columns import Columns

# Relative orientation of two sites: on the same strand, in either order, or towards or away from each other. For a motif with
# itself, the first two are the same. "any" pools all orientations, for palindromes and for pairs where only distance matters.
ORIENTATIONS = ("first_second", "second_first", "convergent", "divergent", "any")
ALONE_ORIENTATIONS = ("same_strand", "", "convergent", "divergent", "any")

# Maximum number of array elements in one block of permutations.
_BLOCK = 1 << 21
_OVERLAP = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Sites(Columns):
    """Sites of one motif, in the orientation of their genes, sorted by gene.

    Attributes
    ----------
    gene: numpy.ndarray, shape=(n,), dtype=int64
    centre: numpy.ndarray, shape=(n,), dtype=int32
        Twice the midpoint of the site relative to the TSS, that is, the sum of its start and its end.
    width: numpy.ndarray, shape=(n,), dtype=int32
        Width in bases.
    orientation: numpy.ndarray, shape=(n,), dtype=int32
        1 or -1.
    """

    gene: np.ndarray
    centre: np.ndarray
    width: np.ndarray
    orientation: np.ndarray


@dataclass(frozen=True)
class Spacing:
    """The most enriched distance between two motifs.

    Attributes
    ----------
    n_genes: int
        Number of genes with a pair of sites.
    median_distance: float
        Median over genes of the distance between the centres of the nearest pair, in bases.
    orientation: int
        Index into `ORIENTATIONS`.
    bin: int
        The bin contains distances from bin x width up to, but not including, (bin + 1) x width.
    count: int
        Number of genes whose nearest pair has this bin and orientation.
    expected: float
        Expected number of these genes.
    p_value: float
        p-value of the bin, corrected for the choice among all bins and orientations; at least 1 / (permutations + 1).
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
    """Find the most enriched distance and orientation of the nearest sites of two motifs, with a permutation test.

    Each gene with both motifs counts once, with its nearest pair of non-overlapping sites. The null distribution comes from
    exchanging the sites of the second motif (distance from the TSS and strand) between the genes that have both motifs. This
    preserves the preference of each motif for a distance from the TSS, and breaks only the relation between the two motifs. All
    sites of a gene move together to a gene with the same number of sites, so their relation to each other is preserved too. For
    a motif with itself, single sites are exchanged between the genes with at least two sites.

    Overlapping sites are not a pair, in observed and in permuted data, so the number of pairs varies. Expected counts are
    therefore computed from shares of the remaining pairs. A count is scored by its Poisson tail probability given the expected
    count. The p-value compares the smallest tail over all bins and orientations with that of each permutation. Expected shares
    are means over all permutations and the observed arrangement, which is exchangeable with them under the null hypothesis.

    Parameters
    ----------
    first: Sites
    second: Sites, optional
        None: test the first motif with itself.
    bin_width: int
        Width of a bin in bases.
    n_bins: int
        Distances of at least bin_width x n_bins are outside all bins, but their pairs are included in the total.
    permutations: int
    rng: numpy.random.Generator

    Returns
    -------
    Spacing or None
        None if no gene has a pair.

    Examples
    --------
    In each of 30 genes, the second motif is 20 bases downstream of the first; both motifs are 8 bases wide:

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
    """Yield the key of the nearest pair of sites per gene (see `_keys`), first for the observed sites, then for permutations.

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
    """Count the genes with a pair, shape=(arrangements,), and the genes per distance and orientation; see `_count`."""
    return (nearest < _OVERLAP).sum(axis=1), _count(nearest, 2 * bin_width, n_bins)


def _most_enriched(totals: np.ndarray, counts: np.ndarray, median: float) -> Spacing:
    """Return the most unusual distance and orientation of the first arrangement, compared with the others.

    Parameters
    ----------
    totals: numpy.ndarray, shape=(arrangements,), dtype=int64
        Number of genes with a pair.
    counts: numpy.ndarray, shape=(arrangements, n_bins, orientations), dtype=int64
    median: float
        Median distance in the first arrangement.
    """
    expected = totals[:, None, None] * (counts.sum(axis=0) / totals.sum())
    # Probability of at least this count.
    tails = np.where(counts > 0, gammainc(np.maximum(counts, 1), expected), 1.0)
    best = tails.reshape(len(tails), -1).min(axis=1)
    place, orientation = np.unravel_index(int(tails[0].argmin()), tails.shape[1:])
    p = np.count_nonzero(best <= best[0] * (1 + 1e-9)) / len(best)
    mean = float(expected[0, place, orientation])
    return Spacing(int(totals[0]), median, int(orientation), int(place), int(counts[0, place, orientation]), mean, float(p))


def _of_shared_genes(first: Sites, second: Sites | None) -> tuple[Sites, Sites]:
    """Return the sites in genes with both motifs, or with two sites of the first motif if `second` is None."""
    if second is None:
        genes, number = np.unique(first.gene, return_counts=True)
        both = first[np.isin(first.gene, genes[number > 1])]
        return both, both
    genes = np.intersect1d(first.gene, second.gene)
    return first[np.isin(first.gene, genes)], second[np.isin(second.gene, genes)]


def _slots(first: Sites, second: Sites, alone: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices of all pairs of sites in the same gene, sorted by gene."""
    low, high = (np.searchsorted(second.gene, first.gene, side=side) for side in ("left", "right"))
    number = high - low
    first_site = np.repeat(np.arange(len(first)), number)
    second_site = np.repeat(low, number) + np.arange(number.sum()) - np.repeat(np.cumsum(number) - number, number)
    kept = first_site < second_site if alone else np.full(len(first_site), True)
    return first_site[kept], second_site[kept]


def _exchangeable(sites: Sites, single: bool) -> list[np.ndarray]:
    """Return groups of exchangeable sites: index arrays of shape (genes, sites per gene), or (sites, 1) if `single`."""
    if single:
        return [np.arange(len(sites))[:, None]]
    begins = np.flatnonzero(np.diff(sites.gene, prepend=-1))
    sizes = np.diff(begins, append=len(sites))
    return [begins[sizes == size][:, None] + np.arange(size) for size in np.unique(sizes).tolist()]


def _exchange(groups: list[np.ndarray], n_sites: int, number: int, rng: np.random.Generator) -> np.ndarray:
    """Draw permutations, and return the site that replaces each site; shape=(number, n_sites), dtype=int64."""
    moved = np.empty((number, n_sites), np.int64)
    for group in groups:
        order = rng.permuted(np.tile(np.arange(len(group)), (number, 1)), axis=1)
        moved[:, group.ravel()] = group[order].reshape(number, -1)
    return moved


def _keys(first: Sites, first_site: np.ndarray, second: Sites, second_site: np.ndarray, alone: bool) -> np.ndarray:
    """Return the key of each pair of sites: 8 x distance of centres + orientation, or `_OVERLAP`; dtype=int32."""
    apart = second.centre[second_site] - first.centre[first_site]
    strand = first.orientation[first_site]
    opposite = strand != second.orientation[second_site]
    behind = apart * strand < 0
    if alone:
        # Two sites of the same motif on the same strand have no order.
        behind &= opposite
    apart = np.abs(apart)
    keys = (apart << 2) | (opposite << 1) | behind
    return np.where(apart < first.width[first_site] + second.width[second_site], _OVERLAP, keys)


def _count(nearest: np.ndarray, bin_width: int, n_bins: int) -> np.ndarray:
    """Count genes by distance and orientation; shape=(permutations, n_bins, 5), dtype=int64."""
    bins = (nearest >> 2) // bin_width
    row, _ = near = np.nonzero(bins < n_bins)
    cell = (row * n_bins + bins[near]) * 4 + (nearest[near] & 3)
    counts = np.bincount(cell, minlength=len(nearest) * n_bins * 4).reshape(len(nearest), n_bins, 4)
    return np.concatenate([counts, counts.sum(axis=2, keepdims=True)], axis=2)
