"""Parameter files: the `model` and `train` sections, their defaults, and overrides of single keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from cisnake.errors import InputError, unknown_name
from cisnake.program import log


class ParamSetting(NamedTuple):
    """A key of a section: its default, the kind of its values, and what it does."""

    default: Any
    kind: type
    about: str


# Defaults are Basenji's, so that its params.json means here what it meant there.
TRAIN_SETTINGS: dict[str, ParamSetting] = {
    "batch_size": ParamSetting(64, int, "Examples in a batch, over all devices."),
    "loss": ParamSetting("poisson", str, "mse, mse_udot, poisson, poisson_kl, poisson_mn, task_poisson_mn or bce."),
    "spec_weight": ParamSetting(1.0, float, "Weight of the second part of mse_udot and poisson_kl."),
    "total_weight": ParamSetting(
        None, float, "Weight of the total in poisson_mn (null: 1) and task_poisson_mn (null: 0.0001)."
    ),
    "weight_range": ParamSetting(1.0, float, "poisson_mn: how many times the middle outweighs the ends."),
    "weight_exp": ParamSetting(1.0, float, "poisson_mn: the greater, the flatter the middle and the steeper the ends."),
    "rescale": ParamSetting(False, bool, "poisson_mn: multiply by 2 / (1 + total_weight)."),
    "optimizer": ParamSetting("sgd", str, "sgd, adam, adamw, or another optimizer of Keras by name."),
    "learning_rate": ParamSetting(0.01, float, "Where schedules begin."),
    "lr_schedule": ParamSetting(
        None, str, "constant, cosine (to zero at train_epochs_max), exponential or cyclical1; null: what the keys below say."
    ),
    "warmup_steps": ParamSetting(0, int, "Batches over which the rate rises from zero first."),
    "initial_learning_rate": ParamSetting(None, float, "cyclical1: where it begins."),
    "maximal_learning_rate": ParamSetting(None, float, "cyclical1: what it rises to."),
    "final_learning_rate": ParamSetting(None, float, "cyclical1: what stays after the cycle."),
    "train_epochs_cycle1": ParamSetting(None, int, "cyclical1: epochs up, and as many down."),
    "decay_steps": ParamSetting(None, int, "exponential: after as many batches the rate is multiplied by decay_rate."),
    "decay_rate": ParamSetting(None, float, "exponential; 0.96 if decay_steps is given."),
    "momentum": ParamSetting(0.99, float, "Of sgd."),
    "adam_beta1": ParamSetting(0.9, float, "Of optimizers of Adam's family."),
    "adam_beta2": ParamSetting(0.999, float, "Likewise."),
    "weight_decay": ParamSetting(0.0, float, "Of adamw and others; spares biases and normalisation."),
    "clip_norm": ParamSetting(None, float, "Largest norm of the gradient of each weight tensor."),
    "global_clipnorm": ParamSetting(None, float, "Largest norm of the gradients of all weights together."),
    "agc_clip": ParamSetting(None, float, "Largest norm of a unit's gradient, as a share of the norm of its weights."),
    "gradient_accumulation": ParamSetting(
        1, int, "Pieces of a batch that go through the network one after another, to save memory."
    ),
    "precision": ParamSetting("float32", str, "float32, mixed_bfloat16, or mixed_float16 with a scaled loss."),
    "jit_compile": ParamSetting(False, bool, "Compile with XLA."),
    "monitor": ParamSetting(
        None,
        str,
        "Validation score that picks the best epoch: loss, pearsonr, r2, spearmanr, gene_pearsonr, auroc, auprc; "
        "null: pearsonr + r2 / 4, or loss for bce.",
    ),
    "patience": ParamSetting(20, int, "Epochs without a better score after which training stops."),
    "train_epochs_min": ParamSetting(1, int, "Epochs before it may stop."),
    "train_epochs_max": ParamSetting(10000, int, "Epochs after which it stops."),
    "stages": ParamSetting(None, list, "Parts of a training, each with epochs, train (what is not frozen) and learning_rate."),
}
TRANSFER_SETTINGS: dict[str, ParamSetting] = {
    "weights": ParamSetting(None, str, "File of the trained network whose trunk training starts from."),
    "mode": ParamSetting(
        "full", str, "full: all weights are trained; linear: those of the heads; adapter: those and the adapter's."
    ),
    "adapter": ParamSetting(None, str, "lora, lora_full, lora_conv, locon, ia3, houlsby or houlsby_se."),
    "adapter_latent": ParamSetting(8, int, "Rank, or width of the bottleneck."),
    "lora_alpha": ParamSetting(16.0, float, "A low-rank change counts lora_alpha / adapter_latent times."),
    "conv_select": ParamSetting(4, int, "How many convolutions, from the end of the trunk, are adapted."),
    "conv_latent": ParamSetting(4, int, "Rank of the change of a convolution."),
    "locon_alpha": ParamSetting(1.0, float, "It counts locon_alpha / conv_latent times."),
}
TRAIN_DEFAULTS: dict[str, Any] = {key: setting.default for key, setting in TRAIN_SETTINGS.items()}
TRANSFER_DEFAULTS: dict[str, Any] = {key: setting.default for key, setting in TRANSFER_SETTINGS.items()}
# Keys of Basenji and Baskerville under another name, and those that mean nothing here.
_ALIASES = {"clipnorm": "clip_norm"}
_WITHOUT_EFFECT = {
    "shuffle_buffer": "every epoch goes through all examples in a random order",
    "num_gpu": "the devices are those that resources.gpus asks for",
    "train_epochs": "train_epochs_max and patience say when training ends",
}
_KINDS = {
    int: "a whole number, not negative",
    float: "a number, not negative",
    bool: "true or false",
    str: "text",
    list: "a list",
}
_BEGINS_AS_JSON = re.compile(r'\s*\{\s*"')


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-3 is a number, as in JSON and YAML 1.2; PyYAML alone reads it as text."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_params(path: str | Path, overrides: dict[str, Any] | None = None) -> dict[str, Any]:
    """Read a parameter file (YAML, or Basenji's JSON, whatever its name) and complete it with defaults.

    Parameters
    ----------
    path: str or Path
    overrides: dict, optional
        Single keys by dotted name, such as {"train.learning_rate": 0.01} or {"model.trunk.0.filters": 64}.

    Returns
    -------
    dict
        With the sections `model`, `train` and, where given, `transfer`.

    Raises
    ------
    InputError
        The file is missing or malformed, a key is unknown (the nearest is named), or a value is not of its kind.

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
        # Editors of Windows put a mark before UTF-8, at which JSON stumbles.
        params = _parse(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise InputError(f"parameter file {path} cannot be read: {' '.join(str(error).split())}") from error
    if isinstance(params, dict):
        params["train"] = params.get("train") or {}
        if any(name.startswith("transfer.") for name in overrides or {}):
            params.setdefault("transfer", {})
        for name, value in (overrides or {}).items():
            # Snakemake leaves numbers inside --config as text.
            _override(params, name, yaml.load(value, _Loader) if isinstance(value, str) else value)
    sections = set(params) if isinstance(params, dict) else set()
    if not {"model", "train"} <= sections <= {"model", "train", "transfer"} or not all(map(_is_section, params.values())):
        raise InputError(f"parameter file {path} must have the sections model and train, may have transfer, and no other.")
    params["train"] = TRAIN_DEFAULTS | _checked("train", params["train"], TRAIN_SETTINGS, path)
    if "transfer" in params:
        params["transfer"] = TRANSFER_DEFAULTS | _checked("transfer", params["transfer"], TRANSFER_SETTINGS, path)
    return params


def _parse(text: str) -> Any:
    """Read text as JSON if it is JSON, else as YAML: JSON may be indented with tabs, which YAML refuses."""
    if not text.lstrip().startswith("{"):
        return yaml.load(text, _Loader)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        broken = error
    try:
        # YAML in braces begins alike, and some JSON that is not quite JSON is YAML.
        return yaml.load(text, _Loader)
    except yaml.YAMLError:
        if _BEGINS_AS_JSON.match(text):
            raise broken from None
        raise


def _checked(section: str, given: dict[str, Any], settings: dict[str, ParamSetting], path: str | Path) -> dict[str, Any]:
    checked = {}
    for key, value in given.items():
        if key in _WITHOUT_EFFECT:
            log.info("%s.%s of %s has no effect: %s", section, key, path, _WITHOUT_EFFECT[key])
            continue
        name = _ALIASES.get(key, key)
        if name not in settings:
            raise unknown_name(f"key of the {section} section of {path}", key, settings)
        if name in checked:
            raise InputError(f"{section}.{key} of {path} is given twice, as {name} and as its other name.")
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
        raise InputError(f"override {name} names nothing in the parameter file.") from error
