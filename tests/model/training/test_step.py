"""A step must equal that of one device with the whole batch, however the batch is split."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.model.losses import MeanSquaredError
from cisnake.model.metrics import R2, PearsonR
from cisnake.model.training.step import LossScale, Step, Totals, sound_so_far

N, LENGTH, TASKS = 41, 12, 3


def data(seed=0):
    rng = np.random.default_rng(seed)
    inputs, labels = rng.normal(size=(N, LENGTH, 4)).astype("f4"), rng.normal(size=(N, TASKS)).astype("f4")
    labels[3] = labels[::4, 1] = np.nan
    return inputs, labels


def network(normalize=False, penalty=0.0):
    x = inputs = keras.Input((LENGTH, 4))
    x = keras.layers.Conv1D(5, 3, use_bias=not normalize, kernel_regularizer=keras.regularizers.L2(penalty))(x)
    if normalize:
        x = keras.layers.BatchNormalization(synchronized=True, momentum=0.9)(x)
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Activation("gelu")(x))
    return keras.Model(inputs, keras.layers.Dense(TASKS)(x))


def run(strategy=None, steps=5, normalize=False, penalty=0.0, optimizer=None, scale=False, n=N, **settings):
    """Train a network and return its losses, weights and metric values of all steps."""
    strategy = strategy or tf.distribute.get_strategy()
    keras.utils.set_random_seed(2)
    with strategy.scope():
        model = network(normalize, penalty)
        optimizer = (optimizer or (lambda: keras.optimizers.AdamW(0.03, weight_decay=0.01, global_clipnorm=0.05)))()
        optimizer.build(model.trainable_variables)
        loss_scale = LossScale() if scale else None
    metrics = [PearsonR(TASKS, name="pearsonr"), R2(TASKS, name="r2")]
    step = Step(model, MeanSquaredError(), metrics, strategy, optimizer, {"batch_size": N} | settings, loss_scale)
    totals, losses = Totals(metrics), []
    replicas = strategy.num_replicas_in_sync
    for number in range(steps):
        inputs, labels = data(number)
        cuts = [slice(n * i // replicas, n * (i + 1) // replicas) for i in range(replicas)]
        loss, sound, sums = step([(tf.constant(inputs[cut]), tf.constant(labels[cut])) for cut in cuts], n)
        assert bool(sound)
        totals.add(float(loss), n, sums)
        losses.append(float(loss))
    return np.array(losses), model.get_weights(), totals.values()


def assert_alike(one, other, tolerance=1e-5):
    np.testing.assert_allclose(one[0], other[0], rtol=tolerance)
    for weight, expected in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(weight, expected, rtol=tolerance, atol=tolerance)
    assert one[2] == pytest.approx(other[2], rel=tolerance, nan_ok=True)


def test_a_step_is_that_of_keras():
    keras.utils.set_random_seed(2)
    model = network(penalty=0.1)
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.2), MeanSquaredError())
    expected = [model.train_on_batch(*data(number)) for number in range(5)]
    found = run(penalty=0.1, optimizer=lambda: keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.2))
    np.testing.assert_allclose(found[0][0], expected[0], rtol=1e-6)
    for weight, other in zip(found[1], model.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("normalize", [False, True])
def test_two_devices_equal_one(mirrored, normalize):
    assert_alike(run(mirrored, normalize=normalize, penalty=0.1), run(normalize=normalize, penalty=0.1))


@pytest.mark.parametrize("pieces", [2, 3, 7, 41, 50])
def test_accumulated_gradients_equal_those_of_the_whole_batch(pieces):
    assert_alike(run(penalty=0.1, gradient_accumulation=pieces, agc_clip=0.01), run(penalty=0.1, agc_clip=0.01))


def test_a_device_with_an_empty_share_contributes_to_the_penalty(mirrored, empty_batches):
    assert_alike(run(mirrored, gradient_accumulation=3, penalty=0.1, n=1), run(penalty=0.1, n=1))


@pytest.mark.parametrize("n", [2, 9, 41])
def test_devices_and_pieces_together(mirrored, n):
    assert_alike(run(mirrored, gradient_accumulation=3, penalty=0.1, n=n), run(penalty=0.1, n=n))


def test_xla_gives_the_same():
    assert_alike(run(jit_compile=True), run(), tolerance=1e-4)


def test_a_scaled_loss_gives_the_same(mirrored):
    """Clipping applies to the unscaled gradient."""
    expected = run(agc_clip=0.01)
    assert_alike(run(scale=True, agc_clip=0.01), expected)
    assert_alike(run(mirrored, scale=True, agc_clip=0.01), expected)


@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_that_is_not_finite_changes_nothing_and_no_later_one_does(scaled):
    model = network()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    scale = LossScale() if scaled else None
    step = Step(model, MeanSquaredError(), [], tf.distribute.get_strategy(), optimizer, {"batch_size": N}, scale)
    inputs, labels = data()
    before = [*model.get_weights(), *(variable.numpy() for variable in optimizer.variables)]
    loss, sound, _ = step([(tf.constant(inputs * np.inf), tf.constant(labels))], N)
    assert not np.isfinite(loss) and not bool(sound)
    loss, sound, _ = step([(tf.constant(inputs), tf.constant(labels))], N)
    assert np.isfinite(loss) and not bool(sound)
    for value, expected in zip(
        [*model.get_weights(), *(variable.numpy() for variable in optimizer.variables)], before, strict=True
    ):
        np.testing.assert_array_equal(value, expected)


def test_steps_that_share_weights_stop_together():
    model = network()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    flag, strategy = sound_so_far(), tf.distribute.get_strategy()
    one, other = (Step(model, MeanSquaredError(), [], strategy, optimizer, {"batch_size": N}, sound=flag) for _ in range(2))
    inputs, labels = data()
    assert not bool(one([(tf.constant(inputs * np.inf), tf.constant(labels))], N)[1])
    assert not bool(other([(tf.constant(inputs), tf.constant(labels))], N)[1])
    assert int(optimizer.iterations) == 0


def test_gradients_that_the_scale_made_overflow_are_left_out_and_training_goes_on():
    model = network()
    optimizer = keras.optimizers.Adam(0.1)
    optimizer.build(model.trainable_variables)
    scale = LossScale()
    step = Step(model, MeanSquaredError(), [], tf.distribute.get_strategy(), optimizer, {"batch_size": N}, scale)
    inputs, labels = data()
    # A loss of 1e36 and its gradient of 1e35 are finite in float32; 2^15 times them are not.
    large = [(tf.constant(inputs * np.float32(1e18)), tf.constant(labels * np.float32(1e18)))]
    loss, sound, _ = step(large, N)
    assert np.isfinite(loss) and bool(sound)
    assert float(scale.scale) == 2.0**14 and int(optimizer.iterations) == 0
    assert bool(step([(tf.constant(inputs), tf.constant(labels))], N)[1])
    assert int(optimizer.iterations) == 1
    # If no scale helps, the step is not sound.
    scale.scale.assign(1.0)
    assert not bool(step([(tf.constant(inputs * 1e30), tf.constant(labels))], N)[1])


def test_the_scale_grows_after_many_finite_steps():
    scale = LossScale()
    for step in range(4001):
        scale.update(np.array(step != 2500))
    # Doubled after 2,000, halved after 2,501.
    assert float(scale.scale) == 2.0**15
    for _ in range(501):
        scale.update(np.array(True))
    assert float(scale.scale) == 2.0**16


def test_validation_leaves_the_network_alone():
    model = network(normalize=True, penalty=0.1)
    inputs, labels = data()
    metrics = [PearsonR(TASKS, name="pearsonr"), R2(TASKS, name="r2")]
    before, totals = model.get_weights(), Totals(metrics)
    step = Step(model, MeanSquaredError(), metrics, tf.distribute.get_strategy())
    for cut in (slice(0, 16), slice(16, 32), slice(32, N)):
        loss, _, sums = step([(tf.constant(inputs[cut]), tf.constant(labels[cut]))], cut.stop - cut.start)
        totals.add(float(loss), cut.stop - cut.start, sums)
    for weight, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, expected)
    predictions = model.predict_on_batch(inputs)
    penalty = float(sum(model.losses))
    measured = np.isfinite(labels)
    error = np.where(measured, labels - predictions, 0) ** 2
    per_example = error.sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    assert totals.values()["loss"] == pytest.approx(per_example.mean() + penalty, rel=1e-5)
    for metric in metrics:
        metric.update_state(labels, predictions)
        assert totals.values()[metric.name] == pytest.approx(float(metric.result()), rel=1e-5)
