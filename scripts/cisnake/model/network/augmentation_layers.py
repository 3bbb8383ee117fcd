"""Data augmentation layers: random changes of windows during training that do not change their labels."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable(package="cisnake")
class StochasticReverseComplement(layers.Layer):
    """Reverse-complement each window with probability 1/2 during training.

    Channels 0-3 are the bases A C G T; further channels, such as the gene body, are reversed but not complemented.

    Returns
    -------
    tuple
        The windows, and whether each is reversed, shape (batch,), bool. `SwitchReverse` reverses their predictions back.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x: Any, training: bool | None = None) -> tuple[Any, Any]:
        none = ops.zeros_like(x[:, 0, 0], dtype="bool")
        if not training:
            return x, none
        reverse = keras.random.uniform(ops.shape(none), dtype="float32", seed=self.seed_generator) < 0.5
        other = ops.flip(x, axis=1)
        other = ops.concatenate([ops.flip(other[..., :4], axis=2), other[..., 4:]], axis=2)
        return ops.where(reverse[:, None, None], other, x), reverse

    def compute_output_spec(self, x: Any, training: bool | None = None) -> tuple[Any, Any]:
        return keras.KerasTensor(x.shape, self.compute_dtype), keras.KerasTensor(x.shape[:1], "bool")


@keras.saving.register_keras_serializable(package="cisnake")
class SwitchReverse(layers.Layer):
    """Map predictions of reverse-complemented windows back to the original orientation during training.

    Parameters
    ----------
    strand_pair: list of int, optional
        For each task, the index of the task that measures the opposite strand, or its own index if there is none. Default: no
        task is stranded.
    """

    def __init__(self, strand_pair: list[int] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strand_pair = strand_pair

    def call(self, x: Any, reverse: Any, training: bool | None = None) -> Any:
        if not training:
            return x
        other = ops.flip(x, axis=1) if len(x.shape) == 3 else x
        if self.strand_pair is not None:
            other = ops.take(other, self.strand_pair, axis=-1)
        return ops.where(ops.reshape(reverse, (-1, *[1] * (len(x.shape) - 1))), other, x)

    def compute_output_spec(self, x: Any, reverse: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "strand_pair": self.strand_pair}


@keras.saving.register_keras_serializable(package="cisnake")
class StochasticShift(layers.Layer):
    """Shift each window during training by a random number of bases, uniform in -`shift_max`..`shift_max`, filling with zeros.

    Parameters
    ----------
    shift_max: int
        Largest shift in bases.
    """

    def __init__(self, shift_max: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.shift_max = shift_max
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x: Any, training: bool | None = None) -> Any:
        if not training:
            return x
        shift = keras.random.randint(ops.shape(x[:, 0, 0]), 0, 2 * self.shift_max + 1, seed=self.seed_generator)
        padded = ops.pad(x, ((0, 0), (self.shift_max, self.shift_max), (0, 0)))
        return ops.take_along_axis(padded, (ops.arange(x.shape[1]) + shift[:, None])[..., None], axis=1)

    def compute_output_spec(self, x: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shift_max": self.shift_max}


@keras.saving.register_keras_serializable(package="cisnake")
class StochasticMutation(layers.Layer):
    """Replace bases at random positions of each window during training by random bases.

    Labels hardly depend on most single bases, so networks that see mutated windows learn less by heart (the idea of EvoAug:
    Lee et al. 2023, Genome Biology 24:105). A replaced base stays the same with probability 1/4. Unknown bases, and channels
    other than the bases, do not change.

    Parameters
    ----------
    rate: float
        Fraction of positions that are replaced.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, x: Any, training: bool | None = None) -> Any:
        if not training:
            return x
        bases, others = x[..., :4], x[..., 4:]
        # One number decides both whether a position is replaced, and by which base.
        drawn = keras.random.uniform(ops.shape(bases[..., 0]), dtype="float32", seed=self.seed_generator) / self.rate
        mutated = ops.one_hot(ops.cast(ops.minimum(4 * drawn, 3.0), "int32"), 4, dtype=x.dtype)
        known = ops.any(bases > 0, axis=-1)
        replaced = ops.where(ops.logical_and(drawn < 1, known)[..., None], mutated, bases)
        return ops.concatenate([replaced, others], axis=-1)

    def compute_output_spec(self, x: Any, training: bool | None = None) -> Any:
        return keras.KerasTensor(x.shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}
