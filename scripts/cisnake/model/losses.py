"""Losses that leave out what was not measured."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from cisnake.errors import InputError, unknown_name


def _mean_over_measured(values: Any, measured: Any) -> Any:
    weight = ops.cast(measured, values.dtype)
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(ops.where(measured, values, 0.0), axis=axes) / ops.maximum(ops.sum(weight, axis=axes), 1.0)


@keras.saving.register_keras_serializable(package="cisnake")
class MeanSquaredError(keras.losses.Loss):
    """Mean of (t - p)² over the measured entries of an example; 0 for an example without any.

    Labels that are NaN were not measured. They enter neither the value nor the gradient.
    """

    def __init__(self, name: str = "mse", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        measured = ops.logical_not(ops.isnan(y_true))
        # NaN is replaced before the arithmetic: where() alone would let it into the gradient.
        return _mean_over_measured(ops.square(ops.where(measured, y_true, 0.0) - y_pred), measured)


@keras.saving.register_keras_serializable(package="cisnake")
class Poisson(keras.losses.Loss):
    """Mean of p - t log(p + 1e-7) over the measured entries of an example; labels and predictions are not negative.

    The negative log-likelihood of counts without its constant term, as Basenji's default loss.
    """

    def __init__(self, name: str = "poisson", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        measured = ops.logical_not(ops.isnan(y_true))
        true = ops.where(measured, y_true, 0.0)
        return _mean_over_measured(y_pred - true * ops.log(y_pred + 1e-7), measured)


_LOSSES = {"mse": MeanSquaredError, "poisson": Poisson}
_NOT_NEGATIVE = ("poisson",)


def parse_loss(label: str) -> keras.losses.Loss:
    """Return the loss of that name: mse or poisson.

    Raises
    ------
    InputError
        The name is unknown; the message has the nearest known one.
    """
    if label not in _LOSSES:
        raise unknown_name("loss", label, _LOSSES)
    return _LOSSES[label]()


def check_labels(label: str, labels: np.ndarray, tasks: list[str]) -> None:
    """Refuse labels for which a loss is undefined.

    Parameters
    ----------
    label: str
        Name of the loss.
    labels: numpy.ndarray, shape=(n, tasks)
        NaN where not measured.
    tasks: list of str
        For the message.

    Raises
    ------
    InputError
        The loss needs labels that are not negative, and a task has some.
    """
    if label not in _NOT_NEGATIVE:
        return
    negative = (labels < 0).any(axis=0)
    if negative.any():
        raise InputError(
            f"loss {label} needs labels that are not negative, but {int(negative.sum())} of {len(tasks)} tasks have some, "
            f"{tasks[int(np.argmax(negative))]} among them: use loss: mse, or counts instead of log ratios."
        )
