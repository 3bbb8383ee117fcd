"""Predictions of one model or of many, of a window as it is and as it could as well be shown, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.model.losses import BinaryCrossentropy, MaskedLoss
from cisnake.model.metrics import R2, PearsonR, SeqAUC

# From codes (n, length), mask_start (n,), mask_end (n,) of windows, and rows (n,) of their genes in the data set, to one value
# for each gene and task, (n, tasks).
Predictor = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class WindowViews:
    """The ways in which every window is shown to every model; predictions are the mean over all.

    - shifts: bases by which the window's content moves towards its end (below 0: towards its beginning). What moves in is
      unknown: zeros, as in training. Predictions by position are not moved back, so shifts should be small beside the bases
      that a position covers.
    - reverse_complement: whether each shifted window is also shown reverse-complemented. Predictions by position are turned
      back, and those of stranded tasks exchanged. Models of windows that are oriented with a gene have learnt one strand
      only: leave it off for them.
    - strand_pair: for each task the task of the other strand, itself if it has none; None if all are their own.
    """

    shifts: Sequence[int] = (0,)
    reverse_complement: bool = False
    strand_pair: Sequence[int] | None = None


ONE_VIEW = WindowViews()


def shift_windows(inputs: np.ndarray, shift: int) -> np.ndarray:
    """Return windows whose content is moved, filled up with zeros.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, length, depth)
    shift: int
        Bases, towards the end; below 0 towards the beginning.

    Returns
    -------
    numpy.ndarray, shape=(n, length, depth)

    Raises
    ------
    InputError
        Nothing of the window would be left.
    """
    length = inputs.shape[1]
    if abs(shift) >= length:
        raise InputError(f"a shift of {shift} bases leaves nothing of a window of {length}.")
    if not shift:
        return inputs
    shifted = np.zeros_like(inputs)
    shifted[:, max(shift, 0) : length + min(shift, 0)] = inputs[:, max(-shift, 0) : length - max(shift, 0)]
    return shifted


def reverse_complement_one_hot(inputs: np.ndarray) -> np.ndarray:
    """Return the other strand of windows: bases (channels A C G T) reversed and complemented, further channels reversed.

    Parameters
    ----------
    inputs: numpy.ndarray, shape=(n, length, depth)
        Depth 4, or 5 with the gene body.
    """
    return np.concatenate([inputs[:, ::-1, 3::-1], inputs[:, ::-1, 4:]], axis=-1)


def turn_back(predictions: np.ndarray, strand_pair: Sequence[int] | None) -> np.ndarray:
    """Return what predictions for reverse-complemented windows say about the windows.

    Parameters
    ----------
    predictions: numpy.ndarray, shape=(n, tasks) or (n, positions, tasks)
    strand_pair: sequence of int, optional
        For each task the task of the other strand.
    """
    if predictions.ndim == 3:
        predictions = predictions[:, ::-1]
    return predictions if strand_pair is None else predictions[..., np.asarray(strand_pair)]


def predict_batches(
    models: Sequence[keras.Model], batches: Iterable[np.ndarray], batch_size: int = 64, views: WindowViews = ONE_VIEW
) -> Iterator[np.ndarray]:
    """Yield the mean prediction for each batch of windows, before the next batch is asked for.

    Whatever the sizes of the batches, models see `batch_size` windows at a time: what is short is filled up, because every
    other shape would be traced and compiled once more.

    Parameters
    ----------
    models: sequence of keras.Model
        One or more, all with one output of the same shape (see `seqnn.head_model`).
    batches: iterable of numpy.ndarray, shape=(b, length, depth), dtype=float32
    batch_size: int
        Windows in one pass. Default 64.
    views: WindowViews
        How windows are shown. Default: as they are.

    Yields
    ------
    numpy.ndarray, shape=(b, tasks) or (b, positions, tasks), dtype=float32

    Raises
    ------
    InputError
        Models have several heads or disagree about shapes, windows are not as long as theirs, or `strand_pair` is of another
        number of tasks.
    """
    _check_models(models, views)
    length, depth = models[0].input_shape[1:]
    for batch in batches:
        if batch.shape[1:] != (length, depth):
            raise InputError(
                f"the model was trained on windows of {length} bases and depth {depth} and cannot be asked about windows of "
                f"{batch.shape[1]} and depth {batch.shape[2]}."
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
        raise InputError(f"predictions of {len(models)} models with {len(shapes)} different shapes have no mean.")
    tasks = models[0].output_shape[-1]
    pair = views.strand_pair
    if pair is not None and (len(pair) != tasks or any(not 0 <= i < tasks or pair[pair[i]] != i for i in pair)):
        raise InputError(f"strand_pair must give for each of the {tasks} tasks its partner, whose partner it is.")
    if not views.shifts:
        raise InputError("shifts are empty: give 0 to show windows as they are.")


def _mean_prediction(models: Sequence[keras.Model], windows: np.ndarray, batch_size: int, views: WindowViews) -> np.ndarray:
    n = len(windows)
    if n < batch_size:
        windows = np.concatenate([windows, np.zeros((batch_size - n, *windows.shape[1:]), windows.dtype)])
    total, count = np.zeros((), np.float64), 0
    for shift in views.shifts:
        shown = shift_windows(windows, shift)
        for strand in (1, -1) if views.reverse_complement else (1,):
            seen = shown if strand == 1 else reverse_complement_one_hot(shown)
            for model in models:
                predicted = np.asarray(model.predict_on_batch(seen), np.float64)
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
    """Return how well predictions fit the labels, target by target, and the loss of all; in memory that does not grow.

    Values do not depend on how examples are cut into batches.

    Parameters
    ----------
    models: sequence of keras.Model
    batches: iterable of tuple
        Inputs, shape=(b, length, depth), float32, and labels, shape=(b, tasks) or (b, positions, tasks), NaN where not
        measured; what follows in the tuple is left aside.
    loss: MaskedLoss
        As from `losses.parse_loss`.
    batch_size, views
        As for `predict_batches`.

    Returns
    -------
    table: pandas.DataFrame
        One row a target: n (labels), pearsonr, r2; auroc and auprc if the loss is the binary cross-entropy; loss, of the target
        alone, mean over the examples that have a label of it, unless the loss compares tasks.
    loss: float
        Mean over examples; NaN if there are none.

    Raises
    ------
    InputError
        As for `predict_batches`, or labels are not of the shape of the predictions.
    """
    scores = _TargetScores(loss, models[0].output_shape[-1])
    # Labels of the one batch whose predictions are awaited.
    labels: list[np.ndarray] = []

    def inputs() -> Iterator[np.ndarray]:
        for batch in batches:
            labels.append(np.asarray(batch[1]))
            yield np.asarray(batch[0])

    for predicted in predict_batches(models, inputs(), batch_size, views):
        scores.add(labels.pop(), predicted)
    return scores.table(), scores.loss_of_all()


class _TargetScores:
    """Running scores of predictions: sums that do not depend on how examples are cut into batches."""

    def __init__(self, loss: MaskedLoss, tasks: int) -> None:
        self._loss = loss
        self._metrics: dict[str, Any] = {kind.__name__.lower(): kind(tasks, summarize=False) for kind in (PearsonR, R2)}
        if isinstance(loss, BinaryCrossentropy):
            curves = {"auroc": "ROC", "auprc": "PR"}
            self._metrics |= {name: SeqAUC(curve, False, num_targets=tasks) for name, curve in curves.items()}
        self._labels = np.zeros(tasks, np.int64)
        # Sum of the loss, and number of examples: of each target alone, and of all together.
        self._by_target, self._of_all = np.zeros((2, tasks)), np.zeros(2)

    def add(self, true: np.ndarray, predicted: np.ndarray) -> None:
        if true.shape != predicted.shape:
            raise InputError(f"labels have the shape {true.shape}, predictions {predicted.shape}.")
        if not len(true):
            return
        for metric in self._metrics.values():
            metric.update_state(true, predicted)
        measured = ~np.isnan(true)
        self._labels += measured.sum(axis=tuple(range(true.ndim - 1)))
        self._of_all += np.sum(np.asarray(self._loss.call(true, predicted), np.float64)), len(true)
        if not self._loss.compares_tasks:
            known = measured.reshape(len(true), -1, true.shape[-1]).any(axis=1)
            self._by_target += _loss_by_target(self._loss, true, predicted).sum(axis=0), known.sum(axis=0)

    def table(self) -> pd.DataFrame:
        table = pd.DataFrame(
            {"n": self._labels} | {name: np.asarray(metric.result()) for name, metric in self._metrics.items()}
        )
        return table if self._loss.compares_tasks else table.assign(loss=_ratio(*self._by_target))

    def loss_of_all(self) -> float:
        return float(_ratio(*self._of_all))


def _loss_by_target(loss: MaskedLoss, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the loss that each example would have if it had one target alone; shape=(b, targets)."""
    alone = (np.moveaxis(values, -1, 1).reshape(-1, *true.shape[1:-1], 1) for values in (true, predicted))
    return np.asarray(loss.call(*alone), np.float64).reshape(len(true), -1)


def _ratio(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    return np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
