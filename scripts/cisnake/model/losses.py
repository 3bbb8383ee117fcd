"""Losses that ignore missing labels.

Labels and predictions have shape (batch, target) or (batch, length, target). `call` returns one value per example,
shape=(batch,), which depends only on that example. The loss of a batch is therefore the mean over its examples, however the
batch is split over devices, and sample weights work as in Keras's own losses.

NaN labels are missing values. They contribute neither to the loss nor to the gradient, whatever the prediction. The loss of an
example without labels is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from cisnake.errors import InputError, unknown_name

# Added to the argument of a logarithm, and the smallest class probability, as in Keras.
_SMALL = 1e-7


class MaskedLoss(keras.losses.Loss):
    """Base class of losses that ignore missing labels; `of_measured` gets labels and predictions with 0 for missing values."""

    # Configuration keys: the constructor's arguments specific to this loss.
    own: tuple[str, ...] = ()
    # Whether the loss compares tasks or positions with each other, so that it is uninformative for one alone.
    compares_tasks, compares_positions = False, False

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        measured = ops.logical_not(ops.isnan(true))
        # Replace before any arithmetic: masking afterwards would leave NaN or infinite slopes in the gradient.
        true, predicted = ops.where(measured, true, 0.0), ops.where(measured, predicted, 0.0)
        return self.of_measured(true, predicted, ops.cast(measured, self.dtype))

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        """Return the loss per example; all arguments are 0 for missing labels, and `measured` is 1 elsewhere."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dtype": self.dtype} | {key: getattr(self, key) for key in self.own}


def _mean_by_example(values: Any, measured: Any) -> Any:
    """Return the mean of each example's values where `measured` is 1, or 0 if it is nowhere 1; shape=(batch,)."""
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(measured * values, axis=axes) / ops.maximum(ops.sum(measured, axis=axes), 1.0)


def _any(measured: Any, axis: int) -> Any:
    """Return 1 where any entry along an axis is measured, and 0 elsewhere."""
    return ops.minimum(ops.sum(measured, axis=axis), 1.0)


def _poisson(true: Any, predicted: Any) -> Any:
    return predicted - true * ops.log(predicted + _SMALL)


def _shares(values: Any, measured: Any, epsilon: float, axis: int) -> tuple[Any, Any]:
    """Return values plus epsilon (0 where missing), and their fractions of the sum along an axis (1 where missing)."""
    values = measured * (values + epsilon)
    total = ops.sum(values, axis=axis, keepdims=True)
    return values, ops.where(measured > 0, values, 1.0) / ops.where(measured > 0, total, 1.0)


@keras.saving.register_keras_serializable(package="cisnake")
class MeanSquaredError(MaskedLoss):
    """Mean squared error: the mean of (t - p)² over the measured entries of an example."""

    def __init__(self, name: str = "mse", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        return _mean_by_example(ops.square(true - predicted), measured)


@keras.saving.register_keras_serializable(package="cisnake")
class MeanSquaredErrorUDot(MaskedLoss):
    """Mean squared error minus a covariance across tasks: the mean of (t - p)² - w (t - t̄)(p - p̄) over measured entries.

    This is Basenji's `mse_udot`; t̄ and p̄ are means across the tasks of an example. The second term rewards predictions that
    vary across tasks as the labels do. The loss is not a distance: it is negative at p = t and minimal at
    p = t + w/2 (t - t̄), which exaggerates differences between tasks. For labels of rank 3, t̄ and p̄ are computed at each
    position. With a single task, the loss equals the mean squared error.

    Parameters
    ----------
    udot_weight: float
        w. Default 1.
    """

    compares_tasks = True
    own = ("udot_weight",)

    def __init__(self, udot_weight: float = 1.0, name: str = "mse_udot", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.udot_weight = udot_weight

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        tasks = ops.maximum(ops.sum(measured, axis=-1, keepdims=True), 1.0)
        true_side, predicted_side = (values - ops.sum(values, axis=-1, keepdims=True) / tasks for values in (true, predicted))
        values = ops.square(true - predicted) - self.udot_weight * true_side * predicted_side
        return _mean_by_example(values, measured)


@keras.saving.register_keras_serializable(package="cisnake")
class Poisson(MaskedLoss):
    """Poisson loss: the mean of p - t log(p + 1e-7) over the measured entries of an example.

    This is the negative log-likelihood of counts without its constant term, as in Basenji's default loss. Labels and
    predictions must be non-negative.
    """

    def __init__(self, name: str = "poisson", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        return _mean_by_example(_poisson(true, predicted), measured)


@keras.saving.register_keras_serializable(package="cisnake")
class PoissonKL(MaskedLoss):
    """Poisson loss plus w KL(t' || p'), the Kullback-Leibler divergence between the task fractions of labels and predictions.

    The fractions are t' = (t + ε) / Σ (t + ε) and p' = (p + ε) / Σ (p + ε), with sums over the measured tasks. For labels of
    rank 3 they are computed at each position, and the divergence is averaged over positions with a label. Labels and
    predictions must be non-negative. Where all labels are 0, the fractions t' are equal, as in Basenji and Baskerville, and
    the second term favours equal predictions for all tasks.

    This is `poisson_kl` of Basenji (ε = 1e-3) and Baskerville (ε = 1e-7), with one difference: they raise fractions below 1e-7
    to 1e-7. The values differ only for predictions near zero, which are penalised more here.

    Parameters
    ----------
    kl_weight: float
        w. Default 1.
    epsilon: float
        ε. Default 1e-7, which hardly changes the fractions of counts.
    """

    compares_tasks = True
    own = ("kl_weight", "epsilon")

    def __init__(self, kl_weight: float = 1.0, epsilon: float = 1e-7, name: str = "poisson_kl", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        _check_positive(epsilon=epsilon)
        self.kl_weight, self.epsilon = kl_weight, epsilon

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        poisson = _mean_by_example(_poisson(true, predicted), measured)
        true_share, predicted_share = (_shares(values, measured, self.epsilon, -1)[1] for values in (true, predicted))
        divergence = ops.sum(measured * true_share * (ops.log(true_share) - ops.log(predicted_share)), axis=-1)
        return poisson + self.kl_weight * _mean_by_example(divergence, _any(measured, -1))


@keras.saving.register_keras_serializable(package="cisnake")
class PoissonMultinomial(MaskedLoss):
    """Poisson loss of the total in a window plus multinomial loss across its positions, averaged over tasks.

    For each task, let t' = u t + ε and p' = u p + ε, and let S and P be their sums over the measured positions:

        loss = [ -Σ t' log(p' / P) + w (P - S log P) ] / Σ u

    If `rescale` is true, the loss is multiplied by 2 / (1 + w). Labels and predictions must be non-negative. Tasks without a
    measured position are left out of the average. Labels of rank 2 count as a single position, so that only the second term
    remains.

    The position weights u = exp(-|x / σ|^e), with x the distance from the middle, fall from 1 in the middle to about
    1 / `weight_range` at both ends: σ = (L / 2 - 1/2) / log(weight_range)^(1/e), with L the number of all positions. They are
    scaled so that the largest u is 1.

    With `weight_range` 1, every u is 1 and the loss is Basenji's `poisson_mn` (ε = 1e-6). Baskerville also weights positions,
    but with ε = 1e-7, and differs in three ways. It divides u p + ε by the sum of u p without ε, so that fractions sum to more
    than 1 and all-zero predictions cause a division by 0. Its total does not include ε either. Its exponent `weight_exp` is
    applied to the signed x / σ, so that an odd exponent (such as its trainer's default, 1) gives the left end of the window
    more weight than the middle; here the weights are symmetric. With an even exponent, the values agree up to terms of order
    ε L wherever Baskerville's are finite.

    Parameters
    ----------
    total_weight: float
        w. Default 1.
    epsilon: float
        ε. Default 1e-6.
    rescale: bool
        Whether the loss is multiplied by 2 / (1 + w), so that its scale depends little on w. Default False.
    weight_range: float
        Ratio of the weight in the middle to that at the ends; at least 1. Default 1: equal weights.
    weight_exp: float
        e: larger values give a flatter middle and steeper ends. Default 4.

    Raises
    ------
    InputError
        `weight_range` is below 1, or `weight_exp` or `epsilon` is not positive.
    """

    compares_positions = True
    own = ("total_weight", "epsilon", "rescale", "weight_range", "weight_exp")

    def __init__(
        self,
        total_weight: float = 1.0,
        epsilon: float = 1e-6,
        rescale: bool = False,
        weight_range: float = 1.0,
        weight_exp: float = 4.0,
        name: str = "poisson_mn",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        _check_positive(epsilon=epsilon, weight_exp=weight_exp)
        if weight_range < 1:
            raise InputError(
                f"weight_range is {weight_range}: it must be at least 1 (the weight of the middle relative to the ends)."
            )
        self.total_weight, self.epsilon, self.rescale = total_weight, epsilon, rescale
        self.weight_range, self.weight_exp = weight_range, weight_exp

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        if len(true.shape) == 2:
            true, predicted, measured = (ops.expand_dims(values, 1) for values in (true, predicted, measured))
        weight = ops.cast(middle_weights(true.shape[1], self.weight_range, self.weight_exp), self.dtype)[:, None]
        true, _ = _shares(weight * true, measured, self.epsilon, 1)
        predicted, share = _shares(weight * predicted, measured, self.epsilon, 1)
        multinomial = -ops.sum(true * ops.log(share), axis=1)
        # The sums of a task without labels are 0; keep logarithm and quotient finite.
        known = _any(measured, 1)
        total = ops.sum(predicted, axis=1)
        poisson = total - ops.sum(true, axis=1) * ops.log(ops.where(known > 0, total, 1.0))
        weight_sum = ops.where(known > 0, ops.sum(weight * measured, axis=1), 1.0)
        loss = _mean_by_example((multinomial + self.total_weight * poisson) / weight_sum, known)
        return loss * (2 / (1 + self.total_weight)) if self.rescale else loss


def middle_weights(length: int, weight_range: float, weight_exp: float) -> np.ndarray:
    """Return the position weights of `PoissonMultinomial`; shape=(length,), dtype=float64, maximum 1."""
    if weight_range == 1 or length == 1:
        return np.ones(length)
    weights = np.exp(-np.log(weight_range) * np.abs(np.linspace(-1, 1, length)) ** weight_exp)
    return weights / weights.max()


@keras.saving.register_keras_serializable(package="cisnake")
class TaskPoissonMultinomial(MaskedLoss):
    """Poisson loss of a gene's total over tasks plus multinomial loss across tasks.

    With X and Y the sums of predictions x and labels y over the measured tasks:

        loss = - mean over tasks of y log(x / X) + w (X - Y log X)

    This is Decima's loss, which also uses a mean in the first term and sums in the second. 1e-7 is added to every x. For
    labels of rank 3 the loss is computed at each position and averaged over positions with a label. With one task the first
    term is 0.

    Predictions are amounts, not logits as in Decima: end the head with an activation such as exp or softplus. Labels must be
    non-negative, but need not be counts. With Decima's labels, log(1 + CPM), the loss is not a likelihood, but at its minimum
    the fractions and totals of predictions still equal those of the labels.

    Parameters
    ----------
    total_weight: float
        w. Default 1e-4, as in Decima.
    """

    compares_tasks = True
    own = ("total_weight",)

    def __init__(self, total_weight: float = 1e-4, name: str = "task_poisson_mn", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self.total_weight = total_weight

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        predicted, share = _shares(predicted, measured, _SMALL, -1)
        tasks, known = ops.sum(measured, axis=-1), _any(measured, -1)
        multinomial = -ops.sum(true * ops.log(share), axis=-1) / ops.maximum(tasks, 1.0)
        total = ops.sum(predicted, axis=-1)
        poisson = total - ops.sum(true, axis=-1) * ops.log(ops.where(known > 0, total, 1.0))
        values = multinomial + self.total_weight * poisson
        return _mean_by_example(values, known) if len(values.shape) > 1 else values


@keras.saving.register_keras_serializable(package="cisnake")
class BinaryCrossentropy(MaskedLoss):
    """Binary cross-entropy: the mean of -t log p - (1 - t) log(1 - p) over the measured entries of an example.

    Labels lie in [0, 1]. Predictions are probabilities (activation sigmoid), clipped to [1e-7, 1 - 1e-7] as in Keras 3.
    """

    def __init__(self, name: str = "bce", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        p = ops.clip(predicted, _SMALL, 1.0 - _SMALL)
        return _mean_by_example(-true * ops.log(p) - (1.0 - true) * ops.log(1.0 - p), measured)


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value > 0:
            raise InputError(f"{name} of the loss is {value}: it must be greater than 0.")


_LOSSES: dict[str, type[MaskedLoss]] = {
    "mse": MeanSquaredError,
    "mse_udot": MeanSquaredErrorUDot,
    "poisson": Poisson,
    "poisson_kl": PoissonKL,
    "poisson_mn": PoissonMultinomial,
    "task_poisson_mn": TaskPoissonMultinomial,
    "bce": BinaryCrossentropy,
}
_NOT_NEGATIVE = ("poisson", "poisson_kl", "poisson_mn", "task_poisson_mn")


def parse_loss(label: str, **weights: Any) -> MaskedLoss:
    """Return a loss by name.

    Parameters
    ----------
    label: str
        mse, mse_udot, poisson, poisson_kl, poisson_mn, task_poisson_mn or bce.
    **weights: float
        Arguments of the loss.

    Raises
    ------
    InputError
        The loss or one of its arguments is unknown; the message suggests the closest known name.
    """
    if label not in _LOSSES:
        raise unknown_name("loss", label, _LOSSES)
    for key in weights:
        if key not in _LOSSES[label].own:
            raise unknown_name(f"argument of the loss {label}", key, _LOSSES[label].own)
    return _LOSSES[label](**weights)


def check_labels(label: str, labels: np.ndarray, tasks: list[str]) -> None:
    """Raise an error if a loss is undefined or uninformative for the labels.

    Parameters
    ----------
    label: str
        Name of the loss.
    labels: numpy.ndarray, shape=(n, tasks) or (n, tasks, length)
        Missing values are NaN.
    tasks: list of str
        Task names, for error messages.

    Raises
    ------
    InputError
        The loss is unknown; it requires non-negative labels, or labels between 0 and 1, and a task has others; or it compares
        tasks or positions and there is only one.
    """
    if label not in _LOSSES:
        raise unknown_name("loss", label, _LOSSES)
    if _LOSSES[label].compares_positions and (labels.ndim < 3 or labels.shape[2] < 2):
        raise InputError(
            f"loss {label} compares positions within a window, but there is only one label per window: use loss: poisson, "
            "or coverage labels with several bins per window."
        )
    if _LOSSES[label].compares_tasks and len(tasks) < 2:
        raise InputError(f"loss {label} compares tasks, but there is only {tasks[0]}: use loss: mse or loss: poisson.")
    axes = (0, *range(2, labels.ndim))
    if label in _NOT_NEGATIVE:
        _refuse_tasks(
            np.any(labels < 0, axis=axes), tasks, f"loss {label} requires non-negative labels", "negative values",
            "use loss: mse, or counts instead of log ratios",
        )  # fmt: skip
    if label == "bce":
        _refuse_tasks(
            np.any((labels < 0) | (labels > 1), axis=axes), tasks, "loss bce requires labels between 0 and 1", "other values",
            "use loss: mse or loss: poisson, or labels of 0 (no) and 1 (yes)",
        )  # fmt: skip


def _refuse_tasks(wrong: np.ndarray, tasks: list[str], requirement: str, values: str, remedy: str) -> None:
    if wrong.any():
        raise InputError(
            f"{requirement}, but {int(wrong.sum())} of {len(tasks)} tasks have {values} (first: "
            f"{tasks[int(np.argmax(wrong))]}): {remedy}."
        )


_LOSS_WEIGHTS = {
    "mse_udot": {"udot_weight": "spec_weight"},
    "poisson_kl": {"kl_weight": "spec_weight"},
    "poisson_mn": {key: key for key in ("total_weight", "weight_range", "weight_exp", "rescale")},
    "task_poisson_mn": {"total_weight": "total_weight"},
}


def loss_of_settings(settings: Mapping[str, Any]) -> MaskedLoss:
    """Return the loss of training parameters, with its arguments.

    Parameters
    ----------
    settings: mapping
        Section `train` of a parameter file: `loss`, and optionally the keys with arguments of this loss.

    Raises
    ------
    InputError
        The loss is unknown.
    """
    keys = _LOSS_WEIGHTS.get(settings["loss"], {})
    arguments = {name: settings[key] for name, key in keys.items() if settings.get(key) is not None}
    return parse_loss(settings["loss"], **arguments)
