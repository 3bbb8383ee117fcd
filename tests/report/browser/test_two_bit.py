"""2bit files are read back by a decoder written from the specification of the format."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.report.browser import two_bit


def decode(path: Path) -> tuple[dict[str, str], dict[str, list[tuple[int, int]]]]:
    """Return the sequences of a 2bit file and their runs of N as (start, length)."""
    content, at = path.read_bytes(), 0

    def read(form: str) -> list[int]:
        nonlocal at
        values = struct.unpack_from("<" + form, content, at)
        at += struct.calcsize("<" + form)
        return list(values)

    signature, version, count, reserved = read("IIII")
    assert signature == 0x1A412743 and reserved == 0
    index = []
    for _ in range(count):
        (length,) = read("B")
        name = content[at : at + length].decode()
        at += length
        index.append((name, read("Q" if version else "I")[0]))
    sequences, unknown = {}, {}
    for name, at in index:
        (size,), (n_blocks,) = read("I"), read("I")
        starts, lengths = read(f"{n_blocks}I"), read(f"{n_blocks}I")
        (n_masked,), (zero,) = read("I"), read("I")
        assert n_masked == 0 and zero == 0
        letters = ["TCAG"[content[at + i // 4] >> (6 - 2 * (i % 4)) & 3] for i in range(size)]
        for start, length in zip(starts, lengths, strict=True):
            letters[start : start + length] = "N" * length
        sequences[name], unknown[name] = "".join(letters), list(zip(starts, lengths, strict=True))
        end = at + -(-size // 4)
    assert end == len(content), "no bytes after the last sequence"
    return sequences, unknown


def write(folder: Path, sequences: dict[str, str]) -> Path:
    fasta = folder / "genome.fa"
    fasta.write_text("".join(f">{name}\n{sequence}\n" for name, sequence in sequences.items()))
    two_bit.write_two_bit(Genome(fasta), folder / "genome.2bit")
    return folder / "genome.2bit"


HARD = {
    "chr1": "ACGTN", "chr10": "NNNNNNNNN", "chr2": "acgtnnnACGTACGTA", "chrM": "T", "a.b|c": "NACGTRYKN" * 5 + "GG",
    "long" * 60: "GATTACA",
}  # fmt: skip


@pytest.mark.parametrize("bases_at_once", [4, 8, 1 << 24])
@pytest.mark.parametrize("longest", [0, 1 << 32])
def test_sequences_are_read_back(tmp_path, monkeypatch, bases_at_once, longest):
    monkeypatch.setattr(two_bit, "_BASES_AT_ONCE", bases_at_once)
    monkeypatch.setattr(two_bit, "_LONGEST", longest)
    path = write(tmp_path, HARD)
    sequences, unknown = decode(path)
    known = str.maketrans("RYKM", "NNNN")
    assert sequences == {name: text.upper().translate(known) for name, text in HARD.items()}
    assert list(sequences) == list(HARD)
    assert unknown["chr2"] == [(4, 3)] and unknown["chr10"] == [(0, 9)] and unknown["chrM"] == []
    assert struct.unpack_from("<I", path.read_bytes(), 4) == ((1,) if longest == 0 else (0,)), "large files have version 1"


# Indexing a genome starts a process, so use few genomes with many sequences.
@settings(max_examples=8, deadline=None, phases=[Phase.generate])
@given(st.lists(st.text("ACGTNacgtn", min_size=1, max_size=70), min_size=5, max_size=40))
def test_random_sequences_are_read_back(texts):
    with tempfile.TemporaryDirectory() as folder:
        sequences, _ = decode(write(Path(folder), {f"s{i}": text for i, text in enumerate(texts)}))
    assert list(sequences.values()) == [text.upper() for text in texts]


def test_a_name_that_is_too_long_is_refused(tmp_path):
    with pytest.raises(InputError, match="255"):
        write(tmp_path, {"x" * 256: "ACGT"})
    assert not (tmp_path / "genome.2bit").exists()
