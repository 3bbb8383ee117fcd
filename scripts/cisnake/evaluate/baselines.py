"""What a model has to beat: the mean of the training genes, and a ridge regression on k-mer counts."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from cisnake.program import log

# Greatest number of fits, and the root mean square, in standard deviations of the task, by which the filled labels may differ
# from the fit's predictions in the end.
_MOST_FITS = 200
# Bases counted at once.
_BLOCK_BASES = 1 << 24
_TOLERANCE = 1e-8


def train_mean(train_labels: np.ndarray, n: int) -> np.ndarray:
    """Return each task's mean over the training genes that were measured, for `n` genes; shape=(n, tasks), dtype=float64.

    Parameters
    ----------
    train_labels: numpy.ndarray, shape=(n_train, tasks)
        NaN where not measured.
    n: int

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import train_mean
    >>> train_mean(np.array([[1.0, 4.0], [2.0, np.nan]]), 2).tolist()
    [[1.5, 4.0], [1.5, 4.0]]
    """
    return np.broadcast_to(np.nanmean(np.asarray(train_labels, np.float64), axis=0), (n, train_labels.shape[1]))


def count_kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Return how often each canonical k-mer (a word or its reverse complement, whichever sorts first) occurs.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        Words that hold an N are not counted.
    k: int
        At most 10.

    Returns
    -------
    numpy.ndarray, shape=(n, words), dtype=float32
        (4^k + palindromes) / 2 columns in lexical order.

    Examples
    --------
    AC and its reverse complement GT are one word; the words of two bases are AA AC AG AT CA CC CG GA GC TA.

    >>> from cisnake.data.genome import encode
    >>> from cisnake.evaluate import count_kmers
    >>> count_kmers(encode("ACGTNA")[None], 2).astype(int).tolist()
    [[0, 2, 0, 0, 0, 0, 1, 0, 0, 0]]
    """
    words = np.arange(4**k)
    reverse, rest = np.zeros_like(words), words.copy()
    for _ in range(k):
        reverse, rest = 4 * reverse + 3 - rest % 4, rest // 4
    column = np.unique(np.minimum(words, reverse), return_inverse=True)[1].reshape(-1)
    n, length = codes.shape
    counts = np.zeros((n, column.max() + 1), np.float32)
    step = max(1, _BLOCK_BASES // length)
    for first in range(0, n, step):
        block = codes[first : first + step]
        at = np.zeros((len(block), length - k + 1), dtype=np.int32)
        known = np.ones_like(at, dtype=bool)
        for i in range(k):
            base = block[:, i : length - k + 1 + i]
            at = 4 * at + np.minimum(base, 3)
            known &= base < 4
        rows = np.repeat(np.arange(len(block)), known.sum(axis=1))
        word = rows * counts.shape[1] + column[at[known]]
        counts[first : first + step] = np.bincount(word, minlength=len(block) * counts.shape[1]).reshape(len(block), -1)
    return counts


def kmer_ridge(
    train: np.ndarray, labels: np.ndarray, held_out: np.ndarray, k: int = 6, counts: str = "log1p", alpha: float = 10_000.0
) -> np.ndarray:
    """Fit a ridge regression on canonical k-mer counts and return its predictions.

    Each task is fitted on the genes that have it measured, all tasks in one go: missing labels are filled with what the fit
    itself predicts for them. Filled so, they add nothing to the residuals, and the fit solves the normal equations of the
    measured genes alone.

    Parameters
    ----------
    train: numpy.ndarray, shape=(n_train, length), dtype=int8
    labels: numpy.ndarray, shape=(n_train, tasks)
        NaN where not measured.
    held_out: numpy.ndarray, shape=(n, length), dtype=int8
    k: int
        Length of the words. Default 6.
    counts: str
        "log1p" (default), log(1 + count), or "counts".
    alpha: float
        Weight of the penalty. Default 10,000.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float64
        NaN for tasks without any label.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.evaluate import kmer_ridge
    >>> train = np.stack([encode("AAAA"), encode("AAAC"), encode("AACC"), encode("ACCC")])
    >>> kmer_ridge(train, np.array([[0.0], [1.0], [2.0], [3.0]]), encode("CCCC")[None], 1, "counts", 1e-6).round(3).tolist()
    [[4.0]]
    """
    counted = [count_kmers(codes, k) for codes in (train, held_out)]
    if counts == "log1p":
        counted = [np.log1p(words, dtype=np.float64) for words in counted]
    ridge = _Ridge(counted[0], alpha)
    measured = np.isfinite(labels)
    fitted = measured.any(axis=0)
    filled = _fill_missing(np.asarray(labels, np.float64)[:, fitted], ~measured[:, fitted], ridge)
    predictions = np.full((len(held_out), labels.shape[1]), np.nan)
    predictions[:, fitted] = ridge.predict(filled, counted[1])
    return predictions


class _Ridge:
    """Ridge regressions on the same words: one factorisation, of the smaller of the two Gram matrices, serves all.

    Parameters
    ----------
    words: numpy.ndarray, shape=(n, words)
    alpha: float
        Weight of the penalty.
    """

    def __init__(self, words: np.ndarray, alpha: float) -> None:
        # Centred words leave the intercept, which the penalty spares, to the mean of the labels.
        self._centre = words.mean(axis=0, dtype=np.float64)
        self._x = words - self._centre
        self._more_words = self._x.shape[1] > self._x.shape[0]
        gram = self._x @ self._x.T if self._more_words else self._x.T @ self._x
        gram[np.diag_indices_from(gram)] += alpha
        self._factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)

    def predict(self, labels: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Return what a fit to labels without gaps, shape=(n, tasks), predicts at other words."""
        return self._predict(labels, words - self._centre)

    def predict_train(self, labels: np.ndarray) -> np.ndarray:
        """Return what a fit to labels without gaps predicts at the words that it is fitted to."""
        return self._predict(labels, self._x)

    def _predict(self, labels: np.ndarray, centred: np.ndarray) -> np.ndarray:
        mean = labels.mean(axis=0)
        if self._more_words:
            weights = self._x.T @ linalg.cho_solve(self._factor, labels - mean, check_finite=False)
        else:
            weights = linalg.cho_solve(self._factor, self._x.T @ (labels - mean), check_finite=False)
        return centred @ weights + mean


def _fill_missing(labels: np.ndarray, missing: np.ndarray, ridge: _Ridge) -> np.ndarray:
    """Return labels in which gaps are filled with what a fit to the filled labels predicts for them; shape=(n, tasks).

    What the fit gives at the gaps is linear in what they are filled with, by a symmetric matrix with eigenvalues below 1: where
    the two are equal is found by conjugate gradients, for all tasks side by side.
    """
    filled = np.where(missing, np.nanmean(labels, axis=0), labels)
    residual = np.where(missing, ridge.predict_train(filled) - filled, 0.0)
    direction, square = residual, (residual**2).sum(axis=0)
    settled = (_TOLERANCE * filled.std(axis=0)) ** 2 * missing.sum(axis=0)
    for _ in range(_MOST_FITS):
        if (square <= settled).all():
            break
        image = np.where(missing, direction - ridge.predict_train(direction), 0.0)
        step = _ratio(square, (direction * image).sum(axis=0))
        filled = filled + step * direction
        residual = residual - step * image
        before, square = square, (residual**2).sum(axis=0)
        direction = residual + _ratio(square, before) * direction
    else:
        log.warning("k-mer ridge: %d tasks with many missing labels had not settled", int((square > settled).sum()))
    return filled


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, and 0 where b is 0: a task without gaps has nothing left to find."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
