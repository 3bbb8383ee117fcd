"""Layers that Keras lacks: strands, attention over relative positions, gates, pooling, and augmentation while training."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cisnake.errors import unknown_name
from cisnake.model.batch_normalization import BatchNormalization

NORMALIZATIONS = ("batch", "batch-sync", "layer")

_registered = keras.saving.register_keras_serializable(package="cisnake")


@_registered
def approximate_gelu(x: Any) -> Any:
    """GELU by its tanh approximation, which is what Basenji and Baskerville call gelu."""
    return ops.gelu(x, approximate=True)


@_registered
def clipped_softplus(x: Any) -> Any:
    """Softplus of inputs clipped to ±10,000, so that it stays finite in half precision."""
    return ops.softplus(ops.clip(x, -10_000, 10_000))


@_registered
def poly_relu(x: Any) -> Any:
    """ReLU of (x - 2)³."""
    return ops.relu((x - 2) ** 3)


def normalization(norm_type: str, momentum: float, gamma: str = "ones") -> tuple[type[layers.Layer], dict[str, Any]]:
    """Return the class of a normalisation and its arguments.

    Parameters
    ----------
    norm_type: str
        "batch", "batch-sync" (over the batches of all replicas) or "layer" (over channels).
    momentum: float
        Of the running statistics of a batch normalisation.
    gamma: str
        What the learned factor starts from. Default "ones".

    Raises
    ------
    InputError
        The type is none of these.
    """
    if norm_type not in NORMALIZATIONS:
        raise unknown_name("norm_type", str(norm_type), NORMALIZATIONS)
    if norm_type == "layer":
        return layers.LayerNormalization, {"gamma_initializer": gamma}
    arguments: dict[str, Any] = {"momentum": momentum, "gamma_initializer": gamma}
    if norm_type == "batch-sync":
        return layers.BatchNormalization, arguments | {"synchronized": True}
    return BatchNormalization, arguments


@_registered
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


@_registered
class Scale(layers.Layer):
    """One learned factor a channel; from zeros, a residual branch starts as nothing.

    Parameters
    ----------
    initializer
        Of the factors. Default "zeros".
    """

    def __init__(self, initializer: Any = "zeros", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=self.initializer, name="scale")

    def call(self, x: Any) -> Any:
        return x * self.scale

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "initializer": keras.initializers.serialize(self.initializer)}


@_registered
class Exp(layers.Layer):
    """`base` to the power of x, e if None, from which `minus` is taken, if given."""

    def __init__(self, base: float | None = None, minus: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.base, self.minus = base, minus

    def call(self, x: Any) -> Any:
        y = ops.exp(x) if self.base is None else ops.power(ops.cast(self.base, x.dtype), x)
        return y if self.minus is None else y - self.minus

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "base": self.base, "minus": self.minus}


# Attention


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


@_registered
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


# Gates


@_registered
class SqueezeExcite(layers.Layer):
    """A gate on each channel that depends on the means of all channels over positions.

    Parameters
    ----------
    units: int
        Width of the layer between means and gates.
    additive: bool
        Add the gate to the input rather than multiply by it. Default False.
    norm_type: str, optional
        Normalisation of the gates, from a gamma of zeros. Default None.
    bn_momentum: float
        Of that normalisation. Default 0.9.
    kernel_initializer
        Default "glorot_uniform".
    use_bias: bool
        Default True.
    scale_fun: str
        "sigmoid" (default) or "tanh": what makes a multiplicative gate of a number.
    """

    def __init__(
        self,
        units: int,
        additive: bool = False,
        norm_type: str | None = None,
        bn_momentum: float = 0.9,
        kernel_initializer: Any = "glorot_uniform",
        use_bias: bool = True,
        scale_fun: str = "sigmoid",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if scale_fun not in ("sigmoid", "tanh"):
            raise unknown_name("scale_fun", str(scale_fun), ("sigmoid", "tanh"))
        self.units, self.additive, self.norm_type, self.bn_momentum = units, additive, norm_type, bn_momentum
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.use_bias, self.scale_fun = use_bias, scale_fun

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        common: dict[str, Any] = {"use_bias": self.use_bias, "dtype": self.dtype_policy}
        self.dense1 = layers.Dense(
            self.units, activation="relu", kernel_initializer=self.kernel_initializer.clone(), name="dense1", **common
        )
        self.dense2 = layers.Dense(channels, kernel_initializer=self.kernel_initializer.clone(), name="dense2", **common)
        self.dense1.build((input_shape[0], channels))
        self.dense2.build((input_shape[0], self.units))
        self.norm = None
        if self.norm_type is not None:
            kind, arguments = normalization(self.norm_type, self.bn_momentum, "zeros")
            self.norm = kind(**arguments, name="norm", dtype=self.dtype_policy)
            self.norm.build((input_shape[0], channels))

    def call(self, x: Any, training: bool | None = None) -> Any:
        gate = self.dense2(self.dense1(ops.mean(x, axis=1)))
        if self.norm is not None:
            gate = self.norm(gate, training=training)
        gate = gate[:, None]
        if self.additive:
            return x + gate
        return x * (ops.sigmoid(gate) if self.scale_fun == "sigmoid" else ops.tanh(gate))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "additive": self.additive,
            "norm_type": self.norm_type,
            "bn_momentum": self.bn_momentum,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "use_bias": self.use_bias,
            "scale_fun": self.scale_fun,
        }


@_registered
class WheezeExcite(layers.Layer):
    """A gate on each channel and position that depends on the means of all channels nearby.

    The second dense layer ends in ReLU before the sigmoid, as in Basenji: gates are between a half and one.

    Parameters
    ----------
    pool_size: int
        Positions of a mean, an odd number. Beyond the ends the sequence is mirrored.
    """

    def __init__(self, pool_size: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pool_size % 2 == 0:
            raise ValueError(f"pool_size is {pool_size}: it must be odd.")
        self.pool_size = pool_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1] or 0
        self.excite1 = layers.Dense(channels // 4, activation="relu", name="excite1", dtype=self.dtype_policy)
        self.excite2 = layers.Dense(channels, activation="relu", name="excite2", dtype=self.dtype_policy)
        self.excite1.build(input_shape)
        self.excite2.build((*input_shape[:2], channels // 4))

    def call(self, x: Any) -> Any:
        half = self.pool_size // 2
        means = ops.average_pool(ops.pad(x, ((0, 0), (half, half), (0, 0)), mode="symmetric"), self.pool_size, 1, "valid")
        return x * ops.sigmoid(self.excite2(self.excite1(means)))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pool_size": self.pool_size}


@_registered
class GlobalContext(layers.Layer):
    """Adds to every position the same summary of all: their attention-weighted sum, through two dense layers."""

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1] or 0
        self.context_key = layers.Dense(1, name="context_key", dtype=self.dtype_policy)
        self.dense1 = layers.Dense(channels // 4, name="dense1", dtype=self.dtype_policy)
        self.ln = layers.LayerNormalization(name="ln", dtype=self.dtype_policy)
        self.dense2 = layers.Dense(channels, name="dense2", dtype=self.dtype_policy)
        self.context_key.build(input_shape)
        self.dense1.build((input_shape[0], 1, channels))
        self.ln.build((input_shape[0], 1, channels // 4))
        self.dense2.build((input_shape[0], 1, channels // 4))

    def call(self, x: Any) -> Any:
        attention = ops.softmax(self.context_key(x), axis=1)
        summary = ops.sum(x * attention, axis=1, keepdims=True)
        return x + self.dense2(ops.relu(self.ln(self.dense1(summary))))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return tuple(input_shape)


# Pooling and position


@_registered
class SoftmaxPool1D(layers.Layer):
    """Attention pooling: the mean of `pool_size` neighbours, weighted by the softmax of a learned linear function of each.

    Parameters
    ----------
    pool_size: int
        Must divide the length. Default 2.
    per_channel: bool
        Weigh each channel by itself. Default False.
    init_gain: float
        The linear function starts as this times the identity: 0 is the mean, large the maximum. Default 2.
    """

    def __init__(self, pool_size: int = 2, per_channel: bool = False, init_gain: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.pool_size, self.per_channel, self.init_gain = pool_size, per_channel, init_gain

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = input_shape[-1]
        self.logit_linear = layers.Dense(
            channels if self.per_channel else 1,
            use_bias=False,
            kernel_initializer=keras.initializers.Identity(self.init_gain),
            name="logit_linear",
            dtype=self.dtype_policy,
        )
        self.logit_linear.build((input_shape[0], None, self.pool_size, channels))

    def call(self, x: Any) -> Any:
        grouped = ops.reshape(x, (-1, x.shape[1] // self.pool_size, self.pool_size, x.shape[2]))
        return ops.sum(grouped * ops.softmax(self.logit_linear(grouped), axis=2), axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        length = input_shape[1] or 0
        if length % self.pool_size:
            raise ValueError(f"softmax pooling of {self.pool_size} does not divide the length {length}.")
        return (input_shape[0], length // self.pool_size, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        own = {"pool_size": self.pool_size, "per_channel": self.per_channel, "init_gain": self.init_gain}
        return {**super().get_config(), **own}


@_registered
class ConcatPosition(layers.Layer):
    """Puts the position, counted from the middle, before the channels.

    Parameters
    ----------
    transform: str, optional
        "abs" for the distance from the middle, "reversed" for positions counted backwards, None for positions. Default None.
    power: float
        To which the position is raised. Default 1.
    """

    def __init__(self, transform: str | None = None, power: float = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if transform not in (None, "abs", "reversed"):
            raise unknown_name("transform of position", str(transform), ("abs", "reversed"))
        self.transform, self.power = transform, power

    def call(self, x: Any) -> Any:
        length = x.shape[1]
        position = np.arange(length, dtype=np.float32) - (length + 1) // 2
        if self.transform == "abs":
            position = np.abs(position)
        elif self.transform == "reversed":
            position = position[::-1]
        column = ops.convert_to_tensor((position**self.power)[None, :, None], self.compute_dtype)
        return ops.concatenate([ops.broadcast_to(column, (ops.shape(x)[0], length, 1)), x], axis=2)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:2], (input_shape[2] or 0) + 1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "transform": self.transform, "power": self.power}


@_registered
class FactorInverse(layers.Layer):
    """Multiplies by a fixed matrix: from components back to tasks. The matrix is saved with the model's weights.

    Parameters
    ----------
    units: int
        Columns of the matrix, (channels, units), which starts as zeros and is to be assigned to `components`.
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        shape = (input_shape[-1], self.units)
        self.components = self.add_weight(shape=shape, initializer="zeros", trainable=False, name="components")

    def call(self, x: Any) -> Any:
        return ops.matmul(x, self.components)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


# Augmentation


@_registered
class StochasticReverseComplement(layers.Layer):
    """While training, shows the other strand of half of the windows, each by its own toss.

    Channels 0-3 are the bases A C G T; further ones, such as the gene body, are reversed and not complemented.

    Returns
    -------
    tuple
        The windows, and which are reversed: shape (batch,), bool. `SwitchReverse` turns their predictions back.
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


@_registered
class SwitchReverse(layers.Layer):
    """While training, turns back the predictions of windows that were shown reverse-complemented.

    Parameters
    ----------
    strand_pair: list of int, optional
        For each task, the task that measures the other strand, itself if none does. Default: every task its own.
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


@_registered
class StochasticShift(layers.Layer):
    """While training, moves each window by its own number of bases, uniform in -`shift_max`..`shift_max`; zeros come in.

    Parameters
    ----------
    shift_max: int
        In bases.
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
