"""Attention with relative positions."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import layers, ops


@functools.lru_cache(maxsize=8)
def position_features(length: int, count: int, length_trained: int | None = None) -> np.ndarray:
    """Return relative-position features (Enformer's central mask).

    There are F = `count` // 2 widths, (L + 1)^(i / F) - 1 with i = 1..F and L the length in training. Feature i is 1 where the
    absolute distance is smaller than width i, and 0 elsewhere. F further features are these times the sign of the distance.

    Parameters
    ----------
    length: int
        Number of positions.
    count: int
        Number of features, even.
    length_trained: int, optional
        L, if it differs from `length`. Default: `length`.

    Returns
    -------
    numpy.ndarray, shape=(1, 2 * length - 1, count), dtype=float32
        For the distances -(length - 1) .. length - 1 of key minus query.
    """
    if count % 2:
        raise ValueError(f"num_position_features is {count}: it must be even.")
    n = count // 2
    # In float32 throughout, as in Basenji: where a width is a whole number, rounding decides whether a distance is below it.
    rate = np.exp(np.log((length_trained or length) + 1) / n).astype(np.float32)
    widths = np.power(rate, np.arange(1, n + 1, dtype=np.float32)) - np.float32(1)
    distances = np.arange(1 - length, length, dtype=np.float32)
    near = (widths > np.abs(distances)[:, None]).astype(np.float32)
    features = np.concatenate([near, np.sign(distances)[:, None] * near], axis=1)[None]
    features.setflags(write=False)
    return features


def relative_shift(x: Any) -> Any:
    """Convert scores by query and distance, (..., T, 2 T - 1), to scores by query and key, (..., T, T).

    Row i holds the distances 1 - T .. T - 1, of which T are used, starting at column T - 1 - i. In the flattened array, these
    starts are 2 T - 2 apart, so that reshaping to rows of that length aligns them.
    """
    *batch, length, distances = x.shape
    if length == 1:
        return x
    batch = [-1, *batch[1:]]
    line = ops.reshape(x, (*batch, length * distances))[..., length - 1 : length - 1 + length * (distances - 1)]
    return ops.reshape(line, (*batch, length, distances - 1))[..., :length]


@keras.saving.register_keras_serializable(package="cisnake")
class MultiheadAttention(layers.Layer):
    """Multi-head attention with scores from content and relative position, as in Enformer and Borzoi.

    Let q be queries (divided by the square root of `key_size`), k keys, v values, and r relative keys computed from
    `position_features`. The score of key j for query i is (q_i + u) · k_j + (q_i + w) · r_(j-i), with u and w learned per head.
    The softmax over j weights the values. A dense layer, initialised with zeros, combines the heads.

    The projections are the Dense layers `q_layer`, `k_layer`, `v_layer`, `embedding_layer` and `r_k_layer`, so that
    `enable_lora` works on each. `weights` has the order of Basenji's and Baskerville's layer.

    Parameters
    ----------
    value_size, key_size: int
        Channels per head of values, and of keys and queries.
    heads: int
    attention_dropout_rate: float
        Fraction of attention weights dropped. Default 0.
    num_position_features: int, optional
        Even; 0 disables positions. Default: `value_size`, rounded down to an even number.
    positional_dropout_rate: float
        Fraction of position features dropped. Default 0.
    content_position_bias: bool
        Whether scores of relative positions depend on queries (and w), or on w alone. Default True.
    initializer
        Initialiser of the projections, u and w. Default "he_normal".
    l2_scale: float
        L2 penalty on the projections' kernels. Default 0.
    qkv_width: int
        If above 1, queries, keys and values are computed by separable convolutions of this width. Default 1.
    seqlen_train: int, optional
        Number of positions that determines the widths of `position_features`. Default: positions of the input.
    """

    def __init__(
        self,
        value_size: int,
        key_size: int,
        heads: int,
        attention_dropout_rate: float = 0.0,
        num_position_features: int | None = None,
        positional_dropout_rate: float = 0.0,
        content_position_bias: bool = True,
        initializer: Any = "he_normal",
        l2_scale: float = 0.0,
        qkv_width: int = 1,
        seqlen_train: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.value_size, self.key_size, self.heads = value_size, key_size, heads
        self.attention_dropout_rate, self.positional_dropout_rate = attention_dropout_rate, positional_dropout_rate
        self.num_position_features = value_size // 2 * 2 if num_position_features is None else num_position_features
        self.content_position_bias = content_position_bias
        self.initializer = keras.initializers.get(initializer)
        self.l2_scale, self.qkv_width, self.seqlen_train = l2_scale, qkv_width, seqlen_train
        self.q_layer = self._projection(key_size * heads, "q_layer")
        self.k_layer = self._projection(key_size * heads, "k_layer")
        self.v_layer = self._projection(value_size * heads, "v_layer")
        self.embedding_layer = layers.Dense(
            value_size * heads, kernel_initializer="zeros", kernel_regularizer=self._penalty(), name="embedding_layer",
            dtype=self.dtype_policy,
        )  # fmt: skip
        self.r_k_layer = self._dense(key_size * heads, "r_k_layer") if self.num_position_features else None
        self.attention_dropout = layers.Dropout(attention_dropout_rate, dtype=self.dtype_policy)
        self.positional_dropout = layers.Dropout(positional_dropout_rate, dtype=self.dtype_policy)

    def _penalty(self) -> keras.regularizers.Regularizer | None:
        return keras.regularizers.L2(self.l2_scale) if self.l2_scale else None

    def _dense(self, units: int, name: str) -> layers.Layer:
        return layers.Dense(
            units, use_bias=False, kernel_initializer=self.initializer.clone(), kernel_regularizer=self._penalty(), name=name,
            dtype=self.dtype_policy,
        )  # fmt: skip

    def _projection(self, units: int, name: str) -> layers.Layer:
        if self.qkv_width == 1:
            return self._dense(units, name)
        return layers.SeparableConv1D(
            units,
            self.qkv_width,
            padding="same",
            use_bias=False,
            depthwise_initializer=self.initializer.clone(),
            pointwise_initializer=self.initializer.clone(),
            depthwise_regularizer=self._penalty(),
            pointwise_regularizer=self._penalty(),
            name=name,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        length = input_shape[1]
        if length is None:
            raise ValueError("attention requires a fixed length.")
        shape = (1, self.heads, 1, self.key_size)
        self.r_w_bias = self.add_weight(shape=shape, initializer=self.initializer.clone(), name="r_w_bias")
        self.r_r_bias = self.add_weight(shape=shape, initializer=self.initializer.clone(), name="r_r_bias")
        for layer in (self.q_layer, self.k_layer, self.v_layer):
            layer.build(input_shape)
        self.embedding_layer.build((input_shape[0], length, self.value_size * self.heads))
        if self.r_k_layer is not None:
            self.r_k_layer.build((1, 2 * length - 1, self.num_position_features))

    def _split(self, x: Any) -> Any:
        """Split heads: (batch, length, heads * channels) to (batch, heads, length, channels)."""
        return ops.transpose(ops.reshape(x, (-1, x.shape[1], self.heads, x.shape[2] // self.heads)), (0, 2, 1, 3))

    def call(self, x: Any, training: bool | None = None) -> Any:
        length = x.shape[1]
        queries = self._split(self.q_layer(x)) * self.key_size**-0.5
        keys, values = self._split(self.k_layer(x)), self._split(self.v_layer(x))
        scores = ops.matmul(queries + self.r_w_bias, ops.transpose(keys, (0, 1, 3, 2)))
        if self.r_k_layer is not None:
            features = position_features(length, self.num_position_features, self.seqlen_train)
            features = self.positional_dropout(ops.convert_to_tensor(features, self.compute_dtype), training=training)
            relative = ops.transpose(self._split(self.r_k_layer(features)), (0, 1, 3, 2))
            if self.content_position_bias:
                # Broadcast explicitly: on CPUs, the bfloat16 matrix product of TensorFlow 2.21 writes out of bounds if it
                # broadcasts a factor itself.
                relative = ops.broadcast_to(relative, (ops.shape(x)[0], *relative.shape[1:]))
                by_distance = ops.matmul(queries + self.r_r_bias, relative)
            else:
                by_distance = ops.matmul(ops.convert_to_tensor(self.r_r_bias), relative)
                by_distance = ops.broadcast_to(by_distance, (1, self.heads, length, 2 * length - 1))
            scores = scores + relative_shift(by_distance)
        weights = self.attention_dropout(ops.softmax(scores), training=training)
        joined = ops.transpose(ops.matmul(weights, values), (0, 2, 1, 3))
        return self.embedding_layer(ops.reshape(joined, (-1, length, self.heads * self.value_size)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:2], self.heads * self.value_size)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "value_size": self.value_size,
            "key_size": self.key_size,
            "heads": self.heads,
            "attention_dropout_rate": self.attention_dropout_rate,
            "num_position_features": self.num_position_features,
            "positional_dropout_rate": self.positional_dropout_rate,
            "content_position_bias": self.content_position_bias,
            "initializer": keras.initializers.serialize(self.initializer),
            "l2_scale": self.l2_scale,
            "qkv_width": self.qkv_width,
            "seqlen_train": self.seqlen_train,
        }
