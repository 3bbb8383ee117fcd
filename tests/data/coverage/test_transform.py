import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from keras import ops

from cisnake.data.coverage.transform import TargetTransform, transform_of
from cisnake.errors import InputError

CASES = [
    TargetTransform(),
    TargetTransform(scale=0.01, power=0.75, clip_soft=2.0),
    TargetTransform(scale=0.5, power=0.5, clip_soft=1.5, order="old"),
    TargetTransform(scale=(1.0, 0.1, 2.0), power=(1.0, 0.75, 0.5), clip_soft=(np.inf, 3.0, 1.0)),
    TargetTransform(scale=(1.0, 0.1, 2.0), power=(1.0, 0.75, 0.5), clip_soft=(np.inf, 3.0, 1.0), order="old"),
]


def coverage(kind=np.float64):
    values = np.concatenate([np.zeros((1, 3)), np.random.default_rng(0).gamma(0.5, 20, (200, 3)), np.full((1, 3), 1e4)])
    return values.astype(kind)


@pytest.mark.parametrize("transform", CASES)
def test_inverse_inverts_forward(transform):
    values = coverage()
    transformed = transform.forward(values)
    np.testing.assert_allclose(transform.inverse(transformed), values, rtol=1e-9, atol=1e-9)
    order = np.argsort(values, axis=0)
    assert (np.diff(np.take_along_axis(transformed, order, axis=0), axis=0) >= 0).all(), "the transform is monotonic"


@pytest.mark.parametrize("transform", CASES)
def test_tensors_give_the_results_of_arrays_in_their_precision(transform):
    values = coverage(np.float32)
    for direction in (transform.forward, transform.inverse):
        expected, found = direction(values), direction(ops.convert_to_tensor(values), ops)
        assert expected.dtype == np.float32
        assert found.dtype.name == "float32"
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


def test_order_of_steps():
    x = np.array([[7.0]])
    new = TargetTransform(scale=2.0, power=0.5, clip_soft=1.5)
    root = np.sqrt(1 + 2 * 7) - 1
    np.testing.assert_allclose(new.forward(x), 1.5 - 1 + np.sqrt(root - 1.5 + 1))
    old = TargetTransform(scale=2.0, power=0.5, clip_soft=1.5, order="old")
    np.testing.assert_allclose(old.forward(x), 2 * (1.5 + np.sqrt(np.sqrt(7) - 1.5)))
    # Below the soft clip only scale and power apply.
    np.testing.assert_allclose(new.forward(np.array([[0.5]])), np.sqrt(2) - 1)
    # In single precision 1 + 1e-9 is 1.
    np.testing.assert_allclose(new.inverse(new.forward(np.array([[1e-9]], np.float32))), 1e-9, rtol=1e-5)
    np.testing.assert_allclose(old.forward(np.array([[0.25]])), 1.0)


def test_invalid_transforms_are_errors():
    with pytest.raises(InputError, match="unknown order of a target transform 'olde': did you mean old"):
        TargetTransform(order="olde")
    with pytest.raises(InputError, match=r"scale .* must be above 0"):
        TargetTransform(scale=(1.0, 0.0))
    with pytest.raises(InputError, match=r"power .* must be above 0"):
        TargetTransform(power=-1.0)


def test_lists_and_arrays_are_supported_and_comparable():
    assert TargetTransform(scale=[1, 2]) == TargetTransform(scale=np.array([1.0, 2.0]))
    assert hash(TargetTransform(scale=[1, 2])) == hash(TargetTransform(scale=(1.0, 2.0)))


def test_no_tensorflow_is_needed():
    code = (
        "import sys; sys.path.insert(0, 'scripts'); import cisnake.data.coverage.transform; print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_power_of_one_changes_nothing():
    values = np.array([[-50.0, -50.0, 3.0], [12345.678, 1e6 + 0.1, 0.0]])
    for power in (1.0, (1.0, 1.0, 1.0), (1.0, 1.0, 0.5)):
        transform = TargetTransform(power=power)
        np.testing.assert_array_equal(transform.forward(values)[:, :2], values[:, :2])
        np.testing.assert_array_equal(transform.inverse(values)[:, :2], values[:, :2])
    assert TargetTransform(power=(1.0, 0.5)).forward(np.array([[8.0, 8.0]])).tolist() == [[8.0, pytest.approx(2.0)]]


def test_values_below_minus_one_give_a_gradient_in_tasks_without_power():
    transform = TargetTransform(scale=(2.0, 1.0), power=(1.0, 0.5))
    values = tf.constant([[-3.0, 8.0]])
    for direction, expected in ((transform.forward, [2.0, 0.5 / 3.0]), (transform.inverse, [0.5, 18.0])):
        with tf.GradientTape() as tape:
            tape.watch(values)
            out = direction(values, ops)
        np.testing.assert_allclose(tape.gradient(out, values)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("transform", CASES)
def test_json_round_trip(transform):
    text = json.dumps(transform.to_dict(), allow_nan=False)
    assert json.loads(text)["kind"] == "coverage"
    assert TargetTransform.from_dict(json.loads(text)) == transform


def test_infinite_clips_are_none():
    assert TargetTransform(clip_soft=(np.inf, np.inf)) == TargetTransform() == TargetTransform(clip_soft=np.inf)
    assert TargetTransform(clip_soft=(np.inf, 2.0)).to_dict()["clip_soft"] == [None, 2.0]


def test_dictionaries_of_other_kinds_are_errors():
    with pytest.raises(InputError, match="kind of the target transform is 'zscore'"):
        TargetTransform.from_dict({"kind": "zscore"})
    with pytest.raises(InputError, match="unknown key of a target transform 'scal': did you mean scale"):
        TargetTransform.from_dict({"kind": "coverage", "scal": 1.0})
    assert TargetTransform.from_dict({"kind": "coverage"}) == TargetTransform()


@pytest.mark.parametrize("transform", CASES)
def test_of_task(transform):
    values = coverage()
    for task in range(3):
        alone = transform.of_task(task).forward(values[:, task])
        np.testing.assert_allclose(alone, transform.forward(values)[:, task], rtol=1e-14)


def test_transform_of_a_table_of_tracks():
    stats = ["sum", "mean_sqrt", "sum_sqrt", "sum_exp75", "peak"]
    columns = {"sum_stat": stats, "scale": [1.0, 2.0, 3.0, 4.0, 5.0], "clip_soft": [np.inf, 1.0, 2.0, 3.0, np.inf]}
    new, old = (transform_of(pd.DataFrame(columns), order) for order in ("new", "old"))
    assert new == TargetTransform((1.0, 2.0, 3.0, 4.0, 1.0), (1.0, 0.5, 0.5, 0.75, 1.0), (np.inf, 1.0, 2.0, 3.0, np.inf))
    scales, powers = (1.0, 2.0, 3.0, 4.0, 5.0), (1.0, 0.75, 0.75, 0.75, 1.0)
    columns["scale"] = [-1.0, 2.0, -3.0, 4.0, -5.0]
    assert transform_of(pd.DataFrame(columns)) == new, "the sign of scale is not part of the transform"
    assert old == TargetTransform(scales, powers, (np.inf, 1.0, 2.0, 3.0, np.inf), "old")


@given(
    st.floats(1e-3, 1e3),
    st.sampled_from([0.5, 0.75, 1.0]),
    st.floats(1, 1e3),
    st.sampled_from(["new", "old"]),
    st.floats(0, 1e6),
)
def test_round_trip_of_any_coverage(scale, power, clip_soft, order, value):
    transform = TargetTransform(scale, power, clip_soft, order)
    values = np.array([value])
    np.testing.assert_allclose(transform.inverse(transform.forward(values)), values, rtol=1e-9, atol=1e-9)
