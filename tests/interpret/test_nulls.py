from collections import Counter

import numpy as np
import pytest

from cisnake.data.genome.bases import decode, encode
from cisnake.interpret.nulls import dinucleotide_shuffle, markov_bases


def pairs(codes):
    return Counter(zip(codes[:-1].tolist(), codes[1:].tolist(), strict=True))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 17, 400])
@pytest.mark.parametrize("letters", [2, 4, 5])
def test_dinucleotides_are_kept_exactly(length, letters):
    rng = np.random.default_rng(length * letters)
    codes = rng.integers(5 - letters if letters == 5 else 0, letters, size=(30, length)).astype(np.int8)
    before = codes.copy()
    shuffled = dinucleotide_shuffle(codes, rng)
    assert shuffled.dtype == np.int8
    assert (codes == before).all()
    for old, new in zip(codes, shuffled, strict=True):
        assert pairs(old) == pairs(new)
        assert ((old == 4) == (new == 4)).all()
    if length == 400 and letters == 4:
        assert (shuffled == codes).mean() < 0.4


def arrangements(start, left):
    """All sequences from `start` that use exactly the pairs in `left`."""
    if not left.total():
        return [[start]]
    followers = [second for (first, second), count in left.items() if first == start and count]
    return [[start, *rest] for base in followers for rest in arrangements(base, left - Counter([(start, base)]))]


def test_all_arrangements_are_equally_likely():
    codes = encode("ACACCACGAGCTGA")
    expected = {decode(np.array(path, dtype=np.int8)) for path in arrangements(codes[0], pairs(codes))}
    draws = 20000
    found = Counter(decode(row) for row in dinucleotide_shuffle(np.tile(codes, (draws, 1)), np.random.default_rng(0)))
    assert set(found) == expected
    assert len(expected) > 100
    mean = draws / len(expected)
    # Chi-squared with k - 1 degrees of freedom: mean k - 1, standard deviation sqrt(2 (k - 1)).
    statistic = sum((count - mean) ** 2 / mean for count in found.values())
    freedom = len(expected) - 1
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)


def test_a_long_stretch_with_one_way_out_is_shuffled():
    codes = encode("A" * 3000 + "C" + "AG" * 1000 + "T" + "C" * 2000)
    shuffled = dinucleotide_shuffle(codes, np.random.default_rng(0))
    assert pairs(shuffled) == pairs(codes)
    assert (shuffled != codes).any()


def test_a_seed_gives_the_same_shuffle_and_another_seed_another():
    codes = np.random.default_rng(0).integers(0, 4, (2, 3, 50)).astype(np.int8)
    first, again, other = (dinucleotide_shuffle(codes, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.shape == codes.shape
    assert (first == again).all()
    assert (first != other).any()


def test_drawn_bases_follow_the_dinucleotides_of_the_sequence():
    rng = np.random.default_rng(0)
    transitions = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.0, 0.5]])
    context = [0]
    for _ in range(20000):
        context.append(rng.choice(4, p=transitions[context[-1]]))
    context = np.array(context, dtype=np.int8)
    start = int(np.flatnonzero(context == 1)[5]) + 1
    drawn = markov_bases(context, start, 8, 4000, rng)
    assert drawn.shape == (4000, 8)
    after_c = np.bincount(drawn[:, 0], minlength=4) / 4000
    np.testing.assert_allclose(after_c, transitions[1], atol=0.04)
    counts = np.zeros((4, 4))
    np.add.at(counts, (drawn[:, :-1].ravel(), drawn[:, 1:].ravel()), 1)
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), transitions, atol=0.03)


def test_bases_are_drawn_at_the_start_and_after_n():
    context = encode("NNNN" + "AC" * 200)
    for start in (0, 2, 4):
        drawn = markov_bases(context, start, 3, 500, np.random.default_rng(0))
        assert drawn.min() >= 0
        assert drawn.max() <= 3
        assert np.isin(drawn[:, 0], [0, 1]).mean() > 0.9
