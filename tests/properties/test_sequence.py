"""Properties of any sequence, read at any position on either strand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cisnake.data.genome.bases import BASES, decode, encode, one_hot, reverse_complement
from cisnake.data.genome.fasta import Genome

PAIR = str.maketrans("ACGTN", "TGCAN")
LETTERS = st.text("ACGTNacgtnRYKMSWBDHV-*.", max_size=80)
SIZE = 211


def upper(text: str) -> str:
    """Return the text as the model reads it."""
    return "".join(letter if letter in BASES else "N" for letter in text.upper())


@given(LETTERS)
def test_codes_are_letters(text: str) -> None:
    codes = encode(text)
    assert decode(codes) == upper(text) and codes.dtype == np.int8
    assert np.array_equal(codes, encode(text.encode()))


@given(LETTERS)
def test_reverse_complement_is_its_own_inverse(text: str) -> None:
    codes = encode(text)
    turned = reverse_complement(codes)
    assert decode(turned) == upper(text)[::-1].translate(PAIR)
    assert np.array_equal(reverse_complement(turned), codes)
    # Reversing the indicators along both axes gives the other strand.
    assert np.array_equal(one_hot(turned), one_hot(codes)[::-1, ::-1])


@given(LETTERS, LETTERS)
def test_reverse_complement_of_a_join_is_the_join_in_reverse(one: str, other: str) -> None:
    joined = reverse_complement(encode(one + other))
    assert np.array_equal(joined, np.concatenate([reverse_complement(encode(other)), reverse_complement(encode(one))]))


@given(LETTERS)
def test_each_position_has_one_base_or_none(text: str) -> None:
    indicators = one_hot(encode(text))
    assert indicators.shape == (len(text), 4)
    assert indicators.sum(axis=1).tolist() == [letter != "N" for letter in upper(text)]


@pytest.fixture(scope="module")
def chromosome(tmp_path_factory) -> tuple[Genome, str]:
    text = "G" + "".join(np.random.default_rng(2).choice(list("ACGTNacgtr"), SIZE - 2)) + "c"
    path: Path = tmp_path_factory.mktemp("genome") / "genome.fa"
    path.write_text(">other\nACGT\n>c\n" + "\n".join(text[i : i + 37] for i in range(0, SIZE, 37)) + "\n>last\nA\n")
    return Genome(path), upper(text)


@given(start=st.integers(-300, 400), length=st.integers(0, 500), strand=st.sampled_from("+-"))
def test_a_region_is_the_slice_of_the_padded_text(chromosome, start: int, length: int, strand: str) -> None:
    genome, text = chromosome
    padded = "N" * 300 + text + "N" * 900
    expected = padded[start + 300 : start + 300 + length]
    expected = expected if strand == "+" else expected[::-1].translate(PAIR)
    assert decode(genome.codes("c", start, start + length, strand)) == expected


@given(start=st.integers(-300, 400), lengths=st.tuples(st.integers(0, 200), st.integers(0, 200)), strand=st.sampled_from("+-"))
def test_neighbouring_regions_join(chromosome, start: int, lengths: tuple[int, int], strand: str) -> None:
    genome, _ = chromosome
    middle, end = start + lengths[0], start + sum(lengths)
    parts = [genome.codes("c", start, middle, strand), genome.codes("c", middle, end, strand)]
    whole = genome.codes("c", start, end, strand)
    assert np.array_equal(whole, np.concatenate(parts if strand == "+" else parts[::-1]))
