"""What follows the head of a network: the unit of the labels, the initial bias, and a table of words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from cisnake.data.dataset import LabelScale
from cisnake.model.network.augmentation_layers import SwitchReverse
from cisnake.model.network.output_layers import LabelUnits, WeightedParts, WordTableLookup
from cisnake.words import WordTable

# Smallest initial prediction of an activation that cannot reach 0, relative to the largest task.
_LEAST = 1e-3


def output_layer(model: keras.Model, key: str = "head") -> tuple[layers.Dense, str] | None:
    """Return the dense layer that ends a head, and the name of its activation.

    Parameters
    ----------
    model: keras.Model
        From `build_model`.
    key: str
        Key of the head.

    Returns
    -------
    layer: keras.layers.Dense
    activation: str
        Such as linear or softplus.
    None
        The head ends with something else.
    """
    # Not every layer whose name begins with "head_": those of a head "head_mouse" do, too.
    belongs = re.compile(rf"{re.escape(key)}_(\d+_[A-Za-z]|float32$|switch_reverse$)")
    of_head = [layer for layer in model.layers if belongs.match(layer.name)]
    while of_head and (isinstance(of_head[-1], SwitchReverse) or of_head[-1].name == f"{key}_float32"):
        of_head.pop()
    if not of_head or not isinstance(of_head[-1], layers.Dense):
        return None
    return of_head[-1], keras.activations.serialize(of_head[-1].activation)


def set_output_bias(model: keras.Model, mean: np.ndarray, key: str = "head") -> bool:
    """Set the bias of a head so that, but for the kernel, predictions are a given mean.

    Parameters
    ----------
    model: keras.Model
        From `build_model`.
    mean: numpy.ndarray, shape=(tasks,)
        Mean label of each task.
    key: str
        Key of the head.

    Returns
    -------
    bool
        Whether it was set: the head must end with a dense layer that has a bias and a common activation.
    """
    found = output_layer(model, key)
    if found is None or not found[0].use_bias:
        return False
    layer, activation = found
    mean = np.asarray(mean, np.float64)
    positive = np.maximum(mean, max(_LEAST * mean.max(), 1e-6))
    # log(exp(m) - 1) without overflow.
    inverse = {
        "linear": lambda: mean,
        "relu": lambda: positive,
        "softplus": lambda: positive + np.log(-np.expm1(-positive)),
        "exponential": lambda: np.log(positive),
        "sigmoid": lambda: np.log(np.clip(mean, _LEAST, 1 - _LEAST) / (1 - np.clip(mean, _LEAST, 1 - _LEAST))),
    }.get(activation)
    if inverse is None:
        return False
    layer.bias.assign(inverse().astype(np.float32))
    return True


def in_label_units(model: keras.Model, scales: dict[str, LabelScale]) -> keras.Model:
    """Return a network that predicts in the unit of the labels, from one that predicts standardised labels.

    Parameters
    ----------
    model: keras.Model
        With one head, or several.
    scales: dict of str to LabelScale
        By key of the head; heads that are not named stay as they are.
    """
    outputs = model.output
    if not scales:
        return model
    if not isinstance(outputs, dict):
        ((key, scale),) = scales.items()
        return keras.Model(model.input, _units(scale, key)(outputs), name=model.name)
    outputs = {key: _units(scales[key], key)(output) if key in scales else output for key, output in outputs.items()}
    return keras.Model(model.input, outputs, name=model.name)


def _units(scale: LabelScale, key: str) -> LabelUnits:
    layer = LabelUnits(dtype="float32", name=f"{key}_label_units")
    layer.build((None, len(scale.mean)))
    layer.mean.assign(scale.mean.astype(np.float32))
    layer.sd.assign(scale.sd.astype(np.float32))
    return layer


def with_words(model: keras.Model, table: WordTable, weights: Sequence[tuple[float, float]]) -> keras.Model:
    """Add a table of words to a network, before predictions are converted to the unit of the labels.

    Parameters
    ----------
    model: keras.Model
        From `in_label_units`, with one head.
    table: WordTable
    weights: sequence of pairs of float
        Weights of the network and of the words, see `WeightedParts`.
    """
    standardized, words = _standardized_parts(model, table)
    units = model.layers[-1]
    scale = LabelScale(*(np.asarray(weight, np.float64) for weight in (units.mean, units.sd)))
    both = WeightedParts(weights, name="network_and_words")([standardized, words])
    return keras.Model(model.input, _units(scale, "head")(both), name=model.name)


def standardized_parts(model: keras.Model, table: WordTable) -> keras.Model:
    """Return a model of the standardised predictions of a network, and of a table of words beside them.

    Parameters
    ----------
    model, table
        As for `with_words`.

    Returns
    -------
    keras.Model
        With outputs (batch, tasks) of the network and of the words.
    """
    return keras.Model(model.input, _standardized_parts(model, table))


def _standardized_parts(model: keras.Model, table: WordTable) -> list[Any]:
    if not isinstance(model.layers[-1], LabelUnits):
        raise ValueError("the network does not end with LabelUnits")
    lookup = WordTableLookup(table.blocks, table.table.shape[1], name="words")
    words = lookup(model.input)
    lookup.table.assign(table.table)
    lookup.intercept.assign(table.intercept)
    return [model.layers[-1].input, words]


def split_words(model: keras.Model) -> keras.Model | None:
    """Return a model that also predicts with the network alone, and with the words alone.

    Parameters
    ----------
    model: keras.Model
        Any model.

    Returns
    -------
    keras.Model or None
        With outputs of shape (batch, 3, tasks) in the unit of the labels: whole, network alone, words alone. None if the model
        has no table of words.
    """
    mixed = [layer for layer in model.layers if isinstance(layer, WeightedParts)]
    if not mixed:
        return None
    units = model.layers[-1]
    return keras.Model(model.input, keras.ops.stack([model.output, *(units(part) for part in mixed[0].input)], axis=1))


@dataclass(frozen=True)
class DividedModel:
    """A model without its table of words, and the words.

    Attributes
    ----------
    network: keras.Model
        Predicts what the model would predict if the words were 0.
    words: keras.Model
        Predicts, for t tasks, t values sd · words, and the mean of the words over tasks; shape (batch, t + 1).
    sd: numpy.ndarray, shape=(t,)
        Standard deviations with which standardised predictions become labels.
    weights: tuple of float
        Of the words: of their mean over tasks, and of the deviations from it, see `WeightedParts`.
    """

    network: keras.Model
    words: keras.Model
    sd: np.ndarray
    weights: tuple[float, float]


def divide_words(model: keras.Model) -> DividedModel | None:
    """Divide a model into the network and its table of words; None if it has no words.

    With the weights (a, b), the model predicts network + b · sd · words + (a - b) · sd · mean of the words.

    Parameters
    ----------
    model: keras.Model
        Any model.
    """
    mixed = [layer for layer in model.layers if isinstance(layer, WeightedParts)]
    if not mixed:
        return None
    units, (network, words) = model.layers[-1], mixed[0].input
    of_network, of_words = mixed[0].part_weights
    sd = np.asarray(units.sd)
    alone = keras.Model(model.input, units(WeightedParts([of_network])([network])))
    both = keras.ops.concatenate([words * sd, keras.ops.mean(words, axis=-1, keepdims=True)], axis=-1)
    return DividedModel(alone, keras.Model(model.input, both), sd, of_words)
