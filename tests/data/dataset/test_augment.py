"""Shifts move windows by exactly the given number of bases."""

from __future__ import annotations

import numpy as np

from cisnake.data.dataset import augment


def test_crop_is_a_slice_of_each_row():
    rng = np.random.default_rng(0)
    padded = rng.integers(0, 5, (200, 31)).astype(np.int8)
    shift = rng.integers(-4, 5, 200)
    found = augment.crop(padded, 4, shift)
    assert found.shape == (200, 23) and found.dtype == np.int8
    for row, moved, window in zip(padded, shift, found):
        assert window.tolist() == row[4 + moved : 4 + moved + 23].tolist()


def test_crop_copies():
    padded = np.zeros((2, 5), np.int8)
    augment.crop(padded, 1, np.array([0, 1]))[:] = 1
    assert not padded.any()


def test_shifts_reach_both_ends_evenly():
    drawn = augment.shifts(7000, 3, np.random.default_rng(0))
    values, counts = np.unique(drawn, return_counts=True)
    assert values.tolist() == [-3, -2, -1, 0, 1, 2, 3] and counts.min() > 850 and counts.max() < 1150
    assert not augment.shifts(10, 0, np.random.default_rng(0)).any()
