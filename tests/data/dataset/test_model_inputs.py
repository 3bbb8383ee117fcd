"""Model inputs are one-hot bases and the gene body, at every length and alignment."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from cisnake.data.dataset.model_inputs import model_input


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 7, 8, 63, 1000])
def test_against_the_definition(depth, n, length):
    rng = np.random.default_rng([n, length])
    codes = rng.integers(0, 5, (n, length)).astype(np.int8)
    start = rng.integers(-length - 2, length + 3, n)
    end = start + rng.integers(0, 2 * length + 3, n)
    found = model_input(codes, start, end, depth)
    assert found.shape == (n, length, depth) and found.dtype == np.float32
    for row in range(n):
        for position in range(length):
            expected = [float(codes[row, position] == base) for base in range(4)]
            expected += [float(start[row] <= position < end[row])] if depth == 5 else []
            assert found[row, position].tolist() == expected


def test_non_contiguous_views():
    codes = np.random.default_rng(0).integers(0, 5, (9, 50)).astype(np.int8)
    zeros = np.zeros(3, int)
    for view in (codes[::3, 3:37], codes[:3, ::-1], codes[:3, ::2]):
        np.testing.assert_array_equal(model_input(view, zeros, zeros, 5), model_input(view.copy(), zeros, zeros, 5))


def test_codes_are_not_modified():
    codes = np.full((2, 9), 3, np.int8)
    model_input(codes, np.zeros(2, int), np.full(2, 9), 5)[:] = 7
    assert (codes == 3).all() and model_input(codes, np.zeros(2, int), np.zeros(2, int), 5).max() == 1


def test_memory_is_reused_only_without_references():
    rng = np.random.default_rng(0)
    kept = []

    def make(i: int) -> None:
        codes = np.full((2, 1000 + i % 3), i % 4, np.int8)
        found = model_input(codes, np.zeros(2, int), np.zeros(2, int), 5)
        assert found.ctypes.data % 64 == 0
        # Keep the array, then a view of a view of it, then nothing.
        kept.append((i % 4, [found, found[1][::2], None][rng.integers(3)]))

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(make, range(300)))
    for base, array in kept:
        assert array is None or ((array[..., base] == 1).all() and array.sum() == array[..., 0].size)
    del kept[:], array
    first = model_input(np.zeros((2, 1000), np.int8), np.zeros(2, int), np.zeros(2, int), 5)
    address = first.ctypes.data
    second = model_input(np.ones((2, 1000), np.int8), np.zeros(2, int), np.zeros(2, int), 5)
    assert second.ctypes.data != address
    del first
    again = model_input(np.ones((2, 1000), np.int8), np.zeros(2, int), np.zeros(2, int), 5)
    assert again.ctypes.data == address and (again[..., 1] == 1).all() and again.sum() == 2000
