"""Confidence intervals of scores: a paired bootstrap over blocks of neighbouring genes or tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

LEAST_BLOCKS = 30
"""With fewer blocks, intervals are too narrow to be of use, and none is given."""

DRAWS = 1000

# Largest number of genes per block where windows do not overlap: neighbours in the genome can be regulated together.
_NEIGHBOURS = 10
_TAILS = (2.5, 97.5)
# Numbers that are drawn at a time, to bound memory.
_NUMBERS = 1 << 24

Interval = tuple[float, float]


def neighbour_blocks(windows: pd.DataFrame) -> np.ndarray | None:
    """Divide genes or tiles into blocks of neighbours that do not depend on each other.

    Windows that overlap, directly or through others, stay in one block. Blocks hold up to ten neighbours or more, fewer if
    there are few genes, and never cross chromosomes.

    Parameters
    ----------
    windows: pandas.DataFrame, n rows
        chrom, start, end (0-based, half-open).

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=int64, or None
        Block of each row, numbered from 0; None if there are fewer than `LEAST_BLOCKS`.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.evaluate import neighbour_blocks
    >>> windows = pd.DataFrame({"chrom": "chr1", "start": range(0, 4000, 100), "end": range(100, 4100, 100)})
    >>> neighbour_blocks(windows).tolist()[-3:]
    [37, 38, 39]
    >>> neighbour_blocks(windows.assign(end=windows["end"] + 1)) is None
    True
    """
    order = np.lexsort([windows["start"], windows["chrom"].astype(str)])
    chrom, start, end = (windows[name].to_numpy()[order] for name in ("chrom", "start", "end"))
    n = len(order)
    if n < LEAST_BLOCKS:
        return None
    new_chrom = np.append(True, chrom[1:] != chrom[:-1])
    chromosome = np.cumsum(new_chrom) - 1
    # Ends of all earlier windows of the chromosome; chromosomes are kept apart by an offset.
    offset = chromosome * (int(end.max()) + 1)
    reach = np.maximum.accumulate(end + offset)
    new_run = new_chrom | np.append(True, (start + offset)[1:] >= reach[:-1])
    first = np.flatnonzero(new_run)[np.cumsum(new_run) - 1]
    in_chromosome = first - np.flatnonzero(new_chrom)[chromosome]
    for size in range(max(1, min(_NEIGHBOURS, n // LEAST_BLOCKS)), 0, -1):
        new_block = np.append(True, (np.diff(in_chromosome // size) != 0) | new_chrom[1:])
        if new_block.sum() >= LEAST_BLOCKS:
            blocks = np.empty(n, np.int64)
            blocks[order] = np.cumsum(new_block) - 1
            return blocks
    return None


@dataclass(frozen=True)
class BlockSums:
    """Sums over blocks from which Pearson's r and R² of any set of blocks follow.

    Attributes
    ----------
    true: numpy.ndarray, shape=(3, blocks, tasks), dtype=float64
        Number of measured values, their sum, and their sum of squares.
    predicted: numpy.ndarray, shape=(predictors, 3, blocks, tasks), dtype=float64
        Sums of predictions, of their squares, and of their products with the measured values.
    """

    true: np.ndarray
    predicted: np.ndarray

    def __add__(self, other: BlockSums) -> BlockSums:
        return BlockSums(self.true + other.true, self.predicted + other.predicted)


def sum_blocks(
    true: np.ndarray, predictors: list[np.ndarray], blocks: np.ndarray, n_blocks: int, shift: np.ndarray
) -> BlockSums:
    """Sum measurements and predictions over blocks.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, tasks)
        NaN for missing values.
    predictors: list of numpy.ndarray, shape=(n, tasks)
    blocks: numpy.ndarray, shape=(n,), dtype=int
    n_blocks: int
    shift: numpy.ndarray, shape=(tasks,)
        Subtracted from measurements and predictions, so that sums of squares stay accurate: a typical value of each task.
    """
    measured = np.isfinite(true)
    order = np.argsort(blocks, kind="stable")
    starts = np.searchsorted(blocks[order], np.arange(n_blocks))
    empty = np.bincount(blocks, minlength=n_blocks) == 0

    def total(values: np.ndarray) -> np.ndarray:
        padded = np.concatenate([values[order], np.zeros((1, values.shape[1]))])
        sums = np.add.reduceat(padded, starts, axis=0)
        sums[empty] = 0.0
        return sums

    t = np.where(measured, np.asarray(true, np.float64) - shift, 0.0)
    sums = np.stack([total(measured.astype(np.float64)), total(t), total(t**2)])
    parts = []
    for predicted in predictors:
        p = np.where(measured, np.asarray(predicted, np.float64) - shift, 0.0)
        parts.append(np.stack([total(p), total(p**2), total(p * t)]))
    return BlockSums(sums, np.stack(parts))


@dataclass(frozen=True)
class BootstrapScores:
    """Scores of bootstrap draws; all predictors are scored on the same draws.

    Attributes
    ----------
    pearson, r2: numpy.ndarray, shape=(predictors, draws, tasks), dtype=float32
        NaN where undefined.
    """

    pearson: np.ndarray
    r2: np.ndarray


def draw_scores(sums: BlockSums, seed: int = 0, draws: int = DRAWS) -> BootstrapScores:
    """Draw as many blocks as there are, with replacement, and score the predictors on each draw.

    Parameters
    ----------
    sums: BlockSums
    seed: int
    draws: int

    Notes
    -----
    The block bootstrap of Künsch (1989), Annals of Statistics 17:1217, with the blocks of `neighbour_blocks`.
    """
    predictors, _, n_blocks, tasks = sums.predicted.shape
    rng = np.random.default_rng(seed)
    pearson, r2 = (np.empty((predictors, draws, tasks), np.float32) for _ in range(2))
    step = max(1, _NUMBERS // (max(n_blocks, 6 * tasks)))
    for first in range(0, draws, step):
        last = min(first + step, draws)
        times = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=last - first).astype(np.float64)
        n, t, tt = times @ sums.true
        spread = tt - t**2 / np.maximum(n, 1)
        for i in range(predictors):
            p, pp, tp = times @ sums.predicted[i]
            varied = pp - p**2 / np.maximum(n, 1)
            # Differences of sums that are only rounding errors count as 0.
            varied = np.where(varied > 1e-12 * np.abs(pp), varied, 0.0 * varied)
            size = np.sqrt(np.maximum(spread, 0) * varied)
            undefined = np.where(spread > 1e-12 * tt, 0.0, np.nan)
            pearson[i, first:last] = np.divide(tp - t * p / np.maximum(n, 1), size, out=undefined, where=size > 0)
            unmeasured = np.full(spread.shape, np.nan)
            r2[i, first:last] = 1 - np.divide(pp - 2 * tp + tt, spread, out=unmeasured, where=spread > 1e-12 * tt)
    return BootstrapScores(pearson, r2)


def percentile_interval(values: np.ndarray) -> Interval | None:
    """Return the 2.5th and the 97.5th percentile of the draws in which a score is defined; None if there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import percentile_interval
    >>> percentile_interval(np.arange(1001.0))
    (25.0, 975.0)
    """
    values = values[np.isfinite(values)]
    return (float(np.percentile(values, _TAILS[0])), float(np.percentile(values, _TAILS[1]))) if len(values) else None


def median_over_tasks(values: np.ndarray) -> np.ndarray:
    """Return the median over tasks with a score of each draw; shape=(draws,).

    Parameters
    ----------
    values: numpy.ndarray, shape=(draws, tasks)
    """
    known = values[:, np.isfinite(values).any(axis=0)]
    return np.nanmedian(known, axis=1) if known.shape[1] else np.full(len(values), np.nan)
