"""Ensemble and test-time-augmented predictions in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd
from scipy.stats import rankdata

from cisnake.errors import InputError
from cisnake.model.losses import BinaryCrossentropy, MaskedLoss
from cisnake.model.metrics import R2, PearsonR, SeqAUC

# Rank correlations are computed from at most this many labels, over all tasks.
_RANKED_NUMBERS = 1 << 25

# (codes (n, length), mask_start (n,), mask_end (n,) of windows, rows (n,) of their genes in the data set) -> one value per gene
# and task, shape (n, tasks).
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class WindowViews:
    """Augmented views of each window, over which predictions are averaged.

    - shifts: number of bases by which the sequence moves towards the end of the window (negative: towards the beginning).
      Positions without sequence are zero, as in training. Predictions per position are not shifted back, so shifts should be
      small compared with the bases that a position covers.
    - reverse_complement: whether each shifted window is also reverse-complemented. Predictions per position are then reversed,
      and those of stranded tasks are swapped. Set it to False for models of gene-oriented windows, which were trained on one
      strand only.
    - strand_pair: for each task, the index of the task that measures the opposite strand, or its own index if there is none.
      None: no task is stranded.
    """

    shifts: Sequence[int] = (0,)
    reverse_complement: bool = False
    strand_pair: Sequence[int] | None = None


ONE_VIEW = WindowViews()


def shift_windows(inputs: np.ndarray, shift: int) -> np.ndarray:
    """Shift the sequences of windows, and fill the gap with zeros.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, length, depth)
    shift: int
        Number of bases towards the end; negative towards the beginning.

    Returns
    -------
    numpy.ndarray, shape=(n, length, depth)

    Raises
    ------
    InputError
        The shift is as long as the window or longer.
    """
    length = inputs.shape[1]
    if abs(shift) >= length:
        raise InputError(f"a shift of {shift} bases is too large for a window of {length}.")
    if not shift:
        return inputs
    shifted = np.zeros_like(inputs)
    shifted[:, max(shift, 0) : length + min(shift, 0)] = inputs[:, max(-shift, 0) : length - max(shift, 0)]
    return shifted


def reverse_complement_one_hot(inputs: np.ndarray) -> np.ndarray:
    """Return the reverse complement of windows: bases (channels A C G T) are complemented, and all channels reversed.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, length, depth)
        Depth 4, or 5 with the gene body.
    """
    return np.concatenate([inputs[:, ::-1, 3::-1], inputs[:, ::-1, 4:]], axis=-1)


def turn_back(predictions: np.ndarray, strand_pair: Sequence[int] | None) -> np.ndarray:
    """Map predictions for reverse-complemented windows back to the original orientation.

    Parameters
    ----------
    predictions: numpy.ndarray, shape=(n, tasks) or (n, positions, tasks)
    strand_pair: sequence of int, optional
        For each task, the index of the task that measures the opposite strand.
    """
    if predictions.ndim == 3:
        predictions = predictions[:, ::-1]
    return predictions if strand_pair is None else predictions[..., np.asarray(strand_pair)]


def predict_batches(
    models: Sequence[keras.Model], batches: Iterable[np.ndarray], batch_size: int = 64, views: WindowViews = ONE_VIEW
) -> Iterator[np.ndarray]:
    """Yield the average prediction for each batch of windows, before reading the next batch.

    Models always process `batch_size` windows at a time. Shorter batches are padded, because every new shape would be traced
    and compiled again.

    Parameters
    ----------
    models: sequence of keras.Model
        One or more models, each with a single output, all of the same shape (see `seqnn.head_model`).
    batches: iterable of numpy.ndarray, shape=(b, length, depth), dtype=float32
    batch_size: int
        Windows per forward pass. Default 64.
    views: WindowViews
        Augmented views to average over. Default: the original windows.

    Yields
    ------
    numpy.ndarray, shape=(b, tasks) or (b, positions, tasks), dtype=float32

    Raises
    ------
    InputError
        Models have several heads or different shapes, windows do not have the length and depth of the models, or `strand_pair`
        does not match the tasks.
    """
    _check_models(models, views)
    length, depth = models[0].input_shape[1:]
    for batch in batches:
        if batch.shape[1:] != (length, depth):
            raise InputError(
                f"the model requires windows of {length} bases and depth {depth}, but these have {batch.shape[1]} bases and "
                f"depth {batch.shape[2]}."
            )
        parts = [
            _mean_prediction(models, batch[first : first + batch_size], batch_size, views)
            for first in range(0, len(batch), batch_size)
        ]
        yield np.concatenate(parts) if parts else np.zeros((0, *models[0].output_shape[1:]), np.float32)


def _check_models(models: Sequence[keras.Model], views: WindowViews) -> None:
    for model in models:
        if not isinstance(model.output_shape, tuple):
            raise InputError(f"the model has {len(model.output_shape)} heads: choose one with seqnn.head_model.")
    shapes = {(model.input_shape, model.output_shape) for model in models}
    if len(shapes) != 1:
        raise InputError(f"cannot average {len(models)} models: their inputs or outputs have {len(shapes)} different shapes.")
    tasks = models[0].output_shape[-1]
    pair = views.strand_pair
    if pair is not None and (len(pair) != tasks or any(not 0 <= i < tasks or pair[pair[i]] != i for i in pair)):
        raise InputError(
            f"strand_pair must have one task index for each of the {tasks} tasks, and partners must point to each other."
        )
    if not views.shifts:
        raise InputError("shifts are empty: use [0] for unshifted windows.")


def _mean_prediction(models: Sequence[keras.Model], windows: np.ndarray, batch_size: int, views: WindowViews) -> np.ndarray:
    n = len(windows)
    if n < batch_size:
        windows = np.concatenate([windows, np.zeros((batch_size - n, *windows.shape[1:]), windows.dtype)])
    total, count = np.zeros((), np.float64), 0
    for shift in views.shifts:
        shifted = shift_windows(windows, shift)
        for strand in (1, -1) if views.reverse_complement else (1,):
            view = shifted if strand == 1 else reverse_complement_one_hot(shifted)
            for model in models:
                predicted = np.asarray(model.predict_on_batch(view), np.float64)
                total = total + (predicted if strand == 1 else turn_back(predicted, views.strand_pair))
                count += 1
    return (total[:n] / count).astype(np.float32)


def score_predictions(
    models: Sequence[keras.Model],
    batches: Iterable[tuple[Any, ...]],
    loss: MaskedLoss,
    batch_size: int = 64,
    views: WindowViews = ONE_VIEW,
) -> tuple[pd.DataFrame, float]:
    """Score predictions against labels, per target, in constant memory.

    The scores do not depend on how examples are split into batches.

    Parameters
    ----------
    models: sequence of keras.Model
    batches: iterable of tuple
        Inputs, shape=(b, length, depth), float32, and labels, shape=(b, tasks) or (b, positions, tasks), with NaN for missing
        values. Further elements of the tuple are ignored.
    loss: MaskedLoss
        For example from `losses.parse_loss`.
    batch_size, views
        As for `predict_batches`.

    Returns
    -------
    table: pandas.DataFrame
        One row per target: n (number of labels), pearsonr, r2 and spearmanr; auroc and auprc if the loss is the binary
        cross-entropy;
        loss unless it compares tasks (computed for the target alone, and averaged over the examples that have a label for it).
    loss: float
        Mean over examples; NaN if there are none.

    Raises
    ------
    InputError
        As for `predict_batches`, or labels and predictions differ in shape.
    """
    scores = _TargetScores(loss, models[0].output_shape[-1])
    # Labels of the batch that is being predicted.
    labels: list[np.ndarray] = []

    def inputs() -> Iterator[np.ndarray]:
        for batch in batches:
            labels.append(np.asarray(batch[1]))
            yield np.asarray(batch[0])

    for predicted in predict_batches(models, inputs(), batch_size, views):
        scores.add(labels.pop(), predicted)
    return scores.table(), scores.mean_loss()


class _RankSample:
    """Labels and predictions of the positions from which rank correlations are computed: all, or a random sample.

    Every position has a random number that depends on its place in the order alone, and those with the smallest are kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._rng = most, np.random.default_rng(0)
        self._numbers, self._values = np.zeros(0), np.zeros((0, 0, 0), np.float32)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        values = np.stack([true, predicted], axis=-2).reshape(-1, 2, true.shape[-1]).astype(np.float32)
        numbers = self._rng.random(len(values))
        if len(self._numbers):
            values, numbers = np.concatenate([self._values, values]), np.concatenate([self._numbers, numbers])
        if len(numbers) > self._most:
            kept = np.argpartition(numbers, self._most)[: self._most]
            values, numbers = values[kept], numbers[kept]
        self._numbers, self._values = numbers, values

    def correlations(self, tasks: int) -> np.ndarray:
        """Return Spearman correlations over known labels, shape=(tasks,); NaN where one side is constant."""
        if not len(self._numbers):
            return np.full(tasks, np.nan)
        rho = []
        for true, predicted in self._values.transpose(2, 1, 0).astype(np.float64):
            known = ~np.isnan(true)
            ranks = [rankdata(side[known]) for side in (true, predicted)]
            constant = any(len(side) < 2 or side.min() == side.max() for side in ranks)
            rho.append(np.nan if constant else np.corrcoef(*ranks)[0, 1])
        return np.array(rho)


class _TargetScores:
    """Running scores of predictions, from sums that do not depend on how examples are split into batches."""

    def __init__(self, loss: MaskedLoss, tasks: int) -> None:
        self._loss = loss
        self._metrics: dict[str, Any] = {kind.__name__.lower(): kind(tasks, summarize=False) for kind in (PearsonR, R2)}
        if isinstance(loss, BinaryCrossentropy):
            curves = {"auroc": "ROC", "auprc": "PR"}
            self._metrics |= {name: SeqAUC(curve, False, num_targets=tasks) for name, curve in curves.items()}
        self._ranked = _RankSample(max(_RANKED_NUMBERS // max(tasks, 1), 1000))
        self._labels = np.zeros(tasks, np.int64)
        # Sum of the loss and number of examples, per target and overall.
        self._by_target, self._overall = np.zeros((2, tasks)), np.zeros(2)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        if true.shape != predicted.shape:
            raise InputError(f"labels have shape {true.shape}, but predictions have shape {predicted.shape}.")
        if not len(true):
            return
        for metric in self._metrics.values():
            metric.update_state(true, predicted)
        self._ranked.add(true, predicted)
        measured = ~np.isnan(true)
        self._labels += measured.sum(axis=tuple(range(true.ndim - 1)))
        self._overall += np.sum(np.asarray(self._loss.call(true, predicted), np.float64)), len(true)
        if not self._loss.compares_tasks:
            known = measured.reshape(len(true), -1, true.shape[-1]).any(axis=1)
            self._by_target += _loss_by_target(self._loss, true, predicted).sum(axis=0), known.sum(axis=0)

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(
            {"n": self._labels} | {name: np.asarray(metric.result()) for name, metric in self._metrics.items()}
        ).assign(spearmanr=self._ranked.correlations(len(self._labels)))
        return table if self._loss.compares_tasks else table.assign(loss=_ratio(*self._by_target))

    def mean_loss(self) -> float:
        return float(_ratio(*self._overall))


def _loss_by_target(loss: MaskedLoss, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the loss of each example, computed for each target alone; shape=(b, targets)."""
    single_target = (np.moveaxis(values, -1, 1).reshape(-1, *true.shape[1:-1], 1) for values in (true, predicted))
    return np.asarray(loss.call(*single_target), np.float64).reshape(len(true), -1)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
