"""Convolution blocks: single, towers, dilated and U-net. Common arguments are described in `blocks`."""

from __future__ import annotations

from typing import Any

from keras import layers

from cisnake.model.network.context import BlockContext
from cisnake.model.network.layers import Scale, SqueezeExcite
from cisnake.model.network.steps import dilations, tower_filters


def conv_block(
    x: Any,
    context: BlockContext,
    filters: int | None = None,
    kernel_size: int = 1,
    activation_end: str | None = None,
    stride: int = 1,
    dilation_rate: int = 1,
    dropout: float = 0.0,
    conv_type: str = "standard",
    pool_size: int = 1,
    pool_type: str = "max",
    norm_gamma: str | None = None,
    residual: bool = False,
) -> Any:
    """Activation, convolution, normalisation, dropout, addition of the input if `residual`, `activation_end`, pooling.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    y = context.activate(x, context.defaults.activation)
    y = context.convolve(
        y, filters or x.shape[-1], kernel_size, conv_type, strides=stride, padding="same", dilation_rate=dilation_rate,
        use_bias=context.defaults.norm_type is None,
    )  # fmt: skip
    y = context.normalize(y, norm_gamma or ("zeros" if residual else "ones"))
    y = context.drop(y, dropout)
    if residual:
        y = context.add(x, y)
    y = context.activate(y, activation_end)
    return context.pool(y, pool_size, pool_type, context.defaults.padding)


def conv_dna(
    x: Any,
    context: BlockContext,
    filters: int | None = None,
    kernel_size: int = 15,
    stride: int = 1,
    residual: bool = False,
    dropout: float = 0.0,
    dropout_residual: float = 0.0,
    pool_size: int = 1,
    pool_type: str = "max",
    norm_gamma: str | None = None,
    use_bias: bool | None = None,
    se: bool = False,
    conv_type: str = "standard",
) -> Any:
    """Convolution of bases, then normalisation and activation, or a residual conv_nac if `residual`; dropout, pooling.

    If `use_bias` is null, the convolution has a bias only without normalisation and residual branch.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    if use_bias is None:
        use_bias = context.defaults.norm_type is None and not residual
    x = context.convolve(x, filters or x.shape[-1], kernel_size, conv_type, strides=stride, padding="same", use_bias=use_bias)
    if se:
        x = _gate(x, context)
    if residual:
        y = conv_nac(x, context, dropout=dropout_residual, conv_type=conv_type, se=se, norm_gamma=norm_gamma)
        x = context.add(x, context.layer(Scale)(y))
    else:
        x = context.activate(context.normalize(x, norm_gamma), context.defaults.activation)
    x = context.drop(x, dropout)
    return context.pool(x, pool_size, pool_type, context.defaults.padding)


def conv_nac(
    x: Any,
    context: BlockContext,
    filters: int | None = None,
    kernel_size: int = 1,
    stride: int = 1,
    dilation_rate: int = 1,
    dropout: float = 0.0,
    conv_type: str = "standard",
    residual: bool = False,
    pool_size: int = 1,
    pool_type: str = "max",
    norm_gamma: str | None = None,
    se: bool = False,
) -> Any:
    """Normalisation, activation, convolution, dropout, addition of the input if `residual`, pooling.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    y = context.activate(context.normalize(x, norm_gamma), context.defaults.activation)
    y = context.convolve(
        y, filters or x.shape[-1], kernel_size, conv_type, strides=stride, padding=context.defaults.padding,
        dilation_rate=dilation_rate,
    )  # fmt: skip
    if se:
        y = _gate(y, context)
    y = context.drop(y, dropout)
    if residual:
        y = context.add(x, y)
    return context.pool(y, pool_size, pool_type, context.defaults.padding)


def _gate(x: Any, context: BlockContext) -> Any:
    """Apply the squeeze-and-excite of convolutions: ReLU and no normalisation, whatever the model's settings."""
    return context.layer(SqueezeExcite, x.shape[-1] // 8)(context.activate(x, "relu"))


def conv_next(
    x: Any,
    context: BlockContext,
    filters: int | None = None,
    kernel_size: int = 7,
    dense_expansion: float = 2.0,
    dilation_rate: int = 1,
    dropout: float = 0.0,
    residual: bool = False,
    pool_size: int = 1,
    pool_type: str = "max",
) -> Any:
    """ConvNeXt: separable convolution, layer normalisation, dense to `dense_expansion` times the filters and back; pooling.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    filters = filters or x.shape[-1]
    y = context.convolve(x, filters, kernel_size, "separable", padding="same", dilation_rate=dilation_rate)
    y = context.layer(layers.LayerNormalization, epsilon=1e-5)(y)
    y = context.drop(context.dense(y, int(dense_expansion) * filters), dropout)
    y = context.dense(context.activate(y, context.defaults.activation), filters)
    if residual:
        y = context.add(x, y)
    return context.pool(y, pool_size, pool_type, context.defaults.padding)


def tconv_nac(
    x: Any,
    context: BlockContext,
    filters: int | None = None,
    kernel_size: int = 1,
    stride: int = 1,
    dropout: float = 0.0,
    norm_gamma: str | None = None,
) -> Any:
    """Normalisation, activation, transposed convolution that upsamples by `stride`, dropout.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    y = context.activate(context.normalize(x, norm_gamma), context.defaults.activation)
    y = context.layer(
        layers.Conv1DTranspose, filters or x.shape[-1], kernel_size, strides=stride, padding="same",
        kernel_initializer=context.defaults.kernel_initializer, kernel_regularizer=context.penalty(),
    )(y)  # fmt: skip
    return context.drop(y, dropout)


# Towers


def conv_tower(
    x: Any,
    context: BlockContext,
    filters_init: int,
    filters_end: int | None = None,
    filters_mult: float | None = None,
    divisible_by: int = 1,
    repeat: int = 1,
    **arguments: Any,
) -> Any:
    """`repeat` conv_block blocks, each with more filters than the last. Takes the arguments of conv_block as well.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for filters in tower_filters(filters_init, filters_end, filters_mult, divisible_by, repeat):
        x = conv_block(x, context, filters, **arguments)
        context.keep(x)
    return x


def conv_tower_nac(
    x: Any,
    context: BlockContext,
    filters_init: int,
    filters_end: int | None = None,
    filters_mult: float | None = None,
    divisible_by: int = 1,
    repeat: int = 1,
    **arguments: Any,
) -> Any:
    """`repeat` conv_nac blocks, each with more filters than the last. Takes the arguments of conv_nac as well.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for filters in tower_filters(filters_init, filters_end, filters_mult, divisible_by, repeat):
        x = conv_nac(x, context, filters, **arguments)
        context.keep(x)
    return x


def res_tower(
    x: Any,
    context: BlockContext,
    filters_init: int,
    filters_end: int | None = None,
    filters_mult: float | None = None,
    kernel_size: int = 1,
    dropout: float = 0.0,
    pool_size: int = 2,
    pool_type: str = "max",
    divisible_by: int = 1,
    repeat: int = 1,
    num_convs: int = 2,
    **arguments: Any,
) -> Any:
    """`repeat` steps: a conv_nac, a residual branch of `num_convs` - 1 more of width 1, and pooling.

    The branch ends with dropout and a scale that is initialised with zeros. Takes the arguments of conv_nac as well. U-net
    blocks use each step's output before pooling.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for filters in tower_filters(filters_init, filters_end, filters_mult, divisible_by, repeat):
        x = y = conv_nac(x, context, filters, kernel_size, **arguments)
        for _ in range(1, num_convs):
            y = conv_nac(y, context, filters, **arguments)
        y = context.drop(y, dropout)
        x = context.add(x, context.layer(Scale)(y)) if num_convs > 1 else y
        context.keep(x)
        x = context.pool(x, pool_size, pool_type, "same")
    return x


def convnext_tower(
    x: Any,
    context: BlockContext,
    filters_init: int,
    filters_end: int | None = None,
    filters_mult: float | None = None,
    kernel_size: int = 1,
    dropout: float = 0.0,
    pool_size: int = 2,
    pool_type: str = "max",
    divisible_by: int = 1,
    repeat: int = 1,
    num_convs: int = 2,
    **arguments: Any,
) -> Any:
    """`repeat` steps: a conv_next, a residual branch of `num_convs` - 1 more, and pooling.

    The branch ends with a scale that is initialised with zeros. Takes the arguments of conv_next as well.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for filters in tower_filters(filters_init, filters_end, filters_mult, divisible_by, repeat):
        x = y = conv_next(x, context, filters, kernel_size, dropout=dropout, **arguments)
        for _ in range(1, num_convs):
            y = conv_next(y, context, filters, kernel_size, dropout=dropout, **arguments)
        x = context.add(x, context.layer(Scale)(y)) if num_convs > 1 else y
        x = context.pool(x, pool_size, pool_type, "same")
        context.keep(x)
    return x


# Dilated convolutions


def dilated_residual(
    x: Any,
    context: BlockContext,
    filters: int,
    kernel_size: int = 3,
    rate_mult: float = 2,
    dropout: float = 0.0,
    repeat: int = 1,
    conv_type: str = "standard",
    round: bool = False,
    **arguments: Any,
) -> Any:
    """`repeat` residual units with dilations that grow by `rate_mult`: a dilated conv_block to `filters`, one of width 1 back.

    Takes the arguments of conv_block as well. Each unit is initialised as the identity. With `round`, the rate is rounded at
    every step before it is multiplied again; dilations are rounded in both cases.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for dilation in dilations(rate_mult, repeat, round):
        y = conv_block(
            x, context, filters, kernel_size, dilation_rate=dilation, conv_type=conv_type, norm_gamma="ones", **arguments
        )
        y = conv_block(y, context, x.shape[-1], dropout=dropout, norm_gamma="zeros", **arguments)
        if context.defaults.norm_type is None:
            y = context.layer(Scale)(y)
        x = context.add(x, y)
    return x


def dilated_residual_nac(
    x: Any,
    context: BlockContext,
    filters: int,
    kernel_size: int = 3,
    rate_mult: float = 2,
    dropout: float = 0.0,
    repeat: int = 1,
    **arguments: Any,
) -> Any:
    """`repeat` residual units with dilations that grow by `rate_mult`: a dilated conv_nac to `filters`, one of width 1 back.

    Takes the arguments of conv_nac as well.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for dilation in dilations(rate_mult, repeat):
        y = conv_nac(x, context, filters, kernel_size, dilation_rate=dilation, **arguments)
        y = conv_nac(y, context, x.shape[-1], dropout=dropout, **arguments)
        x = context.add(x, y)
    return x


def dilated_dense(
    x: Any,
    context: BlockContext,
    filters: int,
    kernel_size: int = 3,
    rate_mult: float = 2,
    conv_type: str = "standard",
    dropout: float = 0.0,
    repeat: int = 1,
    **arguments: Any,
) -> Any:
    """`repeat` dilated conv_block blocks, each applied to all previous outputs; dilation grows by `rate_mult`.

    Takes the arguments of conv_block as well. Basenji accepts `dropout` but does not apply it; here it is applied.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    for dilation in dilations(rate_mult, repeat):
        y = conv_block(
            x, context, filters, kernel_size, dilation_rate=dilation, conv_type=conv_type, dropout=dropout, **arguments
        )
        x = context.layer(layers.Concatenate)([x, y])
    return x


# U-net


def unet_conv(
    x: Any, context: BlockContext, stride: int = 2, dropout: float = 0.0, kernel_size: int = 1, upsample_conv: bool = False
) -> Any:
    """Upsample by `stride`, add the earlier representation of that length, and convolve; both are normalised and activated.

    A dense layer is applied to the earlier representation and, if `upsample_conv`, to the input before upsampling. Their sum
    goes through a separable convolution. In Basenji this is fpn_unet, always with `upsample_conv`.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    filters, earlier = x.shape[-1], context.finer(x)
    x, earlier = context.normalize(x), context.normalize(earlier)
    x, earlier = (context.activate(part, context.defaults.activation) for part in (x, earlier))
    if upsample_conv:
        x = context.dense(x, filters)
    earlier = context.dense(earlier, filters)
    x = context.add(context.layer(layers.UpSampling1D, stride)(x), earlier)
    x = context.convolve(x, filters, kernel_size, "separable", padding="same")
    return context.drop(x, dropout)


def fpn_unet(x: Any, context: BlockContext, stride: int = 2, dropout: float = 0.0, kernel_size: int = 1) -> Any:
    """Basenji's name for unet_conv with `upsample_conv`.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    return unet_conv(x, context, stride, dropout, kernel_size, upsample_conv=True)


def unet_concat(x: Any, context: BlockContext, stride: int = 2, dropout: float = 0.0, kernel_size: int = 1) -> Any:
    """Upsample by `stride`, and update the earlier representation of that length by a residual branch of both.

    The branch consists of a dense layer and a convolution. In Basenji this is upsample_unet.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    earlier = context.finer(x)
    channels, activation = earlier.shape[-1], context.defaults.activation
    x, y = context.normalize(x), context.normalize(earlier)
    y = context.layer(layers.Concatenate)([y, context.layer(layers.UpSampling1D, stride)(x)])
    y = context.drop(context.dense(context.activate(y, activation), int(1.5 * channels)), dropout)
    y = context.convolve(context.activate(y, activation), channels, kernel_size, padding="same")
    return context.add(earlier, context.drop(y, dropout))


def upsample_unet(x: Any, context: BlockContext, stride: int = 2, dropout: float = 0.0, kernel_size: int = 1) -> Any:
    """Basenji's name for unet_concat.

    Parameters
    ----------
    x, context, and keys of the parameter file
        See the module `blocks`.
    """
    return unet_concat(x, context, stride, dropout, kernel_size)
