import numpy as np
import pytest

from cisnake.data.dataset import LabelScale
from cisnake.words.fitting import fit_words
from cisnake.words.kmers import add_reverse_complements, spread_to_strands
from cisnake.words.parts import split_parts, squared_errors
from cisnake.words.ridge import Ridge
from cisnake.words.table import WordBlock, count_words

BLOCKS = [WordBlock(2, 0, 20), WordBlock(2, 20, 40), WordBlock(1, 20, 40, 3)]


def genes(n, tasks=4, noise=0.1, seed=0):
    """Return windows, and labels that follow the words in the second block; their unit and offset are arbitrary."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, 40)).astype(np.int8)
    effect = np.random.default_rng(1).normal(size=(16, tasks)) + np.random.default_rng(2).normal(size=(16, 1))
    labels = count_words(codes, BLOCKS[1:2]) @ effect
    return codes, 50 + 7 * (labels + noise * rng.normal(size=labels.shape))


def by_split(codes, labels, n_train):
    return tuple({"train": x[:n_train], "val": x[n_train:]} for x in (codes, labels))


def test_what_words_determine_is_predicted():
    codes, labels = genes(900)
    fitted = fit_words(*by_split(codes[:800], labels[:800], 600), BLOCKS)
    scale = LabelScale.of(labels[:600])
    predicted = fitted.predict(codes[800:]) * scale.sd + scale.mean
    assert np.corrcoef(predicted.ravel(), labels[800:].ravel())[0, 1] > 0.98
    assert fitted.table.shape == (16 + 16 + 4, 4) and fitted.table.dtype == np.float32


def test_missing_labels_and_tasks_without_labels():
    codes, labels = genes(800)
    holes = np.where(np.random.default_rng(3).random(labels.shape) < 0.3, np.nan, labels)
    holes[:600, 3] = np.nan
    fitted = fit_words(*by_split(codes, holes, 600), BLOCKS)
    predicted = fitted.predict(codes[600:])
    assert np.isfinite(predicted).all()
    for task in range(3):
        assert np.corrcoef(predicted[:, task], labels[600:, task])[0, 1] > 0.95


def test_genes_without_a_label_can_differ_from_those_with_one():
    """Low genes are missing in one task, which is otherwise equal to a complete one."""
    codes, labels = genes(900, noise=0.01)
    both = labels[:, [0, 0]].copy()
    low = both[:, 1] < np.median(both[:, 1])
    both[low & (np.arange(900) < 700), 1] = np.nan
    fitted = fit_words(*by_split(codes[:800], both[:800], 700), BLOCKS)
    scale = LabelScale.of(both[:700])
    predicted = fitted.predict(codes[800:]) * scale.sd + scale.mean
    assert abs((predicted[:, 1] - labels[800:, 0]).mean()) < 0.1 * labels[:, 0].std()


def test_each_part_is_a_ridge_regression_with_its_own_penalty():
    """Levels follow words without noise, and differences are noise: the penalty of the differences is the largest."""
    codes, labels = genes(500)
    rng = np.random.default_rng(4)
    labels = labels[:, :1] + rng.normal(size=labels.shape)
    fitted = fit_words(*by_split(codes, labels, 400), BLOCKS)
    assert fitted.mean_penalty < fitted.deviation_penalty
    z = LabelScale.of(labels[:400]).standardize(labels[:400])
    counts = count_words(codes, BLOCKS).astype(float)
    weights = np.repeat([1.0, 1.0, 3.0], [16, 16, 4]) / np.sqrt(counts[:400].mean(axis=0) + 0.5)
    ridge = Ridge(counts[:400] * weights)
    rotated = ridge.rotate(counts * weights)
    mean = z.mean(axis=1, keepdims=True)
    expected = ridge.predict(mean, rotated, fitted.mean_penalty) + ridge.predict(z - mean, rotated, fitted.deviation_penalty)
    np.testing.assert_allclose(fitted.predict(codes), expected, atol=1e-4)


def test_one_task_has_no_differences():
    codes, labels = genes(500)
    fitted = fit_words(*by_split(codes, labels[:, :1], 400), BLOCKS)
    assert np.corrcoef(fitted.predict(codes[400:])[:, 0], labels[400:, 0])[0, 1] > 0.95


def test_parts_sum_to_the_whole_and_are_orthogonal():
    rng = np.random.default_rng(0)
    values, measured = rng.normal(size=(6, 5)), rng.random((6, 5)) < 0.7
    measured[0] = False
    mean, deviations = split_parts(values, measured)
    np.testing.assert_allclose(mean + deviations, np.where(measured, values, 0))
    np.testing.assert_allclose((mean * deviations).sum(axis=1), 0, atol=1e-12)
    true = np.where(measured, values, np.nan)
    assert sum(squared_errors(true, np.ones_like(true))) == pytest.approx(np.nansum((true - 1) ** 2))


def test_canonical_words_do_not_know_their_strand():
    """A site acts in either orientation."""
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (500, 60)).astype(np.int8)
    blocks = [WordBlock(3, 0, 60, canonical=True), WordBlock(2, 0, 60)]
    counts = count_words(codes, [WordBlock(3, 0, 60)])
    # AAC and its reverse complement GTT.
    labels = (counts[:, [1]] + counts[:, [47]]) * np.array([[1.0, -1.0]]) + 0.1 * rng.normal(size=(500, 2))
    fitted = fit_words(*by_split(codes, labels, 400), blocks)
    table = fitted.table[:64]
    for word in range(64):
        bases = [word // 16, word // 4 % 4, word % 4]
        reverse = (3 - bases[2]) * 16 + (3 - bases[1]) * 4 + 3 - bases[0]
        np.testing.assert_array_equal(table[word], table[reverse])
    assert np.corrcoef(fitted.predict(codes[400:])[:, 0], labels[400:, 0])[0, 1] > 0.97


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_values_of_canonical_words_are_spread_to_both_strands(k):
    counts = np.random.default_rng(0).integers(0, 9, (5, 4**k)).astype(np.float64)
    values = np.random.default_rng(1).normal(size=(add_reverse_complements(counts).shape[1], 2))
    # A palindrome is its own reverse complement and is counted once.
    np.testing.assert_allclose(counts @ spread_to_strands(values, k), add_reverse_complements(counts) @ values)
