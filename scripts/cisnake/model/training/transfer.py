"""Transfer learning: load a trained trunk, insert adapters, and freeze weights."""

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
    """Prepare a new network according to the `transfer` section of a parameter file.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, for the new tasks.
    transfer: dict
        `weights`: file from which the trunk is loaded (see `load_weights`), if any. `mode`: trainable weights, which are full
        (all weights, default), linear (heads only) or adapter (heads and `adapter`; see `insert_adapter` for its other
        settings). Missing keys default to `params.TRANSFER_DEFAULTS`. Keys and types are not checked here, but by
        `params.read_params`.

    Returns
    -------
    model: keras.Model
        The given model, or a new one with adapters. No weights are frozen yet.
    trained: str or list of str
        Names of the trainable parts, for `freeze`.

    Raises
    ------
    InputError
        A value is unknown, the file does not match the model, or the model has no layer for the adapter.
    """
    settings = TRANSFER_DEFAULTS | transfer
    mode, adapter = settings["mode"], settings["adapter"]
    if mode not in _MODES:
        raise unknown_name("mode of the transfer section", str(mode), _MODES)
    if (mode == "adapter") != (adapter is not None):
        raise InputError(
            f"transfer.mode is {mode}, but transfer.adapter is {adapter}: set an adapter with mode adapter, and only then."
        )
    if settings["weights"] is not None:
        load_weights(model, settings["weights"], trunk_only=True)
    if mode == "adapter":
        return insert_adapter(model, adapter, settings["adapter_latent"], **{key: settings[key] for key in _ADAPTER_KEYS})
    return model, "all" if mode == "full" else "head"


def freeze(model: keras.Model, train: str | Sequence[str] = "all") -> None:
    """Make some weights of a network trainable, and freeze all others.

    Frozen batch normalisation uses its moving statistics in training too, and does not update them. Dropout stays active.
    Steps compiled before this call are not affected and must be compiled again.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, `head_model` or `insert_adapter`.
    train: str or sequence of str
        Trainable parts, one or more of: all; adapters (weights added by `insert_adapter`); head (all heads); trunk; and
        prefixes of layer names that end before an underscore, or whole names, for example head_human, trunk_7 or
        trunk_7_conv_nac_conv1d_1. Default all.

    Raises
    ------
    InputError
        A name matches no layer, or there are no adapters.
    """
    wanted = [train] if isinstance(train, str) else list(train)
    adapted = adapter_layers(model)
    for name in wanted:
        if name == "adapters" and not adapted:
            raise InputError("cannot train adapters: the model has none. Set transfer.adapter.")
        if name not in ("all", "adapters") and not any(_belongs(layer.name, name) for layer in model.layers):
            parts = {"_".join(layer.name.split("_")[:n]) for layer in model.layers for n in (1, 2) if layer.weights}
            raise unknown_name("part of the model to train", str(name), ["all", "adapters", *sorted(parts)])
    for layer in model.layers:
        chosen = "all" in wanted or any(_belongs(layer.name, name) for name in wanted)
        # Keras ignores an unchanged value, even if it differs from that of the layer's weights; toggle to update both.
        layer.trainable = not chosen
        layer.trainable = chosen
    if "adapters" in wanted:
        for layer in adapted:
            if not layer.trainable:
                _train_only(layer, layer.adapter_weights)


def _belongs(layer: str, name: str) -> bool:
    # Every key that starts with head is a head, including head2.
    return layer == name or layer.startswith(name if name == "head" else f"{name}_")


def _train_only(layer: keras.layers.Layer, weights: list[keras.Variable]) -> None:
    layer.trainable = True
    chosen = {id(weight) for weight in weights}
    for weight in layer.weights:
        weight.trainable = id(weight) in chosen
