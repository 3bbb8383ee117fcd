import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest

from cisnake.data.coverage.transform import TargetTransform
from cisnake.errors import InputError
from cisnake.interpret.attribution import methods
from cisnake.interpret.attribution.gradients import correct, gradient, input_x_gradient
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, attribute, jacobian, method_options, project
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score, listed_position_weights
from cisnake.model.network.layers import StrandMaxConv1D
from cisnake.model.network.seqnn import build_model, head_model
from cisnake.model.prediction import WindowViews, reverse_complement_one_hot, shift_windows
from cisnake.model.weights import load_weights

SCORES = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]))]
FEW = {"n_steps": 3, "n_shuffles": 2, "n_samples": 2}


BOTH = WindowViews(reverse_complement=True)


def reverse(channels):
    """Reverse complement of windows or contributions."""
    return np.concatenate([channels[..., ::-1, 3::-1], channels[..., ::-1, 4:]], axis=-1)


def chosen(name):
    return functools.partial(ATTRIBUTION_METHODS[name], **method_options(name, FEW))


@pytest.mark.parametrize("name", ATTRIBUTION_METHODS)
def test_shapes_and_zeros_at_unknown_positions(name, smooth, windows):
    x = windows()
    contributions, scores = attribute([ScoredModel(smooth(), 8)], x, SCORES, chosen(name))
    assert (contributions.shape, scores.shape) == ((2, 5, 20, 4), (1, 2, 5))
    found = project(x, contributions)
    assert (found.shape, found.dtype) == ((2, 5, 4, 20), np.float32)
    absent = np.broadcast_to(x[..., :4].swapaxes(1, 2) == 0, found.shape)
    assert (found[absent] == 0).all()
    assert (found[~absent] != 0).mean() > (0.2 if name == "expected_integrated_gradients" else 0.9)
    np.testing.assert_allclose(scores[0], ScoredModel(smooth(), 8).scores(x, SCORES), atol=1e-6)


@pytest.mark.parametrize("name", ATTRIBUTION_METHODS)
def test_examples_are_attributed_each_by_itself(name, smooth, windows):
    """Results do not depend on the batch size or on other windows in the batch."""
    x = windows(3)
    whole = attribute([ScoredModel(smooth(), 2)], x, SCORES, chosen(name))[0]
    network = ScoredModel(smooth(), 5)
    for i in range(3):
        np.testing.assert_allclose(attribute([network], x[[i]], SCORES, chosen(name))[0][:, 0], whole[:, i], atol=1e-5)


def test_models_together_are_the_mean_of_each(smooth, windows):
    x, networks = windows(), [ScoredModel(smooth(seed), 8) for seed in range(3)]
    alone = [attribute([network], x, SCORES) for network in networks]
    together = attribute(networks, x, SCORES)
    np.testing.assert_allclose(together[0], np.mean([each for each, _ in alone], axis=0), atol=1e-6)
    np.testing.assert_allclose(together[1], [score[0] for _, score in alone], atol=1e-6)


@pytest.mark.parametrize(
    "name", [name for name in ATTRIBUTION_METHODS if name not in ("smoothgrad", "expected_integrated_gradients")]
)
def test_symmetric_model_attributes_symmetrically(name, windows):
    keras.utils.set_random_seed(0)
    layers = [StrandMaxConv1D(6, 4), keras.layers.ReLU(), keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(3)]
    # At an N in the centre of a palindrome both strands match equally, and the gradient may go to either.
    x = windows(unknown=False)
    network = ScoredModel(keras.Sequential([keras.Input((20, 5)), *layers]), 8)
    forward, backward = (attribute([network], each, SCORES, chosen(name))[0] for each in (x, reverse(x)))
    assert np.abs(forward).max() > 0.01
    np.testing.assert_allclose(backward, reverse(forward), atol=1e-5)


@pytest.mark.parametrize("name", ["input_x_gradient", "integrated_gradients", "in_silico_mutagenesis"])
def test_with_both_strands_any_model_attributes_symmetrically(name, smooth, windows):
    x, networks = windows(), [ScoredModel(smooth(seed), 8) for seed in range(2)]
    both, scores = attribute(networks, x, SCORES, chosen(name), BOTH)
    alone = [attribute(networks, each, SCORES, chosen(name)) for each in (x, reverse(x))]
    np.testing.assert_allclose(both, (alone[0][0] + reverse(alone[1][0])) / 2, atol=1e-5)
    np.testing.assert_allclose(scores, (alone[0][1] + alone[1][1]) / 2, atol=1e-5)
    assert np.abs(both - alone[0][0]).max() > 1e-2


def test_profiles_of_the_other_strand_are_turned_round(profile, windows):
    """Positions and stranded tasks refer to the window, whichever strand the model was given."""
    x, network = windows(2), ScoredModel(profile(), 4)
    positions, tasks, pair = np.arange(10.0), np.array([1.0, 0.0, -0.5, 0.0]), (1, 0, 3, 2)
    views = WindowViews(reverse_complement=True, strand_pair=pair)
    found = attribute([network], x, [Score(tasks, positions)], gradient, views)[0]
    other = Score(np.array([0.0, 1.0, 0.0, -0.5]), positions[::-1])
    parts = [network.gradients(x, [Score(tasks, positions)])[1], reverse(network.gradients(reverse(x), [other])[1])]
    np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-6)


def test_shifts_are_moved_back_and_averaged_over_what_was_shown(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    found, scores = attribute([network], x, SCORES, gradient, WindowViews(shifts=(0, 3, -2)))
    # By hand: after a shift of 3 towards the end, the last three bases are lost and the first three are unknown.
    total, seen = np.zeros((2, 5, 20, 4)), np.zeros((20, 1))
    values = []
    for by in (0, 3, -2):
        stays = [at for at in range(20) if 0 <= at + by < 20]
        moved = np.zeros_like(x)
        for at in stays:
            moved[:, at + by] = x[:, at]
        value, contributions = network.gradients(moved, SCORES)
        for at in stays:
            total[:, :, at] += contributions[:, :, at + by]
            seen[at] += 1
        values.append(value)
    np.testing.assert_allclose(found, total / seen, atol=1e-6)
    np.testing.assert_allclose(scores[0], np.mean(values, axis=0), atol=1e-6)


def test_bases_in_no_view_get_zero(smooth, windows):
    found = attribute([ScoredModel(smooth(), 8)], windows(), SCORES, gradient, WindowViews(shifts=(4, 6)))[0]
    assert np.array_equal(found.any(axis=(0, 1, 3)), np.arange(20) < 16)


def test_both_strands_of_a_shift_are_those_of_the_same_bases(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    found = attribute([network], x, SCORES, gradient, WindowViews(shifts=(4,), reverse_complement=True))[0]
    moved = shift_windows(x, 4)
    parts = [network.gradients(moved, SCORES)[1], reverse(network.gradients(reverse_complement_one_hot(moved), SCORES)[1])]
    expected = np.mean(parts, axis=0)
    np.testing.assert_allclose(found[:, :, :16], expected[:, :, 4:], atol=1e-6)
    assert np.abs(expected[:, :, 4:]).max() > 0.01


@pytest.mark.parametrize("correct_mean", [False, True])
def test_jacobian_has_the_gradient_of_every_task(profile, windows, correct_mean):
    model, x = profile(), windows(3)
    positions = np.array([0, 1, 0, 0, 0, 2.0, 0, 0, 0, 0])
    found = jacobian(model, x, positions=positions, correct_mean=correct_mean, batch_size=2, tasks_at_once=3)
    assert (found.shape, found.dtype) == ((4, 3, 20, 4), np.float32)
    for task in range(4):
        asked = Score(np.eye(4)[task], positions)
        expected = gradient(ScoredModel(model, 4), x, [asked], correct_mean)[1][0]
        np.testing.assert_allclose(found[task], expected, atol=1e-6)
    some = jacobian(model, x, [2, 0], positions, correct_mean)
    np.testing.assert_allclose(some, found[[2, 0]], atol=1e-6)


def test_jacobian_of_many_tasks_is_traced_once(smooth, windows, monkeypatch):
    networks = []
    monkeypatch.setattr(methods, "ScoredModel", lambda *args: networks.append(ScoredModel(*args)) or networks[-1])
    jacobian(smooth(), windows(5), batch_size=2, tasks_at_once=2)
    assert [network.tracings for network in networks] == [1]


def test_options_of_a_method():
    given = {"n_steps": 7, "n_samples": 3, "correct_mean": False}
    assert method_options("integrated_gradients", given) == {"n_steps": 7, "baseline": "uniform", "tolerance": 0.0}
    assert method_options("input_x_gradient", given) == {"correct_mean": False}
    assert method_options("saliency", {}) == {"correct_mean": True}
    with pytest.raises(InputError, match="unknown attribution method 'input_x_gradients': did you mean input_x_gradient"):
        method_options("input_x_gradients", {})
    with pytest.raises(InputError, match="unknown option of an attribution method 'n_step': did you mean n_steps"):
        method_options("saliency", {"n_step": 3})


def test_default_is_corrected_input_x_gradient(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    np.testing.assert_array_equal(
        attribute([network], x, SCORES)[0], input_x_gradient(network, x, SCORES, correct_mean=True)[1]
    )


def test_gradients_are_those_of_baskerville():
    """Compare with `SeqNN.gradients`, as written by `make_reference.py`, with the transform in its new order."""
    folder = Path(__file__).parents[2] / "model" / "data" / "borzoi"
    model = head_model(build_model(json.loads((folder / "params.json").read_text())["model"]), "head_human")
    load_weights(model, folder / "model0_best.h5")
    with np.load(folder / "gradients.npz") as file:
        theirs = {name: file[name] for name in file.files}
    x = np.eye(5, 4, dtype=np.float32)[theirs["codes"]]
    plain = jacobian(model, x, [0, 1])
    np.testing.assert_allclose(plain, theirs["plain"], atol=1e-5 * np.abs(theirs["plain"]).max())
    transform = TargetTransform(*(float(theirs[name]) for name in ("track_scale", "track_transform", "clip_soft")))
    tasks = listed_position_weights(model.output_shape[-1], theirs["target_slice"]) / theirs["target_slice"].shape[1]
    positions = listed_position_weights(model.output_shape[1], theirs["pos_slice"], theirs["pos_mask"])
    score = Score(tasks, positions, link="log", pseudo_count=float(theirs["pseudo_count"]), transform=transform)
    raw = gradient(ScoredModel(model, 2), x, [score])[1]
    np.testing.assert_allclose(raw[0], theirs["log_sum"], atol=1e-5 * np.abs(theirs["log_sum"]).max())
    gated = project(x, correct(raw))[0].swapaxes(1, 2)
    np.testing.assert_allclose(gated, theirs["log_sum_gated"], atol=1e-5 * np.abs(theirs["log_sum_gated"]).max())
