import keras
import numpy as np
import pytest
from scipy.stats import pearsonr

from cisnake.model.losses import MeanSquaredError
from cisnake.model.metrics import R2, PearsonR


def plain(kind, true, predicted):
    """Value of each target (last axis) by the definition, in float64; NaN where undefined."""
    true, predicted = (np.asarray(a, np.float64).reshape(-1, a.shape[-1]) for a in (true, predicted))
    values = []
    for t, p in zip(true.T, predicted.T):
        t, p = t[~np.isnan(t)], p[~np.isnan(t)]
        if len(t) < 2 or np.ptp(t) == 0 or (kind is PearsonR and np.ptp(p) == 0):
            values.append(np.nan)
        elif kind is PearsonR:
            values.append(pearsonr(t, p)[0])
        else:
            values.append(1 - ((t - p) ** 2).sum() / ((t - t.mean()) ** 2).sum())
    return np.array(values)


def examples(shape=(50, 4), seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=shape).astype(np.float32)
    return true, (0.6 * true + rng.normal(size=shape)).astype(np.float32)


def result(kind, true, predicted, summarize=False, **kwargs):
    metric = kind(true.shape[-1], summarize=summarize)
    metric.update_state(true, predicted, **kwargs)
    return np.asarray(metric.result())


both = pytest.mark.parametrize("kind", [PearsonR, R2])


@both
@pytest.mark.parametrize("shape", [(50, 4), (10, 7, 4)])
def test_is_the_plain_value(kind, shape):
    true, predicted = examples(shape)
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-9)
    np.testing.assert_allclose(result(kind, true, predicted, summarize=True), plain(kind, true, predicted).mean(), rtol=1e-9)


@both
def test_missing_labels_are_left_out(kind):
    true, predicted = examples()
    true[np.random.default_rng(1).random(true.shape) < 0.4] = np.nan
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-9)


@both
def test_mean_a_thousand_times_the_spread(kind):
    true, predicted = (array + np.float32(1000) for array in examples((5000, 3)))
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-6)


@both
def test_one_huge_outlier(kind):
    true, predicted = examples((2000, 2))
    true[7, 0] = predicted[9, 0] = 1e6
    predicted[7, 1] = 1e6
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-6, atol=1e-9)


@both
def test_constant_labels_are_undefined_and_do_not_poison_the_mean(kind):
    true, predicted = examples()
    # 0.1 has no exact square: rounding must not pass for spread.
    true[:, 1] = 0.1
    values = result(kind, true, predicted)
    assert np.isnan(values[1])
    assert np.isfinite(values[[0, 2, 3]]).all()
    np.testing.assert_allclose(result(kind, true, predicted, summarize=True), np.nanmean(plain(kind, true, predicted)))


@both
def test_a_spread_of_the_last_digit_is_none(kind):
    true, predicted = examples((50, 1))
    constant = np.float32(1000) + np.spacing(np.float32(1000)) * (true > 0)
    assert len(np.unique(constant)) == 2
    assert np.isnan(result(kind, constant.astype(np.float32), predicted))


def test_constant_predictions_explain_nothing():
    true, predicted = examples()
    predicted[:, 2] = np.float32(0.1)
    assert result(PearsonR, true, predicted)[2] == 0
    np.testing.assert_allclose(result(R2, true, predicted), plain(R2, true, predicted), rtol=1e-9)


@both
def test_nothing_defined_is_nan(kind):
    true, predicted = np.full((9, 3), 0.1, np.float32), examples((9, 3))[1]
    assert np.isnan(result(kind, true, predicted, summarize=True))
    assert np.isnan(kind(3).result())
    assert np.isnan(result(kind, np.full((9, 3), np.nan, np.float32), predicted, summarize=True))


@both
@pytest.mark.parametrize("size", [1, 7, 49])
def test_batches_of_any_size_give_the_same(kind, size):
    true, predicted = examples()
    true[::3, 0] = np.nan
    metric = kind(4, summarize=False)
    metric.update_state(true[:0], predicted[:0])
    for first in range(0, len(true), size):
        metric.update_state(true[first : first + size], predicted[first : first + size])
    np.testing.assert_allclose(metric.result(), result(kind, true, predicted), rtol=1e-12)


@both
def test_states_merge_by_adding(kind):
    true, predicted = examples()
    parts = [kind(4, summarize=False) for _ in range(2)]
    parts[0].update_state(true[:20], predicted[:20])
    parts[1].update_state(true[20:], predicted[20:])
    whole = kind(4, summarize=False)
    for variable, *states in zip(whole.variables, *(part.variables for part in parts)):
        variable.assign(sum(np.asarray(state) for state in states))
    np.testing.assert_allclose(whole.result(), result(kind, true, predicted), rtol=1e-12)


@both
@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("shape", [(50, 4), (50, 2, 4)])
def test_whole_weights_repeat_examples_and_only_their_ratios_count(kind, scale, shape):
    true, predicted = examples(shape)
    weight = np.random.default_rng(2).integers(0, 3, 50)
    expected = plain(kind, np.repeat(true, weight, axis=0), np.repeat(predicted, weight, axis=0))
    np.testing.assert_allclose(result(kind, true, predicted, sample_weight=weight * scale), expected, rtol=1e-6)


@both
def test_reset_forgets(kind):
    true, predicted = examples()
    metric = kind(4)
    metric.update_state(true * 100, predicted)
    metric.reset_state()
    assert np.isnan(metric.result())
    metric.update_state(true, predicted)
    np.testing.assert_allclose(metric.result(), result(kind, true, predicted, summarize=True))


@both
def test_config_round_trip(kind):
    metric = keras.metrics.deserialize(keras.metrics.serialize(kind(4, summarize=False, name="mine")))
    assert (type(metric), metric.num_targets, metric.summarize, metric.name) == (kind, 4, False, "mine")


def test_in_fit_evaluate_and_a_saved_model(tmp_path):
    x, (true, _) = np.random.default_rng(3).normal(size=(50, 6)).astype(np.float32), examples((50, 3))
    true[::4, 1] = np.nan
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    model.compile("sgd", MeanSquaredError(), metrics=[PearsonR(3, name="r"), R2(3, name="r2")])
    history = model.fit(x, true, validation_data=(x, true), batch_size=16, epochs=2, verbose=0).history
    model.save(tmp_path / "model.keras")
    predicted = model.predict(x, verbose=0)
    for at in (model, keras.saving.load_model(tmp_path / "model.keras")):
        scores = at.evaluate(x, true, batch_size=16, verbose=0, return_dict=True)
        for name, kind in (("r", PearsonR), ("r2", R2)):
            np.testing.assert_allclose(scores[name], plain(kind, true, predicted).mean(), rtol=1e-5)
            np.testing.assert_allclose(history[f"val_{name}"][-1], scores[name], rtol=1e-5)
