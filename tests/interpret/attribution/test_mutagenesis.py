import keras
import numpy as np
import pytest

from cisnake.interpret.attribution import mutagenesis
from cisnake.interpret.attribution.gradients import input_x_gradient
from cisnake.interpret.attribution.methods import project
from cisnake.interpret.attribution.mutagenesis import find_splice, in_silico_mutagenesis
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score, listed_position_weights
from cisnake.model.network.layers import StrandMaxConv1D

LONG = 96
layers = keras.layers


def sequential(*of_model, seed=0, length=LONG, depth=5):
    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((length, depth)), *of_model])
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            # As after training, so that zero padding differs from padding with the activation of zeros.
            values = np.random.default_rng(seed).uniform(0.5, 1.5, (4, layer.gamma.shape[0]))
            layer.set_weights(list(values))
    return model


def flat():
    return [layers.Flatten(), layers.Dense(3)]


SPLICED = {
    "convolution": lambda: [layers.Conv1D(4, 5, padding="same", activation="relu"), *flat()],
    "even convolution": lambda: [layers.Conv1D(4, 4, padding="same"), layers.ReLU(), layers.MaxPooling1D(2), *flat()],
    "strands, base by base": lambda: [StrandMaxConv1D(4, 7), layers.ReLU(), *flat()],
    "strands, an even kernel": lambda: [StrandMaxConv1D(4, 6), layers.ReLU(), *flat()],
    "strands": lambda: [StrandMaxConv1D(4, 6, 4), layers.BatchNormalization(), layers.Activation("gelu"), *flat()],
    "as small.yaml": lambda: [
        StrandMaxConv1D(6, 7, 4), layers.BatchNormalization(), layers.Activation("gelu"), layers.Dropout(0.5),
        layers.BatchNormalization(), layers.Activation("gelu"), layers.Conv1D(4, 3, padding="same"), layers.Dropout(0.5),
        layers.MaxPooling1D(2, padding="same"), *flat(),
    ],
    "tower": lambda: [
        part
        for _ in range(3)
        for part in (layers.Conv1D(4, 3, padding="same"), layers.LayerNormalization(), layers.AveragePooling1D(2))
    ] + flat(),
    "dilated": lambda: [layers.Conv1D(4, 3, dilation_rate=4, padding="same"), layers.Dense(3, "tanh"), *flat()],
}  # fmt: skip
WHOLE = {
    "global": lambda: [layers.Flatten(), layers.Dense(3, "tanh")],
    "pooling with a remainder": lambda: [layers.MaxPooling1D(7, padding="same"), layers.Conv1D(4, 3, padding="same"), *flat()],
    "custom activation": lambda: [
        layers.Conv1D(4, 3, padding="same", activation=lambda x: x - keras.ops.mean(x, 1)[:, None]),
        *flat(),
    ],
    "reach as long as the input": lambda: [layers.Conv1D(4, 31, padding="same"), *flat()],
}
SCORES = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]))]


def one_by_one(model, x, weights=(0.5, 0.5, -1.0)):
    """Score every substitution as a separate sequence."""
    effects = np.zeros((*x.shape[:2], 4))
    reference = np.asarray(model(x)) @ weights
    places = np.argwhere(x[..., :4].any(axis=-1))
    mutants = []
    for example, position in places:
        for base in range(4):
            mutants.append(x[example].copy())
            mutants[-1][position, :4] = np.eye(4)[base]
    scores = (np.asarray(model(np.stack(mutants))) @ weights).reshape(-1, 4)
    effects[tuple(places.T)] = scores - reference[places[:, 0], None]
    return effects


@pytest.mark.parametrize("name", SPLICED)
def test_effects_are_those_of_each_mutant_predicted_by_itself(name, windows):
    model, x = sequential(*SPLICED[name]()), windows(2, length=LONG)
    assert find_splice(model) is not None
    values, found = in_silico_mutagenesis(ScoredModel(model, 16), x, SCORES, correct_mean=False)
    expected = one_by_one(model, x)
    np.testing.assert_allclose(values[0], np.asarray(model(x)) @ [0.5, 0.5, -1.0], atol=1e-5)
    np.testing.assert_allclose(found[0], expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1
    assert (found[:, x[..., :4] == 1] == 0).all()


@pytest.mark.parametrize("name", WHOLE)
def test_models_not_known_to_be_local_are_evaluated_on_whole_windows(name, windows):
    model, x = sequential(*WHOLE[name](), length=60), windows(1, length=60)
    assert find_splice(model) is None
    found = in_silico_mutagenesis(ScoredModel(model, 64), x, SCORES, correct_mean=False)[1][0]
    np.testing.assert_allclose(found, one_by_one(model, x), atol=1e-5)


def test_a_split_bypassed_by_a_later_layer_is_not_used(windows):
    x = keras.Input((LONG, 5))
    stem = layers.Conv1D(4, 3, padding="same")(x)
    y = layers.Conv1D(4, 3, padding="same", activation="relu")(layers.ReLU()(stem))
    model = keras.Model(x, layers.Dense(3)(layers.Flatten()(layers.Add()([stem, y]))))
    splice = find_splice(model)
    # Both branches start at the only possible split.
    assert splice.crop == 5
    x = windows(1, length=LONG)
    found = in_silico_mutagenesis(ScoredModel(model, 64), x, SCORES, correct_mean=False)[1][0]
    np.testing.assert_allclose(found, one_by_one(model, x), atol=1e-5)


def test_few_bins_are_recomputed():
    splice = find_splice(sequential(*SPLICED["as small.yaml"]()))
    # Strides 4 and 2; kernels 7 and, on bins of four bases, 3: seven bases on either side.
    assert (splice.stride, splice.bins, splice.left, splice.changed, splice.crop) == (8, 12, 1, 3, 5)


def test_of_a_linear_model_it_is_input_x_gradient(linear, windows):
    x, network = windows(), ScoredModel(linear(), 32)
    found, expected = (project(x, method(network, x, SCORES)[1]) for method in (in_silico_mutagenesis, input_x_gradient))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_base_that_raises_the_score_is_positive(windows):
    x = windows(1, depth=4, unknown=False)
    model = sequential(layers.Flatten(), layers.Dense(1), length=20, depth=4)
    kernel = np.zeros((20, 4))
    kernel[7, x[0, 7].argmax()] = 2.0
    model.layers[-1].set_weights([kernel.reshape(-1, 1), np.zeros(1)])
    found = project(x, in_silico_mutagenesis(ScoredModel(model, 8), x, [Score(np.ones(1))])[1])[0, 0].sum(axis=0)
    np.testing.assert_allclose(found[7], 2 * 3 / 4, atol=1e-6)
    np.testing.assert_allclose(np.delete(found, 7), 0, atol=1e-6)


def test_profiles_are_scored_by_the_weights_of_each_example(profile, windows):
    model, x = profile(), windows(3)
    own = Score(
        np.random.default_rng(0).normal(size=(3, 4)), listed_position_weights(10, [[0, 1], [5, 6], [9, 9]]), link="identity"
    )
    found = in_silico_mutagenesis(ScoredModel(model, 2), x, [own], correct_mean=False)[1][0]
    for example in range(3):
        mutant = x[[example]].copy()
        position = np.flatnonzero(mutant[0, :, :4].any(axis=-1))[4]
        mutant[0, position, :4] = np.eye(4)[2]
        pair = [np.asarray(model(each))[0] @ own.tasks[example] @ own.positions[example] for each in (mutant, x[[example]])]
        np.testing.assert_allclose(found[example, position, 2], pair[0] - pair[1], atol=1e-5)


def test_positions_with_N_are_ignored(smooth, windows):
    x = windows()
    found = in_silico_mutagenesis(ScoredModel(smooth(), 32), x, SCORES)[1]
    assert (found[:, ~x[..., :4].any(axis=-1)] == 0).all()


def test_a_sequence_of_N_has_no_mutant(smooth, windows):
    x = windows(2)
    x[..., :4] = 0
    values, found = in_silico_mutagenesis(ScoredModel(smooth(), 32), x, SCORES)
    assert values.shape == (2, 2)
    assert (found == 0).all()


def test_only_pieces_are_computed(windows, monkeypatch):
    model, x = sequential(*SPLICED["as small.yaml"]()), windows(1, length=LONG)
    asked = []
    plain = mutagenesis._mutate
    monkeypatch.setattr(mutagenesis, "_mutate", lambda x, at, bases: asked.append(x.shape[1]) or plain(x, at, bases))
    in_silico_mutagenesis(ScoredModel(model, 64), x, SCORES)
    assert asked == [40]
