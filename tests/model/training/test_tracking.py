"""The selected trackers, and no others, must record all scores of every epoch."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.training.tracking import Tracker

ROWS = [
    {"epoch": 1, "stage": 0, "head": "head", "seconds": 2.0, "loss": 0.5, "val_loss": 0.6, "val_r2": np.nan, "best": True},
    {"epoch": 2, "stage": 0, "head": "head", "seconds": 1.0, "loss": 0.4, "val_loss": 0.7, "val_r2": 0.1, "best": False},
]


def track(kinds, folder, rows=ROWS, name="a1"):
    tracker = Tracker(kinds, folder, name, {"train": {"batch_size": 4}})
    for row in rows:
        tracker.epoch([row])
    tracker.close()


def events(folder):
    """Read TensorBoard's files: values by name of the curve, in order of steps."""
    found = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        for record in tf.data.TFRecordDataset(str(file)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            for value in event.summary.value:
                found.setdefault(value.tag, {})[event.step] = float(tf.make_ndarray(value.tensor))
    return found


def test_tensorboard_gets_training_and_validation_as_two_curves(tmp_path):
    track(["tensorboard"], tmp_path)
    assert events(tmp_path / "train")["loss"] == pytest.approx({1: 0.5, 2: 0.4})
    assert events(tmp_path / "validation")["loss"] == pytest.approx({1: 0.6, 2: 0.7})
    assert np.isnan(events(tmp_path / "validation")["r2"][1])


def test_heads_are_told_apart(tmp_path):
    tracker = Tracker(["tensorboard"], tmp_path, "a1", {})
    tracker.epoch([ROWS[0] | {"head": "head_a"}, ROWS[1] | {"head": "head_b", "epoch": 1}])
    tracker.close()
    assert events(tmp_path / "train")["head_a/loss"] == pytest.approx({1: 0.5})
    assert events(tmp_path / "train")["head_b/loss"] == pytest.approx({1: 0.4})


def test_nothing_is_written_without_trackers(tmp_path, monkeypatch):
    for package in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, package, None)
    track([], tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["wandb", "mlflow"])
def test_a_package_that_is_missing_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(InputError, match=f"with {kind} .* not installed: run pip install {kind}"):
        Tracker([kind], tmp_path, "a1", {})


def test_an_unknown_tracker_names_the_nearest(tmp_path):
    with pytest.raises(InputError, match=r"'tensorbord'.*did you mean tensorboard"):
        Tracker(["tensorbord"], tmp_path, "a1", {})


class Recorder(types.ModuleType):
    """Mock of a package that is not installed: records all calls."""

    def __init__(self, name, **answers):
        super().__init__(name)
        self.calls, self.answers = [], answers

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.calls.append((name, args, kwargs))
            return self.answers.get(name, self)

        return call


def test_weights_and_biases_records_scores(tmp_path, monkeypatch):
    wandb = Recorder("wandb")
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    track(["wandb"], tmp_path / "new")
    names = [name for name, _, _ in wandb.calls]
    assert names == ["init", "log", "log", "finish"]
    settings = wandb.calls[0][2]
    assert (settings["id"], settings["resume"], settings["config"]) == ("a1", "allow", {"train": {"batch_size": 4}})
    # NaN would be drawn as a gap or rejected.
    assert wandb.calls[1][1:] == (({"seconds": 2.0, "loss": 0.5, "val_loss": 0.6},), {"step": 1})
    assert wandb.calls[2][2] == {"step": 2}


def test_mlflow_records_scores_and_resumes_a_run(tmp_path, monkeypatch):
    mlflow = Recorder("mlflow", search_runs=[])
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    track(["mlflow"], tmp_path)
    names = [name for name, _, _ in mlflow.calls]
    assert names == ["set_experiment", "search_runs", "start_run", "log_params", "log_metrics", "log_metrics", "end_run"]
    assert mlflow.calls[3][1] == ({"train.batch_size": 4},)
    found = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r7"))
    again = Recorder("mlflow", search_runs=[found])
    monkeypatch.setitem(sys.modules, "mlflow", again)
    track(["mlflow"], tmp_path)
    assert ("start_run", (), {"run_id": "r7"}) in again.calls
    assert "log_params" not in [name for name, _, _ in again.calls]
