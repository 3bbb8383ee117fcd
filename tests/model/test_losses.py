import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.losses import MeanSquaredError, Poisson, check_labels, parse_loss

LABELS = ("mse", "poisson")


def plain_values(label, true, predicted):
    """Loss of each example, by the definition, in float64."""
    values = []
    for t, p in zip(true.astype(np.float64), predicted.astype(np.float64)):
        each = (t - p) ** 2 if label == "mse" else p - t * np.log(p + 1e-7)
        values.append(each[~np.isnan(t)].mean() if (~np.isnan(t)).any() else 0.0)
    return np.array(values)


@pytest.fixture(params=[(6, 5), (6, 3, 5)], ids=["rank2", "rank3"])
def batch(request):
    """Labels and predictions; some labels are missing, and the third example has none."""
    rng = np.random.default_rng(0)
    true = rng.poisson(3.0, request.param).astype(np.float32)
    true[rng.random(request.param) < 0.3] = np.nan
    true[2] = np.nan
    return true, rng.gamma(2.0, 2.0, request.param).astype(np.float32)


@pytest.mark.parametrize("label", LABELS)
def test_value_is_the_plain_one(label, batch):
    np.testing.assert_allclose(float(parse_loss(label)(*batch)), plain_values(label, *batch).mean(), rtol=1e-5)


@pytest.mark.parametrize("label", LABELS)
def test_sample_weights_scale_examples(label, batch):
    weight = np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0], np.float32)
    expected = (plain_values(label, *batch) * weight).mean()
    np.testing.assert_allclose(float(parse_loss(label)(*batch, sample_weight=weight)), expected, rtol=1e-5)


@pytest.mark.parametrize("label", LABELS)
def test_gradient_is_the_plain_one_and_zero_where_not_measured(label, batch):
    true, predicted = batch
    # What a network says of an unmeasured entry must not matter, not even where the loss is undefined.
    predicted = np.where(np.isnan(true), -5.0, predicted).astype(np.float32)
    tensor = tf.constant(predicted)
    with tf.GradientTape() as tape:
        tape.watch(tensor)
        value = parse_loss(label)(true, tensor)
    found = tape.gradient(value, tensor).numpy()
    measured = ~np.isnan(true)
    t, p = np.nan_to_num(true.astype(np.float64)), predicted.astype(np.float64)
    slope = 2 * (p - t) if label == "mse" else 1 - t / (p + 1e-7)
    counts = measured.reshape(len(true), -1).sum(axis=1).reshape(-1, *[1] * (true.ndim - 1))
    expected = np.where(measured, slope / np.maximum(counts, 1) / len(true), 0.0)
    assert np.isfinite(float(value))
    assert (found[~measured] == 0).all()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_nothing_measured_costs_nothing():
    true = np.full((3, 2), np.nan, np.float32)
    assert float(MeanSquaredError()(true, np.ones((3, 2)))) == 0
    assert float(Poisson()(true, np.ones((3, 2)))) == 0


def test_poisson_survives_a_prediction_of_zero():
    assert np.isfinite(float(Poisson()(np.array([[4.0, 0.0]]), np.zeros((1, 2)))))


@pytest.mark.parametrize("label", LABELS)
def test_compiled_model_is_saved_with_its_loss(label, tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softplus")])
    model.compile(optimizer="sgd", loss=parse_loss(label))
    x, y = np.ones((5, 4), np.float32), np.array([[1.0, np.nan, 2.0]] * 5, np.float32)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.loss) is type(parse_loss(label))
    assert np.isfinite(model.evaluate(x, y, verbose=0))
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


@pytest.mark.parametrize("label", LABELS)
def test_config_round_trip(label):
    loss = type(parse_loss(label))(reduction="sum", name="mine")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert (type(again), again.reduction, again.name) == (type(loss), "sum", "mine")


def test_unknown_loss_names_the_nearest():
    with pytest.raises(InputError, match=r"poison.*did you mean poisson"):
        parse_loss("poison")


def test_poisson_refuses_negative_labels():
    labels = np.array([[1.0, np.nan, 0.5], [0.0, 2.0, -0.1]])
    with pytest.raises(InputError, match=r"1 of 3 tasks.*liver"):
        check_labels("poisson", labels, ["brain", "skin", "liver"])
    check_labels("poisson", labels[:, :2], ["brain", "skin"])
    check_labels("mse", labels, ["brain", "skin", "liver"])
