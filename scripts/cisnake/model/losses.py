"""Losses that leave out what was not measured.

Every loss here is a function of labels and predictions of shape (batch, target) or (batch, length, target), and its `call`
returns one value per example, shape=(batch,), that depends on that example alone. So the loss of a batch is the mean over
examples however the batch is cut, and weights of examples act as Keras's own losses have it.

Labels that are NaN were not measured. They enter neither the value nor the gradient, whatever the prediction beside them; an
example without any label costs 0.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from cisnake.errors import InputError, unknown_name

# Added to what a logarithm is taken of, and the least share of a class, as Keras has them.
_SMALL = 1e-7


class MaskedLoss(keras.losses.Loss):
    """A loss of measured entries: `of_measured` gets labels and predictions that are 0 where nothing was measured."""

    # Keys of the configuration: the arguments of the constructor that are the loss's own.
    own: tuple[str, ...] = ()
    # Whether tasks or positions are compared with each other, so that one alone says less or nothing.
    compares_tasks, compares_positions = False, False

    def call(self, y_true: Any, y_pred: Any) -> Any:
        true, predicted = ops.cast(y_true, self.dtype), ops.cast(y_pred, self.dtype)
        measured = ops.logical_not(ops.isnan(true))
        # Replaced before any arithmetic: a NaN, or an infinite slope, that is only masked afterwards stays in the gradient.
        true, predicted = ops.where(measured, true, 0.0), ops.where(measured, predicted, 0.0)
        return self.of_measured(true, predicted, ops.cast(measured, self.dtype))

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        """Return one value per example; `measured` is 1 where there is a label and 0 elsewhere, where the others are 0."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"dtype": self.dtype} | {key: getattr(self, key) for key in self.own}


def _mean_by_example(values: Any, counted: Any) -> Any:
    """Return the mean of each example's values where `counted` is 1, and 0 where that is nowhere; shape=(batch,)."""
    axes = tuple(range(1, len(values.shape)))
    return ops.sum(counted * values, axis=axes) / ops.maximum(ops.sum(counted, axis=axes), 1.0)


def _any(measured: Any, axis: int) -> Any:
    """Return 1 where an axis has a measured entry, and 0 elsewhere."""
    return ops.minimum(ops.sum(measured, axis=axis), 1.0)


def _poisson(true: Any, predicted: Any) -> Any:
    return predicted - true * ops.log(predicted + _SMALL)


def _shares(values: Any, measured: Any, epsilon: float, axis: int) -> tuple[Any, Any]:
    """Return values plus epsilon (0 where not measured), and their shares of the sum along an axis (1 where not measured)."""
    values = measured * (values + epsilon)
    total = ops.sum(values, axis=axis, keepdims=True)
    return values, ops.where(measured > 0, values, 1.0) / ops.where(measured > 0, total, 1.0)


@keras.saving.register_keras_serializable(package="cisnake")
class MeanSquaredError(MaskedLoss):
    """Mean of (t - p)² over the measured entries of an example."""

    def __init__(self, name: str = "mse", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        return _mean_by_example(ops.square(true - predicted), measured)


@keras.saving.register_keras_serializable(package="cisnake")
class MeanSquaredErrorUDot(MaskedLoss):
    """Mean of (t - p)² - w (t - t̄)(p - p̄) over the measured entries of an example, means t̄ and p̄ across its tasks.

    Basenji's `mse_udot`: the second term rewards predictions that rise and fall across tasks as the labels do. It is no
    distance: it is negative at p = t, and least at p = t + w/2 (t - t̄), where differences between tasks are overstated. In
    rank 3 the means across tasks are taken at each position. With a single task it is the mean squared error.

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
    """Mean of p - t log(p + 1e-7) over the measured entries of an example; labels and predictions are not negative.

    The negative log-likelihood of counts without its constant term, as Basenji's default loss.
    """

    def __init__(self, name: str = "poisson", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def of_measured(self, true: Any, predicted: Any, measured: Any) -> Any:
        return _mean_by_example(_poisson(true, predicted), measured)


@keras.saving.register_keras_serializable(package="cisnake")
class PoissonKL(MaskedLoss):
    """Poisson loss plus w KL(t' || p'), the divergence of what share each task has of labels and of predictions.

    The shares are t' = (t + ε) / Σ (t + ε) and p' = (p + ε) / Σ (p + ε), sums over the measured tasks; in rank 3 they are
    taken at each position, and the divergence is the mean over positions that have a label. Labels and predictions are not
    negative. Where all labels are 0 the shares are equal, as in Basenji and Baskerville: there the second term asks for
    predictions that are the same for all tasks.

    Basenji's and Baskerville's `poisson_kl`, whose ε are 1e-3 and 1e-7. Theirs raise shares below 1e-7 to 1e-7, which these do
    not: the values are the same but where a prediction is next to nothing, which costs more here.

    Parameters
    ----------
    kl_weight: float
        w. Default 1.
    epsilon: float
        ε. Default 1e-7, which leaves the shares of counts as they are.
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
    """How much signal a window has (Poisson of the total) and where (multinomial across positions), mean over tasks.

    For each task, with t' = u t + ε, p' = u p + ε, S and P their sums over the L measured positions,

        loss = [ -Σ t' log(p' / P) + w (P - S log P) ] / Σ u,

    and twice that over 1 + w if rescaled. Labels and predictions are not negative. A task without any measured position is left
    out of the mean. Rank 2 is one position: what is left is the second term.

    The weights of positions, u = exp(-|x / σ|^e) with x the distance from the middle, fall from 1 in the middle to about
    1 / `weight_range` at both ends: σ = (L / 2 - 1/2) / log(weight_range)^(1/e), largest u set to 1, L all positions.

    With `weight_range` 1 every u is 1, and this is Basenji's `poisson_mn` (ε there is 1e-6). Baskerville's has the weights, ε
    of 1e-7, and divides u p + ε by the sum of u p alone, so that shares add up to more than 1 and a prediction of zeros divides
    by 0; its total has no ε either. Up to terms of the order of ε L the values are the same where its own are finite. It also
    raises x / σ to `weight_exp` without its sign, so that an odd exponent (its trainer's default is 1) weights the left end of
    the window above the middle; here both ends are alike.

    Parameters
    ----------
    total_weight: float
        w. Default 1.
    epsilon: float
        ε. Default 1e-6.
    rescale: bool
        Whether the loss is multiplied by 2 / (1 + w), so that it stays of one size when w changes. Default False.
    weight_range: float
        How many times the middle outweighs the ends; at least 1. Default 1, all positions alike.
    weight_exp: float
        e: the greater, the flatter the middle and the steeper the ends. Default 4.

    Raises
    ------
    InputError
        `weight_range` is below 1, or `weight_exp` or `epsilon` not above 0.
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
                f"weight_range is {weight_range}: it says how many times the middle outweighs the ends, 1 or more."
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
        # Of a task without a label the sums are 0, and so must be what becomes of them.
        known = _any(measured, 1)
        total = ops.sum(predicted, axis=1)
        poisson = total - ops.sum(true, axis=1) * ops.log(ops.where(known > 0, total, 1.0))
        over = ops.where(known > 0, ops.sum(weight * measured, axis=1), 1.0)
        loss = _mean_by_example((multinomial + self.total_weight * poisson) / over, known)
        return loss * (2 / (1 + self.total_weight)) if self.rescale else loss


def middle_weights(length: int, weight_range: float, weight_exp: float) -> np.ndarray:
    """Return how much each position counts in `PoissonMultinomial`; shape=(length,), dtype=float64, the largest is 1."""
    if weight_range == 1 or length == 1:
        return np.ones(length)
    weights = np.exp(-np.log(weight_range) * np.abs(np.linspace(-1, 1, length)) ** weight_exp)
    return weights / weights.max()


@keras.saving.register_keras_serializable(package="cisnake")
class TaskPoissonMultinomial(MaskedLoss):
    """How much of a gene there is (Poisson of the total over tasks) and in which tasks (multinomial across tasks).

    With X and Y the sums of predictions x and labels y over the measured tasks,

        loss = - mean over tasks of y log(x / X) + w (X - Y log X),

    Decima's loss, with the mean in the first term and the sum in the second as there. To every x 1e-7 is added. In rank 3 it is
    taken at each position, and the mean is over positions that have a label. With one task the first term is 0.

    Predictions are amounts, not logits as Decima's: end the head with an activation such as exp or softplus. Labels are not
    negative; they need not be counts. Decima's are log(1 + CPM), which makes the loss no likelihood, but its minimum is still
    where shares and totals of predictions are those of the labels.

    Parameters
    ----------
    total_weight: float
        w. Default 1e-4, with which Decima was trained.
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
    """Mean of -t log p - (1 - t) log(1 - p) over the measured entries of an example; labels and predictions lie in [0, 1].

    Predictions are probabilities, as the activation sigmoid gives them; they are kept 1e-7 away from 0 and 1, as in Keras 3.
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
    """Return the loss of that name.

    Parameters
    ----------
    label: str
        mse, mse_udot, poisson, poisson_kl, poisson_mn, task_poisson_mn or bce.
    **weights: float
        What the loss takes besides, under the names of its own arguments.

    Raises
    ------
    InputError
        The name is unknown, or the loss does not take a weight; the message has the nearest known one.
    """
    if label not in _LOSSES:
        raise unknown_name("loss", label, _LOSSES)
    for key in weights:
        if key not in _LOSSES[label].own:
            raise unknown_name(f"argument of the loss {label}", key, _LOSSES[label].own)
    return _LOSSES[label](**weights)


def check_labels(label: str, labels: np.ndarray, tasks: list[str]) -> None:
    """Refuse labels for which a loss is undefined or has nothing to compare.

    Parameters
    ----------
    label: str
        Name of the loss.
    labels: numpy.ndarray, shape=(n, tasks) or (n, tasks, length)
        NaN where not measured.
    tasks: list of str
        For the message.

    Raises
    ------
    InputError
        The loss is unknown; it needs labels that are not negative, or between 0 and 1, and a task has others; or it compares
        tasks or positions and there is one.
    """
    if label not in _LOSSES:
        raise unknown_name("loss", label, _LOSSES)
    if _LOSSES[label].compares_positions and (labels.ndim < 3 or labels.shape[2] < 2):
        raise InputError(
            f"loss {label} compares positions of a window, but the labels have one value for each window: use loss: poisson, "
            "or labels with a target length above 1."
        )
    if _LOSSES[label].compares_tasks and len(tasks) < 2:
        raise InputError(f"loss {label} compares tasks, but there is only {tasks[0]}: use loss: mse or loss: poisson.")
    over = (0, *range(2, labels.ndim))
    if label in _NOT_NEGATIVE:
        _refuse_tasks(
            np.any(labels < 0, axis=over), tasks, f"loss {label} needs labels that are not negative",
            "use loss: mse, or counts instead of log ratios",
        )  # fmt: skip
    if label == "bce":
        _refuse_tasks(
            np.any((labels < 0) | (labels > 1), axis=over), tasks, "loss bce needs labels between 0 and 1",
            "use loss: mse or loss: poisson, or labels that say yes (1) or no (0)",
        )  # fmt: skip


def _refuse_tasks(wrong: np.ndarray, tasks: list[str], needs: str, remedy: str) -> None:
    if wrong.any():
        raise InputError(
            f"{needs}, but {int(wrong.sum())} of {len(tasks)} tasks have others, {tasks[int(np.argmax(wrong))]} among them: "
            f"{remedy}."
        )
