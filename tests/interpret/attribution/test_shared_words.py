"""Attributions of models with words, in two parts, are those of the whole models."""

from functools import partial

import keras
import numpy as np
import pytest

from cisnake.data.dataset import LabelScale
from cisnake.interpret.attribution import ATTRIBUTION_METHODS, Score, ScoredModel, attribute
from cisnake.interpret.attribution.ensemble import attribute_ensemble
from cisnake.interpret.attribution.methods import BASELINE_SCORES
from cisnake.interpret.attribution.mutagenesis import mutate_positions
from cisnake.interpret.attribution.shared_words import LINEAR_METHODS, NetworkWithWords, scored_models
from cisnake.model import WindowViews
from cisnake.model.network import in_label_units, with_words
from cisnake.words import WordBlock, WordTable

SD = np.array([0.5, 1.0, 3.0])
SCORES = [Score(np.array([1.0, -0.5, -0.25])), Score(np.array([0.0, 0.5, 0.5]))]
WEIGHTS = [[(0.7, 0.4), (0.2, 0.9)], [(1.1, 0.3), (0.6, -0.4)]]
BOTH = WindowViews((0, 3), True, strand_pair=[1, 0, 2])
OPTIONS = {"integrated_gradients": {"n_steps": 2}, "expected_integrated_gradients": {"n_steps": 2, "n_shuffles": 2}}


def word_table(seed=0):
    rng, blocks = np.random.default_rng(seed), [WordBlock(3, 0, 10), WordBlock(2, 10, 20)]
    return WordTable(blocks, rng.normal(size=(80, 3)), rng.normal(size=3), 1.0, 1.0)


@pytest.fixture(scope="module")
def models():
    """Two replicates with one table of words, and a third that has no words."""
    inputs, units = keras.Input((20, 5)), []
    for seed in range(3):
        keras.utils.set_random_seed(seed)
        hidden = keras.layers.Flatten()(keras.layers.Conv1D(4, 5, activation="tanh")(inputs))
        network = keras.Model(inputs, keras.layers.Dense(3, activation="softplus")(hidden))
        units.append(in_label_units(network, {"head": LabelScale(np.array([4.0, -1.0, 0.5]), SD)}))
    return [*(with_words(m, word_table(), w) for m, w in zip(units, WEIGHTS, strict=False)), units[2]]


@pytest.fixture(scope="module")
def both_ways(models):
    """The models as wholes, and in parts; all tests share them, because compiling them takes most of the time."""
    return [ScoredModel(model, 8) for model in models], scored_models(models, 8, "gradient")


def bound(name):
    return partial(ATTRIBUTION_METHODS[name], **OPTIONS.get(name, {}))


@pytest.mark.parametrize("name", LINEAR_METHODS)
@pytest.mark.parametrize("views", [WindowViews(), BOTH], ids=["one view", "shifts and strands"])
def test_parts_add_up_to_the_whole(name, views, both_ways, windows):
    whole, parts = (attribute(networks, windows(), SCORES, bound(name), views) for networks in both_ways)
    for found, expected in zip(parts, whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BASELINE_SCORES)
def test_steps_are_doubled_for_the_same_windows_as_for_the_whole(name, both_ways, windows, monkeypatch):
    counted = []
    gradients = ScoredModel.gradients
    monkeypatch.setattr(ScoredModel, "gradients", lambda self, x, s: counted.append((self, len(x))) or gradients(self, x, s))
    method = partial(ATTRIBUTION_METHODS[name], **(OPTIONS[name] | {"n_steps": 2, "tolerance": 1e-4}))
    whole, parts = (attribute(networks[:2], windows(), SCORES, method)[0] for networks in both_ways)
    np.testing.assert_allclose(parts, whole, rtol=1e-3, atol=1e-5)
    of_whole = [sum(n for network, n in counted if network is both_ways[0][i]) for i in range(2)]
    of_parts = [sum(n for network, n in counted if network is both_ways[1][i].alone) for i in range(2)]
    assert of_whole == of_parts
    assert max(of_whole) > 2 * len(windows()) * OPTIONS[name].get("n_shuffles", 1), "no window needs more steps"


def test_saliency_is_not_divided(models):
    assert [type(network) for network in scored_models(models, 8, "saliency")] == [ScoredModel] * 3
    assert [type(network) for network in scored_models(models, 8, "gradient")] == [NetworkWithWords] * 2 + [ScoredModel]


def test_every_method_but_saliency_is_linear():
    assert set(ATTRIBUTION_METHODS) - set(LINEAR_METHODS) == {"saliency"}


def test_weights_of_tasks_may_differ_between_windows(both_ways, windows):
    x = windows(4)
    scores = [Score(np.random.default_rng(0).normal(size=(4, 3))), *SCORES]
    whole, parts = (attribute(networks, x, scores, bound("gradient"), BOTH)[0] for networks in both_ways)
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", BASELINE_SCORES)
def test_completeness_and_spread_are_those_of_the_whole(name, both_ways, windows):
    baseline = partial(BASELINE_SCORES[name], **{k: v for k, v in OPTIONS[name].items() if k != "n_steps"})
    whole, parts = (attribute_ensemble(networks, windows(), SCORES, bound(name), BOTH, baseline) for networks in both_ways)
    for quantity in ("contributions", "scores", "spread", "replicates", "completeness"):
        np.testing.assert_allclose(getattr(parts, quantity), getattr(whole, quantity), rtol=2e-3, atol=1e-5)


def test_scores_that_are_not_linear_are_attributed_whole(both_ways, windows):
    scores = [Score(np.array([1.0, 2.0, 0.0]), link="log", pseudo_count=100.0)]
    whole, parts = (attribute(networks, windows(), scores, bound("gradient")) for networks in both_ways)
    np.testing.assert_array_equal(parts[0], whole[0])


def test_words_are_attributed_once_per_table_and_view(models, windows):
    other = with_words(models[2], word_table(1), WEIGHTS[0])
    calls = []

    def method(network, inputs, scores):
        calls.append(network)
        return ATTRIBUTION_METHODS["gradient"](network, inputs, scores)

    networks = scored_models([*models[:2], other], 8, "gradient")
    attribute(networks, windows(), SCORES, method, BOTH)
    tables = {id(network.words.network) for network in networks}
    assert len(tables) == 2
    assert sum(id(network) in tables for network in calls) == 2 * 4
    assert len(calls) == (2 + 3) * 4


def test_mutagenesis_of_chosen_positions(both_ways, windows):
    x = windows()
    positions = np.arange(20) % 3 == 0
    whole, parts = (
        attribute(networks, x, SCORES, lambda *a: mutate_positions(*a, np.tile(positions, (len(x), 1))))[0]
        for networks in both_ways
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-4, atol=1e-5)
    assert np.abs(whole).max() > 0.1
