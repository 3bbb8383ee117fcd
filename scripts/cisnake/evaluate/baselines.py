"""Baselines for gene-level models: the training mean, and ridge regression on k-mer counts."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from cisnake.program import log

# Maximum number of conjugate-gradient steps. They stop earlier once the root-mean-square difference between imputed labels and
# predictions is below `_TOLERANCE`, in standard deviations of the task.
_MAX_FITS = 200
_TOLERANCE = 1e-8
# Bases per block, which bounds memory.
_BLOCK_BASES = 1 << 24


def train_mean(train_labels: np.ndarray, n: int) -> np.ndarray:
    """Predict each task's mean over its measured training genes, for `n` genes.

    Parameters
    ----------
    train_labels: numpy.ndarray, shape=(n_train, tasks)
        NaN for missing values.
    n: int

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float64

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.evaluate import train_mean
    >>> train_mean(np.array([[1.0, 4.0], [2.0, np.nan]]), 2).tolist()
    [[1.5, 4.0], [1.5, 4.0]]
    """
    return np.broadcast_to(np.nanmean(np.asarray(train_labels, np.float64), axis=0), (n, train_labels.shape[1]))


def count_kmers(codes: np.ndarray, k: int) -> np.ndarray:
    """Count canonical k-mers: a k-mer and its reverse complement count as one, named by whichever sorts first.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        K-mers that contain an N are not counted.
    k: int
        At most 10.

    Returns
    -------
    numpy.ndarray, shape=(n, k-mers), dtype=float32
        (4^k + palindromes) / 2 columns, in alphabetical order.

    Examples
    --------
    AC and its reverse complement GT are counted together. The canonical 2-mers are AA AC AG AT CA CC CG GA GC TA.

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

    Each task is fitted to its measured genes only, but all tasks share one factorisation: missing labels are imputed with the
    fit's own predictions. Imputed labels then have zero residuals, so the fit solves the normal equations of the measured
    genes.

    Parameters
    ----------
    train: numpy.ndarray, shape=(n_train, length), dtype=int8
    labels: numpy.ndarray, shape=(n_train, tasks)
        NaN for missing values.
    held_out: numpy.ndarray, shape=(n, length), dtype=int8
    k: int
        K-mer length. Default 6.
    counts: str
        "log1p" (default) for log(1 + count), or "counts".
    alpha: float
        Strength of the L2 penalty. Default 10,000.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float64
        NaN for tasks without labels.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.genome import encode
    >>> from cisnake.evaluate import kmer_ridge
    >>> train = np.stack([encode("AAAA"), encode("AAAC"), encode("AACC"), encode("ACCC")])
    >>> kmer_ridge(train, np.array([[0.0], [1.0], [2.0], [3.0]]), encode("CCCC")[None], 1, "counts", 1e-6).round(3).tolist()
    [[4.0]]
    """
    kmers = [count_kmers(codes, k) for codes in (train, held_out)]
    if counts == "log1p":
        kmers = [np.log1p(table, dtype=np.float64) for table in kmers]
    ridge = _Ridge(kmers[0], alpha)
    measured = np.isfinite(labels)
    fitted = measured.any(axis=0)
    filled = _fill_missing(np.asarray(labels, np.float64)[:, fitted], ~measured[:, fitted], ridge)
    predictions = np.full((len(held_out), labels.shape[1]), np.nan)
    predictions[:, fitted] = ridge.predict(filled, kmers[1])
    return predictions


class _Ridge:
    """Ridge regressions that share their k-mer counts, and with them the factorisation of the smaller Gram matrix.

    Parameters
    ----------
    kmers: numpy.ndarray, shape=(n, k-mers)
    alpha: float
        Strength of the L2 penalty.
    """

    def __init__(self, kmers: np.ndarray, alpha: float) -> None:
        # With centred counts the unpenalised intercept is the mean of the labels.
        self._centre = kmers.mean(axis=0, dtype=np.float64)
        self._x = kmers - self._centre
        self._wide = self._x.shape[1] > self._x.shape[0]
        gram = self._x @ self._x.T if self._wide else self._x.T @ self._x
        gram[np.diag_indices_from(gram)] += alpha
        self._factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)

    def predict(self, labels: np.ndarray, kmers: np.ndarray) -> np.ndarray:
        """Fit complete labels, shape=(n, tasks), and predict from other k-mer counts."""
        return self._predict(labels, kmers - self._centre)

    def predict_train(self, labels: np.ndarray) -> np.ndarray:
        """Fit complete labels and return the fitted values."""
        return self._predict(labels, self._x)

    def _predict(self, labels: np.ndarray, centred: np.ndarray) -> np.ndarray:
        mean = labels.mean(axis=0)
        if self._wide:
            weights = self._x.T @ linalg.cho_solve(self._factor, labels - mean, check_finite=False)
        else:
            weights = linalg.cho_solve(self._factor, self._x.T @ (labels - mean), check_finite=False)
        return centred @ weights + mean


def _fill_missing(labels: np.ndarray, missing: np.ndarray, ridge: _Ridge) -> np.ndarray:
    """Impute missing labels so that a fit to the imputed labels reproduces them; shape=(n, tasks).

    The fitted values of the missing labels depend linearly on the imputed ones, through a symmetric matrix with eigenvalues
    below 1. Conjugate gradients find the fixed point, for all tasks in parallel.
    """
    filled = np.where(missing, np.nanmean(labels, axis=0), labels)
    residual = np.where(missing, ridge.predict_train(filled) - filled, 0.0)
    direction, square = residual, (residual**2).sum(axis=0)
    tolerated = (_TOLERANCE * filled.std(axis=0)) ** 2 * missing.sum(axis=0)
    for _ in range(_MAX_FITS):
        if (square <= tolerated).all():
            break
        image = np.where(missing, direction - ridge.predict_train(direction), 0.0)
        step = _ratio(square, (direction * image).sum(axis=0))
        filled = filled + step * direction
        residual = residual - step * image
        before, square = square, (residual**2).sum(axis=0)
        direction = residual + _ratio(square, before) * direction
    else:
        log.warning("k-mer ridge: %d tasks with many missing labels did not converge", int((square > tolerated).sum()))
    return filled


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, and 0 where b is 0: a task without missing labels has converged."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
