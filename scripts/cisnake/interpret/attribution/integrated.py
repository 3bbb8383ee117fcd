"""Integrated gradients: attributions that sum to the score minus the score of a baseline."""

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
# Integration with twice the steps is repeated at most this often.
_MOST_DOUBLINGS = 4


def integrated_gradients(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    n_steps: int = 10,
    baseline: str | np.ndarray = "uniform",
    tolerance: float = 0.0,
    beside: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and gradients averaged along the path from a baseline to the sequence.

    Let b be the baseline and g the mean gradient on the straight line from b to the sequence x. The contribution of a base is
    its g minus the sum over bases of b times g. Projected on the sequence, this is the sum over bases of (x - b) g. In the
    limit of many steps, the sum over all positions is the score of x minus the score of b, without further correction
    (Sundararajan et al. 2017, PMLR 70:3319). With the uniform baseline, the contribution is g minus its mean over bases.

    Parameters
    ----------
    network: ScoredModel
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3. The gene body channel is constant along the path.
    scores: sequence of Score
    n_steps: int
        Number of points on the path, placed by Gauss-Legendre quadrature. Default 10. For smooth scores, 20 points are exact to
        1e-4. In networks with max pooling and ReLU the gradient is discontinuous, and the error falls as 1 / n_steps: 5 % with
        10 steps, 1 % with 50.
    baseline: str or numpy.ndarray
        "uniform" (default), a quarter of each base; "zeros", all zeros; or m baselines per sequence, shape (n, m, length, 4),
        over which contributions are averaged. The baseline is 0 where the sequence has N, so nothing is attributed to N.
    tolerance: float
        If positive, attributions of a sequence to a score whose sum is off by more than this share of the sum of their absolute
        values are computed again with twice the steps, at most four times. Whether this happens depends on the sequence and
        the score alone. Default 0: never.
    beside: numpy.ndarray, shape=(scores, n, length, 4), optional
        Exact contributions of the other part of a model, if `network` is one of two parts that are added up. The tolerance is
        then a share of the attributions of both. Default None: `network` is the whole model.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)

    Raises
    ------
    InputError
        The baseline is unknown or has the wrong shape.
    """
    baselines = _baselines(inputs, baseline)

    def references(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return _where_known(baselines[rows, numbers], inputs[rows]).astype(network.dtype)

    return _integrate(network, inputs, scores, n_steps, baselines.shape[1], references, tolerance, beside)


def mean_baseline_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], baseline: str | np.ndarray = "uniform"
) -> np.ndarray:
    """Return the mean score of the baselines of `integrated_gradients`, shape (scores, n).

    Parameters
    ----------
    network, inputs, scores, baseline
        See `integrated_gradients`.
    """
    baselines = _baselines(inputs, baseline)
    return _mean_scores(network, inputs, scores, (_where_known(baselines[:, i], inputs) for i in range(baselines.shape[1])))


def _baselines(inputs: np.ndarray, baseline: str | np.ndarray) -> np.ndarray:
    """Return the m baselines of each sequence, shape (n, m, length or 1, 4)."""
    if isinstance(baseline, str):
        if baseline not in BASELINES:
            raise unknown_name("baseline of integrated gradients", baseline, BASELINES)
        baseline = np.full((len(inputs), 1, 1, 4), 0.25 if baseline == "uniform" else 0.0)
    if baseline.ndim != 4 or len(baseline) != len(inputs):
        raise InputError(f"baselines have shape {baseline.shape}, expected (sequences, baselines per sequence, length, 4).")
    return baseline


def _where_known(bases: np.ndarray, inputs: np.ndarray) -> np.ndarray:
    return bases * np.any(inputs[..., :4], axis=-1, keepdims=True)


def _mean_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], baselines: Iterable[np.ndarray]
) -> np.ndarray:
    """Return the mean score over baselines, each of shape (n, length, 4), which replace the bases of the inputs."""
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
    tolerance: float = 0.0,
    beside: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and integrated gradients averaged over baselines that are dinucleotide shuffles of each sequence.

    Contributions sum to the score of the sequence minus the mean score of its shuffles. They thus explain the effect of the
    order of bases, not of their composition. The shuffles depend only on the seed and the sequence.

    Parameters
    ----------
    network, inputs, scores, n_steps, tolerance, beside
        See `integrated_gradients`.
    n_shuffles: int
        Number of baselines per sequence. Default 10.
    seed: int
        Random seed. Default 42.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
    """
    shuffles = shuffled_codes(inputs, n_shuffles, seed)

    def references(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return one_hot(shuffles[rows, numbers]).astype(network.dtype, copy=False)

    return _integrate(network, inputs, scores, n_steps, n_shuffles, references, tolerance, beside)


def shuffle_scores(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], n_shuffles: int = 10, seed: int = 42
) -> np.ndarray:
    """Return the mean score of the shuffles of `expected_integrated_gradients`, shape (scores, n).

    Parameters
    ----------
    network, inputs, scores, n_shuffles, seed
        See `expected_integrated_gradients`.
    """
    shuffles = shuffled_codes(inputs, n_shuffles, seed)
    return _mean_scores(network, inputs, scores, (one_hot(shuffles[:, i]) for i in range(n_shuffles)))


def shuffled_codes(inputs: np.ndarray, n_shuffles: int, seed: int) -> np.ndarray:
    """Return dinucleotide shuffles of one-hot sequences as codes, shape=(n, n_shuffles, length); Ns stay in place."""
    known = inputs[..., :4].any(axis=-1)
    codes = np.where(known, inputs[..., :4].argmax(axis=-1), N).astype(np.int8)
    return np.array(
        [dinucleotide_shuffle(np.tile(row, (n_shuffles, 1)), sequence_rng(x, seed)) for row, x in zip(codes, inputs[..., :4])],
        dtype=np.int8,
    ).reshape(len(inputs), n_shuffles, inputs.shape[1])


def _integrate(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    n_steps: int,
    n_baselines: int,
    references: Points,
    tolerance: float,
    beside: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and contributions, with more steps where their sum is off by more than the tolerance.

    `references` maps indices of examples and of baselines, each of shape (k,), to the bases of the baselines.
    """
    values = network.scores(inputs, scores)
    contributions = _with_steps(network, inputs, scores, n_steps, n_baselines, references)
    if tolerance == 0 or not len(inputs):
        return values, contributions
    rows = np.arange(len(inputs))
    bases = (references(rows, np.full(len(rows), number)) for number in range(n_baselines))
    difference = values - _mean_scores(network, inputs, scores, bases)
    for _ in range(_MOST_DOUBLINGS):
        projected = (contributions[:, rows] * inputs[rows, :, :4]).sum(axis=-1, dtype=np.float64)
        whole = projected if beside is None else projected + (beside[:, rows] * inputs[rows, :, :4]).sum(axis=-1)
        off = np.abs(projected.sum(axis=-1) - difference[:, rows]) > tolerance * np.abs(whole).sum(axis=-1)
        again = off.any(axis=0)
        if not again.any():
            break
        rows, off, n_steps = rows[again], off[:, again], 2 * n_steps

        def of_rows(chosen: np.ndarray, numbers: np.ndarray, rows: np.ndarray = rows) -> np.ndarray:
            return references(rows[chosen], numbers)

        chosen_scores = [score.take(rows) for score in scores]
        refined = _with_steps(network, inputs[rows], chosen_scores, n_steps, n_baselines, of_rows)
        contributions[:, rows] = np.where(off[..., None, None], refined, contributions[:, rows])
    return values, contributions


def _with_steps(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], n_steps: int, n_baselines: int, references: Points
) -> np.ndarray:
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    share = ((nodes + 1) / 2).astype(network.dtype)

    def start(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        return references(rows, numbers // n_steps)

    def points(rows: np.ndarray, numbers: np.ndarray) -> np.ndarray:
        bases, x = start(rows, numbers), inputs[rows].astype(network.dtype)
        x[..., :4] = bases + share[numbers % n_steps, None, None] * (x[..., :4] - bases)
        return x

    return mean_gradient(network, inputs, scores, points, np.tile(weights / 2 / n_baselines, n_baselines), start)
