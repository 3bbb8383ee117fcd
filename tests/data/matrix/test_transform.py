"""Labels equal a plain float64 definition of each transform, and the inverse restores them."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from keras import ops

from cisnake.data.matrix import transform as expression_transform
from cisnake.data.matrix.transform import KINDS, ExpressionTransform, check_kinds, fit_transform, transform_labels
from cisnake.errors import InputError

TRAIN = np.array([0, 2, 3, 5, 8, 13, 21, 34])


def matrix() -> np.ndarray:
    """Return counts of 40 genes in 6 tasks of very different depth; one is constant, one has missing values."""
    rng = np.random.default_rng(0)
    values = (rng.poisson(3, (40, 6)) * [1, 1003.7, 1, 1, 1, 1e-3] + [0, 1e6, 0, 0, 1, 0]).astype(np.float32)
    values[:, 3] = 0.1
    values[3:40:5, 4] = np.nan
    return values


LISTS = [
    ("log2_cpm", "zscore"),
    ("cpm", "log1p"),
    ("cpm", "log1p", "zscore"),
    ("log1p", "zscore"),
    ("cpm", "zscore"),
    ("none",),
]
CASES = [*KINDS, *LISTS]


def plain(kinds: str | tuple[str, ...], values: np.ndarray, train: np.ndarray = TRAIN) -> np.ndarray:
    x = values.astype(np.float64)
    cpm = 1e6 * x / np.nansum(x, axis=0)
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "zscore":
            sd = np.nanstd(x[train], axis=0)
            sd[3] = 1
            x = (x - np.nanmean(x[train], axis=0)) / sd
        elif kind == "log1p":
            x = np.log(1 + x)
        else:
            x = {"none": x, "cpm": cpm, "log1p_cpm": np.log(1 + cpm), "log2_cpm": np.log2(1 + cpm)}[kind]
    return x


@pytest.mark.parametrize("block", [1, 7, 10**6])
@pytest.mark.parametrize("kind", CASES)
def test_labels_equal_the_plain_definition(monkeypatch, kind, block):
    monkeypatch.setattr(expression_transform, "_BLOCK_CELLS", block)
    values = matrix()
    expected = plain(kind, values)
    transform = fit_transform(kind, values, TRAIN)
    labels = transform_labels(values.copy(), transform)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(np.isnan(labels), np.isnan(values))
    if "zscore" in transform.kinds:
        np.testing.assert_allclose(labels[:, 3], 0, atol=1e-12)


@pytest.mark.parametrize("kind", CASES)
def test_inverse_inverts_forward_after_json(kind):
    values = matrix()
    transform = fit_transform(kind, values, TRAIN)
    stored = json.loads(json.dumps(transform.to_dict()))
    assert stored["kind"] == (list(kind) if len(transform.kinds) > 1 else transform.kinds[0])
    back = ExpressionTransform.from_dict(stored)
    assert back == transform and hash(back) == hash(transform)
    x = values.astype(np.float64)
    np.testing.assert_allclose(back.inverse(back.forward(x)), x, rtol=1e-12, atol=1e-12)
    # Labels in single precision restore the matrix in single precision.
    single = back.inverse(transform_labels(values.copy(), transform))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, values, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("kind", CASES)
def test_tensors_give_the_results_of_arrays_in_their_precision(kind):
    values = matrix()
    transform = fit_transform(kind, values, TRAIN)
    # Z-scores of large numbers with little spread magnify the rounding of single precision.
    tolerance = 1e-3 if len(transform.kinds) > 1 else 1e-6
    tensor = transform.forward(ops.convert_to_tensor(values), ops)
    assert getattr(tensor.dtype, "name", tensor.dtype) == "float32"
    np.testing.assert_allclose(np.asarray(tensor), transform.forward(values), rtol=1e-5, atol=tolerance)
    back = transform.inverse(tensor, ops)
    np.testing.assert_allclose(np.asarray(back), transform.inverse(transform.forward(values)), rtol=1e-5, atol=1e-6)


FOLDS = np.arange(40) % 3


def trained(fold: int) -> np.ndarray:
    return np.flatnonzero((fold + 2) % 3 == FOLDS)


@pytest.mark.parametrize("kind", ["zscore", ("log2_cpm", "zscore"), ("log1p", "zscore")])
def test_each_fold_has_the_statistics_of_its_own_training_genes(kind):
    values = matrix()
    transform = fit_transform(kind, values, [trained(fold) for fold in range(3)])
    assert transform.n_folds == 3
    transform = ExpressionTransform.from_dict(json.loads(json.dumps(transform.to_dict())))
    expected = np.choose(FOLDS[:, None], [plain(kind, values, trained(fold)) for fold in range(3)])
    np.testing.assert_allclose(transform_labels(values.copy(), transform, FOLDS), expected, rtol=2e-6, atol=1e-6)
    x = values.astype(np.float64)
    for folds in (FOLDS, 1):
        np.testing.assert_allclose(transform.inverse(transform.forward(x, folds=folds), folds=folds), x, rtol=1e-11, atol=1e-11)
    with pytest.raises(InputError, match=r"the mean of transform .*zscore differs between folds: pass the folds"):
        transform.forward(x)
    # Its own genes, held out from a fold, do not influence its statistics.
    changed = values.copy()
    changed[FOLDS == 2] += 7
    changed[FOLDS == 0] += 7
    again = fit_transform("zscore", changed, [trained(fold) for fold in range(3)])
    before = fit_transform("zscore", values, [trained(fold) for fold in range(3)])
    assert again.mean[2] == before.mean[2] and again.sd[2] == before.sd[2]
    assert again.mean[0] != before.mean[0] and again.mean[1] != before.mean[1]


def test_one_fold_gives_the_statistics_of_a_run_without_folds():
    assert fit_transform("zscore", matrix(), [TRAIN]).to_dict() == fit_transform("zscore", matrix(), TRAIN).to_dict()


@pytest.mark.parametrize("kind", CASES)
def test_effects_are_differences_on_the_scale_of_the_matrix(kind):
    transform = fit_transform(kind, matrix(), TRAIN)
    rng = np.random.default_rng(3)
    reference, effects = rng.normal(1, 0.5, (40, 6)), rng.normal(0, 0.5, (40, 6))
    back = transform.inverse_effects(effects, reference)
    np.testing.assert_allclose(back, transform.inverse(reference + effects) - transform.inverse(reference), rtol=1e-6)
    # The measured difference between two genes is restored from labels, even if it is small.
    x = matrix()[np.isfinite(matrix()).all(axis=1)].astype(np.float64)
    y = x * (1 + 1e-6)
    labels = transform.forward(x)
    np.testing.assert_allclose(transform.inverse_effects(transform.forward(y) - labels, labels), y - x, rtol=1e-7, atol=1e-7)


def test_tiny_effects_keep_their_precision():
    transform = ExpressionTransform(["log2_cpm", "zscore"], mean=[3.0], sd=[2.0], library=[2e6])
    effect = transform.inverse_effects(np.array([[1e-12]]), np.array([[1.5]]))
    assert effect.item() == pytest.approx(2 * 2**6 * np.log(2) * 2e-12, rel=1e-9)


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        ([], "is an empty list"),
        (["zscore", "zscore"], "has zscore twice: remove one"),
        (["cpm", "cpm"], "has cpm twice"),
        (["log1p", "cpm"], "has cpm after log1p, but counts per million cannot be computed from logarithms"),
        (["log2_cpm", "log1p_cpm"], "has log1p_cpm after log2_cpm, but counts per million"),
        (["log1p_cpm", "log1p"], "has log1p after log1p_cpm, which already takes the logarithm: remove log1p"),
        (["cpm", "log2_cpm"], "has log2_cpm after cpm, which would divide by the library size twice: remove cpm"),
        (["zscore", "cpm"], "has cpm after zscore: put zscore last"),
        (["log1p", "zscore", "log1p"], "has log1p after zscore"),
        (["none", "zscore"], "has none in a list with others: remove none"),
        (["log2_cpm", "none"], "has none in a list with others"),
        (["log2", "zscore"], "'log2'.*did you mean"),
    ],
)
def test_lists_without_sense_are_refused_before_the_matrix_is_read(kinds, message):
    with pytest.raises(InputError, match=message) as refused:
        check_kinds(kinds)
    assert str(refused.value).count(". ") == 0
    with pytest.raises(InputError, match=message):
        fit_transform(kinds, matrix(), TRAIN)


def test_statistics_use_training_genes_and_libraries_use_all_genes():
    values, changed = matrix(), matrix()
    held_out = np.setdiff1d(np.arange(40), TRAIN)
    changed[held_out] *= 100
    assert fit_transform("zscore", changed, TRAIN) == fit_transform("zscore", values, TRAIN)
    assert fit_transform("cpm", changed, TRAIN) != fit_transform("cpm", values, TRAIN)
    assert fit_transform("cpm", values, TRAIN[:2]) == fit_transform("cpm", values, TRAIN)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_transformed_like_double_precision(kind, dtype):
    values = np.random.default_rng(1).poisson(3, (40, 6)).astype(dtype)
    transform = fit_transform(kind, values.astype(np.float32), TRAIN)
    # NumPy computes log1p of bytes in half precision.
    np.testing.assert_allclose(transform.forward(values), transform.forward(values.astype(np.float64)), rtol=1e-3)


@pytest.mark.parametrize("kind", ["cpm", "log1p_cpm", "log1p", "zscore"])
def test_counts_per_million_of_non_integers_give_a_warning(kind, caplog, monkeypatch):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    monkeypatch.setattr(expression_transform, "_BLOCK_CELLS", 12)
    counts = np.random.default_rng(1).poisson(3, (40, 6)).astype(np.float32)
    counts[3, 4] = np.nan
    fit_transform(kind, counts, TRAIN)
    assert "non-integer values" not in caplog.text
    counts[20, 2] = 0.5
    fit_transform(kind, counts, TRAIN)
    assert ("targets.layer" in caplog.text) == ("cpm" in kind)


def test_counts_per_million_sum_to_a_million():
    labels = transform_labels(matrix(), fit_transform("cpm", matrix(), TRAIN))
    np.testing.assert_allclose(np.nansum(labels, axis=0, dtype=np.float64), 1e6, rtol=1e-6)


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize("kind", ["log1p", "cpm", "log1p_cpm", "log2_cpm"])
def test_negative_values_are_named(monkeypatch, kind, block):
    monkeypatch.setattr(expression_transform, "_BLOCK_CELLS", block)
    values = matrix()
    values[17, 2] = -0.5
    genes, tasks = pd.Index([f"g{i}" for i in range(40)]), list("abcdef")
    with pytest.raises(InputError, match=rf"{kind} requires counts, but gene g17, task c of the matrix is -0\.5"):
        fit_transform(kind, values, TRAIN, genes, tasks)
    fit_transform("zscore", values, TRAIN, genes, tasks)


def test_tasks_without_statistics_are_named():
    values = matrix()
    values[:, 5] = 0
    with pytest.raises(InputError, match="task f of the matrix has no counts"):
        fit_transform("log1p_cpm", values, TRAIN, None, list("abcdef"))
    values[TRAIN, 4] = np.nan
    with pytest.raises(InputError, match="task e has no value in any training gene"):
        fit_transform("zscore", values, TRAIN, None, list("abcdef"))
    with pytest.raises(InputError, match="task e has no value in any training gene of fold 1:"):
        fit_transform(["log1p", "zscore"], values, [np.arange(40), TRAIN], None, list("abcdef"))


def test_overflow_of_single_precision_is_an_error():
    values = np.float32([[3e38, 1], [0, 1e-30]])
    with pytest.raises(InputError, match="exceed the range"):
        transform_labels(values, ExpressionTransform("cpm", library=[1e-3, 1.0]))


@pytest.mark.parametrize(
    ("stored", "message"),
    [
        ({"kind": "zscores"}, "'zscores': did you mean zscore"),
        ({"kind": "zscore", "mean": [1.0]}, "zscore needs sd"),
        ({"kind": "log1p", "mean": [1.0]}, "log1p has no mean"),
        ({"kind": "zscore", "mean": [1.0], "sd": [0.0]}, "sd of transform zscore must be finite and above 0"),
        ({"kind": "zscore", "mean": [np.nan], "sd": [1.0]}, "mean of transform zscore must be finite"),
        ({"kind": "zscore", "mean": [1.0], "sd": [1.0, 2.0]}, "1 means and 2 standard"),
        ({"kind": "cpm", "library": [-1.0]}, "library of transform cpm must be finite and above 0"),
    ],
)
def test_invalid_transforms_are_errors(stored, message):
    with pytest.raises(InputError, match=message):
        ExpressionTransform.from_dict(stored)


def test_no_tensorflow_is_needed():
    code = "import sys; sys.path.insert(0, 'scripts'); import cisnake.data.matrix.transform, cisnake.data.matrix.measurements, "
    code += "cisnake.data.matrix.pseudobulks; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("block", [6, 10**6])
def test_the_library_is_over_all_rows_or_over_annotated_genes(caplog, monkeypatch, block):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    monkeypatch.setattr(expression_transform, "_BLOCK_CELLS", block)
    values = np.array([[60, 80, 10], [30, np.nan, 70], [5, 1, 11], [5, 19, 9]], np.float32)
    genes, annotated = pd.Index(["a", "b", "ERCC-1", "ERCC-2"]), np.array([True, True, False, False])
    given = ("cpm", values, np.arange(2), genes, None, annotated)
    # 10, 20 and 20 % of the counts.
    assert fit_transform(*given).library == (100, 100, 100)
    assert (
        "2 ids that the annotation lacks, most of all ERCC-2, ERCC-1, hold 20 % of the counts of the median task" in caplog.text
    )
    assert "between 10 % and 20 %" in caplog.text and "set targets.library to annotation" in caplog.text
    caplog.clear()
    assert fit_transform(*given, only_annotated=True).library == (90, 80, 80)
    values[2:] /= 4
    fit_transform(*given)
    fit_transform("cpm", values, np.arange(2), genes)
    assert "annotation lacks" not in caplog.text
    with pytest.raises(InputError, match="task 1 of the matrix has no counts"):
        fit_transform("cpm", values, np.arange(2), genes, None, np.array([False, True, False, False]), only_annotated=True)
