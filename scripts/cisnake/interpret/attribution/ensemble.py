"""Ensemble attribution, with agreement between replicate models and completeness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cisnake.interpret.attribution.methods import Method, attribute_each, project
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.model import WindowViews

_ROUNDING = 1e-6


@dataclass(frozen=True)
class EnsembleAttribution:
    """Attributions of windows by an ensemble.

    Attributes
    ----------
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
        Mean over models and views.
    attributions: numpy.ndarray, shape=(scores, n, 4, length), dtype=float32
        Contributions projected on the sequences.
    scores: numpy.ndarray, shape=(models, scores, n)
        Mean over views.
    spread: numpy.ndarray, shape=(scores, n, length)
        Standard deviation (ddof 1) between models of the projected attribution of each base; NaN for a single model.
    replicates: numpy.ndarray, shape=(scores, n)
        Mean Pearson correlation of projected attributions between pairs of models, over known bases; NaN for a single model,
        or if a model gives all bases the same attribution.
    completeness: numpy.ndarray, shape=(scores, n)
        |sum of attributions - d| / |d|, where d is the score minus the score of the baseline. Sums and d are averaged over
        models and views. NaN without a baseline, or where d is within rounding error of 0.
    """

    contributions: np.ndarray
    attributions: np.ndarray
    scores: np.ndarray
    spread: np.ndarray
    replicates: np.ndarray
    completeness: np.ndarray


def attribute_ensemble(
    networks: Sequence[ScoredModel],
    inputs: np.ndarray,
    scores: Sequence[Score],
    method: Method,
    views: WindowViews,
    baseline: Callable[..., np.ndarray] | None = None,
) -> EnsembleAttribution:
    """Attribute windows with an ensemble, like `attribution.attribute`, in memory that does not depend on the number of models.

    Parameters
    ----------
    networks, inputs, scores, method, views
        See `attribution.attribute`.
    baseline: callable, optional
        Maps (network, inputs, scores) to the scores of the method's baseline; see `methods.BASELINE_SCORES`. Default None: the
        method has no baseline.
    """
    explained = method if baseline is None else _with_sums(method, baseline)
    count, kinds = len(networks), len(scores)
    total = np.zeros((kinds, *inputs.shape[:2], 4), networks[0].dtype)
    # Welford's running mean and sum of squares of the projection avoid cancellation where models agree closely.
    mean = np.zeros(total.shape[:3], total.dtype)
    squares, together = np.zeros_like(mean), np.zeros_like(mean)
    values, known = [], known_bases(inputs)
    for number, (value, contributions) in enumerate(attribute_each(networks, inputs, scores, explained, views), start=1):
        values.append(value)
        total += contributions
        if count > 1:
            projected = np.einsum("snlb,nlb->snl", contributions, inputs[..., :4])
            together += standardize(projected, known)
            step = projected - mean
            mean += step / number
            squares += step * (projected - mean)
    total /= count
    model_scores, spread, replicates = np.stack(values), np.full_like(squares, np.nan), _unknown(total)
    if count > 1:
        spread = np.sqrt(squares / (count - 1))
        # The squared norm of a sum of n unit vectors is n plus twice the sum of their pairwise products.
        replicates = ((together**2).sum(axis=-1, dtype=np.float64) - count) / (count * (count - 1))
    return EnsembleAttribution(
        total,
        project(inputs, total),
        model_scores[:, :kinds],
        spread,
        replicates,
        _unknown(total) if baseline is None else _completeness(*np.split(model_scores.mean(axis=0), 3)),
    )


def _with_sums(method: Method, baseline: Callable[..., np.ndarray]) -> Method:
    """Return a method that appends the scores of the baseline and the sums of attributions to the scores of each view."""

    def attribute_view(
        network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], beside: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        value, contributions = method(network, inputs, scores, beside=beside)
        sums = np.einsum("snlb,nlb->sn", contributions, inputs[..., :4], dtype=np.float64)
        return np.concatenate([value, baseline(network, inputs, scores), sums]), contributions

    return attribute_view


def _completeness(score: np.ndarray, baseline: np.ndarray, total: np.ndarray) -> np.ndarray:
    difference = score - baseline
    # If a shuffle reproduces the window, the difference is rounding error and the relative error is meaningless.
    nonzero = np.abs(difference) > _ROUNDING * np.maximum(np.abs(score), np.abs(baseline))
    return np.divide(np.abs(total - difference), np.abs(difference), out=np.full(total.shape, np.nan), where=nonzero)


def _unknown(total: np.ndarray) -> np.ndarray:
    return np.full(total.shape[:2], np.nan)


def known_bases(inputs: np.ndarray) -> np.ndarray:
    """Return a mask of the positions with a base other than N; shape=(n, length), dtype=bool."""
    return np.any(inputs[..., :4], axis=-1)


def standardize(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Centre rows and scale them to unit norm, so that their dot products are Pearson correlations over known positions.

    Parameters
    ----------
    values: numpy.ndarray, shape=(..., n, length)
    known: numpy.ndarray, shape=(n, length), dtype=bool
        Positions to use. All attributions are 0 at N, so including these positions would inflate the correlation.

    Returns
    -------
    numpy.ndarray, shape=(..., n, length)
        0 at unknown positions; NaN in rows whose known values are all equal.
    """
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mean = np.sum(values, axis=-1, keepdims=True, dtype=np.float64, where=known) / count
    centred = np.where(known, values - mean, 0)
    norm = np.sqrt(np.sum(centred**2, axis=-1, keepdims=True))
    highest = np.max(values, axis=-1, keepdims=True, where=known, initial=-np.inf)
    varied = highest > np.min(values, axis=-1, keepdims=True, where=known, initial=np.inf)
    return np.divide(centred, norm, out=np.full(centred.shape, np.nan), where=varied & (norm > 0))
