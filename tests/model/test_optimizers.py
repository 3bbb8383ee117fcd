import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.optimizers import build_optimizer
from cisnake.model.params import TRAIN_DEFAULTS


def train(**changes):
    return TRAIN_DEFAULTS | {"learning_rate": 0.1} | changes


def rates(settings, steps, steps_per_epoch=10):
    optimizer = build_optimizer(settings, steps_per_epoch)
    found = []
    for step in steps:
        optimizer.iterations.assign(step)
        found.append(float(optimizer.learning_rate))
    return found


def test_constant_rate():
    assert rates(train(), [0, 5, 10_000]) == pytest.approx([0.1] * 3)


def test_warm_up_rises_in_a_line_and_stays():
    assert rates(train(warmup_steps=4), [0, 1, 2, 4, 5, 1000]) == pytest.approx([0.025, 0.04375, 0.0625, 0.1, 0.1, 0.1])


def test_cosine_falls_to_zero_at_the_last_step():
    steps = np.arange(0, 101, 10)
    expected = 0.1 * (1 + np.cos(np.pi * steps / 100)) / 2
    assert rates(train(lr_schedule="cosine", train_epochs_max=10), steps) == pytest.approx(expected, abs=1e-7)


def test_cosine_after_warm_up():
    settings = train(lr_schedule="cosine", train_epochs_max=10, warmup_steps=20)
    expected = [0.0, 0.05, 0.1, 0.05, 0.0, 0.0]
    assert rates(settings, [0, 10, 20, 60, 100, 200]) == pytest.approx(expected, abs=1e-7)


def test_warm_up_longer_than_training_is_refused():
    with pytest.raises(InputError, match="warmup_steps is 100, but training has only 100 steps"):
        build_optimizer(train(lr_schedule="cosine", train_epochs_max=10, warmup_steps=100), 10)


@pytest.mark.parametrize(("key", "expected"), [("clip_norm", [1.0, 1.0]), ("global_clipnorm", [0.6, 0.8])])
def test_gradients_are_clipped(key, expected):
    optimizer = build_optimizer(train(optimizer="sgd", momentum=0.0, learning_rate=1.0, **{key: 1.0}), 10)
    variables = [keras.Variable(np.zeros(1, np.float32)) for _ in range(2)]
    optimizer.apply([np.array([30.0], np.float32), np.array([40.0], np.float32)], variables)
    assert [-float(v[0]) for v in variables] == pytest.approx(expected)


def test_weight_decay_draws_kernels_only():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.BatchNormalization()])
    for weight in model.trainable_variables:
        weight.assign(np.ones(weight.shape))
    optimizer = build_optimizer(train(weight_decay=0.5), 10)
    optimizer.apply([np.zeros(w.shape, np.float32) for w in model.trainable_variables], model.trainable_variables)
    after = {weight.name: float(np.asarray(weight).mean()) for weight in model.trainable_variables}
    assert after == pytest.approx({"kernel": 1 - 0.1 * 0.5, "bias": 1.0, "gamma": 1.0, "beta": 1.0})


def test_settings_reach_the_optimizer():
    sgd = build_optimizer(train(optimizer="sgd", momentum=0.7), 10)
    assert (type(sgd), sgd.momentum) == (keras.optimizers.SGD, 0.7)
    for name, kind in (("adam", keras.optimizers.Adam), ("adamw", keras.optimizers.AdamW)):
        adam = build_optimizer(train(optimizer=name, adam_beta1=0.5, adam_beta2=0.6), 10)
        assert (type(adam), adam.beta_1, adam.beta_2) == (kind, 0.5, 0.6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"optimizer": "adamW"}, "did you mean adam or adamw"),
        ({"lr_schedule": "cosin"}, "did you mean cosine"),
        ({"optimizer": "adam", "weight_decay": 0.1}, "optimizer adam does not know"),
        ({"clip_norm": 1.0, "global_clipnorm": 1.0}, "use one of them"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        build_optimizer(train(**changes), 10)
