import keras
import numpy as np
import pytest

from cisnake.data.coverage.gene_bins import interval_weights
from cisnake.data.coverage.transform import TargetTransform
from cisnake.errors import InputError
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score, listed_position_weights, score_of_predictions

N, POSITIONS, TASKS = 3, 10, 4
RNG = np.random.default_rng(0)
MEAN = np.array([0, 0.5, 0.5, 0])
SOME = listed_position_weights(POSITIONS, [[1, 2, 2], [4, 5, 6], [0, 9, 9]], [[1, 1, 1], [1, 1, 1], [1, 1, 0]])
REST = interval_weights(POSITIONS, np.array([0, 4, 3]), np.array([20, 17, 20]), 2)
TRANSFORMS = {
    "none": None,
    "new": TargetTransform(scale=0.3, power=0.75, clip_soft=0.6),
    "old": TargetTransform(scale=0.3, power=0.75, clip_soft=0.6, order="old"),
    "each": TargetTransform(scale=(1.0, 0.3, 2.0, 1.0), power=(1.0, 0.75, 0.5, 1.0), clip_soft=(np.inf, 0.6, np.inf, 1.0)),
}
SCORES = {
    "task": Score(np.eye(TASKS)[2]),
    "contrast": Score(np.array([0.5, 0.5, -1.0, 0.0])),
    "of each example": Score(RNG.normal(size=(N, TASKS)), SOME),
    "log": Score(MEAN, SOME, link="log", pseudo_count=0.1),
    "log mean": Score(MEAN, SOME, link="log", average=True),
    "mean of all": Score(MEAN, average=True),
    "log_ratio": Score(MEAN, SOME, REST, link="log_ratio", pseudo_count=0.5),
    "log_ratio of means": Score(MEAN, SOME, REST, average=True, link="log_ratio"),
    "log_odds": Score(MEAN, SOME, REST, link="log_odds", pseudo_count=0.01),
    **{f"log, {name}": Score(MEAN, SOME, link="log", transform=transform) for name, transform in TRANSFORMS.items()},
    "odds, new": Score(MEAN, SOME, REST, link="log_odds", transform=TRANSFORMS["new"]),
    "gene": Score(np.array([0.5, 0.5, -1.0, 0.0]), SOME, link="gene", transform=TRANSFORMS["new"]),
    "gene, old": Score(MEAN, REST, link="gene", transform=TRANSFORMS["old"]),
    "reverse": Score(np.array([0.5, 0.5, -1.0, 0.0]), SOME, strand_pair=(1, 0, 3, 2), reverse=True),
}


def plain(score, y):
    """The score by definition, computed per example."""
    found = []
    for i, values in enumerate(np.asarray(y, np.float64)):
        if score.reverse:
            values = values[::-1][:, list(score.strand_pair)]
        if score.transform is not None:
            values = score.transform.inverse(values)
        row = {name: weights[i % len(weights)] for name, weights in score.arrays.items()}
        if score.link == "gene":
            found.append(np.log2(1 + row["positions"] @ values) @ row["tasks"])
            continue
        track = values @ row["tasks"]
        sums = []
        for weights in (row.get("positions", np.ones(len(track))), row.get("denominator")):
            if weights is not None:
                sums.append((track * weights).sum() / (weights.sum() if score.average else 1) + score.pseudo_count)
        ratio = sums[0] / sums[-1]
        argument = {"log": sums[0], "log_ratio": ratio, "log_odds": ratio / (1 - ratio) if ratio < 1 else np.nan}
        found.append(sums[0] if score.link == "identity" else np.log(argument[score.link] + 1e-6))
    return np.array(found)


@pytest.mark.parametrize("name", SCORES)
def test_a_score_is_as_defined(name, float64, profile, windows):
    score, x, model = SCORES[name], windows(N), profile()
    found = ScoredModel(model, 2).scores(x, [score])[0]
    expected = plain(score, model(x))
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("name", SCORES)
def test_its_gradient_is_that_of_finite_differences(name, float64, profile, windows):
    score, x, model, step = SCORES[name], windows(N).astype(np.float64), profile(), 1e-5
    gradient = ScoredModel(model, 2).gradients(x, [score])[1][0]
    assert gradient.dtype == np.float64
    rng = np.random.default_rng(1)
    for _ in range(12):
        example, position, base = rng.integers(N), rng.integers(x.shape[1]), rng.integers(4)
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[example, position, base] += sign * step
            ends.append(plain(score, model(moved))[example])
        np.testing.assert_allclose(gradient[example, position, base], (ends[0] - ends[1]) / (2 * step), rtol=1e-5, atol=1e-8)
    assert np.abs(gradient).max() > 1e-3


def test_one_value_per_task_needs_no_positions(smooth, windows):
    model, x = smooth(), windows()
    y = np.asarray(model(x), np.float64)
    asked = [Score(np.array([1.0, 0, -1])), Score(np.array([0.5, 0.5, 0]), link="log", transform=TargetTransform(scale=2.0))]
    found = ScoredModel(model, 8).scores(x, asked)
    np.testing.assert_allclose(found, [y[:, 0] - y[:, 2], np.log(y[:, :2].mean(axis=1) / 2 + 1e-6)], rtol=1e-5)
    with pytest.raises(InputError, match="one value per task"):
        ScoredModel(model, 8).scores(x, [Score(np.ones(3), np.ones(10))])


def test_tasks_and_positions_without_weight_do_not_matter(float64):
    """An inverse that is undefined for another task or position affects neither the score nor its gradient."""
    import tensorflow as tf

    score = Score(np.array([[1.0, 0.0]]), np.array([[1.0, 0.0, 1.0]]), transform=TargetTransform(power=0.75))
    y = tf.constant([[[1.0, -5.0], [-5.0, 2.0], [3.0, -5.0]]], tf.float64)
    arrays = {name: tf.constant(weights) for name, weights in score.arrays.items()}
    with tf.GradientTape() as tape:
        tape.watch(y)
        value = score_of_predictions(score.form, y, arrays)
    np.testing.assert_allclose(value, [2 ** (4 / 3) + 4 ** (4 / 3) - 2])
    gradient = tape.gradient(value, y).numpy()[0]
    assert (gradient[[0, 2], 0] > 1).all()
    assert np.array_equal(gradient[[0, 1, 2, 1], [1, 1, 1, 0]], np.zeros(4))


def test_invalid_scores_are_refused():
    with pytest.raises(InputError, match="unknown link of a score 'log_rato': did you mean log_ratio"):
        Score(MEAN, link="log_rato")
    with pytest.raises(InputError, match="log_odds requires a denominator"):
        Score(MEAN, SOME, link="log_odds")
    with pytest.raises(InputError, match="identity does not use a denominator"):
        Score(MEAN, SOME, REST)
    with pytest.raises(InputError, match="gene requires the positions of the gene and the transform"):
        Score(MEAN, SOME, link="gene")


def test_weights_of_positions():
    assert SOME.tolist() == [[0, 1, 2] + [0] * 7, [0, 0, 0, 0, 1, 1, 1, 0, 0, 0], [1] + [0] * 8 + [1]]
    with pytest.raises(InputError, match="position 10 is out of range: the model has positions 0 to 9"):
        listed_position_weights(POSITIONS, [[3, 10]])
    found = interval_weights(4, np.array([0, 5, 30]), np.array([40, 17, 60]), 8, offset=4)
    np.testing.assert_allclose(found, [[1, 1, 1, 1], [7 / 8, 5 / 8, 0, 0], [0, 0, 0, 6 / 8]])
    assert found.dtype == np.float32


def test_weights_of_positions_that_all_examples_share(float64, profile, windows):
    found = listed_position_weights(4, [1, 3, 3])
    assert found.tolist() == [0, 1, 0, 2] and found.dtype == np.float32
    assert listed_position_weights(4, [1, 3, 3], [1, 0.5, 0.5]).tolist() == [0, 1, 0, 1]
    # The padding mask may be per example or shared.
    assert listed_position_weights(4, [1, 3], [[1, 1], [1, 0]]).tolist() == [[0, 1, 0, 1], [0, 1, 0, 0]]
    assert listed_position_weights(4, [[1, 3], [0, 0]], [1, 0]).tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert listed_position_weights(4, []).tolist() == [0] * 4
    with pytest.raises(InputError, match="position -1 is out of range"):
        listed_position_weights(4, [1, -1])
    # The last batch is incomplete.
    network, x, listed = ScoredModel(profile(), 2), windows(N), [1, 2, 2, 9]
    shared = Score(MEAN, listed_position_weights(POSITIONS, listed))
    of_each = Score(MEAN, listed_position_weights(POSITIONS, [listed] * N))
    np.testing.assert_allclose(network.scores(x, [shared]), network.scores(x, [of_each]), rtol=1e-12)


def test_scores_of_single_examples_follow_the_rows(float64, profile, windows):
    score, x, model = SCORES["of each example"], windows(N), profile()
    network = ScoredModel(model, 2)
    rows = np.array([2, 2, 0])
    np.testing.assert_allclose(network.scores(x[rows], [score.take(rows)])[0], network.scores(x, [score])[0, rows])
    shared = SCORES["log mean"]
    assert np.array_equal(shared.take(rows).tasks, shared.tasks)


def test_mixed_precision_is_scored_in_float32(windows):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        layers = [keras.Input((20, 5)), keras.layers.Flatten(), keras.layers.Dense(2)]
        values, gradients = ScoredModel(keras.Sequential(layers), 4).gradients(windows(), [Score(np.ones(2))])
    finally:
        keras.config.set_dtype_policy(policy)
    assert (values.dtype, gradients.dtype) == (np.float32, np.float32)
