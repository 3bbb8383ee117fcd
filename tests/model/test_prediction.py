"""Predictions must not depend on batching, and must be averaged over all requested models and views."""

import itertools

import keras
import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from cisnake.errors import InputError
from cisnake.model import prediction
from cisnake.model.losses import parse_loss
from cisnake.model.prediction import WindowViews, predict_batches, score_predictions

LENGTH, TASKS, POSITIONS = 24, 4, 6
PAIR = [1, 0, 2, 3]


class Counted(keras.layers.Layer):
    """Records the input shape of every tracing."""

    def __init__(self, note):
        super().__init__()
        self.note = note

    def call(self, x):
        self.note(tuple(x.shape))
        return x


def network(seed=0, rank=2, depth=5, activation="softplus", seen=None):
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input((LENGTH, depth))
    x = Counted(seen.append)(x) if seen is not None else x
    x = keras.layers.Conv1D(TASKS, 4, strides=4, activation="tanh" if rank == 2 else activation)(x)
    if rank == 2:
        x = keras.layers.Dense(TASKS, activation=activation)(keras.layers.Flatten()(x))
    return keras.Model(inputs, x)


def windows(n, depth=5, seed=0):
    rng = np.random.default_rng(seed)
    bases = np.eye(5, 4, dtype=np.float32)[rng.integers(0, 5, (n, LENGTH))]
    body = (np.arange(LENGTH) >= rng.integers(0, LENGTH, (n, 1))).astype(np.float32)
    return np.concatenate([bases, body[..., None]], axis=-1)[..., :depth]


def dealt(values, size):
    return (values[first : first + size] for first in range(0, len(values), size))


def other_strand(window):
    """Reverse-complement one window, base by base."""
    turned = np.zeros_like(window)
    for at, row in enumerate(window):
        turned[LENGTH - 1 - at, [3, 2, 1, 0]] = row[:4]
        turned[LENGTH - 1 - at, 4:] = row[4:]
    return turned


def moved(window, shift):
    """Shift a window towards its end, base by base."""
    result = np.zeros_like(window)
    for at, row in enumerate(window):
        if 0 <= at + shift < LENGTH:
            result[at + shift] = row
    return result


def plain(models, x, views):
    """Average over models, shifts and strands, one window at a time, in float64."""
    of_windows = []
    for window in x:
        parts = []
        for model, shift in itertools.product(models, views.shifts):
            shown = moved(window, shift)
            parts.append(np.asarray(model(shown[None]), np.float64)[0])
            if views.reverse_complement:
                back = np.asarray(model(other_strand(shown)[None]), np.float64)[0]
                back = back[::-1] if back.ndim == 2 else back
                parts.append(back[..., views.strand_pair] if views.strand_pair else back)
        of_windows.append(np.mean(parts, axis=0))
    return np.array(of_windows)


VIEWS = {
    "as they are": WindowViews(),
    "shifts": WindowViews(shifts=(0, 3, -5)),
    "one shift": WindowViews(shifts=(2,)),
    "strands": WindowViews(reverse_complement=True),
    "all": WindowViews(shifts=(1, -2), reverse_complement=True, strand_pair=PAIR),
}


@pytest.mark.parametrize("rank", [2, 3])
@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("views", VIEWS.values(), ids=VIEWS)
def test_mean_over_all_views_of_all_models(rank, depth, views):
    models, x = [network(seed, rank, depth) for seed in (0, 1)], windows(5, depth)
    expected = plain(models, x, views)
    for size, batch_size in ((5, 8), (2, 2), (5, 2), (1, 3)):
        found = list(predict_batches(models, dealt(x, size), batch_size, views))
        assert [len(part) for part in found] == [min(size, 5 - first) for first in range(0, 5, size)]
        assert all(part.dtype == np.float32 for part in found)
        np.testing.assert_allclose(np.concatenate(found), expected, atol=1e-6)


def test_a_strand_symmetric_model_predicts_the_same_with_both_strands():
    one, x = network(rank=3), windows(6)
    inputs = keras.Input((LENGTH, 5))
    flipped = keras.layers.Concatenate()(
        [keras.ops.flip(keras.ops.flip(inputs[..., :4], 1), 2), keras.ops.flip(inputs[..., 4:], 1)]
    )
    symmetric = keras.Model(inputs, one(inputs) + keras.ops.flip(one(flipped), 1))
    alone, both = (
        np.concatenate(list(predict_batches([symmetric], [x], 6, views))) for views in (WindowViews(), VIEWS["strands"])
    )
    np.testing.assert_allclose(alone, both, atol=1e-6)


def test_each_model_is_traced_once_whatever_the_batches():
    seen = []
    models, x = [network(seed, seen=seen) for seed in (0, 1)], windows(11)
    seen.clear()
    for _ in range(2):
        list(predict_batches(models, [x[:4], x[4:5], x[:0], x], 4, VIEWS["all"]))
    assert seen == [(4, LENGTH, 5)] * 2


@pytest.mark.parametrize("rank", [2, 3])
def test_no_windows_give_no_predictions(rank):
    found = list(predict_batches([network(rank=rank)], [windows(0)], 4))
    assert [part.shape for part in found] == [(0, TASKS) if rank == 2 else (0, POSITIONS, TASKS)]


def test_mismatched_inputs_are_rejected():
    model, x = network(), windows(2)
    heads = keras.Model(model.input, {"head_a": model.output, "head_b": model.output})
    for models, batch, views, message in (
        ([model], x[:, 1:], WindowViews(), "windows of 24 bases and depth 5, but these have 23"),
        ([model], x[..., :4], WindowViews(), "depth 4"),
        ([heads], x, WindowViews(), "has 2 heads: choose one with"),
        ([model, network(rank=3)], x, WindowViews(), "cannot average 2 models: .* 2 different shapes"),
        ([], x, WindowViews(), "0 models"),
        ([model], x, WindowViews(strand_pair=[0, 1]), "each of the 4 tasks"),
        ([model], x, WindowViews(strand_pair=[1, 2, 0, 3]), "each of the 4 tasks"),
        ([model], x, WindowViews(strand_pair=[1, 0, 2, 4]), "each of the 4 tasks"),
        ([model], x, WindowViews(shifts=(24,)), "a shift of 24 bases is too large"),
        ([model], x, WindowViews(shifts=()), "shifts are empty"),
    ):
        with pytest.raises(InputError, match=message):
            list(predict_batches(models, [batch], 2, views))


def test_a_batch_is_predicted_before_the_next_is_read():
    events = []

    def batches():
        for size in (3, 1, 2):
            events.append(("read", size))
            yield windows(size)

    for predicted in predict_batches([network()], batches(), 2):
        events.append(("predicted", len(predicted)))
    assert events == [(what, size) for size in (3, 1, 2) for what in ("read", "predicted")]


def labels_of(n, rank, binary=False):
    rng = np.random.default_rng(1)
    true = rng.gamma(1.0, 1.0, (n, TASKS) if rank == 2 else (n, POSITIONS, TASKS)).astype(np.float32)
    true = (true > 0.7).astype(np.float32) if binary else true
    true[rng.random(true.shape) < 0.2] = np.nan
    true[3], true[..., 2] = np.nan, np.where(np.isnan(true[..., 2]), np.nan, 1.0)
    return true


@pytest.mark.parametrize(("label", "rank"), [("mse", 2), ("poisson", 3), ("poisson_mn", 3), ("task_poisson_mn", 2), ("bce", 2)])
def test_scores_by_target_are_those_of_all_at_once(label, rank):
    models = [network(seed, rank, activation="sigmoid") for seed in (0, 1)]
    x, true, loss = windows(40), labels_of(40, rank, label == "bce"), parse_loss(label)
    views = VIEWS["shifts"]
    predicted = plain(models, x, views).astype(np.float32)
    tables = [
        score_predictions(models, zip(dealt(x, size), dealt(true, size), dealt(x, size)), loss, 16, views) for size in (40, 7)
    ]
    for table, value in tables:
        np.testing.assert_allclose(value, np.mean(np.asarray(loss.call(true, predicted))), rtol=1e-5)
        extra = ["auroc", "auprc"] if label == "bce" else []
        assert list(table) == ["n", "pearsonr", "r2", *extra, "spearmanr", *(["loss"] if label != "task_poisson_mn" else [])]
        for target, row in table.iterrows():
            t, p = true[..., target].reshape(-1).astype(float), predicted[..., target].reshape(-1).astype(float)
            t, p = t[~np.isnan(t)], p[~np.isnan(t)]
            assert row["n"] == len(t)
            if "loss" in row:
                some = ~np.isnan(true[..., target].reshape(40, -1)).all(axis=1)
                alone = loss.call(true[some][..., [target]], predicted[some][..., [target]])
                np.testing.assert_allclose(row["loss"], np.mean(np.asarray(alone)), rtol=1e-5)
            if target == 2:
                assert row[["pearsonr", "r2", "spearmanr", *extra]].isna().all()
                continue
            np.testing.assert_allclose(row["pearsonr"], np.corrcoef(t, p)[0, 1], rtol=1e-4)
            np.testing.assert_allclose(row["spearmanr"], spearmanr(t, p).statistic, rtol=1e-5)
            np.testing.assert_allclose(row["r2"], 1 - ((t - p) ** 2).sum() / ((t - t.mean()) ** 2).sum(), rtol=1e-4)
            if extra:
                np.testing.assert_allclose(row["auroc"], roc_auc_score(t, p), atol=0.05)
    assert tables[0][0].equals(tables[1][0]) or np.allclose(tables[0][0], tables[1][0], rtol=1e-6, equal_nan=True)


def test_rank_correlations_of_many_positions_come_from_a_sample(monkeypatch):
    rng = np.random.default_rng(0)
    true = rng.normal(size=(60, 500, TASKS)).astype(np.float32)
    predicted = true + rng.normal(size=true.shape).astype(np.float32)
    samples = [prediction._RankSample(2000) for _ in range(2)]
    for sample, size in zip(samples, (60, 7), strict=True):
        for t, p in zip(dealt(true, size), dealt(predicted, size), strict=True):
            sample.add(t, p)
            assert len(sample._numbers) <= 2000
    first, second = (sample.correlations(TASKS) for sample in samples)
    np.testing.assert_allclose(first, second)
    whole = [spearmanr(true[..., i].ravel(), predicted[..., i].ravel()).statistic for i in range(TASKS)]
    np.testing.assert_allclose(first, whole, atol=0.06)


def test_scores_without_examples_are_nan():
    for batches in ([], [(windows(0), np.zeros((0, TASKS), np.float32))]):
        table, value = score_predictions([network()], batches, parse_loss("mse"))
        assert np.isnan(value) and table["n"].tolist() == [0] * TASKS and table.drop(columns="n").isna().all(axis=None)


def test_labels_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"labels have shape \(3, 2\), but predictions have shape \(3, 4\)"):
        score_predictions([network()], [(windows(3), np.zeros((3, 2)))], parse_loss("mse"))


def test_reverse_complement_and_shift_are_invertible():
    x = windows(3)
    np.testing.assert_array_equal(prediction.reverse_complement_one_hot(prediction.reverse_complement_one_hot(x)), x)
    back = prediction.shift_windows(prediction.shift_windows(x, 5), -5)
    np.testing.assert_array_equal(back[:, :-5], x[:, :-5])
    assert not back[:, -5:].any()
