"""Conversions agree with bases read along the strand and are inverse to each other."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake.data.genome import to_genome, to_window

CHROMOSOME = 40


def positions_along(start: int, end: int, strand: str) -> list[int]:
    """Genome positions of the bases of a window, in reading order."""
    return list(range(start, end)) if strand == "+" else list(range(end - 1, start - 1, -1))


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("window", [(10, 17), (0, 7), (CHROMOSOME - 7, CHROMOSOME), (-3, 4), (CHROMOSOME - 4, CHROMOSOME + 3)])
def test_spans_match_the_bases_read_along_the_strand(window, strand):
    along = positions_along(*window, strand)
    for first in range(7):
        for last in range(first + 1, 8):
            bases = sorted(along[first:last])
            assert to_genome(*window, strand, first, last) == (bases[0], bases[-1] + 1)
            assert to_window(*window, strand, bases[0], bases[-1] + 1) == (first, last)


def test_scalars_give_scalars_and_columns_give_arrays():
    assert to_window(100, 200, "-", 199, 200) == (0, 1)
    assert all(isinstance(value, np.int64) for value in (*to_window(100, 200, "-", 199, 200), *to_genome(1, 9, "+", 2, 3)))
    table = pd.DataFrame({"start": [100, 300], "end": [200, 400], "strand": ["+", "-"]}, index=[7, 3])
    spans = pd.DataFrame({"first": [2, 5], "last": [4, 8]}, dtype="uint16")
    start, end = to_genome(table["start"], table["end"], table["strand"], spans["first"], spans["last"])
    assert (start.tolist(), end.tolist(), start.dtype, end.dtype) == ([102, 392], [104, 395], np.int64, np.int64)


def test_empty_tables_give_no_spans():
    none = np.array([], dtype=np.int64)
    for function in (to_genome, to_window):
        first, last = function(none, none, np.array([], dtype=str), none, none)
        assert first.shape == last.shape == (0,)
        assert first.dtype == last.dtype == np.int64


def test_round_trip_inside_and_outside_of_windows():
    rng = np.random.default_rng(0)
    start = rng.integers(-1000, 1 << 40, 5000)
    end = start + rng.integers(1, 1_000_000, 5000)
    strand = rng.choice(["+", "-"], 5000)
    first = rng.integers(-2_000_000, 2_000_000, 5000)
    last = first + rng.integers(0, 5000, 5000)
    for function, inverse in ((to_genome, to_window), (to_window, to_genome)):
        back = inverse(start, end, strand, *function(start, end, strand, first, last))
        np.testing.assert_array_equal(back, (first, last))
