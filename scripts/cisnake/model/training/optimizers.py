"""Optimizers, learning-rate schedules and adaptive clipping from the `train` section of a parameter file."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from cisnake.errors import InputError, unknown_name

_CYCLE_KEYS = ("initial_learning_rate", "maximal_learning_rate", "final_learning_rate", "train_epochs_cycle1")
_DECAY_KEYS = ("decay_steps", "decay_rate")
_SCHEDULES = ("constant", "cosine", "exponential", "cyclical1")
_DECAY_RATE = 0.96

# Ftrl forgets the weights that training starts from; ScheduleFreeAdamW means other weights for validation than for training,
# and Keras does not exchange them.
_NOT_BY_NAME = {"Optimizer", "LossScaleOptimizer", "MultiOptimizer", "OptimizerMap", "Ftrl", "ScheduleFreeAdamW"}
_OPTIMIZERS: dict[str, type[keras.optimizers.Optimizer]] = {
    name.lower(): member
    for name, member in inspect.getmembers(keras.optimizers, inspect.isclass)
    if name not in _NOT_BY_NAME and issubclass(member, keras.optimizers.Optimizer)
} | {"momentum": keras.optimizers.SGD}
_WITH_BETAS = ("adam", "adamw", "adamax", "nadam", "lamb")
_WITHOUT_DECAY = ("sgd", "momentum", "adam")


@keras.saving.register_keras_serializable(package="cisnake")
class Cyclical1(keras.optimizers.schedules.LearningRateSchedule):
    """One triangle, and then a constant: Basenji's one-cycle schedule.

    At step s the rate is initial + (maximal − initial) · (1 − |s/S − 1|) while s ≤ 2S, where S is `step_size`, and
    final afterwards. It reaches the maximal rate at step S.

    Parameters
    ----------
    initial_learning_rate, maximal_learning_rate, final_learning_rate: float
    step_size: int
        Steps from the initial rate to the maximal one, and as many back.
    """

    def __init__(
        self, initial_learning_rate: float, maximal_learning_rate: float, final_learning_rate: float, step_size: int
    ) -> None:
        self.initial_learning_rate = initial_learning_rate
        self.maximal_learning_rate = maximal_learning_rate
        self.final_learning_rate = final_learning_rate
        self.step_size = step_size

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        height = 1 - ops.absolute(step / self.step_size - 1)
        rate = self.initial_learning_rate + (self.maximal_learning_rate - self.initial_learning_rate) * height
        return ops.where(step > 2 * self.step_size, self.final_learning_rate, rate)

    def get_config(self) -> dict[str, Any]:
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "maximal_learning_rate": self.maximal_learning_rate,
            "final_learning_rate": self.final_learning_rate,
            "step_size": self.step_size,
        }


@keras.saving.register_keras_serializable(package="cisnake")
class WarmUp(keras.optimizers.schedules.LearningRateSchedule):
    """A line from zero to the initial rate, and then another schedule from its own beginning.

    At step s < `warmup_steps` the rate is initial · s / `warmup_steps`: the very first step changes no weight, as in
    Basenji. From then on it is what `schedule` has at step s − `warmup_steps`.

    Parameters
    ----------
    initial_learning_rate: float
        Where the line ends; where `schedule` begins.
    warmup_steps: int
        Length of the line; at least 1.
    schedule: float or LearningRateSchedule
        What follows.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        warmup_steps: int,
        schedule: float | keras.optimizers.schedules.LearningRateSchedule,
    ) -> None:
        self.initial_learning_rate, self.warmup_steps, self.schedule = initial_learning_rate, warmup_steps, schedule

    def __call__(self, step: Any) -> Any:
        step = ops.cast(step, "float32")
        # The schedule is computed during the warm-up, too: none of them may see a step before its first.
        after = ops.maximum(step - self.warmup_steps, 0.0)
        follows = self.schedule(after) if callable(self.schedule) else self.schedule
        return ops.where(step < self.warmup_steps, self.initial_learning_rate * step / self.warmup_steps, follows)

    def get_config(self) -> dict[str, Any]:
        schedule = self.schedule
        if callable(schedule):
            schedule = keras.optimizers.schedules.serialize(schedule)
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "warmup_steps": self.warmup_steps,
            "schedule": schedule,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> WarmUp:
        schedule = config["schedule"]
        if isinstance(schedule, dict):
            schedule = keras.optimizers.schedules.deserialize(schedule)
        return cls(**config | {"schedule": schedule})


def build_optimizer(train: dict[str, Any], steps_per_epoch: int, loss_scale: bool = False) -> keras.optimizers.Optimizer:
    """Return the optimizer that a `train` section describes.

    Parameters
    ----------
    train: dict
        `optimizer`: sgd or momentum (with `momentum`), adam (with `adam_beta1` and `adam_beta2`), adamw (with
        `weight_decay`, too, which spares biases and normalisation), or most other optimizers of Keras by name, in
        capitals or not. Those take `weight_decay`, the betas if they are of Adam's family, and Keras's defaults for what
        is theirs alone.

        `clip_norm` bounds the norm of the gradient of each weight tensor, `global_clipnorm` that of all together.
        `agc_clip` is for the caller: see `adaptive_clip`. For the learning rate, see `build_schedule`.
    steps_per_epoch: int
        Batches in an epoch.
    loss_scale: bool
        Whether the caller scales the loss, for float16. Adam's epsilon is then 1e-4 instead of 1e-7, as in Baskerville.
        Default False.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    InputError
        The optimizer or schedule is unknown, or settings exclude one another.
    """
    name = train["optimizer"].lower()
    if name not in _OPTIMIZERS:
        raise unknown_name("optimizer", train["optimizer"], _OPTIMIZERS)
    if train["clip_norm"] is not None and train["global_clipnorm"] is not None:
        raise InputError("clip_norm and global_clipnorm are both set: use one of them.")
    settings: dict[str, Any] = {
        "learning_rate": build_schedule(train, steps_per_epoch),
        "clipnorm": train["clip_norm"],
        "global_clipnorm": train["global_clipnorm"],
    }
    decay = train["weight_decay"]
    if name in _WITHOUT_DECAY and decay:
        raise InputError(f"weight_decay is {decay}, which optimizer {name} does not know: use adamw, or l2_scale of the model.")
    if name in _WITH_BETAS:
        settings |= {"beta_1": train["adam_beta1"], "beta_2": train["adam_beta2"]}
    if name == "adam":
        settings["epsilon"] = 1e-4 if loss_scale else 1e-7
    if name in ("sgd", "momentum"):
        settings["momentum"] = train["momentum"]
    if name in _WITHOUT_DECAY:
        return _OPTIMIZERS[name](**settings)
    if name == "muon":
        # It leaves all weights but matrices to Adam, whose decay it has apart.
        settings["adam_weight_decay"] = decay
    optimizer = _OPTIMIZERS[name](weight_decay=decay, **settings)
    # Decay draws weights to zero; scales and offsets of normalisation have no reason to go there.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def build_schedule(train: dict[str, Any], steps_per_epoch: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate that a `train` section describes: a number, or a schedule over steps.

    Parameters
    ----------
    train: dict
        `lr_schedule` is one of

        - constant: `learning_rate`;
        - cosine: from `learning_rate` to zero at the last step of epoch `train_epochs_max`;
        - exponential: `learning_rate` times `decay_rate` (default 0.96) after every `decay_steps` steps;
        - cyclical1: see `Cyclical1`, with S the steps of `train_epochs_cycle1` epochs, and its three rates.

        Without it, and as in Basenji and Baskerville, the keys of a schedule choose that schedule: the four of cyclical1, or
        `decay_steps`; with neither, the rate is constant. `warmup_steps` come before any of them: see `WarmUp`.
    steps_per_epoch: int
        Batches in an epoch.

    Raises
    ------
    InputError
        The schedule is unknown, lacks a key, or there are keys of another.
    """
    cycle, decay = ([key for key in keys if train.get(key) is not None] for keys in (_CYCLE_KEYS, _DECAY_KEYS))
    name = train["lr_schedule"] or ("cyclical1" if cycle else "exponential" if decay else "constant")
    if name not in _SCHEDULES:
        raise unknown_name("lr_schedule", name, _SCHEDULES)
    foreign = (cycle if name != "cyclical1" else []) + (decay if name != "exponential" else [])
    if foreign:
        raise InputError(f"{foreign[0]} does not go with lr_schedule {name}: leave one of them out.")
    needed = {"cyclical1": _CYCLE_KEYS, "exponential": ("decay_steps",)}.get(name, ())
    missing = [key for key in needed if train.get(key) is None]
    if missing:
        raise InputError(f"lr_schedule {name} needs {' and '.join(missing)}.")
    warmup, initial = train["warmup_steps"], train["learning_rate"]
    rate: float | keras.optimizers.schedules.LearningRateSchedule = initial
    if name == "cosine":
        steps = steps_per_epoch * train["train_epochs_max"]
        if warmup >= steps:
            raise InputError(f"warmup_steps is {warmup}, but training has only {steps} steps.")
        rate = keras.optimizers.schedules.CosineDecay(initial, steps - warmup)
    elif name == "exponential":
        factor = _DECAY_RATE if train.get("decay_rate") is None else train["decay_rate"]
        _check_positive(train, "decay_steps")
        rate = keras.optimizers.schedules.ExponentialDecay(initial, train["decay_steps"], factor, staircase=True)
    elif name == "cyclical1":
        _check_positive(train, "train_epochs_cycle1")
        initial, maximal, final, epochs = (train[key] for key in _CYCLE_KEYS)
        rate = Cyclical1(initial, maximal, final, epochs * steps_per_epoch)
    return WarmUp(initial, warmup, rate) if warmup else rate


def adaptive_clip(gradients: Sequence[Any], weights: Sequence[Any], clip: float) -> list[Any]:
    """Clip the gradient of each unit to a fraction of the norm of its own weights (Brock et al. 2021, arXiv 2102.06171).

    A unit is an output channel: the norms are over all axes of a kernel but the last, which is over inputs for a Dense
    kernel, and over width and input channels for one of Conv1D. For a depthwise kernel they are over width alone, and a
    bias, gain or scalar is taken as a whole. Where the norm G of a gradient is above M = `clip` · max(W, 1e-3), with W that
    of the weights, it is multiplied by M / G.

    Basenji's norms of Conv1D kernels run over the width alone, as if each pair of an input and an output channel were a
    unit, and so bound each pair by a norm of a few numbers; here they follow the article.

    Parameters
    ----------
    gradients: sequence of tensors
        One for each weight; None where there is none.
    weights: sequence of variables or tensors
    clip: float
        Largest ratio of the norms; 0.01 to 0.1 is usual.

    Returns
    -------
    list of tensors
        As `gradients`.
    """
    return [
        gradient if gradient is None else _clip_units(gradient, weight, clip) for gradient, weight in zip(gradients, weights)
    ]


def _clip_units(gradient: Any, weight: Any, clip: float) -> Any:
    rank, name = len(weight.shape), getattr(weight, "name", "")
    # Attention has biases of rank 4.
    shared = rank if rank <= 1 or "bias" in name else rank - 2 if "depthwise" in name else rank - 1
    axes = tuple(range(shared))
    limit = clip * ops.maximum(_norm(ops.convert_to_tensor(weight), axes), 1e-3)
    norm = _norm(gradient, axes)
    return ops.where(norm > limit, gradient * (limit / ops.maximum(norm, 1e-6)), gradient)


def _norm(x: Any, axes: tuple[int, ...]) -> Any:
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


def _check_positive(train: dict[str, Any], key: str) -> None:
    if train[key] <= 0:
        raise InputError(f"{key} is {train[key]}: it must be above zero.")
