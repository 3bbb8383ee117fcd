import numpy as np
import pytest

from cisnake.data.genome.bases import N
from cisnake.interpret.attribution.job import deal_evenly, sampled_positions, shuffled_windows


@pytest.mark.parametrize("n", [1, 2, 7, 100])
@pytest.mark.parametrize("count", [0, 1, 3, 7, 50, 101, 350])
def test_draws_are_spread_evenly(n, count):
    dealt = deal_evenly(count, n)
    assert (dealt.sum(), len(dealt)) == (count, n)
    assert dealt.max() - dealt.min() <= 1
    # Any leading part of the genes gets its share.
    assert (np.abs(dealt.cumsum() - count * np.arange(1, n + 1) / n) <= 1).all()


def test_no_gene_gets_no_draw():
    assert deal_evenly(5, 0).tolist() == []


def test_shuffles_follow_from_gene_copy_and_seed():
    codes = np.random.default_rng(0).integers(0, 4, (4, 80)).astype(np.int8)
    codes[:, 30:35], codes[1:] = N, codes[0]
    found = shuffled_windows(codes, ["a", "b", "a", "a"], [0, 0, 1, 0], seed=3)
    assert (found.dtype, found.shape) == (np.int8, codes.shape)
    np.testing.assert_array_equal(found[0], found[3])
    differ = [(found[i] != found[j]).mean() for i, j in ((0, 1), (0, 2), (1, 2))] + [(found[0] != codes[0]).mean()]
    assert min(differ) > 0.3
    np.testing.assert_array_equal(found[:, 30:35], N)
    pairs = [np.bincount(5 * row[:-1] + row[1:], minlength=25) for row in (codes[0], *found)]
    assert all((pair == pairs[0]).all() for pair in pairs)
    np.testing.assert_array_equal(shuffled_windows(codes[1:2], ["b"], [0], seed=3), found[1:2])
    assert (shuffled_windows(codes[1:2], ["b"], [0], seed=4) != found[1:2]).any()


@pytest.mark.parametrize(("length", "expected"), [(512, 500), (513, 256)])
def test_positions_are_those_with_a_base_or_a_sample_of_them(length, expected):
    codes = np.random.default_rng(0).integers(0, 4, (3, length)).astype(np.int8)
    codes[:, 100:112] = N
    found = sampled_positions(codes, ["a", "b", "c"], seed=0)
    assert found.sum(axis=1).tolist() == [expected] * 3
    assert not found[:, 100:112].any()
    np.testing.assert_array_equal(sampled_positions(codes[1:2], ["b"], seed=0), found[1:2])
    if length > 512:
        assert (found[0] != found[1]).mean() > 0.3
        halves = found[:, : length // 2].sum(), found[:, length // 2 :].sum()
        assert abs(halves[0] - halves[1]) < 120


def test_a_long_window_of_few_bases_is_mutated_at_all_of_them():
    codes = np.full((1, 600), N, np.int8)
    codes[0, 5:15] = 2
    np.testing.assert_array_equal(np.flatnonzero(sampled_positions(codes, ["a"], 0)[0]), np.arange(5, 15))
