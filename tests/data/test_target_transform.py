import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from cisnake.data.target_transform import TargetTransform
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
def test_inverse_undoes_forward(transform):
    values = coverage()
    squashed = transform.forward(values)
    np.testing.assert_allclose(transform.inverse(squashed), values, rtol=1e-9, atol=1e-9)
    order = np.argsort(values, axis=0)
    assert (np.diff(np.take_along_axis(squashed, order, axis=0), axis=0) >= 0).all(), "more coverage is never less"


@pytest.mark.parametrize("transform", CASES)
def test_tensors_give_what_arrays_give_in_their_own_precision(transform):
    values = coverage(np.float32)
    for direction in (transform.forward, transform.inverse):
        expected, found = direction(values), direction(ops.convert_to_tensor(values), ops)
        assert expected.dtype == np.float32
        assert found.dtype.name == "float32"
        np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-6)


def test_steps_come_in_the_order_of_each_kind():
    x = np.array([[7.0]])
    new = TargetTransform(scale=2.0, power=0.5, clip_soft=1.5)
    root = np.sqrt(1 + 2 * 7) - 1
    np.testing.assert_allclose(new.forward(x), 1.5 - 1 + np.sqrt(root - 1.5 + 1))
    old = TargetTransform(scale=2.0, power=0.5, clip_soft=1.5, order="old")
    np.testing.assert_allclose(old.forward(x), 2 * (1.5 + np.sqrt(np.sqrt(7) - 1.5)))
    # Below the clip nothing but scale and power.
    np.testing.assert_allclose(new.forward(np.array([[0.5]])), np.sqrt(2) - 1)
    # In single precision 1 + 1e-9 is 1.
    np.testing.assert_allclose(new.inverse(new.forward(np.array([[1e-9]], np.float32))), 1e-9, rtol=1e-5)
    np.testing.assert_allclose(old.forward(np.array([[0.25]])), 1.0)


def test_what_cannot_be_is_refused():
    with pytest.raises(InputError, match="unknown order of a target transform 'olde': did you mean old"):
        TargetTransform(order="olde")
    with pytest.raises(InputError, match=r"scale .* must be above 0"):
        TargetTransform(scale=(1.0, 0.0))
    with pytest.raises(InputError, match=r"power .* must be above 0"):
        TargetTransform(power=-1.0)


def test_lists_and_arrays_are_taken_and_can_be_compared():
    assert TargetTransform(scale=[1, 2]) == TargetTransform(scale=np.array([1.0, 2.0]))
    assert hash(TargetTransform(scale=[1, 2])) == hash(TargetTransform(scale=(1.0, 2.0)))


def test_no_tensorflow_is_needed():
    code = "import sys; sys.path.insert(0, 'scripts'); import cisnake.data.target_transform; print('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
