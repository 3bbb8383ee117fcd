"""Metrics kept as additive float64 sums, so that they merge exactly and survive a mean far from zero."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

# A variance below this share of the mean square is rounding error of the sums, not spread.
_CONSTANT = 1e-12


class _Moments(keras.metrics.Metric):
    """Sums over examples of 1, t, t², p, p² and tp for every target, leaving out NaN labels.

    Parameters
    ----------
    num_targets: int
        Targets, the last axis of labels and predictions of rank 2 (batch, target) or 3 (batch, length, target).
    summarize: bool
        Whether the result is the mean over targets that have a value. Default True.
    """

    def __init__(self, num_targets: int, summarize: bool = True, name: str | None = None, **kwargs: Any) -> None:
        kwargs["dtype"] = "float64"
        super().__init__(name=name, **kwargs)
        self.num_targets, self.summarize = num_targets, summarize
        self.sums = self.add_variable((6, num_targets), initializer="zeros", name="sums", dtype="float64")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true = ops.reshape(ops.cast(y_true, "float64"), (-1, self.num_targets))
        predicted = ops.reshape(ops.cast(y_pred, "float64"), (-1, self.num_targets))
        measured = ops.logical_not(ops.isnan(true))
        weight = ops.cast(measured, "float64")
        if sample_weight is not None:
            per_example = ops.cast(sample_weight, "float64")
            per_example = ops.reshape(per_example, (ops.shape(y_true)[0], *([1] * (len(y_true.shape) - 1))))
            weight = weight * ops.reshape(per_example * ops.ones_like(ops.cast(y_true, "float64")), (-1, self.num_targets))
        true = ops.where(measured, true, 0.0)
        moments = [ops.ones_like(true), true, true * true, predicted, predicted * predicted, true * predicted]
        self.sums.assign_add(ops.stack([ops.sum(weight * moment, axis=0) for moment in moments]))

    def result(self) -> Any:
        values = self.per_target()
        if not self.summarize:
            return values
        defined = ops.logical_not(ops.isnan(values))
        count = ops.sum(ops.cast(defined, "float64"))
        total = ops.sum(ops.where(defined, values, 0.0))
        return ops.where(count > 0, total / ops.maximum(count, 1.0), float("nan"))

    def per_target(self) -> Any:
        """Return the value of every target, NaN where it is undefined; shape=(num_targets,)."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "num_targets": self.num_targets, "summarize": self.summarize}

    def _central(self) -> tuple[Any, Any, Any, Any]:
        n, t, tt, p, pp, tp = ops.unstack(ops.convert_to_tensor(self.sums), 6)
        # Weights may sum to less than one.
        n1 = ops.where(n > 0, n, 1.0)
        var_t, var_p, cov = tt / n1 - (t / n1) ** 2, pp / n1 - (p / n1) ** 2, tp / n1 - t / n1 * p / n1
        var_t = ops.where(var_t > _CONSTANT * tt / n1, var_t, 0.0)
        var_p = ops.where(var_p > _CONSTANT * pp / n1, var_p, 0.0)
        error = (tt - 2 * tp + pp) / n1
        return var_t, var_p, cov, error


@keras.saving.register_keras_serializable(package="cisnake")
class PearsonR(_Moments):
    """Pearson correlation of labels and predictions: cov(t, p) / sqrt(var(t) var(p)).

    Constant predictions explain nothing: 0. A target whose labels are constant has no correlation: NaN for itself, left out of
    the mean.
    """

    def per_target(self) -> Any:
        var_t, var_p, cov, _ = self._central()
        spread = var_t * var_p
        undefined = ops.where(var_t > 0, ops.zeros_like(var_t), float("nan"))
        return ops.where(spread > 0, cov / ops.sqrt(ops.where(spread > 0, spread, 1.0)), undefined)


@keras.saving.register_keras_serializable(package="cisnake")
class R2(_Moments):
    """Share of the labels' variance that predictions explain: 1 - mean (t - p)² / var(t); NaN for constant labels."""

    def per_target(self) -> Any:
        var_t, _, _, error = self._central()
        return ops.where(var_t > 0, 1.0 - error / ops.where(var_t > 0, var_t, 1.0), float("nan"))
