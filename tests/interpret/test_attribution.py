import keras
import numpy as np
import pytest

from cisnake.interpret.attribution import attribute, correct_gradient, gradient_function, input_x_gradient
from cisnake.model.blocks import StrandMaxConv1D

LENGTH = 20
WEIGHTS = np.array([[0.5, 0.5, -1.0], [1.0, 0.0, 0.0]], np.float32)


def windows(n=5, depth=5):
    rng = np.random.default_rng(0)
    x = np.zeros((n, LENGTH, depth), np.float32)
    x[..., :4] = np.eye(5, 4)[rng.integers(0, 5, (n, LENGTH))]
    x[:, 8:, 4:] = 1
    return x


def linear(seed=0, depth=5):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((LENGTH, depth)), keras.layers.Flatten(), keras.layers.Dense(3)])


def smooth(seed=0, depth=5):
    keras.utils.set_random_seed(seed)
    layers = [
        keras.layers.Conv1D(4, 5, activation="tanh"), keras.layers.Dropout(0.5), keras.layers.Flatten(), keras.layers.Dense(3)
    ]  # fmt: skip
    return keras.Sequential([keras.Input((LENGTH, depth)), *layers])


def run(models, x, weights=WEIGHTS, batch_size=None):
    return attribute([gradient_function(model, weights) for model in models], x, batch_size or len(x))


def test_of_a_linear_model_is_its_weights_less_their_mean_over_bases():
    model, x = linear(), windows()
    attributions, _ = run([model], x)
    kernel = np.asarray(model.layers[-1].kernel, np.float64).reshape(LENGTH, 5, 3)[:, :4]
    for contrast, weights in zip(attributions, WEIGHTS.astype(np.float64), strict=True):
        per_base = kernel @ weights
        expected = x[..., :4] * (per_base - per_base.mean(axis=1, keepdims=True))
        np.testing.assert_allclose(contrast, expected.swapaxes(1, 2), atol=1e-6)


def test_without_correction_a_linear_model_adds_up_to_its_score():
    model, x = linear(depth=4), windows(depth=4)
    scores, gradient = (part.numpy() for part in gradient_function(model, WEIGHTS)(x))
    at_zero = np.asarray(model(np.zeros_like(x))) @ WEIGHTS.T
    np.testing.assert_allclose((gradient * x).sum(axis=(2, 3)).T, scores - at_zero, atol=1e-5)


def test_gradient_is_that_of_finite_differences():
    model, x, step = smooth(), windows(2), 1e-2
    gradient = gradient_function(model, WEIGHTS)(x)[1].numpy()
    rng = np.random.default_rng(1)
    for _ in range(40):
        gene, position, base = rng.integers(2), rng.integers(LENGTH), rng.integers(4)
        up, down = x.copy(), x.copy()
        up[gene, position, base] += step
        down[gene, position, base] -= step
        difference = (model.predict_on_batch(up) - model.predict_on_batch(down))[gene] @ WEIGHTS.T / (2 * step)
        np.testing.assert_allclose(gradient[:, gene, position, base], difference, atol=2e-3)
    assert np.abs(gradient).max() > 0.1


def test_scores_are_the_weighted_predictions_of_each_model():
    models, x = [smooth(0), smooth(1)], windows()
    scores = run(models, x)[1]
    expected = [(np.asarray(model(x)) @ WEIGHTS.T).T for model in models]
    assert scores.shape == (2, 2, 5)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_contrasts_together_are_as_each_alone():
    x = windows()
    together, scores = run([smooth()], x)
    for i in range(2):
        alone, score = run([smooth()], x, WEIGHTS[i : i + 1])
        np.testing.assert_allclose(together[i], alone[0], atol=1e-6)
        np.testing.assert_allclose(scores[:, i], score[:, 0], atol=1e-6)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_models_together_are_the_mean_of_each():
    x, models = windows(), [smooth(seed) for seed in range(3)]
    expected = np.mean([run([model], x)[0] for model in models], axis=0)
    np.testing.assert_allclose(run(models, x)[0], expected, atol=1e-6)


def test_symmetric_model_attributes_symmetrically():
    keras.utils.set_random_seed(0)
    layers = [StrandMaxConv1D(6, 4), keras.layers.ReLU(), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    model, x = keras.Sequential([keras.Input((LENGTH, 5)), *layers]), windows()
    # An N may be the centre of a palindrome, where both strands match alike and the gradient goes to either.
    x[..., 0] += 1 - x[..., :4].sum(axis=-1)
    other = x[:, ::-1][..., [3, 2, 1, 0, 4]]
    forward, backward = run([model], x)[0], run([model], other)[0]
    assert np.abs(forward).max() > 0.01
    np.testing.assert_allclose(backward, forward[:, :, ::-1, ::-1], atol=1e-6)


def test_shape_and_where_nothing_is():
    x = windows()
    attributions, _ = run([smooth()], x)
    assert (attributions.shape, attributions.dtype) == ((2, 5, 4, LENGTH), np.float32)
    absent = np.broadcast_to(x[..., :4].swapaxes(1, 2) == 0, attributions.shape)
    assert (attributions[absent] == 0).all()
    assert np.abs(attributions[~absent]).min() > 0
    # The gene body changes the gradient, but has none of its own in the result.
    assert gradient_function(smooth(), WEIGHTS)(x)[1].shape == (2, 5, LENGTH, 4)


@pytest.mark.parametrize("batch_size", [5, 6, 64])
def test_filling_up_a_batch_changes_nothing(batch_size):
    x = windows()
    expected, scores = run([smooth()], x, batch_size=5)
    attributions, found = run([smooth()], x, batch_size=batch_size)
    np.testing.assert_allclose(attributions, expected, atol=1e-6)
    np.testing.assert_allclose(found, scores, atol=1e-6)


def test_corrected_gradients_sum_to_nothing_and_leave_differences():
    gradient = np.random.default_rng(0).normal(size=(2, 3, LENGTH, 4))
    corrected = correct_gradient(gradient)
    np.testing.assert_allclose(corrected.sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(corrected[..., 1] - corrected[..., 0], gradient[..., 1] - gradient[..., 0])
    # What is the same for all bases says nothing of any of them.
    x = windows(3)
    offset = np.random.default_rng(1).normal(size=(2, 3, LENGTH, 1))
    np.testing.assert_allclose(input_x_gradient(x, gradient + offset), input_x_gradient(x, gradient), atol=1e-6)
