"""Training that can be killed at any moment and resumed as if it had not been."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cisnake.data.datasets import GeneBatches
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.model.losses import parse_loss
from cisnake.model.metrics import R2, PearsonR
from cisnake.model.optimizers import build_optimizer
from cisnake.model.seqnn import build_model
from cisnake.program import TERMINAL_SECONDS, duration, log

HISTORY_COLUMNS = [
    "epoch",
    "seconds",
    "learning_rate",
    "loss",
    "pearsonr",
    "r2",
    "val_loss",
    "val_pearsonr",
    "val_r2",
    "val_score",
    "best",
]


def train_model(
    params: dict[str, Any],
    train: GeneBatches,
    val: GeneBatches,
    seed: int,
    checkpoint_dir: str | Path,
    tensorboard_dir: str | Path | None = None,
) -> tuple[keras.Model, pd.DataFrame]:
    """Train a network until its validation score stops rising, and return it with the weights of its best epoch.

    The score of an epoch is mean Pearson r + mean R² / 4 over tasks of the validation genes; an epoch is better only if its
    score is strictly greater. Training stops after `train_epochs_max` epochs, or once `train_epochs_min` are done and none
    of the last `patience` was better.

    The state of training is kept after each epoch, in one file that is replaced whole. A run that was killed
    goes on from it and ends with the weights that it would have had.

    Parameters
    ----------
    params: dict
        Sections `model` and `train`, complete.
    train, val: GeneBatches
        `train` with a seed, `val` without.
    seed: int
        Of initial weights and dropout.
    checkpoint_dir: str or Path
        Where the state is kept; only ever used with the same data, parameters and seed. Removed by `remove_checkpoint`.
    tensorboard_dir: str or Path, optional
        Where TensorBoard's files go.

    Returns
    -------
    model: keras.Model
        Not compiled, best weights.
    history: pandas.DataFrame
        `HISTORY_COLUMNS`, one row an epoch.

    Raises
    ------
    InputError
        The windows are not as long as the model's, no epoch had a finite validation score, or the loss became infinite or NaN.
    """
    settings, tasks = params["train"], train.labels.shape[1]
    keras.utils.set_random_seed(seed)
    model = build_model(params["model"], tasks)
    if model.input_shape[1] != train.seq_len:
        raise InputError(
            f"seq_length of the model is {model.input_shape[1]}, but the windows of {train.path} have {train.seq_len} bases: "
            "leave seq_length out, or change the section windows."
        )
    state = _State(model, Path(checkpoint_dir))
    model.compile(
        optimizer=build_optimizer(settings, len(train)),
        loss=parse_loss(settings["loss"]),
        metrics=[PearsonR(tasks, name="pearsonr"), R2(tasks, name="r2")],
        jit_compile="auto",
    )
    model.optimizer.build(model.trainable_variables)
    state.restore()
    callbacks: list[keras.callbacks.Callback] = [_EpochEnd(state, train, settings)]
    if tensorboard_dir is not None:
        callbacks.append(keras.callbacks.TensorBoard(tensorboard_dir, write_graph=False))
    if not state.finished(settings):
        model.fit(
            train.to_tensorflow(),
            validation_data=val.to_tensorflow(),
            initial_epoch=len(state.history),
            epochs=settings["train_epochs_max"],
            callbacks=callbacks,
            shuffle=False,
            verbose=0,
        )
    if state.best_weights is None:
        raise InputError(
            "no epoch had a finite validation score: the validation genes need at least two measured values that differ, "
            "in at least one task."
        )
    best = build_model(params["model"], tasks)
    best.set_weights(state.best_weights)
    return best, pd.DataFrame(state.history, columns=HISTORY_COLUMNS)


def remove_checkpoint(checkpoint_dir: str | Path) -> None:
    """Remove the state of a training whose model has been written."""
    shutil.rmtree(checkpoint_dir, ignore_errors=True)


class _State:
    """All that training carries from one epoch to the next."""

    def __init__(self, model: keras.Model, folder: Path) -> None:
        self.model, self.file = model, folder / "state.npz"
        # Before compiling: what metrics and losses add is reset every epoch. The seeds of dropout are variables, too.
        self._model_variables = list(model.variables)
        self.history: list[dict[str, Any]] = []
        self.best_score = -np.inf
        self.best_weights: list[np.ndarray] | None = None

    def _variables(self) -> list[keras.Variable]:
        return [*self._model_variables, *self.model.optimizer.variables]

    @property
    def best_epoch(self) -> int:
        return max((row["epoch"] for row in self.history if row["best"]), default=0)

    def finished(self, settings: dict[str, Any]) -> bool:
        epochs = len(self.history)
        waited = epochs - self.best_epoch
        return epochs >= settings["train_epochs_max"] or (
            epochs >= settings["train_epochs_min"] and waited >= settings["patience"]
        )

    def save(self) -> None:
        arrays = {f"variable_{i}": np.asarray(variable) for i, variable in enumerate(self._variables())}
        arrays |= {f"best_{i}": weight for i, weight in enumerate(self.best_weights or [])}
        with write_whole(self.file) as part:
            arrays |= {"history": np.array(json.dumps(self.history)), "best_score": np.array(self.best_score)}
            np.savez(part, allow_pickle=False, **arrays)

    def restore(self) -> None:
        if not self.file.exists():
            return
        with np.load(self.file) as saved:
            for i, variable in enumerate(self._variables()):
                variable.assign(saved[f"variable_{i}"])
            self.history = json.loads(str(saved["history"]))
            self.best_score = float(saved["best_score"])
            best = [saved[f"best_{i}"] for i in range(len(self.model.weights)) if f"best_{i}" in saved]
            self.best_weights = best or None
        log.info("going on after epoch %d, best so far %d", len(self.history), self.best_epoch)


class _EpochEnd(keras.callbacks.Callback):
    """Scores the epoch, keeps the best weights, saves the state, says where training stands, and stops it."""

    def __init__(self, state: _State, train: GeneBatches, settings: dict[str, Any]) -> None:
        super().__init__()
        self.state, self.data, self.settings = state, train, settings
        self._begin = self._epoch_begin = self._last_line = time.monotonic()
        self._first = len(state.history)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.data.epoch = epoch
        self._epoch_begin = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._say(f"epoch {len(self.state.history) + 1}, batch {batch + 1}/{len(self.data)}", due_only=True)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logs = {key: float(value) for key, value in (logs or {}).items()}
        if not np.isfinite(logs["loss"]):
            raise InputError(
                f"the loss is {logs['loss']} in epoch {epoch + 1}: lower train.learning_rate or set train.clip_norm; with "
                "loss: poisson, end the head with {name: final, activation: softplus}, whose predictions are not negative."
            )
        score = logs["val_pearsonr"] + logs["val_r2"] / 4
        best = bool(score > self.state.best_score)
        if best:
            self.state.best_score, self.state.best_weights = score, self.model.get_weights()
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - self._epoch_begin, 2),
            "learning_rate": float(np.asarray(self.model.optimizer.learning_rate)),
            "val_score": score,
            "best": best,
        }
        self.state.history.append(row | {key: logs[key] for key in HISTORY_COLUMNS if key in logs})
        self.state.save()
        done = len(self.state.history)
        left = (time.monotonic() - self._begin) / (done - self._first) * (self.settings["train_epochs_max"] - done)
        self._say(
            f"epoch {done}/{self.settings['train_epochs_max']}: loss {logs['loss']:.4g}, "
            f"validation loss {logs['val_loss']:.4g}, r {logs['val_pearsonr']:.3f}, R² {logs['val_r2']:.3f}; "
            f"best epoch {self.state.best_epoch}; at most {duration(left)} left"
        )
        if self.state.finished(self.settings):
            self.model.stop_training = True

    def _say(self, line: str, due_only: bool = False) -> None:
        due = time.monotonic() - self._last_line >= TERMINAL_SECONDS
        if due:
            self._last_line = time.monotonic()
        if due or not due_only:
            log.info("%s", line, extra={"terminal": due})
