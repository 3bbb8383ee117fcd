"""Scores of a model's predictions and their gradients, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.interpret.attribution.target_scores import Form, Score, score_of_predictions


class ScoredModel:
    """Scores of a model's predictions, and their gradients on the bases, in batches of one size.

    All scores of a batch share one forward pass. Weights of tasks and positions are handed over as tensors and short batches
    are filled up, so that whatever is asked with scores of the same form is compiled once.

    Parameters
    ----------
    model: keras.Model
        From (batch, length, depth) to (batch, tasks) or (batch, positions, tasks), run in inference mode.
    batch_size: int
        Examples in one pass.

    Attributes
    ----------
    model, batch_size
        As given.
    dtype: str
        Of inputs, scores and gradients: float32, or float64 of a float64 model.
    tracings: int
        How often something was traced so far.

    Raises
    ------
    InputError
        The model has several outputs.
    """

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        if len(model.outputs) != 1:
            raise InputError(f"a model with {len(model.outputs)} heads is asked for scores: choose one of its heads.")
        self.model, self.batch_size = model, batch_size
        self.dtype = str(keras.backend.standardize_dtype(model.inputs[0].dtype))
        self._compiled: dict[Hashable, Any] = {}
        self._kept: dict[Hashable, Any] = {}

    @property
    def tracings(self) -> int:
        """How often something was traced so far."""
        return sum(function.experimental_get_tracing_count() for function in self._compiled.values())

    def compiled(self, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Return the compiled function of that key, made by `make` when it is asked for the first time."""
        if key not in self._compiled:
            self._compiled[key] = tf.function(make())
        function = self._compiled[key]
        # Called by itself, TensorFlow counts the models of an ensemble as one function and warns that it is traced too often.
        return lambda *args: function.get_concrete_function(*args)(*args)

    def memo(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return what `make` returned when this key was asked for the first time."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def scores(self, inputs: np.ndarray, scores: Sequence[Score]) -> np.ndarray:
        """Return the scores of examples.

        Parameters
        ----------
        inputs: numpy.ndarray, shape=(n, length, depth)
        scores: sequence of Score
            Those with weights of their own for each example have n rows.

        Returns
        -------
        numpy.ndarray, shape=(scores, n), dtype=`dtype`
        """
        forms = [score.form for score in scores]

        def make() -> Callable[..., Any]:
            def ask(x: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tf.Tensor:
                return self.answer(forms, self.model(x, training=False), arrays)

            return ask

        function = self.compiled(("scores", *forms), make)
        parts = [function(*batch).numpy()[:, :kept] for kept, batch in self._batches(inputs, scores)]
        return np.concatenate([np.zeros((len(scores), 0), self.dtype), *parts], axis=1)

    def gradients(self, inputs: np.ndarray, scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of examples and the gradient of each on their bases.

        Parameters
        ----------
        inputs, scores
            As of `scores`.

        Returns
        -------
        scores: numpy.ndarray, shape=(scores, n), dtype=`dtype`
        gradients: numpy.ndarray, shape=(scores, n, length, 4), dtype=`dtype`
            Of channels 0-3: a channel for the gene body is held fixed.
        """
        forms = [score.form for score in scores]

        def make() -> Callable[..., Any]:
            def ask(x: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
                # One forward pass serves all scores: the tape is kept and asked once for each.
                with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                    tape.watch(x)
                    together = self.answer(forms, self.model(x, training=False), arrays)
                    values = tf.unstack(together)
                slopes = [tape.gradient(value, x, unconnected_gradients="zero")[..., :4] for value in values]
                return together, tf.stack(slopes)

            return ask

        function = self.compiled(("gradients", *forms), make)
        values = [np.zeros((len(scores), 0), self.dtype)]
        slopes = [np.zeros((len(scores), 0, inputs.shape[1], 4), self.dtype)]
        for kept, batch in self._batches(inputs, scores):
            value, slope = function(*batch)
            values.append(value.numpy()[:, :kept])
            slopes.append(slope.numpy()[:, :kept])
        return np.concatenate(values, axis=1), np.concatenate(slopes, axis=1)

    def answer(self, forms: Sequence[Form], predictions: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tf.Tensor:
        """Return the scores of predictions, shape (scores, batch), in a function that is compiled."""
        predictions = tf.cast(predictions, self.dtype)
        return tf.stack([score_of_predictions(form, predictions, weights) for form, weights in zip(forms, arrays, strict=True)])

    def _batches(self, inputs: np.ndarray, scores: Sequence[Score]) -> Iterator[tuple[int, tuple[Any, Any]]]:
        for first in range(0, len(inputs), self.batch_size):
            rows = np.arange(first, min(first + self.batch_size, len(inputs)))
            filled = fill(rows, self.batch_size)
            yield len(rows), (tf.constant(inputs[filled], self.dtype), self.tensors([score.take(filled) for score in scores]))

    def tensors(self, scores: Sequence[Score]) -> list[dict[str, tf.Tensor]]:
        """Return the weights of scores as tensors."""
        return [{name: tf.constant(array, self.dtype) for name, array in score.arrays.items()} for score in scores]


def fill(rows: np.ndarray, size: int) -> np.ndarray:
    """Return rows with the last of them repeated up to `size`: another shape would be compiled once more."""
    return rows[np.minimum(np.arange(size), len(rows) - 1)]
