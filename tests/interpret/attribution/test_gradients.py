import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.interpret.attribution import gradients
from cisnake.interpret.attribution.gradients import correct, gradient, input_x_gradient, mean_gradient, saliency, smoothgrad
from cisnake.interpret.attribution.methods import project
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score

SCORES = [Score(np.array([0.5, 0.5, -1.0])), Score(np.array([1.0, 0, 0]))]
WEIGHTS = np.stack([score.tasks for score in SCORES])


def kernel(model):
    return np.asarray(model.layers[-1].kernel, np.float64).reshape(20, -1, 3)[:, :4] @ WEIGHTS.T


def test_input_x_gradient_of_a_linear_model_is_its_weights_minus_their_mean_over_bases(linear, windows):
    model, x = linear(), windows()
    values, contributions = input_x_gradient(ScoredModel(model, 8), x, SCORES)
    np.testing.assert_allclose(values, (np.asarray(model(x)) @ WEIGHTS.T).T, atol=1e-5)
    per_base = np.moveaxis(kernel(model), -1, 0)
    expected = (per_base - per_base.mean(axis=-1, keepdims=True))[:, None] * x[..., :4]
    np.testing.assert_allclose(project(x, contributions), expected.swapaxes(-1, -2), atol=1e-6)
    raw = gradient(ScoredModel(model, 8), x, SCORES)[1]
    np.testing.assert_allclose(raw, np.broadcast_to(per_base[:, None], raw.shape), atol=1e-6)


def test_without_correction_a_linear_model_adds_up_to_its_score(linear, windows):
    x, network = windows(depth=4), ScoredModel(linear(depth=4), 8)
    values, contributions = input_x_gradient(network, x, SCORES, correct_mean=False)
    at_zero = network.scores(np.zeros_like(x), SCORES)
    np.testing.assert_allclose(project(x, contributions).sum(axis=(2, 3)), values - at_zero, atol=1e-5)


def test_saliency_is_the_size_of_input_x_gradient(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 8)
    expected = np.abs(input_x_gradient(network, x, SCORES)[1])
    np.testing.assert_allclose(saliency(network, x, SCORES)[1], expected, atol=1e-7)


def test_corrected_gradients_sum_to_zero_and_keep_differences(windows):
    raw = np.random.default_rng(0).normal(size=(2, 3, 20, 4))
    corrected = correct(raw)
    np.testing.assert_allclose(corrected.sum(axis=-1), 0, atol=1e-12)
    np.testing.assert_allclose(corrected[..., 1] - corrected[..., 0], raw[..., 1] - raw[..., 0])
    # A value shared by all bases does not favour any of them.
    offset = np.random.default_rng(1).normal(size=(2, 3, 20, 1))
    np.testing.assert_allclose(correct(raw + offset), corrected, atol=1e-12)


def test_smoothgrad_without_noise_is_the_gradient(smooth, windows):
    x, network = windows(), ScoredModel(smooth(), 4)
    values, expected = input_x_gradient(network, x, SCORES)
    found = smoothgrad(network, x, SCORES, sample_prob=1.0, n_samples=3)
    np.testing.assert_allclose(found[0], values, atol=1e-6)
    np.testing.assert_allclose(found[1], expected, atol=1e-6)
    assert np.abs(smoothgrad(network, x, SCORES)[1] - expected).max() > 1e-3


def noisy_copies(monkeypatch, x, **options):
    """The noisy copies that smoothgrad evaluates, shape (n, samples, length, depth)."""
    seen = []

    def record(network, inputs, scores, points, weights, references=None):
        np.testing.assert_allclose(weights.sum(), 1)
        rows, samples = (part.ravel() for part in np.indices((len(inputs), len(weights))))
        seen.append(points(rows, samples).reshape(len(inputs), len(weights), *inputs.shape[1:]))
        return np.zeros((1, *inputs.shape[:2], 4))

    class Silent:
        def scores(self, inputs, scores):
            return None

    monkeypatch.setattr(gradients, "mean_gradient", record)
    smoothgrad(Silent(), x, [], **options)
    return seen[0]


def test_noise_has_the_set_frequency_and_the_composition_of_the_sequence(monkeypatch, windows):
    x = windows(1, length=2000)
    x[0, :, :4] = np.eye(5, 4)[np.random.default_rng(0).choice(5, 2000, p=[0.4, 0.3, 0.2, 0.05, 0.05])]
    known = x[0, :, :4].any(axis=-1)
    copies = noisy_copies(monkeypatch, x, n_samples=50, sample_prob=0.7)[0]
    assert np.array_equal(copies[:, ~known], np.broadcast_to(x[0, ~known], copies[:, ~known].shape)), "N stays N"
    assert np.array_equal(copies[..., 4], np.broadcast_to(x[0, :, 4], copies.shape[:2])), "and the gene body where it is"
    assert np.array_equal(copies[:, known, :4].sum(axis=-1), np.ones((50, known.sum())))
    composition = x[0, known, :4].mean(axis=0)
    redrawn = (1 - 0.7) / 0.75
    changed = (copies[..., :4] != x[0, :, :4]).any(axis=-1)[:, known].mean()
    np.testing.assert_allclose(changed, redrawn * (1 - (composition**2).sum()), rtol=0.02)
    # Replacements of A follow the composition of the other bases.
    became = copies[:, x[0, :, 0] == 1][..., 1:4].mean(axis=(0, 1))
    np.testing.assert_allclose(became, redrawn * composition[1:], rtol=0.06)


def test_noise_respects_the_mask_and_may_be_soft(monkeypatch, windows):
    x = windows(2)
    mask = np.arange(20) >= 10
    copies = noisy_copies(monkeypatch, x, n_samples=40, sample_prob=0.25, sample_mask=mask, sample_value=0.25)
    assert np.array_equal(copies[:, :, :10], np.broadcast_to(x[:, None, :10], copies[:, :, :10].shape))
    rest, original = copies[:, :, 10:, :4], np.broadcast_to(x[:, None, 10:, :4], copies[:, :, 10:, :4].shape)
    assert set(np.unique(rest)) == {0, 0.25, 0.75, 1}
    known = original.any(axis=-1)
    np.testing.assert_allclose(rest[known].sum(axis=-1), 1)
    assert (rest[original == 1] >= 0.75).all()


def test_noise_follows_from_seed_and_sequence_alone(smooth, windows):
    x, network = windows(6), ScoredModel(smooth(), 4)
    whole = smoothgrad(network, x, SCORES, seed=3)[1]
    order = np.array([4, 0, 5])
    np.testing.assert_allclose(smoothgrad(network, x[order], SCORES, seed=3)[1], whole[:, order], atol=1e-6)
    assert np.abs(smoothgrad(network, x, SCORES, seed=4)[1] - whole).max() > 1e-3


def test_noise_of_one_sequence_is_not_that_of_another(monkeypatch, windows):
    x = windows(2, length=400, unknown=False)
    copies = noisy_copies(monkeypatch, x, n_samples=2, sample_prob=0.6)
    changed = (copies != x[:, None]).any(axis=-1)
    assert (changed[0] != changed[1]).mean() > 0.35
    assert (changed[:, 0] != changed[:, 1]).mean() > 0.35


def test_too_much_noise_is_refused(smooth, windows):
    with pytest.raises(InputError, match=r"sample_prob is 0.2: .* between 0.25 and 1"):
        smoothgrad(ScoredModel(smooth(), 4), windows(), SCORES, sample_prob=0.2)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_a_mean_over_points_is_that_of_each_alone(smooth, windows, batch_size):
    x, others = windows(3), windows(4, seed=9)
    weights = np.array([0.5, 1.0, -2.0, 0.25])
    own = [Score(np.random.default_rng(0).normal(size=(3, 3))), SCORES[0]]
    found = mean_gradient(ScoredModel(smooth(), batch_size), x, own, lambda rows, k: x[rows] + others[k], weights)
    network = ScoredModel(smooth(), 1)
    for i in range(3):
        asked = [score.take(np.array([i])) for score in own]
        parts = [weight * network.gradients(x[[i]] + others[[k]], asked)[1][:, 0] for k, weight in enumerate(weights)]
        np.testing.assert_allclose(found[:, i], np.sum(parts, axis=0), atol=1e-5)
