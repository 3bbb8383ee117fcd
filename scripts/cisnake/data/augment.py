"""Random changes of a training window that leave its label as it is."""

from __future__ import annotations

import numpy as np


def shifts(n: int, max_shift: int, rng: np.random.Generator) -> np.ndarray:
    """Return one shift per example, uniform over -max_shift .. max_shift; shape=(n,), dtype=int64."""
    return rng.integers(-max_shift, max_shift, endpoint=True, size=n)


def crop(padded: np.ndarray, pad: int, shift: np.ndarray) -> np.ndarray:
    """Return the windows of padded rows, each moved by its own shift.

    Parameters
    ----------
    padded: numpy.ndarray, shape=(n, length + 2 pad)
        Sequences or masks.
    pad: int
        Bases stored beyond each end of the window.
    shift: numpy.ndarray, shape=(n,), dtype=int
        By how many bases the window moves downstream; at most `pad` either way.

    Returns
    -------
    numpy.ndarray, shape=(n, length)
    """
    length = padded.shape[1] - 2 * pad
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    return windows[np.arange(len(padded)), pad + shift]
