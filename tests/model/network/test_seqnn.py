import copy

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.ensemble import load_model
from cisnake.model.network import seqnn
from cisnake.model.network.augmentation_layers import SwitchReverse

SECTION = {
    "seq_length": 32,
    "trunk": [{"name": "conv_motif", "filters": 4, "pool_size": 4}, {"name": "flatten"}],
    "head": [{"name": "final"}],
}
# A bit of everything: a tower, attention, a U-net, two heads, both augmentations.
WHOLE = {
    "seq_length": 64,
    "seq_depth": 5,
    "activation": "gelu",
    "norm_type": "batch",
    "bn_momentum": 0.9,
    "l2_scale": 1e-6,
    "augment_rc": True,
    "augment_shift": 3,
    "strand_pair": [[1, 0], None],
    "verbose": False,
    "trunk": [
        {"name": "conv_dna", "filters": 8, "kernel_size": 5, "norm_type": None, "activation": "linear", "pool_size": 2},
        {"name": "res_tower", "filters_init": 8, "filters_end": 16, "divisible_by": 4, "kernel_size": 3, "repeat": 2},
        {"name": "transformer_tower", "key_size": 4, "heads": 2, "repeat": 1},
        {"name": "unet_conv", "kernel_size": 3, "upsample_conv": True},
        {"name": "Cropping1D", "cropping": 2},
    ],
    "head_human": {"name": "final", "units": 2, "activation": "softplus"},
    "head_mouse": [{"name": "conv_nac", "filters": 6}, {"name": "final", "activation": "softplus"}],
}


def section(**changes):
    return {**copy.deepcopy(SECTION), **changes}


def whole(**changes):
    return {**copy.deepcopy(WHOLE), **changes}


def inputs(model, n=4):
    return np.random.default_rng(0).random((n, *model.input_shape[1:]), np.float32)


def randomized(model):
    rng = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(weight + rng.uniform(0, 0.3, weight.shape))
    return model


def test_the_network_follows_the_section():
    model = seqnn.build_model(section(seq_depth=5), 3)
    assert model.input_shape == (None, 32, 5)
    assert model.output_shape == (None, 3)
    assert seqnn.build_model(section(), 3).input_shape == (None, 32, 4)


@pytest.mark.parametrize("params", [SECTION, WHOLE])
def test_params_are_not_modified(params):
    given = copy.deepcopy(params)
    seqnn.build_model(given, 3 if params is SECTION else None if "units" in params["head_mouse"][-1] else {"head_mouse": 3})
    assert given == params


# Basenji's semantics


def test_the_network_of_basenjis_tutorial_has_its_number_of_parameters():
    params = {
        "seq_length": 131072, "augment_rc": True, "augment_shift": 3, "activation": "gelu", "norm_type": "batch",
        "bn_momentum": 0.9,
        "trunk": [
            {"name": "conv_block", "filters": 64, "kernel_size": 15, "pool_size": 8},
            {"name": "conv_tower", "filters_init": 64, "filters_mult": 1.125, "kernel_size": 5, "pool_size": 4, "repeat": 2},
            {"name": "dilated_residual", "filters": 32, "rate_mult": 2, "repeat": 6, "dropout": 0.25},
            {"name": "conv_block", "filters": 64, "dropout": 0.05},
        ],
        "head": {"name": "final", "units": 3, "activation": "softplus"},
    }  # fmt: skip
    model = seqnn.build_model(params)
    assert model.count_params() == 111_011
    assert model.output_shape == (None, 1024, 3)


def test_the_trunk_ends_with_the_models_activation():
    block = {"name": "conv_nac", "filters": 3}
    for activation, expected in (("tanh", np.tanh), ("linear", lambda x: x), (None, lambda x: x)):
        params = section(trunk=[block], head=[{"name": "Cropping1D", "cropping": 0}], activation=activation)
        model = seqnn.build_model(params)
        before = keras.Model(model.input, model.get_layer("trunk_1_conv_nac_conv1d_1").output)
        np.testing.assert_allclose(model(inputs(model)), expected(np.asarray(before(inputs(model)))), atol=1e-6)
    model = seqnn.build_model(section(trunk=[block], head=[{"name": "Cropping1D", "cropping": 0}]))
    assert np.asarray(model(inputs(model))).min() == 0


def test_the_models_activation_holds_in_final_unless_it_says_otherwise():
    def activation(final, **shared):
        model = seqnn.build_model(section(head=[{"name": "final", **final}], **shared), 3)
        return model.layers[-1].activation

    assert activation({}) is keras.activations.linear
    assert activation({}, activation="relu") is keras.activations.relu
    assert activation({"activation": "softplus"}, activation="relu") is keras.activations.softplus
    assert activation({"activation": None}, activation="relu") is keras.activations.linear


def test_blocks_use_shared_settings_unless_overridden():
    own = [{}, {"norm_type": "layer", "l2_scale": 0.0}, {"norm_type": None}]
    trunk = [{"name": "conv_nac", **settings} for settings in own]
    shared = {"norm_type": "batch", "bn_momentum": 0.5, "l2_scale": 0.1, "kernel_initializer": "zeros"}
    model = seqnn.build_model(section(trunk=trunk, head=[{"name": "final"}], **shared), 3)
    names = [layer.name for layer in model.layers]
    assert [name for name in names if "normalization" in name] == [
        "trunk_1_conv_nac_batch_normalization_1",
        "trunk_2_conv_nac_layer_normalization_1",
    ]
    assert model.get_layer("trunk_1_conv_nac_batch_normalization_1").momentum == 0.5
    assert len(model.losses) == 3
    assert not np.asarray(model.get_layer("head_1_final_dense_1").kernel).any()


def test_null_settings_of_the_model_keep_the_defaults_of_blocks():
    model = seqnn.build_model(section(norm_type=None, kernel_initializer=None, l2_scale=0, trunk=[{"name": "conv_nac"}]), 3)
    assert isinstance(model.get_layer("trunk_1_conv_nac_conv1d_1").kernel_initializer, keras.initializers.HeNormal)
    gate = seqnn.build_model(section(trunk=[{"name": "squeeze_excite", "bottleneck_ratio": 2}]), 3).layers[2]
    assert isinstance(gate.kernel_initializer, keras.initializers.GlorotUniform)


def test_keras_layers_ignore_shared_settings():
    trunk = [{"name": "Conv1D", "filters": 3, "kernel_size": 2}]
    model = seqnn.build_model(section(trunk=trunk, activation="relu", l2_scale=1), 3)
    layer = model.get_layer("trunk_1_Conv1D_conv1d_1")
    assert layer.activation is keras.activations.linear
    assert layer.kernel_regularizer is None


def test_legacy_batch_norm():
    norms = []
    for own, shared in (
        ({}, {"batch_norm": True}),
        ({"batch_norm": True}, {}),
        ({"batch_norm": False}, {"norm_type": "batch"}),
        ({}, {"batch_norm": False}),
        ({}, {"batch_norm": True, "norm_type": None}),
    ):
        model = seqnn.build_model(section(trunk=[{"name": "conv_nac", **own}], **shared), 3)
        norms.append(any("batch_normalization" in layer.name for layer in model.layers))
    assert norms == [True, True, False, False, False]


@pytest.mark.parametrize("key", ["verbose", "target_length", "target_crop", "ensemble_rc", "ensemble_shifts"])
def test_keys_without_effect_are_accepted(key):
    assert seqnn.build_model(section(**{key: 1}), 3)


# Heads


def test_several_heads():
    params = whole(strand_pair=[], head_3=[{"name": "final"}], head_10={"name": "final", "units": 4})
    model = seqnn.build_model(params, {"head_mouse": 3, "head_3": 5})
    assert list(seqnn._head_keys(params)) == ["head_3", "head_10", "head_human", "head_mouse"]
    shapes = {key: tuple(tensor.shape) for key, tensor in model.output.items()}
    assert shapes == {
        "head_3": (None, 12, 5),
        "head_10": (None, 12, 4),
        "head_human": (None, 12, 2),
        "head_mouse": (None, 12, 3),
    }


@pytest.mark.parametrize("pairs", [[[1, 0]], [[1, 0], None, None], [None]])
def test_strand_pairs_are_those_of_every_head_or_none(pairs):
    with pytest.raises(InputError, match="strand_pair of the model section must have one entry per head"):
        seqnn.build_model(whole(strand_pair=pairs), {"head_mouse": 3})
    assert seqnn.build_model(whole(strand_pair=[]), {"head_mouse": 3})


def test_sections_with_several_heads_are_detected():
    assert seqnn.head_names(whole()) == ["head_human", "head_mouse"] and seqnn.head_names(section()) == ["head"]
    seqnn.check_single_head(section())
    with pytest.raises(InputError, match="has the heads head_human, head_mouse, but there are data for only one"):
        seqnn.check_single_head(whole())


def test_one_number_of_tasks_is_that_of_every_head():
    model = seqnn.build_model(whole(), 2)
    assert {tensor.shape[-1] for tensor in model.output.values()} == {2}


def test_the_model_of_a_head_shares_its_weights_and_predicts_the_same():
    model = randomized(seqnn.build_model(whole(), {"head_mouse": 3}))
    both = model(inputs(model))
    for key, n in (("head_human", 2), ("head_mouse", 3)):
        part = seqnn.head_model(model, key)
        assert part.output_shape == (None, 12, n)
        np.testing.assert_array_equal(part(inputs(model)), both[key])
        assert all(any(weight is other for other in model.weights) for weight in part.weights)
    assert not any("mouse" in layer.name for layer in seqnn.head_model(model, "head_human").layers)
    with pytest.raises(InputError, match=r"head 'head_moose'.*did you mean head_mouse"):
        seqnn.head_model(model, "head_moose")


def test_the_only_head_is_the_model():
    model = seqnn.build_model(section(), 3)
    assert seqnn.head_model(model, "head") is model


def test_layers_are_named_by_place_alike_in_every_build():
    first, second = (seqnn.build_model(whole(), {"head_mouse": 3}) for _ in range(2))
    names = [layer.name for layer in first.layers]
    assert names == [layer.name for layer in second.layers]
    weighted = [layer.name for layer in first.layers if layer.weights]
    assert {name.split("_")[0] for name in weighted} == {"trunk", "head"}
    assert "trunk_2_res_tower_conv1d_4" in weighted
    assert "head_mouse_2_final_dense_1" in weighted
    assert "trunk_6_end_activation_1" in names


# Augmentation


def test_predictions_of_reversed_windows_are_reversed_back():
    """In a network of single positions, reversing twice changes only the bases."""
    params = {
        "seq_length": 12, "seq_depth": 5, "augment_rc": True, "strand_pair": [[1, 0, 3, 2, 4]],
        "trunk": [{"name": "Cropping1D", "cropping": 0}], "activation": "linear",
        "head": [{"name": "Conv1D", "filters": 5, "kernel_size": 1}],
    }  # fmt: skip
    model = seqnn.build_model(params)
    layer = model.get_layer("head_1_Conv1D_conv1d_1")
    # Task 0 sees A and C, its pair their complements, T and G; tasks 2 and 3 likewise; task 4 the gene body.
    kernel = np.array([[1, 0, 4, 0, 0], [2, 0, 3, 0, 0], [0, 2, 0, 3, 0], [0, 1, 0, 4, 0], [0, 0, 0, 0, 7]], np.float32)
    layer.set_weights([kernel[None], np.zeros(5)])
    x = inputs(model, 50)
    expected = np.asarray(model(x))
    for compiled in (False, True):
        training = tf.function(lambda x: model(x, training=True), jit_compile=compiled)
        np.testing.assert_allclose(training(x), expected, atol=1e-5)
    params["strand_pair"] = []
    unpaired = seqnn.build_model(params)
    unpaired.set_weights(model.get_weights())
    differ = np.abs(np.asarray(unpaired(x, training=True)) - expected).max(axis=(1, 2)) > 1e-3
    assert 10 < differ.sum() < 40
    np.testing.assert_array_equal(unpaired(x), expected)


@pytest.mark.parametrize("shift", [3, [3]])
def test_shifts_are_drawn_by_example(shift):
    params = {
        "seq_length": 12, "augment_shift": shift, "trunk": [{"name": "Cropping1D", "cropping": 0}], "activation": "linear",
        "head": [{"name": "center_slice", "center": 1}],
    }  # fmt: skip
    model = seqnn.build_model(params)
    x = np.tile(np.arange(1, 13, dtype=np.float32)[:, None], (200, 1, 4))
    assert set(np.asarray(model(x, training=True))[:, 0, 0].astype(int)) == set(range(3, 10))
    assert set(np.asarray(model(x))[:, 0, 0].astype(int)) == {6}


@pytest.mark.parametrize("shift", [None, 0, [0]])
def test_no_shift(shift):
    names = [layer.name for layer in seqnn.build_model(section(augment_shift=shift), 3).layers]
    assert not any("augment" in name for name in names)


def test_trains_with_augmentation():
    params = section(augment_rc=True, augment_shift=2, augment_mutation=0.05, strand_pair=[[1, 0]])
    model = seqnn.build_model(params, 2)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss="mse")
    x, y = inputs(model, 8), np.ones((8, 2), np.float32)
    losses = model.fit(x, y, epochs=5, batch_size=8, verbose=0).history["loss"]
    assert losses[-1] < losses[0]


def test_every_weight_learns():
    model = randomized(seqnn.build_model(whole(), {"head_mouse": 3}))
    with tf.GradientTape() as tape:
        predicted = model(inputs(model), training=True)
        loss = sum(tf.reduce_sum(tensor**2) for tensor in predicted.values())
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    still = [w.path for w, g in zip(model.trainable_weights, gradients) if g is None or not np.abs(np.asarray(g)).any()]
    assert not still


# Saving and precision


@pytest.mark.parametrize("params", [SECTION, WHOLE], ids=["small", "whole"])
def test_a_saved_model_predicts_the_same(params, tmp_path):
    model = randomized(seqnn.build_model(copy.deepcopy(params), {"head" if params is SECTION else "head_mouse": 3}))
    model.save(tmp_path / "model.keras")
    loaded = load_model(tmp_path / "model.keras")
    assert [layer.name for layer in loaded.layers] == [layer.name for layer in model.layers]
    for a, b in zip(keras.tree.flatten(model(inputs(model))), keras.tree.flatten(loaded(inputs(model))), strict=True):
        np.testing.assert_array_equal(a, b)
    if params is WHOLE:
        assert set(loaded.output) == {"head_human", "head_mouse"}
        switches = {layer.name: layer.strand_pair for layer in loaded.layers if isinstance(layer, SwitchReverse)}
        assert switches == {"head_human_switch_reverse": [1, 0], "head_mouse_switch_reverse": None}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("augment", [True, False])
def test_outputs_are_float32_under_mixed_precision(policy, augment):
    keras.config.set_dtype_policy(policy)
    try:
        model = seqnn.build_model(whole(head_mouse=[{"name": "dense_block", "units": 3}], augment_rc=augment))
        for training in (False, True):
            predicted = model(inputs(model), training=training)
            assert {key: tensor.dtype for key, tensor in predicted.items()} == dict.fromkeys(predicted, tf.float32)
    finally:
        keras.config.set_dtype_policy("float32")


# Invalid sections


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trnk": []}, "'trnk'.*did you mean trunk"),
        ({"activaton": "relu"}, "'activaton'.*did you mean activation"),
        ({"trunk": [{"name": "conv_motiv", "filters": 4}]}, r"'conv_motiv'.*did you mean conv_motif"),
        ({"trunk": [{"name": "Cropping1d", "cropping": 4}]}, r"'Cropping1d'.*did you mean Cropping1D"),
        ({"trunk": [{"filters": 4}]}, r"block \(trunk block 1\)"),
        ({"trunk": ["flatten"]}, "trunk of the model section must be a list of blocks"),
        ({"head": None}, "head of the model section must be a list of blocks"),
        ({"head_b": 3}, "head_b of the model section must be a list of blocks"),
        ({"trunk": [{"name": "flatten"}, {"name": "dense_block", "unit": 3}]}, r"trunk block 2\).*did you mean units"),
        ({"trunk": [{"name": "flatten", "activation": "relu"}]}, r"argument of flatten \(trunk block 1\) 'activation'"),
        ({"trunk": [{"name": "Flatten", "filters": 3}]}, r"argument of Flatten \(trunk block 1\) 'filters'"),
        ({"trunk": [{"name": "conv_tower", "filters": 3}]}, r"conv_tower \(trunk block 1\).*did you mean filters_"),
        ({"trunk": [{"name": "res_tower", "poolsize": 3}]}, r"res_tower \(trunk block 1\).*did you mean pool_size"),
        ({"trunk": [{"name": "conv_motif"}]}, r"conv_motif \(trunk block 1\) cannot be built: .*filters"),
        ({"seq_depth": 6}, "seq_depth is 6"),
        ({"seq_length": "32"}, "seq_length is '32'"),
        ({"activation": "rellu"}, r"conv_motif \(trunk block 1\): unknown activation 'rellu'.*did you mean relu"),
        ({"activation": "rellu", "trunk": []}, "activation of the model section: unknown activation 'rellu'"),
        ({"trunk": [{"name": "flatten"}, {"name": "conv_nac", "filters": 3}]}, r"conv_nac \(trunk block 2\) cannot be built"),
        ({"trunk": [{"name": "conv_nac", "filters": 3, "residual": True}]}, r"conv_nac \(trunk block 1\) cannot be built"),
        ({"trunk": [{"name": "conv_motif", "filters": -3}]}, r"conv_motif \(trunk block 1\) cannot be built"),
        ({"trunk": [{"name": "Cropping1D", "cropping": 16}]}, r"Cropping1D \(trunk block 1\) cannot be built"),
        ({"trunk": [{"name": "center_slice", "center": 33}]}, r"center_slice \(trunk block 1\) cannot be built: center is 33"),
        (
            {"trunk": [{"name": "conv_nac", "pool_size": 5, "pool_type": "softmax"}]},
            r"conv_nac \(trunk block 1\) cannot be built: .*5: it must divide the length 32",
        ),
        (
            {"trunk": [{"name": "unet_conv"}]},
            r"unet_conv \(trunk block 1\) cannot be built: no earlier block has length 64",
        ),
        ({"trunk": [{"name": "conv_tower", "filters_init": 4, "filters_end": 0, "repeat": 3}]}, "cannot be built"),
        ({"head": [{"name": "final", "units": 2}]}, r"the output of head has shape \(2,\), but there are 3 tasks"),
        ({"head": [{"name": "final"}, {"name": "final", "activation": "softpluss"}]}, r"final \(head block 2\)"),
        # Keys of contact maps and of Saluki.
        ({"diagonal_offset": 2}, "diagonal_offset.*contact maps"),
        ({"head": [{"name": "one_to_two"}]}, r"one_to_two \(head block 1\): contact maps are not supported"),
        ({"trunk": [{"name": "Cropping2D", "cropping": 2}]}, "contact maps"),
        ({"trunk": [{"name": "swin_transformer"}]}, "not supported: use transformer_tower"),
        ({"trunk": [{"name": "fpn1_unet"}]}, "not supported: use unet_conv"),
        ({"rnn_type": "gru"}, "Saluki"),
        ({"adapter": "lora"}, "adapter of the model section is 'lora': it must be houlsby or houlsby_se"),
        ({"adapter": "houlsby"}, "the trunk has no layers for adapter houlsby"),
        # Augmentation.
        ({"augment_shift": [1, 2]}, r"augment_shift is \[1, 2\]"),
        ({"augment_shift": -1}, "augment_shift is -1"),
        ({"augment_mutation": 3}, "augment_mutation is 3: it must be the fraction of bases"),
        ({"augment_mutation": "x"}, "augment_mutation is 'x'"),
        ({"strand_pair": [0, 1, 2]}, "strand_pair of the model section must have one entry per head"),
        ({"strand_pair": [None, None]}, "one entry per head"),
        ({"strand_pair": [[0, 1]]}, "strand_pair of head must have one task index for each of 3 tasks"),
        ({"strand_pair": [[1, 2, 0]]}, "strand_pair of head must have one task index for each of 3 tasks"),
    ],
)
def test_wrong_sections_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        seqnn.build_model(section(**changes), 3)


def test_saluki_is_refused():
    with pytest.raises(InputError, match="Saluki"):
        seqnn.build_model({"activation": "relu", "rnn_type": "gru", "seq_length": 12288, "num_targets": 1, "heads": 2})


def test_units_are_required():
    with pytest.raises(InputError, match=r"final \(head block 1\) cannot be built: .*units"):
        seqnn.build_model(section())
    with pytest.raises(InputError, match=r"head 'heads'.*did you mean head"):
        seqnn.build_model(section(), {"heads": 3})


@pytest.mark.parametrize("key", ["seq_length", "trunk", "head"])
def test_missing_keys_are_named(key):
    params = section()
    del params[key]
    with pytest.raises(InputError, match=f"lacks {key}"):
        seqnn.build_model(params, 3)
