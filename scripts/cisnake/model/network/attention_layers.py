"""Attention over relative positions."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import layers, ops


@functools.lru_cache(maxsize=8)
def position_features(length: int, count: int, length_trained: int | None = None) -> np.ndarray:
    """Return what is known of the distance between two positions: within how many it is, and to which side.

    Of F = `count` // 2 widths (L + 1)^(i / F) - 1, i = 1..F, with L the length trained on, the i-th feature is 1 where the
    distance is below the width; F more features are those times the sign of the distance (Enformer's central mask).

    Parameters
    ----------
    length: int
        Positions.
    count: int
        Features, an even number.
    length_trained: int, optional
        L, if the network sees another length now. Default: `length`.

    Returns
    -------
    numpy.ndarray, shape=(1, 2 * length - 1, count), dtype=float32
        For the distances -(length - 1) .. length - 1, of key from query.
    """
    if count % 2:
        raise ValueError(f"num_position_features is {count}: it must be even.")
    n = count // 2
    # In float32 throughout: where a width is a whole number, rounding decides, and weights of Basenji know its rounding.
    rate = np.exp(np.log((length_trained or length) + 1) / n).astype(np.float32)
    widths = np.power(rate, np.arange(1, n + 1, dtype=np.float32)) - np.float32(1)
    distances = np.arange(1 - length, length, dtype=np.float32)
    near = (widths > np.abs(distances)[:, None]).astype(np.float32)
    features = np.concatenate([near, np.sign(distances)[:, None] * near], axis=1)[None]
    features.setflags(write=False)
    return features


def relative_shift(x: Any) -> Any:
    """Turn scores by query and distance, (..., T, 2 T - 1), into scores by query and key, (..., T, T).

    Row i holds the distances 1 - T .. T - 1 and must be read from T - 1 - i on. Laid end to end, each row's beginning is
    2 T - 2 further than that of the row before, so that cutting the line anew into rows that long puts them all in place.
    """
    *batch, length, distances = x.shape
    if length == 1:
        return x
    batch = [-1, *batch[1:]]
    line = ops.reshape(x, (*batch, length * distances))[..., length - 1 : length - 1 + length * (distances - 1)]
    return ops.reshape(line, (*batch, length, distances - 1))[..., :length]


@keras.saving.register_keras_serializable(package="cisnake")
class MultiheadAttention(layers.Layer):
    """Attention whose scores depend on content and on relative position, as in Enformer and Borzoi.

    With queries q (divided by the square root of `key_size`), keys k, values v, and relative keys r made from
    `position_features`, the score of key j for query i is (q_i + u) · k_j + (q_i + w) · r_(j-i), with learned u and w of each
    head; its softmax over j weighs the values, and a dense layer that starts at zero joins the heads.

    The projections are Dense layers, `q_layer`, `k_layer`, `v_layer`, `embedding_layer` and `r_k_layer`, so that
    `enable_lora` works on each; `weights` has the order of Basenji's and Baskerville's layer.

    Parameters
    ----------
    value_size, key_size: int
        Channels of a value, and of a key and query, in one head.
    heads: int
    attention_dropout_rate: float
        Share of attention weights dropped. Default 0.
    num_position_features: int, optional
        Even; 0 leaves positions out. Default: `value_size`, or one less if that is odd.
    positional_dropout_rate: float
        Share of position features dropped. Default 0.
    content_position_bias: bool
        Whether positions are scored by queries and w, or by w alone. Default True.
    initializer
        Of the projections, u and w. Default "he_normal".
    l2_scale: float
        Penalty on the projections' kernels. Default 0.
    qkv_width: int
        Above 1, queries, keys and values are separable convolutions this wide. Default 1.
    seqlen_train: int, optional
        Positions that the widths of `position_features` are made for, if not those of the input.
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
            raise ValueError("attention needs a fixed length.")
        shape = (1, self.heads, 1, self.key_size)
        self.r_w_bias = self.add_weight(shape=shape, initializer=self.initializer.clone(), name="r_w_bias")
        self.r_r_bias = self.add_weight(shape=shape, initializer=self.initializer.clone(), name="r_r_bias")
        for layer in (self.q_layer, self.k_layer, self.v_layer):
            layer.build(input_shape)
        self.embedding_layer.build((input_shape[0], length, self.value_size * self.heads))
        if self.r_k_layer is not None:
            self.r_k_layer.build((1, 2 * length - 1, self.num_position_features))

    def _split(self, x: Any) -> Any:
        """Set the heads apart: (batch, length, heads * channels) to (batch, heads, length, channels)."""
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
                # Repeated for each example by hand: on CPUs, TensorFlow 2.21's product of bfloat16 with a factor that it has to
                # repeat itself writes out of bounds.
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
