"""Custom layers for sequences, attention and augmentation: computations and saving."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.network import attention_layers, augmentation_layers, layers
from cisnake.model.network.layers import StrandMaxConv1D

LENGTH = 24


def windows(depth, n=3, length=LENGTH):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, length, depth)).astype(np.float32)
    x[..., :4] = np.eye(5, 4, dtype=np.float32)[rng.integers(0, 5, (n, length))]
    return x


def features(channels=8, n=3, length=12):
    return np.random.default_rng(1).normal(size=(n, length, channels)).astype(np.float32)


def randomize(layer, shape):
    """Build a layer and randomise all its weights, depending on their paths."""
    layer.build(shape)
    rng = np.random.default_rng(2)
    values = {}
    for weight in layer.weights:
        weight.assign(rng.uniform(0.2, 1, weight.shape) * rng.choice([-1, 1], weight.shape))
        if "variance" in weight.name:
            weight.assign(np.abs(weight))
        values["/".join(weight.path.split("/")[1:])] = np.asarray(weight, np.float64)
    return values


def softmax(x, axis):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reverse_complement(x):
    return x[:, ::-1][..., [3, 2, 1, 0, *range(4, x.shape[-1])]]


# Activations


def test_gelu_is_the_tanh_approximation():
    x = np.linspace(-4, 4, 101)
    expected = x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    np.testing.assert_allclose(layers.approximate_gelu(tf.constant(x)), expected, atol=1e-7)


def test_softplus_stays_finite():
    x = tf.constant([-3e4, -1.0, 0.0, 50.0, 3e4])
    np.testing.assert_allclose(layers.clipped_softplus(x), [0, np.log1p(np.exp(-1)), np.log(2), 50, 1e4], rtol=1e-6)


def test_poly_relu():
    np.testing.assert_allclose(layers.poly_relu(tf.constant([-1.0, 2.0, 4.0])), [0, 0, 8])


# Strands


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("kernel_size", [1, 4, 5, 6])
def test_strand_max_is_strand_symmetric(depth, kernel_size):
    layer, x = StrandMaxConv1D(8, kernel_size), windows(depth)
    forward, backward = np.asarray(layer(x)), np.asarray(layer(reverse_complement(x)))
    assert forward.std() > 0.1
    np.testing.assert_allclose(backward, forward[:, ::-1], atol=1e-5)


@pytest.mark.parametrize("kernel_size", [4, 5])
def test_strand_max_is_the_maximum_of_kernel_and_reverse_complement(kernel_size):
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
def test_strand_max_pooling_equals_separate_pooling(pool_size):
    x, layer = windows(4), StrandMaxConv1D(8, 5, pool_size)
    pooled = np.asarray(layer(x))
    layer.pool_size = 1
    whole = np.asarray(layer(x))
    np.testing.assert_allclose(pooled, keras.layers.MaxPooling1D(pool_size, padding="same")(whole), atol=1e-6)
    assert layer.compute_output_shape(x.shape) == whole.shape
    assert StrandMaxConv1D(8, 5, pool_size).compute_output_shape(x.shape) == pooled.shape


@pytest.mark.parametrize("pool_size", [1, 5, 30])
def test_gradients_of_strand_max_obey_eulers_theorem_even_if_responses_tie(pool_size):
    # Without bias, responses are homogeneous of degree 1 in the kernel. In a repeat, responses of a pool are equal.
    x, layer = tf.constant(np.tile(windows(4, n=1, length=4), (1, 8, 1))), StrandMaxConv1D(8, 5, pool_size)
    layer.build(x.shape)
    with tf.GradientTape() as tape:
        responses = tf.reduce_sum(layer(x), axis=(0, 1))
        total = tf.reduce_sum(responses * np.arange(1, 9, dtype=np.float32))
    slope = tape.gradient(total, layer.kernel.value)
    assert abs(float(total)) > 1
    assert float(tf.reduce_sum(slope * layer.kernel.value)) == pytest.approx(float(total), rel=1e-4)


# Attention


@pytest.mark.parametrize(
    ("length", "count", "trained"), [(1, 4, None), (6, 2, None), (8, 4, None), (11, 6, None), (11, 6, 200)]
)
def test_position_features_are_a_central_mask_and_its_sign(length, count, trained):
    got = attention_layers.position_features(length, count, trained)
    assert got.shape == (1, 2 * length - 1, count)
    for at, distance in enumerate(range(1 - length, length)):
        near = [float(((trained or length) + 1) ** (2 * i / count) - 1 > abs(distance)) for i in range(1, count // 2 + 1)]
        np.testing.assert_array_equal(got[0, at], near + [np.sign(distance) * value for value in near])


def test_position_features_come_in_pairs():
    with pytest.raises(ValueError, match="num_position_features is 5"):
        attention_layers.position_features(8, 5)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_relative_shift_takes_the_distance_of_key_from_query(length):
    scores = np.random.default_rng(0).normal(size=(2, 3, length, 2 * length - 1))
    shifted = np.asarray(attention_layers.relative_shift(tf.constant(scores)))
    assert shifted.shape == (2, 3, length, length)
    for query in range(length):
        for key in range(length):
            np.testing.assert_array_equal(shifted[:, :, query, key], scores[:, :, query, key - query + length - 1])


@pytest.mark.parametrize("options", [{}, {"content_position_bias": False}, {"num_position_features": 0}, {"seqlen_train": 40}])
def test_attention_equals_its_formula(options):
    options = {"num_position_features": 6, **options}
    value_size, key_size, heads, length = 3, 5, 2, 7
    x = features(4, n=2, length=length)
    layer = attention_layers.MultiheadAttention(value_size, key_size, heads, **options)
    w = randomize(layer, x.shape)
    count = options["num_position_features"]
    positions = attention_layers.position_features(length, count, options.get("seqlen_train"))[0] if count else None

    def projected(inputs, name, head, size):
        return inputs @ w[f"{name}/kernel"][:, head * size : (head + 1) * size]

    expected = []
    for example in x.astype(np.float64):
        joined = []
        for head in range(heads):
            q = projected(example, "q_layer", head, key_size) / np.sqrt(key_size)
            k = projected(example, "k_layer", head, key_size)
            scores = (q + w["r_w_bias"][0, head]) @ k.T
            if positions is not None:
                r = projected(positions, "r_k_layer", head, key_size)
                query = w["r_r_bias"][0, head] + (q if options.get("content_position_bias", True) else 0 * q)
                scores += [[query[i] @ r[j - i + length - 1] for j in range(length)] for i in range(length)]
            joined.append(softmax(scores, 1) @ projected(example, "v_layer", head, value_size))
        expected.append(np.concatenate(joined, 1) @ w["embedding_layer/kernel"] + w["embedding_layer/bias"])
    np.testing.assert_allclose(layer(x), expected, atol=1e-4, rtol=1e-4)


def test_attention_starts_at_zero_and_uses_dropout_in_training():
    x = features(8)
    layer = attention_layers.MultiheadAttention(4, 4, 2, attention_dropout_rate=0.5, positional_dropout_rate=0.5)
    np.testing.assert_array_equal(layer(x), np.zeros_like(x))
    layer.embedding_layer.kernel.assign(np.eye(8))
    np.testing.assert_array_equal(layer(x), layer(x))
    assert np.abs(np.asarray(layer(x, training=True)) - np.asarray(layer(x, training=True))).max() > 0.01


def test_each_dropout_of_attention_has_its_rate():
    x = features(8)
    for options in ({"attention_dropout_rate": 0.5}, {"positional_dropout_rate": 0.5}):
        layer = attention_layers.MultiheadAttention(4, 4, 2, **options)
        randomize(layer, x.shape)
        assert np.abs(np.asarray(layer(x, training=True)) - np.asarray(layer(x))).max() > 0.01, options


def test_weights_of_attention_are_in_the_order_of_basenji_files():
    layer = attention_layers.MultiheadAttention(3, 5, 2, num_position_features=6)
    layer.build((None, 7, 4))
    names = ["/".join(weight.path.split("/")[1:]) for weight in layer.weights]
    assert names == [
        "r_w_bias",
        "r_r_bias",
        "q_layer/kernel",
        "k_layer/kernel",
        "v_layer/kernel",
        "embedding_layer/kernel",
        "embedding_layer/bias",
        "r_k_layer/kernel",
    ]
    kernels = [np.asarray(w) for w in layer.weights if w.shape == (4, 10)]
    assert np.abs(kernels[0] - kernels[1]).max() > 0.01


def test_low_rank_adapters_fit_the_projections():
    x = features(8)
    layer = attention_layers.MultiheadAttention(4, 4, 2)
    randomize(layer, x.shape)
    before = np.asarray(layer(x))
    for part in (layer.q_layer, layer.k_layer, layer.v_layer, layer.embedding_layer, layer.r_k_layer):
        part.enable_lora(2)
    np.testing.assert_allclose(layer(x), before, atol=1e-5)
    for part in (layer.q_layer, layer.k_layer, layer.v_layer, layer.embedding_layer, layer.r_k_layer):
        part.lora_kernel_b.assign(np.ones(part.lora_kernel_b.shape))
    assert np.abs(np.asarray(layer(x)) - before).max() > 0.01


def test_wide_projections_are_separable_convolutions_and_penalised():
    layer = attention_layers.MultiheadAttention(4, 4, 2, qkv_width=3, l2_scale=0.1)
    assert layer(features(8)).shape == (3, 12, 8)
    assert layer.q_layer.depthwise_kernel.shape == (3, 8, 1)
    # Depthwise and pointwise kernels of three projections, plus those of the output and of positions.
    assert len(layer.losses) == 8


# Gates


@pytest.mark.parametrize(("additive", "scale_fun"), [(False, "sigmoid"), (False, "tanh"), (True, "sigmoid")])
def test_squeeze_excite_gates_channels_by_their_means(additive, scale_fun):
    x = features(8)
    layer = layers.SqueezeExcite(3, additive, scale_fun=scale_fun)
    w = randomize(layer, x.shape)
    hidden = np.maximum(x.mean(axis=1) @ w["dense1/kernel"] + w["dense1/bias"], 0)
    gate = (hidden @ w["dense2/kernel"] + w["dense2/bias"])[:, None]
    expected = x + gate if additive else x * (sigmoid(gate) if scale_fun == "sigmoid" else np.tanh(gate))
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


@pytest.mark.parametrize("norm_type", ["batch", "layer"])
def test_a_normalised_gate_starts_equal_for_all_channels(norm_type):
    x = features(8)
    layer = layers.SqueezeExcite(3, norm_type=norm_type)
    np.testing.assert_allclose(layer(x, training=True), x / 2, rtol=1e-6)
    assert len(layer.weights) == (8 if norm_type == "batch" else 6)


def test_squeeze_excite_knows_its_functions():
    with pytest.raises(InputError, match=r"scale_fun 'sigmod'.*did you mean sigmoid"):
        layers.SqueezeExcite(3, scale_fun="sigmod")


def test_wheeze_excite_gates_by_means_nearby():
    x, pool_size = features(8), 5
    layer = layers.WheezeExcite(pool_size)
    w = randomize(layer, x.shape)
    mirrored = np.concatenate([x[:, 1::-1], x, x[:, :-3:-1]], axis=1)
    means = np.stack([mirrored[:, i : i + pool_size].mean(axis=1) for i in range(x.shape[1])], axis=1)
    hidden = np.maximum(means @ w["excite1/kernel"] + w["excite1/bias"], 0)
    gate = sigmoid(np.maximum(hidden @ w["excite2/kernel"] + w["excite2/bias"], 0))
    np.testing.assert_allclose(layer(x), x * gate, atol=1e-5)
    with pytest.raises(ValueError, match="pool_size is 4"):
        layers.WheezeExcite(4)


def test_global_context_adds_one_summary_to_all():
    x = features(8)
    layer = layers.GlobalContext()
    w = randomize(layer, x.shape)
    attention = softmax(x @ w["context_key/kernel"] + w["context_key/bias"], 1)
    hidden = (x * attention).sum(axis=1) @ w["dense1/kernel"] + w["dense1/bias"]
    hidden = (hidden - hidden.mean(1, keepdims=True)) / np.sqrt(hidden.var(1, keepdims=True) + 1e-3)
    hidden = np.maximum(hidden * w["ln/gamma"] + w["ln/beta"], 0)
    np.testing.assert_allclose(layer(x), x + (hidden @ w["dense2/kernel"] + w["dense2/bias"])[:, None], atol=1e-5)


# Pooling, position, scale


@pytest.mark.parametrize("per_channel", [False, True])
def test_softmax_pool_weighs_neighbours(per_channel):
    x = features(5)
    layer = layers.SoftmaxPool1D(3, per_channel)
    w = randomize(layer, x.shape)["logit_linear/kernel"]
    groups = x.reshape(3, 4, 3, 5)
    np.testing.assert_allclose(layer(x), (groups * softmax(groups @ w, 2)).sum(axis=2), atol=1e-5)


def test_softmax_pool_starts_between_mean_and_maximum():
    x = features(5)
    groups = x.reshape(3, 4, 3, 5)
    mean, maximum = (layers.SoftmaxPool1D(3, True, gain)(x) for gain in (0.0, 1e6))
    np.testing.assert_allclose(mean, groups.mean(axis=2), atol=1e-6)
    np.testing.assert_allclose(maximum, groups.max(axis=2), atol=1e-6)
    with pytest.raises(ValueError, match="pooling is 5: it must divide the length 12"):
        layers.SoftmaxPool1D(5)(keras.Input((12, 5)))


@pytest.mark.parametrize(
    ("transform", "power", "even", "odd"),
    [
        (None, 1, [-2, -1, 0, 1], [-3, -2, -1, 0, 1]),
        ("abs", 1, [2, 1, 0, 1], [3, 2, 1, 0, 1]),
        ("reversed", 1, [1, 0, -1, -2], [1, 0, -1, -2, -3]),
        ("abs", 2, [4, 1, 0, 1], [9, 4, 1, 0, 1]),
    ],
)
def test_position_comes_before_the_channels(transform, power, even, odd):
    for expected in (even, odd):
        x = features(2, length=len(expected))
        got = np.asarray(layers.ConcatPosition(transform, power)(x))
        np.testing.assert_array_equal(got[..., 0], [expected] * 3)
        np.testing.assert_array_equal(got[..., 1:], x)


def test_unknown_transform_of_position():
    with pytest.raises(InputError, match=r"transform of position 'ab'.*did you mean abs"):
        layers.ConcatPosition("ab")


def test_scale_and_exp():
    x = features(3)
    scale = layers.Scale()
    np.testing.assert_array_equal(scale(x), 0 * x)
    scale.scale.assign([1, 2, -3])
    np.testing.assert_allclose(scale(x), x * [1, 2, -3])
    np.testing.assert_array_equal(layers.Scale("ones")(x), x)
    np.testing.assert_allclose(layers.Exp()(x), np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(layers.Exp(2.0, 1.0)(x), 2**x - 1, rtol=1e-5, atol=1e-6)


def test_unknown_normalisation():
    with pytest.raises(InputError, match=r"norm_type 'bach'.*did you mean batch"):
        layers.normalization("bach", 0.9)


# Augmentation


@pytest.fixture(params=[False, True], ids=["eager", "jit"])
def training(request):
    """Return a layer's call in training mode, with or without XLA."""
    return lambda layer: tf.function(lambda *x: layer(*x, training=True), jit_compile=request.param)


@pytest.mark.parametrize("depth", [4, 5])
def test_windows_are_reverse_complemented_independently(training, depth):
    x = windows(depth, n=200)
    turn = training(augmentation_layers.StochasticReverseComplement())
    y, reverse = (np.asarray(part) for part in turn(x))
    assert 60 < reverse.sum() < 140
    np.testing.assert_array_equal(y[~reverse], x[~reverse])
    np.testing.assert_array_equal(y[reverse], reverse_complement(x)[reverse])
    assert (np.asarray(turn(x)[1]) != reverse).any()


def test_windows_are_reverse_complemented_only_in_training():
    x, layer = windows(5, n=50), augmentation_layers.StochasticReverseComplement()
    for training in (False, None):
        y, reverse = layer(x, training=training)
        np.testing.assert_array_equal(y, x)
        assert not np.asarray(reverse).any()
        assert reverse.shape == (50,)


@pytest.mark.parametrize("pair", [None, [1, 0, 2]])
def test_predictions_are_reversed_back(training, pair):
    x, reverse = features(3, n=4), np.array([True, False, True, False])
    back = x.copy()
    back[reverse] = x[reverse][:, ::-1][..., pair or [0, 1, 2]]
    layer = augmentation_layers.SwitchReverse(pair)
    np.testing.assert_array_equal(training(layer)(x, reverse), back)
    np.testing.assert_array_equal(layer(x, reverse), x)
    flat = x[:, 0].copy()
    flat[reverse] = flat[reverse][:, pair or [0, 1, 2]]
    np.testing.assert_array_equal(training(layer)(x[:, 0], reverse), flat)


def test_windows_are_shifted_independently(training):
    x, most = windows(5, n=300) + 1, 3
    shift = training(augmentation_layers.StochasticShift(most))
    y = np.asarray(shift(x))
    found = []
    for before, after in zip(x, y):
        for by in range(-most, most + 1):
            moved = np.zeros_like(before)
            moved[max(by, 0) : LENGTH + min(by, 0)] = before[max(-by, 0) : LENGTH + min(-by, 0)]
            if np.array_equal(moved, after):
                found.append(by)
    assert len(found) == 300
    counts = np.bincount(np.array(found) + most, minlength=7)
    assert counts.min() > 20
    assert np.abs(np.asarray(shift(x)) - y).max() > 0


@pytest.mark.parametrize("rate", [0.02, 0.3, 1.0])
def test_a_fraction_of_bases_is_replaced_by_random_bases(training, rate):
    x = windows(5, n=2000, length=100)
    mutate = training(augmentation_layers.StochasticMutation(rate))
    y = np.asarray(mutate(x))
    known = x[..., :4].any(axis=-1)
    np.testing.assert_array_equal(y[..., 4], x[..., 4])
    np.testing.assert_array_equal(y[~known], x[~known])
    np.testing.assert_array_equal(y[..., :4].sum(axis=-1), known)
    changed = (y[..., :4] != x[..., :4]).any(axis=-1)[known]
    assert changed.mean() == pytest.approx(0.75 * rate, rel=0.1)
    # From every base, every other base.
    pairs = np.zeros((4, 4))
    np.add.at(pairs, (x[known][:, :4].argmax(axis=1), y[known][:, :4].argmax(axis=1)), 1)
    rates = pairs / pairs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(rates[~np.eye(4, dtype=bool)], rate / 4, rtol=0.35)
    assert (np.asarray(mutate(x)) != y).any()


def test_windows_are_mutated_only_in_training():
    x = windows(4)
    np.testing.assert_array_equal(augmentation_layers.StochasticMutation(1.0)(x), x)


def test_windows_are_shifted_only_in_training():
    x, layer = windows(4), augmentation_layers.StochasticShift(3)
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)


# Saving


@pytest.mark.parametrize(
    "layer",
    [
        lambda: layers.StrandMaxConv1D(3, 4, 5, kernel_initializer="glorot_normal", kernel_regularizer="l2"),
        lambda: layers.Scale(keras.initializers.Constant(3.0)),
        lambda: layers.Exp(2.0, 0.5),
        lambda: attention_layers.MultiheadAttention(
            4, 3, 2, 0.1, 4, 0.2, content_position_bias=False, initializer="ones", l2_scale=0.1, qkv_width=3, seqlen_train=50
        ),
        lambda: attention_layers.MultiheadAttention(4, 3, 2, num_position_features=0),
        lambda: layers.SqueezeExcite(2, True, "batch", 0.5, "ones", False, "tanh"),
        lambda: layers.WheezeExcite(3),
        lambda: layers.GlobalContext(),
        lambda: layers.SoftmaxPool1D(3, True, 0.5),
        lambda: layers.ConcatPosition("reversed", 2),
        lambda: layers.FactorInverse(3),
        lambda: augmentation_layers.StochasticShift(2),
        lambda: keras.layers.Activation(layers.approximate_gelu),
        lambda: keras.layers.Activation(layers.clipped_softplus),
        lambda: keras.layers.Activation(layers.poly_relu),
    ],
)
def test_layers_are_saved_completely(layer, tmp_path):
    inputs, layer = keras.Input((12, 8)), layer()
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(3)
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1, weight.shape))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[1].get_config() == layer.get_config()
    np.testing.assert_array_equal(loaded(features()), model(features()))
    assert [float(loss) for loss in loaded.losses] == [float(loss) for loss in model.losses]
    assert loaded.output_shape == model.output_shape == (None, *model(features()).shape[1:])
