"""A grid of windows around an anchor, and counts of words in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cisnake.words import count_kmers

UPSTREAM = (0, 250, 500, 1000, 2000, 4000)
DOWNSTREAM = (0, 150, 500, 1000, 2000)

# Share of the genes that must have the bases of a border within their chromosome.
_SHARE_WITH_ROOM = 0.98
# Shorter windows hold too few words.
_SHORTEST = 50


@dataclass(frozen=True)
class Grid:
    """Windows with every combination of bases upstream and downstream of an anchor.

    Attributes
    ----------
    upstream, downstream: tuple of int
        Bases upstream of the anchor, and downstream of it including the anchor; ascending.

    Examples
    --------
    >>> from cisnake.scout import Grid
    >>> Grid((0, 250), (0, 150)).cells
    [(0, 150), (250, 0), (250, 150)]
    """

    upstream: tuple[int, ...]
    downstream: tuple[int, ...]

    @property
    def cells(self) -> list[tuple[int, int]]:
        """The windows of at least 50 bases, each as bases upstream and downstream."""
        return [(u, d) for u in self.upstream for d in self.downstream if u + d >= _SHORTEST]

    @property
    def largest(self) -> tuple[int, int]:
        """The window that contains all others."""
        return self.upstream[-1], self.downstream[-1]


def place_grid(room_upstream: np.ndarray, room_downstream: np.ndarray, configured: tuple[int, int]) -> Grid:
    """Return the grid of windows that nearly all genes have within their chromosome.

    Parameters
    ----------
    room_upstream, room_downstream: numpy.ndarray, shape=(genes,), dtype=int
        Bases between the anchor of each gene and either end of its chromosome; the anchor is downstream.
    configured: tuple of int
        Bases upstream and downstream in the configuration of the run, which are part of the grid too.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.scout import place_grid
    >>> place_grid(np.full(50, 1500), np.full(50, 9000), (300, 1000))
    Grid(upstream=(0, 250, 300, 500, 1000), downstream=(0, 150, 500, 1000, 2000))
    """

    def borders(usual: Sequence[int], room: np.ndarray, own: int) -> tuple[int, ...]:
        return tuple(n for n in sorted({*usual, own}) if n == 0 or (room >= n).mean() >= _SHARE_WITH_ROOM)

    upstream, downstream = (
        borders(*side) for side in ((UPSTREAM, room_upstream, configured[0]), (DOWNSTREAM, room_downstream, configured[1]))
    )
    return Grid(upstream, downstream)


class WordCounts:
    """Counts of the words of k bases in every window of a grid.

    Each base is read once: words are counted between the borders of the grid and summed over windows. A word is counted in the
    windows that contain all its bases.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(genes, length), dtype=int8
        The largest window of the grid, on the strand of the gene.
    grid: Grid
    k: int
    """

    def __init__(self, codes: np.ndarray, grid: Grid, k: int) -> None:
        length = codes.shape[1]
        anchor, dtype = grid.upstream[-1], np.min_scalar_type(length)

        def starting(first: int, last: int) -> np.ndarray:
            """Count the words that start in [first, last)."""
            return count_kmers(codes[:, max(first, 0) : min(last + k - 1, length)], k).astype(dtype)

        none = starting(0, 1 - k)
        self._upstream, self._downstream = {0: none}, {0: none}
        for near, far in zip((0, *grid.upstream), grid.upstream, strict=False):
            if far > near:
                self._upstream[far] = self._upstream[near] + starting(anchor - far, anchor - near)
        for near, far in zip((0, *grid.downstream), grid.downstream, strict=False):
            if far > near:
                self._downstream[far] = self._downstream[near] + starting(anchor + near, anchor + far)
        # Words that start before a border and end after it.
        self._crossing = {border: starting(anchor + border - k + 1, anchor + border) for border in grid.downstream}
        if grid.downstream[-1]:
            self._crossing[grid.downstream[-1]] = none

    def window(self, upstream: int, downstream: int) -> np.ndarray:
        """Return the counts of a window of the grid; shape=(genes, 4^k), dtype=float32."""
        counts = self._upstream[upstream].astype(np.float32)
        counts += self._downstream[downstream]
        counts -= self._crossing[downstream]
        return counts
