import copy
from pathlib import Path

import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model import seqnn
from cisnake.model.ensemble import load_model
from cisnake.model.params import read_params

CONFIGS = sorted((Path(__file__).parents[2] / "config" / "models").glob("*.yaml"))
SECTION = {
    "seq_length": 32,
    "trunk": [{"name": "conv_motif", "filters": 4, "pool_size": 4}, {"name": "flatten"}],
    "head": [{"name": "final"}],
}


def section(**changes):
    return {**copy.deepcopy(SECTION), **changes}


def test_builds_what_the_section_says():
    model = seqnn.build_model(section(seq_depth=5), 3)
    assert model.input_shape == (None, 32, 5)
    assert model.output_shape == (None, 3)
    assert seqnn.build_model(section(), 3).input_shape == (None, 32, 4)


def test_params_stay_as_they_were():
    params = section()
    seqnn.build_model(params, 3)
    assert params == SECTION


def test_there_are_configs():
    assert len(CONFIGS) >= 2


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_model_of_config_builds_saves_loads_and_predicts_the_same(path, tmp_path):
    params = read_params(path)["model"]
    params.setdefault("seq_length", 256)
    model = seqnn.build_model(params, 5)
    x = np.random.default_rng(0).random((2, *model.input_shape[1:]), np.float32)
    model.save(tmp_path / "model.keras")
    predicted = model.predict_on_batch(x)
    assert predicted.shape == (2, 5)
    assert np.isfinite(predicted).all()
    np.testing.assert_array_equal(load_model(tmp_path / "model.keras").predict_on_batch(x), predicted)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trnk": []}, "'trnk'.*did you mean trunk"),
        ({"activaton": "relu"}, "'activaton'.*did you mean activation"),
        ({"trunk": [{"name": "conv_motiv", "filters": 4}]}, r"'conv_motiv'.*did you mean conv_motif"),
        ({"trunk": [{"filters": 4}]}, r"block \(trunk block 1\)"),
        ({"trunk": ["flatten"]}, "trunk of the model section must be a list of blocks"),
        ({"head": None}, "head of the model section must be a list of blocks"),
        ({"trunk": [{"name": "flatten"}, {"name": "dense_block", "unit": 3}]}, r"trunk block 2\).*did you mean units"),
        ({"trunk": [{"name": "conv_motif"}]}, r"conv_motif \(trunk block 1\) cannot be built: .*filters"),
        ({"seq_depth": 6}, "seq_depth is 6"),
        ({"activation": "rellu"}, "cannot be built: .*rellu"),
        ({"trunk": [{"name": "flatten"}, {"name": "conv_nac", "filters": 3}]}, r"conv_nac \(trunk block 2\) cannot be built"),
        ({"trunk": [{"name": "conv_nac", "filters": 3, "residual": True}]}, r"conv_nac \(trunk block 1\) cannot be built"),
        ({"trunk": [{"name": "conv_motif", "filters": -3}]}, r"conv_motif \(trunk block 1\) cannot be built"),
        ({"trunk": []}, r"output has shape \(32, 3\) for 3 tasks"),
        ({"head": [{"name": "final", "units": 2}]}, r"output has shape \(2,\) for 3 tasks"),
        ({"head": [{"name": "final"}, {"name": "final", "activation": "softpluss"}]}, r"final \(head block 2\)"),
    ],
)
def test_wrong_sections_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        seqnn.build_model(section(**changes), 3)


@pytest.mark.parametrize("key", ["seq_length", "trunk", "head"])
def test_missing_keys_are_named(key):
    params = section()
    del params[key]
    with pytest.raises(InputError, match=f"lacks {key}"):
        seqnn.build_model(params, 3)


def test_shared_settings_reach_the_blocks():
    model = seqnn.build_model(section(activation="gelu", bn_momentum=0.5, l2_scale=0.1), 3)
    norm = next(layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    assert norm.momentum == 0.5
    assert any(getattr(layer, "activation", None) is keras.activations.gelu for layer in model.layers)
    assert model.losses
