"""TFRecord files of Basenji are read completely; truncated or damaged files raise an error that names the file."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import pytest

from cisnake.data.basenji import tfrecords
from cisnake.data.basenji.tfrecords import read_features, read_records
from cisnake.errors import InputError

FILES = Path(__file__).parent / "tfrecords"


def record(message: bytes) -> bytes:
    return len(message).to_bytes(8, "little") + b"aaaa" + message + b"bbbb"


def number(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def field(tag: int, value: bytes) -> bytes:
    return number(tag << 3 | 2) + number(len(value)) + value


def example(**features: bytes) -> bytes:
    entries = [field(1, name.encode()) + field(2, field(1, field(1, value))) for name, value in features.items()]
    return field(1, b"".join(field(1, entry) for entry in entries))


def test_files_of_basenji():
    counts = {path.name: len(list(read_records(path))) for path in FILES.iterdir()}
    assert counts == {"train-0.tfr": 3, "train-1.tfr": 3, "train-2.tfr": 1, "valid-0.tfr": 3, "valid-1.tfr": 0, "test-0.tfr": 2}
    for message in read_records(FILES / "train-1.tfr"):
        features = read_features(message)
        assert {name: len(value) for name, value in features.items()} == {"sequence": 64, "target": 6 * 3 * 2}


@pytest.mark.parametrize("at_once", [1, 13, 1 << 16])
@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_records_of_any_size(tmp_path: Path, monkeypatch, at_once, pack):
    monkeypatch.setattr(tfrecords, "_READ_BYTES", at_once)
    messages = [b"", b"x", b"abc" * 70000, b"\x00" * 300000]
    (tmp_path / "some.tfr").write_bytes(pack(b"".join(map(record, messages))))
    assert list(read_records(tmp_path / "some.tfr")) == messages


def test_no_records(tmp_path: Path):
    path = tmp_path / "none.tfr"
    for content in (b"", zlib.compress(b"")):
        path.write_bytes(content)
        assert list(read_records(path)) == []


def test_every_truncation_of_a_file_is_an_error(tmp_path: Path):
    path, whole = tmp_path / "cut.tfr", (FILES / "train-0.tfr").read_bytes()
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cut\.tfr (is truncated|cannot be read)"):
            list(read_records(path))


def test_complete_streams_that_end_within_a_record_are_errors(tmp_path: Path):
    path, whole = tmp_path / "cut.tfr", record(b"abc") + record(b"defg")
    for length in set(range(1, len(whole))) - {len(record(b"abc"))}:
        path.write_bytes(zlib.compress(whole[:length]))
        with pytest.raises(InputError, match=r"cut\.tfr is truncated: it ends in the middle of a record"):
            list(read_records(path))


def test_damaged_bytes_are_errors(tmp_path: Path):
    path, whole = tmp_path / "damaged.tfr", (FILES / "train-0.tfr").read_bytes()
    for position in range(2, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 16]) + whole[position + 1 :])
        with pytest.raises(InputError, match=r"damaged\.tfr"):
            list(read_records(path))
    path.write_bytes(record(b"not compressed"))
    with pytest.raises(InputError, match=r"damaged\.tfr cannot be read as a compressed TFRecord"):
        list(read_records(path))
    with pytest.raises(InputError, match=r"none\.tfr cannot be read"):
        list(read_records(tmp_path / "none.tfr"))


def test_features():
    big = bytes(range(256)) * 3
    assert read_features(example(sequence=big, target=b"", umap=b"\x01")) == {"sequence": big, "target": b"", "umap": b"\x01"}
    # Other wire types are skipped.
    for other in (number(9 << 3) + number(1 << 40), number(10 << 3 | 1) + b"12345678", number(11 << 3 | 5) + b"1234"):
        assert read_features(other + example(sequence=b"x") + other) == {"sequence": b"x"}
    floats = field(1, field(1, field(1, b"target") + field(2, field(2, b"\x00\x00\x80?"))))
    assert read_features(floats) == {}


def test_malformed_messages_are_errors():
    whole = example(sequence=b"abcdef")
    for message in (whole[:-1], whole[:1], b"\x0b", b"\x80"):
        with pytest.raises(ValueError):
            read_features(message)
