"""Attribution: how much each base of a window adds to a contrast's score."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf


def gradient_function(model: keras.Model, weights: np.ndarray) -> Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """Return a compiled function that gives scores and their gradients on the bases, for several contrasts in one pass.

    Parameters
    ----------
    model: keras.Model
        From (batch, length, depth) to (batch, tasks).
    weights: numpy.ndarray, shape=(contrasts, tasks)
        Each contrast's score is the weighted sum of the predictions.

    Returns
    -------
    callable
        From inputs (batch, length, depth) to scores (batch, contrasts) and gradients (contrasts, batch, length, 4); the
        gene body's channel is left out.
    """
    matrix = tf.constant(weights.T, tf.float32)
    contrasts = len(weights)

    @tf.function(reduce_retracing=True)
    def gradients(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # One forward pass serves all contrasts: the tape is kept and asked once for each.
        with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            scores = tf.cast(model(inputs, training=False), tf.float32) @ matrix
            columns = [scores[:, i] for i in range(contrasts)]
        return scores, tf.stack([tape.gradient(column, inputs)[..., :4] for column in columns])

    return gradients


def correct_gradient(gradient: np.ndarray) -> np.ndarray:
    """Return gradients less their mean over the four bases.

    One-hot sequences lie on a plane where the bases sum to one; the part of a gradient that points off it is arbitrary
    (Majdandzic et al. 2023, Genome Biology 24:109).

    Parameters
    ----------
    gradient: numpy.ndarray, shape=(..., length, 4)
    """
    return gradient - gradient.mean(axis=-1, keepdims=True)


def input_x_gradient(inputs: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the corrected gradient at the base that stands there, 0 at the others.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(batch, length, depth)
        Bases in channels 0-3.
    gradient: numpy.ndarray, shape=(..., batch, length, 4)

    Returns
    -------
    numpy.ndarray, shape=(..., batch, 4, length), dtype=float32
    """
    return np.swapaxes(correct_gradient(gradient) * inputs[..., :4], -1, -2).astype(np.float32)


def attribute(
    functions: list[Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]], inputs: np.ndarray, batch_size: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return attributions of windows, the mean over the models of an ensemble, and the scores of each model.

    Parameters
    ----------
    functions: list of callable
        One `gradient_function` a model, all of the same contrasts.
    inputs: numpy.ndarray, shape=(n, length, depth), dtype=float32
        n is at most `batch_size`; shorter batches are filled up, so that nothing is compiled twice.
    batch_size: int

    Returns
    -------
    attributions: numpy.ndarray, shape=(contrasts, n, 4, length), dtype=float32
    scores: numpy.ndarray, shape=(models, contrasts, n), dtype=float32
    """
    n = len(inputs)
    filled = np.concatenate([inputs, np.zeros((batch_size - n, *inputs.shape[1:]), np.float32)])
    tensor = tf.constant(filled)
    # A running sum: an ensemble's gradients need not be in memory at once.
    total, scores = np.zeros((), np.float32), []
    for function in functions:
        score, gradient = (part.numpy() for part in function(tensor))
        total = total + gradient
        scores.append(score[:n].T)
    return input_x_gradient(inputs, total[:, :n] / len(functions)), np.stack(scores)
