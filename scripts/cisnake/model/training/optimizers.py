"""Optimizers, learning-rate schedules and adaptive gradient clipping from the `train` section of a parameter file."""

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

# Ftrl discards the initial weights; ScheduleFreeAdamW requires different weights for validation, which Keras does not swap in.
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
    """Basenji's one-cycle schedule: a triangular cycle followed by a constant rate.

    At step s ≤ 2S, where S is `step_size`, the rate is initial + (maximal − initial) · (1 − |s/S − 1|); its maximum is at step
    S. After step 2S, it is the final rate.

    Parameters
    ----------
    initial_learning_rate, maximal_learning_rate, final_learning_rate: float
    step_size: int
        Steps from the initial to the maximal rate, and the same number back.
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
    """Linear warm-up from zero to the initial rate, followed by another schedule from its start.

    At step s < `warmup_steps` the rate is initial · s / `warmup_steps`, so that the first step changes no weights, as in
    Basenji. Afterwards it is the rate of `schedule` at step s − `warmup_steps`.

    Parameters
    ----------
    initial_learning_rate: float
        Rate at the end of the warm-up, and at the start of `schedule`.
    warmup_steps: int
        Length of the warm-up; at least 1.
    schedule: float or LearningRateSchedule
        Rate after the warm-up.
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
        # The schedule is also computed during the warm-up, so its step must not be negative.
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
    """Build the optimizer described by a `train` section.

    Parameters
    ----------
    train: dict
        `optimizer`: sgd or momentum (with `momentum`), adam (with `adam_beta1` and `adam_beta2`), adamw (also with
        `weight_decay`, which excludes biases and normalisation), or the name of most other Keras optimizers, in upper or lower
        case. These use `weight_decay`, the betas if they belong to Adam's family, and Keras's defaults for all other arguments.

        `clip_norm` limits the gradient norm of each weight tensor, and `global_clipnorm` that over all weights. `agc_clip` must
        be applied by the caller, see `adaptive_clip`. For the learning rate, see `build_schedule`.
    steps_per_epoch: int
        Batches per epoch.
    loss_scale: bool
        Whether the caller scales the loss, for float16. Adam's epsilon is then 1e-4 instead of 1e-7, as in Baskerville.
        Default False.

    Returns
    -------
    keras.optimizers.Optimizer

    Raises
    ------
    InputError
        The optimizer or schedule is unknown, or settings are incompatible.
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
        raise InputError(
            f"weight_decay is {decay}, but optimizer {name} does not support it: use adamw, or l2_scale of the model."
        )
    if name in _WITH_BETAS:
        settings |= {"beta_1": train["adam_beta1"], "beta_2": train["adam_beta2"]}
    if name == "adam":
        settings["epsilon"] = 1e-4 if loss_scale else 1e-7
    if name in ("sgd", "momentum"):
        settings["momentum"] = train["momentum"]
    if name in _WITHOUT_DECAY:
        return _OPTIMIZERS[name](**settings)
    if name == "muon":
        # Muon optimises all weights except matrices by Adam, with a separate decay.
        settings["adam_weight_decay"] = decay
    optimizer = _OPTIMIZERS[name](weight_decay=decay, **settings)
    # Biases, and gains and offsets of normalisation, should not be drawn towards zero.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def build_schedule(train: dict[str, Any], steps_per_epoch: int) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the learning rate described by a `train` section: a number, or a schedule over steps.

    Parameters
    ----------
    train: dict
        `lr_schedule` is one of

        - constant: `learning_rate`;
        - cosine: from `learning_rate` to zero at the last step of epoch `train_epochs_max`;
        - exponential: `learning_rate`, multiplied by `decay_rate` (default 0.96) every `decay_steps` steps;
        - cyclical1: see `Cyclical1`, with its three rates, and S the number of steps in `train_epochs_cycle1` epochs.

        If `lr_schedule` is null, the schedule is inferred from its keys, as in Basenji and Baskerville: the four keys of
        cyclical1, or `decay_steps`. Without these, the rate is constant. `warmup_steps` precede any schedule: see `WarmUp`.
    steps_per_epoch: int
        Batches per epoch.

    Raises
    ------
    InputError
        The schedule is unknown, one of its keys is missing, or keys of another schedule are set.
    """
    cycle, decay = ([key for key in keys if train.get(key) is not None] for keys in (_CYCLE_KEYS, _DECAY_KEYS))
    name = train["lr_schedule"] or ("cyclical1" if cycle else "exponential" if decay else "constant")
    if name not in _SCHEDULES:
        raise unknown_name("lr_schedule", name, _SCHEDULES)
    foreign = (cycle if name != "cyclical1" else []) + (decay if name != "exponential" else [])
    if foreign:
        raise InputError(f"{foreign[0]} cannot be used with lr_schedule {name}: remove one of them.")
    needed = {"cyclical1": _CYCLE_KEYS, "exponential": ("decay_steps",)}.get(name, ())
    missing = [key for key in needed if train.get(key) is None]
    if missing:
        raise InputError(f"lr_schedule {name} requires {' and '.join(missing)}.")
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

    A unit is an output channel. Norms are computed over all axes of a kernel except the last: over inputs for a Dense kernel,
    and over width and input channels for a Conv1D kernel. For a depthwise kernel they are computed over width only, and for a
    bias, gain or scalar over all elements. If the norm G of a unit's gradient exceeds M = `clip` · max(W, 1e-3), with W the
    norm of the weights, the gradient is multiplied by M / G.

    Norms of Conv1D kernels follow the article. Basenji computes them over the width only, and so clips each pair of input and
    output channels separately.

    Parameters
    ----------
    gradients: sequence of tensors
        One per weight; None for weights without a gradient.
    weights: sequence of variables or tensors
    clip: float
        Largest ratio of the norms; typically 0.01 to 0.1.

    Returns
    -------
    list of tensors
        Clipped gradients, in the order of `gradients`.
    """
    return [
        gradient if gradient is None else _clip_units(gradient, weight, clip) for gradient, weight in zip(gradients, weights)
    ]


def _clip_units(gradient: Any, weight: Any, clip: float) -> Any:
    rank, name = len(weight.shape), getattr(weight, "name", "")
    # The biases of attention have rank 4.
    reduced = rank if rank <= 1 or "bias" in name else rank - 2 if "depthwise" in name else rank - 1
    axes = tuple(range(reduced))
    limit = clip * ops.maximum(_norm(ops.convert_to_tensor(weight), axes), 1e-3)
    norm = _norm(gradient, axes)
    return ops.where(norm > limit, gradient * (limit / ops.maximum(norm, 1e-6)), gradient)


def _norm(x: Any, axes: tuple[int, ...]) -> Any:
    return ops.sqrt(ops.sum(ops.square(x), axis=axes, keepdims=True))


def _check_positive(train: dict[str, Any], key: str) -> None:
    if train[key] <= 0:
        raise InputError(f"{key} is {train[key]}: it must be positive.")
