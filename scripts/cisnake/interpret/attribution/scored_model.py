"""A model wrapper that computes scores of predictions and their gradients with cached compiled functions."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.interpret.attribution.target_scores import Form, Score, score_of_predictions


class ScoredModel:
    """Compute scores of a model's predictions, and their gradients with respect to the bases, in batches of fixed size.

    All scores of a batch share one forward pass. Weights of tasks and positions are passed as tensors and short batches are
    padded, so each function is compiled only once for scores of the same form.

    Parameters
    ----------
    model: keras.Model
        Maps (batch, length, depth) to (batch, tasks) or (batch, positions, tasks); run in inference mode.
    batch_size: int
        Examples per pass.

    Attributes
    ----------
    model, batch_size
        As passed to the constructor.
    dtype: str
        Data type of inputs, scores and gradients: float32, or float64 for a float64 model.
    tracings: int
        Number of function tracings so far.

    Raises
    ------
    InputError
        The model has several outputs.
    """

    def __init__(self, model: keras.Model, batch_size: int) -> None:
        if len(model.outputs) != 1:
            raise InputError(f"the model has {len(model.outputs)} heads, but scores require a single head: select one head.")
        self.model, self.batch_size = model, batch_size
        self.dtype = str(keras.backend.standardize_dtype(model.inputs[0].dtype))
        self._compiled: dict[Hashable, Any] = {}
        self._kept: dict[Hashable, Any] = {}

    @property
    def tracings(self) -> int:
        """Number of function tracings so far."""
        return sum(function.experimental_get_tracing_count() for function in self._compiled.values())

    def compiled(self, key: Hashable, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        """Return the compiled function cached under a key; `make` creates it on first use."""
        if key not in self._compiled:
            self._compiled[key] = tf.function(make())
        function = self._compiled[key]
        # When called directly, TensorFlow treats the functions of all models in an ensemble as one and warns about retracing.
        return lambda *args: function.get_concrete_function(*args)(*args)

    def memo(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the value cached under a key; `make` creates it on first use."""
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def scores(self, inputs: np.ndarray, scores: Sequence[Score]) -> np.ndarray:
        """Return the scores of examples.

        Parameters
        ----------
        inputs: numpy.ndarray, shape=(n, length, depth)
        scores: sequence of Score
            Weights that differ between examples have n rows.

        Returns
        -------
        numpy.ndarray, shape=(scores, n), dtype=`dtype`
        """
        forms = [score.form for score in scores]

        def make() -> Callable[..., Any]:
            def compute_scores(x: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tf.Tensor:
                return self.answer(forms, self.model(x, training=False), arrays)

            return compute_scores

        function = self.compiled(("scores", *forms), make)
        parts = [function(*batch).numpy()[:, :kept] for kept, batch in self._batches(inputs, scores)]
        return np.concatenate([np.zeros((len(scores), 0), self.dtype), *parts], axis=1)

    def gradients(self, inputs: np.ndarray, scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores of examples and the gradient of each score with respect to the bases.

        Parameters
        ----------
        inputs, scores
            See `scores`.

        Returns
        -------
        scores: numpy.ndarray, shape=(scores, n), dtype=`dtype`
        gradients: numpy.ndarray, shape=(scores, n, length, 4), dtype=`dtype`
            Gradients of channels 0-3; the gene body channel, if present, is held fixed.
        """
        forms = [score.form for score in scores]

        def make() -> Callable[..., Any]:
            def compute_gradients(x: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tuple[tf.Tensor, tf.Tensor]:
                # All scores share one forward pass, so the tape must be persistent.
                with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
                    tape.watch(x)
                    together = self.answer(forms, self.model(x, training=False), arrays)
                    values = tf.unstack(together)
                slopes = [tape.gradient(value, x, unconnected_gradients="zero")[..., :4] for value in values]
                return together, tf.stack(slopes)

            return compute_gradients

        function = self.compiled(("gradients", *forms), make)
        values = [np.zeros((len(scores), 0), self.dtype)]
        slopes = [np.zeros((len(scores), 0, inputs.shape[1], 4), self.dtype)]
        for kept, batch in self._batches(inputs, scores):
            value, slope = function(*batch)
            values.append(value.numpy()[:, :kept])
            slopes.append(slope.numpy()[:, :kept])
        return np.concatenate(values, axis=1), np.concatenate(slopes, axis=1)

    def answer(self, forms: Sequence[Form], predictions: tf.Tensor, arrays: list[dict[str, tf.Tensor]]) -> tf.Tensor:
        """Return the scores of predictions, shape (scores, batch); for use inside compiled functions."""
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
    """Pad rows to `size` by repeating the last row; a different shape would trigger a recompilation."""
    return rows[np.minimum(np.arange(size), len(rows) - 1)]
