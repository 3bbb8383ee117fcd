import inspect

import keras
import numpy as np
import pytest
from keras import layers

from cisnake.errors import InputError
from cisnake.model.network import tower_filters
from cisnake.model.network.attention_layers import MultiheadAttention
from cisnake.model.network.blocks import BLOCKS, INNER, KERAS_LAYERS, OWN_DEFAULTS, PLAIN, REFUSED
from cisnake.model.network.context import BlockContext, Defaults
from cisnake.model.network.layers import Scale, SoftmaxPool1D

LENGTH = 24
BATCH = {"norm_type": "batch"}


def windows(depth=4, n=3, length=LENGTH):
    return np.random.default_rng(0).normal(size=(n, length, depth)).astype(np.float32)


def build(name, shared=None, depth=4, finer=(), **arguments):
    """Return a model of one block, after representations of the given lengths and channels if any."""
    x = keras.Input((LENGTH, depth))
    kept = [layers.Dense(channels)(layers.UpSampling1D(factor)(x)) for factor, channels in finer]
    context = BlockContext(Defaults(**(shared or {})), representations=[*kept, x])
    return keras.Model(x, BLOCKS[name](x, context, **arguments))


def kinds(model):
    return [type(layer).__name__ for layer in model.layers if not isinstance(layer, layers.InputLayer)]


def of_kind(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


SHAPES = [
    ("conv_motif", {"filters": 6, "pool_size": 5, "dropout": 0.1}, (5, 6)),
    ("conv_block", {"filters": 6, "pool_size": 4, "pool_type": "avg", "kernel_size": 3}, (6, 6)),
    ("conv_block", {"residual": True, "dropout": 0.1}, (LENGTH, 4)),
    ("conv_dna", {"filters": 6, "pool_size": 2, "dropout": 0.1}, (12, 6)),
    ("conv_dna", {"filters": 8, "residual": True, "se": True, "dropout_residual": 0.1}, (LENGTH, 8)),
    ("conv_nac", {"filters": 6, "pool_size": 4, "pool_type": "softmax", "stride": 2}, (3, 6)),
    ("conv_nac", {"kernel_size": 3, "dilation_rate": 2, "residual": True, "dropout": 0.1}, (LENGTH, 4)),
    ("conv_next", {"filters": 5, "pool_size": 2}, (12, 5)),
    ("conv_next", {"residual": True, "dropout": 0.1}, (LENGTH, 4)),
    ("tconv_nac", {"filters": 5, "kernel_size": 3, "stride": 2, "dropout": 0.1}, (48, 5)),
    ("conv_tower", {"filters_init": 4, "filters_mult": 1.5, "repeat": 3, "pool_size": 2}, (3, 9)),
    ("conv_tower_nac", {"filters_init": 4, "filters_end": 16, "repeat": 3, "pool_size": 2}, (3, 16)),
    ("res_tower", {"filters_init": 4, "filters_end": 16, "repeat": 3, "kernel_size": 3, "dropout": 0.1}, (3, 16)),
    ("convnext_tower", {"filters_init": 4, "filters_end": 16, "repeat": 2, "dropout": 0.1}, (6, 16)),
    ("dilated_residual", {"filters": 3, "repeat": 3, "dropout": 0.1}, (LENGTH, 4)),
    ("dilated_residual_nac", {"filters": 3, "repeat": 3, "dropout": 0.1}, (LENGTH, 4)),
    ("dilated_dense", {"filters": 3, "repeat": 3, "dropout": 0.1}, (LENGTH, 13)),
    ("transformer", {"key_size": 3, "heads": 2}, (LENGTH, 4)),
    ("transformer_tower", {"key_size": 3, "heads": 2, "repeat": 3, "dense_expansion": 0}, (LENGTH, 4)),
    ("squeeze_excite", {"bottleneck_ratio": 2}, (LENGTH, 4)),
    ("wheeze_excite", {"pool_size": 5}, (LENGTH, 4)),
    ("global_context", {}, (LENGTH, 4)),
    ("unet_conv", {"kernel_size": 3, "dropout": 0.1}, (48, 4)),
    ("unet_concat", {"kernel_size": 3, "dropout": 0.1}, (48, 6)),
    ("fpn_unet", {}, (48, 4)),
    ("upsample_unet", {}, (48, 6)),
    ("center_slice", {"center": 7}, (7, 4)),
    ("center_average", {"center": 7}, (1, 4)),
    ("average_pooling", {}, (12, 4)),
    ("concat_position", {}, (LENGTH, 5)),
    ("flatten", {}, (LENGTH * 4,)),
    ("global_pool", {"pool_type": "max"}, (4,)),
    ("dense_block", {"units": 7, "dropout": 0.1}, (LENGTH, 7)),
    ("dense_block", {"units": 7, "flatten": True}, (1, 7)),
    ("dense_nac", {"residual": True, "dropout": 0.1}, (LENGTH, 4)),
    ("dense_nac", {"units": 7, "flatten": True}, (1, 7)),
    ("dense", {"units": 7}, (LENGTH, 7)),
    ("final", {"units": 2}, (LENGTH, 2)),
    ("final", {"units": 2, "flatten": True}, (1, 2)),
    ("exp", {"base": 2.0, "minus": 1.0}, (LENGTH, 4)),
]


@pytest.mark.parametrize(("name", "arguments", "shape"), SHAPES)
def test_output_shape(name, arguments, shape):
    model = build(name, finer=[(2, 6)], **arguments)
    assert model.output_shape == (None, *shape)
    assert model(windows()).shape == (3, *shape)


def test_every_block_is_tried():
    assert {name for name, *_ in SHAPES} == set(BLOCKS) - {"factor_inverse"}


def test_tables_name_blocks():
    assert set(INNER) | PLAIN | set(OWN_DEFAULTS) <= set(BLOCKS)
    assert not set(REFUSED) & (set(BLOCKS) | set(KERAS_LAYERS))
    hand_on = {name for name, block in BLOCKS.items() if "arguments" in inspect.signature(block).parameters}
    assert hand_on == set(INNER)


# Order of operations, and therefore weights


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("conv_motif", {"filters": 3, "dropout": 0.1}, "StrandMaxConv1D BatchNormalization Activation Dropout"),
        (
            "conv_block",
            {"dropout": 0.1, "residual": True, "activation_end": "tanh", "pool_size": 2},
            "Activation Conv1D BatchNormalization Dropout Add Activation MaxPooling1D",
        ),
        (
            "conv_nac",
            {"dropout": 0.1, "residual": True, "se": True, "pool_size": 2, "pool_type": "avg", "depth": 8},
            "BatchNormalization Activation Conv1D Activation SqueezeExcite Dropout Add AveragePooling1D",
        ),
        ("conv_dna", {"dropout": 0.1, "pool_size": 2}, "Conv1D BatchNormalization Activation Dropout MaxPooling1D"),
        (
            "conv_dna",
            {"residual": True, "pool_size": 2},
            "Conv1D BatchNormalization Activation Conv1D Scale Add MaxPooling1D",
        ),
        (
            "conv_next",
            {"dropout": 0.1, "residual": True},
            "SeparableConv1D LayerNormalization Dense Dropout Activation Dense Add",
        ),
        ("tconv_nac", {"dropout": 0.1}, "BatchNormalization Activation Conv1DTranspose Dropout"),
        (
            "res_tower",
            {"filters_init": 4, "repeat": 1, "filters_mult": 1, "dropout": 0.1},
            "BatchNormalization Activation Conv1D BatchNormalization Activation Conv1D Dropout Scale Add MaxPooling1D",
        ),
        (
            "dilated_residual",
            {"filters": 3, "dropout": 0.1},
            "Activation Conv1D BatchNormalization Activation Conv1D BatchNormalization Dropout Add",
        ),
        ("dilated_dense", {"filters": 3, "dropout": 0.1}, "Activation Conv1D BatchNormalization Dropout Concatenate"),
        (
            "transformer",
            {"key_size": 3},
            "LayerNormalization MultiheadAttention Dropout Add LayerNormalization Dense Dropout Activation Dense Dropout Add",
        ),
        (
            "dense_block",
            {"units": 4, "dropout": 0.1, "residual": True, "activation_end": "tanh"},
            "Activation Dense BatchNormalization Dropout Add Activation",
        ),
        ("dense_nac", {"dropout": 0.1, "residual": True}, "BatchNormalization Activation Dense Dropout Add"),
        ("final", {"units": 2}, "Dense"),
    ],
)
def test_order_of_operations(name, arguments, expected):
    assert kinds(build(name, BATCH, **arguments)) == expected.split()


def test_order_of_operations_of_unets():
    x = keras.Input((LENGTH, 4))
    finer = keras.Input((2 * LENGTH, 6))
    context = BlockContext(Defaults(**BATCH), representations=[finer, x])
    model = keras.Model([x, finer], BLOCKS["unet_conv"](x, context, upsample_conv=True))
    twice = ["BatchNormalization", "Activation", "Dense"]
    assert sorted(kinds(model)) == sorted([*twice, *twice, "UpSampling1D", "Add", "SeparableConv1D"])
    assert [layer.units for layer in of_kind(model, layers.Dense)] == [4, 4]
    model = keras.Model([x, finer], BLOCKS["unet_concat"](x, context))
    assert [layer.units for layer in of_kind(model, layers.Dense)] == [9]
    # The first input of the addition is the unchanged earlier representation.
    np.testing.assert_array_equal(build_zero(model)([windows(), windows(6, length=48)]), windows(6, length=48))


def build_zero(model):
    for layer in of_kind(model, layers.Conv1D):
        layer.set_weights([0 * weight for weight in layer.get_weights()])
    return model


@pytest.mark.parametrize(
    ("name", "shared", "arguments", "bias"),
    [
        ("conv_block", {}, {}, True),
        ("conv_block", BATCH, {}, False),
        ("conv_dna", {}, {}, True),
        ("conv_dna", BATCH, {}, False),
        ("conv_dna", {}, {"residual": True}, False),
        ("conv_dna", BATCH, {"use_bias": True}, True),
        ("conv_nac", BATCH, {}, True),
        ("dense_block", {}, {}, True),
        ("dense_block", BATCH, {}, False),
        ("dense_block", BATCH, {"use_bias": True}, True),
        ("dense_nac", BATCH, {}, True),
        ("final", BATCH, {"units": 4}, True),
    ],
)
def test_biases(name, shared, arguments, bias):
    first = of_kind(build(name, shared, **arguments), (layers.Conv1D, layers.Dense))[0]
    assert first.use_bias == bias


@pytest.mark.parametrize(
    ("name", "arguments", "gammas"),
    [
        ("conv_block", {}, [1]),
        ("conv_block", {"residual": True}, [0]),
        ("conv_block", {"residual": True, "norm_gamma": "ones"}, [1]),
        ("conv_dna", {}, [1]),
        ("conv_nac", {"residual": True}, [1]),
        ("conv_nac", {"norm_gamma": "zeros"}, [0]),
        ("dense_block", {}, [1]),
        ("dense_block", {"residual": True}, [0]),
        ("dense_nac", {"residual": True}, [0]),
        ("dilated_residual", {"filters": 3, "repeat": 2}, [1, 0, 1, 0]),
        ("conv_tower", {"filters_init": 4, "filters_mult": 1, "repeat": 2}, [1, 1]),
    ],
)
@pytest.mark.parametrize("norm_type", ["batch", "batch-sync", "layer"])
def test_gammas_start_as_ones_or_as_zeros_where_a_residual_branch_ends(name, arguments, gammas, norm_type):
    norms = of_kind(build(name, {"norm_type": norm_type}, **arguments), (layers.BatchNormalization, layers.LayerNormalization))
    assert [float(np.unique(norm.gamma).item()) for norm in norms] == gammas


@pytest.mark.parametrize("shared", [{}, BATCH])
def test_dilated_residual_units_start_as_the_identity(shared):
    model = build("dilated_residual", shared, filters=5, repeat=3)
    np.testing.assert_array_equal(model(windows()), windows())
    assert len(of_kind(model, Scale)) == (0 if shared else 3)


def test_residual_branches_scaled_by_zero_start_as_the_identity():
    model = build("res_tower", filters_init=4, filters_mult=1, pool_size=1, num_convs=3)
    first = of_kind(model, layers.Conv1D)[0]
    np.testing.assert_array_equal(model(windows()), first(np.maximum(windows(), 0)))


@pytest.mark.parametrize(
    ("arguments", "rates"),
    [
        ({"rate_mult": 1.5, "round": True, "repeat": 11}, [1, 2, 3, 4, 6, 9, 14, 21, 32, 48, 72]),
        ({"rate_mult": 1.5, "repeat": 6}, [1, 2, 2, 3, 5, 8]),
        ({"repeat": 4}, [1, 2, 4, 8]),
    ],
)
def test_dilation_grows(arguments, rates):
    convolutions = of_kind(build("dilated_residual", filters=5, **arguments), layers.Conv1D)
    assert [layer.dilation_rate[0] for layer in convolutions[::2]] == rates
    assert {layer.dilation_rate[0] for layer in convolutions[1::2]} == {1}
    assert [layer.kernel_size[0] for layer in convolutions] == [3, 1] * len(rates)


@pytest.mark.parametrize(
    ("arguments", "filters"),
    [
        ((339, None, 1.1776, 1, 6), [339, 399, 470, 554, 652, 768]),
        ((608, 1536, None, 32, 6), [608, 736, 896, 1056, 1280, 1536]),
        ((384, 768, None, 16, 6), [384, 448, 512, 576, 672, 768]),
        ((64, 128, None, 1, 1), [64]),
        ((64, None, 1, 1, 2), [64, 64]),
    ],
)
def test_filters_of_published_towers(arguments, filters):
    assert tower_filters(*arguments) == filters


def test_a_tower_needs_its_end():
    with pytest.raises(ValueError, match="filters_end or filters_mult"):
        tower_filters(64, None, None, 1, 3)


def test_only_the_first_of_a_residual_step_is_wide():
    model = build("res_tower", filters_init=4, filters_mult=1, kernel_size=5, num_convs=3)
    widths = [layer.kernel_size[0] for layer in of_kind(model, layers.Conv1D)]
    assert widths == [5, 1, 1]
    model = build("convnext_tower", filters_init=4, filters_mult=1, kernel_size=5)
    assert [layer.kernel_size[0] for layer in of_kind(model, layers.SeparableConv1D)] == [5, 5]


def test_towers_store_representations_for_unets():
    for name, lengths in (("res_tower", [24, 12]), ("convnext_tower", [12, 6]), ("conv_tower", [12, 6])):
        x, context = keras.Input((LENGTH, 4)), BlockContext()
        BLOCKS[name](x, context, filters_init=4, filters_mult=1, repeat=2, pool_size=2)
        assert [kept.shape[1] for kept in context.representations] == lengths


def test_unets_use_the_latest_representation_of_twice_the_length():
    x, early, late = keras.Input((LENGTH, 4)), keras.Input((48, 3)), keras.Input((48, 5))
    context = BlockContext(representations=[early, late, keras.Input((24, 9)), x])
    assert context.finer(x) is late
    with pytest.raises(ValueError, match="no earlier block has length 48"):
        BlockContext(representations=[keras.Input((24, 9)), late]).finer(x)


# Shared settings


@pytest.mark.parametrize(
    ("norm_type", "kind"),
    [("batch", layers.BatchNormalization), ("layer", layers.LayerNormalization), (None, None)],
)
def test_norm_type(norm_type, kind):
    model = build("dense_block", {"norm_type": norm_type}, units=3)
    assert bool(of_kind(model, kind)) if kind else not any("normal" in layer.name for layer in model.layers)


def test_settings_of_normalisation():
    norm = of_kind(build("conv_nac", {"norm_type": "batch-sync", "bn_momentum": 0.7}), layers.BatchNormalization)[0]
    assert norm.momentum == 0.7
    assert norm.synchronized
    assert not of_kind(build("conv_nac", BATCH), layers.BatchNormalization)[0].synchronized


@pytest.mark.parametrize(
    ("name", "arguments", "l1", "n"),
    [
        ("conv_motif", {"filters": 3}, False, 1),
        ("conv_block", {}, False, 1),
        ("conv_dna", {"residual": True}, False, 2),
        ("conv_next", {}, False, 2),
        ("tconv_nac", {}, False, 1),
        ("transformer", {"key_size": 3}, False, 2),
        ("transformer", {"key_size": 3, "mha_l2_scale": 0.1}, False, 7),
        ("dense_block", {}, True, 1),
        ("dense_nac", {}, True, 1),
        ("dense", {"units": 2}, True, 1),
        ("final", {"units": 2}, True, 1),
    ],
)
def test_penalties(name, arguments, l1, n):
    assert len(build(name, {"l2_scale": 0.1}, **arguments).losses) == n
    own = {key: value for key, value in arguments.items() if key != "mha_l2_scale"}
    assert len(build(name, {"l1_scale": 0.1}, **own).losses) == (n if l1 else 0)
    assert not build(name, **own).losses


def test_the_penalty_is_of_squares_and_of_absolute_values():
    model = build("final", {"l1_scale": 0.1, "l2_scale": 0.01}, units=2)
    kernel = np.asarray(model.layers[-1].kernel)
    np.testing.assert_allclose(model.losses[0], 0.1 * np.abs(kernel).sum() + 0.01 * (kernel**2).sum(), rtol=1e-6)


def test_padding_is_of_pooling_and_of_conv_nac():
    valid = {"padding": "valid"}
    assert build("conv_block", valid, kernel_size=5, pool_size=5).output_shape == (None, 4, 4)
    assert build("conv_nac", valid, kernel_size=5, pool_size=3).output_shape == (None, 6, 4)
    assert build("conv_block", kernel_size=5, pool_size=5).output_shape == (None, 5, 4)


def test_activations_by_basenjis_names():
    x = windows()
    for name, expected in {
        "relu": np.maximum(x, 0),
        "polyrelu": np.maximum((x - 2) ** 3, 0),
        "sigmoid": 1 / (1 + np.exp(-x)),
        "tanh": np.tanh(x),
        "exp": np.exp(x),
        "softplus": np.log1p(np.exp(x)),
        "gelu": x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
        "linear": x,
        None: x,
    }.items():
        tensor = keras.Input(x.shape[1:])
        model = keras.Model(tensor, layers.Identity()(BlockContext().activate(tensor, name)))
        np.testing.assert_allclose(model(x), expected, atol=1e-5, err_msg=str(name))


def test_pooling_types():
    x = windows()
    np.testing.assert_allclose(build("global_pool", pool_type="max")(x), x.max(axis=1))
    np.testing.assert_allclose(build("global_pool")(x), x.mean(axis=1), rtol=1e-5, atol=1e-6)
    assert of_kind(build("conv_block", pool_size=2, pool_type="softmax"), SoftmaxPool1D)
    np.testing.assert_allclose(build("average_pooling", pool_size=6)(x), x.reshape(3, 4, 6, 4).mean(axis=2), atol=1e-6)


@pytest.mark.parametrize(("center", "first"), [(8, 8), (7, 8), (24, 0)])
def test_the_centre(center, first):
    x = windows()
    np.testing.assert_array_equal(build("center_slice", center=center)(x), x[:, first : first + center])
    expected = x[:, first : first + center].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(build("center_average", center=center)(x), expected, atol=1e-6)
    with pytest.raises(ValueError, match="center is 25: it must be between 1 and 24, the positions of the input"):
        build("center_slice", center=25)


def test_residual_adds_the_input():
    for name in ("conv_nac", "conv_block", "conv_next", "dense_nac", "dense_block"):
        model = build(name, {"kernel_initializer": "zeros"}, residual=True)
        np.testing.assert_array_equal(model(windows()), windows())


def test_separable_convolutions():
    assert of_kind(build("conv_block", conv_type="separable"), layers.SeparableConv1D)
    model = build("dilated_residual", filters=3, conv_type="separable")
    assert [kind for kind in kinds(model) if "Conv" in kind] == ["SeparableConv1D", "Conv1D"]


def test_attention_of_a_transformer():
    attention = of_kind(
        build("transformer", key_size=3, heads=2, attention_dropout=0.3, position_dropout=0.2), MultiheadAttention
    )[0]
    assert (attention.value_size, attention.key_size, attention.heads, attention.num_position_features) == (2, 3, 2, 2)
    assert (attention.attention_dropout_rate, attention.positional_dropout_rate) == (0.3, 0.2)
    assert len(of_kind(build("transformer_tower", key_size=3, repeat=3), MultiheadAttention)) == 3
    with pytest.raises(ValueError, match="heads is 3: it must divide the number of channels, 4"):
        build("transformer", key_size=3, heads=3)
    with pytest.raises(ValueError, match="out_size is 5"):
        build("transformer", key_size=3, out_size=5)
    with pytest.raises(InputError, match="block_type swin is not supported"):
        build("transformer_tower", key_size=3, block_type="swin")


def test_final_stays_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert build("final", units=2)(windows()).dtype == "float32"
        assert build("transformer", key_size=3)(windows()).dtype == "bfloat16"
    finally:
        keras.config.set_dtype_policy("float32")


def test_factor_inverse_multiplies_by_the_matrix_of_a_file_and_saves_it(tmp_path):
    components = np.random.default_rng(0).normal(size=(4, 7)).astype(np.float32)
    np.save(tmp_path / "components.npy", components)
    model = build("factor_inverse", components_file=str(tmp_path / "components.npy"))
    np.testing.assert_allclose(model(windows()), windows() @ components, atol=1e-5)
    assert not model.trainable_weights
    model.save(tmp_path / "model.keras")
    (tmp_path / "components.npy").unlink()
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(windows()), model(windows()))
    with pytest.raises(InputError, match=r"components.npy cannot be read"):
        build("factor_inverse", components_file=str(tmp_path / "components.npy"))


def test_layers_are_named_by_place_and_kind():
    for _ in range(2):
        x = keras.Input((LENGTH, 4))
        y = BLOCKS["conv_tower"](
            x, BlockContext(Defaults(**BATCH), "trunk_3_conv_tower"), filters_init=4, filters_mult=1, repeat=2, pool_size=2
        )
        assert [layer.name for layer in keras.Model(x, y).layers[1:]] == [
            f"trunk_3_conv_tower_{kind}_{number}"
            for number in (1, 2)
            for kind in ("activation", "conv1d", "batch_normalization", "max_pooling1d")
        ]


@pytest.mark.parametrize(
    ("name", "shared", "arguments", "message"),
    [
        ("dense_block", {"norm_type": "bach"}, {}, r"norm_type 'bach'.*did you mean batch"),
        ("global_pool", {}, {"pool_type": "maxi"}, r"pool_type 'maxi'.*did you mean max"),
        ("conv_nac", {}, {"pool_type": "maxi"}, r"pool_type 'maxi'.*did you mean max"),
        ("conv_nac", {"activation": "geluu"}, {}, r"activation 'geluu'.*did you mean gelu"),
        ("conv_nac", {}, {"conv_type": "seperable"}, r"conv_type 'seperable'.*did you mean separable"),
    ],
)
def test_unknown_names(name, shared, arguments, message):
    with pytest.raises(InputError, match=message):
        build(name, shared, **arguments)
