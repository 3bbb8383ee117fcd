"""Attribution by gradients at the sequence, and at noisy copies of it.

Each method is a function from (network, inputs, scores) to the scores and the *contributions*, shape (scores, n, length, 4):
one value for each of the four bases at each position, whether the base is present or not.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np

from cisnake.errors import InputError
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.target_scores import Score

# Maps indices of examples and of points, each of shape (k,), to arrays of shape (k, length, ...).
Points = Callable[[np.ndarray, np.ndarray], np.ndarray]


def correct(contributions: np.ndarray) -> np.ndarray:
    """Subtract the mean over the four bases from contributions.

    One-hot sequences lie in the plane where the four channels sum to one. The component of a gradient orthogonal to this plane
    is arbitrary (Majdandzic et al. 2023, Genome Biology 24:109).

    Parameters
    ----------
    contributions: numpy.ndarray, shape=(..., length, 4)

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.attribution.gradients import correct
    >>> correct(np.array([[1.0, 2.0, 3.0, 6.0]])).tolist()
    [[-2.0, -1.0, 0.0, 3.0]]
    """
    return contributions - contributions.mean(axis=-1, keepdims=True)


def gradient(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], correct_mean: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and their gradients.

    Parameters
    ----------
    network: ScoredModel
    inputs: numpy.ndarray, shape=(n, length, depth)
        Bases in channels 0-3.
    scores: sequence of Score
    correct_mean: bool
        Subtract the mean over the four bases; see `correct`. Default False.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
    contributions: numpy.ndarray, shape=(scores, n, length, 4)
    """
    values, slopes = network.gradients(inputs, scores)
    return values, correct(slopes) if correct_mean else slopes


def input_x_gradient(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], correct_mean: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and their corrected gradients; like `gradient`, but corrected by default.

    The multiplication by the input is done in `attribution.project`, as for every method.

    Parameters
    ----------
    network, inputs, scores, correct_mean
        See `gradient`.
    """
    return gradient(network, inputs, scores, correct_mean)


def saliency(
    network: ScoredModel, inputs: np.ndarray, scores: Sequence[Score], correct_mean: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and the absolute values of their corrected gradients: the importance of a base without its sign.

    Parameters
    ----------
    network, inputs, scores, correct_mean
        See `gradient`.
    """
    values, slopes = gradient(network, inputs, scores, correct_mean)
    return values, np.abs(slopes)


def smoothgrad(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    n_samples: int = 5,
    sample_prob: float = 0.9,
    seed: int = 42,
    sample_mask: np.ndarray | None = None,
    sample_value: float = 1.0,
    correct_mean: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and the mean of their gradients at noisy copies of the sequence (Smilkov et al. 2017, arXiv:1706.03825).

    The noise is discrete: in each copy, positions are chosen with probability (1 - sample_prob) / 0.75, and their bases are
    redrawn from the composition of the sequence. If all bases are equally frequent, a base is unchanged with probability
    sample_prob. Draws depend only on the seed and the sequence, so results do not change with batches, shards or order.

    Parameters
    ----------
    network, inputs, scores
        See `gradient`.
    n_samples: int
        Number of noisy copies. Default 5.
    sample_prob: float
        Probability that a base is unchanged, from 0.25 to 1 (no noise). Default 0.9.
    seed: int
        Random seed. Default 42.
    sample_mask: numpy.ndarray, shape=(length,) or (n, length), dtype=bool, optional
        Positions that may be redrawn; the composition is computed from them. Default None: all. N is never replaced.
    sample_value: float
        Weight of the drawn base at a chosen position, relative to the original base. Default 1: it replaces the original base.
    correct_mean: bool
        Subtract the mean over the four bases; see `correct`. Default True.

    Returns
    -------
    scores: numpy.ndarray, shape=(scores, n)
        Scores of the sequences without noise.
    contributions: numpy.ndarray, shape=(scores, n, length, 4)

    Raises
    ------
    InputError
        sample_prob is out of range.
    """
    if not 0.25 <= sample_prob <= 1:
        raise InputError(f"sample_prob is {sample_prob}: set it to a probability between 0.25 and 1.")
    free = np.any(inputs[..., :4], axis=-1)
    if sample_mask is not None:
        free = free & np.asarray(sample_mask, bool)
    drawn = _draw_noise(inputs[..., :4], free, n_samples, (sample_prob - 0.25) / 0.75, seed)

    def noisy(rows: np.ndarray, samples: np.ndarray) -> np.ndarray:
        copies, bases = inputs[rows], drawn[rows, samples]
        at = np.nonzero(bases >= 0)
        copies[(*at, slice(4))] *= 1 - sample_value
        copies[(*at, bases[at])] += sample_value
        return copies

    total = mean_gradient(network, inputs, scores, noisy, np.full(n_samples, 1 / n_samples))
    return network.scores(inputs, scores), correct(total) if correct_mean else total


def _draw_noise(sequences: np.ndarray, free: np.ndarray, n_samples: int, kept: float, seed: int) -> np.ndarray:
    """Draw the replacement bases of noisy copies, -1 where a base is kept; shape=(n, n_samples, length), dtype=int8.

    Parameters
    ----------
    sequences: numpy.ndarray, shape=(n, length, 4)
    free: numpy.ndarray, shape=(n, length), dtype=bool
        Positions that may be redrawn; the composition is computed from them.
    n_samples: int
    kept: float
        Probability that a position is not redrawn.
    seed: int
    """
    drawn = np.full((len(sequences), n_samples, sequences.shape[1]), -1, np.int8)
    for row, sequence in enumerate(sequences):
        rng = sequence_rng(sequence, seed)
        composition = sequence[free[row]].sum(axis=0, dtype=np.float64) + np.finfo(float).tiny
        bases = rng.choice(4, size=drawn[row].shape, p=composition / composition.sum())
        drawn[row] = np.where((rng.random(drawn[row].shape) >= kept) & free[row], bases, -1)
    return drawn


def mean_gradient(
    network: ScoredModel,
    inputs: np.ndarray,
    scores: Sequence[Score],
    points: Points,
    weights: np.ndarray,
    references: Points | None = None,
) -> np.ndarray:
    """Return the weighted sum of gradients at several points per example, in memory that does not depend on their number.

    A batch may span several examples and points.

    Parameters
    ----------
    network, inputs, scores
        See `gradient`.
    points: callable
        Maps indices of examples and of points, each of shape (k,), to the inputs at these points, shape (k, length, depth).
    weights: numpy.ndarray, shape=(points,)
    references: callable, optional
        Maps the same indices to reference bases, shape (k, length, 4). The sum over bases of reference times gradient is
        subtracted from the gradient. Default None: nothing is subtracted.

    Returns
    -------
    numpy.ndarray, shape=(scores, n, length, 4)
    """
    total = np.zeros((len(scores), *inputs.shape[:2], 4), network.dtype)
    for first in range(0, len(inputs) * len(weights), network.batch_size):
        flat = np.arange(first, min(first + network.batch_size, len(inputs) * len(weights)))
        rows, numbers = np.divmod(flat, len(weights))
        slopes = network.gradients(points(rows, numbers), [score.take(rows) for score in scores])[1]
        if references is not None:
            slopes = slopes - np.einsum("snlb,nlb->snl", slopes, references(rows, numbers))[..., None]
        slopes *= weights[numbers, None, None].astype(network.dtype)
        present, starts = np.unique(rows, return_index=True)
        total[:, present] += np.add.reduceat(slopes, starts, axis=1)
    return total


def sequence_rng(sequence: np.ndarray, seed: int) -> np.random.Generator:
    """Return a random generator that depends only on the seed and the bases of one sequence, shape=(length, 4)."""
    return np.random.default_rng([seed, zlib.crc32(np.packbits(sequence > 0).tobytes())])
