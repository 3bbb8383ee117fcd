"""Parameter files: the `model` and `train` sections, their defaults, and overrides of single keys."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from cisnake.errors import InputError, unknown_name

TRAIN_DEFAULTS: dict[str, Any] = {
    "batch_size": 64,
    "loss": "mse",
    "optimizer": "adamw",
    "learning_rate": 0.001,
    "lr_schedule": "constant",
    "warmup_steps": 0,
    "momentum": 0.99,
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "weight_decay": 0.0,
    "clip_norm": None,
    "global_clipnorm": None,
    "patience": 10,
    "train_epochs_min": 1,
    "train_epochs_max": 100,
}


def read_params(path: str | Path, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a parameter file (YAML, or Basenji's JSON, which is YAML too) and complete it with defaults.

    Parameters
    ----------
    path: str or Path
    overrides: dict, optional
        Single keys by dotted name, such as {"train.learning_rate": 0.01} or {"model.trunk.0.filters": 64}.

    Returns
    -------
    dict
        With the sections `model` and `train`.

    Raises
    ------
    InputError
        The file is missing or malformed, or a key is unknown (the nearest is named).
    """
    try:
        params = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"parameter file {path} cannot be read: {error}") from error
    if not isinstance(params, dict) or not {"model", "train"} >= set(params) or "model" not in params:
        raise InputError(f"parameter file {path} must have the sections model and train, and no other.")
    params = copy.deepcopy(params)
    params.setdefault("train", {})
    for name, value in (overrides or {}).items():
        _override(params, name, value)
    for key in params["train"]:
        if key not in TRAIN_DEFAULTS:
            raise unknown_name(f"key of the train section of {path}", key, TRAIN_DEFAULTS)
    params["train"] = TRAIN_DEFAULTS | params["train"]
    return params


def _override(params: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    try:
        for part in parents:
            params = params[int(part)] if isinstance(params, list) else params[part]
        params[int(last) if isinstance(params, list) else last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"override {name} names nothing in the parameter file.") from error
