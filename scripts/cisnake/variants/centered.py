"""Score variants, and controls for them, in windows that are centred on them, without genes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd

from cisnake.data.dataset import model_input
from cisnake.data.genome import Genome, encode
from cisnake.errors import InputError
from cisnake.model import ONE_VIEW, WindowViews, predict_batches
from cisnake.program import Progress
from cisnake.variants.controls import Controls, control_rng, deal_controls, shuffle_around
from cisnake.variants.statistics import compare_predictions, comparing_statistics
from cisnake.variants.vcf import SCORED
from cisnake.variants.windows import trim


def centered_windows(
    genome: Genome,
    chrom: str,
    start: int,
    ref: str,
    alt: str,
    length: int,
    flipped: bool = False,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """Return windows around a variant with the reference and the alternative allele.

    Base (length - 1) // 2 of the window is the first base that differs or, for an insertion or deletion, the base before it:
    the base at POS in VCF, as in Baskerville. Where alleles differ in length, no window has all bases around the longer one in
    the places that they have around the shorter one; there are two, each for the bases on one side.

    Parameters
    ----------
    genome: Genome
    chrom: str
    start: int
        Position of the first base of `ref`, 0-based.
    ref, alt: str
        The alleles; the genome has `ref`, or `alt` if `flipped`.
    length: int
        Bases in a window.
    flipped: bool
        Whether the genome has the alternative allele. Default False.
    rng: numpy.random.Generator, optional
        To shuffle the window as a control (see `shuffle_around`): the allele of the genome and the base on either side of it
        are kept. Bases that an allele of another length lets in from beyond are those of the genome. Default None: no shuffle.

    Returns
    -------
    numpy.ndarray, shape=(2, 2, length), dtype=int8
        First axis: the window in which the bases before the variant have the same places as with the other allele, then the one
        in which those behind it have. The two differ for the longer allele only. Second axis: REF, ALT. Positions beyond the
        chromosome are N.

    Raises
    ------
    InputError
        An allele is longer than half the window.
    """
    change = trim(start, ref, alt)
    alleles = encode(ref[change.start - start :][: change.end - change.start]), encode(change.alt)
    shortest, longest = sorted(map(len, alleles))
    center = (length - 1) // 2 + (shortest == 0)
    if longest > (length - 1) // 2:
        raise InputError(f"{chrom}:{start + 1}:{ref[:10]}:{alt[:10]}: an allele of {longest} bases exceeds the window.")
    own = alleles[1] if flipped else alleles[0]
    behind = change.start + len(own)
    before = genome.codes(chrom, change.start - length, change.start)
    after = genome.codes(chrom, behind, behind + length)
    if rng is not None:
        inside = length - center - len(own)
        codes = np.concatenate([before[length - center :], own, after[:inside]])
        codes = shuffle_around(codes, center, center + len(own), rng)
        before = np.concatenate([before[: length - center], codes[:center]])
        after = np.concatenate([codes[center + len(own) :], after[inside:]])

    def window(allele: np.ndarray, first: int) -> np.ndarray:
        """Return the window in which the allele begins at base `first`."""
        return np.concatenate([before[length - first :], allele, after])[:length]

    starts = [center] * 2, [center + shortest - len(allele) for allele in alleles]
    return np.array([[window(allele, first) for allele, first in zip(alleles, side)] for side in starts])


def mark_too_long(variants: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return variants with the status `too_long` where an allele does not fit into half a window.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants`.
    length: int
        Bases in a window.
    """
    scored = variants["status"].isin(SCORED)
    changes = [trim(*row) if ok else None for ok, *row in zip(scored, variants["start"], variants["ref"], variants["alt"])]
    longest = np.array([0 if change is None else max(change.end - change.start, len(change.alt)) for change in changes], int)
    return variants.assign(status=variants["status"].mask(longest > (length - 1) // 2, "too_long"))


def merge_strands(tasks: Sequence[str], strand_pair: Sequence[int]) -> tuple[list[str], list[list[int]]]:
    """Return the tasks that remain when those of the two strands are added up.

    Parameters
    ----------
    tasks: sequence of str
    strand_pair: sequence of int
        For each task, the index of the task for the other strand, or its own index.

    Returns
    -------
    names: list of str
        A pair is named by what the names of both have in common at their beginning, without a separator at its end.
    groups: list of list of int
        Tasks of each name.

    Examples
    --------
    >>> from cisnake.variants import merge_strands
    >>> merge_strands(["liver_+", "dnase", "liver_-"], [2, 1, 0])
    (['liver', 'dnase'], [[0, 2], [1]])
    """
    groups = [sorted({i, partner}) for i, partner in enumerate(strand_pair) if i <= partner]
    names = []
    for group in groups:
        whole = [tasks[i] for i in group]
        same = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*whole))
        common = "".join(letter for letter, *_ in same).rstrip("+-_. ")
        names.append(whole[0] if len(group) == 1 else common or "/".join(whole))
    return names, groups


@dataclass(frozen=True, eq=False)
class AlleleScorer:
    """Predicts windows with both alleles, and compares the predictions.

    Predictions are averaged over networks and views before they are compared. If alleles differ in length, predictions with
    positions for the longer one are put together from two windows: up to the middle, from the one in which the bases before the
    variant have the places that they have with the shorter allele; from there on, from the one in which those behind it have.
    Otherwise all positions behind an insertion would be compared with their neighbours. Bases that only the longer allele has
    act on the positions around them, but have none of their own. Predictions without positions are averaged over both windows.

    Parameters
    ----------
    models: sequence of keras.Model
        With the same input, of depth 4, and output.
    statistics: sequence of str
        See `VARIANT_STATISTICS`.
    views: WindowViews
        Shifts and strands. Default: the window as it is.
    batch_size: int
        Windows per pass. Default 16.
    merged: sequence of sequence of int, optional
        Tasks whose predictions are added up before alleles are compared, see `merge_strands`. Default None: each by itself.

    Raises
    ------
    InputError
        The networks read the gene body.
    """

    models: Sequence[keras.Model]
    statistics: Sequence[str]
    views: WindowViews = ONE_VIEW
    batch_size: int = 16
    merged: Sequence[Sequence[int]] | None = None

    def __post_init__(self) -> None:
        if self.models[0].input_shape[2] != 4:
            raise InputError("the networks read the gene body, so that variants need genes: use score_variants.py.")

    def score(self, windows: np.ndarray) -> np.ndarray:
        """Return the statistics of windows.

        Parameters
        ----------
        windows: numpy.ndarray, shape=(n, 2, 2, length), dtype=int8
            From `centered_windows`.

        Returns
        -------
        numpy.ndarray, shape=(n, statistics, tasks), dtype=float64

        Raises
        ------
        InputError
            A statistic is unknown.
        """
        before, behind = windows.transpose(1, 2, 0, 3)
        again = (before != behind).any(axis=-1)
        codes = np.concatenate([*before, behind[again]])
        none = np.zeros(len(codes), int)
        inputs = model_input(codes, none, none, depth=4)
        predicted = np.concatenate(list(predict_batches(self.models, iter([inputs]), self.batch_size, self.views)))
        predicted = predicted.reshape(len(codes), -1, predicted.shape[-1])
        if self.merged is not None:
            predicted = np.stack([predicted[..., list(group)].sum(axis=-1) for group in self.merged], axis=-1)
        n, middle = len(windows), predicted.shape[1] // 2
        sides = predicted[: 2 * n].reshape(2, n, *predicted.shape[1:])
        if predicted.shape[1] > 1:
            sides[again, middle:] = predicted[2 * n :, middle:]
        else:
            sides[again] = (sides[again] + predicted[2 * n :]) / 2
        return np.stack([compare_predictions(ref, alt, self.statistics) for ref, alt in zip(*sides, strict=True)])


def score_centered(variants: pd.DataFrame, genome: Genome, scorer: AlleleScorer) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield statistics of variants in windows centred on them, batch by batch.

    Parameters
    ----------
    variants: pandas.DataFrame
        From `read_variants` and `mark_too_long`. Only those with the status ok or flipped are scored.
    genome: Genome
    scorer: AlleleScorer

    Yields
    ------
    rows: numpy.ndarray, shape=(n,)
        Rows of `variants`, ascending.
    values: numpy.ndarray, shape=(n, statistics, tasks), dtype=float64
    """
    scored = np.flatnonzero(variants["status"].isin(SCORED))
    progress = Progress("variants scored", len(scored))
    for first in range(0, len(scored), scorer.batch_size):
        rows = scored[first : first + scorer.batch_size]
        yield rows, scorer.score(_windows_around(variants.iloc[rows], genome, scorer))
        progress.advance(len(rows))


def draw_centered_controls(
    variants: pd.DataFrame, genome: Genome, scorer: AlleleScorer, count: int, seed: int = 0
) -> Controls | None:
    """Score control changes: those of the variants, with the base on either side, in shuffles of their own windows.

    All variants have equally many controls (to within one), so that kinds of changes are distributed as among the variants.

    Parameters
    ----------
    variants: pandas.DataFrame
        As for `score_centered`.
    genome: Genome
    scorer: AlleleScorer
    count: int
        Number of controls.
    seed: int
        Random seed. Draws do not depend on the batch size. Default 0.

    Returns
    -------
    Controls or None
        For each statistic that compares alleles and, within it, each task: a column of `shuffled`. There are no matched
        controls. None if no variant can be scored, or if `count` is 0.

    Raises
    ------
    InputError
        `count` is negative, or no statistic compares alleles.
    """
    if count < 0:
        raise InputError(f"the number of controls is {count}: it must be 0 or more.")
    scored = np.flatnonzero(variants["status"].isin(SCORED))
    if not count or not len(scored):
        return None
    comparing = comparing_statistics(scorer.statistics)
    if not comparing:
        raise InputError("controls need a statistic that compares the alleles: REF and ALT do not.")
    scorer = dataclasses.replace(scorer, statistics=comparing)
    drawn, sizes = deal_controls(scored, count, seed), []
    progress = Progress("control changes scored", count)
    for first in range(0, count, scorer.batch_size):
        rows = drawn[first : first + scorer.batch_size]
        rngs = [control_rng(seed, first + i) for i in range(len(rows))]
        values = np.abs(scorer.score(_windows_around(variants.iloc[rows], genome, scorer, rngs)))
        sizes.append(values.reshape(len(values), -1))
        progress.advance(len(rows))
    shuffled = np.concatenate(sizes)
    shuffled.sort(axis=0)
    return Controls(shuffled, matched=shuffled[:0])


def _windows_around(
    variants: pd.DataFrame,
    genome: Genome,
    scorer: AlleleScorer,
    rngs: Sequence[np.random.Generator | None] | None = None,
) -> np.ndarray:
    """Return the windows of variants, see `centered_windows`; shuffled with a generator for each, if these are given."""
    length = scorer.models[0].input_shape[1]
    columns = (variants[name] for name in ("chrom", "start", "ref", "alt", "status"))
    windows = [
        centered_windows(genome, chrom, start, ref, alt, length, status == "flipped", rng)
        for chrom, start, ref, alt, status, rng in zip(*columns, rngs or [None] * len(variants), strict=True)
    ]
    return np.stack(windows)
