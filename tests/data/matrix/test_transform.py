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
from cisnake.data.matrix.transform import KINDS, ExpressionTransform, fit_transform, transform_labels
from cisnake.errors import InputError

TRAIN = np.array([0, 2, 3, 5, 8, 13, 21, 34])


def matrix() -> np.ndarray:
    """Return counts of 40 genes in 6 tasks of very different depth; one is constant, one has missing values."""
    rng = np.random.default_rng(0)
    values = (rng.poisson(3, (40, 6)) * [1, 1003.7, 1, 1, 1, 1e-3] + [0, 1e6, 0, 0, 1, 0]).astype(np.float32)
    values[:, 3] = 0.1
    values[3:40:5, 4] = np.nan
    return values


def plain(kind: str, values: np.ndarray) -> np.ndarray:
    x = values.astype(np.float64)
    if kind == "zscore":
        sd = np.nanstd(x[TRAIN], axis=0)
        sd[3] = 1
        return (x - np.nanmean(x[TRAIN], axis=0)) / sd
    cpm = 1e6 * x / np.nansum(x, axis=0)
    return {"none": x, "log1p": np.log(1 + x), "cpm": cpm, "log1p_cpm": np.log(1 + cpm)}[kind]


@pytest.mark.parametrize("block", [1, 7, 10**6])
@pytest.mark.parametrize("kind", KINDS)
def test_labels_equal_the_plain_definition(monkeypatch, kind, block):
    monkeypatch.setattr(expression_transform, "_BLOCK_CELLS", block)
    values = matrix()
    expected = plain(kind, values)
    transform = fit_transform(kind, values, TRAIN)
    labels = transform_labels(values.copy(), transform)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels, expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(np.isnan(labels), np.isnan(values))
    if kind == "zscore":
        np.testing.assert_array_equal(labels[:, 3], 0)


@pytest.mark.parametrize("kind", KINDS)
def test_inverse_inverts_forward_after_json(kind):
    values = matrix()
    transform = fit_transform(kind, values, TRAIN)
    stored = json.loads(json.dumps(transform.to_dict()))
    assert stored["kind"] == kind
    back = ExpressionTransform.from_dict(stored)
    assert back == transform and hash(back) == hash(transform)
    x = values.astype(np.float64)
    np.testing.assert_allclose(back.inverse(back.forward(x)), x, rtol=1e-12, atol=1e-12)
    # Labels in single precision restore the matrix in single precision.
    single = back.inverse(transform_labels(values.copy(), transform))
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, values, rtol=3e-6, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_tensors_give_the_results_of_arrays_in_their_precision(kind):
    values = matrix()
    transform = fit_transform(kind, values, TRAIN)
    tensor = transform.forward(ops.convert_to_tensor(values), ops)
    assert tensor.dtype.name == "float32"
    np.testing.assert_allclose(np.asarray(tensor), transform.forward(values), rtol=1e-5, atol=1e-6)
    back = transform.inverse(tensor, ops)
    np.testing.assert_allclose(np.asarray(back), transform.inverse(transform.forward(values)), rtol=1e-5, atol=1e-6)


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
@pytest.mark.parametrize("kind", ["log1p", "cpm", "log1p_cpm"])
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
