import itertools
from functools import partial

import numpy as np
import pytest

from cisnake.interpret.attribution.ensemble import attribute_ensemble, standardize
from cisnake.interpret.attribution.integrated import shuffled_codes
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, BASELINE_SCORES, attribute, project
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model.prediction import WindowViews, reverse_complement_one_hot, shift_windows

SCORES = [Score(np.array([1.0, -0.5, -0.5])), Score(np.array([0.0, 0.5, 0.5]))]
BOTH = WindowViews((0, 3), True)


def summed(x, contributions):
    return project(x, contributions).sum(axis=-2).astype(np.float64)


def test_spread_and_agreement_equal_those_of_separate_models(smooth, windows):
    x, networks = windows(), [ScoredModel(smooth(seed), 8) for seed in range(3)]
    answer = attribute_ensemble(networks, x, SCORES, ATTRIBUTION_METHODS["input_x_gradient"], BOTH)
    alone = np.stack([summed(x, attribute([network], x, SCORES, views=BOTH)[0]) for network in networks])
    contributions, values = attribute(networks, x, SCORES, views=BOTH)
    np.testing.assert_allclose(answer.contributions, contributions, atol=1e-6)
    np.testing.assert_array_equal(answer.attributions, project(x, answer.contributions))
    np.testing.assert_allclose(answer.scores, values, atol=1e-6)
    np.testing.assert_allclose(answer.spread, alone.std(axis=0, ddof=1), atol=1e-6)
    for i, row in itertools.product(range(2), range(len(x))):
        pairs = np.corrcoef(alone[:, i, row][:, x[row, :, :4].any(axis=-1)])[np.triu_indices(3, 1)]
        np.testing.assert_allclose(answer.replicates[i, row], pairs.mean(), atol=1e-5)
    assert np.isnan(answer.completeness).all()
    assert answer.replicates.shape == answer.completeness.shape == (2, len(x))


def test_one_model_has_neither_spread_nor_agreement(smooth, windows):
    answer = attribute_ensemble(
        [ScoredModel(smooth(), 8)], windows(), SCORES, ATTRIBUTION_METHODS["input_x_gradient"], WindowViews()
    )
    assert np.isnan(answer.spread).all()
    assert np.isnan(answer.replicates).all()


def test_models_that_agree_have_no_spread(smooth, windows):
    network = ScoredModel(smooth(), 8)
    answer = attribute_ensemble([network] * 3, windows(), SCORES, ATTRIBUTION_METHODS["input_x_gradient"], WindowViews())
    np.testing.assert_allclose(answer.spread, 0, atol=1e-7)
    np.testing.assert_allclose(answer.replicates, 1, atol=1e-5)


@pytest.mark.parametrize("name", BASELINE_SCORES)
def test_sums_of_a_linear_model_are_complete(name, linear, windows):
    networks = [ScoredModel(linear(seed), 8) for seed in range(2)]
    method, baseline = partial(ATTRIBUTION_METHODS[name], n_steps=2), BASELINE_SCORES[name]
    answer = attribute_ensemble(networks, windows(unknown=False), SCORES, method, WindowViews(), baseline)
    assert (answer.completeness < 1e-4).all()


@pytest.mark.parametrize(
    ("name", "views"), [("integrated_gradients", BOTH), ("expected_integrated_gradients", WindowViews((2,)))]
)
def test_completeness_is_the_relative_error_of_the_sum(name, views, smooth, windows):
    """With few steps on a curved score, for the mean over models and views."""
    x, networks = windows(unknown=False), [ScoredModel(smooth(seed), 8) for seed in range(2)]
    options = {"n_shuffles": 3, "seed": 7} if name.startswith("expected") else {"baseline": "zeros"}
    method, baseline = partial(ATTRIBUTION_METHODS[name], n_steps=1, **options), partial(BASELINE_SCORES[name], **options)
    answer = attribute_ensemble(networks, x, SCORES, method, views, baseline)
    total, difference = np.zeros((2, len(x))), np.zeros((2, len(x)))
    for network, by, turned in itertools.product(
        networks, views.shifts, (False, True) if views.reverse_complement else (False,)
    ):
        shown = shift_windows(x, by)
        shown = reverse_complement_one_hot(shown) if turned else shown
        total += summed(shown, method(network, shown, SCORES)[1]).sum(axis=-1)
        if name.startswith("expected"):
            baselines = [np.eye(5, 4)[codes] for codes in shuffled_codes(shown, 3, 7).swapaxes(0, 1)]
        else:
            baselines = [np.zeros((len(x), 20, 4))]
        for bases in baselines:
            other = np.concatenate([bases, shown[..., 4:]], axis=-1).astype(np.float32)
            difference += (network.scores(shown, SCORES) - network.scores(other, SCORES)) / len(baselines)
    np.testing.assert_allclose(answer.completeness, np.abs(total - difference) / np.abs(difference), rtol=1e-2, atol=1e-4)
    assert answer.completeness.max() > 1e-2
    np.testing.assert_allclose(answer.scores, attribute(networks, x, SCORES, method, views)[1], atol=1e-6)


def test_a_window_that_scores_like_its_baseline_has_no_completeness(smooth, windows):
    """A sequence that shuffles to itself is its own baseline, up to rounding."""
    x = windows()
    x[1, :, :4] = np.eye(4)[2]
    method, baseline = (table["expected_integrated_gradients"] for table in (ATTRIBUTION_METHODS, BASELINE_SCORES))
    answer = attribute_ensemble([ScoredModel(smooth(), 8)], x, SCORES, partial(method, n_steps=2), WindowViews(), baseline)
    assert np.isnan(answer.completeness[:, 1]).all()
    assert np.isfinite(answer.completeness[:, 2:]).all()


def test_products_of_standardized_rows_are_correlations():
    rows = np.random.default_rng(0).normal(1e3, 1, (2, 4, 50))
    expected = [np.corrcoef(one, other)[0, 1] for one, other in zip(*rows)]
    known = np.ones((4, 50), bool)
    one, other = standardize(rows, known)
    np.testing.assert_allclose((one * other).sum(axis=-1), expected, atol=1e-10)
    rows[0, 1] = 0.1
    assert np.isnan(standardize(rows, known)[0, 1]).all()
    assert np.isfinite(standardize(rows, known)).all(axis=-1).sum() == 7
