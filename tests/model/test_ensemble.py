import ast
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model import ensemble
from cisnake.model.network import seqnn

LENGTH = 24
SCRIPTS = Path(__file__).parents[2] / "scripts"


def network(depth=5, tasks=3):
    blocks = [{"name": "conv_motif", "filters": 4, "pool_size": 4}, {"name": "flatten"}]
    section = {"seq_length": LENGTH, "seq_depth": depth, "trunk": blocks, "head": [{"name": "final"}]}
    return seqnn.build_model(section, tasks)


def windows(n):
    rng = np.random.default_rng(0)
    start = rng.integers(0, LENGTH, n)
    return rng.integers(0, 5, (n, LENGTH)).astype(np.int8), start, rng.integers(start, LENGTH + 1)


def test_folds_and_replicates_are_parsed_from_paths():
    paths = [Path(f"r/models/fold_{i}/replicate_{j}/model.keras") for i in (10, 2) for j in (10, 2, 0)]
    assert ensemble.models_by_fold(paths) == {
        fold: [Path(f"r/models/fold_{fold}/replicate_{j}/model.keras") for j in (0, 2, 10)] for fold in (2, 10)
    }


@pytest.mark.parametrize(
    "path", ["model.keras", "fold_x/replicate_0/model.keras", "fold_0/model.keras", "afold_0/replicate_0/m"]
)
def test_other_paths_are_refused(path):
    with pytest.raises(InputError, match="is not in a folder fold_<number>/replicate_<number>"):
        ensemble.models_by_fold([Path(path)])


@pytest.mark.parametrize("depth", [4, 5])
def test_predictions_do_not_depend_on_the_batch(depth):
    model, (codes, start, end) = network(depth), windows(10)
    inputs = np.eye(5, 4, dtype=np.float32)[codes]
    if depth == 5:
        at = np.arange(LENGTH)
        body = (at >= start[:, None]) & (at < end[:, None])
        inputs = np.concatenate([inputs, body[..., None].astype(np.float32)], axis=-1)
    expected = np.asarray(model(inputs))
    for batch_size in (1, 3, 10, 64):
        predicted = ensemble.predict_with_model(model, codes, start, end, batch_size=batch_size)
        assert (predicted.shape, predicted.dtype) == ((10, 3), np.float32)
        np.testing.assert_allclose(predicted, expected, atol=1e-6)


def test_no_windows_give_no_predictions():
    assert ensemble.predict_with_model(network(), *windows(0)).shape == (0, 3)


def test_predictions_by_position():
    inputs = keras.Input((LENGTH, 5))
    model = keras.Model(inputs, keras.layers.Conv1D(2, 6, strides=6)(inputs))
    codes, start, end = windows(5)
    assert ensemble.predict_with_model(model, codes, start, end, batch_size=2).shape == (5, 4, 2)
    assert ensemble.predict_with_model(model, *windows(0)).shape == (0, 4, 2)


def test_windows_of_another_length_are_refused():
    codes, start, end = windows(2)
    with pytest.raises(InputError, match="windows of 24 bases, but these have 20"):
        ensemble.predict_with_model(network(), codes[:, :20], start, end)


@pytest.mark.parametrize("damage", ["missing", "truncated", "text"])
def test_invalid_model_files_are_rejected(tmp_path, damage):
    path = tmp_path / "model.keras"
    if damage == "truncated":
        network().save(path)
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "text":
        path.write_text("a model")
    with pytest.raises(InputError, match=r"model\.keras cannot be loaded as a model \(.+\): rerun its training"):
        ensemble.load_model(path)


def test_predictors_load_each_model_once_and_on_demand(tmp_path, monkeypatch):
    paths, models = [], {}
    for fold in (0, 1):
        for replicate in (0, 1):
            path = tmp_path / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            models[fold, replicate] = network()
            models[fold, replicate].save(path)
            paths.append(path)
    loaded = []
    monkeypatch.setattr(keras.saving, "load_model", lambda path, compile: loaded.append(path) or models[ask])
    of = ensemble.predictors_by_fold(paths, batch_size=4)
    assert not loaded
    for ask in models:
        predicted = [of[ask[0]][f"replicate_{ask[1]}"](*windows(5), np.arange(5)) for _ in range(2)]
        for part in predicted:
            np.testing.assert_array_equal(part, ensemble.predict_with_model(models[ask], *windows(5), batch_size=4))
    assert loaded == paths


def test_loading_registers_all_custom_layers():
    """A process that only predicts does not import training modules."""
    show = "print([name for name in keras.saving.get_custom_objects() if name.startswith('cisnake>')])"
    paths = (SCRIPTS / "cisnake" / "model").rglob("[a-z]*.py")
    modules = [".".join(path.relative_to(SCRIPTS).with_suffix("").parts) for path in paths]

    def registered(imported):
        command = [sys.executable, "-c", f"import keras, {imported}; {show}"]
        return set(ast.literal_eval(subprocess.run(command, cwd=SCRIPTS, capture_output=True, text=True, check=True).stdout))

    known, there = registered("cisnake.model.ensemble"), registered(", ".join(modules))
    # Schedules are for training: files are loaded without their optimizer.
    assert there - known == {"cisnake>Cyclical1", "cisnake>WarmUp"}
    assert {"cisnake>Bottleneck", "cisnake>StochasticShift", "cisnake>MultiheadAttention", "cisnake>PearsonR"} < known
