"""Positions in gene-oriented windows, and on the genome."""

from __future__ import annotations

import numpy as np


def to_genome(
    window_start: np.ndarray, window_end: np.ndarray, strand: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return genome coordinates of spans [first, last) of gene-oriented windows.

    Parameters
    ----------
    window_start, window_end: numpy.ndarray, dtype=int
        The windows on the genome, 0-based and half-open.
    strand: numpy.ndarray, dtype=str
        "+" or "-": position 0 of a window is its 5' end on that strand.
    first, last: numpy.ndarray, dtype=int
        Spans in the windows, half-open.

    Returns
    -------
    start, end: numpy.ndarray, dtype=int
    """
    forward = strand == "+"
    start = np.where(forward, window_start + first, window_end - last)
    return start.astype(int), np.where(forward, window_start + last, window_end - first).astype(int)
