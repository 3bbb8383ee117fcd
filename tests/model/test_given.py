"""Networks that were trained elsewhere."""

import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.given import read_given
from cisnake.model.network import build_model

TRUNK = [{"name": "conv_dna", "filters": 4, "kernel_size": 5, "pool_size": 8}]
HEADS = {
    "head_human": [{"name": "final", "units": 3}],
    "head_mouse": [{"name": "final", "units": 2}],
}


def section(**changes):
    return {"seq_length": 64, "trunk": TRUNK} | changes


def saved(model, path):
    for weight in model.weights:
        weight.assign(np.random.default_rng(weight.shape.num_elements()).normal(size=weight.shape) ** 2)
    (model.save if path.suffix == ".keras" else model.save_weights)(path)
    return path


@pytest.fixture
def x():
    return np.eye(4, dtype="float32")[np.random.default_rng(0).integers(0, 4, (5, 64))]


def test_a_complete_network_predicts_as_before(tmp_path, x):
    model = build_model(section(head=[{"name": "final", "units": 3}]))
    path = saved(model, tmp_path / "a.keras")
    given = read_given(path, None, 64, (8, 3))
    np.testing.assert_array_equal(given(x), model(x))


def test_weights_need_the_parameters_and_predict_as_before(tmp_path, x):
    params = {"model": section(head=[{"name": "final", "units": 3}])}
    model = build_model(params["model"])
    path = saved(model, tmp_path / "a.weights.h5")
    np.testing.assert_array_equal(read_given(path, params, 64, (8, 3))(x), model(x))
    with pytest.raises(InputError, match=r"is not a \.keras file: set model\.params"):
        read_given(path, None, 64, (8, 3))


@pytest.mark.parametrize("suffix", ["keras", "weights.h5"])
def test_of_several_heads_one_is_chosen(suffix, tmp_path, x):
    params = {"model": section(**HEADS)}
    model = build_model(params["model"])
    path = tmp_path / f"a.{suffix}"
    if suffix == "keras":
        saved(model, path)
    else:
        # Baskerville saves the trunk with one head.
        head = build_model({key: value for key, value in params["model"].items() if key != "head_human"})
        saved(head, path)
    given = read_given(path, params, 64, (8, 2), "head_mouse")
    expected = model(x)["head_mouse"] if suffix == "keras" else head(x)
    np.testing.assert_array_equal(given(x), expected)
    with pytest.raises(InputError, match=r"has the heads head_human, head_mouse: set model\.head"):
        read_given(path, params, 64, (8, 2))
    with pytest.raises(InputError, match=r"unknown model\.head 'head_mose': did you mean head_mouse"):
        read_given(path, params, 64, (8, 2), "head_mose")


def test_strand_pairs_of_the_chosen_head_are_kept(tmp_path, x):
    params = {"model": section(augment_rc=True, strand_pair=[None, [1, 0]], **HEADS)}
    head = build_model(section(augment_rc=True, strand_pair=[[1, 0]], head_mouse=HEADS["head_mouse"]))
    given = read_given(saved(head, tmp_path / "a.weights.h5"), params, 64, (8, 2), "head_mouse")
    np.testing.assert_array_equal(given(x), head(x))
    assert [layer.get_config() for layer in given.layers] == [layer.get_config() for layer in head.layers]


def test_a_single_position_is_one_value_per_gene(tmp_path, x):
    trunk = [{"name": "conv_dna", "filters": 4, "kernel_size": 5, "pool_size": 64}]
    model = build_model(section(trunk=trunk, head=[{"name": "final", "units": 3}]))
    given = read_given(saved(model, tmp_path / "a.keras"), None, 64, (3,))
    assert model.output_shape == (None, 1, 3) and given.output_shape == (None, 3)
    np.testing.assert_array_equal(given(x), np.asarray(model(x))[:, 0])


@pytest.mark.parametrize(
    ("length", "shape", "message"),
    [
        (60, (8, 3), "reads windows of 64 bases, but those of the run have 60"),
        (64, (8, 4), "predicts 8 positions of 3 tasks per window, but the run has 8 positions of 4 tasks"),
        (64, (4, 3), "predicts 8 positions of 3 tasks per window, but the run has 4 positions of 3 tasks"),
        (64, (3,), "predicts 8 positions of 3 tasks per window, but the run has 3 tasks"),
    ],
)
def test_a_network_that_does_not_fit_is_refused(length, shape, message, tmp_path):
    path = saved(build_model(section(head=[{"name": "final", "units": 3}])), tmp_path / "a.keras")
    with pytest.raises(InputError, match=message):
        read_given(path, None, length, shape)


def test_a_network_with_other_channels_is_refused(tmp_path):
    inputs = keras.Input((64, 3))
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(inputs))).save(tmp_path / "a.keras")
    with pytest.raises(InputError, match="reads 3 channels per base: it must be 4, or 5"):
        read_given(tmp_path / "a.keras", None, 64, (2,))
