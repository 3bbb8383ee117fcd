"""Context of a block: shared settings, layer names, and the earlier representations that U-nets use."""

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
    "gelu_exact": "gelu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "exp": "exponential",
    "softplus": clipped_softplus,
}


@dataclass(frozen=True)
class Defaults:
    """Settings shared by all blocks of a model; a block can override them."""

    activation: str | None = "relu"
    norm_type: str | None = None
    bn_momentum: float = 0.99
    norm_epsilon: float = 1e-3
    kernel_initializer: str = "he_normal"
    l2_scale: float = 0.0
    l1_scale: float = 0.0
    padding: str = "same"


class BlockContext:
    """Settings and position of a block in the network under construction.

    Parameters
    ----------
    defaults: Defaults, optional
        Settings of this block.
    prefix: str
        Prefix of the layer names, for example "trunk_2_conv_tower"; if empty, Keras names the layers.
    representations: list, optional
        Outputs of earlier blocks, and of each step of a tower, for U-net blocks.
    """

    def __init__(self, defaults: Defaults | None = None, prefix: str = "", representations: list[Any] | None = None) -> None:
        self.defaults = defaults or Defaults()
        self.representations = [] if representations is None else representations
        self._prefix = prefix
        self._count: Counter[str] = Counter()

    def layer(self, kind: type[layers.Layer], *args: Any, **kwargs: Any) -> layers.Layer:
        """Return a new layer with a reproducible name: the prefix, the kind of layer, and its number within the block."""
        if self._prefix:
            word = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", kind.__name__).lower()
            self._count[word] += 1
            kwargs["name"] = f"{self._prefix}_{word}_{self._count[word]}"
        return kind(*args, **kwargs)

    def activate(self, x: Any, activation: str | None) -> Any:
        """Apply an activation by Basenji's name; "linear" and None return the tensor unchanged."""
        if activation is None or activation == "linear":
            return x
        if activation not in _ACTIVATIONS:
            raise unknown_name("activation", str(activation), (*_ACTIVATIONS, "linear"))
        return self.layer(layers.Activation, _ACTIVATIONS[activation])(x)

    def normalize(self, x: Any, gamma: str | None = None) -> Any:
        """Normalise according to `norm_type`, with a gain that is initialised by `gamma` (default ones)."""
        shared = self.defaults
        if shared.norm_type is None:
            return x
        kind, arguments = normalization(shared.norm_type, shared.bn_momentum, gamma or "ones", shared.norm_epsilon)
        return self.layer(kind, **arguments)(x)

    def drop(self, x: Any, dropout: float) -> Any:
        return self.layer(layers.Dropout, dropout)(x) if dropout > 0 else x

    def add(self, x: Any, y: Any) -> Any:
        return self.layer(layers.Add)([x, y])

    def convolve(self, x: Any, filters: int, kernel_size: int, conv_type: str = "standard", **arguments: Any) -> Any:
        """Convolve; separable convolutions use Keras's initialiser and no penalty, as effectively in Basenji.

        Parameters
        ----------
        x: Keras tensor, shape=(batch, length, channels)
        filters, kernel_size: int
        conv_type: str
            "standard" or "separable".
        **arguments
            Arguments of the Keras layer.
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
        """Apply a dense layer over channels, with an L2 penalty, and an L1 penalty if `l1`."""
        arguments = {"kernel_initializer": self.defaults.kernel_initializer, **arguments}
        return self.layer(layers.Dense, units, kernel_regularizer=self.penalty(l1), **arguments)(x)

    def pool(self, x: Any, pool_size: int, pool_type: str, padding: str) -> Any:
        """Pool groups of positions.

        Parameters
        ----------
        x: Keras tensor, shape=(batch, length, channels)
        pool_size: int
            Positions per group; 1 returns the tensor unchanged.
        pool_type: str
            "max", "avg" or "softmax".
        padding: str
            "same" or "valid", as in Keras; ignored by "softmax".
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
        """Store a tensor for U-net blocks."""
        self.representations.append(x)

    def finer(self, x: Any) -> Any:
        """Return the latest representation before the current one that is twice as long as x."""
        for kept in reversed(self.representations[:-1]):
            if kept.shape[1] == 2 * x.shape[1]:
                return kept
        raise ValueError(f"no earlier block has length {2 * x.shape[1]}, twice the length of the input.")
