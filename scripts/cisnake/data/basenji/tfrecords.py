"""Read the TFRecord files of Basenji and Baskerville without TensorFlow.

A file is one zlib stream of records. Each record has eight bytes of length, four of checksum, the message, and four more of
checksum. The checksums of records are ignored, because the zlib stream has its own. A message is a protobuf
`tf.train.Example`: features by name (here `sequence` and `target`), each with one byte string.

This module parses the format itself because `data/` avoids TensorFlow, which takes seconds to import, and because errors must
name the truncated file. The package tfrecord (1.14.6) only reads gzip, whereas Basenji writes zlib.
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
        The file is missing, damaged, truncated or not compressed.
    """
    decoder, buffer = zlib.decompressobj(zlib.MAX_WBITS | 32), bytearray()

    def read(n: int) -> bytes:
        """Return the next `n` bytes, or fewer at the end of the stream."""
        while len(buffer) < n and not decoder.eof:
            compressed = decoder.unconsumed_tail or file.read(_READ_BYTES)
            # Limit the output: a few compressed bytes can expand without a useful bound.
            buffer.extend(decoder.decompress(compressed, max(n - len(buffer), _READ_BYTES)))
            if not compressed:
                break
        chunk = bytes(buffer[:n])
        del buffer[:n]
        return chunk

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
        raise InputError(
            f"{path} cannot be read as a compressed TFRecord file ({error}): copy it again, or regenerate it."
        ) from error
    if not (decoder.eof or empty) or header:
        raise InputError(f"{path} is truncated: it ends in the middle of a record; copy it again, or regenerate it.")


def read_features(message: bytes) -> dict[str, bytes]:
    """Return the features of a `tf.train.Example` that hold a single byte string, by name.

    Raises
    ------
    ValueError
        The message is not an Example.
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


def _fields(message: memoryview, field_number: int) -> Iterator[memoryview]:
    """Yield the values of one field, of strings or messages, of a protobuf message."""
    position = 0
    while position < len(message):
        tag, position = _number(message, position)
        wire_type = tag & 7
        if wire_type == _VARINT:
            _, position = _number(message, position)
            continue
        if wire_type == _LENGTH:
            length, position = _number(message, position)
        elif wire_type in _SKIPPED_BYTES:
            length = _SKIPPED_BYTES[wire_type]
        else:
            raise ValueError(f"not protobuf: wire type {wire_type}")
        if position + length > len(message):
            raise ValueError("not protobuf: a field is longer than the message")
        if tag == field_number << 3 | _LENGTH:
            yield message[position : position + length]
        position += length


def _number(message: memoryview, position: int) -> tuple[int, int]:
    """Return the variable-length integer (seven bits per byte) at a position, and the position after it."""
    number = shift = 0
    while position < len(message):
        byte = message[position]
        number |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return number, position
    raise ValueError("not protobuf: the message ends within a number")
