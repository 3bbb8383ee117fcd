"""Changes of a training window that leave its label as it is, or change it in a way that is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cisnake.data.genome import reverse_complement
from cisnake.errors import InputError


class Draws(NamedTuple):
    """What an epoch draws: `shift`, (n,) int64, and `reverse`, (n,) bool, by example; `order`, (n,) int64, of examples."""

    shift: np.ndarray
    reverse: np.ndarray
    order: np.ndarray


def shifts(n: int, max_shift: int, rng: np.random.Generator) -> np.ndarray:
    """Return one shift per example, uniform over -max_shift .. max_shift; shape=(n,), dtype=int64."""
    return rng.integers(-max_shift, max_shift, endpoint=True, size=n)


def draw_epoch(n: int, max_shift: int, seed: int, epoch: int) -> Draws:
    """Return what each of n examples is shown as in an epoch.

    Drawn from seed and epoch alone, never from a generator that lives on: any process that knows both has the same numbers,
    whatever others have read before.

    Parameters
    ----------
    n: int
    max_shift: int
        Shifts are uniform over -max_shift .. max_shift; windows are turned round with probability 1/2.
    seed, epoch: int
        From 0.

    Examples
    --------
    >>> from cisnake.data.dataset import draw_epoch
    >>> draws = draw_epoch(4, max_shift=3, seed=0, epoch=1)
    >>> sorted(draws.order.tolist()), bool(abs(draws.shift).max() <= 3)
    ([0, 1, 2, 3], True)
    """
    shift, turn, order = (np.random.default_rng([seed, epoch, what]) for what in range(3))
    return Draws(shifts(n, max_shift, shift), turn.integers(2, size=n).astype(bool), order.permutation(n))


def crop(padded: np.ndarray, pad: int, shift: np.ndarray) -> np.ndarray:
    """Return the windows of padded rows, each moved by its own shift.

    Parameters
    ----------
    padded: numpy.ndarray, shape=(n, length + 2 pad)
        Sequences or masks.
    pad: int
        Bases stored beyond each end of the window.
    shift: numpy.ndarray, shape=(n,), dtype=int
        By how many bases the window moves downstream; at most `pad` either way.

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
    """Return windows with some of them as their reverse complement, and where their gene bodies then are.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        Half-open.
    reverse: numpy.ndarray, shape=(n,), dtype=bool
        Which to turn.

    Returns
    -------
    codes, mask_start, mask_end: numpy.ndarray
        New arrays; a gene body that was [a, b) is [length - b, length - a).

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
    """Return tracks with some of them as those of the reverse complement.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(n, bins, tasks)
    reverse: numpy.ndarray, shape=(n,), dtype=bool
        Which to turn.
    strand_pair: numpy.ndarray, shape=(tasks,), dtype=int, optional
        For each task, the one that measures the other strand: itself where a task measures both. Default: all do.

    Returns
    -------
    numpy.ndarray, shape=(n, bins, tasks)
        A new array.

    Examples
    --------
    Two bins of two tasks, which measure opposite strands:

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
    """Return the pairs as an array, shape=(tasks,), refusing what does not bring every task back when applied twice.

    Raises
    ------
    InputError
        Names the first task that is wrong.

    Examples
    --------
    >>> from cisnake.data.dataset import check_strand_pair
    >>> check_strand_pair([1, 0, 2], tasks=3).tolist()
    [1, 0, 2]
    """
    pairs = np.asarray(strand_pair)
    if pairs.shape != (tasks,) or not np.issubdtype(pairs.dtype, np.integer):
        raise InputError(f"strand_pair must name a task, by its number from 0, for each of the {tasks} tasks.")
    inside = (pairs >= 0) & (pairs < tasks)
    wrong = ~inside | (pairs[np.where(inside, pairs, 0)] != np.arange(tasks))
    if wrong.any():
        task = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"strand_pair of task {task} is {pairs[task]}, whose own is not {task}: tasks are paired with each other, or with "
            "themselves."
        )
    return pairs
