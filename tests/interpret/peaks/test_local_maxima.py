import numpy as np
import pandas as pd
import pytest
from scipy.signal import find_peaks

from cisnake.errors import InputError
from cisnake.interpret.peaks.local_maxima import LocalMaxima, find_attr_peaks
from cisnake.interpret.peaks.spans import as_blocks


def test_find_attr_peaks_takes_the_highest_of_the_channel_sum():
    attr = np.zeros((4, 60))
    for channel, position, value in [
        (0, 10, 1.0),
        (1, 10, 0.5),
        (2, 14, 1.2),
        (3, 30, 0.8),
        (1, 40, 0.09),
        (2, 50, 3.0),
        (0, 20, -5),
    ]:
        attr[channel, position] += value
    found = find_attr_peaks(attr, tss_pos=25)
    assert found["peak"].tolist() == [50, 10, 30]  # 14 is lower than 10 and too near, 40 too low, 20 negative
    np.testing.assert_allclose(found["height"], [3.0, 1.5, 0.8])
    assert found["from_tss"].tolist() == [25, -15, 5]
    assert find_attr_peaks(attr, n=2)["peak"].tolist() == [50, 10]
    assert find_attr_peaks(attr, min_dist=3)["peak"].tolist() == [50, 10, 14, 30]
    pd.testing.assert_frame_equal(find_attr_peaks(attr.sum(axis=0), tss_pos=25), found)
    assert list(find_attr_peaks(np.zeros((4, 60)))) == ["peak", "height", "from_tss"]


def brute_force(scores, n, min_dist, height):
    """Maxima of one window, the highest first: a rise on the left and a fall on the right; plateaus count at their middle."""
    found = []
    for left in range(1, len(scores) - 1):
        right = left
        while right + 1 < len(scores) and scores[right + 1] == scores[left]:
            right += 1
        if right + 1 < len(scores) and scores[left - 1] < scores[left] > scores[right + 1] and scores[left] >= height:
            found.append((-scores[left], (left + right) // 2))
    kept = []
    for size, peak in sorted(found):
        if all(abs(peak - other) >= min_dist for _, other in kept):
            kept.append((size, peak))
    return [peak for _, peak in kept[:n]]


@pytest.mark.parametrize("levels", [2, 4, 50])
@pytest.mark.parametrize(("n", "min_dist", "height"), [(5, 6, 0.0), (3, 1, 0.4), (None, 2, 0.5)])
def test_maxima_are_their_definition_with_ties_and_flat_tops(levels, n, min_dist, height):
    for seed in range(5):
        scores = np.random.default_rng(seed).integers(-levels, levels, 120) / levels
        found = find_attr_peaks(scores, n=n, min_dist=min_dist, height=height)
        assert found["peak"].tolist() == brute_force(scores, n, min_dist, height)
        np.testing.assert_array_equal(found["height"], scores[found["peak"]])


def test_maxima_without_ties_are_those_of_scipy():
    scores = np.random.default_rng(0).normal(size=5000)
    expected, _ = find_peaks(scores, height=0.5, distance=9)
    assert sorted(find_attr_peaks(scores, n=None, min_dist=9, height=0.5)["peak"]) == expected.tolist()


def test_each_gene_and_sign_is_searched_by_itself():
    scores = np.random.default_rng(3).normal(size=(6, 90))
    scores[:3] = np.round(scores[:3])
    scores[4] = 0
    scores[5, 0] = scores[5, -1] = 99  # the ends of a window are no maxima
    spans = LocalMaxima(n=4, min_dist=5, height=0.1).fit(as_blocks(scores))(scores)
    unit = scores.std()
    for row in range(6):
        for sign in (1, -1):
            own = spans[(spans["row"] == row) & (spans["sign"] == sign)]
            assert sorted(own["summit"]) == sorted(brute_force(sign * scores[row], 4, 5, 0.1 * unit))
    assert (spans["start"] == np.maximum(spans["summit"] - 2, 0)).all()
    assert (spans["end"] == np.minimum(spans["summit"] + 3, 90)).all()
    sums = [scores[row, a:b].sum() for row, a, b in spans[["row", "start", "end"]].to_numpy()]
    np.testing.assert_allclose(spans["attribution"], sums, rtol=1e-12)


def test_a_window_that_ends_high_and_one_that_begins_high_have_no_maximum():
    scores = np.array([np.arange(9.0), np.arange(9.0)[::-1]])
    assert len(LocalMaxima(height=0).fit(as_blocks(scores))(scores)) == 0


def test_the_unit_of_height_is_that_of_the_scores_it_was_fitted_to():
    scores = np.random.default_rng(0).normal(size=(3, 200))
    call = LocalMaxima(n=50, min_dist=1, height=1).fit(as_blocks(scores))
    assert call(scores)["height"].abs().min() >= scores.std()
    assert call(10 * scores)["height"].abs().min() < 10 * scores.std()


@pytest.mark.parametrize("scores", [np.zeros(40), np.zeros(2), np.zeros(0), -np.ones(40), np.arange(40.0)])
def test_constant_short_or_rising_scores_have_no_maximum(scores):
    assert len(find_attr_peaks(scores)) == 0


@pytest.mark.parametrize("wrong", [{"n": 0}, {"min_dist": 0}, {"height": -1}, {"height": np.nan}])
def test_invalid_parameters_are_refused(wrong):
    with pytest.raises(InputError, match="peaks: "):
        find_attr_peaks(np.zeros((4, 60)), **wrong)


def test_attributions_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="not finite"):
        find_attr_peaks(np.array([0, 1, np.nan, 1, 0]))
