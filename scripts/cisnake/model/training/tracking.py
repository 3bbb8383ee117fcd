"""Tracking of training with TensorBoard, Weights & Biases and MLflow."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from cisnake.errors import InputError, unknown_name

TRACKERS = ("tensorboard", "wandb", "mlflow")
_NO_VALUES = ("epoch", "stage", "head", "best")


class Tracker:
    """Record the scores of every epoch in TensorBoard, Weights & Biases or MLflow.

    The latter two are not dependencies of Cisnake: install and configure them as described in their documentation
    (`WANDB_MODE`, `MLFLOW_TRACKING_URI`, ...).

    Parameters
    ----------
    kinds: list of str
        Names of trackers from `TRACKERS`.
    folder: str or Path
        Output folder of TensorBoard and Weights & Biases.
    name: str
        Name of the run. Resumed training continues under the same name.
    params: dict
        Parameters recorded with the run.

    Raises
    ------
    InputError
        A tracker is unknown, or its package is not installed.
    """

    def __init__(self, kinds: list[str], folder: str | Path, name: str, params: dict[str, Any]) -> None:
        self._writers: dict[str, Any] = {}
        self._folder, self._kinds, self._runs = Path(folder), kinds, {}
        for kind in kinds:
            if kind not in TRACKERS:
                raise unknown_name("tracker", kind, TRACKERS)
        if "wandb" in kinds:
            self._folder.mkdir(parents=True, exist_ok=True)
            wandb = _package("wandb")
            self._runs["wandb"] = wandb.init(project="cisnake", id=name, name=name, dir=folder, config=params, resume="allow")
        if "mlflow" in kinds:
            self._runs["mlflow"] = mlflow = _package("mlflow")
            mlflow.set_experiment("cisnake")
            runs = mlflow.search_runs(filter_string=f"attributes.run_name = '{name}'", output_format="list", max_results=1)
            mlflow.start_run(run_id=runs[0].info.run_id) if runs else mlflow.start_run(run_name=name)
            if not runs:
                mlflow.log_params({f"{part}.{key}": value for part in params for key, value in params[part].items()})

    def epoch(self, rows: list[dict[str, Any]]) -> None:
        """Record an epoch, given one row of the history per head."""
        for row in rows:
            head = f"{row['head']}/" if len(rows) > 1 else ""
            values = {name: float(value) for name, value in row.items() if name not in _NO_VALUES}
            if "tensorboard" in self._kinds:
                self._to_tensorboard(row["epoch"], head, values)
            values = {f"{head}{name}": value for name, value in values.items() if math.isfinite(value)}
            if "wandb" in self._runs:
                self._runs["wandb"].log(values, step=row["epoch"])
            if "mlflow" in self._runs:
                self._runs["mlflow"].log_metrics(values, step=row["epoch"])

    def _to_tensorboard(self, epoch: int, head: str, values: dict[str, float]) -> None:
        # Separate folders for training and validation, so that TensorBoard draws two curves in one panel.
        for name, value in values.items():
            part = "validation" if name.startswith("val_") else "train"
            if part not in self._writers:
                self._writers[part] = tf.summary.create_file_writer(str(self._folder / part))
            with self._writers[part].as_default():
                tf.summary.scalar(f"{head}{name.removeprefix('val_')}", value, step=epoch)
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        """Finish the runs."""
        for writer in self._writers.values():
            writer.close()
        if "wandb" in self._runs:
            self._runs["wandb"].finish()
        if "mlflow" in self._runs:
            self._runs["mlflow"].end_run()


def _package(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"tracking training with {name} requires a package that is not installed: run pip install {name}, or remove {name}."
        ) from error
