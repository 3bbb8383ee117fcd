"""Small models that predict one value or a profile per task, and windows with N as input."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import keras
import numpy as np
import pytest

LENGTH = 20


@pytest.fixture
def float64() -> Iterator[None]:
    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_floatx(before[0])
    keras.config.set_dtype_policy(before[1])


@pytest.fixture
def windows() -> Callable[..., np.ndarray]:
    """Return a function that draws windows of A, C, G, T and N, at depth 5 with a gene body."""

    def draw(n: int = 5, depth: int = 5, length: int = LENGTH, seed: int = 0, unknown: bool = True) -> np.ndarray:
        x = np.zeros((n, length, depth), np.float32)
        x[..., :4] = np.eye(5, 4)[np.random.default_rng(seed).integers(0, 5 if unknown else 4, (n, length))]
        x[:, 8:, 4:] = 1
        return x

    return draw


@pytest.fixture
def linear() -> Callable[..., keras.Model]:
    def build(seed: int = 0, depth: int = 5) -> keras.Model:
        keras.utils.set_random_seed(seed)
        return keras.Sequential([keras.Input((LENGTH, depth)), keras.layers.Flatten(), keras.layers.Dense(3)])

    return build


@pytest.fixture
def smooth() -> Callable[..., keras.Model]:
    """Return a function that builds a model of three positive values that has a gradient everywhere."""

    def build(seed: int = 0, depth: int = 5) -> keras.Model:
        keras.utils.set_random_seed(seed)
        layers = [
            keras.layers.Conv1D(4, 5, activation="tanh"), keras.layers.Dropout(0.5), keras.layers.Flatten(),
            keras.layers.Dense(3, activation="softplus"),
        ]  # fmt: skip
        return keras.Sequential([keras.Input((LENGTH, depth)), *layers])

    return build


@pytest.fixture
def profile() -> Callable[..., keras.Model]:
    """Return a function that builds a model of ten positions of two bases, four tasks each; all values are positive."""

    def build(seed: int = 0, depth: int = 5) -> keras.Model:
        keras.utils.set_random_seed(seed)
        layers = [
            keras.layers.Conv1D(4, 5, padding="same", activation="tanh", kernel_initializer="he_normal"),
            keras.layers.AveragePooling1D(2),
            keras.layers.Dense(4, activation="softplus", kernel_initializer="he_normal"),
        ]
        return keras.Sequential([keras.Input((LENGTH, depth)), *layers])

    return build
