import numpy as np
import pytest

from cisnake.interpret.q_values import empirical_q_values as q_values


def brute_force(statistic, null, n, n_null):
    """The smallest ratio over all thresholds that keep a peak, by a loop over thresholds."""
    found = []
    for own in statistic:
        ratios = [1.0]
        for cut in [s for s in statistic if s <= own]:
            false = (sum(s >= cut for s in null) + 1) / n_null
            ratios.append(false / (sum(s >= cut for s in statistic) / n))
        found.append(min(ratios))
    return found


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [3, 1000])
def test_q_is_its_definition_with_and_without_ties(seed, levels):
    rng = np.random.default_rng(seed)
    statistic = rng.integers(0, levels, 80) + 0.3 * levels
    null = rng.integers(0, levels, 50).astype(float)
    found = q_values(statistic, null, 40, 60)
    np.testing.assert_allclose(found, brute_force(statistic, null, 40, 60), rtol=1e-12)
    assert len({(s, q) for s, q in zip(statistic, found, strict=True)}) == len(set(statistic))


def test_q_falls_with_the_statistic_and_does_not_depend_on_the_order():
    rng = np.random.default_rng(0)
    statistic, null = rng.gamma(2, 2, 300), rng.gamma(1, 1, 100)
    q = q_values(statistic, null, 100, 100)
    assert (np.diff(q[np.argsort(statistic)]) <= 0).all()
    shuffled = rng.permutation(300)
    np.testing.assert_array_equal(q_values(statistic[shuffled], rng.permutation(null), 100, 100), q[shuffled])


def test_few_shuffles_cannot_give_a_small_q():
    # Ten peaks in ten windows, none in two shuffles: one false peak in two windows cannot be ruled out.
    np.testing.assert_allclose(q_values(np.arange(10.0), np.empty(0), 10, 2), 0.5)
    np.testing.assert_allclose(q_values(np.arange(10.0), np.empty(0), 10, 200), 0.005)


def test_a_null_like_the_peaks_gives_one():
    values = np.random.default_rng(0).normal(size=200)
    assert (q_values(values, values, 50, 50) == 1).all()


def test_no_peaks_have_no_q():
    assert q_values(np.empty(0), np.arange(3.0), 10, 10).shape == (0,)


def test_q_values_control_the_share_of_false_peaks():
    # 900 null peaks and 300 real ones in 1000 windows, and 900 null peaks in 1000 shuffled windows.
    shares = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        statistic = np.concatenate([rng.exponential(1, 900), rng.exponential(1, 300) + 4])
        called = q_values(statistic, rng.exponential(1, 900), 1000, 1000) <= 0.1
        assert called[900:].sum() > 200
        shares.append(called[:900].sum() / called.sum())
    assert 0.06 < np.mean(shares) < 0.11
