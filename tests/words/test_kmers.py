"""K-mer counts agree with counts made from strings, and canonical counts do not depend on the strand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.words.kmers import add_reverse_complements, count_kmers, kmer_features

PAIR = str.maketrans("ACGT", "TGCA")
TEXTS = ["N" * 60, "A" * 60, "ACGT" * 15, "NA" * 30]


def canonical(word: str) -> str:
    return min(word, word.translate(PAIR)[::-1])


def random_texts(k: int) -> list[str]:
    rng = np.random.default_rng(k)
    return ["".join(rng.choice(list("ACGTN"), 60, p=[0.24] * 4 + [0.04])) for _ in range(20)] + TEXTS


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_counts_equal_those_from_strings(k):
    texts = random_texts(k)
    words = ["".join(letters) for letters in itertools.product("ACGT", repeat=k)]
    found = [[text[i : i + k] for i in range(len(text) - k + 1)] for text in texts]
    counts = count_kmers(np.stack([encode(text) for text in texts]), k)
    assert counts.tolist() == [[inside.count(word) for word in words] for inside in found]
    both = sorted({canonical(word) for word in words})
    named = [[canonical(word) for word in inside if "N" not in word] for inside in found]
    assert add_reverse_complements(counts).tolist() == [[inside.count(word) for word in both] for inside in named]
    assert len(both) == (4**k + (2**k if k % 2 == 0 else 0)) // 2


def test_reverse_complements_have_identical_canonical_counts():
    codes = np.random.default_rng(0).integers(0, 5, (30, 80)).astype(np.int8)
    forward, backward = (count_kmers(strand, 6) for strand in (codes, reverse_complement(codes)))
    np.testing.assert_array_equal(add_reverse_complements(forward), add_reverse_complements(backward))
    assert (forward != backward).any()


def test_blocks_do_not_change_counts(monkeypatch):
    codes = np.random.default_rng(0).integers(0, 5, (30, 80)).astype(np.int8)
    whole = count_kmers(codes, 3)
    monkeypatch.setattr("cisnake.words.kmers._BLOCK_BASES", 160)
    np.testing.assert_array_equal(count_kmers(codes, 3), whole)


def test_sequences_shorter_than_a_word_have_none():
    assert count_kmers(np.zeros((2, 3), np.int8), 4).tolist() == [[0.0] * 256] * 2


def test_features_are_scaled_counts_of_the_chosen_words():
    counts = count_kmers(encode("ACGTACGAA")[None], 2)
    np.testing.assert_allclose(kmer_features(counts, "stranded", "counts"), counts)
    np.testing.assert_allclose(kmer_features(counts, "canonical", "log1p"), np.log(1 + add_reverse_complements(counts)))
