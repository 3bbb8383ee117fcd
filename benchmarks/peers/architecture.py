"""The network, weights and data that all peers share. Requires only NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

LENGTH, TASKS = 4096, 10
# The counts of all peers are compared before anything is timed.
TRAINABLE_PARAMETERS = 366_118

STEM: dict[str, int] = {"filters": 64, "kernel_size": 15, "pool_size": 2}
TOWER: dict[str, int] = {"filters_init": 64, "filters_end": 160, "repeat": 4, "kernel_size": 5, "pool_size": 2}
RESIDUAL: dict[str, int] = {"filters": 64, "kernel_size": 3, "rate_mult": 2, "repeat": 4}
BN_MOMENTUM = 0.9
# Positions of a sequence after the trunk's pooling.
BINS = LENGTH // STEM["pool_size"] // TOWER["pool_size"] ** TOWER["repeat"]

OPTIMIZER = {"optimizer": "sgd", "learning_rate": 0.001, "momentum": 0.9}
LOSS = "poisson"


def tower_filters() -> list[int]:
    """Return the filters of the tower's convolutions: a rounded geometric series from first to last."""
    steps = np.arange(TOWER["repeat"]) / (TOWER["repeat"] - 1)
    row = TOWER["filters_init"] * (TOWER["filters_end"] / TOWER["filters_init"]) ** steps
    return [int(filters) for filters in np.round(row)]


def model_section(pooling: dict[str, Any]) -> dict[str, Any]:
    """Return the network as the `model` section of a parameter file, which both Basenji and Cisnake read.

    Parameters
    ----------
    pooling: dict
        Block that averages over positions before the dense layer. Basenji's block, which keeps a position axis of length 1,
        is {"name": "center_average", "center": BINS}.
    """
    return {
        "seq_length": LENGTH,
        "activation": "relu",
        "norm_type": "batch",
        "bn_momentum": BN_MOMENTUM,
        "trunk": [
            {"name": "conv_dna", **STEM},
            {"name": "conv_tower", **TOWER},
            {"name": "dilated_residual", **RESIDUAL},
        ],
        "head": [pooling, {"name": "final", "units": TASKS, "activation": "softplus"}],
    }


def layer_weights(shapes: Sequence[Sequence[int]], rng: np.random.Generator) -> list[np.ndarray]:
    """Return random weights of a layer; identical in every peer if layers are created in the same order.

    With these weights every part of the network is active; Basenji's initialisation would leave residual units at zero.

    Parameters
    ----------
    shapes: sequence of shapes
        Four for a normalisation (scale, offset, mean, variance); otherwise a kernel (inputs before outputs) and optionally
        a bias.
    rng: numpy.random.Generator
    """
    noise = [rng.normal(size=shape) for shape in shapes]
    if len(shapes) == 4:
        scale, offset, mean, variance = (0.1 * part for part in noise)
        weights = [1 + scale, offset, mean, np.exp(variance)]
    else:
        kernel, *bias = noise
        weights = [kernel * np.sqrt(2 / np.prod(kernel.shape[:-1])), *(0.1 * part for part in bias)]
    return [part.astype(np.float32) for part in weights]


def random_data(examples: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return random sequences and counts: (examples, LENGTH) int8 codes 0-3, and (examples, TASKS) float32."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (examples, LENGTH), dtype=np.int8)
    return codes, rng.poisson(3, (examples, TASKS)).astype(np.float32)


def probe() -> np.ndarray:
    """Return the codes of a few sequences for which all peers must give identical predictions."""
    return random_data(4, seed=2)[0]


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Return codes (..., length) as (..., length, 4) float32."""
    return np.eye(4, dtype=np.float32)[codes]
