"""Integrated gradients: attributions that sum to the difference of the score from that of a baseline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from cisnake.data.genome import N, one_hot
from cisnake.errors import InputError, unknown_name
from cisnake.interpret.attribution.gradients import Points, mean_gradient, sequence_rng
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score
from cisnake.interpret.nulls import dinucleotide_shuffle

BASELINES = ("uniform", "zeros")


def integrated_gradients(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    n_steps: int = 10,
    baseline: str | np.ndarray = "uniform",
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and gradients averaged over the way from a baseline to the sequence.

    With b the baseline and g the mean gradient on the straight line from b to the sequence x, the contribution of a base is its
    g less the sum over bases of b times g. Projected on the sequence, this is the sum over bases of (x - b) g, and the sum over
    all positions is the score of x less that of b (Sundararajan et al. 2017, PMLR 70:3319): in the limit of many steps, and
    without a further correction. Against the uniform baseline the contribution is g less its mean over bases.

    Parameters
    ----------
    network: ScoredModel
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3. The gene body's channel is the same on the whole way.
    scores: sequence of Score
    n_steps: int
        Points on the way, those of Gauss-Legendre quadrature. Default 10. Where the score is smooth, 20 are exact to 1e-4; of
        networks with max pooling and ReLU the gradient jumps, and the error falls with 1 / n_steps: 5 % with 10, 1 % with 50.
    baseline: str or numpy.ndarray
        "uniform" (default), a quarter of each base; "zeros", none; or baselines of each sequence, shape (n, m, length, 4), over
        which contributions are averaged. Where the sequence has N the baseline is 0: nothing is attributed to N.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)

    Raises
    ------
    InputError
        The baseline is unknown or has another shape.
    """
    baselines = _baselines(inputs, baseline)

    def references(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return _where_known(baselines[rows, numbers // n_steps], inputs[rows]).astype(network.dtype)

    return network.scores(inputs, scores), _integrate(network, inputs, scores, n_steps, baselines.shape[1], references)


def mean_baseline_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], baseline: str | np.ndarray = "uniform"
) -> np.ndarray:
    """Return the mean score of the baselines of `integrated_gradients`, shape (scores, n).

    Parameters
    ----------
    network, inputs, scores, baseline
        As of `integrated_gradients`.
    """
    baselines = _baselines(inputs, baseline)
    return _mean_scores(network, inputs, scores, (_where_known(baselines[:, i], inputs) for i in range(baselines.shape[1])))


def _baselines(inputs: np.ndarray, baseline: str | np.ndarray) -> np.ndarray:
    """Return baselines of each sequence, shape (n, m, length or 1, 4)."""
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise unknown_name("baseline of integrated gradients", baseline, BASELINES)
        baseline = np.full((len(inputs), 1, 1, 4), 0.25 if baseline == "uniform" else 0.0)
    if baseline.ndim != 4 or len(baseline) != len(inputs):
        raise InputError(f"baselines have shape {baseline.shape}: it is (sequences, baselines of each, length, 4).")
    return baseline


def _where_known(bases: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    return bases * np.any(inputs[..., :4], axis=-1, keepdims=True)


def _mean_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], baselines: Iterable[np.ndarray]
) -> np.ndarray:
    """Return the mean over baselines, each of shape (n, length, 4), of the score with these bases instead."""
    x = np.array(inputs)
    values = []
    for bases in baselines:
        x[..., :4] = bases
        values.append(network.scores(x, scores))
    return np.mean(values, axis=0)


def expected_integrated_gradients(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    n_shuffles: int = 10,
    n_steps: int = 10,
    seed: int = 42,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and integrated gradients averaged over dinucleotide shuffles of each sequence as baselines.

    Contributions sum to the score of the sequence less the mean score of its shuffles: what is attributed is the order of its
    bases, not their composition. The shuffles follow from the seed and the sequence alone.

    Parameters
    ----------
    network, inputs, scores, n_steps
        As of `integrated_gradients`.
    n_shuffles: int
        Baselines of each sequence. Default 10.
    seed: int
        Default 42.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
    """
    shuffles = shuffled_codes(inputs, n_shuffles, seed)

    def references(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return one_hot(shuffles[rows, numbers // n_steps]).astype(network.dtype, copy=False)

    return network.scores(inputs, scores), _integrate(network, inputs, scores, n_steps, n_shuffles, references)


def shuffle_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], n_shuffles: int = 10, seed: int = 42
) -> np.ndarray:
    """Return the mean score of the shuffles of `expected_integrated_gradients`, shape (scores, n).

    Parameters
    ----------
    network, inputs, scores, n_shuffles, seed
        As of `expected_integrated_gradients`.
    """
    shuffles = shuffled_codes(inputs, n_shuffles, seed)
    return _mean_scores(network, inputs, scores, (one_hot(shuffles[:, i]) for i in range(n_shuffles)))


def shuffled_codes(inputs: np.ndarray, n_shuffles: int, seed: int) -> np.ndarray:
    """Return dinucleotide shuffles of one-hot sequences as codes, shape=(n, n_shuffles, length); N stay in place."""
    known = inputs[..., :4].any(axis=-1)
    codes = np.where(known, inputs[..., :4].argmax(axis=-1), N).astype(np.int8)
    return np.array(
        [dinucleotide_shuffle(np.tile(row, (n_shuffles, 1)), sequence_rng(x, seed)) for row, x in zip(codes, inputs[..., :4])],
        dtype=np.int8,
    ).reshape(len(inputs), n_shuffles, inputs.shape[1])


def _integrate(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], n_steps: int, n_baselines: int, references: Points
) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    share = ((nodes + 1) / 2).astype(network.dtype)

    def points(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        start, x = references(rows, numbers), inputs[rows].astype(network.dtype)
        x[..., :4] = start + share[numbers % n_steps, None, None] * (x[..., :4] - start)
        return x

    return mean_gradient(network, inputs, scores, points, np.tile(weights / 2 / n_baselines, n_baselines), references)
