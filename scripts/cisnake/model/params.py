"""Parameter files: the `model`, `train` and `transfer` sections, their defaults, and overrides of single keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cisnake.errors import InputError, unknown_name
from cisnake.program import log
from cisnake.text_files import parse_yaml


class ParamSetting(NamedTuple):
    """A key of a section: its default, the type of its values, and its description."""

    default: Any
    kind: type
    about: str


# Defaults are Basenji's, so that its params.json has the same meaning here.
TRAIN_SETTINGS: dict[str, ParamSetting] = {
    "batch_size": ParamSetting(64, int, "Examples per batch, over all devices."),
    "loss": ParamSetting("poisson", str, "mse, mse_udot, poisson, poisson_kl, poisson_mn, task_poisson_mn or bce."),
    "spec_weight": ParamSetting(1.0, float, "mse_udot and poisson_kl: weight of the second term."),
    "total_weight": ParamSetting(
        None, float, "Weight of the total in poisson_mn (null: 1) and task_poisson_mn (null: 0.0001)."
    ),
    "weight_range": ParamSetting(1.0, float, "poisson_mn: weight of the middle relative to the ends."),
    "deviation_weight": ParamSetting(
        0.0, float, "mse and mse_udot, one value per gene: weight of differences between tasks; 1: as much as what they share."
    ),
    "weight_exp": ParamSetting(1.0, float, "poisson_mn: larger values give a flatter middle and steeper ends."),
    "rescale": ParamSetting(False, bool, "poisson_mn: multiply by 2 / (1 + total_weight)."),
    "optimizer": ParamSetting("sgd", str, "sgd, adam, adamw, or the name of another Keras optimizer."),
    "learning_rate": ParamSetting(0.01, float, "Learning rate, or initial rate of a schedule (except cyclical1)."),
    "lr_schedule": ParamSetting(
        None, str, "constant, cosine (to zero at train_epochs_max), exponential or cyclical1; null: inferred from keys below."
    ),
    "warmup_steps": ParamSetting(0, int, "Batches over which the learning rate first rises from zero."),
    "initial_learning_rate": ParamSetting(None, float, "cyclical1: initial rate."),
    "maximal_learning_rate": ParamSetting(None, float, "cyclical1: maximum rate."),
    "final_learning_rate": ParamSetting(None, float, "cyclical1: constant rate after the cycle."),
    "train_epochs_cycle1": ParamSetting(None, int, "cyclical1: epochs of increase, followed by as many of decrease."),
    "decay_steps": ParamSetting(None, int, "exponential: batches after which the rate is multiplied by decay_rate."),
    "decay_rate": ParamSetting(None, float, "exponential: factor per decay_steps (null: 0.96)."),
    "momentum": ParamSetting(0.99, float, "Momentum of sgd."),
    "adam_beta1": ParamSetting(0.9, float, "First beta of adam, adamw, adamax, nadam and lamb."),
    "adam_beta2": ParamSetting(0.999, float, "Second beta of the same optimizers."),
    "weight_decay": ParamSetting(0.0, float, "For optimizers other than sgd and adam; excludes biases and normalisation."),
    "clip_norm": ParamSetting(None, float, "Maximum gradient norm per weight tensor."),
    "global_clipnorm": ParamSetting(None, float, "Maximum gradient norm over all weights."),
    "agc_clip": ParamSetting(None, float, "Maximum gradient norm of a unit relative to the norm of its weights."),
    "gradient_accumulation": ParamSetting(1, int, "Number of parts in which each batch is processed, to save memory."),
    "precision": ParamSetting("float32", str, "float32, mixed_bfloat16, or mixed_float16 with adaptive loss scaling."),
    "jit_compile": ParamSetting(False, bool, "Compile with XLA."),
    "monitor": ParamSetting(
        None,
        str,
        "Validation score that selects the best epoch: loss, pearsonr, r2, spearmanr, gene_pearsonr, auroc, auprc; "
        "null: pearsonr + r2 / 4, or loss for bce.",
    ),
    "patience": ParamSetting(20, int, "Epochs without improvement after which training stops."),
    "train_epochs_min": ParamSetting(1, int, "Minimum number of epochs."),
    "train_epochs_max": ParamSetting(10000, int, "Maximum number of epochs."),
    "train_steps_min": ParamSetting(
        0, int, "Batches of a full training: with few examples, train_epochs_max is raised until it has as many."
    ),
    "stages": ParamSetting(
        None, list, "Successive stages of training, each with epochs, train (trainable parts) and learning_rate."
    ),
}
TRANSFER_SETTINGS: dict[str, ParamSetting] = {
    "weights": ParamSetting(None, str, "File of a trained network, from which the trunk is loaded."),
    "mode": ParamSetting("full", str, "Trainable weights: full (all), linear (heads only) or adapter (heads and adapter)."),
    "adapter": ParamSetting(None, str, "lora, lora_full, lora_conv, locon, ia3, houlsby or houlsby_se."),
    "adapter_latent": ParamSetting(8, int, "Rank, or width of the bottleneck."),
    "lora_alpha": ParamSetting(16.0, float, "Low-rank updates are scaled by lora_alpha / adapter_latent."),
    "conv_select": ParamSetting(4, int, "Number of adapted convolutions, counted from the end of the trunk."),
    "conv_latent": ParamSetting(4, int, "Rank of the update of a convolution, or width of the gate of houlsby_se."),
    "locon_alpha": ParamSetting(1.0, float, "Updates of convolutions are scaled by locon_alpha / conv_latent."),
}
STANDARDIZED_LOSSES = ("mse", "mse_udot")
"""Losses that are defined for labels of any unit and offset: with one label per gene and task, labels are standardised."""

TRAIN_DEFAULTS: dict[str, Any] = {key: setting.default for key, setting in TRAIN_SETTINGS.items()}
TRANSFER_DEFAULTS: dict[str, Any] = {key: setting.default for key, setting in TRANSFER_SETTINGS.items()}
# Keys of Basenji and Baskerville that have another name here, and those without effect.
_ALIASES = {"clipnorm": "clip_norm"}
_WITHOUT_EFFECT = {
    "shuffle_buffer": "every epoch uses all examples in random order",
    "num_gpu": "resources.gpus sets the number of GPUs",
    "train_epochs": "train_epochs_max and patience determine when training stops",
}
_KINDS = {
    int: "a non-negative whole number",
    float: "a non-negative number",
    bool: "true or false",
    str: "text",
    list: "a list",
}


class _Loader(yaml.SafeLoader):
    """YAML loader that reads 1e-3 as a number, as JSON and YAML 1.2 do; PyYAML reads it as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def count_epochs(train: dict[str, Any], steps_per_epoch: int) -> int:
    """Return the maximum number of epochs of a training without stages.

    Parameters
    ----------
    train: dict
        The section `train`, complete.
    steps_per_epoch: int
        Batches per epoch.

    Examples
    --------
    >>> from cisnake.model import count_epochs
    >>> train = {"train_epochs_max": 12, "train_steps_min": 750}
    >>> count_epochs(train, 100), count_epochs(train, 24)
    (12, 32)
    """
    return max(train["train_epochs_max"], -(-train["train_steps_min"] // max(steps_per_epoch, 1)))


def read_params(path: str | Path, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a parameter file (YAML, or Basenji's JSON, whatever its extension) and fill in defaults.

    Parameters
    ----------
    path: str or Path
    overrides: dict, optional
        Single keys by dotted name, for example {"train.learning_rate": 0.01} or {"model.trunk.0.filters": 64}.

    Returns
    -------
    dict
        With the sections `model`, `train` and, if present, `transfer`.

    Raises
    ------
    InputError
        The file is missing or malformed, a key is unknown (the message suggests the closest), or a value has the wrong type.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from cisnake.model import read_params
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "params.yaml")
    ...     _ = file.write_text("{model: {trunk: []}, train: {learning_rate: 1e-3}}")
    ...     train = read_params(file, {"train.batch_size": 32})["train"]
    >>> train["learning_rate"], train["batch_size"], train["loss"]
    (0.001, 32, 'poisson')
    """
    try:
        # Windows editors put a byte order mark before UTF-8, which the JSON parser rejects.
        params = parse_yaml(Path(path).read_text(encoding="utf-8-sig"), _Loader)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise InputError(f"parameter file {path} cannot be read: {' '.join(str(error).split())}") from error
    if isinstance(params, dict):
        params["train"] = params.get("train") or {}
        if any(name.startswith("transfer.") for name in overrides or {}):
            params.setdefault("transfer", {})
        for name, value in (overrides or {}).items():
            # Snakemake passes numbers nested in --config as text.
            _override(params, name, yaml.load(value, _Loader) if isinstance(value, str) else value)
    sections = set(params) if isinstance(params, dict) else set()
    if not {"model", "train"} <= sections <= {"model", "train", "transfer"} or not all(map(_is_section, params.values())):
        raise InputError(f"parameter file {path} must have the sections model and train, optionally transfer, and no others.")
    params["train"] = TRAIN_DEFAULTS | _checked("train", params["train"], TRAIN_SETTINGS, path)
    if "transfer" in params:
        params["transfer"] = TRANSFER_DEFAULTS | _checked("transfer", params["transfer"], TRANSFER_SETTINGS, path)
    return params


def _checked(section: str, values: dict[str, Any], settings: dict[str, ParamSetting], path: str | Path) -> dict[str, Any]:
    checked = {}
    for key, value in values.items():
        if key in _WITHOUT_EFFECT:
            log.info("%s.%s in %s has no effect: %s", section, key, path, _WITHOUT_EFFECT[key])
            continue
        name = _ALIASES.get(key, key)
        if name not in settings:
            raise unknown_name(f"key of the {section} section of {path}", key, settings)
        if name in checked:
            raise InputError(f"{section}.{name} is set twice in {path}, also under its alias: remove one.")
        default, kind, _ = settings[name]
        if not (value is None and default is None) and not _is_a(value, kind):
            raise InputError(f"{section}.{key} is {value!r}: it must be {_KINDS[kind]}.")
        checked[name] = value
    return checked


def _is_a(value: Any, kind: type) -> bool:
    if kind in (int, float):
        return isinstance(value, (int, kind)) and not isinstance(value, bool) and value >= 0
    return isinstance(value, kind)


def _is_section(section: Any) -> bool:
    return isinstance(section, dict) and all(isinstance(key, str) for key in section)


def _override(params: Any, name: str, value: Any) -> None:
    *parents, last = name.split(".")
    try:
        for part in parents:
            params = params[int(part)] if isinstance(params, list) else params[part]
        params[int(last) if isinstance(params, list) else last] = value
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise InputError(f"override {name} matches no key of the parameter file.") from error
