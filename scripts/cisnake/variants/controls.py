"""Control changes, with which the effects of variants are compared.

Two questions, and two kinds of controls, which answer different ones:

- Is this more than a change of composition? The same change, with its neighbouring bases, at the same place in a dinucleotide
  shuffle of the same window. From these come p-values.
- Is this more than what changes near a gene usually do? A change of the same kind in the window of another gene with a similar
  GC content, at about the same distance from its TSS. From these come percentiles.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeVar

import numpy as np

from cisnake.data.genome import Genome, N, decode, reverse_complement, to_genome
from cisnake.data.windows import is_background
from cisnake.interpret import bh_q_values_of_smallest, dinucleotide_shuffle
from cisnake.program import Progress
from cisnake.variants.effects import VariantGenes, predicted_differences
from cisnake.variants.windows import Change, Window, alternative_windows

if TYPE_CHECKING:
    from cisnake.model import Predictor

# A gene with a similar GC content is among this share of all genes with the nearest GC content, and among at least this number.
_NEAREST_SHARE, _NEAREST_GENES = 0.05, 10
# About the same distance from the TSS: within a tenth of it, and within at least this number of bases.
_LEAST_REACH = 25
# Genes that are tried for one matched change.
_TRIES = 10

_Block = TypeVar("_Block")


@dataclass(frozen=True)
class Controls:
    """Sizes of the effects of control changes on each task, sorted; NaN, which is last, counts as the largest.

    Attributes
    ----------
    shuffled: numpy.ndarray, shape=(n, tasks), dtype=float64
        |effect| of the changes in shuffled windows.
    matched: numpy.ndarray, shape=(m, tasks), dtype=float64
        |effect| of the changes at matched places of the genome.
    """

    shuffled: np.ndarray
    matched: np.ndarray

    def exceeded_by(self, effects: np.ndarray) -> np.ndarray:
        """Return the number of shuffled controls whose effect is at least as large, shape=(..., tasks), dtype=int64.

        Parameters
        ----------
        effects: numpy.ndarray, shape=(..., tasks)
        """
        return _by_task(lambda known, x: len(known) - np.searchsorted(known, x, side="left"), self.shuffled, effects)

    def least_q(self, tests: int) -> float:
        """Return the smallest q-value that one effect can reach among this many tests."""
        return min(1.0, tests / (len(self.shuffled) + 1))

    def percentiles(self, effects: np.ndarray) -> np.ndarray:
        """Return the percentage of matched controls with a smaller effect, shape=(..., tasks); equal ones count half.

        Parameters
        ----------
        effects: numpy.ndarray, shape=(..., tasks)
        """

        def smaller(known: np.ndarray, x: np.ndarray) -> np.ndarray:
            return np.searchsorted(known, x, side="left") + np.searchsorted(known, x, side="right")

        if not len(self.matched):
            return np.full(np.shape(effects), np.nan)
        return np.where(np.isnan(effects), np.nan, 50 * _by_task(smaller, self.matched, effects) / len(self.matched))


def _by_task(count: Callable[[np.ndarray, np.ndarray], np.ndarray], known: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """Apply `count` to the sorted controls and to |effects| of each task."""
    sizes = np.abs(np.asarray(effects, np.float64))
    return np.stack([count(known[:, task], sizes[..., task]) for task in range(known.shape[1])], axis=-1)


class Significance:
    """p- and q-values of effects, from their ranks among shuffled controls.

    p = (1 + b) / (1 + n), where b of n controls have at least the effect (Phipson and Smyth 2010,
    doi:10.2202/1544-6115.1585). q-values (Benjamini and Hochberg) are over all variants and genes, task by task. There are only
    n + 1 different p-values, so that counts of them suffice.

    Parameters
    ----------
    controls: Controls
    """

    def __init__(self, controls: Controls) -> None:
        self.controls = controls
        n, tasks = controls.shuffled.shape
        self._counts = np.zeros((tasks, n + 1), np.int64)
        self._q_of_ranks: np.ndarray | None = None

    def add(self, effects: np.ndarray) -> None:
        """Count effects, shape=(n, tasks); NaN is not counted."""
        self._q_of_ranks = None
        ranks, known = self.controls.exceeded_by(effects), ~np.isnan(effects)
        for counts, of_task, is_known in zip(self._counts, ranks.T, known.T, strict=True):
            counts += np.bincount(of_task[is_known], minlength=len(counts))

    def p_values(self, effects: np.ndarray) -> np.ndarray:
        """Return p-values, shape=(n, tasks); NaN where the effect is."""
        p = (1 + self.controls.exceeded_by(effects)) / (1 + len(self.controls.shuffled))
        return np.where(np.isnan(effects), np.nan, p)

    def q_values(self, effects: np.ndarray) -> np.ndarray:
        """Return q-values among all effects that were added, shape=(n, tasks); NaN where the effect is."""
        n = len(self.controls.shuffled)
        # Once for all blocks: each task has n + 1 of them.
        if self._q_of_ranks is None:
            p = (1 + np.arange(n + 1)) / (1 + n)
            q = [bh_q_values_of_smallest(p, counts, int(counts.sum())) for counts in self._counts]
            self._q_of_ranks = np.stack(q)
        ranks = np.minimum(self.controls.exceeded_by(effects), n)
        return np.where(np.isnan(effects), np.nan, self._q_of_ranks[np.arange(len(self._counts)), ranks])


def count_first(
    blocks: Iterable[_Block],
    effects: Callable[[_Block], np.ndarray],
    significance: Significance | None,
    spool: BinaryIO,
) -> Iterator[_Block]:
    """Yield blocks again after the effects of all were added to `significance`: a q-value depends on all effects.

    Parameters
    ----------
    blocks: iterable
    effects: callable
        Returns the effects in a block, shape=(n, tasks).
    significance: Significance, optional
        None: blocks are passed on at once.
    spool: binary file
        Empty and temporary; blocks wait in it.
    """
    if significance is None:
        yield from blocks
        return
    count = 0
    for block in blocks:
        significance.add(effects(block))
        pickle.dump(block, spool)
        count += 1
    spool.seek(0)
    for _ in range(count):
        yield pickle.load(spool)


def deal_controls(items: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return which item each of `count` controls belongs to: in random order, and equally many for each (to within one)."""
    return np.resize(np.random.default_rng(seed).permutation(items), count)


def control_rng(seed: int, number: int) -> np.random.Generator:
    """Return the random generator of one control, which does not depend on batches."""
    return np.random.default_rng([seed, int(number)])


def shuffle_around(codes: np.ndarray, first: int, last: int, rng: np.random.Generator) -> np.ndarray:
    """Return a dinucleotide shuffle of a window in which a change and the base on either side of it are kept.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(length,), dtype=int8
    first, last: int
        The bases that the change replaces, half-open; may be empty or beyond the window.
    rng: numpy.random.Generator
    """
    kept = slice(max(first - 1, 0), max(last + 1, 0))
    shuffled = dinucleotide_shuffle(codes, rng)
    shuffled[kept] = codes[kept]
    return shuffled


def draw_controls(
    pairs: VariantGenes,
    genome: Genome,
    predictors: Mapping[int, Mapping[str, Predictor]],
    n_tasks: int,
    count: int,
    seed: int,
    batch_size: int = 64,
) -> Controls | None:
    """Predict the effects of control changes.

    Each control belongs to one pair of a variant and a gene, and all pairs have equally many (to within one). Distances from
    the TSS, kinds of changes and folds of the controls are therefore distributed as those of the variants.

    Parameters
    ----------
    pairs: VariantGenes
        From `find_genes`.
    genome: Genome
    predictors: mapping of fold to mapping of replicate name to predictor
    n_tasks: int
        Number of values that a predictor returns per window.
    count: int
        Number of controls of each kind. A matched control is left out if no place for it is found.
    seed: int
        Random seed. Draws do not depend on the batch size.
    batch_size: int
        Controls per batch. Default 64.

    Returns
    -------
    Controls or None
        None without pairs, or if `count` is 0.
    """
    scored = np.flatnonzero(pairs.gene >= 0)
    if not count or not len(scored):
        return None
    drawn = deal_controls(scored, count, seed)
    folds = pairs.genes["fold"].to_numpy()[pairs.gene[drawn]]
    gc = _gc_contents(pairs.windows, genome)
    shuffled, matched = [], []
    progress = Progress("control changes scored", count)
    for fold in np.unique(folds).tolist():
        of_fold = np.flatnonzero(folds == fold)
        others = (pairs.genes["fold"].to_numpy() == fold) & ~is_background(pairs.genes)
        neighbours = _NearestGenes(np.flatnonzero(others), gc)
        for first in range(0, len(of_fold), batch_size):
            batch = of_fold[first : first + batch_size]
            chosen = [
                (int(pairs.gene[i]), pairs.changes[pairs.variant[i]], control_rng(seed, k)) for k, i in zip(batch, drawn[batch])
            ]
            shuffled.append(_in_shuffles(pairs.windows, genome, predictors[fold], chosen))
            matched.append(_elsewhere(pairs.windows, genome, predictors[fold], chosen, neighbours, n_tasks))
            progress.advance(len(batch))
    return Controls(*(np.sort(np.abs(np.concatenate(kind)), axis=0) for kind in (shuffled, matched)))


def _gc_contents(windows: list[Window], genome: Genome) -> np.ndarray:
    contents = np.zeros(len(windows))
    for i, window in enumerate(windows):
        codes = window.codes(genome, 0, window.end - window.start)
        contents[i] = np.isin(codes, (1, 2)).sum() / max(np.count_nonzero(codes != N), 1)
    return contents


class _NearestGenes:
    """The genes of a fold, by GC content."""

    def __init__(self, genes: np.ndarray, gc: np.ndarray) -> None:
        self._sorted = genes[np.argsort(gc[genes], kind="stable")]
        self._rank = {gene: rank for rank, gene in enumerate(self._sorted.tolist())}
        self._reach = max(_NEAREST_GENES, int(_NEAREST_SHARE * len(genes))) // 2

    def draw(self, gene: int, rng: np.random.Generator) -> Iterator[int]:
        """Yield other genes with a similar GC content, in random order."""
        rank = self._rank[gene]
        near = self._sorted[max(rank - self._reach, 0) : rank + self._reach + 1]
        yield from rng.permutation(near[near != gene])[:_TRIES].tolist()


def _in_shuffles(
    windows: list[Window],
    genome: Genome,
    predictors: Mapping[str, Predictor],
    chosen: list[tuple[int, Change, np.random.Generator]],
) -> np.ndarray:
    """Return the effects, shape=(n, tasks), of changes in shuffles of their windows."""
    references, alternatives, ends = [], [], []
    for gene, change, rng in chosen:
        window = windows[gene]
        own = window.codes(genome, 0, window.end - window.start)
        first, last, _ = window.place(change)
        reference = shuffle_around(own, first, last, rng)
        codes, end = alternative_windows(genome, window, reference, [change])
        references.append(reference)
        alternatives.append(codes[0])
        ends.append(int(end[0]))
    rows = np.array([gene for gene, *_ in chosen], np.int64)
    sides = np.stack(references), np.stack(alternatives)
    return predicted_differences(windows, predictors, rows, *sides, np.array(ends, np.int64)).mean(axis=1)


def _elsewhere(
    windows: list[Window],
    genome: Genome,
    predictors: Mapping[str, Predictor],
    chosen: list[tuple[int, Change, np.random.Generator]],
    neighbours: _NearestGenes,
    n_tasks: int,
) -> np.ndarray:
    """Return the effects, shape=(n, tasks), of changes at matched places of other genes."""
    found = []
    for gene, change, rng in chosen:
        changes = ((other, _moved(windows[gene], change, windows[other], genome, rng)) for other in neighbours.draw(gene, rng))
        found += [next(((other, moved) for other, moved in changes if moved), None)]
    places = [place for place in found if place]
    rows = np.array([gene for gene, _ in places], np.int64)
    if not places:
        return np.zeros((0, n_tasks))
    length = windows[0].end - windows[0].start
    references = np.stack([windows[gene].codes(genome, 0, length) for gene, _ in places])
    changed = [
        alternative_windows(genome, windows[gene], own, [change])
        for (gene, change), own in zip(places, references, strict=True)
    ]
    alternatives, ends = (np.concatenate(part) for part in zip(*changed, strict=True))
    return predicted_differences(windows, predictors, rows, references, alternatives, ends).mean(axis=1)


def _moved(window: Window, change: Change, other: Window, genome: Genome, rng: np.random.Generator) -> Change | None:
    """Return a change of the same kind in another window, at about the same distance from its TSS; None if there is none.

    The place of a changed base has the same base and the same neighbours. Other changes are moved without regard to bases.
    """
    first, last, allele = window.place(change)
    length, width = other.end - other.start, last - first
    distance = first - window.mask_start
    reach = max(_LEAST_REACH, abs(distance) // 10)
    places = other.mask_start + distance + np.arange(-reach, reach + 1)
    same_side = (places < other.mask_start) == (distance < 0)
    places = places[same_side & (places >= 1) & (places + width < length)]
    codes = other.codes(genome, 0, length)
    if width == 1 == len(allele):
        context = window.codes(genome, first - 1, last + 1)
        places = places[(codes[places[:, None] + np.arange(-1, 2)] == context).all(axis=1)]
    places = places[(codes[places[:, None] + np.arange(width)] != N).all(axis=1)]
    if width == len(allele):
        places = places[(codes[places[:, None] + np.arange(width)] != allele).any(axis=1)]
    if not len(places):
        return None
    place = int(rng.choice(places))
    start, end = to_genome(other.start, other.end, other.strand, place, place + width)
    return Change(int(start), int(end), decode(reverse_complement(allele) if other.strand == "-" else allele))
