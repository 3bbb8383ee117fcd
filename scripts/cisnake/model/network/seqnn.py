"""Build a network from the `model` section of a parameter file."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers

from cisnake.errors import InputError, unknown_name
from cisnake.model.network.adapters import insert_adapter, with_exact_gelu
from cisnake.model.network.augmentation_layers import (
    StochasticMutation,
    StochasticReverseComplement,
    StochasticShift,
    SwitchReverse,
)
from cisnake.model.network.blocks import BLOCKS, INNER, KERAS_LAYERS, OWN_DEFAULTS, PLAIN, REFUSED
from cisnake.model.network.context import BlockContext, Defaults

_SHARED = [field.name for field in dataclasses.fields(Defaults)]
_OWN_KEYS = ("seq_length", "seq_depth", "trunk", "head", "augment_rc", "augment_shift", "augment_mutation", "strand_pair")
# Keys that Baskerville writes after a transfer, for networks with adapters that cannot be merged.
_ADAPTER_KEYS = ("adapter", "adapter_latent", "conv_select", "se_rank")
_ADAPTERS = ("houlsby", "houlsby_se")
# Keys of Basenji's files that follow from the data or the blocks, or concern output or the use of a trained model.
_IGNORED_KEYS = ("verbose", "target_length", "target_crop", "ensemble_rc", "ensemble_shifts")
_REFUSED_KEYS = {
    "diagonal_offset": "contact maps are not supported.",
    "rnn_type": "Saluki's recurrent networks for RNA are not supported.",
    "num_layers": "Saluki's recurrent networks for RNA are not supported.",
}


def build_model(params: dict[str, Any], num_targets: int | dict[str, int] | None = None) -> keras.Model:
    """Build the network described by a `model` section, with the keys of Basenji and Baskerville.

    The trunk ends with the model's `activation`. Layers have reproducible names, `trunk_<i>_<block>_<kind>_<n>` and
    `<head>_<i>_<block>_<kind>_<n>`.

    Parameters
    ----------
    params: dict
        - `seq_length` (bases) and `seq_depth` (4: bases, default; 5: bases and gene body);
        - `trunk`, a list of blocks, each with its `name` and arguments, and one or more heads: keys that start with `head`,
          each with a block or a list of blocks;
        - settings shared by blocks, the fields of `context.Defaults`: a block can override them; with 0, false or null, the
          default of each block applies;
        - `augment_rc`: in training, reverse-complement each window with probability 1/2, and reverse its predictions back;
          `strand_pair`: a list with one entry per head (null, or for each task the index of the task of the opposite strand);
        - `augment_shift`: in training, shift each window by up to this many bases;
        - `augment_mutation`: in training, replace this fraction of the bases of each window by random bases;
        - `adapter`: houlsby or houlsby_se, for networks with an adapter from Baskerville (`adapter_latent`, `conv_select` and
          `se_rank` are `latent`, `conv_select` and `conv_latent` of `insert_adapter`); see `adapters.with_exact_gelu`.
    num_targets: int or dict of str to int, optional
        Number of tasks, of all heads or per head: the units of output blocks that do not set them. Default: as in the blocks.

    Returns
    -------
    keras.Model
        From (batch, seq_length, seq_depth) float32 to (batch, tasks) or (batch, positions, tasks) float32; with several
        heads, to a dict of these by key.

    Raises
    ------
    InputError
        A key, a block or an argument is unknown (the message suggests the closest) or not supported, or shapes do not match.
    """
    heads = _head_keys(params)
    _check_section(params, heads)
    tasks = num_targets if isinstance(num_targets, dict) else dict.fromkeys(heads, num_targets)
    for key in tasks:
        if key not in heads:
            raise unknown_name("head", key, heads)
    inputs = x = keras.Input((params["seq_length"], params.get("seq_depth", 4)), name="sequence")
    reverse = None
    if params.get("augment_rc"):
        x, reverse = StochasticReverseComplement(name="augment_reverse_complement")(x)
    shift = _shift(params.get("augment_shift"))
    if shift:
        x = StochasticShift(shift, name="augment_shift")(x)
    if rate := _rate(params.get("augment_mutation")):
        x = StochasticMutation(rate, name="augment_mutation")(x)
    representations: list[Any] = []
    for number, block in enumerate(params["trunk"], start=1):
        x = _apply(x, params, block, "trunk", number, representations, None)
        representations.append(x)
    try:
        trunk = BlockContext(prefix=f"trunk_{len(params['trunk']) + 1}_end").activate(x, params.get("activation", "relu"))
    except InputError as error:
        raise InputError(f"activation of the model section: {error}") from error
    outputs = {}
    for key, blocks, pair in zip(heads, heads.values(), _strand_pairs(params, len(heads))):
        x, head_representations = trunk, list(representations)
        for number, block in enumerate(blocks, start=1):
            x = _apply(x, params, block, key, number, head_representations, tasks.get(key))
        outputs[key] = _finish(x, key, tasks.get(key), reverse, pair)
    model = keras.Model(inputs, outputs if len(outputs) > 1 else next(iter(outputs.values())), name="seqnn")
    return _with_adapter(model, params) if params.get("adapter") else model


def head_model(model: keras.Model, key: str) -> keras.Model:
    """Return the submodel of one head; it shares the weights of the model.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, or loaded from a saved file.
    key: str
        Key of the head; ignored if the model has a single head.

    Raises
    ------
    InputError
        The head does not exist.
    """
    outputs = model.output
    if not isinstance(outputs, dict):
        return model
    if key not in outputs:
        raise unknown_name("head", key, outputs)
    return keras.Model(model.input, outputs[key], name=model.name)


def join_heads(models: dict[str, keras.Model]) -> keras.Model:
    """Return one network with the outputs of several submodels of it; the inverse of `head_model`.

    Parameters
    ----------
    models: dict of str to keras.Model
        From `head_model`, by key of the head, all of the same network.

    Returns
    -------
    keras.Model
        Its outputs are a dict by key.
    """
    first = next(iter(models.values()))
    return keras.Model(first.input, {key: model.output for key, model in models.items()}, name=first.name)


def choose_head(head: str | None, heads: list[str], path: str | Path) -> str:
    """Return the key of the head to use of a trained network.

    Parameters
    ----------
    head: str, optional
        The wanted key (`model.head`). Default None: the only head.
    heads: list of str
        The keys of the network.
    path: str or Path
        File of the network, for messages.

    Raises
    ------
    InputError
        The head does not exist, or there are several and none is named.
    """
    if head is None and len(heads) == 1:
        return heads[0]
    if head is None:
        raise InputError(f"the network in {path} has the heads {', '.join(heads)}: set model.head to one of them.")
    if head not in heads:
        raise unknown_name("model.head", head, heads)
    return head


def head_names(params: dict[str, Any]) -> list[str]:
    """Return the keys of the heads in a `model` section, in the order of `strand_pair`."""
    return list(_head_keys(params))


def check_single_head(params: dict[str, Any]) -> None:
    """Raise an error if a `model` section has several heads.

    Parameters
    ----------
    params: dict
        As for `build_model`.

    Raises
    ------
    InputError
        There are several heads; the message lists them.
    """
    heads = head_names(params)
    if len(heads) > 1:
        raise InputError(
            f"the model section has the heads {', '.join(heads)}, but there are data for only one: remove the others, or name "
            "their data sets in train.heads."
        )


def _head_keys(params: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Return the heads in natural order (head_2 before head_10), each as a list of blocks."""
    keys = [key for key in params if key.startswith("head")]
    keys.sort(key=lambda key: [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", key)])
    return {key: [params[key]] if isinstance(params[key], dict) else params[key] for key in keys}


def _check_section(params: dict[str, Any], heads: dict[str, Any]) -> None:
    known = (*_OWN_KEYS, *_ADAPTER_KEYS, *_SHARED, "batch_norm", *_IGNORED_KEYS)
    for key in params:
        if key in _REFUSED_KEYS:
            raise InputError(f"{key} of the model section: {_REFUSED_KEYS[key]}")
        if key not in known and key not in heads:
            raise unknown_name("key of the model section", key, known)
    for key in ("seq_length", "trunk"):
        if key not in params:
            raise InputError(f"the model section lacks {key}.")
    if not heads:
        raise InputError("the model section lacks head.")
    for key, blocks in {"trunk": params["trunk"], **heads}.items():
        if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
            raise InputError(
                f"{key} of the model section must be a list of blocks, each with a name: for example - {{name: flatten}}."
            )
    depth, length = params.get("seq_depth", 4), params["seq_length"]
    if depth not in (4, 5):
        raise InputError(f"model seq_depth is {depth}: it must be 4 (bases) or 5 (bases and gene body).")
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise InputError(f"model seq_length is {length!r}: it must be a positive whole number of bases.")


def _with_adapter(model: keras.Model, params: dict[str, Any]) -> keras.Model:
    if params["adapter"] not in _ADAPTERS:
        raise InputError(
            f"adapter of the model section is {params['adapter']!r}: it must be {' or '.join(_ADAPTERS)}. Set other adapters "
            "in the section transfer; they are merged after training."
        )
    names = {"adapter_latent": "latent", "conv_select": "conv_select", "se_rank": "conv_latent"}
    settings = {names[key]: params[key] for key in names if key in params}
    return with_exact_gelu(insert_adapter(model, params["adapter"], **settings)[0])


def _shift(value: Any) -> int:
    """Return augment_shift, which in Basenji is a number or a list of one number."""
    shift = value[0] if isinstance(value, list) and len(value) == 1 else value
    if shift is None or (isinstance(shift, int) and shift >= 0):
        return int(shift or 0)
    raise InputError(f"model augment_shift is {value!r}: it must be the largest shift, a whole number of bases.")


def _rate(value: Any) -> float:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1):
        return float(value or 0)
    raise InputError(f"model augment_mutation is {value!r}: it must be the fraction of bases that are replaced, from 0 to 1.")


def _strand_pairs(params: dict[str, Any], heads: int) -> list[list[int] | None]:
    pairs = params.get("strand_pair") or []
    if len(pairs) not in (0, heads) or not all(pair is None or np.ndim(pair) == 1 for pair in pairs):
        raise InputError("strand_pair of the model section must have one entry per head: null, or a task index for each task.")
    return [None if pair is None else [int(task) for task in pair] for pair in pairs or [None] * heads]


def _apply(
    x: Any, params: dict[str, Any], block: dict[str, Any], part: str, number: int, representations: list[Any], units: int | None
) -> Any:
    """Add one block: check its arguments, resolve shared settings, and report its position if it cannot be built."""
    arguments = dict(block)
    name, place = str(arguments.pop("name", None)), f"{part} block {number}"
    if name in REFUSED:
        raise InputError(f"{name} ({place}): {REFUSED[name]}")
    if name not in BLOCKS and name not in KERAS_LAYERS:
        raise unknown_name(f"block ({place})", name, (*BLOCKS, *KERAS_LAYERS))
    known = _arguments(name)
    for key in arguments:
        if key not in known:
            raise unknown_name(f"argument of {name} ({place})", key, known)
    if name in ("final", "dense", "Dense") and units is not None:
        arguments.setdefault("units", units)
    prefix = f"{part}_{number}_{name}"
    try:
        if name in KERAS_LAYERS:
            return BlockContext(prefix=prefix).layer(KERAS_LAYERS[name], **arguments)(x)
        settings = {key: arguments.pop(key) for key in (*_SHARED, "batch_norm") if key in arguments}
        return BLOCKS[name](x, BlockContext(_defaults(params, name, settings), prefix, representations), **arguments)
    except InputError as error:
        raise InputError(f"{name} ({place}): {error}") from error
    except (TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        # Keras prints "Exception encountered when ..." in bold before the reason.
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception encountered")]
        reason = re.sub(r"\x1b\[\d+m", "", lines[0]) if lines else type(error).__name__
        raise InputError(f"{name} ({place}) cannot be built: {reason}") from error


def _arguments(name: str) -> list[str]:
    """Return the names of all arguments of a block."""
    if name in KERAS_LAYERS:
        known = list(inspect.signature(KERAS_LAYERS[name]).parameters)
        return [key for key in known if key not in ("name", "kwargs")]
    known = [key for key in list(inspect.signature(BLOCKS[name]).parameters)[2:] if key != "arguments"]
    if name in INNER:
        inner = list(inspect.signature(INNER[name]).parameters)[2:]
        known += [key for key in inner if key not in (*known, "filters")]
    return known if name in PLAIN else [*known, *_SHARED, "batch_norm"]


def _defaults(params: dict[str, Any], name: str, settings: dict[str, Any]) -> Defaults:
    """Return the settings of a block: its own take precedence over the model's, and these over the block's defaults."""
    model_settings = {key: params[key] for key in _SHARED if params.get(key)}
    if params.get("batch_norm") and "norm_type" not in params:
        model_settings["norm_type"] = "batch"
    settings = dict(settings)
    if "batch_norm" in settings:
        legacy = "batch" if settings.pop("batch_norm") else None
        settings.setdefault("norm_type", legacy)
    return Defaults(**{**OWN_DEFAULTS.get(name, {}), **model_settings, **settings})


def _finish(x: Any, key: str, tasks: int | None, reverse: Any, pair: list[int] | None) -> Any:
    """Check the shape of a head's output, cast it to float32, and reverse predictions of reverse-complemented windows."""
    if len(x.shape) not in (2, 3) or (tasks is not None and x.shape[-1] != tasks):
        raise InputError(
            f"the output of {key} has shape {tuple(x.shape[1:])}, but there are {tasks} tasks: end {key} with the block final, "
            "without units or with one per task."
        )
    if x.dtype != "float32":
        x = layers.Activation("linear", dtype="float32", name=f"{key}_float32")(x)
    if pair is not None and (sorted(pair) != list(range(x.shape[-1])) or any(pair[pair[task]] != task for task in pair)):
        raise InputError(
            f"strand_pair of {key} must have one task index for each of {x.shape[-1]} tasks, and partners must point to each "
            "other."
        )
    if reverse is not None:
        x = SwitchReverse(pair, dtype="float32", name=f"{key}_switch_reverse")(x, reverse)
    return x
