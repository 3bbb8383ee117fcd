"""What follows the head: units of the labels, initial bias, words."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.data.dataset import LabelScale
from cisnake.model.network import outputs
from cisnake.model.network.output_layers import LabelUnits, WeightedParts, WordTableLookup
from cisnake.model.network.seqnn import build_model
from cisnake.words.table import WordBlock, WordTable

ROOT = Path(__file__).resolve().parents[3]
LENGTH, TASKS = 40, 3
BLOCKS = (WordBlock(5, 0, 20), WordBlock(5, 20, 40), WordBlock(3, 7, 30), WordBlock(3, 21, 40, 3), WordBlock(1, 3, 40, 2))


def word_table(seed=0, tasks=TASKS):
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(sum(4**block.k for block in BLOCKS), tasks)).astype(np.float32)
    return WordTable(BLOCKS, table, rng.normal(size=tasks).astype(np.float32), 1.0, 1.0)


def one_hot(codes, depth=4):
    return np.concatenate([np.eye(5, 4, dtype=np.float32)[codes], np.ones((*codes.shape, depth - 4), np.float32)], axis=-1)


def codes(n=6, seed=1, high=5):
    return np.random.default_rng(seed).integers(0, high, (n, LENGTH)).astype(np.int8)


def lookup(table):
    layer = WordTableLookup(table.blocks, table.table.shape[1])
    layer.build((None, LENGTH, 4))
    layer.table.assign(table.table)
    layer.intercept.assign(table.intercept)
    return layer


def network(activation="linear", depth=4, tasks=TASKS, **model):
    params = {
        "seq_length": LENGTH, "seq_depth": depth, "activation": "linear",
        "trunk": [{"name": "conv_block", "filters": 4, "kernel_size": 3, "activation_end": "relu"}, {"name": "global_pool"}],
        "head": {"name": "final", "activation": activation},
    } | model  # fmt: skip
    keras.utils.set_random_seed(0)
    return build_model(params, tasks)


# Words


@pytest.mark.parametrize("depth", [4, 5])
def test_the_layer_predicts_as_the_table(depth):
    table, windows = word_table(), codes()
    np.testing.assert_allclose(lookup(table)(one_hot(windows, depth)), table.predict(windows), rtol=1e-4, atol=1e-4)


def test_the_gradient_at_a_window_is_the_effect_of_every_substitution():
    table, windows = word_table(), codes(n=2, high=4)
    x = tf.constant(one_hot(windows))
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = lookup(table)(x)[:, 1]
    gradient = tape.gradient(total, x).numpy()
    before = table.predict(windows)[:, 1]
    for position in range(LENGTH):
        for base in range(4):
            mutated = windows.copy()
            mutated[:, position] = base
            effect = table.predict(mutated)[:, 1] - before
            slope = gradient[range(2), position, base] - gradient[range(2), position, windows[:, position]]
            np.testing.assert_allclose(slope, effect, atol=2e-4)


def test_the_layer_is_linear_in_each_base():
    layer, rng = lookup(word_table()), np.random.default_rng(2)
    x = rng.random((1, LENGTH, 4)).astype(np.float32)
    for position in (0, 7, 21, LENGTH - 1):
        a, b = x.copy(), x.copy()
        a[:, position], b[:, position] = rng.random(4), rng.random(4)
        middle = x.copy()
        middle[:, position] = 0.3 * a[:, position] + 0.7 * b[:, position]
        np.testing.assert_allclose(layer(middle), 0.3 * layer(a) + 0.7 * layer(b), rtol=1e-3, atol=1e-3)


def test_words_of_ambiguous_bases_are_counted_for_each_base():
    table, windows = word_table(), codes(n=2, high=4)
    either = one_hot(windows)
    either[:, 22] = [1, 0, 0, 1]
    expected = -table.predict(np.where(np.arange(LENGTH) == 22, 4, windows).astype(np.int8))
    for base in (0, 3):
        expected = expected + table.predict(np.where(np.arange(LENGTH) == 22, base, windows).astype(np.int8))
    np.testing.assert_allclose(lookup(table)(either), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_looked_up_and_multiplied_words_agree_with_their_gradients(compiled):
    layer, x = lookup(word_table()), one_hot(codes())

    def slopes(x):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            predicted = layer(x)
            totals = [tf.reduce_sum(predicted[:, task]) for task in range(TASKS)]
        return predicted, [tape.gradient(total, x) for total in totals]

    slopes = tf.function(slopes) if compiled else slopes
    # The second is not one-hot, if only just.
    for found, expected in zip(tf.nest.flatten(slopes(tf.constant(x))), tf.nest.flatten(slopes(tf.constant(x * 0.999999)))):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_window_without_known_bases_has_only_the_intercept():
    table = word_table()
    np.testing.assert_allclose(lookup(table)(np.zeros((1, LENGTH, 4), np.float32))[0], table.intercept)


# Units


def test_predictions_are_in_the_unit_of_the_labels():
    scale = LabelScale(np.array([10.0, -3.0, 0.0]), np.array([2.0, 0.5, 1.0]))
    model = network()
    converted, windows = outputs.in_label_units(model, {"head": scale}), one_hot(codes())
    np.testing.assert_allclose(converted(windows), np.asarray(model(windows)) * scale.sd + scale.mean, rtol=1e-5)
    assert isinstance(converted.layers[-1], LabelUnits) and not converted.layers[-1].trainable_weights
    assert outputs.in_label_units(model, {}) is model


def test_only_named_heads_change():
    heads = {"head_a": {"name": "final", "activation": "linear"}, "head_b": {"name": "final", "activation": "softplus"}}
    params = {"seq_length": LENGTH, "trunk": [{"name": "global_pool"}], **heads}
    model = build_model(params, {"head_a": 2, "head_b": 1})
    converted = outputs.in_label_units(model, {"head_a": LabelScale(np.full(2, 7.0), np.full(2, 3.0))})
    before, after = model(one_hot(codes())), converted(one_hot(codes()))
    np.testing.assert_allclose(after["head_a"], np.asarray(before["head_a"]) * 3 + 7, rtol=1e-5)
    np.testing.assert_array_equal(after["head_b"], before["head_b"])


# Bias


@pytest.mark.parametrize("activation", ["linear", "relu", "softplus", "exponential", "sigmoid"])
def test_a_network_without_input_predicts_the_mean(activation):
    mean = np.array([0.7, 0.001, 0.2]) if activation == "sigmoid" else np.array([700.0, 0.9, 20.0])
    model = network(activation)
    assert outputs.set_output_bias(model, mean)
    # Without bases, convolutions without a bias give zeros, so that only the bias of the head is left.
    np.testing.assert_allclose(model(np.zeros((1, LENGTH, 4), np.float32))[0], mean, rtol=1e-3)


def test_the_bias_stays_finite_for_a_task_of_zeros():
    model = network("softplus")
    assert outputs.set_output_bias(model, np.zeros(3))
    assert np.isfinite(model.layers[-1].bias).all()


def test_heads_without_a_known_end_are_left_alone():
    assert not outputs.set_output_bias(network("tanh"), np.ones(3))
    assert outputs.output_layer(network("linear"))[1] == "linear"
    model = network(head=[{"name": "final", "activation": "linear"}, {"name": "exp"}])
    assert outputs.output_layer(model) is None and not outputs.set_output_bias(model, np.ones(3))


def test_the_end_is_found_behind_augmentation():
    model = network("softplus", augment_rc=True)
    layer, activation = outputs.output_layer(model)
    assert isinstance(layer, keras.layers.Dense) and activation == "softplus"


# Both


def both(weights=((0.5, 0.25), (2.0, 1.5)), depth=4, tasks=TASKS):
    rng = np.random.default_rng(3)
    scale, table = LabelScale(rng.normal(size=tasks), 1 + rng.random(tasks)), word_table(tasks=tasks)
    model = network(depth=depth, tasks=tasks)
    return model, table, scale, outputs.with_words(outputs.in_label_units(model, {"head": scale}), table, weights)


def weighted(weights, network_alone, words_alone):
    total = np.zeros(network_alone.shape)
    for (a, b), p in zip(weights, (network_alone, words_alone)):
        mean = p.mean(axis=1, keepdims=True)
        total += a * mean + b * (p - mean)
    return total


@pytest.mark.parametrize("depth", [4, 5])
def test_network_and_words_add_up(depth, tmp_path):
    weights = [(0.5, 0.25), (2.0, 1.5)]
    model, table, scale, whole = both(weights, depth)
    windows = codes()
    x = one_hot(windows, depth)
    expected = weighted(weights, np.asarray(model(x), np.float64), table.predict(windows)) * scale.sd + scale.mean
    np.testing.assert_allclose(whole(x), expected, rtol=1e-4, atol=1e-4)
    whole.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded(x), whole(x))
    total, network_alone, words_alone = np.moveaxis(outputs.split_words(loaded)(x), 1, 0)
    np.testing.assert_array_equal(total, whole(x))
    np.testing.assert_allclose(network_alone, np.asarray(model(x)) * scale.sd + scale.mean, rtol=1e-5)
    np.testing.assert_allclose(words_alone, table.predict(windows) * scale.sd + scale.mean, rtol=1e-4, atol=1e-4)


def test_one_task_has_no_deviations():
    weights = [(0.5, 9.0), (2.0, 9.0)]
    model, table, scale, whole = both(weights, tasks=1)
    x = one_hot(codes())
    expected = (0.5 * np.asarray(model(x)) + 2 * table.predict(codes())) * scale.sd + scale.mean
    np.testing.assert_allclose(whole(x), expected, rtol=1e-4, atol=1e-4)


def test_networks_without_words_cannot_be_split():
    assert outputs.split_words(network()) is None
    with pytest.raises(ValueError, match="LabelUnits"):
        outputs.with_words(network(), word_table(), [(1, 1), (1, 1)])


def test_layers_know_their_arguments():
    for layer in (WeightedParts([(1, 2), (3, 4)], name="w"), WordTableLookup(BLOCKS, 2, name="t")):
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config()


def test_a_new_process_can_load_a_network_with_words(tmp_path):
    whole = both()[-1]
    whole.save(tmp_path / "model.keras")
    np.save(tmp_path / "windows.npy", one_hot(codes()))
    program = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import numpy as np\nfrom cisnake.model import load_model\n"
        f"model, x = load_model({str(tmp_path / 'model.keras')!r}), np.load({str(tmp_path / 'windows.npy')!r})\n"
        f"np.save({str(tmp_path / 'found.npy')!r}, model(x))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, env=os.environ | {"CUDA_VISIBLE_DEVICES": "-1"})
    np.testing.assert_allclose(np.load(tmp_path / "found.npy"), whole(one_hot(codes())), rtol=1e-5)
