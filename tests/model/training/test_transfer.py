import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.network.seqnn import build_model, head_model
from cisnake.model.params import TRANSFER_DEFAULTS
from cisnake.model.training.transfer import apply_transfer, freeze

LENGTH = 32
MODEL = {
    "seq_length": LENGTH,
    "norm_type": "batch",
    "activation": "gelu",
    "trunk": [
        {"name": "conv_dna", "filters": 8, "kernel_size": 5, "pool_size": 2},
        {"name": "transformer", "key_size": 3, "heads": 2, "num_position_features": 4},
        *[{"name": "MaxPooling1D", "pool_size": 1}] * 7,
        {"name": "conv_nac", "filters": 8},
    ],
    "head_a": [{"name": "dense_block", "units": 6}, {"name": "final", "units": 3}],
    "head_b": {"name": "final", "units": 2},
    "head2": {"name": "final", "units": 1},
}
ONE_HEAD = {key: value for key, value in MODEL.items() if not key.startswith("head")} | {"head": {"name": "final"}}


def sequences(seed=1):
    return np.eye(4, dtype=np.float32)[np.random.default_rng(seed).integers(0, 4, (4, LENGTH))]


def take_steps(model, count=2):
    x = sequences()
    for step in range(count):
        with tf.GradientTape() as tape:
            loss = sum(tf.reduce_mean((output - 1) ** 2) for output in keras.tree.flatten(model(x, training=True)))
        for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
            # Steps of different lengths never cancel.
            weight.assign_sub(0.01 / (step + 1) * tf.sign(gradient))


def changed_by_steps(model):
    before = {weight.path: np.asarray(weight).copy() for weight in model.weights}
    take_steps(model)
    return {weight.path for weight in model.weights if not np.array_equal(weight, before[weight.path])}


def learnable(model, *prefixes):
    """Return the weights of those layers, including moving statistics."""
    return {weight.path for weight in model.weights if weight.path.startswith(prefixes)}


@pytest.fixture
def model():
    built = build_model(MODEL)
    for layer in built.layers:
        # The output projection of attention starts at zero, so that layers below have no gradient.
        if "attention" in layer.name:
            layer.embedding_layer.kernel.assign(np.random.default_rng(0).normal(size=layer.embedding_layer.kernel.shape))
    return built


@pytest.mark.parametrize(
    ("train", "prefixes"),
    [
        ("all", ("trunk_", "head")),
        ("trunk", ("trunk_",)),
        ("head", ("head",)),
        ("head_a", ("head_a_",)),
        (["head_a", "head_b"], ("head_a_", "head_b_")),
        ("trunk_1", ("trunk_1_",)),
        (["head2", "trunk_10", "trunk_2_transformer_dense_2"], ("head2_", "trunk_10_", "trunk_2_transformer_dense_2/")),
    ],
)
def test_frozen_weights_are_unchanged_and_all_others_learn(model, train, prefixes):
    freeze(model, train)
    assert changed_by_steps(model) == learnable(model, *prefixes)


def test_frozen_normalisation_uses_its_moving_statistics(model):
    freeze(model, "head")
    x = sequences()
    dropouts = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    for layer in dropouts:
        layer.rate = 0.0
    attention = model.get_layer("trunk_2_transformer_multihead_attention_1")
    attention.attention_dropout.rate = attention.positional_dropout.rate = 0.0
    trunk = keras.Model(model.input, model.get_layer("trunk_11_end_activation_1").output)
    np.testing.assert_array_equal(trunk(x, training=True), trunk(x, training=False))
    freeze(model, "all")
    assert np.abs(np.asarray(trunk(x, training=True)) - trunk(x, training=False)).max() > 1e-3


def test_stages_take_effect_one_after_another(model):
    order = [weight.path for weight in model.weights]
    for train, prefixes in (
        ("head", ("head",)),
        ("all", ("trunk_", "head")),
        ("trunk_1", ("trunk_1_",)),
        ("all", ("trunk_", "head")),
    ):
        freeze(model, train)
        assert changed_by_steps(model) == learnable(model, *prefixes)
        # Weights are stored in lists: their order must not depend on freezing.
        assert [weight.path for weight in model.weights] == order


def test_stages_of_an_adapted_model(model):
    adapted, trained = apply_transfer(model, {"mode": "adapter", "adapter": "lora", "adapter_latent": 2})
    order = [weight.path for weight in adapted.weights]
    adapters = {path for path in order if "lora_" in path}
    heads = learnable(adapted, "head")
    assert len(adapters) == 4
    for train, expected in (
        ("head", heads),
        (trained, heads | adapters),
        ("all", set(order)),
        ("adapters", adapters),
        (["adapters", "trunk_2"], learnable(adapted, "trunk_2_")),
        ("all", set(order)),
    ):
        freeze(adapted, train)
        assert changed_by_steps(adapted) == expected
        assert [weight.path for weight in adapted.weights] == order


def test_freezing_reaches_the_model_of_one_head(model):
    freeze(model, "head_a")
    part = head_model(model, "head_b")
    assert part.trainable_variables == []
    freeze(part, "head_b")
    assert {weight.path for weight in part.trainable_variables} == learnable(part, "head_b")


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ("heads", "did you mean head"),
        ("trunk_12", "did you mean trunk_2 or trunk_1"),
        (["head", "trunk_3_con"], "unknown part of the model to train 'trunk_3_con'"),
        ("adapters", "the model has none"),
        ("", "unknown part"),
    ],
)
def test_unknown_parts_are_refused(model, train, message):
    with pytest.raises(InputError, match=message):
        freeze(model, train)


@pytest.fixture
def weights(tmp_path):
    """Return the file of a network trained on other tasks, and the weights of its layers."""
    trained = build_model(ONE_HEAD, 7)
    take_steps(trained)
    trained.save(tmp_path / "trained.keras")
    return tmp_path / "trained.keras", {weight.path: np.asarray(weight).copy() for weight in trained.weights}


def test_a_new_head_on_a_trained_trunk(weights):
    path, saved = weights
    keras.utils.set_random_seed(3)
    model = apply_transfer(build_model(MODEL), {"weights": path})[0]
    assert {key: output.shape[-1] for key, output in model.output.items()} == {"head_a": 3, "head_b": 2, "head2": 1}
    found = {weight.path: np.asarray(weight).copy() for weight in model.weights}
    assert {name for name in saved if name.startswith("trunk_")} == {name for name in found if name.startswith("trunk_")}
    for name in found:
        if name.startswith("trunk_"):
            np.testing.assert_array_equal(found[name], saved[name])
    head = apply_transfer(build_model(ONE_HEAD, 7), {"weights": path})[0].layers[-1].get_weights()[0]
    assert head.shape == (8, 7)
    assert not np.array_equal(head, saved["head_1_final_dense_1/kernel"])


@pytest.mark.parametrize(
    ("transfer", "expected"), [({}, "all"), ({"mode": "full"}, "all"), ({"mode": "linear"}, "head"), (TRANSFER_DEFAULTS, "all")]
)
def test_modes(model, transfer, expected):
    assert apply_transfer(model, transfer) == (model, expected)


def test_adapters_are_inserted_into_a_loaded_trunk(weights):
    path, saved = weights
    transfer = {
        "weights": str(path),
        "mode": "adapter",
        "adapter": "locon",
        "adapter_latent": 5,
        "conv_select": 2,
        "conv_latent": 3,
    }
    model, trained = apply_transfer(build_model(ONE_HEAD, 2), transfer)
    last = model.get_layer("trunk_10_conv_nac_conv1d_1")
    np.testing.assert_array_equal(last.layer.kernel, saved["trunk_10_conv_nac_conv1d_1/kernel"])
    assert (last.rank, last.alpha) == (3, 1.0)
    attention = model.get_layer("trunk_2_transformer_multihead_attention_1")
    assert (attention.q_layer.rank, attention.q_layer.alpha) == (5, 16.0)
    freeze(model, trained)
    take_steps(model)
    np.testing.assert_array_equal(last.layer.kernel, saved["trunk_10_conv_nac_conv1d_1/kernel"])


@pytest.mark.parametrize(
    ("transfer", "message"),
    [
        ({"mode": "ful"}, "did you mean full"),
        ({"mode": "adapter"}, "set an adapter with mode adapter"),
        ({"mode": "linear", "adapter": "lora"}, "set an adapter with mode adapter"),
        ({"weights": "/nowhere/trunk.h5"}, "weights file /nowhere/trunk.h5 does not exist"),
    ],
)
def test_invalid_transfers_are_rejected(model, transfer, message):
    with pytest.raises(InputError, match=message):
        apply_transfer(model, transfer)
