"""Layers after the head: predictions in the unit of the labels, and their combination with a table of words."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from cisnake.words import WordBlock

_registered = keras.saving.register_keras_serializable(package="cisnake")

# Words of up to this many bases are counted by a sum over positions, longer ones by a product of their halves.
_LONGEST_SUMMED = 3


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

    If every base of a batch is known or N, words are looked up; otherwise, products of bases are summed.

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
        counts = _count_words(tf.slice(inputs, (0, 0, 0), (-1, -1, 4)), self.blocks)
        return ops.matmul(counts, self.table) + self.intercept

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"blocks": [list(block) for block in self.blocks], "tasks": self.tasks}


def _count_words(bases: tf.Tensor, blocks: Sequence[WordBlock]) -> tf.Tensor:
    """Return the counts of words, shape (batch, words), in the fastest way that the bases allow."""

    @tf.custom_gradient
    def count(bases: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape() as tape:
                tape.watch(bases)
                counts = _multiplied(bases, blocks)
            return tape.gradient(counts, bases, output_gradients=upstream)

        one_hot = tf.reduce_all((bases == 0) | (bases == 1)) & tf.reduce_all(tf.reduce_sum(bases, axis=2) <= 1)
        return tf.cond(one_hot, lambda: _looked_up(bases, blocks), lambda: _multiplied(bases, blocks)), gradient

    return count(bases)


def _looked_up(bases: tf.Tensor, blocks: Sequence[WordBlock]) -> tf.Tensor:
    """Return the counts of words in one-hot windows, shape (batch, words)."""
    codes = tf.argmax(bases, axis=2, output_type=tf.int32)
    unknown = tf.reduce_sum(bases, axis=2) == 0
    # Entry 0 takes the words with an unknown base.
    numbers, first = [], 1
    for k, start, end, step, _ in blocks:
        last = min(end, bases.shape[1] - k + 1)
        at = [slice(start + i, last + i, step) for i in range(k)]
        number = first + sum(codes[:, at[i]] * 4 ** (k - 1 - i) for i in range(k))
        numbers.append(tf.where(functools.reduce(tf.logical_or, [unknown[:, part] for part in at]), 0, number))
        first += 4**k
    windows = tf.shape(bases)[0]
    numbers = tf.concat(numbers, axis=1) + first * tf.range(windows)[:, None]
    counts = tf.math.unsorted_segment_sum(tf.ones_like(numbers, bases.dtype), numbers, first * windows)
    return tf.reshape(counts, (windows, first))[:, 1:]


def _multiplied(bases: tf.Tensor, blocks: Sequence[WordBlock]) -> tf.Tensor:
    """Return the expected counts of words in windows of bases between 0 and 1, shape (batch, words).

    The joint occurrences of the first half of a word and of its second half are a product of two matrices, which has a row for
    each position and block, or first half, and a column for each second half.
    """
    length, counts = bases.shape[1], []
    joint = functools.cache(lambda k: _joint(bases, k))
    for k, same_k in itertools.groupby(blocks, key=lambda block: block.k):
        positions = length - k + 1
        members = np.transpose([_member(block, positions) for block in same_k])
        half = k // 2 if k > _LONGEST_SUMMED else 0
        if half:
            # Blocks are as another base before the word.
            firsts = tf.concat([_positions(joint(half), 0, positions)] * members.shape[1], axis=2) * np.repeat(
                members, 4**half, 1
            )
        else:
            firsts = members[None]
        words = tf.matmul(firsts, _positions(joint(k - half), half, positions), transpose_a=True)
        counts.append(tf.reshape(words, (-1, members.shape[1] * 4**k)))
    return tf.concat(counts, axis=1)


def _member(block: WordBlock, positions: int) -> np.ndarray:
    """Return 1 where words of a block begin and 0 elsewhere."""
    member = np.zeros(positions, np.float32)
    member[block.start : block.end : block.step] = 1
    return member


def _joint(bases: tf.Tensor, k: int) -> tf.Tensor:
    """Return the occurrences of the words of k bases, shape (batch, positions, 4^k)."""
    positions, words = bases.shape[1] - k + 1, np.arange(4**k)
    columns = [np.eye(4, dtype=np.float32)[:, words // 4 ** (k - 1 - i) % 4] for i in range(k)]
    return functools.reduce(tf.multiply, [tf.matmul(_positions(bases, i, positions), columns[i]) for i in range(k)])


def _positions(values: tf.Tensor, start: int, count: int) -> tf.Tensor:
    # The gradient of a slice by brackets takes ten times as long.
    return values if count == values.shape[1] else tf.slice(values, (0, start, 0), (-1, count, -1))


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
