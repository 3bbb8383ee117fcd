"""The networks in config/models must agree with their comments."""

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from cisnake.model.ensemble import load_model
from cisnake.model.network import seqnn
from cisnake.model.params import TRAIN_DEFAULTS, read_params

FOLDER = Path(__file__).parents[2] / "config" / "models"
# Window length, number of tasks, and number of parameters and output shape as published or, for our own, as first released.
FILES = {
    "demo": (480, 3, 16_451, {"head": (3,)}),
    "small": (480, 3, 100_163, {"head": (3,)}),
    "coverage_small": (2560, 2, 120_226, {"head": (64, 2)}),
    "medium": (32_768, 2, 1_495_794, {"head": (2,)}),
    "basenji2": (131_072, None, 30_123_584, {"head_human": (896, 5313)}),
    "enformer_like": (196_608, None, 181_244_620, {"head_human": (896, 5313), "head_mouse": (896, 1643)}),
    "borzoi_like": (524_288, None, 190_927_691, {"head_human": (6144, 7611), "head_mouse": (6144, 2608)}),
}


def network(name):
    """Return a network without weight values: the large ones would take a gigabyte and half a minute."""
    length, tasks, _, _ = FILES[name]
    params = read_params(FOLDER / f"{name}.yaml")["model"]
    assert params.setdefault("seq_length", length) == length
    with keras.StatelessScope(initialize_variables=False):
        return seqnn.build_model(params, tasks)


def test_every_file_is_known():
    assert {path.stem for path in FOLDER.glob("*.yaml")} == set(FILES)


@pytest.mark.parametrize("name", FILES)
def test_parameters_and_outputs(name):
    model = network(name)
    _, _, count, outputs = FILES[name]
    assert sum(int(np.prod(weight.shape)) for weight in model.weights) == count
    shapes = model.output if isinstance(model.output, dict) else dict.fromkeys(outputs, model.output)
    assert {key: tuple(tensor.shape[1:]) for key, tensor in shapes.items()} == outputs
    keras.utils.clear_session()


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("demo", "small")])
def test_comments_give_the_correct_numbers(name):
    length, _, count, outputs = FILES[name]
    comment = " ".join(line.lstrip("# ") for line in (FOLDER / f"{name}.yaml").read_text().splitlines() if line.startswith("#"))
    assert f"Parameters: {count:,}" in comment
    assert f"{length:,}" in comment.split("Window:")[1].split("Output:")[0]
    told = {int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\d|\d", comment.split("Output:")[1])}
    if name != "medium":
        assert {number for shape in outputs.values() for number in shape} <= told


@pytest.mark.parametrize("name", ["demo", "small"])
def test_the_networks_of_earlier_results_are_unchanged(name):
    shapes = {
        "demo": [(15, 4, 64), (64,), (3, 64, 64), (64,), (64, 3), (3,)],
        "small": [
            (13, 5, 128), *[(128,)] * 9, (5, 128, 64), (64,), (768, 64), *[(64,)] * 5, (64, 3), (3,),
        ],
    }  # fmt: skip
    model = network(name)
    assert [tuple(weight.shape) for weight in model.weights] == shapes[name]
    assert [layer.activation.__name__ for layer in model.layers if isinstance(layer, keras.layers.Activation)] == ["relu"] * (
        2 if name == "demo" else 3
    )
    assert model.layers[-1].activation is keras.activations.linear
    assert {layer.momentum for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)} <= {0.9}
    keras.utils.clear_session()


@pytest.mark.parametrize("name", ["demo", "small", "medium"])
def test_models_of_genes_predict_the_same_once_saved(name, tmp_path):
    params = read_params(FOLDER / f"{name}.yaml")["model"]
    params.setdefault("seq_length", 512)
    model = seqnn.build_model(params, 5)
    x = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    predicted = model.predict_on_batch(x)
    assert predicted.shape == (2, 5)
    assert np.isfinite(predicted).all()
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras").predict_on_batch(x), predicted)


@pytest.mark.parametrize("name", FILES)
def test_training_settings_are_explicit(name):
    train = read_params(FOLDER / f"{name}.yaml")["train"]
    assert set(train) == set(TRAIN_DEFAULTS)
    written = (FOLDER / f"{name}.yaml").read_text()
    for key in ("batch_size", "loss", "optimizer", "learning_rate", "patience"):
        assert f"  {key}: " in written
