"""Metrics must equal their definitions, also for extreme values and however examples are split into batches."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from cisnake.errors import InputError
from cisnake.model.losses import BinaryCrossentropy, MeanSquaredError
from cisnake.model.metrics import R2, GenePearsonR, PearsonR, SeqAUC, SpearmanR


def plain(kind, true, predicted):
    """Compute each target (last axis) by the definition in float64; NaN where undefined."""
    true, predicted = (np.asarray(a, np.float64).reshape(-1, a.shape[-1]) for a in (true, predicted))
    values = []
    for t, p in zip(true.T, predicted.T):
        t, p = t[~np.isnan(t)], p[~np.isnan(t)]
        if len(t) < 2 or np.ptp(t) == 0 or (kind is PearsonR and np.ptp(p) == 0):
            values.append(np.nan)
        elif kind is PearsonR:
            values.append(pearsonr(t, p)[0])
        else:
            values.append(1 - ((t - p) ** 2).sum() / ((t - t.mean()) ** 2).sum())
    return np.array(values)


def examples(shape=(50, 4), seed=0):
    rng = np.random.default_rng(seed)
    true = rng.normal(size=shape).astype(np.float32)
    return true, (0.6 * true + rng.normal(size=shape)).astype(np.float32)


def result(kind, true, predicted, summarize=False, **kwargs):
    metric = kind(true.shape[-1], summarize=summarize)
    metric.update_state(true, predicted, **kwargs)
    return np.asarray(metric.result())


both = pytest.mark.parametrize("kind", [PearsonR, R2])


@both
@pytest.mark.parametrize("shape", [(50, 4), (10, 7, 4)])
def test_value_equals_the_definition(kind, shape):
    true, predicted = examples(shape)
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-9)
    np.testing.assert_allclose(result(kind, true, predicted, summarize=True), plain(kind, true, predicted).mean(), rtol=1e-9)


@both
def test_missing_labels_are_left_out(kind):
    true, predicted = examples()
    true[np.random.default_rng(1).random(true.shape) < 0.4] = np.nan
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-9)


@both
def test_mean_a_thousand_times_the_spread(kind):
    true, predicted = (array + np.float32(1000) for array in examples((5000, 3)))
    assert predicted.dtype == np.float32
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-6)


@both
def test_one_huge_outlier(kind):
    true, predicted = examples((2000, 2))
    true[7, 0] = predicted[9, 0] = 1e6
    predicted[7, 1] = 1e6
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-6, atol=1e-9)


@both
def test_constant_labels_are_undefined_and_left_out_of_the_mean(kind):
    true, predicted = examples()
    # The square of 0.1 is not exact: rounding errors must not count as variance.
    true[:, 1] = 0.1
    values = result(kind, true, predicted)
    assert np.isnan(values[1])
    assert np.isfinite(values[[0, 2, 3]]).all()
    np.testing.assert_allclose(result(kind, true, predicted, summarize=True), np.nanmean(plain(kind, true, predicted)))


@both
def test_a_variance_of_rounding_errors_is_zero(kind):
    true, predicted = examples((50, 1))
    constant = np.float32(1000) + np.spacing(np.float32(1000)) * (true > 0)
    assert len(np.unique(constant)) == 2
    assert np.isnan(result(kind, constant.astype(np.float32), predicted))


def test_constant_predictions_have_value_zero():
    true, predicted = examples()
    predicted[:, 2] = np.float32(0.1)
    assert result(PearsonR, true, predicted)[2] == 0
    np.testing.assert_allclose(result(R2, true, predicted), plain(R2, true, predicted), rtol=1e-9)


@both
def test_no_defined_target_gives_nan(kind):
    true, predicted = np.full((9, 3), 0.1, np.float32), examples((9, 3))[1]
    assert np.isnan(result(kind, true, predicted, summarize=True))
    assert np.isnan(kind(3).result())
    assert np.isnan(result(kind, np.full((9, 3), np.nan, np.float32), predicted, summarize=True))


@both
def test_outlier_of_1e12_and_mean_far_above_spread(kind):
    true, predicted = examples((2000, 4))
    true[3, 0] = predicted[3, 1] = true[3, 2] = predicted[3, 2] = 1e12
    true[:, 3], predicted[:, 3] = true[:, 3] * 1e-3 + 1, predicted[:, 3] * 1e-3 + 1
    np.testing.assert_allclose(result(kind, true, predicted), plain(kind, true, predicted), rtol=1e-6, atol=1e-9)


@both
def test_a_hundred_million_positions(kind):
    true, predicted = (values + np.float32(100) for values in examples((10_000, 2)))
    metric = kind(2, summarize=False)
    state = metric.stateless_update_state([np.zeros((6, 2))], true, predicted)[0]
    total = np.zeros((6, 2))
    for _ in range(10_000):
        total += state
    np.testing.assert_allclose(metric.stateless_result([total]), plain(kind, true, predicted), rtol=1e-6)


def plain_genes(true, predicted):
    """Compute the correlation of every row across targets; NaN for constant labels, 0 if only predictions are constant."""
    values = []
    for t, p in zip(*(np.asarray(a, np.float64).reshape(-1, a.shape[-1]) for a in (true, predicted))):
        t, p = t[~np.isnan(t)], p[~np.isnan(t)]
        values.append(np.nan if len(t) < 2 or np.ptp(t) == 0 else 0 if np.ptp(p) == 0 else pearsonr(t, p)[0])
    return np.array(values)


EDGES = np.linspace(-2, 2, 41)
# Name -> (function that creates a metric of 4 targets, function that converts labels for it).
METRICS = {
    "pearson": (lambda **kw: PearsonR(4, **kw), lambda true: true),
    "r2": (lambda **kw: R2(4, **kw), lambda true: true),
    "roc": (lambda **kw: SeqAUC("ROC", num_targets=4, **kw), lambda true: np.where(np.isnan(true), true, true > 0.3)),
    "pr": (lambda **kw: SeqAUC("PR", num_targets=4, **kw), lambda true: np.where(np.isnan(true), true, true > 0.3)),
    "spearman": (lambda **kw: SpearmanR(4, EDGES, **kw), lambda true: true),
    "genes": (lambda summarize=True, **kw: GenePearsonR(4, **kw), lambda true: true),
}
every = pytest.mark.parametrize("name", METRICS)


def case(name, shape=(50, 4), summarize=False):
    """Return a metric with labels, some of them missing, and predictions between 0 and 1."""
    make, labels = METRICS[name]
    true, predicted = examples(shape)
    true[np.random.default_rng(5).random(shape) < 0.2] = np.nan
    return make(summarize=summarize), labels(true).astype(np.float32), (1 / (1 + np.exp(-predicted))).astype(np.float32)


def whole(name, **kwargs):
    metric, true, predicted = case(name, **kwargs)
    metric.update_state(true, predicted)
    return np.asarray(metric.result())


@every
@pytest.mark.parametrize("size", [9, 49])
def test_batches_of_any_size_give_the_same(name, size):
    metric, true, predicted = case(name)
    metric.update_state(true[:0], predicted[:0])
    for first in range(0, len(true), size):
        metric.update_state(true[first : first + size], predicted[first : first + size])
    np.testing.assert_allclose(metric.result(), whole(name), rtol=1e-12)


@every
@pytest.mark.parametrize("how", [tf.function, tf.function(jit_compile=True)], ids=["graph", "xla"])
@pytest.mark.parametrize("shape", [(50, 4), (10, 5, 4)], ids=["rank2", "rank3"])
def test_stateless_parts_add_up_when_compiled(name, how, shape):
    metric, true, predicted = case(name, shape)
    zeros = [np.zeros(variable.shape) for variable in metric.variables]
    assert all(variable.dtype == "float64" and not np.asarray(variable).any() for variable in metric.variables)

    @how
    def part(true, predicted):
        return metric.stateless_update_state(zeros, true, predicted)

    half = len(true) // 2
    states = zip(part(true[:half], predicted[:half]), part(true[half:], predicted[half:]))
    total = [np.asarray(a) + np.asarray(b) for a, b in states]
    np.testing.assert_allclose(how(metric.stateless_result)(total), whole(name, shape=shape), rtol=1e-10)
    assert not np.asarray(metric.sums).any()


@every
@pytest.mark.parametrize("scale", [1.0, 1e-4])
@pytest.mark.parametrize("shape", [(50, 4), (50, 2, 4)])
def test_whole_weights_repeat_examples_and_only_their_ratios_count(name, scale, shape):
    metric, true, predicted = case(name, shape)
    weight = np.random.default_rng(2).integers(0, 3, 50)
    metric.update_state(true, predicted, sample_weight=weight * scale)
    repeated = case(name, shape)[0]
    repeated.update_state(np.repeat(true, weight, axis=0), np.repeat(predicted, weight, axis=0))
    np.testing.assert_allclose(metric.result(), repeated.result(), rtol=1e-6)


@every
def test_half_precision_predictions(name):
    metric, true, predicted = case(name)
    metric.update_state(true, tf.constant(predicted.astype(np.float16)))
    same, _, _ = case(name)
    same.update_state(true, predicted.astype(np.float16).astype(np.float64))
    np.testing.assert_allclose(metric.result(), same.result(), rtol=1e-12)


@every
def test_no_examples_or_no_labels_give_nan(name):
    metric, true, predicted = case(name, summarize=True)
    assert np.isnan(metric.result())
    metric.update_state(true[:0], predicted[:0])
    metric.update_state(np.full_like(true, np.nan), predicted)
    assert np.isnan(metric.result())


@every
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_only_non_finite_predictions_with_a_label_give_nan(name, value):
    metric, true, predicted = case(name, summarize=True)
    unmeasured = np.isnan(true)
    metric.update_state(true, np.where(unmeasured, np.resize([np.nan, np.inf, 7.0], true.shape), predicted))
    np.testing.assert_allclose(metric.result(), whole(name, summarize=True), rtol=1e-12)
    predicted[tuple(np.argwhere(~unmeasured)[0])] = value
    metric.reset_state()
    metric.update_state(true, predicted)
    assert np.isnan(metric.result())


@pytest.mark.parametrize("name", [name for name in METRICS if name != "genes"])
def test_a_constant_target_is_left_out_and_counted(name):
    metric, true, predicted = case(name)
    true[:, 1] = np.where(np.isnan(true[:, 1]), np.nan, 1.0)
    metric.update_state(true, predicted)
    values = np.asarray(metric.result())
    assert np.isnan(values).tolist() == [False, True, False, False]
    assert np.asarray(metric.defined()).tolist() == [True, False, True, True]
    metric.summarize = True
    np.testing.assert_allclose(metric.result(), np.nanmean(values))


@every
def test_reset_clears_the_state(name):
    metric, true, predicted = case(name)
    metric.update_state(true, predicted**2)
    metric.reset_state()
    metric.update_state(true, predicted)
    np.testing.assert_allclose(metric.result(), whole(name))


@every
def test_config_round_trip(name):
    for summarize in (True, False):
        metric = METRICS[name][0](summarize=summarize, name="mine")
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is type(metric) and again.name == "mine" and again.get_config() == metric.get_config()
        _, true, predicted = case(name)
        for one in (metric, again):
            one.update_state(true, predicted)
        np.testing.assert_array_equal(again.result(), metric.result())


@every
def test_names_are_those_of_the_field(name):
    names = {"pearson": "pearsonr", "roc": "auroc", "pr": "auprc", "spearman": "spearmanr", "genes": "gene_pearsonr"}
    assert METRICS[name][0]().name == names.get(name, name)


@pytest.mark.parametrize("curve", ["ROC", "PR"])
@pytest.mark.parametrize("thresholds", [2, 11, 200])
def test_areas_are_those_of_keras(curve, thresholds):
    rng = np.random.default_rng(0)
    # With 11 thresholds, predictions lie exactly on them.
    predicted = (rng.integers(0, 11, (30, 6, 3)) / 10).astype(np.float32) if thresholds == 11 else rng.random((30, 6, 3))
    true = (rng.random((30, 6, 3)) < 0.2 + 0.6 * predicted).astype(np.float32)
    found = SeqAUC(curve, num_targets=3, num_thresholds=thresholds)
    known = keras.metrics.AUC(curve=curve, multi_label=True, num_thresholds=thresholds)
    found.update_state(true, predicted)
    known.update_state(true.reshape(-1, 3), predicted.reshape(-1, 3))
    np.testing.assert_allclose(found.result(), known.result(), rtol=1e-5)


def test_areas_with_fine_thresholds_are_those_of_scikit_learn():
    _, true, predicted = case("roc", (4000, 4))
    for curve, plain_area, tolerance in (("ROC", roc_auc_score, 1e-5), ("PR", average_precision_score, 2e-3)):
        metric = SeqAUC(curve, summarize=False, num_targets=4, num_thresholds=20_000)
        metric.update_state(true, predicted)
        expected = [plain_area(t[~np.isnan(t)], p[~np.isnan(t)]) for t, p in zip(true.T, predicted.T)]
        np.testing.assert_allclose(metric.result(), expected, atol=tolerance)


def test_areas_count_beyond_single_precision():
    metric = SeqAUC("ROC", num_targets=1, num_thresholds=3)
    for true, predicted, times in ((1, 0.9, 3e9), (0, 0.9, 1), (0, 0.1, 1)):
        metric.update_state(np.full((1, 1), true), np.full((1, 1), predicted), sample_weight=[times])
    metric.update_state(np.ones((1, 1)), np.full((1, 1), 0.9))
    assert np.asarray(metric.sums)[0].sum() == 3e9 + 1
    np.testing.assert_allclose(metric.result(), 0.75)


@pytest.mark.parametrize("arguments", [{"curve": "roc"}, {"num_thresholds": 1}])
def test_other_curves_are_refused(arguments):
    with pytest.raises(InputError, match=r"curve 'roc': did you mean|num_thresholds is 1"):
        SeqAUC(**({"num_targets": 2} | arguments))


def plain_ranks(true, predicted):
    flat = [np.asarray(a, np.float64).reshape(-1, a.shape[-1]).T for a in (true, predicted)]
    return [spearmanr(t[~np.isnan(t)], p[~np.isnan(t)]).statistic for t, p in zip(*flat)]


@pytest.mark.parametrize("shape", [(300, 3), (60, 5, 3)])
def test_rank_correlation_is_exact_if_every_value_has_its_own_bin(shape):
    rng = np.random.default_rng(0)
    true, other = (rng.integers(0, [2, 5, 20], shape).astype(np.float32) for _ in range(2))
    predicted = np.where(rng.random(shape) < 0.5, true, other)
    true[rng.random(shape) < 0.2] = np.nan
    shared = SpearmanR(3, np.arange(30), summarize=False)
    of_target = SpearmanR.from_labels(true, summarize=False)
    for metric in (shared, of_target):
        metric.update_state(true, predicted)
        np.testing.assert_allclose(metric.result(), plain_ranks(true, predicted), rtol=1e-12)


def test_rank_correlation_with_values_on_an_edge():
    metric = SpearmanR(1, [0.5], summarize=False)
    true, predicted = np.array([[0.0], [1], [1], [0.5]]), np.array([[0.1], [0.9], [0.2], [0.9]])
    metric.update_state(true, predicted)
    np.testing.assert_allclose(metric.result(), spearmanr([0, 1, 1, 0], [0, 1, 0, 1]).statistic, atol=1e-12)


@pytest.mark.parametrize("labels", ["normal", "log-normal", "counts"])
@pytest.mark.parametrize(("bins", "spread", "loss"), [(64, 1.0, 0.001), (64, 0.1, 0.06), (256, 1.0, 5e-4), (256, 0.1, 0.005)])
def test_error_of_binning_is_as_documented(labels, bins, spread, loss):
    rng = np.random.default_rng(1)
    z = rng.normal(size=(5000, 3))
    y = [0.3, 0.7, 0.95] * z + np.sqrt(1 - np.square([0.3, 0.7, 0.95])) * rng.normal(size=z.shape)
    true = {"normal": z, "log-normal": np.exp(z), "counts": rng.poisson(np.exp(z))}[labels]
    predicted = y if labels == "normal" else np.exp(y)
    predicted = predicted.mean(axis=0) + spread * (predicted - predicted.mean(axis=0))
    metric = SpearmanR.from_labels(true, bins, summarize=False)
    metric.update_state(true, predicted)
    lost = np.array(plain_ranks(true, predicted)) - np.asarray(metric.result())
    assert (lost < loss).all() and (lost > -0.001).all()


def test_edges_from_labels_are_whole_and_ascending():
    labels = np.full((50, 5), np.nan)
    labels[:, 1] = 3
    labels[:, 2] = np.arange(50) % 2
    labels[:, 3] = np.maximum(np.arange(50) - 30, 0)
    labels[:7, 4] = 1e12
    metric = SpearmanR.from_labels(labels, 8, summarize=False)
    assert metric.edges.shape == (5, 7) and np.isfinite(metric.edges).all() and (np.diff(metric.edges) >= 0).all()
    # With only two distinct labels, predictions between them still get different bins.
    assert len(np.unique(metric.edges[2])) == 7
    metric.update_state(labels, labels)
    np.testing.assert_allclose(metric.result(), [np.nan, np.nan, 1, 1, np.nan])


@pytest.mark.parametrize("edges", [[], [1.0, 0.0], [0.0, np.inf], [np.nan], np.zeros((3, 2)), 1.0])
def test_other_edges_are_refused(edges):
    with pytest.raises(InputError, match="edges"):
        SpearmanR(2, edges)


@pytest.mark.parametrize("shape", [(50, 4), (10, 5, 4)])
@pytest.mark.parametrize("offset", [0, 1000])
def test_genes_are_correlated_across_tasks(shape, offset):
    true, predicted = (values + np.float32(offset) for values in examples(shape))
    true[np.random.default_rng(1).random(shape) < 0.4] = np.nan
    true[2], true[3], predicted[4] = 0.1, np.nan, 0.1
    expected = plain_genes(true, predicted)
    metric = GenePearsonR(4)
    metric.update_state(true, predicted)
    np.testing.assert_allclose(metric.result(), np.nanmean(expected), rtol=1e-9)
    assert float(metric.undefined()) == np.isnan(expected).sum() > 0


@pytest.mark.parametrize("targets", [3, 6, 7, 10, 49])
def test_genes_with_constant_labels_whose_mean_is_rounded(targets):
    metric = GenePearsonR(targets)
    metric.update_state(np.full((2, targets), [[0.1], [1e6 + 0.1]]), np.random.default_rng(0).normal(size=(2, targets)))
    assert np.isnan(metric.result()) and float(metric.undefined()) == 2


def test_in_fit_evaluate_and_a_saved_model(tmp_path):
    x, (true, _) = np.random.default_rng(3).normal(size=(50, 6)).astype(np.float32), examples((50, 3))
    true[::4, 1] = np.nan
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3)])
    metrics = [PearsonR(3, name="r"), R2(3), SpearmanR(3, EDGES), GenePearsonR(3)]
    model.compile("sgd", MeanSquaredError(), metrics=metrics, run_eagerly=True)
    history = model.fit(x, true, validation_data=(x, true), batch_size=16, epochs=2, verbose=0).history
    model.save(tmp_path / "model.keras")
    predicted = model.predict(x, verbose=0)
    for at in (model, keras.saving.load_model(tmp_path / "model.keras")):
        scores = at.evaluate(x, true, batch_size=16, verbose=0, return_dict=True)
        for name, kind in (("r", PearsonR), ("r2", R2)):
            np.testing.assert_allclose(scores[name], plain(kind, true, predicted).mean(), rtol=1e-5)
        np.testing.assert_allclose(scores["gene_pearsonr"], np.nanmean(plain_genes(true, predicted)), rtol=1e-5)
        for name in ("r", "r2", "spearmanr", "gene_pearsonr"):
            np.testing.assert_allclose(history[f"val_{name}"][-1], scores[name], rtol=1e-5)


def test_areas_in_a_saved_model(tmp_path):
    x, true = np.random.default_rng(3).normal(size=(50, 6)).astype(np.float32), (examples((50, 3))[0] > 0).astype(np.float32)
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, "sigmoid")])
    model.compile(
        "sgd", BinaryCrossentropy(), metrics=[SeqAUC("ROC", num_targets=3), SeqAUC("PR", num_targets=3)], run_eagerly=True
    )
    scores = model.evaluate(x, true, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras").evaluate(x, true, verbose=0, return_dict=True) == scores
    np.testing.assert_allclose(scores["auroc"], roc_auc_score(true, model.predict(x, verbose=0)), atol=0.02)
