"""Optimizers and learning-rate schedules from the `train` section of a parameter file."""

from __future__ import annotations

from typing import Any

import keras

from cisnake.errors import InputError, unknown_name

_OPTIMIZERS = ("sgd", "adam", "adamw")
_SCHEDULES = ("constant", "cosine")


def build_optimizer(train: dict[str, Any], steps_per_epoch: int) -> keras.optimizers.Optimizer:
    """Return the optimizer that a `train` section describes.

    Parameters
    ----------
    train: dict
        `optimizer` (sgd, adam, adamw), `learning_rate`, `lr_schedule` (constant, or cosine to zero at `train_epochs_max`),
        `warmup_steps`, `momentum`, `adam_beta1`, `adam_beta2`, `weight_decay`, `clip_norm` (each weight tensor apart),
        `global_clipnorm` (all together).
    steps_per_epoch: int
        Batches in an epoch.

    Raises
    ------
    InputError
        The optimizer or schedule is unknown, or settings exclude one another.
    """
    name, schedule, rate = train["optimizer"], train["lr_schedule"], train["learning_rate"]
    if name not in _OPTIMIZERS:
        raise unknown_name("optimizer", name, _OPTIMIZERS)
    if schedule not in _SCHEDULES:
        raise unknown_name("lr_schedule", schedule, _SCHEDULES)
    warmup = train["warmup_steps"]
    if schedule == "cosine":
        steps = steps_per_epoch * train["train_epochs_max"]
        if warmup >= steps:
            raise InputError(f"warmup_steps is {warmup}, but training has only {steps} steps.")
        rate = keras.optimizers.schedules.CosineDecay(
            0.0 if warmup else rate, steps - warmup, warmup_target=rate if warmup else None, warmup_steps=warmup
        )
    elif warmup:
        rate = keras.optimizers.schedules.PolynomialDecay(rate / warmup, warmup, end_learning_rate=rate)
    if name != "adamw" and train["weight_decay"]:
        raise InputError(f"weight_decay is {train['weight_decay']}, which optimizer {name} does not know: use adamw, or 0.")
    if train["clip_norm"] and train["global_clipnorm"]:
        raise InputError("clip_norm and global_clipnorm are both set: use one of them.")
    shared = {"learning_rate": rate, "clipnorm": train["clip_norm"], "global_clipnorm": train["global_clipnorm"]}
    betas = {"beta_1": train["adam_beta1"], "beta_2": train["adam_beta2"]}
    if name == "sgd":
        return keras.optimizers.SGD(momentum=train["momentum"], **shared)
    if name == "adam":
        return keras.optimizers.Adam(**betas, **shared)
    optimizer = keras.optimizers.AdamW(weight_decay=train["weight_decay"], **betas, **shared)
    # Decay draws weights to zero; scales and offsets of normalisation have no reason to go there.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
