"""Weights with which a trained network and a table of words are added up, chosen on validation genes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import pandas as pd
from scipy import optimize

from cisnake.data.dataset import LabelScale
from cisnake.model.network import LabelUnits, standardized_parts, with_words
from cisnake.program import log
from cisnake.words import WordTable, split_parts

# Genes per block; blocks alternate between the two halves. Neighbours stay together, because their windows overlap.
_BLOCK = 10
_LEAST_GENES = 40
_NETWORK, _WORDS = np.array([1.0, 0.0]), np.array([0.0, 1.0])


@dataclass(frozen=True)
class Blend:
    """Weights of a network and a table of words.

    Attributes
    ----------
    network, words: tuple of float
        Weights of the mean over tasks, and of the deviations of tasks from it.
    """

    network: tuple[float, float]
    words: tuple[float, float]


def blend_with_words(
    networks: Sequence[keras.Model], table: WordTable, val: Iterable[tuple[np.ndarray, np.ndarray]]
) -> tuple[list[keras.Model], pd.DataFrame]:
    """Add a table of words to the trained networks of a fold, so that their mean is not worse than either.

    Parameters
    ----------
    networks: sequence of keras.Model
        From `in_label_units`. If one of them does not predict standardised labels, no words are added.
    table: WordTable
        Fitted to the same training genes.
    val: iterable of pairs of numpy.ndarray
        Windows, shape=(b, length, depth), and labels, shape=(b, tasks), of the validation genes in the order of the genome.

    Returns
    -------
    models: list of keras.Model
    weights: pandas.DataFrame
        Of network and words (rows), for the mean over tasks and for deviations from it.
    """
    if not all(isinstance(network.layers[-1], LabelUnits) for network in networks):
        log.warning("words are not added: the network does not end with a dense layer without activation")
        return list(networks), _weights_table(Blend((1.0, 1.0), (0.0, 0.0)))
    units = networks[0].layers[-1]
    scale = LabelScale(np.asarray(units.mean, np.float64), np.asarray(units.sd, np.float64))
    both = [standardized_parts(network, table) for network in networks]
    parts = []
    for windows, labels in val:
        predicted = [[np.asarray(part) for part in pair(windows, training=False)] for pair in both]
        parts.append((scale.standardize(labels), np.mean([network for network, _ in predicted], axis=0), predicted[0][1]))
    blend = choose_blend(*map(np.concatenate, zip(*parts, strict=True)))
    log.info(
        "weights of networks and words: %.2f and %.2f for the mean over tasks, %.2f and %.2f for differences between tasks",
        *(blend.network[0], blend.words[0], blend.network[1], blend.words[1]),
    )
    models = [with_words(network, table, [blend.network, blend.words]) for network in networks]
    return models, _weights_table(blend)


def _weights_table(blend: Blend) -> pd.DataFrame:
    weights = pd.DataFrame([blend.network, blend.words], columns=["mean_over_tasks", "deviations"])
    weights.insert(0, "part", ["network", "words"])
    return weights


def choose_blend(true: np.ndarray, network: np.ndarray, words: np.ndarray) -> Blend:
    """Choose the weights of two predictions by the squared error over validation genes.

    For the mean over tasks, and for the deviations from it, non-negative weights are fitted to one half of the genes and
    checked on the other, both ways. If they are not better there than one of the predictions alone, that one is used. Else
    weights are fitted to all genes.

    Parameters
    ----------
    true: numpy.ndarray, shape=(n, tasks)
        Standardised labels, NaN where missing; neighbours on the genome are neighbours here.
    network, words: numpy.ndarray, shape=(n, tasks)
        Standardised predictions.
    """
    if len(true) < _LEAST_GENES:
        return Blend((0.5, 0.5), (0.5, 0.5))
    measured = np.isfinite(true)
    half = np.arange(len(true)) // _BLOCK % 2
    parts = zip(*(split_parts(values, measured) for values in (true, network, words)), strict=True)
    of_mean, of_deviations = (_weights(part, half) for part in parts)
    return Blend(*((float(of_mean[i]), float(of_deviations[i])) for i in range(2)))


def _weights(values: tuple[np.ndarray, ...], half: np.ndarray) -> np.ndarray:
    """Return the weights of network and words for one part of labels and predictions."""
    sums = [_normal_equations(*(x[half == h] for x in values)) for h in range(2)]
    fitted = [_solve(*sums[1 - h][:2]) for h in range(2)]
    both = sum(_error(weights, *checked) for weights, checked in zip(fitted, sums, strict=True))
    words_alone, network_alone = (sum(_error(alone, *checked) for checked in sums) for alone in (_WORDS, _NETWORK))
    if both < min(words_alone, network_alone):
        return _solve(sums[0][0] + sums[1][0], sums[0][1] + sums[1][1])
    return _WORDS if words_alone <= network_alone else _NETWORK


def _normal_equations(true: np.ndarray, network: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    predictors = np.stack([network.ravel(), words.ravel()]).astype(np.float64)
    return predictors @ predictors.T, predictors @ true.ravel(), float((true**2).sum())


def _solve(gram: np.ndarray, products: np.ndarray) -> np.ndarray:
    """Return the non-negative weights with the smallest squared error."""
    values, vectors = np.linalg.eigh(gram)
    root = np.sqrt(np.maximum(values, 1e-12 * max(values[-1], 1e-300)))
    return optimize.nnls((vectors * root).T, (vectors.T @ products) / root)[0]


def _error(weights: np.ndarray, gram: np.ndarray, products: np.ndarray, squares: float) -> float:
    return float(squares - 2 * weights @ products + weights @ gram @ weights)
