import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.params import TRAIN_DEFAULTS
from cisnake.model.training.optimizers import Cyclical1, WarmUp, adaptive_clip, build_optimizer

CYCLE = {
    "initial_learning_rate": 0.1,
    "maximal_learning_rate": 0.6,
    "final_learning_rate": 0.01,
    "train_epochs_cycle1": 2,
}
ALL = [
    "adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "lamb", "lion", "momentum", "muon", "nadam", "rmsprop",
    "sgd",
]  # fmt: skip


def train(**changes):
    shared = {"optimizer": "sgd", "learning_rate": 0.1, "lr_schedule": None, "weight_decay": 0.0}
    return TRAIN_DEFAULTS | shared | changes


def rates(settings, steps, steps_per_epoch=10):
    optimizer = build_optimizer(settings, steps_per_epoch)
    found = []
    for step in steps:
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return np.array(found)


def close(expected):
    return pytest.approx(expected, rel=1e-6, abs=1e-8)


def cycle1(s, size=20, initial=0.1, maximal=0.6, final=0.01):
    """Basenji's definition: the cycle of a step, its position in the cycle, and the final rate after the first cycle."""
    cycle = np.floor(1 + s / (2 * size))
    x = abs(s / size - 2 * cycle + 1)
    return final if s > 2 * size else initial + (maximal - initial) * max(0, 1 - x)


def test_constant_rate():
    assert rates(train(), [0, 5, 10_000]) == close([0.1] * 3)
    assert rates(train(lr_schedule="constant"), [0, 5]) == close([0.1] * 2)


def test_warm_up_rises_in_a_line_from_zero_and_stays():
    assert rates(train(warmup_steps=4), range(7)) == close([0.0, 0.025, 0.05, 0.075, 0.1, 0.1, 0.1])


def test_cosine_falls_to_zero_at_the_last_step():
    steps = np.arange(130)
    expected = 0.1 * (1 + np.cos(np.pi * np.minimum(steps, 100) / 100)) / 2
    found = rates(train(lr_schedule="cosine", train_epochs_max=10), steps)
    assert found == pytest.approx(expected, abs=1e-7)


def test_cosine_after_warm_up():
    settings = train(lr_schedule="cosine", train_epochs_max=10, warmup_steps=20)
    expected = [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    assert rates(settings, [0, 10, 20, 60, 100, 200]) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("name", [None, "exponential"])
def test_exponential_falls_in_stairs(name):
    settings = train(lr_schedule=name, decay_steps=7, decay_rate=0.5)
    steps = np.arange(50)
    assert rates(settings, steps) == close(0.1 * 0.5 ** (steps // 7))
    assert rates(settings | {"decay_rate": None}, [6, 7]) == close([0.1, 0.096])


def test_exponential_after_warm_up_counts_its_own_steps():
    settings = train(decay_steps=7, decay_rate=0.5, warmup_steps=3)
    steps = np.arange(3, 40)
    assert rates(settings, steps) == close(0.1 * 0.5 ** ((steps - 3) // 7))


@pytest.mark.parametrize("name", [None, "cyclical1"])
def test_one_cycle(name):
    steps = np.arange(100)
    found = rates(train(lr_schedule=name, learning_rate=99.0, **CYCLE), steps)
    assert found == close([cycle1(s) for s in steps])
    assert found[[0, 20, 40, 41]] == close([0.1, 0.6, 0.1, 0.01])


def test_one_cycle_after_warm_up_begins_at_its_initial_rate():
    steps = np.arange(60)
    found = rates(train(warmup_steps=5, **CYCLE), steps)
    assert found == close([0.1 * s / 5 if s < 5 else cycle1(s - 5) for s in steps])


def test_schedules_survive_saving():
    serialize, deserialize = keras.optimizers.serialize, keras.optimizers.deserialize
    for settings in (train(warmup_steps=5, **CYCLE), train(warmup_steps=5), train(decay_steps=7, warmup_steps=3)):
        optimizer = build_optimizer(settings, 10)
        again = deserialize(serialize(optimizer))
        for step in (0, 3, 11, 90):
            optimizer.iterations.assign(step)
            again.iterations.assign(step)
            assert float(again.learning_rate) == float(optimizer.learning_rate)
    schedule = WarmUp(0.1, 5, Cyclical1(0.1, 0.6, 0.01, 20))
    assert WarmUp.from_config(schedule.get_config()).schedule.get_config() == schedule.schedule.get_config()


@pytest.mark.parametrize("name", ALL)
def test_every_optimizer_lowers_a_loss(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 5)).astype(np.float32)
    y = x @ rng.normal(size=(5, 1)).astype(np.float32)
    weight = keras.Variable(rng.normal(size=(5, 1)).astype(np.float32), name="kernel")
    # The first hundreds of Adadelta's steps are close to zero.
    rate = 5.0 if name == "adadelta" else 0.02
    optimizer = build_optimizer(train(optimizer=name, learning_rate=rate, momentum=0.5), 8)
    losses = []
    for _ in range(60):
        residual = x @ np.asarray(weight) - y
        losses.append(np.mean(residual**2))
        optimizer.apply([2 * x.T @ residual / len(x)], [weight])
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize(("key", "expected"), [("clip_norm", [1.0, 1.0]), ("global_clipnorm", [0.6, 0.8])])
def test_gradients_are_clipped(key, expected):
    optimizer = build_optimizer(train(momentum=0.0, learning_rate=1.0, **{key: 1.0}), 10)
    variables = [keras.Variable(np.zeros(1, np.float32)) for _ in range(2)]
    optimizer.apply([np.array([30.0], np.float32), np.array([40.0], np.float32)], variables)
    assert [-float(v[0]) for v in variables] == pytest.approx(expected)


@pytest.mark.parametrize("name", ["adamw", "lion", "muon"])
def test_weight_decay_draws_kernels_only(name):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    for weight in model.trainable_variables:
        weight.assign(np.ones(weight.shape))
    optimizer = build_optimizer(train(optimizer=name, weight_decay=0.5), 10)
    optimizer.apply([np.zeros(w.shape, np.float32) for w in model.trainable_variables], model.trainable_variables)
    after = {weight.name: float(np.asarray(weight).mean()) for weight in model.trainable_variables}
    assert after == pytest.approx({"kernel": 1 - 0.1 * 0.5, "bias": 1.0, "gamma": 1.0, "beta": 1.0})


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("sgd", "momentum", "adam")])
def test_no_weight_decay_is_none(name):
    weight = keras.Variable(np.ones((3, 3, 3), np.float32), name="kernel")
    build_optimizer(train(optimizer=name), 10).apply([np.zeros((3, 3, 3), np.float32)], [weight])
    np.testing.assert_array_equal(weight, np.ones((3, 3, 3)))


def test_settings_reach_the_optimizer():
    for name in ("sgd", "momentum", "SGD"):
        sgd = build_optimizer(train(optimizer=name, momentum=0.7), 10)
        assert (type(sgd), sgd.momentum) == (keras.optimizers.SGD, 0.7)
    for name, kind in (("adam", keras.optimizers.Adam), ("adamW", keras.optimizers.AdamW), ("lamb", keras.optimizers.Lamb)):
        adam = build_optimizer(train(optimizer=name, adam_beta1=0.5, adam_beta2=0.6), 10)
        assert (type(adam), adam.beta_1, adam.beta_2) == (kind, 0.5, 0.6)
    assert build_optimizer(train(optimizer="lion"), 10).beta_2 == 0.99
    assert [build_optimizer(train(optimizer="adam"), 10, loss_scale=scale).epsilon for scale in (False, True)] == [1e-7, 1e-4]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamv"}, "did you mean adam"),
        ({"optimizer": "lossscaleoptimizer"}, "unknown optimizer"),
        ({"optimizer": "ftrl"}, "unknown optimizer"),
        ({"lr_schedule": "cosin"}, "did you mean cosine"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "optimizer adam does not support"),
        ({"weight_decay": 0.1}, "optimizer sgd does not support"),
        ({"clip_norm": 1.0, "global_clipnorm": 1.0}, "clip_norm and global_clipnorm are both set"),
        ({"final_learning_rate": 0.1}, "cyclical1 requires initial_learning_rate and maximal_learning_rate and train_epochs"),
        (CYCLE | {"decay_steps": 5}, "decay_steps cannot be used with lr_schedule cyclical1"),
        (CYCLE | {"lr_schedule": "cosine"}, "initial_learning_rate cannot be used with lr_schedule cosine"),
        ({"lr_schedule": "constant", "decay_steps": 5}, "decay_steps cannot be used with lr_schedule constant"),
        ({"lr_schedule": "exponential"}, "exponential requires decay_steps"),
        ({"decay_rate": 0.5}, "exponential requires decay_steps"),
        ({"decay_steps": 0}, "decay_steps is 0: it must be positive"),
        (CYCLE | {"train_epochs_cycle1": 0}, "train_epochs_cycle1 is 0: it must be positive"),
        ({"lr_schedule": "cosine", "train_epochs_max": 10, "warmup_steps": 100}, "is 100, but training has only 100 steps"),
    ],
)
def test_invalid_arguments_are_rejected(changes, message):
    with pytest.raises(InputError, match=message):
        build_optimizer(train(**changes), 10)


@pytest.mark.parametrize(
    ("name", "shape", "unit"),
    [
        ("kernel", (3, 4, 5), lambda w: [w[:, :, i] for i in range(5)]),
        ("kernel", (4, 5), lambda w: [w[:, i] for i in range(5)]),
        ("depthwise_kernel", (3, 4, 1), lambda w: [w[:, i, 0] for i in range(4)]),
        ("bias", (6,), lambda w: [w]),
        ("gamma", (6,), lambda w: [w]),
        ("r_w_bias", (1, 2, 1, 3), lambda w: [w]),
        ("scale", (), lambda w: [w]),
    ],
)
@pytest.mark.parametrize("clip", [0.01, 0.5])
def test_adaptive_clipping_bounds_each_unit_by_its_own_weights(name, shape, unit, clip):
    rng = np.random.default_rng(1)
    # Units on very different scales, the last one all zeros, with gradients from far below to far above the limit.
    weight = rng.normal(size=shape) * (np.logspace(1, -6, shape[-1]) if shape else 1.0)
    if len(shape) > 1:
        weight[..., -1] = 0
    for size in (1e-9, 1e-3, 1.0, 1e3):
        gradient = rng.normal(size=shape) * size
        expected = np.array(gradient, np.float64)
        for one, own in zip(unit(expected), unit(weight)):
            bound, norm = clip * max(np.linalg.norm(own), 1e-3), np.linalg.norm(one)
            if norm > bound:
                one *= bound / norm  # a view: writes into `expected`
        variable = keras.Variable(weight.astype(np.float32), name=name)
        (clipped,) = adaptive_clip([gradient.astype(np.float32)], [variable], clip)
        if shape == ():
            expected = gradient * min(1, clip * max(abs(weight), 1e-3) / abs(gradient))
        np.testing.assert_allclose(clipped, expected, rtol=1e-5, atol=1e-12)


def test_adaptive_clipping_leaves_out_what_has_no_gradient():
    weights = [np.ones(2, np.float32)] * 2
    clipped = adaptive_clip([None, np.full(2, 100.0, np.float32)], weights, 0.1)
    assert clipped[0] is None
    assert np.linalg.norm(clipped[1]) == pytest.approx(0.1 * np.sqrt(2))
