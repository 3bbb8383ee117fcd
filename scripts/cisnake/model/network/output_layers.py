"""Layers after the head: predictions in the unit of the labels, and their combination with a table of words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from cisnake.words import WordBlock

_registered = keras.saving.register_keras_serializable(package="cisnake")


@_registered
class LabelUnits(layers.Layer):
    """Convert standardised predictions to the unit of the labels: p · sd + mean, task by task.

    The network then learns labels of any unit alike, while its predictions, and what is computed from them, stay in the unit
    of the labels.
    """

    def build(self, input_shape: Any) -> None:
        tasks = (input_shape[-1],)
        self.mean = self.add_weight(shape=tasks, initializer="zeros", trainable=False, name="mean")
        self.sd = self.add_weight(shape=tasks, initializer="ones", trainable=False, name="sd")

    def call(self, inputs: Any) -> Any:
        return inputs * self.sd + self.mean


@_registered
class WordTableLookup(layers.Layer):
    """Sum the entries of a table over the words of a window, as `WordTable.predict` does.

    A window is given as one-hot bases in channels 0-3; other channels are ignored. An occurrence of a word is the product of
    the channels of its bases, so the layer and its gradient are also defined for inputs between 0 and 1. It is linear in each
    base: at a one-hot window, the gradient is exactly the change that each substitution of a single base would cause. Words
    with an unknown base (all zeros) are not counted.

    Counts are computed as products of two matrices, positions by first halves of words and positions by second halves.

    Parameters
    ----------
    blocks: sequence of WordBlock
    tasks: int
    """

    def __init__(self, blocks: Sequence[WordBlock], tasks: int, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.blocks, self.tasks = [WordBlock(*block) for block in blocks], tasks

    def build(self, input_shape: Any) -> None:
        shape = (sum(4**block.k for block in self.blocks), self.tasks)
        self.table = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="table")
        self.intercept = self.add_weight(shape=(self.tasks,), initializer="zeros", trainable=False, name="intercept")

    def call(self, inputs: Any) -> Any:
        bases = inputs[..., :4]
        length, counts = bases.shape[1], []
        for k, start, end, step, _ in self.blocks:
            n = math.ceil((min(end, length - k + 1) - start) / step)
            at = [bases[:, start + i : start + i + (n - 1) * step + 1 : step] for i in range(k)]
            # Even the empty first half of words of one base.
            halves = [_joint(at[: k // 2], ops.ones_like(at[0][..., :1])), _joint(at[k // 2 + 1 :], at[k // 2])]
            words = ops.matmul(ops.transpose(halves[0], (0, 2, 1)), halves[1])
            counts.append(ops.reshape(words, (-1, 4**k)))
        return ops.matmul(ops.concatenate(counts, axis=1), self.table) + self.intercept

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"blocks": [list(block) for block in self.blocks], "tasks": self.tasks}


def _joint(bases: list[Any], words: Any) -> Any:
    """Return the occurrences of words that are extended by successive bases; shape=(batch, positions, words)."""
    for base in bases:
        words = ops.reshape(words[..., :, None] * base[..., None, :], (-1, *words.shape[1:-1], words.shape[-1] * 4))
    return words


@_registered
class WeightedParts(layers.Layer):
    """Add up several predictions, with weights for the mean over tasks and for the deviations of tasks from it.

    For predictions p₁, p₂, ... with means m₁, m₂, ... over tasks: Σ aᵢ mᵢ + bᵢ (pᵢ - mᵢ).

    Parameters
    ----------
    weights: sequence of pairs of float
        aᵢ and bᵢ of each prediction.
    """

    def __init__(self, weights: Sequence[Sequence[float]], **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.part_weights = [(float(a), float(b)) for a, b in weights]

    def call(self, inputs: Sequence[Any]) -> Any:
        total = 0.0
        for (of_mean, of_deviation), predicted in zip(self.part_weights, inputs, strict=True):
            total += of_deviation * predicted + (of_mean - of_deviation) * ops.mean(predicted, axis=-1, keepdims=True)
        return total

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"weights": self.part_weights}
