"""Transformer and gating blocks. Common arguments are described in `blocks`."""

from __future__ import annotations

from typing import Any

from keras import layers

from cisnake.errors import InputError
from cisnake.model.network.attention_layers import MultiheadAttention
from cisnake.model.network.context import BlockContext
from cisnake.model.network.layers import GlobalContext, SqueezeExcite, WheezeExcite


def transformer(
    x: Any,
    context: BlockContext,
    key_size: int,
    heads: int = 1,
    out_size: int | None = None,
    dense_expansion: float = 2.0,
    content_position_bias: bool = True,
    dropout: float = 0.25,
    attention_dropout: float = 0.05,
    position_dropout: float = 0.01,
    mha_l2_scale: float = 0.0,
    num_position_features: int | None = None,
    qkv_width: int = 1,
    mha_initializer: str = "he_normal",
    seqlen_train: int | None = None,
) -> Any:
    """Residual branches of attention over relative positions and of dense layers, each with layer normalisation and dropout.

    The dense branch consists of layer normalisation, a dense layer to `dense_expansion` times the channels, dropout, ReLU, a
    dense layer back to the channels, and dropout. It is omitted if `dense_expansion` is 0. As in Basenji, ReLU and layer
    normalisation are used whatever the model's settings. `out_size` must be the number of channels.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    key_size, heads: int
        Width of queries and keys per head, and number of heads. The number of channels must be a multiple of `heads`.
    attention_dropout, position_dropout: float
        Dropout of attention weights and of relative-position features.
    num_position_features, content_position_bias, qkv_width, seqlen_train, mha_initializer, mha_l2_scale
        See `MultiheadAttention`.
    """
    channels = x.shape[-1]
    if (out_size or channels) != channels:
        raise ValueError(f"out_size is {out_size}: it must be the number of channels, {channels}.")
    if channels % heads:
        raise ValueError(f"heads is {heads}: it must divide the number of channels, {channels}.")
    y = context.layer(layers.LayerNormalization, epsilon=context.defaults.norm_epsilon)(x)
    y = context.layer(
        MultiheadAttention,
        channels // heads,
        key_size,
        heads,
        attention_dropout_rate=attention_dropout,
        num_position_features=num_position_features,
        positional_dropout_rate=position_dropout,
        content_position_bias=content_position_bias,
        initializer=mha_initializer,
        l2_scale=mha_l2_scale,
        qkv_width=qkv_width,
        seqlen_train=seqlen_train,
    )(y)
    x = context.add(x, context.drop(y, dropout))
    if not dense_expansion:
        return x
    y = context.layer(layers.LayerNormalization, epsilon=context.defaults.norm_epsilon)(x)
    y = context.drop(context.dense(y, int(dense_expansion * channels)), dropout)
    y = context.dense(context.activate(y, "relu"), channels)
    return context.add(x, context.drop(y, dropout))


def transformer_tower(x: Any, context: BlockContext, repeat: int = 2, block_type: str = "transformer", **arguments: Any) -> Any:
    """`repeat` transformers, with the arguments of transformer.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    if block_type != "transformer":
        raise InputError(f"transformer_tower's block_type {block_type} is not supported: leave it out.")
    for _ in range(repeat):
        x = transformer(x, context, **arguments)
    return x


def squeeze_excite(
    x: Any,
    context: BlockContext,
    bottleneck_ratio: int = 8,
    additive: bool = False,
    use_bias: bool = True,
    scale_fun: str = "sigmoid",
) -> Any:
    """Activation, then squeeze-and-excite: gate each channel by the means of all channels, reduced by `bottleneck_ratio`.

    The gate's normalisation follows Basenji; `use_bias` and `scale_fun` (sigmoid or tanh) follow Baskerville.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    shared = context.defaults
    x = context.activate(x, shared.activation)
    return context.layer(
        SqueezeExcite,
        x.shape[-1] // bottleneck_ratio,
        additive,
        shared.norm_type,
        shared.bn_momentum,
        shared.kernel_initializer,
        use_bias,
        scale_fun,
    )(x)


def wheeze_excite(x: Any, context: BlockContext, pool_size: int) -> Any:
    """Gate each channel and position by the means of all channels over the surrounding `pool_size` positions."""
    return context.layer(WheezeExcite, pool_size)(x)


def global_context(x: Any, context: BlockContext) -> Any:
    """Add to every position the same attention-weighted summary of all positions."""
    return context.layer(GlobalContext)(x)
