"""Scores: the quantity to explain, as one differentiable number per example."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from keras import ops

from cisnake.data.coverage import TargetTransform, gene_values
from cisnake.errors import InputError, unknown_name

LINKS = ("identity", "log", "log_ratio", "log_odds", "gene")

# Added to the argument of each logarithm, as in Basenji.
_EPSILON = 1e-6


@dataclass(frozen=True)
class Form:
    """The settings of a score that determine the compiled function; see `Score`."""

    link: str
    average: bool
    pseudo_count: float
    transform: TargetTransform | None
    reverse: bool
    strand_pair: tuple[int, ...] | None


@dataclass(frozen=True, eq=False)
class Score:
    """A weighted combination of predictions over tasks and positions, with a link function.

    If a transform is set, predictions y, shape (batch, tasks) or (batch, positions, tasks), are first transformed back to the
    scale of the measurements. A is the sum over positions of weight times (sum over tasks of weight times y); B is the same
    with the weights of the denominator. The score depends on the link:

    - identity: A (a contrast, on minus off, if the task weights are signed);
    - log: log(A + pseudo_count + 1e-6);
    - log_ratio: log(r + 1e-6), r = (A + pseudo_count) / (B + pseudo_count);
    - log_odds: log(r / (1 - r) + 1e-6), which is defined for r below 1;
    - gene: sum over tasks of weight times log2(1 + sum over positions of weight times y), with negative y set to 0. This is the
      contrast of the values that `gene_bins.gene_values` returns per task.

    Parameters
    ----------
    tasks: numpy.ndarray, shape=(tasks,) or (n, tasks)
        Task weights, shared by all examples or per example: 1 / k for the mean of k tasks, `Contrast.weights`, or any signed
        weights.
    positions: numpy.ndarray, shape=(positions,) or (n, positions), optional
        Weights of output positions; see `listed_position_weights` and `gene_bins.interval_weights`. Default None: equal.
    denominator: numpy.ndarray, shape=(positions,) or (n, positions), optional
        Weights of positions in the denominator of log_ratio and log_odds.
    average: bool
        Divide by the sum of the position weights. Default False.
    link: str
        One of `LINKS`. Default "identity".
    pseudo_count: float
        Default 0.
    transform: TargetTransform, optional
        Transform that was applied to the targets before training.
    reverse: bool
        Predictions are for reverse complements; reverse their positions first. Default False.
    strand_pair: tuple of int, optional
        For each task, the index of the task for the other strand, used if `reverse` is true. Default None: unstranded tasks.

    Raises
    ------
    InputError
        The link is unknown, a denominator is missing, or the link does not use one.
    """

    tasks: np.ndarray
    positions: np.ndarray | None = None
    denominator: np.ndarray | None = None
    average: bool = False
    link: str = "identity"
    pseudo_count: float = 0.0
    transform: TargetTransform | None = None
    reverse: bool = False
    strand_pair: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.link not in LINKS:
            raise unknown_name("link of a score", self.link, LINKS)
        if (self.link in ("log_ratio", "log_odds")) != (self.denominator is not None):
            need = "requires a denominator" if self.denominator is None else "does not use a denominator"
            raise InputError(f"a score with link {self.link} {need} (weights of the positions to compare with).")
        if self.link == "gene" and (self.positions is None or self.transform is None):
            raise InputError("a score with link gene requires the positions of the gene and the transform of the targets.")

    @property
    def form(self) -> Form:
        """The settings that determine the compiled function."""
        return Form(self.link, self.average, self.pseudo_count, self.transform, self.reverse, self.strand_pair)

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The weights by name, each of shape (1, ...) or (n, ...)."""
        named = {"tasks": self.tasks, "positions": self.positions, "denominator": self.denominator}
        return {name: np.atleast_2d(weights) for name, weights in named.items() if weights is not None}

    def take(self, rows: np.ndarray) -> Score:
        """Return the score of the selected examples, which may repeat; shared weights are unchanged."""
        weights_by_name = {name: weights[rows] for name, weights in self.arrays.items() if np.ndim(getattr(self, name)) == 2}
        return dataclasses.replace(self, **weights_by_name) if weights_by_name else self

    def on_reverse(self, strand_pair: Sequence[int] | None) -> Score:
        """Return the score of the same examples, for predictions of their reverse complements."""
        return dataclasses.replace(self, reverse=True, strand_pair=None if strand_pair is None else tuple(strand_pair))


def score_of_predictions(form: Form, predictions: Any, arrays: Mapping[str, Any]) -> Any:
    """Return the score of predictions.

    Parameters
    ----------
    form: Form
    predictions: tensor, shape=(batch, tasks) or (batch, positions, tasks)
    arrays: mapping of str to tensor
        `Score.arrays` of the batch, in the precision of the predictions.

    Returns
    -------
    tensor, shape=(batch,)

    Raises
    ------
    InputError
        The score has weights of positions, but the predictions have no positions.
    """
    rank = len(predictions.shape)
    if rank == 2 and len(arrays) > 1:
        raise InputError("the score has position weights, but the model predicts one value per task: leave them out.")
    if form.reverse and form.strand_pair is not None:
        predictions = ops.take(predictions, np.asarray(form.strand_pair), axis=-1)
    if form.reverse and rank == 3:
        predictions = ops.flip(predictions, axis=1)
    tasks = arrays["tasks"]
    if form.link == "gene" and form.transform is not None:
        return ops.sum(tasks * gene_values(predictions, arrays["positions"], form.transform, ops), axis=-1)
    if form.transform is not None:
        # Where the weight is zero, an undefined inverse must not reach the gradient as 0 x NaN.
        predictions = ops.where(_has_weight(rank, arrays), predictions, ops.ones_like(predictions))
        predictions = form.transform.inverse(predictions, ops)
    if rank == 2:
        return _link(form, ops.sum(predictions * tasks, axis=-1), None)
    profile = ops.squeeze(ops.matmul(predictions, ops.expand_dims(tasks, -1)), -1)
    total = _over_positions(form, profile, arrays.get("positions"))
    return _link(form, total, _over_positions(form, profile, arrays["denominator"]) if "denominator" in arrays else None)


def _has_weight(rank: int, arrays: Mapping[str, Any]) -> Any:
    weighted = ops.not_equal(arrays["tasks"], 0)
    if rank == 2:
        return weighted
    weighted = ops.expand_dims(weighted, 1)
    if "positions" not in arrays:
        return weighted
    positions = ops.not_equal(arrays["positions"], 0)
    if "denominator" in arrays:
        positions = ops.logical_or(positions, ops.not_equal(arrays["denominator"], 0))
    return ops.logical_and(weighted, ops.expand_dims(positions, -1))


def _over_positions(form: Form, profile: Any, weights: Any | None) -> Any:
    if weights is None:
        return ops.mean(profile, axis=-1) if form.average else ops.sum(profile, axis=-1)
    total = ops.sum(profile * weights, axis=-1)
    return total / ops.sum(weights, axis=-1) if form.average else total


def _link(form: Form, total: Any, denominator: Any | None) -> Any:
    if form.link == "identity":
        return total
    if denominator is None:
        return ops.log(total + (form.pseudo_count + _EPSILON))
    ratio = (total + form.pseudo_count) / (denominator + form.pseudo_count)
    return ops.log((ratio / (1.0 - ratio) if form.link == "log_odds" else ratio) + _EPSILON)


def listed_position_weights(length: int, indices: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """Return position weights from lists of positions, per example or shared by all examples.

    Parameters
    ----------
    length: int
        Output positions of the model.
    indices: numpy.ndarray, shape=(n, k) or (k,), dtype=int
        Positions, per example or shared; a position that is listed twice counts twice.
    mask: numpy.ndarray, shape=(n, k) or (k,), optional
        Weight of each listed position; use 0 for the padding of shorter lists. Default None: 1.

    Returns
    -------
    numpy.ndarray, shape=(n, length) or (length,), dtype=float32
        Shape (length,) if neither indices nor mask are per example; a `Score` then applies the weights to all examples.

    Raises
    ------
    InputError
        A position is outside 0 .. length - 1.

    Examples
    --------
    >>> from cisnake.interpret.attribution.target_scores import listed_position_weights
    >>> listed_position_weights(4, [[1, 2], [3, 3]], [[1, 1], [1, 0]]).tolist()
    [[0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    >>> listed_position_weights(4, [1, 3, 3]).tolist()
    [0.0, 1.0, 0.0, 2.0]
    """
    # An empty list would otherwise become a float array.
    indices = np.asarray(indices) if np.size(indices) else np.zeros(np.shape(indices), np.int64)
    indices, weight = np.broadcast_arrays(indices, 1.0 if mask is None else mask)
    outside = indices[(indices < 0) | (indices >= length)]
    if outside.size:
        raise InputError(f"position {outside[0]} is out of range: the model has positions 0 to {length - 1}.")
    weights = np.zeros((*indices.shape[:-1], length), np.float32)
    np.add.at(weights, (*np.indices(indices.shape, sparse=True)[:-1], indices), weight)
    return weights
