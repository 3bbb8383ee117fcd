"""Convert base codes to the float32 arrays that a model takes, four bases at a time."""

from __future__ import annotations

import math

import numpy as np

_ALIGNMENT = 64
_IDLE_BYTES = 1 << 28
_idle: dict[int, list[np.ndarray]] = {}

# One-hot rows by code, 0 to 7 (three bits): 4 is N; 5 to 7 do not occur.
_SINGLE = {depth: np.eye(8, depth, dtype=np.float32) * (np.arange(depth) < 4).astype(np.float32) for depth in (4, 5)}


def _four(depth: int) -> np.ndarray:
    """Return the one-hot rows of all combinations of four codes, indexed by a 12-bit number with the first code lowest."""
    number = np.arange(1 << 12)
    return np.concatenate([_SINGLE[depth][number >> 3 * i & 7] for i in range(4)], axis=1)


_FOUR = {depth: _four(depth) for depth in (4, 5)}


class _Memory:
    """Memory of a batch, reused for the next batch of the same size once no array refers to it.

    The system hands out new memory page by page and zeroed; for some megabytes this takes longer than filling it.
    """

    def __init__(self, size: int) -> None:
        try:
            self.raw = _idle[size].pop()
        except (KeyError, IndexError):
            self.raw = np.empty(size, np.uint8)
        self.__array_interface__ = self.raw.__array_interface__

    # Bound as defaults, because at interpreter shutdown module globals are cleared before the objects are.
    def __del__(self, idle: dict[int, list[np.ndarray]] = _idle, most: int = _IDLE_BYTES) -> None:
        if len(self.raw) not in idle:
            # Keep only memory of the current size: a new size means other windows or the last batch of an epoch.
            idle.clear()
        blocks = idle.setdefault(len(self.raw), [])
        if (len(blocks) + 1) * len(self.raw) <= most:
            blocks.append(self.raw)


def _empty(shape: tuple[int, ...]) -> np.ndarray:
    """Return an uninitialised float32 array, aligned so that TensorFlow uses it without a copy."""
    size = 4 * math.prod(shape)
    raw = np.asarray(_Memory(size + _ALIGNMENT))
    first = -raw.ctypes.data % _ALIGNMENT
    return raw[first : first + size].view(np.float32).reshape(shape)


def model_input(codes: np.ndarray, mask_start: np.ndarray, mask_end: np.ndarray, depth: int) -> np.ndarray:
    """Return windows as model input.

    Looking up four bases at once is three times as fast as one by one. An input is twenty times as large as its codes; most of
    the remaining time is spent writing it.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        A0 C1 G2 T3 N4.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body, half-open, counted from the start of the window and not clipped to it; used at depth 5.
    depth: int
        4 (bases) or 5 (bases and gene body).

    Returns
    -------
    numpy.ndarray, shape=(n, length, depth), dtype=float32
        Channels A C G T and, at depth 5, the gene body (1 inside); N is zero in all four base channels.

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
    # Collect the lowest three bits of each of the four bytes into one 12-bit number.
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
