"""Windows around an anchor, and counts of words in them."""

from __future__ import annotations

import numpy as np
import pytest

from cisnake.data.genome import N
from cisnake.scout import Grid, WordCounts, place_grid
from cisnake.words import count_kmers


@pytest.mark.parametrize("k", [1, 2, 3, 6])
def test_sums_over_segments_equal_direct_counts(k: int) -> None:
    rng = np.random.default_rng(k)
    # Segments shorter than a word, borders at the anchor, and runs of N across borders and at both ends.
    grid = Grid((0, 3, 60, 200), (0, 2, 7, 90, 150))
    codes = rng.integers(0, 4, (40, 350)).astype(np.int8)
    codes[rng.random(codes.shape) < 0.01] = N
    codes[0, :40], codes[1, -40:], codes[2, 190:215], codes[3] = N, N, N, N
    codes[4] = 0
    counts = WordCounts(codes, grid, k)
    assert len(grid.cells) == 14
    for upstream, downstream in grid.cells:
        direct = count_kmers(codes[:, 200 - upstream : 200 + downstream], k)
        assert np.array_equal(counts.window(upstream, downstream), direct), (upstream, downstream)


def test_a_grid_with_only_one_side() -> None:
    codes = np.random.default_rng(0).integers(0, 4, (5, 100)).astype(np.int8)
    assert np.array_equal(WordCounts(codes, Grid((0, 100), (0,)), 4).window(100, 0), count_kmers(codes, 4))
    assert np.array_equal(WordCounts(codes, Grid((0,), (0, 100)), 4).window(0, 100), count_kmers(codes, 4))


def test_a_grid_is_limited_to_what_nearly_all_genes_have() -> None:
    room = np.full(1000, 5000)
    assert place_grid(room, room, (500, 500)).largest == (4000, 2000)
    # A long window of the configuration is part of the grid only if it fits.
    assert place_grid(room, room, (4800, 5200)).largest == (4800, 2000)
    few, many = room.copy(), room.copy()
    few[:15], many[:25] = 300, 300
    assert place_grid(few, many, (250, 150)) == Grid((0, 250, 500, 1000, 2000, 4000), (0, 150))
