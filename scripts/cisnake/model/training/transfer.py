"""Transfer: new tasks for a trained trunk, and which of its weights are trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from cisnake.errors import InputError, unknown_name
from cisnake.model.network import adapter_layers, insert_adapter
from cisnake.model.params import TRANSFER_DEFAULTS
from cisnake.model.weights import load_weights

_MODES = ("full", "linear", "adapter")
_ADAPTER_KEYS = ("lora_alpha", "conv_select", "conv_latent", "locon_alpha")


def apply_transfer(model: keras.Model, transfer: dict[str, Any]) -> tuple[keras.Model, str | list[str]]:
    """Make a new network ready for what the `transfer` section of a parameter file asks for.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, for the new tasks.
    transfer: dict
        `weights`: a file whose trunk the model starts from (see `load_weights`), none if absent. `mode`: full (default), all
        weights are trained; linear, those of the heads alone; adapter, those of the heads and of `adapter`, for whose
        further settings see `insert_adapter`. What is left out is as in `params.TRANSFER_DEFAULTS`; `params.read_params` checks
        keys and kinds.

    Returns
    -------
    model: keras.Model
        The same, or with adapters another. Nothing of it is frozen yet.
    trained: str or list of str
        What is to be trained, for `freeze`.

    Raises
    ------
    InputError
        A value is unknown, the file does not fit, or the model has no place for the adapter.
    """
    settings = TRANSFER_DEFAULTS | transfer
    mode, adapter = settings["mode"], settings["adapter"]
    if mode not in _MODES:
        raise unknown_name("mode of the transfer section", str(mode), _MODES)
    if (mode == "adapter") != (adapter is not None):
        raise InputError(
            f"transfer.mode is {mode} and transfer.adapter {adapter}: name an adapter with mode adapter, and no other."
        )
    if settings["weights"] is not None:
        load_weights(model, settings["weights"], trunk_only=True)
    if mode == "adapter":
        return insert_adapter(model, adapter, settings["adapter_latent"], **{key: settings[key] for key in _ADAPTER_KEYS})
    return model, "all" if mode == "full" else "head"


def freeze(model: keras.Model, train: str | Sequence[str] = "all") -> None:
    """Let some weights of a network be trained, and freeze all others.

    A frozen batch normalisation normalises by its moving statistics, in training, too, and leaves them as they are; dropout
    goes on. A step that was compiled before knows nothing of this: compile another.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, `head_model` or `insert_adapter`.
    train: str or sequence of str
        What is trained, one or more of: all; adapters, the weights that `insert_adapter` put in; head, all heads; trunk; and
        the beginning of layer names, up to any of their underscores: head_human, trunk_7, trunk_7_conv_nac_conv1d_1.
        Default all.

    Raises
    ------
    InputError
        A name fits no layer, or there is no adapter.
    """
    wanted = [train] if isinstance(train, str) else list(train)
    adapted = adapter_layers(model)
    for name in wanted:
        if name == "adapters" and not adapted:
            raise InputError("adapters are to be trained, but the model has none: set transfer.adapter.")
        if name not in ("all", "adapters") and not any(_belongs(layer.name, name) for layer in model.layers):
            parts = {"_".join(layer.name.split("_")[:n]) for layer in model.layers for n in (1, 2) if layer.weights}
            raise unknown_name("part of the model to train", str(name), ["all", "adapters", *sorted(parts)])
    for layer in model.layers:
        chosen = "all" in wanted or any(_belongs(layer.name, name) for name in wanted)
        # Keras does nothing where a layer already is what it is told to be, even if its weights are not.
        layer.trainable = not chosen
        layer.trainable = chosen
    if "adapters" in wanted:
        for layer in adapted:
            if not layer.trainable:
                _train_only(layer, layer.adapter_weights)


def _belongs(layer: str, name: str) -> bool:
    # Any key that begins with head is a head: head2, too.
    return layer == name or layer.startswith(name if name == "head" else f"{name}_")


def _train_only(layer: keras.layers.Layer, weights: list[keras.Variable]) -> None:
    layer.trainable = True
    chosen = {id(weight) for weight in weights}
    for weight in layer.weights:
        weight.trainable = id(weight) in chosen
