"""The loss of expression runs: labels of any unit, and the differences between tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops

from cisnake.data.dataset import LabelScale
from cisnake.model.losses import MaskedLoss
from cisnake.words import split_parts

# Variances below this are rounding errors, in units of the variance of a task.
_NO_VARIANCE = 1e-9


class StandardizedLoss(MaskedLoss):
    """A loss of standardised labels, plus terms for the differences between tasks. For training only: it cannot be saved.

    Labels and predictions are standardised, (y - mean) / sd task by task, so that tasks of any unit and offset count alike:

        loss = L(t, p) + w mean((t - t̄ - (p - p̄))²) / v + mean over contrasts of (c(t) - c(p))² / u

    t̄ and p̄ are means over the measured tasks of an example, and v is the mean of (t - t̄)² over training examples. L is
    dominated by what tasks have in common; the second term gives their differences the same weight at w = 1, however
    small they are. A contrast c is a mean of some tasks minus a mean of others, over measured ones, and u the mean of its
    square over training examples; it is left out for an example in which one of its sides was not measured.

    Parameters
    ----------
    inner: MaskedLoss
        L; its dtype is that of the whole loss.
    labels: numpy.ndarray, shape=(n, tasks)
        Of the training examples, NaN where missing.
    deviation_weight: float
        w.
    contrasts: sequence of pairs of sequences of int
        Tasks on either side of each contrast; the second side can be empty.
    """

    def __init__(
        self,
        inner: MaskedLoss,
        labels: np.ndarray,
        deviation_weight: float = 0.0,
        contrasts: Sequence[tuple[Sequence[int], Sequence[int]]] = (),
    ) -> None:
        super().__init__(name="standardized", dtype=inner.dtype)
        self.inner, self.scale = inner, LabelScale.of(labels)
        self.contrasts = [(list(on), list(off)) for on, off in contrasts]
        z = self.scale.standardize(labels)
        measured = np.isfinite(z)
        deviations = split_parts(z, measured)[1]
        variance = float((deviations**2).sum() / max(measured.sum(), 1))
        # Tasks that are all alike have no differences to learn.
        self._deviation_weight = deviation_weight / variance if variance > _NO_VARIANCE else 0.0
        self._contrast_weights = [self._weight(np.where(measured, z, 0.0), measured, *sides) for sides in self.contrasts]

    def _weight(self, z: np.ndarray, measured: np.ndarray, on: list[int], off: list[int]) -> float:
        sums = [_mean_of_tasks(z, measured.astype(np.float64), side) for side in (on, off) if side]
        known = np.all([np.asarray(known) > 0 for _, known in sums], axis=0)
        values = np.asarray(sums[0][0]) - sum(np.asarray(mean) for mean, _ in sums[1:])
        variance = float((values[known] ** 2).mean()) if known.any() else 0.0
        return 1 / (variance * len(self.contrasts)) if variance > _NO_VARIANCE else 0.0

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        mean, sd = (ops.convert_to_tensor(values, self.dtype) for values in (self.scale.mean, self.scale.sd))
        true, predicted = (measured * (values - mean) / sd for values in (true, predicted))
        loss, error = self.inner.of_measured(true, predicted, measured), true - predicted
        if self._deviation_weight:
            tasks = ops.maximum(ops.sum(measured, axis=-1), 1.0)
            common = ops.sum(error, axis=-1) / tasks
            differences = ops.sum(measured * ops.square(error - common[:, None]), axis=-1) / tasks
            loss += self._deviation_weight * differences
        for (on, off), weight in zip(self.contrasts, self._contrast_weights, strict=True):
            (difference, known), *others = (_mean_of_tasks(error, measured, side) for side in (on, off) if side)
            for other, also_known in others:
                difference, known = difference - other, known * also_known
            loss += weight * known * ops.square(difference)
        return loss


def _mean_of_tasks(values: Any, measured: Any, tasks: list[int]) -> tuple[Any, Any]:
    """Return the mean over the measured ones of some tasks, and 1 where there is one; shape=(batch,) each."""
    n = ops.sum(ops.take(measured, tasks, axis=-1), axis=-1)
    return ops.sum(ops.take(values, tasks, axis=-1), axis=-1) / ops.maximum(n, 1.0), ops.minimum(n, 1.0)
