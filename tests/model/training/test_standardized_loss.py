"""The loss of expression runs, compared with plain float64 definitions."""

import numpy as np
import pytest

from cisnake.model.losses import MeanSquaredError, MeanSquaredErrorUDot
from cisnake.model.training.standardized_loss import StandardizedLoss

TASKS = 5


def data(n=200, missing=0.2, seed=0):
    """Return labels and predictions; tasks have offsets and units of their own."""
    rng = np.random.default_rng(seed)
    common = 3 * rng.normal(size=(n, 1))
    unit, offset = np.array([1, 0.01, 300, 5, 1.0]), np.array([0, 50, -1e4, 7, 1.0])
    labels = offset + unit * (common + rng.normal(size=(n, TASKS)))
    labels[rng.random(labels.shape) < missing] = np.nan
    predicted = offset + unit * (common + rng.normal(size=(n, TASKS)))
    return labels, predicted


def plain(labels, predicted, train, weight=0.0, contrasts=()):
    """The definition, gene by gene."""
    mean, sd = np.nanmean(train, axis=0), np.nanstd(train, axis=0)
    z, t, p = (train - mean) / sd, (labels - mean) / sd, (predicted - mean) / sd
    deviations = z - np.nanmean(z, axis=1, keepdims=True)
    losses = []
    for true, guess in zip(t, p):
        m = np.isfinite(true)
        e = np.where(m, true - guess, np.nan)
        loss = np.nanmean(e**2) if m.any() else 0.0
        if m.any():
            loss += weight * np.nanmean((e - np.nanmean(e)) ** 2) / np.nanmean(deviations**2)
        for on, off in contrasts:
            sides = [side for side in (on, off) if side]
            if all(m[side].any() for side in sides):
                d = np.nanmean(e[on]) - (np.nanmean(e[off]) if off else 0)
                known = np.all([np.isfinite(z[:, side]).any(axis=1) for side in sides], axis=0)
                c = np.nanmean(z[known][:, on], axis=1) - (np.nanmean(z[known][:, off], axis=1) if off else 0)
                loss += d**2 / np.mean(c**2) / len(contrasts)
        losses.append(loss)
    return np.array(losses)


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("weight", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("contrasts", [(), [([0, 1], [2, 3, 4])], [([0], []), ([4], [0, 1])]])
def test_the_loss_is_its_definition(weight, contrasts):
    labels, predicted = data()
    labels[3] = np.nan
    train = data(seed=1)[0]
    loss = StandardizedLoss(MeanSquaredError(dtype="float64"), train, weight, contrasts)
    expected = plain(labels, predicted, train, weight, contrasts)
    np.testing.assert_allclose(loss.call(labels, predicted), expected, rtol=1e-9)
    single = StandardizedLoss(MeanSquaredError(), train, weight, contrasts)
    np.testing.assert_allclose(single.call(labels.astype("f"), predicted.astype("f")), expected, rtol=2e-2, atol=1e-3)


def test_units_and_offsets_do_not_matter():
    labels, predicted = data(missing=0.0)
    a, b = np.array([2, 1e-3, 7, 1, 50.0]), np.array([1e3, 0, -5, 1, 2.0])
    losses = []
    for x, y in ((labels, predicted), (a * labels + b, a * predicted + b)):
        loss = StandardizedLoss(MeanSquaredError(dtype="float64"), x, 1.0, [([0], [1, 2])])
        losses.append(loss.call(x, y))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_differences_have_the_weight_of_levels_however_small_they_are():
    """The mean predicts neither levels nor differences: both terms are 1 on average, whatever the size of differences."""
    rng = np.random.default_rng(0)
    for size in (1.0, 1e-2):
        labels = rng.normal(size=(5000, 1)) + size * rng.normal(size=(5000, TASKS))
        mean = np.broadcast_to(labels.mean(axis=0), labels.shape)
        loss = StandardizedLoss(MeanSquaredError(dtype="float64"), labels, 1.0)
        assert np.mean(loss.call(labels, mean)) == pytest.approx(2.0, rel=1e-3)


def test_tasks_that_are_all_alike_have_no_second_term():
    labels = np.repeat(np.random.default_rng(0).normal(size=(50, 1)), TASKS, axis=1)
    loss = StandardizedLoss(MeanSquaredError(), labels, 1.0, [([0], [1])])
    assert np.isfinite(loss.call(labels, labels + np.arange(TASKS))).all()
    one = StandardizedLoss(MeanSquaredError(), labels[:, :1], 1.0)
    np.testing.assert_allclose(one.call(labels[:, :1], labels[:, :1]), 0)


def test_another_loss_sees_standardised_labels():
    labels, predicted = data(missing=0.0)
    mean, sd = labels.mean(axis=0), labels.std(axis=0)
    loss = StandardizedLoss(MeanSquaredErrorUDot(0.5), labels)
    expected = MeanSquaredErrorUDot(0.5).call((labels - mean) / sd, (predicted - mean) / sd)
    np.testing.assert_allclose(loss.call(labels, predicted), expected, rtol=1e-3, atol=1e-3)
