"""Examples in the TFRecord files of Basenji and Baskerville, read without TensorFlow.

Such a file is one zlib stream of records, each eight bytes of length, four of checksum, the message, and four more of checksum.
The stream has a checksum of its own, so those of the records are passed over. A message is protobuf's `tf.train.Example`:
features by name, here `sequence` and `target`, each with one string of bytes.

Read by hand because `data/` does without TensorFlow, which takes seconds to import, and because the error must name a truncated
file. The package tfrecord (1.14.6) reads gzip alone, and Basenji writes zlib.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

from cisnake.errors import InputError

_READ_BYTES = 1 << 16
_VARINT, _LENGTH = 0, 2
_SKIPPED_BYTES = {1: 8, 5: 4}


def read_records(path: str | Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file compressed with zlib (or gzip), one at a time.

    Raises
    ------
    InputError
        The file is missing, damaged, cut off, or not compressed.
    """
    decoder, ready = zlib.decompressobj(zlib.MAX_WBITS | 32), bytearray()

    def read(n: int) -> bytes:
        """Return the next `n` bytes, or all that are left."""
        while len(ready) < n and not decoder.eof:
            packed = decoder.unconsumed_tail or file.read(_READ_BYTES)
            # What a compressed byte can stand for has no useful bound.
            ready.extend(decoder.decompress(packed, max(n - len(ready), _READ_BYTES)))
            if not packed:
                break
        taken = bytes(ready[:n])
        del ready[:n]
        return taken

    try:
        with open(path, "rb") as file:
            while header := read(12):
                length = int.from_bytes(header[:8], "little")
                record = read(length)
                if len(record) < length or len(read(4)) < 4:
                    break
                yield record
            empty = file.tell() == 0
    except (OSError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a compressed TFRecord file ({error}): copy or make it again.") from error
    if not (decoder.eof or empty) or header:
        raise InputError(f"{path} ends in the middle of a record: it was not written or copied to its end; make it again.")


def read_features(message: bytes) -> dict[str, bytes]:
    """Return the features of a `tf.train.Example` that are one string of bytes, by name.

    Raises
    ------
    ValueError
        The message is no Example.
    """
    features = {}
    for example in _fields(memoryview(message), 1):
        for entry in _fields(example, 1):
            (name,) = _fields(entry, 1)
            for feature in _fields(entry, 2):
                for values in _fields(feature, 1):
                    (value,) = _fields(values, 1)
                    features[bytes(name).decode()] = bytes(value)
    return features


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the values of one field of a protobuf message, a field of strings or messages."""
    position = 0
    while position < len(message):
        tag, position = _number(message, position)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _number(message, position)
            continue
        if kind == _LENGTH:
            length, position = _number(message, position)
        elif kind in _SKIPPED_BYTES:
            length = _SKIPPED_BYTES[kind]
        else:
            raise ValueError(f"no protobuf: wire type {kind}")
        if position + length > len(message):
            raise ValueError("no protobuf: a field is longer than the message")
        if tag == wanted << 3 | _LENGTH:
            yield message[position : position + length]
        position += length


def _number(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number of variable length at a position, seven bits a byte, and the position after it."""
    number = shift = 0
    while position < len(message):
        byte = message[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position
    raise ValueError("no protobuf: it ends within a number")
