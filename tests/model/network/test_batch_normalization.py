"""The fused operation must equal Keras's normalisation in values, gradients and statistics."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.model.network.batch_normalization import BatchNormalization

KERAS = keras.layers.BatchNormalization


def inputs(shape=(6, 7, 3), scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * scale + rng.normal(size=shape[-1]) * 3).astype("f4")


def made(kind, shape, dtype="float32"):
    layer = kind(momentum=0.7, epsilon=0.01, dtype=dtype)
    layer.build((None, *shape[1:]))
    layer.set_weights(
        [np.linspace(0.5, 2, shape[-1]), np.linspace(-1, 1, shape[-1]), np.full(shape[-1], 0.3), np.full(shape[-1], 2.0)]
    )
    return layer


def run(kind, x, training=True, dtype="float32", compiled=False):
    """Return outputs, gradients of a weighted sum of outputs with respect to inputs, gain and offset, and moving statistics."""
    layer = made(kind, x.shape, dtype)
    weights = tf.constant(inputs(x.shape, seed=9))

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=training)
            total = tf.reduce_sum(tf.cast(y, tf.float32) * weights)
        return y, tape.gradient(total, [x, layer.gamma.value, layer.beta.value])

    y, gradients = (tf.function(step, jit_compile=True) if compiled else step)(tf.constant(x))
    return [np.asarray(y, "f4"), *map(np.asarray, gradients), *layer.get_weights()[2:]]


@pytest.mark.parametrize("shape", [(6, 7, 3), (64, 5), (1, 4, 2), (2, 1, 3), (3, 1)])
@pytest.mark.parametrize("training", [True, False])
def test_results_equal_those_of_keras(shape, training):
    for found, expected in zip(
        run(BatchNormalization, inputs(shape), training), run(KERAS, inputs(shape), training), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_results_equal_the_formula():
    x = inputs().astype(np.float64)
    mean, variance = x.mean(axis=(0, 1)), x.var(axis=(0, 1))
    found = run(BatchNormalization, inputs())
    np.testing.assert_allclose(found[0], (x - mean) / np.sqrt(variance + 0.01) * [0.5, 1.25, 2] + [-1, 0, 1], atol=1e-5)
    np.testing.assert_allclose(found[-2], 0.7 * 0.3 + 0.3 * mean, rtol=1e-5)
    np.testing.assert_allclose(found[-1], 0.7 * 2 + 0.3 * variance, rtol=1e-5)


def test_accuracy_far_from_zero_is_no_worse_than_that_of_keras():
    x = inputs(scale=0.1) + 50
    exact = x.astype(np.float64)
    exact = (exact - exact.mean(axis=(0, 1))) / np.sqrt(exact.var(axis=(0, 1)) + 0.01) * [0.5, 1.25, 2] + [-1, 0, 1]
    found, of_keras = (np.abs(run(kind, x)[0] - exact).max() for kind in (BatchNormalization, KERAS))
    assert found <= max(2 * of_keras, 1e-5)


def test_results_with_xla_equal_those_of_keras():
    """XLA computes the variance as a difference of means, which is inaccurate if the mean is many deviations from zero."""
    for found, expected in zip(run(BatchNormalization, inputs(), compiled=True), run(KERAS, inputs()), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_half_precision_is_normalised_in_full():
    x = inputs(scale=300.0)
    found, expected = (run(kind, x, dtype="mixed_float16") for kind in (BatchNormalization, KERAS))
    assert np.isfinite(found[0]).all()
    np.testing.assert_allclose(found[0], expected[0], rtol=2e-3, atol=2e-3)
    assert made(BatchNormalization, x.shape, "mixed_float16")(x, training=True).dtype == "float16"


def test_float64_and_a_frozen_layer_are_left_to_keras():
    x = inputs().astype(np.float64)
    assert made(BatchNormalization, x.shape, "float64")(x, training=True).dtype == "float64"
    layer = made(BatchNormalization, x.shape)
    layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(layer(x, training=True), layer(x, training=False))
    for weight, expected in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_it_is_saved_and_loaded(tmp_path):
    model = keras.Sequential([keras.Input((7, 3)), BatchNormalization(momentum=0.7)])
    model(inputs(), training=True)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    assert type(loaded.layers[-1]) is BatchNormalization and loaded.layers[-1].momentum == 0.7
    np.testing.assert_array_equal(loaded(inputs()), model(inputs()))
