"""Blocks of a trunk or head: functions from a Keras tensor (batch, length, channels) to another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from cisnake.errors import unknown_name

_NORMALIZATIONS = ("batch", "batch-sync", "layer")
_POOLS = ("max", "avg")


@dataclass(frozen=True)
class Defaults:
    """What the blocks of a model share unless they say otherwise."""

    activation: str = "relu"
    norm_type: str | None = "batch"
    bn_momentum: float = 0.9
    kernel_initializer: str = "he_normal"
    l2_scale: float = 0.0
    padding: str = "same"

    @property
    def regularizer(self) -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(self.l2_scale) if self.l2_scale else None


def normalize(x: Any, defaults: Defaults, gamma: str = "ones") -> Any:
    """Normalise by batch (one or all replicas) or layer, or not at all."""
    if defaults.norm_type is None:
        return x
    if defaults.norm_type not in _NORMALIZATIONS:
        raise unknown_name("norm_type", str(defaults.norm_type), _NORMALIZATIONS)
    if defaults.norm_type == "layer":
        return layers.LayerNormalization(gamma_initializer=gamma)(x)
    synchronized = defaults.norm_type == "batch-sync"
    return layers.BatchNormalization(momentum=defaults.bn_momentum, gamma_initializer=gamma, synchronized=synchronized)(x)


def _convolve(x: Any, defaults: Defaults, filters: int, kernel_size: int, dilation_rate: int = 1, use_bias: bool = True) -> Any:
    return layers.Conv1D(
        filters,
        kernel_size,
        padding=defaults.padding,
        dilation_rate=dilation_rate,
        use_bias=use_bias,
        kernel_initializer=defaults.kernel_initializer,
        kernel_regularizer=defaults.regularizer,
    )(x)


def _pool(x: Any, pool_size: int, pool_type: str) -> Any:
    if pool_size == 1:
        return x
    _check_pool_type(pool_type)
    pool = {"max": layers.MaxPooling1D, "avg": layers.AveragePooling1D}[pool_type]
    return pool(pool_size, padding="same")(x)


def _check_pool_type(pool_type: str) -> None:
    if pool_type not in _POOLS:
        raise unknown_name("pool_type", str(pool_type), _POOLS)


@keras.saving.register_keras_serializable(package="cisnake")
class StrandMaxConv1D(layers.Layer):
    """Convolution that reads both strands with one set of kernels and keeps the better match of the two.

    Each kernel is applied as it is and reverse-complemented (bases A C G T in channels 0-3; further channels are only
    reversed), and the larger value is kept: a transcription factor's site counts alike in either orientation.

    Parameters
    ----------
    filters, kernel_size: int
        Kernels and their width in bases.
    pool_size: int
        Positions of which the largest value is kept. Default 1.
    kernel_initializer, kernel_regularizer
        As for Conv1D.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        pool_size: int = 1,
        kernel_initializer: Any = "he_normal",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.pool_size = filters, kernel_size, pool_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.kernel = self.add_weight(
            shape=(self.kernel_size, input_shape[-1], self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            name="kernel",
        )
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        kernel = ops.convert_to_tensor(self.kernel)
        if self.kernel_size % 2 == 0:
            # "same" pads an even kernel unevenly, which would set the two strands a base apart.
            kernel = ops.pad(kernel, ((0, 1), (0, 0), (0, 0)))
        complement = ops.concatenate([ops.flip(kernel[:, :4], axis=(0, 1)), ops.flip(kernel[:, 4:], axis=0)], axis=1)
        both = ops.conv(x, ops.concatenate([kernel, complement], axis=2), padding="same")
        # Pooled before the strands are compared, which gives the same and leaves less to compare: three times as fast.
        if self.pool_size > 1:
            both = ops.max_pool(both, self.pool_size, padding="same")
        return ops.maximum(both[..., : self.filters], both[..., self.filters :]) + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        length = input_shape[1] if input_shape[1] is None else -(-input_shape[1] // self.pool_size)
        return (input_shape[0], length, self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "pool_size": self.pool_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


def conv_motif(
    x: Any, defaults: Defaults, filters: int, kernel_size: int = 15, pool_size: int = 1, dropout: float = 0.0
) -> Any:
    """Motif detectors that read both strands: strand-sharing convolution, max pooling, normalisation, activation, dropout.

    Pooling comes first: it leaves a `pool_size`-th of the positions to normalise, and a maximum is what counts for a site.
    """
    x = StrandMaxConv1D(filters, kernel_size, pool_size, defaults.kernel_initializer, defaults.regularizer)(x)
    x = layers.Activation(defaults.activation)(normalize(x, defaults))
    return layers.Dropout(dropout)(x) if dropout else x


def conv_nac(
    x: Any,
    defaults: Defaults,
    filters: int,
    kernel_size: int = 1,
    dilation_rate: int = 1,
    residual: bool = False,
    pool_size: int = 1,
    pool_type: str = "max",
    dropout: float = 0.0,
) -> Any:
    """Normalisation, activation, convolution, dropout, and the input added back if `residual`; then pooling."""
    y = layers.Activation(defaults.activation)(normalize(x, defaults))
    y = _convolve(y, defaults, filters, kernel_size, dilation_rate)
    if dropout:
        y = layers.Dropout(dropout)(y)
    if residual:
        y = layers.Add()([x, y])
    return _pool(y, pool_size, pool_type)


def conv_tower(
    x: Any,
    defaults: Defaults,
    filters_init: int,
    repeat: int,
    filters_mult: float = 1.0,
    kernel_size: int = 5,
    pool_size: int = 2,
    dropout: float = 0.0,
) -> Any:
    """`repeat` convolutions (normalisation, activation, convolution), each with pooling and more filters than the last."""
    for step in range(repeat):
        filters = round(filters_init * filters_mult**step)
        x = conv_nac(x, defaults, filters, kernel_size, pool_size=pool_size, dropout=dropout)
    return x


def dilated_residual(
    x: Any,
    defaults: Defaults,
    filters: int,
    kernel_size: int = 3,
    rate_mult: float = 2.0,
    repeat: int = 1,
    dropout: float = 0.0,
) -> Any:
    """`repeat` residual units whose dilation grows by `rate_mult`: dilated convolution to `filters`, then width 1 back."""
    channels, rate = x.shape[-1], 1.0
    for _ in range(repeat):
        y = layers.Activation(defaults.activation)(x)
        y = normalize(_convolve(y, defaults, filters, kernel_size, round(rate), use_bias=False), defaults)
        y = layers.Activation(defaults.activation)(y)
        # A zero gamma on the way out: the unit starts as the identity.
        y = normalize(_convolve(y, defaults, channels, 1, use_bias=False), defaults, gamma="zeros")
        if dropout:
            y = layers.Dropout(dropout)(y)
        x = layers.Add()([x, y])
        rate *= rate_mult
    return x


def flatten(x: Any, defaults: Defaults) -> Any:
    """All positions side by side, so that a dense layer after it knows where each of them is."""
    return layers.Flatten()(x)


def global_pool(x: Any, defaults: Defaults, pool_type: str = "avg") -> Any:
    """Mean ("avg") or maximum ("max") over positions."""
    _check_pool_type(pool_type)
    return {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}[pool_type]()(x)


def dense_block(x: Any, defaults: Defaults, units: int, dropout: float = 0.0) -> Any:
    """Dense layer over channels: dense, normalisation, activation, dropout."""
    x = layers.Dense(units, kernel_initializer=defaults.kernel_initializer, kernel_regularizer=defaults.regularizer)(x)
    x = layers.Activation(defaults.activation)(normalize(x, defaults))
    return layers.Dropout(dropout)(x) if dropout else x


def final(x: Any, defaults: Defaults, units: int, activation: str = "linear") -> Any:
    """Dense layer to the tasks, computed in float32 whatever the precision of the trunk."""
    x = layers.Dense(units, kernel_initializer="glorot_uniform", kernel_regularizer=defaults.regularizer, dtype="float32")(x)
    return layers.Activation(activation, dtype="float32")(x)


BLOCKS: dict[str, Callable[..., Any]] = {
    block.__name__: block
    for block in (conv_motif, conv_nac, conv_tower, dilated_residual, flatten, global_pool, dense_block, final)
}
