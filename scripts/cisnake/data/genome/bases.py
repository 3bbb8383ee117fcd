"""Encode DNA bases as small integers and one-hot arrays."""

from __future__ import annotations

import numpy as np

BASES = "ACGT"
N = 4
_CODES = np.full(256, N, dtype=np.int8)
for _code, _base in enumerate(BASES):
    _CODES[ord(_base)] = _CODES[ord(_base.lower())] = _code
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.int8)
_ONE_HOT = np.vstack([np.eye(4, dtype=np.float32), np.zeros((1, 4), dtype=np.float32)])


def encode(sequence: str | bytes) -> np.ndarray:
    """Encode a sequence: A0 C1 G2 T3, anything else N4.

    Parameters
    ----------
    sequence: str or bytes
        Upper- or lower-case letters.

    Returns
    -------
    numpy.ndarray, shape=(length,), dtype=int8

    Examples
    --------
    >>> from cisnake.data.genome import encode
    >>> encode("ACGTNRa").tolist()
    [0, 1, 2, 3, 4, 4, 0]
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return _CODES[np.frombuffer(raw, dtype=np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Convert codes, shape=(length,), to upper-case letters.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import decode
    >>> decode(np.array([0, 1, 2, 3, 4]))
    'ACGTN'
    """
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Return the reverse complement of codes along the last axis; N stays N.

    Examples
    --------
    >>> from cisnake.data.genome import decode, encode, reverse_complement
    >>> decode(reverse_complement(encode("AACGN")))
    'NCGTT'
    """
    return _COMPLEMENT[codes[..., ::-1]]


def one_hot(codes: np.ndarray) -> np.ndarray:
    """One-hot encode codes, shape=(..., length), as float32, shape=(..., length, 4), in the order A C G T; N is all zero.

    Examples
    --------
    >>> from cisnake.data.genome import encode, one_hot
    >>> one_hot(encode("CN")).tolist()
    [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    return _ONE_HOT[codes]
