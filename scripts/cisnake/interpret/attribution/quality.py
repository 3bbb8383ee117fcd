"""Quality checks of attributions against mutagenesis, the reverse complement and an untrained network."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from scipy.stats import rankdata

from cisnake.interpret.attribution.ensemble import known_bases, standardize
from cisnake.interpret.attribution.methods import Method, attribute, project
from cisnake.interpret.attribution.mutagenesis import mutate_positions
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model import WindowViews, reverse_complement_one_hot
from cisnake.model.network import WordTableLookup


def correlate(first: np.ndarray, second: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return Pearson correlations along the last axis over known positions.

    Parameters
    ----------
    first, second: numpy.ndarray, shape=(..., n, length)
    known: numpy.ndarray, shape=(n, length), dtype=bool

    Returns
    -------
    numpy.ndarray, shape=(..., n), dtype=float64
        NaN where either array is constant.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.attribution.quality import correlate
    >>> a, b = np.array([[1.0, 2.0, 3.0, 9.0]]), np.array([[2.0, 4.0, 6.0, 0.0]])
    >>> known = np.array([[True, True, True, False]])
    >>> correlate(a, b, known).round(6).tolist(), correlate(a, 0 * b, known).tolist()
    ([1.0], [nan])
    """
    return np.sum(standardize(first, known) * standardize(second, known), axis=-1)


def mutagenesis_agreement(
    networks: Sequence[ScoredModel],
    inputs: np.ndarray,
    scores: Sequence[Score],
    projected: np.ndarray,
    positions: np.ndarray,
    views: WindowViews,
) -> np.ndarray:
    """Return the Spearman correlation of attributions with the effects of substitutions in the same ensemble.

    The effect at a position is the score minus the mean score with the three other bases.

    Parameters
    ----------
    networks, inputs, scores, views
        See `attribution.attribute`.
    projected: numpy.ndarray, shape=(scores, n, length)
        Projected attributions from the same ensemble.
    positions: numpy.ndarray, shape=(n, length), dtype=bool
        Positions to substitute.

    Returns
    -------
    numpy.ndarray, shape=(scores, n)
        NaN for fewer than two positions, or if attributions or effects are constant.
    """
    # The positions are an extra channel, so that they are shifted and reverse complemented with the window.
    marked = np.concatenate([inputs, positions[..., None]], axis=-1, dtype=inputs.dtype)
    effects = _projected(inputs, attribute(networks, marked, scores, _mutate_marked, views)[0])
    agreement = np.full(effects.shape[:2], np.nan)
    for row, mutated in enumerate(positions):
        if mutated.sum() > 1:
            attributed, measured = (rankdata(side[:, row][:, mutated], axis=-1) for side in (projected, effects))
            agreement[:, row] = correlate(attributed, measured, np.ones(mutated.sum(), bool))
    return agreement


def _mutate_marked(network: ScoredModel, marked: np.ndarray, scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
    return mutate_positions(network, marked[..., :-1], scores, marked[..., -1] > 0)


def strand_agreement(
    networks: Sequence[ScoredModel],
    inputs: np.ndarray,
    scores: Sequence[Score],
    projected: np.ndarray,
    method: Method,
    views: WindowViews,
) -> np.ndarray:
    """Return the Pearson correlation of attributions of windows with those of their reverse complements.

    Parameters
    ----------
    networks, inputs, scores, method
        See `attribution.attribute`.
    projected: numpy.ndarray, shape=(scores, n, length)
        Projected attributions with the same views.
    views: WindowViews
        If the views include the reverse complement, each strand is attributed again separately.

    Returns
    -------
    numpy.ndarray, shape=(scores, n)
    """
    forward = dataclasses.replace(views, reverse_complement=False)
    if views.reverse_complement:
        projected = _projected(inputs, attribute(networks, inputs, scores, method, forward)[0])
    turned = reverse_complement_one_hot(inputs)
    reversed_scores = [score.on_reverse(views.strand_pair) for score in scores]
    back = dataclasses.replace(forward, shifts=[-by for by in views.shifts])
    reversed_attributions = _projected(turned, attribute(networks, turned, reversed_scores, method, back)[0])
    return correlate(projected, reversed_attributions[..., ::-1], known_bases(inputs))


def random_agreement(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    projected: np.ndarray,
    method: Method,
    views: WindowViews,
) -> np.ndarray:
    """Return the Pearson correlation of attributions with those of an untrained network; see `random_network`.

    Near 0 if attributions reflect what was learned; high if they reflect the architecture or the sequence alone
    (Adebayo et al. 2018, arXiv:1810.03292).

    Parameters
    ----------
    network: ScoredModel
        The untrained network.
    inputs, scores, method, views
        See `attribution.attribute`.
    projected: numpy.ndarray, shape=(scores, n, length)
        Projected attributions from the trained ensemble.

    Returns
    -------
    numpy.ndarray, shape=(scores, n)
    """
    untrained = _projected(inputs, attribute([network], inputs, scores, method, views)[0])
    return correlate(projected, untrained, known_bases(inputs))


def _projected(inputs: np.ndarray, contributions: np.ndarray) -> np.ndarray:
    return project(inputs, contributions).sum(axis=-2)


def random_network(model: keras.Model, seed: int, windows: np.ndarray) -> keras.Model:
    """Return a network of the same architecture with random weights.

    The moments of batch normalisation are computed from the windows under the new weights. The moments of the trained network
    belong to other activations, and the initial moments of a layer (0 and 1) do not normalise; either would change the function
    of the architecture. The entries of a table of words are exchanged between words, block by block. Other non-trainable
    weights are kept.

    Parameters
    ----------
    model: keras.Model
    seed: int
        Random seed for the weights.
    windows: numpy.ndarray, shape=(n, length, depth)
        Windows from which to compute the moments.
    """
    state = random.getstate()
    # Keras seeds initialisers that have no seed from Python's global random generator.
    random.seed(seed)
    try:
        fresh = model.__class__.from_config(_unfrozen(model.get_config()))
    finally:
        random.setstate(state)
    trainable = {id(weight) for weight in fresh.trainable_weights}
    for weight, trained in zip(fresh.weights, model.weights, strict=True):
        if id(weight) not in trainable:
            weight.assign(trained)
    for layer in fresh.layers:
        if isinstance(layer, WordTableLookup):
            layer.table.assign(_exchanged(np.asarray(layer.table), layer, seed))
    # A forward pass in training mode sets the moments.
    fresh(windows, training=True)
    return fresh


def _exchanged(table: np.ndarray, layer: WordTableLookup, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    ends = np.cumsum([4**block.k for block in layer.blocks])
    return np.concatenate([rng.permutation(block) for block in np.split(table, ends[:-1])])


# Frozen layers are randomised too. Without momentum, batch normalisation uses the moments of the last batch only.
_CHANGED = {"trainable": True, "momentum": 0.0, "bn_momentum": 0.0}


def _unfrozen(config: Any) -> Any:
    if isinstance(config, dict):
        return {key: _CHANGED[key] if key in _CHANGED else _unfrozen(value) for key, value in config.items()}
    return type(config)(map(_unfrozen, config)) if isinstance(config, (list, tuple)) else config
