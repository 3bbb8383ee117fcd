"""Codes of bases as the float32 arrays that a model takes, four bases at a time."""

from __future__ import annotations

import math

import numpy as np

_ALIGNMENT = 64
_IDLE_BYTES = 1 << 28
_idle: dict[int, list[np.ndarray]] = {}

# Rows by code, 0 to 7: three bits of a byte; 4 is N, and 5 to 7 do not occur.
_SINGLE = {depth: np.eye(8, depth, dtype=np.float32) * (np.arange(depth) < 4).astype(np.float32) for depth in (4, 5)}


def _four(depth: int) -> np.ndarray:
    """Return the rows of every four codes, side by side, by a number of twelve bits, the first code in the lowest."""
    number = np.arange(1 << 12)
    return np.concatenate([_SINGLE[depth][number >> 3 * i & 7] for i in range(4)], axis=1)


_FOUR = {depth: _four(depth) for depth in (4, 5)}


class _Memory:
    """Memory of a batch; when the last array in it is gone, it is kept for the next batch of that size.

    Fresh memory of some megabytes comes from the system page by page and zeroed, which takes longer than filling it.
    """

    def __init__(self, size: int) -> None:
        try:
            self.raw = _idle[size].pop()
        except (KeyError, IndexError):
            self.raw = np.empty(size, np.uint8)
        self.__array_interface__ = self.raw.__array_interface__

    # Bound here, because at the end of a program the names of a module go before its objects.
    def __del__(self, idle: dict[int, list[np.ndarray]] = _idle, most: int = _IDLE_BYTES) -> None:
        if len(self.raw) not in idle:
            # Only memory of the present size is kept: another one means other windows or the last batch of an epoch.
            idle.clear()
        blocks = idle.setdefault(len(self.raw), [])
        if (len(blocks) + 1) * len(self.raw) <= most:
            blocks.append(self.raw)


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """Return an uninitialised float32 array, aligned so that TensorFlow takes it as it is instead of copying it."""
    size = 4 * math.prod(shape)
    raw = np.asarray(_Memory(size + _ALIGNMENT))
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size].view(np.float32).reshape(shape)


def model_input(codes: np.ndarray, mask_start: np.ndarray, mask_end: np.ndarray, depth: int) -> np.ndarray:
    """Return what the model sees of windows.

    Looking up four bases at once is three times as fast as one by one: an input is twenty times as large as its codes, and what
    remains is hardly more than the time to write it.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        A0 C1 G2 T3 N4.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body, half-open, counted from the window's start and not cut to it; used at depth 5.
    depth: int
        4 (bases) or 5 (bases and gene body).

    Returns
    -------
    numpy.ndarray, shape=(n, length, depth), dtype=float32
        Channels A C G T and, at depth 5, 1 in the gene body; N has zeros for all bases.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.dataset import model_input
    >>> codes = np.array([[0, 4, 2]], np.int8)
    >>> model_input(codes, np.array([1]), np.array([3]), depth=5).tolist()
    [[[1.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0, 1.0]]]
    """
    out = _empty((*codes.shape, depth))
    flat, rows = np.ascontiguousarray(codes, np.int8).reshape(-1), out.reshape(-1, depth)
    whole = flat.size // 4 * 4
    # Three bits of each of four bytes are moved together.
    four = flat[:whole].view("<u4")
    pairs = four | four >> 5
    number = pairs & 0o77 | pairs >> 10 & 0o7700
    np.take(_FOUR[depth], number, axis=0, out=rows[:whole].reshape(-1, 4 * depth), mode="clip")
    rows[whole:] = _SINGLE[depth][flat[whole:] & 7]
    if depth == 5:
        starts, ends = (np.clip(x, 0, codes.shape[1]) for x in (mask_start, mask_end))
        for window, start, end in zip(out, starts.tolist(), ends.tolist()):
            window[start:end, 4] = 1
    return out
