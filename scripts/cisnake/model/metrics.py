"""Metrics computed from additive float64 sums, which merge exactly and remain accurate if the mean is far from zero.

Every metric takes labels and predictions of shape (batch, target) or (batch, length, target), ignores NaN labels, and weights
whole examples by `sample_weight`. Its only variable starts at 0, and each batch adds to it a term that depends only on that
batch. The states of batches, replicas and workers are therefore merged by adding them.

A metric is undefined for a target with constant labels: its value is NaN, it is left out of the average over targets, and
`defined()` reports it. A NaN or infinite prediction for a measured label is different: it makes the target NaN, and with it
the average.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from cisnake.errors import InputError, unknown_name

# A variance below this fraction of the mean square is rounding error.
_CONSTANT = 1e-12


class _Sums(keras.metrics.Metric):
    """Base class of metrics that are a function of one float64 array of sums over examples."""

    # Configuration keys: the constructor's arguments specific to this metric.
    own: tuple[str, ...] = ()

    def __init__(self, shape: tuple[int, ...], name: str, **kwargs: Any) -> None:
        # Sums are float64, whatever Keras's default dtype.
        super().__init__(name=name, **(kwargs | {"dtype": "float64"}))
        self.sums = self.add_variable(shape, initializer="zeros", name="sums", dtype="float64")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name} | {key: getattr(self, key) for key in self.own}


def _flat(y_true: Any, y_pred: Any, sample_weight: Any, num_targets: int) -> tuple[Any, Any, Any, Any]:
    """Flatten positions, and return labels, predictions, the mask of measured labels, and weights.

    Labels and predictions are 0 for missing labels. All have the shape (rows, targets), except for the weights, (rows, 1), and
    the dtype float64, except for the mask, bool.
    """
    true = ops.convert_to_tensor(y_true)
    shape = ops.shape(true)
    true = ops.reshape(ops.cast(true, "float64"), (-1, num_targets))
    predicted = ops.reshape(ops.cast(y_pred, "float64"), (-1, num_targets))
    measured = ops.logical_not(ops.isnan(true))
    weight = ops.ones_like(true[:, :1])
    if sample_weight is not None:
        per_example = ops.reshape(ops.cast(sample_weight, "float64"), (-1, 1))
        weight = ops.reshape(ops.broadcast_to(per_example, (shape[0], shape[1] if len(shape) == 3 else 1)), (-1, 1))
    return ops.where(measured, true, 0.0), ops.where(measured, predicted, 0.0), measured, weight


def _counted(predicted: Any, measured: Any, weight: Any) -> Any:
    """Return weights that are 0 for missing labels, and NaN for non-finite predictions, which no bin can hold."""
    return ops.where(ops.isfinite(predicted), weight * ops.cast(measured, "float64"), float("nan"))


class _PerTarget(_Sums):
    """Base class of metrics with one value per target, or their average.

    Parameters
    ----------
    num_targets: int
        Number of targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the average over targets for which the metric is defined.
    """

    own: tuple[str, ...] = ("num_targets", "summarize")

    def __init__(self, shape: tuple[int, ...], num_targets: int, summarize: bool, name: str, **kwargs: Any) -> None:
        super().__init__(shape, name, **kwargs)
        self.num_targets, self.summarize = num_targets, summarize

    def per_target(self) -> Any:
        """Return the value of every target, NaN where it is undefined; shape=(num_targets,), dtype=float64."""
        raise NotImplementedError

    def defined(self) -> Any:
        """Return whether the metric is defined for the labels of each target so far; shape=(num_targets,), dtype=bool."""
        raise NotImplementedError

    def result(self) -> Any:
        values = self.per_target()
        if not self.summarize:
            return values
        defined = self.defined()
        count = ops.sum(ops.cast(defined, "float64"))
        total = ops.sum(ops.where(defined, values, 0.0))
        return ops.where(count > 0, total / ops.maximum(count, 1.0), float("nan"))


class _Moments(_PerTarget):
    """Base class of metrics from the sums over examples of 1, t, t², p, p² and tp of each target."""

    def __init__(self, num_targets: int, summarize: bool, name: str, **kwargs: Any) -> None:
        super().__init__((6, num_targets), num_targets, summarize, name, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted, measured, weight = _flat(y_true, y_pred, sample_weight, self.num_targets)
        weight = weight * ops.cast(measured, "float64")
        weighted = weight * true, weight * predicted
        moments = [weight, weighted[0], weighted[0] * true, weighted[1], weighted[1] * predicted, weighted[0] * predicted]
        self.sums.assign_add(ops.stack([ops.sum(moment, axis=0) for moment in moments]))

    def defined(self) -> Any:
        return self._central()[0] != 0

    def _central(self) -> tuple[Any, Any, Any, Any]:
        """Return the variances of labels and predictions, their covariance, and the mean squared difference."""
        n, t, tt, p, pp, tp = ops.unstack(ops.convert_to_tensor(self.sums), 6)
        # Weights may sum to less than one.
        n1 = ops.where(n == 0, 1.0, n)
        var_t, var_p, cov = tt / n1 - (t / n1) ** 2, pp / n1 - (p / n1) ** 2, tp / n1 - t / n1 * p / n1
        var_t = ops.where(var_t <= _CONSTANT * tt / n1, 0.0, var_t)
        var_p = ops.where(var_p <= _CONSTANT * pp / n1, 0.0, var_p)
        return var_t, var_p, cov, (tt - 2 * tp + pp) / n1


@keras.saving.register_keras_serializable(package="cisnake")
class PearsonR(_Moments):
    """Pearson correlation of labels and predictions: cov(t, p) / sqrt(var(t) var(p)).

    The value is 0 for constant predictions and NaN (undefined) for constant labels.

    Parameters
    ----------
    num_targets: int
        Number of targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the average over targets for which it is defined (default), or one value per target.
    """

    def __init__(self, num_targets: int, summarize: bool = True, name: str = "pearsonr", **kwargs: Any) -> None:
        super().__init__(num_targets, summarize, name, **kwargs)

    def per_target(self) -> Any:
        var_t, var_p, cov, _ = self._central()
        return _correlation(var_t, var_p, cov)


def _correlation(var_t: Any, var_p: Any, cov: Any) -> Any:
    """Return cov / sqrt(var_t var_p): 0 where only var_p is 0, and NaN where var_t is 0."""
    size = ops.sqrt(var_t) * ops.sqrt(var_p)
    undefined = ops.where(var_t == 0, float("nan"), ops.zeros_like(var_t))
    # Rounding errors of the sums may push a perfect correlation just above 1.
    return ops.where(size == 0, undefined, ops.clip(cov / ops.where(size == 0, 1.0, size), -1.0, 1.0))


@keras.saving.register_keras_serializable(package="cisnake")
class R2(_Moments):
    """Coefficient of determination, 1 - mean (t - p)² / var(t); NaN (undefined) for constant labels.

    Parameters
    ----------
    num_targets: int
        Number of targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the average over targets for which it is defined (default), or one value per target.
    """

    def __init__(self, num_targets: int, summarize: bool = True, name: str = "r2", **kwargs: Any) -> None:
        super().__init__(num_targets, summarize, name, **kwargs)

    def per_target(self) -> Any:
        var_t, _, _, error = self._central()
        undefined = ops.logical_or(var_t == 0, ops.logical_not(ops.isfinite(error)))
        return ops.where(undefined, float("nan"), 1.0 - error / ops.where(var_t == 0, 1.0, var_t))


@keras.saving.register_keras_serializable(package="cisnake")
class SeqAUC(_PerTarget):
    """Area under the ROC or the precision-recall curve of each target, from counts at evenly spaced thresholds.

    Labels are 1 (positive) or 0 (negative); a label in between counts as a fraction of each. Predictions lie in [0, 1]. In
    rank 3, each position counts as an example. The areas are those of `keras.metrics.AUC(multi_label=True)`: the trapezoidal
    rule for the ROC curve, and the interpolation of Davis & Goadrich (2006) for the precision-recall curve. Both are
    approximations from `num_thresholds` points of the curve. Predictions that lie close together, such as those of rare
    classes near 0, need more thresholds.

    The area is NaN (undefined) for a target whose labels are all positive or all negative.

    Parameters
    ----------
    curve: str
        "ROC" (default) or "PR".
    summarize: bool
        Whether the result is the average over targets for which it is defined (default), or one value per target.
    num_targets: int
        Number of targets, the last axis of labels and predictions.
    num_thresholds: int
        Number of evenly spaced thresholds from below 0 to above 1; at least 2. Default 200. The state has twice as many
        numbers per target.

    Raises
    ------
    InputError
        The curve is unknown, or there are fewer than two thresholds.
    """

    own: tuple[str, ...] = ("curve", "summarize", "num_targets", "num_thresholds")

    def __init__(
        self,
        curve: str = "ROC",
        summarize: bool = True,
        *,
        num_targets: int,
        num_thresholds: int = 200,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        if curve not in _AREAS:
            raise unknown_name("curve", curve, _AREAS)
        if num_thresholds < 2:
            raise InputError(f"num_thresholds is {num_thresholds}: it must be at least 2.")
        shape = (2, num_targets, num_thresholds)
        super().__init__(shape, num_targets, summarize, name or f"au{curve.lower().replace('pr', 'prc')}", **kwargs)
        self.curve, self.num_thresholds = curve, num_thresholds

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted, measured, weight = _flat(y_true, y_pred, sample_weight, self.num_targets)
        weight = _counted(predicted, measured, weight)
        # In single precision, as in Keras, so that a prediction of 0.1 is not above the threshold 0.1.
        steps = ops.clip(ops.cast(ops.nan_to_num(predicted), "float32"), 0.0, 1.0) * float(self.num_thresholds - 1)
        highest = ops.cast(ops.maximum(ops.ceil(steps) - 1.0, 0.0), "int32")
        self.sums.assign_add(ops.stack([_count(highest, share * weight, self.num_thresholds) for share in (true, 1.0 - true)]))

    def defined(self) -> Any:
        classes = ops.sum(self.sums, axis=-1)
        return ops.logical_and(classes[0] != 0, classes[1] != 0)

    def per_target(self) -> Any:
        # Counts above each threshold; there are none above the last.
        above = ops.flip(ops.cumsum(ops.flip(ops.convert_to_tensor(self.sums), -1), axis=-1), -1)
        return ops.where(self.defined(), _AREAS[self.curve](above[0], above[1]), float("nan"))


def _area_roc(positives: Any, negatives: Any) -> Any:
    recall, fallout = _ratio(positives, positives[:, :1]), _ratio(negatives, negatives[:, :1])
    return ops.sum((fallout[:, :-1] - fallout[:, 1:]) * (recall[:, :-1] + recall[:, 1:]) / 2, axis=-1)


def _area_pr(positives: Any, negatives: Any) -> Any:
    called = positives + negatives
    gained = positives[:, :-1] - positives[:, 1:]
    # Between two thresholds, true positives are linear in the number of calls: positives = slope · called + offset.
    slope = _ratio(gained, called[:, :-1] - called[:, 1:])
    offset = positives[:, 1:] - slope * called[:, 1:]
    both = ops.logical_and(called[:, :-1] > 0, called[:, 1:] > 0)
    growth = ops.where(both, called[:, :-1] / ops.where(both, called[:, 1:], 1.0), 1.0)
    return ops.sum(slope * (gained + offset * ops.log(growth)), axis=-1) / _not_0(positives[:, 0])


_AREAS = {"ROC": _area_roc, "PR": _area_pr}


def _not_0(values: Any) -> Any:
    return ops.where(values == 0, 1.0, values)


def _ratio(part: Any, whole: Any) -> Any:
    return ops.where(whole == 0, 0.0, part / _not_0(whole))


def _count(bins: Any, weight: Any, num_bins: int) -> Any:
    """Return the sum of weights per bin of each column; shapes (n, columns), (n, columns) -> (columns, num_bins)."""
    columns = weight.shape[1]
    flat = ops.reshape(bins + num_bins * ops.arange(columns, dtype="int32"), (-1,))
    counts = ops.segment_sum(ops.reshape(weight, (-1,)), flat, num_segments=columns * num_bins)
    return ops.reshape(counts, (columns, num_bins))


@keras.saving.register_keras_serializable(package="cisnake")
class SpearmanR(_PerTarget):
    """Spearman rank correlation of labels and predictions, approximated from counts in a grid of bins.

    Exact ranks need all values at once; counts can be accumulated. Labels and predictions are sorted into the same bins, every
    value gets the mean rank of its bin, and the result is the Pearson correlation of these ranks. This is exactly Spearman's
    correlation if every distinct value has its own bin. Otherwise the order within bins is lost, and the result tends to be
    closer to 0. In tests with normal, log-normal and Poisson labels and the 64 bins of `from_labels`, the error was at most
    0.001 if predictions varied as much as labels. With predictions that varied a tenth as much, and so filled few bins, the
    result was too low by up to 0.06. With 256 bins, the errors were 0.0005 and 0.005.

    The value is 0 for constant predictions and NaN (undefined) for constant labels.

    Parameters
    ----------
    num_targets: int
        Number of targets, the last axis of labels and predictions.
    edges: array_like, shape=(k,) or (num_targets, k)
        Bin edges, finite and ascending. A value is in bin i if it is above exactly i edges. The state has (k + 1)² numbers per
        target: 34 kB with the 63 edges of `from_labels`.
    summarize: bool
        Whether the result is the average over targets for which it is defined (default), or one value per target.

    Raises
    ------
    InputError
        Edges are not ascending or not finite, or do not match the number of targets.
    """

    def __init__(self, num_targets: int, edges: Any, summarize: bool = True, name: str = "spearmanr", **kwargs: Any) -> None:
        table = np.asarray(edges, np.float64)
        if table.ndim not in (1, 2) or not table.size or (table.ndim == 2 and len(table) != num_targets):
            raise InputError(f"edges have shape {table.shape}: for {num_targets} targets use (k,) or ({num_targets}, k).")
        if not np.isfinite(table).all() or (np.diff(table) < 0).any():
            raise InputError("bin edges must be finite and ascending.")
        table = np.broadcast_to(table, (num_targets, table.shape[-1]))
        self._num_bins = table.shape[-1] + 1
        super().__init__((num_targets, self._num_bins, self._num_bins), num_targets, summarize, name, **kwargs)
        self.edges = np.asarray(edges, np.float64)
        # Padded with infinite edges to a power of two, for the bisection in `_bin`.
        width = 1 << (self._num_bins - 1).bit_length()
        self._padded_edges = np.full((num_targets, width), np.inf)
        self._padded_edges[:, : table.shape[-1]] = table

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"edges": self.edges.tolist()}

    @classmethod
    def from_labels(cls, labels: np.ndarray, num_bins: int = 64, **kwargs: Any) -> SpearmanR:
        """Return a metric whose edges are quantiles of each target's labels, or all distinct labels if there are few.

        If quantiles coincide, or there are fewer distinct labels than edges, the remaining edges are placed between distinct
        values, in proportion to the number of labels around each gap, because predictions fall there too.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(n, tasks) or (n, length, tasks)
            Labels on the scale on which the metric is used; missing values are NaN.
        num_bins: int
            At least 2. Default 64.
        **kwargs
            Further arguments of the metric.
        """
        edges = np.zeros((labels.shape[-1], num_bins - 1))
        for row, task in zip(edges, np.moveaxis(labels, -1, 0)):
            known = task[np.isfinite(task)].astype(np.float64)
            distinct, count = np.unique(known, return_counts=True)
            if len(distinct) > len(row):
                distinct, count = np.unique(np.quantile(known, np.linspace(0, 1, len(row))), return_counts=True)
            if len(distinct):
                in_gap = count[:-1] + count[1:]
                parts = 1 + (len(row) - len(distinct)) * in_gap // max(in_gap.sum(), 1)
                gap = np.repeat(np.arange(len(parts)), parts)
                at = gap + (np.arange(len(gap)) - (np.cumsum(parts) - parts)[gap]) / parts[gap]
                filled = np.interp([*at, len(parts)], np.arange(len(distinct)), distinct)
                row[:] = np.pad(filled, (0, len(row) - len(filled)), mode="edge")
        return cls(labels.shape[-1], edges, **kwargs)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted, measured, weight = _flat(y_true, y_pred, sample_weight, self.num_targets)
        weight = _counted(predicted, measured, weight)
        pairs = self._bin(true) * self._num_bins + self._bin(predicted)
        self.sums.assign_add(ops.reshape(_count(pairs, weight, self._num_bins**2), self.sums.shape))

    def _bin(self, values: Any) -> Any:
        """Return the number of edges below each value, by bisection; shape=(n, targets), dtype=int32."""
        width = self._padded_edges.shape[1]
        table = ops.convert_to_tensor(self._padded_edges.reshape(-1))
        first = width * ops.arange(self.num_targets, dtype="int32")
        bins, step = ops.zeros_like(values, dtype="int32"), width // 2
        while step:
            above = values > ops.take(table, first + bins + step - 1)
            bins, step = bins + step * ops.cast(above, "int32"), step // 2
        return bins

    def defined(self) -> Any:
        return self._central()[0] != 0

    def per_target(self) -> Any:
        return _correlation(*self._central())

    def _central(self) -> tuple[Any, Any, Any]:
        """Return the variances of the ranks of labels and predictions, and their covariance; ranks are scaled to ±1/2."""
        joint = ops.convert_to_tensor(self.sums)
        joint = joint / _not_0(ops.sum(joint, axis=(1, 2), keepdims=True))
        shares = ops.sum(joint, axis=2), ops.sum(joint, axis=1)
        ranks = [ops.cumsum(share, axis=-1) - share / 2 - 0.5 for share in shares]
        # If one bin holds all values, any variance is rounding error.
        var_t, var_p = (
            ops.where(ops.max(share, axis=-1) >= 1 - _CONSTANT, 0.0, ops.sum(share * rank**2, axis=-1))
            for share, rank in zip(shares, ranks)
        )
        return var_t, var_p, ops.sum(ranks[0] * ops.matmul(joint, ranks[1][..., None])[..., 0], axis=-1)


@keras.saving.register_keras_serializable(package="cisnake")
class GenePearsonR(_Sums):
    """Pearson correlation of labels and predictions across tasks, averaged over examples.

    It measures how well a model predicts in which tasks a gene is highly expressed. The correlation is undefined for an
    example (in rank 3, a position of an example) with constant labels or fewer than two: it is left out of the average and
    counted by `undefined()`. The correlation of constant predictions is 0.

    Parameters
    ----------
    num_targets: int
        Number of tasks, the last axis of labels and predictions.
    """

    own: tuple[str, ...] = ("num_targets",)

    def __init__(self, num_targets: int, name: str = "gene_pearsonr", **kwargs: Any) -> None:
        super().__init__((3,), name, **kwargs)
        self.num_targets = num_targets

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted, measured, weight = _flat(y_true, y_pred, sample_weight, self.num_targets)
        known = ops.cast(measured, "float64")
        n = ops.maximum(ops.sum(known, axis=-1), 1.0)
        t, p = (known * (values - (ops.sum(values, axis=-1) / n)[:, None]) for values in (true, predicted))
        # Deviations this small are rounding errors of the mean.
        var_t, var_p = (
            ops.where(ops.sum(dev**2, axis=-1) <= _CONSTANT**2 * ops.sum(values**2, axis=-1), 0.0, ops.sum(dev**2, axis=-1))
            for dev, values in ((t, true), (p, predicted))
        )
        r = _correlation(var_t, var_p, ops.sum(t * p, axis=-1))
        defined, weight = var_t != 0, weight[:, 0]
        rows = [ops.where(defined, weight * r, 0.0), ops.where(defined, weight, 0.0), ops.where(defined, 0.0, weight)]
        self.sums.assign_add(ops.stack([ops.sum(row) for row in rows]))

    def result(self) -> Any:
        total, count, _ = ops.unstack(ops.convert_to_tensor(self.sums), 3)
        return ops.where(count == 0, float("nan"), total / _not_0(count))

    def undefined(self) -> Any:
        """Return the number (or total weight) of examples without a correlation so far."""
        return self.sums[2]
