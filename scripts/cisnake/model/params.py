"""Parameter files: the `model` and `train` sections, their defaults, and overrides of single keys."""

from __future__ import annotations

import re
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


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in JSON and YAML 1.2; PyYAML alone reads it as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


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
        The file is missing or malformed, a key is unknown (the nearest is named), or a number is none.
    """
    try:
        params = yaml.load(Path(path).read_text(), _Loader)
    except (OSError, yaml.YAMLError) as error:
        raise InputError(f"parameter file {path} cannot be read: {error}") from error
    if isinstance(params, dict):
        params["train"] = params.get("train") or {}
        for name, value in (overrides or {}).items():
            # Snakemake leaves numbers inside --config as text.
            _override(params, name, yaml.load(value, _Loader) if isinstance(value, str) else value)
    if not isinstance(params, dict) or set(params) != {"model", "train"} or not all(map(_is_section, params.values())):
        raise InputError(f"parameter file {path} must have the sections model and train, and no other.")
    for key, value in params["train"].items():
        if key not in TRAIN_DEFAULTS:
            raise unknown_name(f"key of the train section of {path}", key, TRAIN_DEFAULTS)
        _check_number(key, value)
    params["train"] = TRAIN_DEFAULTS | params["train"]
    return params


def _is_section(section: Any) -> bool:
    return isinstance(section, dict) and all(isinstance(key, str) for key in section)


def _check_number(key: str, value: Any) -> None:
    default = TRAIN_DEFAULTS[key]
    if isinstance(default, str) or (value is None and default is None):
        return
    whole = isinstance(default, int)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value < 0:
        raise InputError(f"train.{key} is {value!r}: it must be a {'whole ' if whole else ''}number, not negative.")


def _override(params: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    try:
        for part in parents:
            params = params[int(part)] if isinstance(params, list) else params[part]
        params[int(last) if isinstance(params, list) else last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"override {name} names nothing in the parameter file.") from error
