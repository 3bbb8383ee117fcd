"""Augmentations of training windows that preserve the label or change it predictably: shifts and reverse complements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cisnake.data.genome import reverse_complement
from cisnake.errors import InputError


class Draws(NamedTuple):
    """Random draws of one epoch for n examples.

    Attributes
    ----------
    shift: numpy.ndarray, shape=(n,), dtype=int64
        Downstream shift of each example, bp.
    reverse: numpy.ndarray, shape=(n,), dtype=bool
        Whether each example is reverse-complemented.
    order: numpy.ndarray, shape=(n,), dtype=int64
        Order of the examples.
    """

    shift: np.ndarray
    reverse: np.ndarray
    order: np.ndarray


def shifts(n: int, max_shift: int, rng: np.random.Generator) -> np.ndarray:
    """Return one shift per example, uniform over -max_shift .. max_shift; shape=(n,), dtype=int64."""
    return rng.integers(-max_shift, max_shift, endpoint=True, size=n)


def draw_epoch(n: int, max_shift: int, seed: int, epoch: int) -> Draws:
    """Draw the shift, orientation and order of n examples for one epoch.

    The draws depend only on seed and epoch, not on the state of a generator. Every process therefore gets the same numbers,
    whatever was read before.

    Parameters
    ----------
    n: int
    max_shift: int
        Shifts are uniform over -max_shift .. max_shift. Windows are reverse-complemented with probability 1/2.
    seed, epoch: int
        At least 0.

    Examples
    --------
    >>> from cisnake.data.dataset import draw_epoch
    >>> draws = draw_epoch(4, max_shift=3, seed=0, epoch=1)
    >>> sorted(draws.order.tolist()), bool(abs(draws.shift).max() <= 3)
    ([0, 1, 2, 3], True)
    """
    shift, turn, order = (np.random.default_rng([seed, epoch, stream]) for stream in range(3))
    return Draws(shifts(n, max_shift, shift), turn.integers(2, size=n).astype(bool), order.permutation(n))


def crop(padded: np.ndarray, pad: int, shift: np.ndarray) -> np.ndarray:
    """Crop padded rows to windows, each moved by its own shift.

    Parameters
    ----------
    padded: numpy.ndarray, shape=(n, length + 2 pad)
        Sequences or masks.
    pad: int
        Bases stored beyond each end of the window.
    shift: numpy.ndarray, shape=(n,), dtype=int
        Downstream shift of each window, from -pad to pad.

    Returns
    -------
    numpy.ndarray, shape=(n, length)

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.dataset import crop
    >>> crop(np.array([[0, 1, 2, 3, 4, 5]] * 2), pad=2, shift=np.array([0, -1])).tolist()
    [[2, 3], [1, 2]]
    """
    length = padded.shape[1] - 2 * pad
    windows = np.lib.stride_tricks.sliding_window_view(padded, length, axis=1)
    return windows[np.arange(len(padded)), pad + shift]


def turn(
    codes: np.ndarray, mask_start: np.ndarray, mask_end: np.ndarray, reverse: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reverse-complement some windows, and move their gene bodies accordingly.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body, half-open.
    reverse: numpy.ndarray, shape=(n,), dtype=bool
        Windows to reverse-complement.

    Returns
    -------
    codes, mask_start, mask_end: numpy.ndarray
        New arrays. In a reversed window, a gene body [a, b) becomes [length - b, length - a).

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.dataset import turn
    >>> codes = np.array([[0, 0, 1, 2], [0, 0, 1, 2]], np.int8)
    >>> turned = turn(codes, np.array([1, 1]), np.array([4, 4]), reverse=np.array([False, True]))
    >>> [array.tolist() for array in turned]
    [[[0, 0, 1, 2], [1, 2, 3, 3]], [1, 0], [4, 3]]
    """
    codes, length = codes.copy(), codes.shape[1]
    codes[reverse] = reverse_complement(codes[reverse])
    return codes, np.where(reverse, length - mask_end, mask_start), np.where(reverse, length - mask_start, mask_end)


def turn_labels(labels: np.ndarray, reverse: np.ndarray, strand_pair: np.ndarray | None = None) -> np.ndarray:
    """Turn the labels of some windows into those of the reverse complement.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(n, bins, tasks)
    reverse: numpy.ndarray, shape=(n,), dtype=bool
        Windows to reverse-complement.
    strand_pair: numpy.ndarray, shape=(tasks,), dtype=int, optional
        For each task, the index of the task that measures the opposite strand; an unstranded task has its own index.
        Default: all tasks are unstranded.

    Returns
    -------
    numpy.ndarray, shape=(n, bins, tasks)
        A new array.

    Examples
    --------
    Two bins of two tasks that measure opposite strands:

    >>> import numpy as np
    >>> from cisnake.data.dataset import turn_labels
    >>> labels = np.array([[[1, 10], [2, 20]]])
    >>> turn_labels(labels, reverse=np.array([True]), strand_pair=np.array([1, 0])).tolist()
    [[[20, 2], [10, 1]]]
    """
    labels = labels.copy()
    turned = labels[reverse, ::-1]
    labels[reverse] = turned if strand_pair is None else turned[..., strand_pair]
    return labels


def check_strand_pair(strand_pair: Sequence[int] | np.ndarray, tasks: int) -> np.ndarray:
    """Check that the strand pairs are their own inverse, and return them as an array of shape (tasks,).

    Raises
    ------
    InputError
        The pairs are not valid indices, or applying them twice does not return every task to itself. The message names the
        first invalid task.

    Examples
    --------
    >>> from cisnake.data.dataset import check_strand_pair
    >>> check_strand_pair([1, 0, 2], tasks=3).tolist()
    [1, 0, 2]
    """
    pairs = np.asarray(strand_pair)
    if pairs.shape != (tasks,) or not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(f"strand_pair must contain one task index, counted from 0, for each of the {tasks} tasks.")
    inside = (pairs >= 0) & (pairs < tasks)
    wrong = ~inside | (pairs[np.where(inside, pairs, 0)] != np.arange(tasks))
    if wrong.any():
        task = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"strand_pair of task {task} is {pairs[task]}, but that task is not paired with {task}: a task must be paired "
            "mutually with another one, or with itself."
        )
    return pairs
