import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from cisnake.data.dataset import layout
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.model.ensemble import load_model
from cisnake.model.params import TRAIN_DEFAULTS
from cisnake.model.seeds import replicate_seed
from cisnake.model.training import trainer
from cisnake.model.training.batches import GeneBatches
from cisnake.model.training.checkpoint import Checkpoint
from cisnake.model.training.tracking import Tracker
from cisnake.model.training.trainer import Trainer

ROOT = Path(__file__).parents[3]
MODEL = {
    "seq_length": 40,
    "trunk": [
        {"name": "conv_motif", "filters": 4, "kernel_size": 5, "pool_size": 4, "dropout": 0.2},
        {"name": "flatten"},
        {"name": "dense_block", "units": 4, "dropout": 0.3},
    ],
    "head": [{"name": "final"}],
}
# For tests that depend only on the course of training.
LINEAR = {"seq_length": 40, "trunk": [{"name": "flatten"}], "head": [{"name": "final"}]}
EPOCHS = 4


class Killed(BaseException):
    pass


def settings(model=MODEL, **train):
    defaults = {"loss": "mse", "batch_size": 16, "train_epochs_max": EPOCHS, "learning_rate": 0.01}
    if "optimizer" not in train:
        defaults |= {"optimizer": "adamw", "weight_decay": 0.01}
    return {"model": model, "train": TRAIN_DEFAULTS | defaults | train}


def batches(dataset, seed, batch_size=16):
    with layout.open_dataset(dataset) as file:
        split = layout.read_windows(file)["split"].to_numpy()
    return (
        GeneBatches(dataset, np.flatnonzero(split == "train"), batch_size, 4, 4, seed),
        GeneBatches(dataset, np.flatnonzero(split == "val"), batch_size, 4),
    )


def train(dataset, checkpoints, seed=3, tracker=None, params=None):
    models, history = Trainer(params or settings(), *batches(dataset, seed), seed, checkpoints, tracker).fit()
    return models["head"], history


def assert_same(model, other):
    for weight, expected in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, expected)


def numbers(history):
    return history.drop(columns=["seconds"])


@pytest.fixture(scope="module")
def uninterrupted(dataset, tmp_path_factory):
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()
    return train(dataset, tmp_path_factory.mktemp("uninterrupted"))


def test_history_has_one_row_per_epoch(uninterrupted):
    history = uninterrupted[1]
    assert list(history.columns) == [
        *["epoch", "stage", "head", "seconds", "learning_rate", "loss", "pearsonr", "r2"],
        *["val_loss", "val_pearsonr", "val_r2", "val_score", "best"],
    ]
    assert list(history["epoch"]) == [1, 2, 3, 4]
    assert np.isfinite(history.drop(columns=["head", "best"]).to_numpy(float)).all()
    np.testing.assert_allclose(history["val_score"], history["val_pearsonr"] + history["val_r2"] / 4)
    best = history["val_score"].cummax().diff().fillna(1) > 0
    assert list(history["best"]) == list(best)


@pytest.mark.parametrize(
    ("epoch", "when"), [(1, "before saving"), (2, "in a batch"), (2, "after saving"), (3, "before saving"), (4, "after saving")]
)
def test_resumed_training_equals_uninterrupted_training(dataset, tmp_path, monkeypatch, uninterrupted, epoch, when):
    save, account = Checkpoint.save, Trainer._account

    def dying_save(state, variables):
        if len(state.history) == epoch and when == "before saving":
            raise Killed
        save(state, variables)
        if len(state.history) == epoch and when == "after saving":
            raise Killed

    def dying_account(trained, number, *rest):
        account(trained, number, *rest)
        if number == epoch - 1 and rest[3] == 2 and when == "in a batch":
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", dying_save)
        patched.setattr(Trainer, "_account", dying_account)
        with pytest.raises(Killed):
            train(dataset, tmp_path)
    model, history = train(dataset, tmp_path)
    assert_same(model, uninterrupted[0])
    assert numbers(history).equals(numbers(uninterrupted[1]))


def test_same_seed_same_weights_other_seed_other_weights(dataset, tmp_path, uninterrupted):
    assert_same(train(dataset, tmp_path / "again")[0], uninterrupted[0])
    other = train(dataset, tmp_path / "other", seed=4)[0]
    assert not np.array_equal(other.get_weights()[0], uninterrupted[0].get_weights()[0])


def test_each_epoch_has_its_own_order_and_shifts(dataset, tmp_path, monkeypatch):
    epochs, shifts = [], []
    original = GeneBatches.deal

    def watched(batches, *args):
        if batches.seed is not None:
            epochs.append(batches.epoch)
            shifts.append(batches.max_shift)
        return original(batches, *args)

    monkeypatch.setattr(GeneBatches, "deal", watched)
    train(dataset, tmp_path, params=settings(LINEAR))
    assert sorted(set(epochs)) == [0, 1, 2, 3]
    assert set(shifts) == {4}


@pytest.fixture
def scripted(monkeypatch):
    """Return a function that sets the validation scores, and the list of weights after each epoch."""
    original = Trainer._validate
    weights = []

    def script(*scores):
        def validate(trained, key, stage):
            weights.append(trained.model.get_weights())
            return original(trained, key, stage) | {"pearsonr": scores[trained._epochs()], "r2": 0.0}

        monkeypatch.setattr(Trainer, "_validate", validate)
        return weights

    return script


def test_the_best_weights_are_returned(dataset, tmp_path, scripted):
    weights = scripted(0.1, 0.5, 0.3, 0.5)
    model, history = train(dataset, tmp_path, params=settings(LINEAR))
    assert list(history["best"]) == [True, True, False, False]
    for weight, expected, last in zip(model.weights, weights[1], weights[3], strict=True):
        np.testing.assert_array_equal(weight, expected)
        assert np.array_equal(weight, last) == ("label_units" in weight.path)


def test_a_worse_epoch_after_resuming_does_not_overwrite_the_best(dataset, tmp_path, scripted, monkeypatch):
    weights = scripted(0.1, 0.5, 0.3, 0.4)
    save = Checkpoint.save

    def dying_save(state, variables):
        save(state, variables)
        if len(state.history) == 2:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "save", dying_save)
        with pytest.raises(Killed):
            train(dataset, tmp_path, params=settings(LINEAR))
    model, history = train(dataset, tmp_path, params=settings(LINEAR))
    assert list(history["best"]) == [True, True, False, False]
    for found, expected in zip(model.get_weights(), weights[1], strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("patience", "epochs_min", "scores", "stops_after"),
    [
        (2, 1, [0.1, 0.5, 0.5, 0.4, 0.9, 0.9], 4),
        (2, 5, [0.1, 0.5, 0.5, 0.4, 0.3, 0.9], 5),
        (2, 1, [0.1, 0.2, 0.1, 0.3, 0.1, 0.4], 6),
        (2, 1, [np.nan, 0.1, np.nan, np.nan, 0.5, 0.5], 4),
        (9, 1, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], 6),
    ],
)
def test_patience_and_the_fewest_and_most_epochs(dataset, tmp_path, scripted, patience, epochs_min, scores, stops_after):
    scripted(*scores)
    params = settings(LINEAR, patience=patience, train_epochs_min=epochs_min, train_epochs_max=6)
    history = train(dataset, tmp_path, params=params)[1]
    assert len(history) == stops_after
    # A run that was killed after its last epoch trains no further.
    assert train(dataset, tmp_path, params=params)[1].equals(history)


def test_a_loss_that_is_not_finite_is_an_error(dataset, tmp_path):
    params = settings(LINEAR, optimizer="sgd", learning_rate=1e30)
    with pytest.raises(InputError, match=r"in batch 2 of epoch 1 \(for (g\d+, )+.* and 11 more.*\): lower train.learning_rate"):
        train(dataset, tmp_path, params=params)


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_a_label_that_is_not_finite_is_named(dataset, tmp_path, value):
    training, validation = batches(dataset, 3)
    training.labels[5, 1] = value
    with pytest.raises(InputError, match=rf"of epoch 1 \(for {training.names[5]} in task task1\): "):
        Trainer(settings(LINEAR), training, validation, 3, tmp_path).fit()


def test_batches_after_a_non_finite_one_change_no_weights_and_are_not_blamed(dataset, tmp_path, monkeypatch):
    training, validation = batches(dataset, 3, batch_size=6)
    _, second, third, *rest = [chosen for *_, chosen in training.deal()]
    # The loss of one example is infinite. Losses of the next batch are finite, but its update would spoil all predictions.
    training.labels[second[4], 0] = np.inf
    training.labels[third, 0] = 1e18
    trained = Trainer(settings(LINEAR, optimizer="sgd", learning_rate=100.0), training, validation, 3, tmp_path)
    weights, step = [], trainer.Step.__call__

    def watched(*args):
        weights.append(trained.model.get_weights())
        return step(*args)

    monkeypatch.setattr(trainer.Step, "__call__", watched)
    with pytest.raises(InputError, match=rf"in batch 2 of epoch 1 \(for {training.names[second[4]]} in task task0\): "):
        trained.fit()
    assert len(rest) > 1 and len(weights) > 2
    for weight, before, of_first in zip(trained.model.weights, weights[1], weights[0], strict=True):
        np.testing.assert_array_equal(weight, before)
        assert np.array_equal(before, of_first) == ("label_units" in weight.path)


def test_no_finite_score_is_an_error(write_dataset, tmp_path):
    with pytest.raises(InputError, match="no epoch had a finite validation score"):
        train(write_dataset(unmeasured_split="val"), tmp_path, params=settings(LINEAR))


def test_windows_of_another_length_are_an_error(dataset, tmp_path):
    params = settings(LINEAR | {"seq_length": 48})
    with pytest.raises(
        InputError,
        match=r"the model has seq_length 48 and seq_depth 4, but the windows in .* have 40 bases and 4 channels",
    ):
        train(dataset, tmp_path, params=params)


def test_a_long_epoch_reports_loss_and_time_left_between_its_ends(dataset, tmp_path, caplog, monkeypatch):
    caplog.set_level(logging.INFO, logger="cisnake")
    monkeypatch.setattr(trainer, "line_due", lambda now, last, start: True)
    trainer.log.addHandler(caplog.handler)
    try:
        train(dataset, tmp_path, params=settings(LINEAR, train_epochs_max=2))
    finally:
        trainer.log.removeHandler(caplog.handler)
    lines = list(dict.fromkeys(message for message in caplog.messages if ", batch " in message))
    assert len(lines) > 2
    for line in lines:
        found = re.fullmatch(r"epoch ([12])/2, batch (\d+)/(\d+): loss (\S+); at most \d+ s left", line)
        assert found and 1 < int(found[2]) <= int(found[3]) and float(found[4]) > 0, line


def test_tensorboard_and_progress(dataset, tmp_path, caplog):
    caplog.set_level(logging.INFO, logger="cisnake")
    trainer.log.addHandler(caplog.handler)
    try:
        tracker = Tracker(["tensorboard"], tmp_path / "board", "run", {})
        _, history = train(dataset, tmp_path / "checkpoints", tracker=tracker, params=settings(LINEAR, train_epochs_max=2))
        tracker.close()
    finally:
        trainer.log.removeHandler(caplog.handler)
    for part in ("train", "validation"):
        assert list((tmp_path / "board" / part).glob("events.out.tfevents.*"))
    lines = list(dict.fromkeys(message for message in caplog.messages if message.startswith("epoch ")))
    assert len(lines) == 2
    form = r"epoch \d/2: loss \S+, validation loss \S+, r (\S+), R² \S+; best epoch \d; at most \d+ s left"
    for line, r in zip(lines, history["val_pearsonr"]):
        match = re.fullmatch(form, line)
        assert match, line
        assert match[1] == f"{r:.4g}"
    assert lines[1].endswith("at most 0 s left")


def test_checkpoint_is_removed(dataset, tmp_path):
    folder = tmp_path / "checkpoints"
    train(dataset, folder, params=settings(LINEAR, train_epochs_max=1))
    assert (folder / "state.npz").is_file()
    assert len(list(folder.iterdir())) == 1
    for _ in range(2):
        Checkpoint(folder).remove()
        assert not folder.exists()


@pytest.mark.slow
def test_program_killed_and_run_again_ends_with_the_same_weights(dataset, tmp_path):
    params = settings(train_epochs_min=30, train_epochs_max=30)
    params["model"] = {key: value for key, value in MODEL.items() if key != "seq_length"}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))

    def start(name):
        out = tmp_path / name / "fold_0" / "replicate_0"
        # fmt: off
        command = [
            sys.executable, ROOT / "scripts" / "train_model.py", "--dataset", dataset,
            "--set", f"model.params={tmp_path / 'params.yaml'}", "--set", "model.overrides={train.batch_size: 8}",
            "--set", "run.seed=5", "--checkpoints", tmp_path / name / "checkpoints", "--tracking", tmp_path / name / "tracking",
            "--output-model", out / "model.keras", "--output-params", out / "params.yaml",
            "--output-history", out / "history.tsv", "--log", tmp_path / name / "log",
        ]
        # fmt: on
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
        return out, subprocess.Popen([str(part) for part in command], env=environment)

    whole, undisturbed = start("whole")
    out, victim = start("killed")
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed" / "checkpoints").glob("*/state.npz")):
        assert victim.poll() is None, (tmp_path / "killed" / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert not out.exists()
    assert start("killed")[1].wait() == 0, (tmp_path / "killed" / "log").read_text()
    assert undisturbed.wait() == 0, (tmp_path / "whole" / "log").read_text()
    assert "resuming after epoch" in (tmp_path / "killed" / "log").read_text()
    assert_same(load_model(out / "model.keras"), load_model(whole / "model.keras"))
    histories = [read_table(folder / "history.tsv") for folder in (out, whole)]
    assert numbers(histories[0]).equals(numbers(histories[1]))
    assert len(histories[0]) == 30
    saved = yaml.safe_load((out / "params.yaml").read_text())
    assert (saved["train"]["batch_size"], saved["model"]["seq_length"], saved["seed"]) == (8, 40, replicate_seed(5, 0, 0))
    assert not list((tmp_path / "killed" / "checkpoints").iterdir())
