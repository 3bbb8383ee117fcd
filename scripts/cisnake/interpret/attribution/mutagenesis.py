"""In silico mutagenesis: the score of every single substitution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from cisnake.interpret.attribution.gradients import correct
from cisnake.interpret.attribution.scored_model import ScoredModel, fill
from cisnake.interpret.attribution.target_scores import Form, Score
from cisnake.model.network import StrandMaxConv1D, approximate_gelu, clipped_softplus, poly_relu


def in_silico_mutagenesis(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], correct_mean: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and the effects of all substitutions, minus their mean over the four bases.

    Projected on the sequence, the value of a base is minus the mean effect of substituting each of the four bases (the effect
    of the base itself is 0). It is positive if the base raises the score. For a linear model the result equals that of
    `gradients.input_x_gradient`.

    Parameters
    ----------
    network: ScoredModel
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3, one-hot; positions without a base (N) get 0.
    scores: sequence of Score
    correct_mean: bool
        If False, return the effects: score of the mutated sequence minus score of the original sequence. Default True.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
    """
    return mutate_positions(network, inputs, scores, np.ones(inputs.shape[:2], bool), correct_mean)


def mutate_positions(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], positions: np.ndarray, correct_mean: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and the effects of substitutions at selected positions; see `in_silico_mutagenesis`.

    Parameters
    ----------
    network, inputs, scores, correct_mean
        See `in_silico_mutagenesis`.
    positions: numpy.ndarray, shape=(n, length), dtype=bool
        Positions to substitute; contributions are 0 elsewhere.
    """
    values = network.scores(inputs, scores)
    effects = np.zeros((len(scores), *inputs.shape[:2], 4), network.dtype)
    for first in range(0, len(inputs), network.batch_size):
        rows = np.arange(first, min(first + network.batch_size, len(inputs)))
        row, position = np.nonzero(inputs[rows, :, :4].any(axis=-1) & positions[rows])
        row, position, base = np.repeat(row, 4), np.repeat(position, 4), np.tile(np.arange(4), len(row))
        substituted = inputs[rows[row], position, base] == 0
        mutants = np.stack([row, position, base], axis=1)[substituted]
        mutated = _mutant_scores(network, inputs[fill(rows, network.batch_size)], [s.take(rows) for s in scores], mutants)
        row, position, base = mutants.T
        effects[:, rows[row], position, base] = mutated - values[:, rows[row]]
    return values, correct(effects) if correct_mean else effects


@dataclass(frozen=True)
class Splice:
    """A model split after its local layers, so that a substitution changes only a few bins at the split.

    Attributes
    ----------
    trunk: keras.Model
        Maps the whole input to its bins at the split.
    piece: keras.Model
        The same layers for an input of `crop` bins.
    rest: keras.Model
        Maps the bins to the predictions.
    stride: int
        Bases per bin.
    bins, crop, changed: int
        Number of bins in the whole input, in the piece, and recomputed per substitution.
    left, margin: int
        Number of recomputed bins before the bin with the substitution, and of bins of the piece before those.
    """

    trunk: keras.Model
    piece: keras.Model
    rest: keras.Model
    stride: int
    bins: int
    crop: int
    changed: int
    left: int
    margin: int


def find_splice(model: keras.Model) -> Splice | None:
    """Find a split of the model that lets a substitution be scored from a short piece of the sequence.

    Starting at the input, layers are followed as long as each feeds only the next and each output depends on a known span of
    positions. These are convolutions that preserve the length, pooling that divides the length without remainder, and
    pointwise layers. A bin at the split then depends only on its own bases and on a known number of bases on either side.
    A substitution therefore changes only nearby bins, which are computed exactly from a piece that contains all their bases.
    Padding is exact where the piece ends at the end of the sequence; elsewhere it affects only bins that are not used.

    Returns
    -------
    Splice or None
        None if no split yields pieces of at most half the input.
    """
    length, depth = model.inputs[0].shape[1:]
    tensor, cuts = model.inputs[0], []
    chain: list[keras.Layer] = []
    stride, before, after = 1, 0, 0
    while (layer := _next_layer(model, tensor)) is not None:
        steps = _reach(layer)
        if steps is None or any((length // stride) % step for *_, step in steps):
            break
        for left, right, step in steps:
            # The receptive field of an output, in bases: from the first base of its first input to the last of its last input.
            before, after = before + left * stride, after + right * stride - (step - 1) * stride
            stride *= step
        chain, tensor = [*chain, layer], layer.output
        left, right = -(-after // stride), -(-before // stride)
        changed, crop = left + right + 1, 2 * (left + right) + 1
        if 2 * crop * stride <= length:
            cuts.append((list(chain), tensor, stride, crop, changed, left, right))
    for chain, tensor, stride, crop, changed, left, right in reversed(cuts):
        try:
            rest = keras.Model(tensor, model.outputs[0])
        except ValueError:
            # A layer after the split also reads from a layer before it.
            continue
        piece = x = keras.Input((crop * stride, depth))
        for layer in chain:
            x = layer(x)
        trunk = keras.Model(model.inputs[0], tensor)
        return Splice(trunk, keras.Model(piece, x), rest, stride, length // stride, crop, changed, left, right)
    return None


def _next_layer(model: keras.Model, tensor: Any) -> keras.Layer | None:
    for layer in model.layers:
        if not isinstance(layer, keras.layers.InputLayer) and layer.input is tensor and len(tensor.shape) == 3:
            return layer
    return None


def _reach(layer: keras.Layer) -> list[tuple[int, int, int]] | None:
    """Return (positions read before, positions read after, stride) for each step of a layer; None if unknown."""
    kind, function = type(layer), getattr(layer, "activation", None)
    known = (getattr(keras.activations, getattr(function, "__name__", ""), None), *_ELEMENTWISE)
    if function is not None and function not in known:
        return None
    if kind is keras.layers.Conv1D:
        if (layer.padding, layer.strides, layer.data_format) != ("same", (1,), "channels_last"):
            return None
        span = layer.dilation_rate[0] * (layer.kernel_size[0] - 1)
        return [(span // 2, span - span // 2, 1)]
    if kind is StrandMaxConv1D:
        # An even kernel is padded to an odd size.
        half = layer.kernel_size // 2
        return [(half, half, 1), (0, layer.pool_size - 1, layer.pool_size)]
    if kind in (keras.layers.MaxPooling1D, keras.layers.AveragePooling1D):
        same = layer.pool_size == layer.strides and layer.data_format == "channels_last"
        return [(0, layer.pool_size[0] - 1, layer.pool_size[0])] if same else None
    if issubclass(kind, (keras.layers.BatchNormalization, keras.layers.LayerNormalization)):
        axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
        return [(0, 0, 1)] if all(axis in (-1, 2) for axis in axes) else None
    return [(0, 0, 1)] if kind in _POINTWISE else None


_ELEMENTWISE = (approximate_gelu, clipped_softplus, poly_relu)
_POINTWISE = (
    keras.layers.Activation, keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.ELU, keras.layers.Dense,
    keras.layers.Dropout, keras.layers.SpatialDropout1D,
)  # fmt: skip


def _mutant_scores(network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], mutants: np.ndarray) -> np.ndarray:
    """Return the scores of mutants, shape (scores, mutants); mutants are (row, position, base)."""
    splice = network.memo("splice", lambda: find_splice(network.model))
    forms = [score.form for score in scores]
    tensor = tf.constant(inputs, network.dtype)
    if splice is None:
        size, function, bins = network.batch_size, network.compiled(("mutants", *forms), lambda: _whole(network, forms)), tensor
    else:
        # Process at most as many bases as in a batch of whole sequences, both before the split and after it.
        size = network.batch_size * min(splice.bins // splice.crop, splice.stride)
        function = network.compiled(("mutants", *forms), lambda: _spliced(network, splice, forms))
        bins = network.compiled("trunk", lambda: lambda x: splice.trunk(x, training=False))(tensor)
    parts = [np.zeros((len(scores), 0), network.dtype)]
    for first in range(0, len(mutants), size):
        chosen = np.arange(first, min(first + size, len(mutants)))
        rows, positions, bases = mutants[fill(chosen, size)].T
        arrays = network.tensors([score.take(rows) for score in scores])
        values = function(tensor, bins, *(tf.constant(part, tf.int32) for part in (rows, positions, bases)), arrays)
        parts.append(values.numpy()[:, : len(chosen)])
    return np.concatenate(parts, axis=1)


def _mutate(x: tf.Tensor, at: tf.Tensor, bases: tf.Tensor) -> tf.Tensor:
    """Substitute one base in each sequence; x has shape (batch, length, depth)."""
    mutated = (tf.range(tf.shape(x)[1])[None] == at[:, None])[..., None]
    return tf.concat([tf.where(mutated, tf.one_hot(bases, 4, dtype=x.dtype)[:, None], x[..., :4]), x[..., 4:]], axis=-1)


def _whole(network: ScoredModel, forms: Sequence[Form]) -> Callable[..., tf.Tensor]:
    def mutant_scores(inputs, unused, rows, positions, bases, arrays):
        predictions = network.model(_mutate(tf.gather(inputs, rows), positions, bases), training=False)
        return network.answer(forms, predictions, arrays)

    return mutant_scores


def _spliced(network: ScoredModel, splice: Splice, forms: Sequence[Form]) -> Callable[..., tf.Tensor]:
    def mutant_scores(inputs, bins, rows, positions, bases, arrays):
        bin_ = positions // splice.stride
        first = tf.clip_by_value(bin_ - splice.left - splice.margin, 0, splice.bins - splice.crop)
        kept = tf.clip_by_value(bin_ - splice.left, 0, splice.bins - splice.changed)
        at = (first * splice.stride)[:, None] + tf.range(splice.crop * splice.stride)
        pieces = tf.gather_nd(inputs, tf.stack([tf.broadcast_to(rows[:, None], tf.shape(at)), at], axis=-1))
        pieces = splice.piece(_mutate(pieces, positions - first * splice.stride, bases), training=False)
        new = tf.gather(pieces, (kept - first)[:, None] + tf.range(splice.changed), axis=1, batch_dims=1)
        where = kept[:, None] + tf.range(splice.changed)
        mutant = tf.broadcast_to(tf.range(tf.shape(rows)[0])[:, None], tf.shape(where))
        spliced = tf.tensor_scatter_nd_update(tf.gather(bins, rows), tf.stack([mutant, where], axis=-1), new)
        return network.answer(forms, splice.rest(spliced, training=False), arrays)

    return mutant_scores
