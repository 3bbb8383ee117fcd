"""Metrics kept as additive float64 sums, so that they merge exactly and survive a mean far from zero.

Every metric takes labels and predictions of shape (batch, target) or (batch, length, target), leaves out labels that are NaN,
and weights whole examples by `sample_weight`. Its one variable starts at 0 and only ever has something added to it that
depends on the batch at hand: states of batches, replicas and workers merge by adding them.

A target whose labels are constant has no value: NaN for itself, left out of the mean over targets, and counted by
`defined()`. A prediction beside a label that is NaN or infinite is no such excuse: it makes its target NaN, and with it the
mean.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from cisnake.errors import InputError, unknown_name

# A variance below this share of the mean square is rounding error of the sums, not spread.
_CONSTANT = 1e-12


class _Sums(keras.metrics.Metric):
    """A metric that is a function of one float64 array of sums over examples."""

    # Keys of the configuration: the arguments of the constructor that are the metric's own.
    own: tuple[str, ...] = ()

    def __init__(self, shape: tuple[int, ...], name: str, **kwargs: Any) -> None:
        # Sums are float64, whatever Keras's setting for layers is.
        super().__init__(name=name, **(kwargs | {"dtype": "float64"}))
        self.sums = self.add_variable(shape, initializer="zeros", name="sums", dtype="float64")

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name} | {key: getattr(self, key) for key in self.own}


def _flat(y_true: Any, y_pred: Any, sample_weight: Any, num_targets: int) -> tuple[Any, Any, Any, Any]:
    """Return labels and predictions (0 where there is no label), whether there is one, and weights, a row for each position.

    Shapes (rows, targets) and, of weights, (rows, 1); all but the third float64.
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
    """Return weights (0 where there is no label) that are NaN beside a prediction that is not finite, for which no bin is."""
    return ops.where(ops.isfinite(predicted), weight * ops.cast(measured, "float64"), float("nan"))


class _PerTarget(_Sums):
    """A metric with a value for each target, or their mean.

    Parameters
    ----------
    num_targets: int
        Targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the mean over targets that have a value.
    """

    own: tuple[str, ...] = ("num_targets", "summarize")

    def __init__(self, shape: tuple[int, ...], num_targets: int, summarize: bool, name: str, **kwargs: Any) -> None:
        super().__init__(shape, name, **kwargs)
        self.num_targets, self.summarize = num_targets, summarize

    def per_target(self) -> Any:
        """Return the value of every target, NaN where it is undefined; shape=(num_targets,), dtype=float64."""
        raise NotImplementedError

    def defined(self) -> Any:
        """Return whether labels of each target so far are such that it has a value; shape=(num_targets,), dtype=bool."""
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
    """Sums over examples of 1, t, t², p, p² and tp for every target."""

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
        """Return the variances of labels and predictions, their covariance, and the mean square of their difference."""
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

    Constant predictions explain nothing: 0. Constant labels have no correlation: NaN.

    Parameters
    ----------
    num_targets: int
        Targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the mean over targets that have a value (default), or all values.
    """

    def __init__(self, num_targets: int, summarize: bool = True, name: str = "pearsonr", **kwargs: Any) -> None:
        super().__init__(num_targets, summarize, name, **kwargs)

    def per_target(self) -> Any:
        var_t, var_p, cov, _ = self._central()
        return _correlation(var_t, var_p, cov)


def _correlation(var_t: Any, var_p: Any, cov: Any) -> Any:
    """Return cov / sqrt(var_t var_p), 0 where only var_p is 0, NaN where var_t is 0."""
    size = ops.sqrt(var_t) * ops.sqrt(var_p)
    undefined = ops.where(var_t == 0, float("nan"), ops.zeros_like(var_t))
    # Rounding of the sums may take a perfect correlation just past 1.
    return ops.where(size == 0, undefined, ops.clip(cov / ops.where(size == 0, 1.0, size), -1.0, 1.0))


@keras.saving.register_keras_serializable(package="cisnake")
class R2(_Moments):
    """Share of the labels' variance that predictions explain: 1 - mean (t - p)² / var(t); NaN for constant labels.

    Parameters
    ----------
    num_targets: int
        Targets, the last axis of labels and predictions.
    summarize: bool
        Whether the result is the mean over targets that have a value (default), or all values.
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

    Labels are yes (1) and no (0), and a label between counts as partly each; predictions lie in [0, 1]. Positions are counted
    as examples are. The areas are those of `keras.metrics.AUC(multi_label=True)`: trapezoids under the ROC curve, and the
    precision-recall curve interpolated as Davis & Goadrich (2006) have it. Both are approximations from `num_thresholds`
    points of the curve: predictions that lie close together, as those of rare classes near 0, need more of them.

    A target without both classes has no area: NaN.

    Parameters
    ----------
    curve: str
        "ROC" (default) or "PR".
    summarize: bool
        Whether the result is the mean over targets that have a value (default), or all values.
    num_targets: int
        Targets, the last axis of labels and predictions.
    num_thresholds: int
        From below 0 to above 1, evenly spaced between; at least 2. Default 200. The state has twice as many numbers for each
        target.

    Raises
    ------
    InputError
        Another curve, or fewer than two thresholds.
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
            raise InputError(f"num_thresholds is {num_thresholds}: a curve needs 2 or more.")
        shape = (2, num_targets, num_thresholds)
        super().__init__(shape, num_targets, summarize, name or f"au{curve.lower().replace('pr', 'prc')}", **kwargs)
        self.curve, self.num_thresholds = curve, num_thresholds

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        true, predicted, measured, weight = _flat(y_true, y_pred, sample_weight, self.num_targets)
        weight = _counted(predicted, measured, weight)
        # In single precision, as Keras has it: there 0.1 is not above the threshold 0.1.
        steps = ops.clip(ops.cast(ops.nan_to_num(predicted), "float32"), 0.0, 1.0) * float(self.num_thresholds - 1)
        highest = ops.cast(ops.maximum(ops.ceil(steps) - 1.0, 0.0), "int32")
        self.sums.assign_add(ops.stack([_count(highest, share * weight, self.num_thresholds) for share in (true, 1.0 - true)]))

    def defined(self) -> Any:
        classes = ops.sum(self.sums, axis=-1)
        return ops.logical_and(classes[0] != 0, classes[1] != 0)

    def per_target(self) -> Any:
        # Predictions above each threshold; above the last there are none.
        above = ops.flip(ops.cumsum(ops.flip(ops.convert_to_tensor(self.sums), -1), axis=-1), -1)
        return ops.where(self.defined(), _AREAS[self.curve](above[0], above[1]), float("nan"))


def _area_roc(positives: Any, negatives: Any) -> Any:
    recall, fallout = _ratio(positives, positives[:, :1]), _ratio(negatives, negatives[:, :1])
    return ops.sum((fallout[:, :-1] - fallout[:, 1:]) * (recall[:, :-1] + recall[:, 1:]) / 2, axis=-1)


def _area_pr(positives: Any, negatives: Any) -> Any:
    called = positives + negatives
    gained = positives[:, :-1] - positives[:, 1:]
    # Between two thresholds, true positives rise in proportion to calls: positives = slope · called + offset.
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
    """Return the sum of weights in each bin of each column; shapes (n, columns), (n, columns) -> (columns, num_bins)."""
    columns = weight.shape[1]
    flat = ops.reshape(bins + num_bins * ops.arange(columns, dtype="int32"), (-1,))
    counts = ops.segment_sum(ops.reshape(weight, (-1,)), flat, num_segments=columns * num_bins)
    return ops.reshape(counts, (columns, num_bins))


@keras.saving.register_keras_serializable(package="cisnake")
class SpearmanR(_PerTarget):
    """Rank correlation of labels and predictions, from counts of pairs in a grid of bins.

    Ranks need all values at once, counts do not: labels and predictions are sorted into the same bins, all in a bin get the
    mean of the ranks that the bin holds, and the value is the Pearson correlation of those. It is Spearman's where every
    distinct value has its bin. Otherwise the order within bins is lost, and the value tends to be closer to 0. With the 64
    bins of `from_labels` it was off by 0.001 at most for normal, log-normal and Poisson labels with predictions that spread as
    labels do, and too low by up to 0.06 with predictions that spread a tenth as much, which fill few bins; with 256 bins by
    0.0005 and 0.005.

    Constant predictions explain nothing: 0. Constant labels have no correlation: NaN.

    Parameters
    ----------
    num_targets: int
        Targets, the last axis of labels and predictions.
    edges: array_like, shape=(k,) or (num_targets, k)
        Finite and ascending; a value lies in bin i if it is above i of them. The state has (k + 1)² numbers for each target:
        34 kilobytes with the 63 edges of `from_labels`.
    summarize: bool
        Whether the result is the mean over targets that have a value (default), or all values.

    Raises
    ------
    InputError
        Edges are not ascending, not finite, or of another number of targets.
    """

    def __init__(self, num_targets: int, edges: Any, summarize: bool = True, name: str = "spearmanr", **kwargs: Any) -> None:
        table = np.asarray(edges, np.float64)
        if table.ndim not in (1, 2) or not table.size or (table.ndim == 2 and len(table) != num_targets):
            raise InputError(f"edges of shape {table.shape} are not those of {num_targets} targets: give (k,) or (targets, k).")
        if not np.isfinite(table).all() or (np.diff(table) < 0).any():
            raise InputError("edges of bins must be finite and ascending.")
        table = np.broadcast_to(table, (num_targets, table.shape[-1]))
        self._num_bins = table.shape[-1] + 1
        super().__init__((num_targets, self._num_bins, self._num_bins), num_targets, summarize, name, **kwargs)
        self.edges = np.asarray(edges, np.float64)
        # Filled up to one less than a power of two with edges that nothing lies above, for halving.
        width = 1 << (self._num_bins - 1).bit_length()
        self._halving = np.full((num_targets, width), np.inf)
        self._halving[:, : table.shape[-1]] = table

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"edges": self.edges.tolist()}

    @classmethod
    def from_labels(cls, labels: np.ndarray, num_bins: int = 64, **kwargs: Any) -> SpearmanR:
        """Return a metric whose edges are quantiles of the labels of each target, or all distinct labels where they are few.

        Where several quantiles are one, or there are fewer distinct labels than edges, the edges left over go between them,
        more of them where there are more labels: predictions fall there, too.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(n, tasks) or (n, length, tasks)
            As the metric will see them; NaN where not measured.
        num_bins: int
            At least 2. Default 64.
        **kwargs
            Of the metric.
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
        """Return how many edges each value is above, by halving; shape=(n, targets), dtype=int32."""
        width = self._halving.shape[1]
        table = ops.convert_to_tensor(self._halving.reshape(-1))
        first = width * ops.arange(self.num_targets, dtype="int32")
        found, step = ops.zeros_like(values, dtype="int32"), width // 2
        while step:
            above = values > ops.take(table, first + found + step - 1)
            found, step = found + step * ops.cast(above, "int32"), step // 2
        return found

    def defined(self) -> Any:
        return self._central()[0] != 0

    def per_target(self) -> Any:
        return _correlation(*self._central())

    def _central(self) -> tuple[Any, Any, Any]:
        """Return variances of ranks of labels and predictions and their covariance, ranks scaled to lie between ±1/2."""
        joint = ops.convert_to_tensor(self.sums)
        joint = joint / _not_0(ops.sum(joint, axis=(1, 2), keepdims=True))
        shares = ops.sum(joint, axis=2), ops.sum(joint, axis=1)
        ranks = [ops.cumsum(share, axis=-1) - share / 2 - 0.5 for share in shares]
        # One bin holds all: rounding must not pass for spread.
        var_t, var_p = (
            ops.where(ops.max(share, axis=-1) >= 1 - _CONSTANT, 0.0, ops.sum(share * rank**2, axis=-1))
            for share, rank in zip(shares, ranks)
        )
        return var_t, var_p, ops.sum(ranks[0] * ops.matmul(joint, ranks[1][..., None])[..., 0], axis=-1)


@keras.saving.register_keras_serializable(package="cisnake")
class GenePearsonR(_Sums):
    """Mean over examples of the Pearson correlation of labels and predictions across tasks.

    How well a model tells in which tasks a gene is high. An example (in rank 3: a position of one) whose measured labels are
    constant, or fewer than two, has no correlation: it is left out of the mean and counted by `undefined()`. Constant
    predictions explain nothing: 0.

    Parameters
    ----------
    num_targets: int
        Tasks, the last axis of labels and predictions.
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
        # Less than this share of the mean square is rounding of the mean.
        var_t, var_p = (
            ops.where(ops.sum(off**2, axis=-1) <= _CONSTANT**2 * ops.sum(values**2, axis=-1), 0.0, ops.sum(off**2, axis=-1))
            for off, values in ((t, true), (p, predicted))
        )
        r = _correlation(var_t, var_p, ops.sum(t * p, axis=-1))
        defined, weight = var_t != 0, weight[:, 0]
        rows = [ops.where(defined, weight * r, 0.0), ops.where(defined, weight, 0.0), ops.where(defined, 0.0, weight)]
        self.sums.assign_add(ops.stack([ops.sum(row) for row in rows]))

    def result(self) -> Any:
        total, count, _ = ops.unstack(ops.convert_to_tensor(self.sums), 3)
        return ops.where(count == 0, float("nan"), total / _not_0(count))

    def undefined(self) -> Any:
        """Return how many examples, or their weight, had no correlation so far."""
        return self.sums[2]
