import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, method_options
from cisnake.interpret.attribution.scored_model import ScoredModel, fill
from cisnake.interpret.attribution.target_scores import Score

SCORES = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]), link="log")]
FEW = {"n_steps": 2, "n_shuffles": 2, "n_samples": 2}


@pytest.mark.parametrize("batch_size", [1, 4, 5, 64])
def test_batches_change_nothing(smooth, windows, batch_size):
    x, model = windows(5), smooth()
    own = [*SCORES, Score(np.random.default_rng(0).normal(size=(5, 3)))]
    expected = [ScoredModel(model, 5).gradients(x[[i]], [score.take(np.array([i])) for score in own]) for i in range(5)]
    values, gradients = (np.concatenate(parts, axis=1) for parts in zip(*expected, strict=True))
    network = ScoredModel(model, batch_size)
    found = network.gradients(x, own)
    np.testing.assert_allclose(found[0], values, atol=1e-6)
    np.testing.assert_allclose(found[1], gradients, atol=1e-6)
    np.testing.assert_allclose(network.scores(x, own), values, atol=1e-6)


def test_scores_together_are_as_each_alone(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    values, gradients = network.gradients(x, SCORES)
    for i, score in enumerate(SCORES):
        value, gradient = network.gradients(x, [score])
        np.testing.assert_allclose(values[i], value[0], atol=1e-6)
        np.testing.assert_allclose(gradients[i], gradient[0], atol=1e-6)
    assert np.abs(gradients[0] - gradients[1]).max() > 0.01


def test_no_example_is_no_row(smooth, windows):
    values, gradients = ScoredModel(smooth(), 8).gradients(windows(0), SCORES)
    assert (values.shape, gradients.shape) == ((2, 0), (2, 0, 20, 4))
    assert ScoredModel(smooth(), 8).scores(windows(0), SCORES).shape == (2, 0)


@pytest.mark.parametrize("method", ATTRIBUTION_METHODS)
def test_everything_is_traced_once(method, smooth, windows, caplog):
    network, options = ScoredModel(smooth(), 4), method_options(method, FEW)
    ATTRIBUTION_METHODS[method](network, windows(6), SCORES, **options)
    traced = network.tracings
    assert 1 <= traced <= 3
    for n, seed in ((6, 1), (1, 2), (4, 3), (9, 4)):
        other = [Score(np.array([0, 1.0, -0.5])), Score(np.array([0, 0, 2.0]), link="log")]
        ATTRIBUTION_METHODS[method](network, windows(n, seed=seed), other, **options)
    assert network.tracings == traced
    assert "retracing" not in caplog.text


def test_an_ensemble_does_not_cause_retracing_warnings(smooth, windows, caplog):
    for seed in range(8):
        ScoredModel(smooth(seed), 4).gradients(windows(), SCORES)
    assert "retracing" not in caplog.text


def test_a_model_of_several_heads_is_refused():
    x = keras.Input((20, 4))
    outputs = [keras.layers.Dense(2)(keras.layers.Flatten()(x)) for _ in range(2)]
    with pytest.raises(InputError, match=r"2 heads, .* select one head"):
        ScoredModel(keras.Model(x, outputs), 4)


def test_rows_are_filled_up_with_the_last():
    assert fill(np.array([3, 4]), 4).tolist() == [3, 4, 4, 4]
    assert fill(np.array([3, 4]), 2).tolist() == [3, 4]
