import itertools
import random

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr

from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, attribute, project
from cisnake.interpret.attribution.quality import (
    correlate,
    mutagenesis_agreement,
    random_agreement,
    random_network,
    strand_agreement,
)
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model.network.batch_normalization import BatchNormalization
from cisnake.model.network.layers import FactorInverse, StrandMaxConv1D
from cisnake.model.network.output_layers import WordTableLookup
from cisnake.model.prediction import WindowViews, reverse_complement_one_hot
from cisnake.words.table import WordBlock

SCORES = [Score(np.array([1.0, -0.5, -0.5])), Score(np.array([0.0, 0.5, 0.5]))]
IXG = ATTRIBUTION_METHODS["input_x_gradient"]


def projected(networks, x, views=WindowViews(), scores=SCORES):  # noqa: B008
    return project(x, attribute(networks, x, scores, IXG, views)[0]).sum(axis=-2)


def some_positions(x, seed=0):
    return x[..., :4].any(axis=-1) & (np.random.default_rng(seed).random(x.shape[:2]) < 0.6)


def test_correlations_agree_with_numpy():
    one, other = np.random.default_rng(0).normal(size=(2, 3, 4, 30))
    expected = [[np.corrcoef(a, b)[0, 1] for a, b in zip(*rows)] for rows in zip(one, other)]
    known = np.ones((4, 30), bool)
    np.testing.assert_allclose(correlate(one, other, known), expected)
    other[1, 2] = 3
    assert np.isnan(correlate(one, other, known)[1, 2])


def test_unknown_positions_do_not_count_as_agreement():
    one, other = np.random.default_rng(1).normal(5, 1, size=(2, 2, 3, 40))
    known = np.random.default_rng(2).random((3, 40)) < 0.5
    known[2] = False
    one, other = np.where(known, one, 0), np.where(known, other, 0)
    expected = [[np.corrcoef(a[of], b[of])[0, 1] for a, b, of in zip(*rows, known[:2])] for rows in zip(one, other)]
    np.testing.assert_allclose(correlate(one, other, known)[:, :2], expected)
    assert np.isnan(correlate(one, other, known)[:, 2]).all()


def test_mutagenesis_of_a_linear_model_ranks_as_its_gradients(linear, windows):
    x, networks = windows(), [ScoredModel(linear(seed), 8) for seed in range(2)]
    found = mutagenesis_agreement(networks, x, SCORES, projected(networks, x), some_positions(x), WindowViews())
    np.testing.assert_allclose(found, 1)
    np.testing.assert_allclose(
        mutagenesis_agreement(networks, x, SCORES, -projected(networks, x), some_positions(x), WindowViews()), -1
    )


@pytest.mark.parametrize("views", [WindowViews(), WindowViews((0, 2), True)])
def test_effects_are_scores_minus_the_mean_of_the_three_mutants(smooth, windows, views):
    x, networks = windows(3), [ScoredModel(smooth(seed), 8) for seed in range(2)]
    given, positions = np.random.default_rng(1).normal(size=(2, 3, 20)), some_positions(x)
    # Bases that a shift of two moves out at the end are not in all views.
    positions[:, -2:] = False
    found = mutagenesis_agreement(networks, x, SCORES, given, positions, views)
    for row in range(3):
        at = np.flatnonzero(positions[row])
        mutants = np.repeat(x[row : row + 1], 4 * len(at), axis=0)
        for number, (position, base) in enumerate(itertools.product(at, range(4))):
            mutants[number, position, :4] = np.eye(4)[base]
        asked = np.concatenate([x[row : row + 1], mutants])
        values = attribute(networks, asked, SCORES, ATTRIBUTION_METHODS["gradient"], views)[1].mean(axis=0)
        # The sum over four bases includes the original score once.
        three = (values[:, 1:].reshape(2, len(at), 4).sum(axis=-1) - values[:, :1]) / 3
        for i in range(2):
            expected = spearmanr(given[i, row, at], values[i, 0] - three[i]).statistic
            np.testing.assert_allclose(found[i, row], expected, atol=1e-6)


def test_a_window_without_bases_is_not_compared(smooth, windows):
    x, network = windows(2), ScoredModel(smooth(), 8)
    x[0, :, :4] = 0
    found = mutagenesis_agreement([network], x, SCORES, projected([network], x), x[..., :4].any(axis=-1), WindowViews())
    assert np.isnan(found[:, 0]).all()
    assert np.isfinite(found[:, 1]).all()


def test_a_symmetric_model_agrees_with_its_other_strand(windows):
    keras.utils.set_random_seed(0)
    layers = [StrandMaxConv1D(6, 4), keras.layers.ReLU(), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    network, x = ScoredModel(keras.Sequential([keras.Input((20, 5)), *layers]), 8), windows(unknown=False)
    np.testing.assert_allclose(
        strand_agreement([network], x, SCORES, projected([network], x), IXG, WindowViews()), 1, atol=1e-4
    )


@pytest.mark.parametrize("views", [WindowViews((0, 2)), WindowViews((0, 2), True)])
def test_strands_are_attributed_separately_for_comparison(profile, windows, views):
    x, networks = windows(4, depth=4), [ScoredModel(profile(seed, depth=4), 4) for seed in range(2)]
    positions, pair = np.arange(10.0), (1, 0, 3, 2)
    views = WindowViews(views.shifts, views.reverse_complement, pair)
    tasks = np.array([1.0, 0.0, -0.5, 0.0])
    scores, other = [Score(tasks, positions)], [Score(tasks[list(pair)], positions[::-1])]
    found = strand_agreement(networks, x, scores, projected(networks, x, views, scores), IXG, views)
    forward = projected(networks, x, WindowViews((0, 2)), scores)
    back = projected(networks, reverse_complement_one_hot(x), WindowViews((0, -2)), other)[..., ::-1]
    known = x[..., :4].any(axis=-1)
    expected = [np.corrcoef(one[of], two[of])[0, 1] for one, two, of in zip(forward[0], back[0], known)]
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert np.abs(found).max() < 0.999


@pytest.fixture
def deep():
    """Return a model with batch normalisation, a frozen layer, and a fixed matrix at the end."""
    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv1D(8, 5, name="first"), BatchNormalization(name="norm"), keras.layers.ReLU(),
        keras.layers.Conv1D(6, 3, name="frozen"), keras.layers.BatchNormalization(name="frozen_norm"), keras.layers.ReLU(),
        keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2), FactorInverse(3, name="inverse"),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((20, 5)), *layers])
    rng = np.random.default_rng(0)
    model.set_weights([rng.normal(1, 0.3, weight.shape) for weight in model.get_weights()])
    model.get_layer("frozen").trainable = model.get_layer("frozen_norm").trainable = False
    return model


def test_random_networks_are_new_and_follow_from_the_seed(deep, windows):
    x, before, state = windows(16), [weight.copy() for weight in deep.get_weights()], random.getstate()
    one, same, other = (random_network(deep, seed, x) for seed in (1, 1, 2))
    assert random.getstate() == state
    for first, again in zip(one.get_weights(), same.get_weights(), strict=True):
        np.testing.assert_allclose(first, again, atol=1e-6)
    for name in ("first", "frozen"):
        kernels = [model.get_layer(name).get_weights()[0].ravel() for model in (one, other, deep)]
        for i, j in ((0, 1), (0, 2), (1, 2)):
            assert abs(np.corrcoef(kernels[i], kernels[j])[0, 1]) < 0.35
            assert np.abs(kernels[i] - kernels[j]).mean() > 0.05
    np.testing.assert_array_equal(one.get_layer("inverse").get_weights()[0], deep.get_layer("inverse").get_weights()[0])
    for weight, was in zip(deep.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)


def test_random_networks_normalise_their_inputs(deep, windows):
    x = windows(16)
    network = random_network(deep, 1, x)
    for name in ("norm", "frozen_norm"):
        layer = network.get_layer(name)
        seen = np.asarray(keras.Model(network.inputs[0], layer.output)(x, training=False))
        np.testing.assert_allclose(seen.mean(axis=(0, 1)), 0, atol=1e-3)
        np.testing.assert_allclose(seen.std(axis=(0, 1)), 1, atol=0.2)


def test_a_random_network_has_other_words(windows):
    x, blocks = windows(40, unknown=False), [WordBlock(3, 0, 10), WordBlock(3, 10, 20)]
    inputs = keras.Input((20, 5))
    model = keras.Model(inputs, WordTableLookup(blocks, 3)(inputs))
    model.layers[-1].table.assign(np.random.default_rng(0).normal(size=(128, 3)) * np.repeat([[1.0], [9.0]], 64, axis=0))
    own = projected([ScoredModel(model, 40)], x)
    found = [
        random_agreement(ScoredModel(random_network(model, seed, x), 40), x, SCORES, own, IXG, WindowViews())
        for seed in range(8)
    ]
    assert abs(np.mean(found)) < 0.1
    # Each block keeps its entries, but for their order.
    before, after = (np.asarray(m.layers[-1].table) for m in (model, random_network(model, 0, x)))
    for block in (slice(0, 64), slice(64, 128)):
        np.testing.assert_array_equal(np.sort(before[block], axis=0), np.sort(after[block], axis=0))


def test_a_random_network_lacks_what_was_learned(windows):
    """A model of one motif that is in every window, compared with untrained networks."""
    rng, motif = np.random.default_rng(0), np.array([0, 2, 3, 1, 0, 1])
    kernel = np.full((6, 5, 1), -1.0)
    kernel[np.arange(6), motif] = 1
    layers = [keras.layers.Conv1D(1, 6, activation="softplus"), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    model = keras.Sequential([keras.Input((20, 5)), *layers])
    model.set_weights([kernel, np.array([-4.0]), np.array([[2.0, -1.0, 0.0]]), np.zeros(3)])
    x = windows(40, unknown=False)
    for row in x:
        row[(start := rng.integers(0, 14)) : start + 6, :4] = np.eye(4)[motif]
    network = ScoredModel(model, 40)
    own = projected([network], x)
    found = [
        random_agreement(ScoredModel(random_network(model, seed, x), 40), x, SCORES, own, IXG, WindowViews())
        for seed in range(8)
    ]
    assert abs(np.mean(found)) < 0.15
    np.testing.assert_allclose(random_agreement(network, x, SCORES, own, IXG, WindowViews()), 1, atol=1e-5)
