"""Weights of network and words."""

import keras
import numpy as np
import pytest

from cisnake.data.dataset import LabelScale
from cisnake.model.network.outputs import in_label_units, split_words
from cisnake.model.training.blending import blend_with_words, choose_blend
from cisnake.words.table import WordBlock, WordTable


def signals(n=4000, tasks=6, seed=0):
    """Return a level and differences between tasks, each the sum of two independent halves."""
    rng = np.random.default_rng(seed)
    halves = []
    for _ in range(2):
        level, differences = rng.normal(size=(n, 1)), rng.normal(size=(n, tasks))
        halves.append(level + differences - differences.mean(axis=1, keepdims=True))
    return halves


def error(true, predicted):
    return float(np.nanmean((true - predicted) ** 2))


def parts(p):
    mean = p.mean(axis=1, keepdims=True)
    return mean, p - mean


def test_independent_predictions_add_up():
    network, words = signals()
    blend = choose_blend(0.5 * network + 2 * words, network, words)
    np.testing.assert_allclose([*blend.network, *blend.words], [0.5, 0.5, 2, 2], rtol=1e-6)


def test_each_part_has_its_own_weights():
    """The network knows only levels, the words only differences; their other part is noise."""
    (level, _), (_, differences) = (parts(p) for p in signals())
    noise = signals(seed=1)
    network, words = level + parts(noise[0])[1], differences + parts(noise[1])[0]
    blend = choose_blend(level + differences, network, words)
    np.testing.assert_allclose(blend.network, [1, 0], atol=0.05)
    np.testing.assert_allclose(blend.words, [0, 1], atol=0.05)


def test_the_weights_minimise_the_error_over_measured_labels():
    network, words = signals(400)
    rng = np.random.default_rng(2)
    true = network + words + rng.normal(size=network.shape)
    true[rng.random(true.shape) < 0.4] = np.nan
    measured = np.isfinite(true)
    n = np.maximum(measured.sum(axis=1, keepdims=True), 1)

    def masked(p):
        p = np.where(measured, p, 0)
        mean = np.where(measured, p.sum(axis=1, keepdims=True) / n, 0)
        return mean, p - mean

    blend = choose_blend(true, network, words)
    for i in range(2):
        x = np.stack([masked(p)[i].ravel() for p in (network, words)], axis=1)
        expected = np.linalg.lstsq(x, masked(np.nan_to_num(true))[i].ravel(), rcond=None)[0]
        np.testing.assert_allclose([blend.network[i], blend.words[i]], expected, rtol=1e-6)


def test_a_network_of_noise_is_left_out():
    for seed in range(20):
        _, words = signals(300, seed=seed)
        noise = 3 * np.random.default_rng(100 + seed).normal(size=words.shape)
        true = words + np.random.default_rng(200 + seed).normal(size=words.shape)
        blend = choose_blend(true, noise, words)
        new_words, new_noise = signals(1000, seed=300 + seed)
        whole = sum(
            a * mean + b * rest
            for (a, b), (mean, rest) in ((blend.network, parts(3 * new_noise)), (blend.words, parts(new_words)))
        )
        assert error(new_words, whole) <= error(new_words, new_words) + 0.02


def test_weights_are_checked_on_genes_to_which_they_were_not_fitted():
    """Words that are exactly right need no network of noise; weights fitted to the same genes would always keep a little."""
    alone = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        words = rng.normal(size=(60, 1))
        blend = choose_blend(words + rng.normal(size=words.shape), rng.normal(size=words.shape), words)
        alone += (blend.network[0], blend.words[0]) == (0, 1)
    assert alone > 10


def test_weights_are_never_negative():
    network, words = signals(500)
    blend = choose_blend(words - 0.5 * network, network, words)
    assert min(*blend.network, *blend.words) >= 0 and blend.network == (0, 0)


def test_few_genes_share_equally():
    network, words = signals(20)
    assert choose_blend(network, network, words).network == (0.5, 0.5)


def dense_network(tasks, seed=0):
    keras.utils.set_random_seed(seed)
    plain = keras.Sequential([keras.Input((12, 4)), keras.layers.Flatten(), keras.layers.Dense(tasks)])
    return keras.Model(plain.inputs[0], plain.outputs[0])


@pytest.fixture(params=[1, 4])
def ensemble(request):
    """Return three networks that differ by noise which cancels in their mean, the table of words, windows and labels."""
    tasks, rng = request.param, np.random.default_rng(0)
    blocks = (WordBlock(2, 0, 12),)
    table = WordTable(blocks, rng.normal(size=(16, tasks)).astype("f"), np.zeros(tasks, "f"), 1.0, 1.0)
    scale = LabelScale(np.full(tasks, 50.0), np.full(tasks, 4.0))
    networks = [dense_network(tasks) for _ in range(3)]
    kernel, bias = networks[0].get_weights()
    noise = rng.normal(size=kernel.shape)
    for network, share in zip(networks, (1, 2, -3), strict=True):
        network.set_weights([kernel + share * noise, bias])
    codes = rng.integers(0, 4, (200, 12)).astype(np.int8)
    x = np.eye(4, dtype=np.float32)[codes]
    labels = (0.5 * np.mean([np.asarray(network(x)) for network in networks], axis=0) + 2 * table.predict(codes)) * 4 + 50
    return [in_label_units(network, {"head": scale}) for network in networks], table, x, labels


def test_weights_suit_the_mean_of_the_networks(ensemble):
    networks, table, x, labels = ensemble
    models, weights = blend_with_words(networks, table, [(x[:150], labels[:150]), (x[150:], labels[150:])])
    assert list(weights["part"]) == ["network", "words"]
    np.testing.assert_allclose(weights["mean_over_tasks"], [0.5, 2], rtol=1e-3)
    if labels.shape[1] > 1:
        np.testing.assert_allclose(weights["deviations"], [0.5, 2], rtol=1e-3)
    predicted = [np.asarray(model(x)) for model in models]
    np.testing.assert_allclose(np.mean(predicted, axis=0), labels, atol=0.05)
    assert np.abs(predicted[0] - labels).max() > 1
    alone = [np.asarray(split_words(model)(x))[:, 1] for model in models]
    np.testing.assert_allclose(alone, [np.asarray(network(x)) for network in networks], rtol=1e-4, atol=1e-4)


def test_networks_without_standardised_labels_stay_as_they_are(ensemble, caplog):
    networks, table, x, labels = ensemble
    networks[1] = dense_network(labels.shape[1])
    models, weights = blend_with_words(networks, table, [(x, labels)])
    assert models == networks and "words are not added" in caplog.text
    assert weights[["mean_over_tasks", "deviations"]].to_numpy().tolist() == [[1, 1], [0, 0]]
