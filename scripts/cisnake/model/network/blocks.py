"""Blocks of a trunk or head: functions from one Keras tensor (batch, length, channels) to another.

Names, arguments, defaults and the order of operations, and therefore weights, follow Basenji and its successor Baskerville, and
follow Baskerville where the two differ. There is one exception: the gain (gamma) of a normalisation starts with ones, or with
zeros at the end of a residual branch. Both programs intend this, but fail to do it if a block does not set `norm_gamma`.

Every block takes `x`, a Keras tensor of shape (batch, length, channels), and `context`, a `BlockContext`, which creates its
layers. All further arguments are keys of the parameter file, with the same meaning in every block:

- filters, units: output channels; null: as many as the input has. kernel_size, stride, dilation_rate: of the convolution, in
  positions. conv_type: standard or separable. use_bias: whether the layer has a bias.
- pool_size, pool_type: number of positions pooled into one, and the type of pooling: max, avg or softmax.
- dropout: fraction of values set to zero in training; dropout_residual: the same for a residual branch.
- residual: whether the input is added to the output. norm_gamma: initial gain of the normalisation, zeros or ones.
  activation_end: activation after all other operations. flatten: whether a dense layer is applied to all positions at once.
  se: whether channels are gated by squeeze-and-excite.
- repeat: number of blocks in a tower. filters_init, filters_end, filters_mult: filters of the first and of the last block, or
  the factor between successive blocks. divisible_by: filters are rounded to multiples of it. num_convs: convolutions per step.
  rate_mult: factor between the dilations of successive blocks.
- dense_expansion: width of a dense layer relative to the channels.

Arguments of a single block are described there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import layers

from cisnake.errors import InputError, unknown_name
from cisnake.model.network.attention_blocks import global_context, squeeze_excite, transformer, transformer_tower, wheeze_excite
from cisnake.model.network.context import BlockContext
from cisnake.model.network.convolution_blocks import (
    conv_block,
    conv_dna,
    conv_nac,
    conv_next,
    conv_tower,
    conv_tower_nac,
    convnext_tower,
    dilated_dense,
    dilated_residual,
    dilated_residual_nac,
    fpn_unet,
    res_tower,
    tconv_nac,
    unet_concat,
    unet_conv,
    upsample_unet,
)
from cisnake.model.network.layers import ConcatPosition, Exp, FactorInverse, SoftmaxPool1D, StrandMaxConv1D


def conv_motif(
    x: Any, context: BlockContext, filters: int, kernel_size: int = 15, pool_size: int = 1, dropout: float = 0.0
) -> Any:
    """Motif detectors for both strands: strand-sharing convolution, max pooling, normalisation, activation, dropout.

    Pooling comes before normalisation, because it reduces the positions to normalise, and a site is detected by its maximum.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    initializer, penalty = context.defaults.kernel_initializer, context.penalty()
    x = context.layer(StrandMaxConv1D, filters, kernel_size, pool_size, initializer, penalty)(x)
    x = context.activate(context.normalize(x), context.defaults.activation)
    return context.drop(x, dropout)


# Positions


def center_slice(x: Any, context: BlockContext, center: int) -> Any:
    """Keep the middle `center` positions."""
    length = x.shape[1]
    if not 0 < center <= length:
        raise ValueError(f"center is {center}: it must be between 1 and {length}, the positions of the input.")
    start = (length - center) // 2
    return context.layer(layers.Cropping1D, (start, length - start - center))(x)


def center_average(x: Any, context: BlockContext, center: int) -> Any:
    """Average the middle `center` positions into one."""
    return context.layer(layers.GlobalAveragePooling1D, keepdims=True)(center_slice(x, context, center))


def average_pooling(x: Any, context: BlockContext, pool_size: int = 2) -> Any:
    """Average every `pool_size` positions into one."""
    return context.layer(layers.AveragePooling1D, pool_size, padding="same")(x)


def concat_position(x: Any, context: BlockContext, transform: str | None = "abs", power: float = 1) -> Any:
    """Add a channel: the distance from the middle ("abs"), the position (null), or the reversed position ("reversed").

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    return context.layer(ConcatPosition, transform, power)(x)


def flatten(x: Any, context: BlockContext) -> Any:
    """Concatenate the channels of all positions, so that a following dense layer has weights for each position."""
    return context.layer(layers.Flatten)(x)


def global_pool(x: Any, context: BlockContext, pool_type: str = "avg") -> Any:
    """Mean ("avg") or maximum ("max") over positions."""
    pools = {"avg": layers.GlobalAveragePooling1D, "max": layers.GlobalMaxPooling1D}
    if pool_type not in pools:
        raise unknown_name("pool_type", str(pool_type), pools)
    return context.layer(pools[pool_type])(x)


# Dense layers


def dense_block(
    x: Any,
    context: BlockContext,
    units: int | None = None,
    activation_end: str | None = None,
    flatten: bool = False,
    dropout: float = 0.0,
    residual: bool = False,
    norm_gamma: str | None = None,
    use_bias: bool | None = None,
) -> Any:
    """Activation, dense layer over channels, normalisation, dropout, addition of the input if `residual`, `activation_end`.

    With `flatten`, the layer is applied to all positions at once. If `use_bias` is null, there is a bias only without
    normalisation.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    if use_bias is None:
        use_bias = context.defaults.norm_type is None
    y = context.activate(x, context.defaults.activation)
    y = _flatten(y, context) if flatten else y
    y = context.dense(y, units or x.shape[-1], l1=True, use_bias=use_bias)
    y = context.normalize(y, norm_gamma or ("zeros" if residual else "ones"))
    y = context.drop(y, dropout)
    if residual:
        y = context.add(x, y)
    return context.activate(y, activation_end)


def dense_nac(
    x: Any,
    context: BlockContext,
    units: int | None = None,
    flatten: bool = False,
    dropout: float = 0.0,
    residual: bool = False,
    norm_gamma: str | None = None,
) -> Any:
    """Normalisation, activation, dense layer (over all positions if `flatten`), dropout, addition of the input if `residual`.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    y = context.normalize(x, norm_gamma or ("zeros" if residual else "ones"))
    y = context.activate(y, context.defaults.activation)
    y = _flatten(y, context) if flatten else y
    y = context.drop(context.dense(y, units or x.shape[-1], l1=True), dropout)
    return context.add(x, y) if residual else y


def dense(x: Any, context: BlockContext, units: int) -> Any:
    """Dense layer over channels, followed by the activation of the block or of the model, or none if neither is set."""
    return context.dense(x, units, l1=True, activation=context.defaults.activation)


def final(x: Any, context: BlockContext, units: int, flatten: bool = False) -> Any:
    """Dense layer to the tasks, followed by an activation, in float32 whatever the precision of the trunk.

    The activation is a Keras name: that of the block, else that of the model, else linear. With `flatten`, the layer is applied
    to all positions at once and returns one position.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    x = _flatten(x, context) if flatten else x
    return context.dense(x, units, l1=True, activation=context.defaults.activation, dtype="float32")


def _flatten(x: Any, context: BlockContext) -> Any:
    """Concatenate all positions into one."""
    return context.layer(layers.Reshape, (1, math.prod(x.shape[1:])))(x)


def factor_inverse(x: Any, context: BlockContext, components_file: str) -> Any:
    """Multiply by a matrix (channels, tasks) from a .npy file, which maps components of the tasks back to the tasks."""
    try:
        components = np.load(components_file)
    except (OSError, ValueError) as error:
        raise InputError(f"components_file {components_file} cannot be read: {error}") from error
    layer = context.layer(FactorInverse, components.shape[-1])
    y = layer(x)
    layer.components.assign(components)
    return y


def exp(x: Any, context: BlockContext, base: float | None = None, minus: float | None = None) -> Any:
    """Raise `base` (null: e) to the power of the input, and subtract `minus`.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    return context.layer(Exp, base, minus)(x)


BLOCKS: dict[str, Callable[..., Any]] = {
    block.__name__: block
    for block in (
        conv_motif,
        conv_block,
        conv_dna,
        conv_nac,
        conv_next,
        tconv_nac,
        conv_tower,
        conv_tower_nac,
        res_tower,
        convnext_tower,
        dilated_residual,
        dilated_residual_nac,
        dilated_dense,
        transformer,
        transformer_tower,
        squeeze_excite,
        wheeze_excite,
        global_context,
        unet_conv,
        unet_concat,
        fpn_unet,
        upsample_unet,
        center_slice,
        center_average,
        average_pooling,
        concat_position,
        flatten,
        global_pool,
        dense_block,
        dense_nac,
        dense,
        final,
        factor_inverse,
        exp,
    )
}

# Blocks that pass further arguments on to another block.
INNER: dict[str, Callable[..., Any]] = {
    "conv_tower": conv_block,
    "conv_tower_nac": conv_nac,
    "res_tower": conv_nac,
    "convnext_tower": conv_next,
    "dilated_residual": conv_block,
    "dilated_residual_nac": conv_nac,
    "dilated_dense": conv_block,
    "transformer_tower": transformer,
}

# Blocks that ignore all shared settings.
PLAIN = {
    "wheeze_excite", "global_context", "center_slice", "center_average", "average_pooling", "concat_position", "flatten",
    "global_pool", "factor_inverse", "exp",
}  # fmt: skip

# Where a block's own default differs from that of `Defaults`.
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "final": {"activation": "linear"},
    "dense": {"activation": "linear"},
    "squeeze_excite": {"bn_momentum": 0.9, "kernel_initializer": "glorot_uniform"},
}

# Keras layers, and one of Cisnake, that can be used as blocks. As in Basenji, they ignore the shared settings.
KERAS_LAYERS: dict[str, type[layers.Layer]] = {
    layer.__name__: layer
    for layer in (
        layers.Conv1D,
        layers.Cropping1D,
        layers.Dense,
        layers.Flatten,
        layers.MaxPooling1D,
        layers.AveragePooling1D,
        SoftmaxPool1D,
    )
}

_MAPS = "contact maps are not supported."
REFUSED: dict[str, str] = {
    **dict.fromkeys(
        (
            "average_to_2d", "concat_dist_2d", "concat_to_2d", "conv_block_2d", "cropping_2d", "dilated_residual_2d",
            "dot_to_2d", "geodot_to_2d", "max_to_2d", "one_to_two", "symmetrize_2d", "upper_tri", "Cropping2D",
        ),
        _MAPS,
    ),
    "swin_transformer": "it is not supported: use transformer_tower.",
    "transformer_split": "it is not supported: use transformer_tower.",
    "transformer2": "it is not supported: use transformer_tower.",
    "fpn1_unet": "it is not supported: use unet_conv.",
    "concat_unet": "it is not supported: use unet_concat.",
}  # fmt: skip
