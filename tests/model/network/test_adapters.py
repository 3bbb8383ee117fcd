from dataclasses import dataclass

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.network import adapters
from cisnake.model.network.adapters import ADAPTERS, insert_adapter, merge_adapters
from cisnake.model.network.layers import approximate_gelu
from cisnake.model.network.seqnn import build_model
from cisnake.model.training import transfer

LENGTH, CHANNELS, HEADS, KEY = 32, 12, 2, 3
MODEL = {
    "seq_length": LENGTH,
    "norm_type": "batch",
    "activation": "gelu",
    "augment_rc": True,
    "trunk": [
        {"name": "conv_dna", "filters": 8, "kernel_size": 5, "pool_size": 2},
        {"name": "conv_tower", "filters_init": 12, "filters_mult": 1, "kernel_size": 3, "repeat": 1, "dilation_rate": 2},
        {"name": "transformer_tower", "key_size": KEY, "heads": HEADS, "num_position_features": 4, "repeat": 1},
        {"name": "conv_nac", "filters": 10},
    ],
    "head": {"name": "final", "units": 3},
}
CONVS = ["trunk_1_conv_dna_conv1d_1", "trunk_2_conv_tower_conv1d_1", "trunk_4_conv_nac_conv1d_1"]


def build_trained(params=MODEL):
    """Return a network as after training: no weights are zero, one, or equal to others."""
    model = build_model(params)
    rng = np.random.default_rng(0)
    for weight in model.weights:
        positive = "variance" in weight.name
        weight.assign(rng.uniform(0.5, 2, weight.shape) if positive else rng.normal(size=weight.shape) * 0.3)
    return model


@pytest.fixture(scope="module")
def base():
    return build_trained()


def sequences(n=4, seed=1):
    return np.eye(4, dtype=np.float32)[np.random.default_rng(seed).integers(0, 4, (n, LENGTH))]


def predict(model):
    return np.asarray(model(sequences()))


def take_steps(model, count=2):
    x = sequences()
    target = np.random.default_rng(2).normal(size=model(x).shape)
    for step in range(count):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((model(x, training=True) - target) ** 2)
        for weight, gradient in zip(model.trainable_variables, tape.gradient(loss, model.trainable_variables)):
            # Steps of different lengths never cancel.
            weight.assign_sub(0.01 / (step + 1) * tf.sign(gradient))


def values(model):
    return {weight.path: np.asarray(weight).copy() for weight in model.weights}


def adapted(base, name, **settings):
    model, trained = insert_adapter(base, name, **{"latent": 2, "conv_select": 2, "conv_latent": 6} | settings)
    transfer.freeze(model, trained)
    return model


@dataclass(frozen=True)
class Case:
    """Return a network with an adapter before and after a few training steps."""

    base: keras.Model
    base_before: dict[str, np.ndarray]
    at_start: np.ndarray
    before: dict[str, np.ndarray]
    model: keras.Model
    predicted: np.ndarray


@pytest.fixture(scope="module")
def case(request, base):
    keras.utils.set_random_seed(1)
    base_before = values(base)
    model = adapted(base, request.param)
    at_start, before = predict(model), values(model)
    take_steps(model)
    return Case(base, base_before, at_start, before, model, predict(model))


def of(*names):
    return pytest.mark.parametrize("case", names, indirect=True)


@of(*ADAPTERS)
def test_a_new_adapter_changes_neither_predictions_nor_the_original(case):
    np.testing.assert_allclose(case.at_start, predict(case.base), atol=1e-6)
    assert np.abs(case.predicted - case.at_start).max() > 1e-2
    after = values(case.base)
    for path, value in case.base_before.items():
        np.testing.assert_array_equal(after[path], value)


@of(*ADAPTERS)
def test_only_trainable_weights_change(case):
    changed = {path for path, value in values(case.model).items() if not np.array_equal(value, case.before[path])}
    assert changed == {weight.path for weight in case.model.trainable_variables}


Q = K = 2 * (CHANNELS + HEADS * KEY)
V = E = 2 * (CHANNELS + CHANNELS)
HEAD = 10 * 3 + 3
HOULSBY = 2 * (2 * CHANNELS * 2 + 2 + CHANNELS) + 2 * 2 * CHANNELS


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("lora", Q + V),
        ("lora_full", Q + K + V + E),
        ("lora_conv", Q + V + 3 * 8 * 12 + 12 * 10 + 10),
        ("locon", Q + V + 6 * (3 * 8 + 12) + 6 * (12 + 10)),
        ("ia3", HEADS * KEY + CHANNELS + 2 * CHANNELS),
        ("houlsby", HOULSBY),
        ("houlsby_se", HOULSBY + 2 * 6 * (12 + 10)),
    ],
    indirect=["case"],
)
def test_number_of_trained_weights(case, expected):
    assert sum(int(np.prod(weight.shape)) for weight in case.model.trainable_variables) == expected + HEAD


@pytest.mark.parametrize(
    ("case", "expected"),
    [("lora", "qv"), ("lora_full", ["q", "k", "v", "embedding"]), ("lora_conv", "qv"), ("locon", "qv"), ("ia3", "kv")],
    indirect=["case"],
)
def test_projections_that_are_adapted(case, expected):
    attention = case.model.get_layer("trunk_3_transformer_tower_multihead_attention_1")
    parts = {weight.path.split("/")[1] for weight in case.model.trainable_variables if "attention" in weight.path}
    assert parts == {f"{name}_layer" for name in expected}
    assert len(attention.adapter_weights) == len(expected) * (1 if attention.rescaled else 2)


@of("lora", "lora_full", "lora_conv", "locon", "ia3")
def test_merged_networks_predict_the_same_with_the_original_architecture(case):
    merged = merge_adapters(case.model)
    np.testing.assert_allclose(predict(merged), case.predicted, atol=1e-5)
    # Weights are in the same order, so that they can be assigned to a network built from the parameters.
    assert [weight.path for weight in merged.weights] == [weight.path for weight in case.base.weights]
    assert [type(layer) for layer in merged.layers] == [type(layer) for layer in case.base.layers]


@of("houlsby", "houlsby_se")
def test_adapters_that_cannot_be_merged_remain(case):
    merged = merge_adapters(case.model)
    np.testing.assert_array_equal(predict(merged), case.predicted)
    assert [layer.name for layer in merged.layers] == [layer.name for layer in case.model.layers]


@of("lora_full", "locon", "ia3", "houlsby_se")
def test_a_saved_adapted_model_can_be_trained_further(case, tmp_path):
    case.model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(predict(again), case.predicted)
    np.testing.assert_allclose(predict(merge_adapters(again)), case.predicted, atol=1e-5)
    assert [weight.path for weight in again.weights] == [weight.path for weight in case.model.weights]
    transfer.freeze(again, "adapters")
    before = values(again)
    take_steps(again, 1)
    changed = {path for path, value in values(again).items() if not np.array_equal(value, before[path])}
    expected = {weight.path for layer in adapters.adapter_layers(again) for weight in layer.adapter_weights}
    assert changed == expected != set()
    transfer.freeze(again, "all")
    assert len(again.trainable_variables) == sum("moving" not in path and "seed" not in path for path in before)


def test_low_rank_equals_its_formula():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 9, 4)).astype(np.float32)
    layer = adapters.LowRank(keras.layers.Dense(5, name="dense"), 2, 6.0)
    layer(x)
    down, up, kernel, bias = (rng.normal(size=shape) for shape in ((4, 2), (2, 5), (4, 5), (5,)))
    for variable, value in zip((layer.down, layer.up, layer.layer.kernel, layer.layer.bias), (down, up, kernel, bias)):
        variable.assign(value)
    np.testing.assert_allclose(layer(x), x @ (kernel + 3 * down @ up) + bias, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("settings", [{"strides": 2}, {"padding": "same"}, {"dilation_rate": 3, "padding": "same"}])
def test_low_rank_follows_the_convolution(settings):
    x = np.random.default_rng(3).normal(size=(2, 20, 4)).astype(np.float32)
    conv = keras.layers.Conv1D(6, 4, name="conv", **settings)
    layer = adapters.LowRank(conv, 3, 2.0)
    assert layer(x).shape == layer.compute_output_shape(x.shape)
    layer.up.assign(np.random.default_rng(4).normal(size=(3, 6)))
    merged = keras.layers.Conv1D(6, 4, **settings)
    merged.build(x.shape)
    layer.merge_into(merged)
    assert np.abs(np.asarray(layer(x)) - conv(x)).max() > 0.1
    np.testing.assert_allclose(merged(x), layer(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("inputs", [False, True])
def test_rescaling_applies_to_biases_correctly(inputs):
    x = np.random.default_rng(3).normal(size=(2, 4)).astype(np.float32)
    layer = adapters.Rescaled(keras.layers.Dense(5, bias_initializer="ones"), inputs)
    plain = keras.layers.Dense(5)
    layer(x), plain(x)
    kernel, gamma = np.asarray(layer.layer.kernel), np.linspace(-1, 3, 4 if inputs else 5)
    layer.gamma.assign(gamma)
    layer.merge_into(plain)
    expected = (x * gamma) @ kernel + 1 if inputs else (x @ kernel + 1) * gamma
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(plain(x), expected, rtol=1e-5, atol=1e-6)


def test_inserted_layers_equal_their_formulas():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(2, 7, 4)).astype(np.float32)
    bottleneck, gate = adapters.Bottleneck(3), adapters.ChannelGate(3)
    for layer in (bottleneck, gate):
        np.testing.assert_array_equal(layer(x), x)
        for weight in layer.weights:
            weight.assign(rng.normal(size=weight.shape))
    down, up, down_bias, up_bias = bottleneck.get_weights()
    np.testing.assert_allclose(bottleneck(x), x + np.maximum(x @ down + down_bias, 0) @ up + up_bias, rtol=1e-4, atol=1e-5)
    down, up = gate.get_weights()
    factors = 1 + np.tanh(np.maximum(x.mean(axis=1) @ down, 0) @ up)
    np.testing.assert_allclose(gate(x), x * factors[:, None], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("select", "low_rank", "free"), [(0, [], []), (1, CONVS[2:], []), (2, CONVS[1:], []), (3, CONVS[1:], CONVS[:1])]
)
def test_convolutions_are_counted_from_the_end(base, select, low_rank, free):
    model = adapted(base, "locon", conv_select=select)
    assert [layer.name for layer in model.layers if isinstance(layer, adapters.LowRank)] == low_rank
    assert [name for name in CONVS if model.get_layer(name).trainable and name not in low_rank] == free
    model = adapted(base, "lora_conv", conv_select=select)
    assert [name for name in CONVS if model.get_layer(name).trainable] == CONVS[3 - select :]
    gates = [layer for layer in adapted(base, "houlsby_se", conv_select=select).layers if "conv" in layer.name]
    found = [layer.name for layer in gates if isinstance(layer, adapters.ChannelGate)]
    assert found == [f"{name}_adapter" for name in CONVS[3 - select :]]


def test_bottlenecks_are_on_the_residual_branches(base):
    model = adapted(base, "houlsby")
    first, second = (f"trunk_3_transformer_tower_add_{n}" for n in (1, 2))
    for name in (first, second):
        model.get_layer(f"{name}_adapter").up_bias.assign(np.full(CHANNELS, 7.0))
    before, after = (
        keras.Model(of.input, [of.get_layer("trunk_2_conv_tower_conv1d_1").output, of.get_layer(first).output])(sequences())
        for of in (base, model)
    )
    np.testing.assert_array_equal(after[0], before[0])
    np.testing.assert_allclose(after[1], np.asarray(before[1]) + 7.0, rtol=1e-4, atol=1e-4)
    # If the branch is zero, the sum equals the block's input: the adapter is not on the skip connection.
    adapter = model.get_layer(f"{second}_adapter")
    adapter.up_bias.assign(np.zeros(CHANNELS))
    model.get_layer("trunk_3_transformer_tower_dense_2").set_weights([np.zeros((2 * CHANNELS, CHANNELS)), np.zeros(CHANNELS)])
    adapter.down_bias.assign([5.0, 5.0])
    adapter.up.assign(np.ones((2, CHANNELS)))
    outputs = [model.get_layer(name).output for name in (first, second)]
    given, summed = keras.Model(model.input, outputs)(sequences())
    np.testing.assert_allclose(summed, np.asarray(given) + 10.0, rtol=1e-4, atol=1e-4)


def test_every_transformer_of_a_tower_is_adapted():
    tower = [MODEL["trunk"][2] | {"repeat": 5}]
    model = build_model(MODEL | {"trunk": tower})
    rescaled = [layer.name for layer in adapters.adapter_layers(insert_adapter(model, "ia3")[0])]
    prefix = "trunk_1_transformer_tower"
    assert sorted(rescaled) == sorted(
        f"{prefix}_{name}" for n in range(1, 6) for name in (f"multihead_attention_{n}", f"dense_{2 * n}")
    )
    inserted = [layer.name for layer in adapters.adapter_layers(insert_adapter(model, "houlsby")[0])]
    assert inserted == [f"{prefix}_add_{n}_adapter" for n in range(1, 11)]


@pytest.mark.parametrize("name", ["houlsby", "houlsby_se"])
def test_adapters_can_be_set_in_the_model_section(base, name):
    keys = {"adapter": name, "adapter_latent": 2} | ({"conv_select": 2, "se_rank": 6} if name == "houlsby_se" else {})
    model, expected = build_model(MODEL | keys), adapted(base, name)
    assert [layer.name for layer in model.layers] == [layer.name for layer in expected.layers]
    assert [weight.shape for weight in model.weights] == [weight.shape for weight in expected.weights]
    activations = [[layer for layer in of.layers if isinstance(layer, keras.layers.Activation)] for of in (model, expected)]
    # When Baskerville inserts adapters, gelu becomes exact.
    for exact, approximate in zip(*activations, strict=True):
        assert approximate.activation is not approximate_gelu or exact.activation is keras.activations.gelu
    with pytest.raises(InputError, match=f"the model already has adapters in the places of {name}"):
        insert_adapter(model, name)


def test_several_heads_and_mixed_precision():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build_model({key: value for key, value in MODEL.items() if key != "head"} | {
            "head_a": {"name": "final", "units": 3}, "head_b": {"name": "final", "units": 2},
        })  # fmt: skip
    finally:
        keras.config.set_dtype_policy(previous)
    # The precision is that of the layers, not the current default.
    low = adapted(model, "locon")
    assert set(low.output) == {"head_a", "head_b"}
    layer = low.get_layer(CONVS[1])
    assert (layer.compute_dtype, layer.down.dtype) == ("bfloat16", "float32")
    attention = low.get_layer("trunk_3_transformer_tower_multihead_attention_1")
    assert (attention.q_layer.compute_dtype, attention.q_layer.down.dtype) == ("bfloat16", "float32")
    # An update far below the rounding error of the kernel in half precision is not lost.
    kernel, product = np.asarray(layer.layer.kernel), 1e-4 * np.ones((6, 12))
    layer.up.assign(product)
    merged = merge_adapters(low).get_layer(CONVS[1])
    expected = kernel + np.asarray(layer.down) @ product / 6
    np.testing.assert_allclose(np.asarray(merged.kernel), expected, rtol=1e-5, atol=1e-8)


def test_kernel_penalties_do_not_apply_to_adapters():
    model = adapted(build_model(MODEL | {"l2_scale": 0.1}), "locon")
    for layer in adapters.adapter_layers(model):
        assert all(weight.regularizer is None for weight in layer.adapter_weights)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lorra", {}, "did you mean lora"),
        ("locon", {"conv_select": 4}, "conv_select is 4, but the trunk has 3 Conv1D layers"),
        ("locon", {"conv_latent": 11}, "between 1 and 10"),
        ("lora", {"latent": 0}, "between 1 and 6"),
        ("houlsby", {"latent": 0}, "must be at least 1"),
    ],
)
def test_what_cannot_be_adapted_is_refused(base, name, settings, message):
    with pytest.raises(InputError, match=message):
        adapted(base, name, **settings)


def test_models_without_layers_for_the_adapter_are_rejected():
    plain = MODEL | {"trunk": [MODEL["trunk"][0]]}
    for name in ("lora", "ia3", "houlsby"):
        with pytest.raises(InputError, match="the trunk has no layers for adapter"):
            adapted(build_model(plain), name)
    wide = MODEL | {"trunk": [*MODEL["trunk"][:2], MODEL["trunk"][2] | {"qkv_width": 3}, MODEL["trunk"][3]]}
    with pytest.raises(InputError, match="q_layer is a SeparableConv1D"):
        adapted(build_model(wide), "lora")
    with pytest.raises(InputError, match="conv has an activation"):
        adapters.LowRank(keras.layers.Conv1D(4, 3, activation="relu", name="conv"), 2, 1.0)
