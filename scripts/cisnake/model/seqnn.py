"""A network from the `model` section of a parameter file."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import keras

from cisnake.errors import InputError, unknown_name
from cisnake.model.blocks import BLOCKS, Defaults

_OWN_KEYS = ("seq_length", "seq_depth", "trunk", "head")


def build_model(params: dict[str, Any], num_targets: int) -> keras.Model:
    """Return the network that a `model` section describes.

    Parameters
    ----------
    params: dict
        `seq_length` (bases), `seq_depth` (4 bases, or 5 with the gene body), `trunk` and `head` (lists of blocks, each with
        its `name` and arguments), and what all blocks share: the fields of `blocks.Defaults`.
    num_targets: int
        Tasks; the number of units of the `final` block of the head, which need not give it.

    Returns
    -------
    keras.Model
        From (batch, seq_length, seq_depth) float32 to (batch, num_targets) float32.

    Raises
    ------
    InputError
        A key, a block or an argument is unknown (the message names the nearest), or shapes do not fit.
    """
    shared = [field.name for field in dataclasses.fields(Defaults)]
    for key in params:
        if key not in (*_OWN_KEYS, *shared):
            raise unknown_name("key of the model section", key, (*_OWN_KEYS, *shared))
    for key in ("seq_length", "trunk", "head"):
        if key not in params:
            raise InputError(f"the model section lacks {key}.")
    for key in ("trunk", "head"):
        if not isinstance(params[key], list) or not all(isinstance(block, dict) for block in params[key]):
            raise InputError(f"{key} of the model section must be a list of blocks, each with a name, as - {{name: flatten}}.")
    defaults = Defaults(**{key: value for key, value in params.items() if key in shared})
    depth = params.get("seq_depth", 4)
    if depth not in (4, 5):
        raise InputError(f"model seq_depth is {depth}: it is 4 (bases) or 5 (bases and gene body).")
    inputs = x = keras.Input((params["seq_length"], depth), name="sequence")
    for part in ("trunk", "head"):
        for number, block in enumerate(params[part], start=1):
            x = _apply(x, defaults, block, f"{part} block {number}", num_targets)
    if x.shape != (None, num_targets):
        raise InputError(
            f"the model's output has shape {tuple(x.shape[1:])} for {num_targets} tasks: end the trunk with flatten or "
            "global_pool, and the head with final."
        )
    return keras.Model(inputs, x, name="seqnn")


def _apply(x: Any, defaults: Defaults, block: dict[str, Any], place: str, num_targets: int) -> Any:
    arguments = dict(block)
    name = arguments.pop("name", None)
    if name not in BLOCKS:
        raise unknown_name(f"block ({place})", str(name), BLOCKS)
    known = list(inspect.signature(BLOCKS[name]).parameters)[2:]
    for key in arguments:
        if key not in known:
            raise unknown_name(f"argument of {name} ({place})", key, known)
    if name == "final":
        arguments.setdefault("units", num_targets)
    try:
        return BLOCKS[name](x, defaults, **arguments)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{name} ({place}) cannot be built: {str(error).splitlines()[0]}") from error
