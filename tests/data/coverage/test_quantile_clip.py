"""Limits computed block by block equal numpy's quantiles of all labels."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from cisnake.data.coverage.quantile_clip import ClippedRows, find_limits
from cisnake.errors import InputError

RNG = np.random.default_rng(0)
LABELS = RNG.standard_cauchy((37, 3, 11)).astype(np.float32)
LABELS[:, 2] = np.round(LABELS[:, 2])


def read(rows):
    return LABELS[rows]


@pytest.mark.parametrize("quantile", [0.0, 0.5, 0.9, 0.99, 0.9975, 0.9999999, 1.0])
@pytest.mark.parametrize("rows", [1, 8, 64])
def test_against_numpy(quantile, rows):
    expected = np.quantile(np.abs(LABELS).transpose(1, 0, 2).reshape(3, -1).astype(np.float64), quantile, axis=1)
    found = find_limits(read, len(LABELS), quantile, rows)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_one_label():
    np.testing.assert_array_equal(find_limits(lambda rows: np.full((1, 2, 1), -3.0, np.float32)[rows], 1, 0.9999999), [3, 3])


def test_several_processes():
    np.testing.assert_array_equal(find_limits(read, len(LABELS), 0.9, 8, processes=2), find_limits(read, len(LABELS), 0.9, 8))


def killed_later(rows):
    if rows.start >= 16:
        os.kill(os.getpid(), signal.SIGKILL)
    return LABELS[rows]


def fails_later(rows):
    if rows.start >= 16:
        raise InputError("track a.bw ends early: regenerate it.")
    return LABELS[rows]


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (
            killed_later,
            "a process that searched for the highest labels was killed, probably because memory ran out: use fewer processes",
        ),
        (fails_later, r"^track a\.bw ends early: regenerate it\.$"),
    ],
)
def test_errors_of_other_processes_are_raised(reader, message):
    with pytest.raises(InputError, match=message):
        find_limits(reader, len(LABELS), 0.9, 8, processes=2)


def test_both_tails_are_clipped():
    clipped = ClippedRows(read, np.array([1.0, 2.0, np.inf], np.float32))(slice(5, 20))
    np.testing.assert_array_equal(clipped[:, 0], np.clip(LABELS[5:20, 0], -1, 1))
    np.testing.assert_array_equal(clipped[:, 1], np.clip(LABELS[5:20, 1], -2, 2))
    np.testing.assert_array_equal(clipped[:, 2], LABELS[5:20, 2])
    assert clipped.min(axis=(0, 2))[1] == -2
