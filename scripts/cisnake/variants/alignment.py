"""Align the windows of two alleles column by column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cisnake.data.genome import to_genome
from cisnake.variants.windows import Change, Window


@dataclass(frozen=True, eq=False)
class Alignment:
    """A stretch around a change, in the direction of the gene; -1 where an allele has no base in its window.

    Attributes
    ----------
    unchanged, changed: numpy.ndarray, shape=(columns,), dtype=int64
        Positions in the window without and with the change.
    genome: numpy.ndarray, shape=(columns,), dtype=int64
        Positions on the unchanged genome, 0-based; -1 at inserted bases and beyond the start of the chromosome.
    core: tuple of int
        Columns [first, last) of the changed bases.
    """

    unchanged: np.ndarray
    changed: np.ndarray
    genome: np.ndarray
    core: tuple[int, int]


def align_change(window: Window, change: Change, flank: int) -> Alignment:
    """Align the window with a change to the window without it.

    Bases on either side of the change keep their partners, although an indel moves those on one side within the window (see
    `alternative_windows`). Replaced bases are matched to their replacement one for one, in the direction of the gene; the gap
    of the shorter allele follows.

    Parameters
    ----------
    window: Window
    change: Change
        A trimmed change that affects the window.
    flank: int
        Number of columns on either side of the changed bases; fewer where neither window has bases.

    Examples
    --------
    An insertion upstream of the TSS, which is at 6: the bases upstream of it move by two.

    >>> from cisnake.variants.alignment import align_change
    >>> from cisnake.variants.windows import Change, Window
    >>> aligned = align_change(Window("chr1", 100, 110, "+", 6, 9), Change(104, 104, "GG"), flank=2)
    >>> aligned.unchanged.tolist(), aligned.changed.tolist(), aligned.core
    ([2, 3, -1, -1, 4, 5], [0, 1, 2, 3, 4, 5], (2, 4))
    """
    first, last, allele = window.place(change)
    begin, grown = window.moved(change)
    length, size = window.end - window.start, max(last - first, len(allele))
    within = np.arange(size)
    offsets = np.concatenate([np.arange(-flank, 0), within, np.arange(flank)])
    core = np.repeat([False, True, False], [flank, size, flank])
    # Positions before and within the change count from its start, those after it from its end in either allele.
    after = np.repeat([False, True], [flank + size, flank])
    old = offsets + np.where(after, last, first)
    new = offsets + np.where(after, last + grown, first) - begin
    in_old, in_new = ~core, ~core
    in_old[core], in_new[core] = within < last - first, within < len(allele)
    unchanged = np.where(in_old & (old >= 0) & (old < length), old, -1)
    changed = np.where(in_new & (new >= 0) & (new < length), new, -1)
    genome, _ = to_genome(window.start, window.end, window.strand, old, old + 1)
    kept = (unchanged >= 0) | (changed >= 0)
    columns = np.flatnonzero(core[kept])
    return Alignment(
        unchanged[kept],
        changed[kept],
        np.where(in_old, np.maximum(genome, -1), -1)[kept],
        (int(columns[0]), int(columns[-1]) + 1),
    )
