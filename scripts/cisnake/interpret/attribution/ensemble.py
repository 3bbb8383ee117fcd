"""Attribution by an ensemble, the agreement of its models, and the completeness of its sums."""

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
        The mean over models and views.
    attributions: numpy.ndarray, shape=(scores, n, 4, length), dtype=float32
        The same projected on the sequences.
    scores: numpy.ndarray, shape=(models, scores, n)
        The mean over views.
    spread: numpy.ndarray, shape=(scores, n, length)
        Standard deviation (ddof 1) between models of the projected attribution of each base; NaN of a single model.
    replicates: numpy.ndarray, shape=(scores, n)
        Mean Pearson correlation of projected attributions between pairs of models, over known bases; NaN of a single model,
        or where one of them attributes the same to all bases.
    completeness: numpy.ndarray, shape=(scores, n)
        |sum of attributions - d| / |d|, d the difference of the score from that of the baseline, each the mean over models and
        views; NaN without a baseline, or where d is no more than rounding.
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
    """Attribute windows by an ensemble; as `attribution.attribute`, in memory that does not grow with the models.

    Parameters
    ----------
    networks, inputs, scores, method, views
        As of `attribution.attribute`.
    baseline: callable, optional
        From (network, inputs, scores) to the scores of what the method compares with; see `attribution.BASELINE_SCORES`.
        Default None, the method has no baseline.
    """
    explained = method if baseline is None else _with_sums(method, baseline)
    count, kinds = len(networks), len(scores)
    total = np.zeros((kinds, *inputs.shape[:2], 4), networks[0].dtype)
    # Welford's running mean and sum of squares of the projection: nothing cancels where models agree well.
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
    answers, spread, replicates = np.stack(values), np.full_like(squares, np.nan), _unknown(total)
    if count > 1:
        spread = np.sqrt(squares / (count - 1))
        # The squared length of a sum of unit vectors is their number and twice the sum of their products.
        replicates = ((together**2).sum(axis=-1, dtype=np.float64) - count) / (count * (count - 1))
    return EnsembleAttribution(
        total,
        project(inputs, total),
        answers[:, :kinds],
        spread,
        replicates,
        _unknown(total) if baseline is None else _completeness(*np.split(answers.mean(axis=0), 3)),
    )


def _with_sums(method: Method, baseline: Callable[..., np.ndarray]) -> Method:
    """Return a method whose scores are followed by those of the baseline and by the sums of attributions, of each view."""

    def ask(network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score]) -> tuple[np.ndarray, np.ndarray]:
        value, contributions = method(network, inputs, scores)
        sums = np.einsum("snlb,nlb->sn", contributions, inputs[..., :4], dtype=np.float64)
        return np.concatenate([value, baseline(network, inputs, scores), sums]), contributions

    return ask


def _completeness(score: np.ndarray, baseline: np.ndarray, total: np.ndarray) -> np.ndarray:
    difference = score - baseline
    # A difference that is rounding in single precision (a shuffle that gives the same window) can be missed by any factor.
    real = np.abs(difference) > _ROUNDING * np.maximum(np.abs(score), np.abs(baseline))
    return np.divide(np.abs(total - difference), np.abs(difference), out=np.full(total.shape, np.nan), where=real)


def _unknown(total: np.ndarray) -> np.ndarray:
    return np.full(total.shape[:2], np.nan)


def known_bases(inputs: np.ndarray) -> np.ndarray:
    """Return which positions of windows hold a base, and not N; shape=(n, length), dtype=bool."""
    return np.any(inputs[..., :4], axis=-1)


def standardize(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return rows less their mean and of length one, so that their products are Pearson correlations over what is known.

    Parameters
    ----------
    values: numpy.ndarray, shape=(..., n, length)
    known: numpy.ndarray, shape=(n, length), dtype=bool
        Positions that count. At N all attributions are 0: counted, they would agree.

    Returns
    -------
    numpy.ndarray, shape=(..., n, length)
        0 at what is not known; NaN where all that is known of a row is the same.
    """
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mean = np.sum(values, axis=-1, keepdims=True, dtype=np.float64, where=known) / count
    away = np.where(known, values - mean, 0)
    size = np.sqrt(np.sum(away**2, axis=-1, keepdims=True))
    highest = np.max(values, axis=-1, keepdims=True, where=known, initial=-np.inf)
    varied = highest > np.min(values, axis=-1, keepdims=True, where=known, initial=np.inf)
    return np.divide(away, size, out=np.full(away.shape, np.nan), where=varied & (size > 0))
