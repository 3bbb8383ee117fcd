"""Losses must equal their definitions in float64, also for extreme values, and ignore missing labels."""

import inspect
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model import losses
from cisnake.model.losses import BinaryCrossentropy, PoissonMultinomial, check_labels, parse_loss

PEERS = Path(__file__).parent / "data" / "peer_losses.npz"
# Weights other than the defaults, so that each has an effect.
CASES = {
    "mse": {},
    "mse_udot": {"udot_weight": 0.7},
    "poisson": {},
    "poisson_kl": {"kl_weight": 2.0, "epsilon": 1e-3},
    "poisson_mn": {"total_weight": 0.2, "epsilon": 1e-3},
    "poisson_mn weighted": {"total_weight": 0.3, "rescale": True, "weight_range": 8.0, "weight_exp": 3.0},
    "task_poisson_mn": {"total_weight": 0.01},
    "bce": {},
}
# The largest float32 below 1, which represents 1 - 1e-7.
nearly_1 = float(np.float32(1) - np.float32(1e-7))
every = pytest.mark.parametrize("case", CASES)


def loss_of(case):
    return parse_loss(case.split()[0], **CASES[case])


def plain_row(case, t, p):
    """Return a loss that is a function of the measured tasks of one position."""
    w = CASES[case]
    if case == "task_poisson_mn":
        p = p + 1e-7
        return -(t * np.log(p / p.sum())).mean() + w["total_weight"] * (p.sum() - t.sum() * np.log(p.sum()))
    a, b = t + w["epsilon"], p + w["epsilon"]
    a, b = a / a.sum(), b / b.sum()
    return (a * np.log(a / b)).sum()


def plain_column(case, t, p, length, at):
    """Return a loss that is a function of the measured positions of one task."""
    w = {"epsilon": 1e-6, "weight_range": 1.0, "weight_exp": 1.0, "rescale": False} | CASES[case]
    x = np.arange(length) - (length - 1) / 2
    sigma = (length / 2 - 0.5) / np.log(w["weight_range"]) ** (1 / w["weight_exp"]) if w["weight_range"] > 1 else np.inf
    u = np.exp(-(np.abs(x / sigma if length > 1 else x) ** w["weight_exp"]))
    u = (u / u.max())[at]
    t, p = u * t + w["epsilon"], u * p + w["epsilon"]
    multinomial = -sum(a * np.log(b / p.sum()) for a, b in zip(t, p))
    value = (multinomial + w["total_weight"] * (p.sum() - t.sum() * np.log(p.sum()))) / u.sum()
    return value * 2 / (1 + w["total_weight"]) if w["rescale"] else value


def plain_values(case, true, predicted):
    """Compute the loss of each example with loops in float64."""
    values = []
    for t, p in zip(true.astype(np.float64), predicted.astype(np.float64)):
        t, p = np.atleast_2d(t), np.atleast_2d(p)
        rows = [(t[i, known], p[i, known]) for i in range(len(t)) if (known := ~np.isnan(t[i])).any()]
        if not rows:
            values.append(0.0)
        elif case.startswith("poisson_mn"):
            columns = [(t[:, j], p[:, j], ~np.isnan(t[:, j])) for j in range(t.shape[1]) if not np.isnan(t[:, j]).all()]
            values.append(np.mean([plain_column(case, a[k], b[k], len(a), k) for a, b, k in columns]))
        elif case == "task_poisson_mn":
            values.append(np.mean([plain_row(case, a, b) for a, b in rows]))
        else:
            if case == "mse":
                entries = [(a - b) ** 2 for a, b in rows]
            elif case == "mse_udot":
                entries = [(a - b) ** 2 - 0.7 * (a - a.mean()) * (b - b.mean()) for a, b in rows]
            elif case == "bce":
                entries = [
                    -a * np.log(b) - (1 - a) * np.log(1 - b) for a, b in ((a, np.clip(b, 1e-7, nearly_1)) for a, b in rows)
                ]
            else:
                entries = [b - a * np.log(b + 1e-7) for a, b in rows]
            value = np.concatenate(entries).mean()
            values.append(value + (2.0 * np.mean([plain_row(case, a, b) for a, b in rows]) if case == "poisson_kl" else 0.0))
    return np.array(values)


def batch_of(case, shape, missing=True):
    """Return labels and predictions. All labels of the third example and the last target of the second are missing.

    The fifth has none at its first position, or of its first target.
    """
    rng = np.random.default_rng(0)
    true, predicted = rng.poisson(3.0, shape).astype(np.float32), rng.gamma(2.0, 2.0, shape).astype(np.float32)
    if case == "bce":
        true, predicted = (true > 2).astype(np.float32), predicted / (1 + predicted)
    if missing:
        true[rng.random(shape) < 0.3] = np.nan
        true[2] = np.nan
        true[1, ..., -1] = np.nan
        true[4, 0] = np.nan
    return true, predicted


SHAPES = {"rank2": (6, 5), "rank3": (6, 4, 5), "one target": (6, 4, 1), "one position": (6, 1, 5), "one number": (6, 1)}


@pytest.fixture(params=SHAPES.values(), ids=SHAPES)
def shape(request):
    return request.param


@every
def test_the_value_of_every_example_is_correct(case, shape):
    for missing in (False, True):
        batch = batch_of(case, shape, missing)
        found = np.asarray(loss_of(case).call(*batch))
        assert found.shape == (6,)
        np.testing.assert_allclose(found, plain_values(case, *batch), rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(float(loss_of(case)(*batch)), found.mean(), rtol=1e-6)


@every
def test_parts_of_a_batch_add_up(case, shape):
    true, predicted = batch_of(case, shape)
    loss = loss_of(case)
    parts = [np.asarray(loss.call(true[i : i + 2], predicted[i : i + 2])) for i in (0, 2, 4)]
    np.testing.assert_allclose(np.concatenate(parts), loss.call(true, predicted), rtol=1e-5, atol=1e-6)


@every
def test_sample_weights_scale_examples(case, shape):
    batch, weight = batch_of(case, shape), np.array([1.0, 0.0, 2.0, 0.5, 3.0, 1.0], np.float32)
    expected = (plain_values(case, *batch) * weight).mean()
    np.testing.assert_allclose(float(loss_of(case)(*batch, sample_weight=weight)), expected, rtol=2e-5, atol=1e-6)


def gradient(loss, true, predicted, how=lambda function: function):
    def slope(true, tensor):
        with tf.GradientTape() as tape:
            tape.watch(tensor)
            value = loss(true, tensor)
        return value, tape.gradient(value, tensor)

    value, found = how(slope)(tf.constant(true), tf.constant(predicted))
    return float(value), found.numpy()


@every
@pytest.mark.parametrize(
    ("how", "shape"),
    [(tf.function, (6, 5)), (tf.function, (6, 4, 5)), (tf.function(jit_compile=True), (6, 4, 5))],
    ids=["rank2", "rank3", "xla"],
)
def test_gradient_is_correct_and_zero_for_missing_labels(case, shape, how):
    true, predicted = batch_of(case, shape)
    # The prediction for a missing label must not matter, even where the loss is undefined.
    predicted[np.isnan(true)] = np.resize(np.array([-5.0, np.nan, np.inf, 0.0], np.float32), np.isnan(true).sum())
    value, found = gradient(loss_of(case), true, predicted, how)
    assert np.isfinite(value) and (found[np.isnan(true)] == 0).all()
    calm = np.where(np.isnan(true), 1.0, predicted).astype(np.float64)
    for at in np.argwhere(~np.isnan(true)):
        step = np.zeros_like(calm)
        step[tuple(at)] = 1e-5
        one = slice(at[0], at[0] + 1)
        two_sided = [plain_values(case, true[one], (calm + sign * step)[one])[0] for sign in (1, -1)]
        expected = (two_sided[0] - two_sided[1]) / 2e-5 / len(true)
        np.testing.assert_allclose(found[tuple(at)], expected, rtol=2e-3, atol=2e-5)


@every
@pytest.mark.parametrize("shape", [(2, 5), (2, 4, 5), (2, 4, 1)], ids=["rank2", "rank3", "one target"])
def test_extreme_values_have_finite_losses_and_gradients(case, shape):
    ones = np.ones(shape, np.float32)
    top = ones if case == "bce" else 3e4 * ones
    sparse = ones.copy()
    sparse[..., 0] = np.nan
    for true in (0 * ones, ones, top, np.nan * ones, sparse):
        for predicted in (0 * ones, 1e-30 * ones, top):
            value, found = gradient(loss_of(case), true, predicted)
            assert np.isfinite(value) and np.isfinite(found).all()
            np.testing.assert_allclose(value, plain_values(case, true, predicted).mean(), rtol=1e-4, atol=1e-5)
    assert float(loss_of(case)(np.nan * ones, ones)) == 0
    assert loss_of(case).call(ones[:0], ones[:0]).shape == (0,)


@every
def test_half_precision_predictions_are_computed_in_single(case):
    true, predicted = batch_of(case, (6, 4, 5))
    half = predicted.astype(np.float16)
    found = loss_of(case).call(true, tf.constant(half))
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, plain_values(case, true, half), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", ["poisson", "poisson_kl", "poisson_mn", "poisson_mn weighted", "task_poisson_mn", "mse"])
def test_the_labels_are_the_optimum(case):
    true = batch_of(case, (6, 4, 5), missing=False)[0] + 0.5
    _, slope = gradient(loss_of(case), true, true)
    np.testing.assert_allclose(slope, 0, atol=1e-4)


def test_udot_is_minimal_where_differences_between_tasks_are_exaggerated():
    true = batch_of("mse_udot", (6, 5), missing=False)[0]
    best = true + 0.35 * (true - true.mean(axis=-1, keepdims=True))
    np.testing.assert_allclose(gradient(loss_of("mse_udot"), true, best)[1], 0, atol=1e-6)


def test_bce_is_that_of_keras():
    true, predicted = batch_of("bce", (6, 4, 5), missing=False)
    predicted[0, 0], predicted[1, 0] = 0, 1
    np.testing.assert_allclose(
        BinaryCrossentropy()(true, predicted), keras.losses.BinaryCrossentropy()(true, predicted), rtol=1e-6
    )


@pytest.mark.parametrize("length", [2, 5, 8])
def test_position_weights_are_symmetric_and_span_the_range(length):
    for exponent in (1, 3, 4, 0.5):
        weights = losses.middle_weights(length, 8.0, exponent)
        np.testing.assert_allclose(weights, weights[::-1])
        assert weights.max() == 1 and (np.diff(weights[: (length + 1) // 2]) > 0).all()
        if length % 2:
            np.testing.assert_allclose(weights[[0, -1]], 1 / 8)
    np.testing.assert_array_equal(losses.middle_weights(length, 1.0, 4), 1)
    np.testing.assert_array_equal(losses.middle_weights(1, 8.0, 4), 1)


def test_multinomial_depends_on_position_and_poisson_on_amount():
    true = batch_of("poisson_mn", (6, 8, 5), missing=False)[0] + 1
    where = PoissonMultinomial(total_weight=0.0, epsilon=1e-9)
    np.testing.assert_allclose(where.call(true, 3 * true), where.call(true, true), rtol=1e-5)
    assert (np.asarray(where.call(true, true[:, ::-1])) > np.asarray(where.call(true, true))).all()


# Written by running Basenji's and Baskerville's own functions under TensorFlow 2.15 (means over all axes but the first); the
# names give the package, loss and arguments.
def test_values_are_those_of_basenji_and_baskerville():
    with np.load(PEERS) as peers:
        compared = [name for name in peers if ":" in name]
        for name in compared:
            _, label, arguments = name.split(":")
            weights = {key: float(value) for key, value in (pair.split("=") for pair in arguments.split(",") if pair)}
            found = parse_loss(label, **weights).call(peers["true"], peers["predicted"])
            np.testing.assert_allclose(found, peers[name], rtol=1e-6, err_msg=name)
    assert len(compared) == 11


@every
def test_compiled_model_is_saved_with_its_loss(case, tmp_path):
    model = keras.Sequential(
        [keras.Input((4, 2)), keras.layers.Dense(3, activation="sigmoid" if case == "bce" else "softplus")]
    )
    model.compile(optimizer="sgd", loss=loss_of(case), run_eagerly=True)
    x, y = np.ones((5, 4, 2), np.float32), np.array([[[1.0, np.nan, 0.0]] * 4] * 5, np.float32)
    before = model.evaluate(x, y, verbose=0)
    model.fit(x, y, verbose=0)
    assert model.evaluate(x, y, verbose=0) < before
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.loss.get_config() == loss_of(case).get_config()
    assert loaded.evaluate(x, y, verbose=0) == model.evaluate(x, y, verbose=0)


@every
def test_config_round_trip(case):
    kind = type(loss_of(case))
    loss = kind(**CASES[case], reduction="sum", name="mine", dtype="float64")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert type(again) is kind and again.get_config() == loss.get_config()
    assert {"reduction": "sum", "name": "mine", "dtype": "float64"}.items() <= again.get_config().items()
    constructor = set(inspect.signature(kind).parameters) - {"kwargs"}
    assert set(again.get_config()) == constructor | {"reduction", "dtype"}
    assert CASES[case].items() <= again.get_config().items()


def test_unknown_names_are_refused_with_the_nearest():
    for function in (parse_loss, lambda label: check_labels(label, np.ones((3, 2)), ["brain", "skin"])):
        with pytest.raises(InputError, match=r"poison.*did you mean poisson"):
            function("poison")
    with pytest.raises(InputError, match=r"argument of the loss poisson_mn 'total_wieght': did you mean total_weight"):
        parse_loss("poisson_mn", total_wieght=1.0)
    with pytest.raises(InputError, match=r"argument of the loss mse 'total_weight'"):
        parse_loss("mse", total_weight=1.0)


@pytest.mark.parametrize("weights", [{"weight_range": 0.5}, {"weight_exp": 0.0}, {"epsilon": 0.0}, {"epsilon": -1e-6}])
def test_invalid_weights_are_rejected(weights):
    with pytest.raises(InputError, match=next(iter(weights))):
        parse_loss("poisson_mn", **weights)


@pytest.mark.parametrize("label", ["poisson", "poisson_kl", "poisson_mn", "task_poisson_mn"])
def test_counts_must_not_be_negative(label):
    labels = np.repeat(np.array([[1.0, np.nan, 0.5], [0.0, 2.0, -0.1]])[..., None], 2, axis=2)
    labels[1, 2, 0] = 1
    with pytest.raises(InputError, match=rf"loss {label} requires non-negative labels, but 1 of 3 tasks.*liver"):
        check_labels(label, labels, ["brain", "skin", "liver"])
    check_labels(label, labels[:, :2], ["brain", "skin"])
    if label != "poisson_mn":
        check_labels(label, labels[:, :2, 0], ["brain", "skin"])
    check_labels("mse", labels, ["brain", "skin", "liver"])


@pytest.mark.parametrize("wrong", [-0.1, 1.5])
def test_probabilities_lie_between_0_and_1(wrong):
    labels = np.array([[1.0, np.nan, 0.5], [0.0, 1.0, wrong]])
    with pytest.raises(InputError, match=r"bce requires labels between 0 and 1, but 1 of 3 tasks.*liver"):
        check_labels("bce", labels, ["brain", "skin", "liver"])
    check_labels("bce", labels[:, :2], ["brain", "skin"])


def test_losses_that_compare_need_several_tasks_or_positions():
    for shape in ((3, 2), (3, 2, 1)):
        with pytest.raises(InputError, match="poisson_mn compares positions"):
            check_labels("poisson_mn", np.ones(shape), ["brain", "skin"])
    for label in ("mse_udot", "poisson_kl", "task_poisson_mn"):
        with pytest.raises(InputError, match=f"{label} compares tasks, but there is only brain"):
            check_labels(label, np.ones((3, 1)), ["brain"])
    check_labels("poisson_mn", np.ones((3, 1, 2)), ["brain"])
