import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.interpret.attribution.gradients import input_x_gradient
from cisnake.interpret.attribution.integrated import expected_integrated_gradients, integrated_gradients, shuffled_codes
from cisnake.interpret.attribution.methods import project
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model.network.layers import StrandMaxConv1D

SCORES = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]), link="log")]


def baselines(x, bases):
    """Inputs with other bases; the gene body stays, and N stays N."""
    other = np.array(x)
    other[..., :4] = bases * x[..., :4].any(axis=-1, keepdims=True)
    return other


@pytest.mark.parametrize("baseline", ["uniform", "zeros"])
def test_attributions_sum_to_the_difference_from_the_baseline(baseline, smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 16)
    values, contributions = integrated_gradients(network, x, SCORES, baseline=baseline)
    at_baseline = network.scores(baselines(x, 0.25 if baseline == "uniform" else 0), SCORES)
    assert np.abs(values - at_baseline).max() > 0.1
    np.testing.assert_allclose(project(x, contributions).sum(axis=(2, 3)), values - at_baseline, atol=1e-4)


def test_of_several_baselines_contributions_are_the_mean(smooth, windows):
    x, network = windows(2), ScoredModel(smooth(), 16)
    given = np.random.default_rng(0).dirichlet(np.ones(4), (2, 3, 20))
    together = integrated_gradients(network, x, SCORES, baseline=given)[1]
    alone = [integrated_gradients(network, x, SCORES, baseline=given[:, [i]])[1] for i in range(3)]
    np.testing.assert_allclose(together, np.mean(alone, axis=0), atol=1e-5)
    values = [network.scores(baselines(x, given[:, i]), SCORES) for i in range(3)]
    difference = network.scores(x, SCORES) - np.mean(values, axis=0)
    np.testing.assert_allclose(project(x, together).sum(axis=(2, 3)), difference, atol=1e-4)


def test_shuffles_are_what_attributions_sum_against(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 16)
    values, contributions = expected_integrated_gradients(network, x, SCORES, n_shuffles=3)
    shuffles = np.eye(5, 4)[shuffled_codes(x, 3, seed=42)]
    at_shuffles = np.mean([network.scores(baselines(x, shuffles[:, i]), SCORES) for i in range(3)], axis=0)
    np.testing.assert_allclose(project(x, contributions).sum(axis=(2, 3)), values - at_shuffles, atol=1e-4)


def test_shuffles_keep_dinucleotides_and_follow_from_seed_and_sequence(windows):
    x = windows(4, length=200)
    codes = np.where(x[..., :4].any(axis=-1), x[..., :4].argmax(axis=-1), 4)
    shuffles = shuffled_codes(x, 2, seed=1)
    for i in range(4):
        for shuffle in shuffles[i]:
            pairs = [np.bincount(row[:-1] * 5 + row[1:], minlength=25) for row in (codes[i], shuffle.astype(int))]
            assert np.array_equal(*pairs)
        assert (shuffles[i, 0] != shuffles[i, 1]).any()
    assert np.array_equal(shuffled_codes(x[[2, 0]], 2, seed=1), shuffles[[2, 0]])
    assert (shuffled_codes(x, 2, seed=2) != shuffles).any()


def test_of_a_linear_model_it_is_input_x_gradient(linear, windows):
    x, network = windows(), ScoredModel(linear(), 8)
    linear_scores = [Score(np.array([0.5, 0.5, -1.0]))]
    found = integrated_gradients(network, x, linear_scores, n_steps=1)[1]
    np.testing.assert_allclose(project(x, found), project(x, input_x_gradient(network, x, linear_scores)[1]), atol=1e-6)


def test_nothing_is_attributed_to_N(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    unknown = ~x[..., :4].any(axis=-1)
    for method in (integrated_gradients, expected_integrated_gradients):
        found = project(x, method(network, x, SCORES, n_steps=2)[1])
        assert (found.sum(axis=2)[:, unknown] == 0).all()
        assert (found.sum(axis=2)[:, ~unknown] != 0).mean() > 0.3


def test_more_steps_are_more_accurate(float64, smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 16)
    difference = network.scores(x, SCORES) - network.scores(baselines(x, 0.25), SCORES)
    found = [integrated_gradients(network, x, SCORES, n)[1] * x[..., :4] for n in (1, 2, 4, 16)]
    errors = [np.abs(each.sum(axis=(2, 3)) - difference).max() for each in found]
    assert errors[0] > 3 * errors[1] > 30 * errors[2]
    assert errors[3] < 1e-12


def discontinuous():
    keras.utils.set_random_seed(0)
    layers = [StrandMaxConv1D(6, 4, 4), keras.layers.ReLU(), keras.layers.Flatten(), keras.layers.Dense(3)]
    return ScoredModel(keras.Sequential([keras.Input((20, 5)), *layers]), 512)


def test_discontinuous_gradients_need_more_steps(windows):
    x, network = windows(2), discontinuous()
    difference = network.scores(x, SCORES[:1]) - network.scores(baselines(x, 0.25), SCORES[:1])
    found = [project(x, integrated_gradients(network, x, SCORES[:1], n)[1]).sum(axis=(2, 3)) for n in (5, 2000)]
    errors = [np.abs(each - difference).max() for each in found]
    assert errors[1] < 1e-3 * np.abs(difference).max()
    assert errors[0] > 5 * errors[1]


@pytest.mark.parametrize("method", [integrated_gradients, expected_integrated_gradients])
def test_where_sums_are_off_integration_is_repeated_with_more_steps(method, windows):
    x, network, tolerance = windows(40), discontinuous(), 0.02
    scores = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]))]
    shuffles = np.eye(5, 4)[shuffled_codes(x, 2, seed=42)]
    bases = [0.25] if method is integrated_gradients else [shuffles[:, i] for i in range(2)]
    options = {} if method is integrated_gradients else {"n_shuffles": 2}
    difference = network.scores(x, scores) - np.mean([network.scores(baselines(x, each), scores) for each in bases], axis=0)

    def off(contributions):
        projected = project(x, contributions).sum(axis=2)
        return np.abs(projected.sum(axis=-1) - difference) > tolerance * np.abs(projected).sum(axis=-1)

    fixed = method(network, x, scores, n_steps=4, **options)[1]
    adaptive = method(network, x, scores, n_steps=4, tolerance=tolerance, **options)[1]
    assert 0.2 < off(fixed).mean() < 0.95
    assert off(adaptive).mean() < 0.2 * off(fixed).mean()
    np.testing.assert_array_equal(adaptive[~off(fixed)], fixed[~off(fixed)])
    assert (adaptive[off(fixed)] != fixed[off(fixed)]).any(axis=(1, 2)).all()
    # Neither other sequences nor other scores matter.
    alone = method(network, x[7:9], scores[1:], n_steps=4, tolerance=tolerance, **options)[1]
    np.testing.assert_allclose(alone[0], adaptive[1, 7:9], rtol=0, atol=1e-6)


def test_invalid_baselines_are_refused(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    with pytest.raises(InputError, match="unknown baseline of integrated gradients 'unifrom': did you mean uniform"):
        integrated_gradients(network, x, SCORES, baseline="unifrom")
    with pytest.raises(InputError, match=r"baselines have shape \(5, 20, 4\)"):
        integrated_gradients(network, x, SCORES, baseline=x[..., :4])
