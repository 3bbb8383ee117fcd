import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.blocks import BLOCKS, Defaults, StrandMaxConv1D

LENGTH = 24


def windows(depth, n=3, length=LENGTH):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, length, depth)).astype(np.float32)
    x[..., :4] = np.eye(5, 4, dtype=np.float32)[rng.integers(0, 5, (n, length))]
    return x


def reverse_complement(x):
    return x[:, ::-1][..., [3, 2, 1, 0, *range(4, x.shape[-1])]]


def build(name, depth=4, defaults=None, **arguments):
    x = keras.Input((LENGTH, depth))
    return keras.Model(x, BLOCKS[name](x, defaults or Defaults(), **arguments))


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("kernel_size", [1, 4, 5, 6])
def test_strand_max_reads_both_strands_alike(depth, kernel_size):
    layer, x = StrandMaxConv1D(8, kernel_size), windows(depth)
    forward, backward = np.asarray(layer(x)), np.asarray(layer(reverse_complement(x)))
    assert forward.std() > 0.1
    np.testing.assert_allclose(backward, forward[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_strand_max_is_the_better_of_kernel_and_reverse_complement(kernel_size):
    layer, x = StrandMaxConv1D(2, kernel_size), windows(5, n=1)
    layer.build(x.shape)
    bias = np.array([0.5, -1.0], np.float32)
    layer.bias.assign(bias)
    kernel = np.asarray(layer.kernel)
    odd = np.concatenate([kernel, np.zeros_like(kernel[:1])]) if kernel_size % 2 == 0 else kernel
    other = odd[::-1][:, [3, 2, 1, 0, 4]]
    half = len(odd) // 2
    padded = np.pad(x[0], ((half, half), (0, 0)))
    expected = [
        np.maximum(*(np.einsum("kc,kcf->f", padded[i : i + len(odd)], k) for k in (odd, other))) + bias for i in range(LENGTH)
    ]
    np.testing.assert_allclose(np.asarray(layer(x))[0], expected, atol=1e-5)


@pytest.mark.parametrize("pool_size", [2, 5, 30])
def test_strand_max_pools_what_it_would_have_given(pool_size):
    x, layer = windows(4), StrandMaxConv1D(8, 5, pool_size)
    pooled = np.asarray(layer(x))
    layer.pool_size = 1
    whole = np.asarray(layer(x))
    np.testing.assert_allclose(pooled, keras.layers.MaxPooling1D(pool_size, padding="same")(whole), atol=1e-6)
    assert layer.compute_output_shape(x.shape) == whole.shape
    assert StrandMaxConv1D(8, 5, pool_size).compute_output_shape(x.shape) == pooled.shape


def test_strand_max_is_saved_whole(tmp_path):
    x = keras.Input((LENGTH, 5))
    model = keras.Model(x, StrandMaxConv1D(3, 4, 5, kernel_initializer="glorot_normal", kernel_regularizer="l2")(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(windows(5)), model(windows(5)))
    assert float(loaded.losses[0]) == float(model.losses[0]) > 0
    assert isinstance(loaded.layers[1].kernel_initializer, keras.initializers.GlorotNormal)


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("conv_motif", {"filters": 6, "pool_size": 5, "dropout": 0.1}, (5, 6)),
        ("conv_nac", {"filters": 6, "pool_size": 4, "pool_type": "avg"}, (6, 6)),
        ("conv_nac", {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "residual": True, "dropout": 0.1}, (LENGTH, 4)),
        ("conv_tower", {"filters_init": 4, "filters_mult": 1.5, "repeat": 3}, (3, 9)),
        ("dilated_residual", {"filters": 3, "repeat": 3, "dropout": 0.1}, (LENGTH, 4)),
        ("flatten", {}, (LENGTH * 4,)),
        ("global_pool", {"pool_type": "max"}, (4,)),
        ("dense_block", {"units": 7, "dropout": 0.1}, (LENGTH, 7)),
        ("final", {"units": 2}, (LENGTH, 2)),
    ],
)
def test_output_shape(name, arguments, shape):
    model = build(name, **arguments)
    assert model.output_shape == (None, *shape)
    assert model(windows(4)).shape == (3, *shape)


def test_pooling_takes_what_it_says():
    x = windows(4)
    np.testing.assert_allclose(build("global_pool", pool_type="max")(x), x.max(axis=1))
    np.testing.assert_allclose(build("global_pool")(x), x.mean(axis=1), rtol=1e-6)


def test_residual_units_start_as_the_identity():
    x = windows(4)
    np.testing.assert_array_equal(build("dilated_residual", filters=5, repeat=3)(x), x)


def test_dilation_grows():
    model = build("dilated_residual", filters=5, repeat=3, rate_mult=2)
    rates = [layer.dilation_rate[0] for layer in model.layers if isinstance(layer, keras.layers.Conv1D)]
    assert rates == [1, 1, 2, 1, 4, 1]


def test_residual_adds_the_input():
    model = build("conv_nac", defaults=Defaults(kernel_initializer="zeros"), filters=4, residual=True)
    np.testing.assert_array_equal(model(windows(4)), windows(4))


def test_final_stays_in_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        assert build("final", units=2)(windows(4)).dtype == "float32"
    finally:
        keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("norm_type", "kind"),
    [("batch", keras.layers.BatchNormalization), ("layer", keras.layers.LayerNormalization), (None, None)],
)
def test_norm_type(norm_type, kind):
    layers = build("dense_block", defaults=Defaults(norm_type=norm_type), units=3).layers
    assert any(isinstance(layer, kind) for layer in layers) if kind else not any("normal" in layer.name for layer in layers)


def test_l2_scale_costs():
    assert build("conv_motif", defaults=Defaults(l2_scale=0.1), filters=3).losses
    assert not build("conv_motif", filters=3).losses


def test_unknown_names_of_shared_settings():
    with pytest.raises(InputError, match=r"norm_type 'bach'.*did you mean batch"):
        build("dense_block", defaults=Defaults(norm_type="bach"), units=3)
    for name in ("global_pool", "conv_nac"):
        with pytest.raises(InputError, match=r"pool_type 'maxi'.*did you mean max"):
            build(name, pool_type="maxi", **({"filters": 3, "pool_size": 2} if name == "conv_nac" else {}))
