"""Custom layers (strand-symmetric convolution, gates, pooling, positions), activations and normalisations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from cisnake.errors import unknown_name
from cisnake.model.network.batch_normalization import BatchNormalization

NORMALIZATIONS = ("batch", "batch-sync", "layer")

_registered = keras.saving.register_keras_serializable(package="cisnake")


@_registered
def approximate_gelu(x: Any) -> Any:
    """Tanh approximation of GELU, called gelu in Basenji and Baskerville."""
    return ops.gelu(x, approximate=True)


@_registered
def clipped_softplus(x: Any) -> Any:
    """Softplus of inputs clipped to ±10,000, which remains finite in half precision."""
    return ops.softplus(ops.clip(x, -10_000, 10_000))


@_registered
def poly_relu(x: Any) -> Any:
    """ReLU of (x - 2)³."""
    return ops.relu((x - 2) ** 3)


def normalization(
    norm_type: str, momentum: float, gamma: str = "ones", epsilon: float = 1e-3
) -> tuple[type[layers.Layer], dict[str, Any]]:
    """Return the class of a normalisation layer and its arguments.

    Parameters
    ----------
    norm_type: str
        "batch", "batch-sync" (over the batches of all replicas) or "layer" (over channels).
    momentum: float
        Momentum of the moving statistics of a batch normalisation.
    gamma: str
        Initialiser of the learned gain. Default "ones".
    epsilon: float
        Added to the variance. Default 0.001.

    Raises
    ------
    InputError
        The type is unknown.
    """
    if norm_type not in NORMALIZATIONS:
        raise unknown_name("norm_type", str(norm_type), NORMALIZATIONS)
    if norm_type == "layer":
        return layers.LayerNormalization, {"gamma_initializer": gamma, "epsilon": epsilon}
    arguments: dict[str, Any] = {"momentum": momentum, "gamma_initializer": gamma, "epsilon": epsilon}
    if norm_type == "batch-sync":
        return layers.BatchNormalization, arguments | {"synchronized": True}
    return BatchNormalization, arguments


@_registered
class StrandMaxConv1D(layers.Layer):
    """Convolution of both strands with one set of kernels, followed by the maximum over strands.

    Each kernel is applied in the forward and in the reverse-complement orientation (bases A C G T in channels 0-3; further
    channels are only reversed), and the larger value is kept. The response to a transcription factor's binding site therefore
    does not depend on its orientation.

    Parameters
    ----------
    filters, kernel_size: int
        Number of kernels, and their width in bases.
    pool_size: int
        Window of max pooling, in positions. Default 1.
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
            # "same" pads an even kernel asymmetrically, which would shift the strands by a base relative to each other.
            kernel = ops.pad(kernel, ((0, 1), (0, 0), (0, 0)))
        complement = ops.concatenate([ops.flip(kernel[:, :4], axis=(0, 1)), ops.flip(kernel[:, 4:], axis=0)], axis=1)
        both = ops.conv(x, ops.concatenate([kernel, complement], axis=2), padding="same")
        # One maximum over positions and strands: on a CPU, the gradients of max pooling and of slices are slow.
        missing = -both.shape[1] % self.pool_size
        if missing:
            both = ops.pad(both, ((0, 0), (missing // 2, missing - missing // 2), (0, 0)), constant_values=-float("inf"))
        pools = ops.reshape(both, (-1, both.shape[1] // self.pool_size, 2 * self.pool_size, self.filters))
        return ops.max(pools, axis=2) + self.bias

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        if input_shape[1] is None:
            raise ValueError("StrandMaxConv1D needs windows of a known length")
        return (input_shape[0], -(-input_shape[1] // self.pool_size), self.filters)

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
    """One learned factor per channel; initialised with zeros, it makes a residual block start as the identity.

    Parameters
    ----------
    initializer
        Initialiser of the factors. Default "zeros".
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
    """`base` (None: e) to the power of x, minus `minus` (None: 0)."""

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


# Gates


@_registered
class SqueezeExcite(layers.Layer):
    """Squeeze-and-excite: gate each channel by the means of all channels over positions.

    Parameters
    ----------
    units: int
        Width of the hidden layer between means and gates.
    additive: bool
        Whether the gate is added to the input instead of multiplied by it. Default False.
    norm_type: str, optional
        Normalisation of the gates, with a gain that is initialised with zeros. Default None.
    bn_momentum: float
        Momentum of that normalisation. Default 0.9.
    kernel_initializer
        Initialiser of the dense layers. Default "glorot_uniform".
    use_bias: bool
        Whether the dense layers have biases. Default True.
    scale_fun: str
        Activation of multiplicative gates, "sigmoid" (default) or "tanh".
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
    """Gate each channel and position by the local means of all channels.

    As in Basenji, a ReLU precedes the sigmoid, so that gates lie between 0.5 and 1.

    Parameters
    ----------
    pool_size: int
        Number of positions to average, odd. The input is mirrored beyond its ends.
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
    """Add to every position the same summary of all positions: their attention-weighted sum, after two dense layers."""

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
    """Attention pooling: the average of `pool_size` neighbours, weighted by the softmax of a learned linear function.

    Parameters
    ----------
    pool_size: int
        Positions per group; must divide the length. Default 2.
    per_channel: bool
        Whether each channel has its own weights. Default False.
    init_gain: float
        The linear function is initialised as the identity times this gain: 0 gives average pooling, and large values approach
        max pooling. Default 2.
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
            raise ValueError(f"pool_size of softmax pooling is {self.pool_size}: it must divide the length {length}.")
        return (input_shape[0], length // self.pool_size, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        arguments = {"pool_size": self.pool_size, "per_channel": self.per_channel, "init_gain": self.init_gain}
        return {**super().get_config(), **arguments}


@_registered
class ConcatPosition(layers.Layer):
    """Add the position relative to the middle as the first channel.

    Parameters
    ----------
    transform: str, optional
        None (default) for positions, "abs" for distances from the middle, "reversed" for positions in reverse order.
    power: float
        Exponent applied to the position. Default 1.
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
    """Multiply by a fixed matrix that maps components back to tasks; it is saved with the model's weights.

    Parameters
    ----------
    units: int
        Number of columns of the matrix `components`, of shape (channels, units). It is initialised with zeros; assign its
        values after building.
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
