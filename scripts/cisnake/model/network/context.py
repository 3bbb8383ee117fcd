"""What blocks are made with: the settings that they share, named layers, and the representations that U-nets go back to."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from cisnake.errors import unknown_name
from cisnake.model.network.layers import SoftmaxPool1D, approximate_gelu, clipped_softplus, normalization, poly_relu

_POOLS = {"max": layers.MaxPooling1D, "avg": layers.AveragePooling1D, "softmax": SoftmaxPool1D}
_ACTIVATIONS: dict[str, Any] = {
    "relu": "relu",
    "polyrelu": poly_relu,
    "gelu": approximate_gelu,
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "exp": "exponential",
    "softplus": clipped_softplus,
}


@dataclass(frozen=True)
class Defaults:
    """What the blocks of a model share unless they say otherwise."""

    activation: str | None = "relu"
    norm_type: str | None = None
    bn_momentum: float = 0.99
    kernel_initializer: str = "he_normal"
    l2_scale: float = 0.0
    l1_scale: float = 0.0
    padding: str = "same"


class BlockContext:
    """Where a block stands in the network that is being built, and the settings that hold there.

    Parameters
    ----------
    defaults: Defaults, optional
        What holds in this block.
    prefix: str
        Of the names of the block's layers, such as "trunk_2_conv_tower"; if empty, Keras names them.
    representations: list, optional
        Outputs of the blocks before this one, and of each step of a tower, to which U-net blocks go back.
    """

    def __init__(self, defaults: Defaults | None = None, prefix: str = "", representations: list[Any] | None = None) -> None:
        self.defaults = defaults or Defaults()
        self.representations = [] if representations is None else representations
        self._prefix = prefix
        self._count: Counter[str] = Counter()

    def layer(self, kind: type[layers.Layer], *args: Any, **kwargs: Any) -> layers.Layer:
        """Return a new layer, named by its place, its kind and how many of that kind the block has: the same in every build."""
        if self._prefix:
            word = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", kind.__name__).lower()
            self._count[word] += 1
            kwargs["name"] = f"{self._prefix}_{word}_{self._count[word]}"
        return kind(*args, **kwargs)

    def activate(self, x: Any, activation: str | None) -> Any:
        """Apply an activation by Basenji's name; "linear" and None leave the tensor as it is."""
        if activation is None or activation == "linear":
            return x
        if activation not in _ACTIVATIONS:
            raise unknown_name("activation", str(activation), (*_ACTIVATIONS, "linear"))
        return self.layer(layers.Activation, _ACTIVATIONS[activation])(x)

    def normalize(self, x: Any, gamma: str | None = None) -> Any:
        """Normalise as `norm_type` says, with a gamma that starts as ones or as said."""
        if self.defaults.norm_type is None:
            return x
        kind, arguments = normalization(self.defaults.norm_type, self.defaults.bn_momentum, gamma or "ones")
        return self.layer(kind, **arguments)(x)

    def drop(self, x: Any, dropout: float) -> Any:
        return self.layer(layers.Dropout, dropout)(x) if dropout > 0 else x

    def add(self, x: Any, y: Any) -> Any:
        return self.layer(layers.Add)([x, y])

    def convolve(self, x: Any, filters: int, kernel_size: int, conv_type: str = "standard", **arguments: Any) -> Any:
        """Convolve. A separable convolution starts as Keras starts it and is not penalised, as in effect in Basenji.

        Parameters
        ----------
        x: Keras tensor, shape=(batch, length, channels)
        filters, kernel_size: int
        conv_type: str
            "standard" or "separable".
        **arguments
            Of the layer of Keras.
        """
        if conv_type not in ("standard", "separable"):
            raise unknown_name("conv_type", str(conv_type), ("standard", "separable"))
        if conv_type == "separable":
            return self.layer(layers.SeparableConv1D, filters, kernel_size, **arguments)(x)
        return self.layer(
            layers.Conv1D, filters, kernel_size, **arguments,
            kernel_initializer=self.defaults.kernel_initializer, kernel_regularizer=self.penalty(),
        )(x)  # fmt: skip

    def dense(self, x: Any, units: int, l1: bool = False, **arguments: Any) -> Any:
        """Apply a dense layer to channels, penalised by l2_scale, and by l1_scale if `l1`."""
        arguments = {"kernel_initializer": self.defaults.kernel_initializer, **arguments}
        return self.layer(layers.Dense, units, kernel_regularizer=self.penalty(l1), **arguments)(x)

    def pool(self, x: Any, pool_size: int, pool_type: str, padding: str) -> Any:
        """Make one position of several.

        Parameters
        ----------
        x: Keras tensor, shape=(batch, length, channels)
        pool_size: int
            Positions; 1 leaves the tensor as it is.
        pool_type: str
            "max", "avg" or "softmax".
        padding: str
            "same" or "valid", what Keras makes of a rest; not of "softmax".
        """
        if pool_type not in _POOLS:
            raise unknown_name("pool_type", str(pool_type), _POOLS)
        if pool_size == 1:
            return x
        if pool_type == "softmax":
            return self.layer(SoftmaxPool1D, pool_size)(x)
        return self.layer(_POOLS[pool_type], pool_size, padding=padding)(x)

    def penalty(self, l1: bool = False) -> keras.regularizers.Regularizer | None:
        l1_scale, l2_scale = self.defaults.l1_scale if l1 else 0.0, self.defaults.l2_scale
        if l1_scale:
            return keras.regularizers.L1L2(l1_scale, l2_scale)
        return keras.regularizers.L2(l2_scale) if l2_scale else None

    def keep(self, x: Any) -> None:
        """Remember a tensor for U-net blocks."""
        self.representations.append(x)

    def finer(self, x: Any) -> Any:
        """Return the last representation before the current one that is twice as long as x."""
        for kept in reversed(self.representations[:-1]):
            if kept.shape[1] == 2 * x.shape[1]:
                return kept
        raise ValueError(f"no earlier block has a length of {2 * x.shape[1]}, twice that of the input.")
