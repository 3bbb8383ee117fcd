import itertools

import numpy as np
import pytest

from cisnake.interpret.probe import controls as effect_tests
from cisnake.interpret.probe.controls import central, interval, moves, permutation_p
from cisnake.interpret.q_values import bh_q_values


def test_one_more_control_leaves_the_interval_in_five_percent_of_cases():
    rng = np.random.default_rng(0)
    outside = []
    for _ in range(4000):
        controls = rng.standard_t(3, 79)
        outside.append(moves(rng.standard_t(3), *central(controls)) != 0)
    assert np.mean(outside) == pytest.approx(0.05, abs=0.012)
    assert np.isnan(central(np.arange(38.0))).all()
    assert central(np.arange(39.0)) == (0, 38)


def test_moves_are_signs_and_nothing_moves_without_an_interval():
    assert moves(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]), -1.0, 1.0).tolist() == [-1, 0, 0, 0, 1]
    assert moves(np.array([-2.0, np.nan]), np.nan, np.nan).tolist() == [0, 0]


def test_the_permutation_test_is_that_over_all_exchanges():
    effects = np.array([3.0, 0.5, -1.0, 2.0, 1.0, -0.5, 2.5, 9.0])
    control = np.array([False, True, True, False, True, True, False, False])
    site = np.array([0, 0, 0, 1, 1, 1, 2, 3])
    # Sites without controls are ignored.
    means = np.array([np.mean(pick) for pick in itertools.product([3.0, 0.5, -1.0], [2.0, 1.0, -0.5])])
    exact = (np.abs(means - means.mean()) >= abs(2.5 - means.mean()) - 1e-12).mean()
    assert permutation_p(effects, control, site, np.random.default_rng(0)) == pytest.approx(exact, abs=0.02)
    # The order of spots does not matter.
    order = np.random.default_rng(1).permutation(8)
    again = permutation_p(effects[order], control[order], site[order], np.random.default_rng(0))
    assert again == pytest.approx(exact, abs=0.02)
    # Only differences between a site and its controls matter, not a shared offset.
    shifted = permutation_p(effects - 10, control, site, np.random.default_rng(0))
    assert shifted == pytest.approx(exact, abs=0.02)
    assert np.isnan(permutation_p(effects[6:], control[6:], site[6:], np.random.default_rng(0)))
    assert np.isnan(permutation_p(effects[:0], control[:0], site[:0], np.random.default_rng(0)))
    assert permutation_p(np.zeros(8), control, site, np.random.default_rng(0)) == 1


def test_p_values_are_uniform_when_windows_differ_in_scale(monkeypatch):
    monkeypatch.setattr(effect_tests, "_PERMUTATIONS", 199)
    p = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        site = np.repeat(np.arange(12), 5)
        effects = (rng.standard_t(3, 60) + 1) * np.repeat(rng.lognormal(0, 1.5, 12), 5)
        p.append(permutation_p(effects, np.tile(np.arange(5) > 0, 12), site, rng))
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) == pytest.approx(level, abs=2.6 * np.sqrt(level * (1 - level) / 400))


def test_q_values_skip_what_was_not_tested_and_intervals_need_two():
    assert bh_q_values(np.array([0.01, np.nan, 0.04])).tolist()[::2] == [0.02, 0.04]
    assert np.isnan(bh_q_values(np.full(2, np.nan))).all()
    assert len(bh_q_values(np.empty(0))) == 0
    rng = np.random.default_rng(0)
    mean, low, high = interval(rng.normal(1, 2, 400), rng)
    assert (low - mean, high - mean) == pytest.approx((-0.196, 0.196), abs=0.03)
    assert interval(np.array([2.0]), rng)[0] == 2
    assert np.isnan(interval(np.array([2.0]), rng)[1:]).all()
    assert np.isnan(interval(np.empty(0), rng)).all()
