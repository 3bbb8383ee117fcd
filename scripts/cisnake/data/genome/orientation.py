"""Convert coordinates between the genome and windows read along the strand of a gene.

All spans are 0-based and half-open. Position 0 of a window is its 5' end on the gene's strand: its first base on the genome
for "+", its last for "-". All functions work element-wise and accept any mix of scalars, arrays and table columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike


def to_genome(
    window_start: ArrayLike, window_end: ArrayLike, strand: ArrayLike, first: ArrayLike, last: ArrayLike
) -> tuple[Any, Any]:
    """Convert spans [first, last) of windows to genome coordinates; spans may extend beyond their window.

    Parameters
    ----------
    window_start, window_end: array of int
        The windows on the genome, bp.
    strand: array of str
        "+" or "-".
    first, last: array of int
        Spans in the windows, bp from position 0.

    Returns
    -------
    start, end: numpy.ndarray, dtype=int64
        Genome coordinates; scalars for scalar input.

    See Also
    --------
    to_window: the inverse.

    Examples
    --------
    The first ten bases of the window 100-200, on either strand:

    >>> from cisnake.data.genome import to_genome
    >>> start, end = to_genome(100, 200, ["+", "-"], 0, 10)
    >>> start.tolist(), end.tolist()
    ([100, 190], [110, 200])
    """
    window_start, window_end, first, last = _integers(window_start, window_end, first, last)
    return _by_strand(strand, window_start + first, window_end - last), _by_strand(
        strand, window_start + last, window_end - first
    )


def to_window(
    window_start: ArrayLike, window_end: ArrayLike, strand: ArrayLike, start: ArrayLike, end: ArrayLike
) -> tuple[Any, Any]:
    """Convert spans [start, end) of the genome to window coordinates; spans may extend beyond their window.

    Parameters
    ----------
    window_start, window_end: array of int
        The windows on the genome, bp.
    strand: array of str
        "+" or "-".
    start, end: array of int
        Spans on the genome, bp, on the same chromosome as their window. A single base at p is the span [p, p + 1).

    Returns
    -------
    first, last: numpy.ndarray, dtype=int64
        bp from position 0 of the window, negative upstream of it; scalars for scalar input.

    See Also
    --------
    to_genome: the inverse.

    Examples
    --------
    Bases 190-195 of the genome in the window 100-200, on either strand:

    >>> from cisnake.data.genome import to_window
    >>> first, last = to_window(100, 200, ["+", "-"], 190, 195)
    >>> first.tolist(), last.tolist()
    ([90, 5], [95, 10])
    """
    window_start, window_end, start, end = _integers(window_start, window_end, start, end)
    return _by_strand(strand, start - window_start, window_end - end), _by_strand(
        strand, end - window_start, window_end - start
    )


def _integers(*coordinates: ArrayLike) -> list[np.ndarray]:
    return [np.asarray(values).astype(np.int64) for values in coordinates]


def _by_strand(strand: ArrayLike, forward: np.ndarray, reverse: np.ndarray) -> Any:
    # Indexing with an empty tuple turns a zero-dimensional array into a scalar and leaves other arrays unchanged.
    return np.where(np.asarray(strand) == "+", forward, reverse)[()]
