"""What a model has to beat: the mean of the training genes, and a ridge regression on k-mer counts."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from sklearn.linear_model import Ridge

from cisnake.program import log

_MOST_FITS = 50


def train_mean(train_labels: np.ndarray, n: int) -> np.ndarray:
    """Return each task's mean over the training genes that were measured, for `n` genes; shape=(n, tasks), dtype=float64."""
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
    """
    words = np.arange(4**k)
    reverse, rest = np.zeros_like(words), words.copy()
    for _ in range(k):
        reverse, rest = 4 * reverse + 3 - rest % 4, rest // 4
    column = np.unique(np.minimum(words, reverse), return_inverse=True)[1].reshape(-1)
    n, length = codes.shape
    at = np.zeros((n, length - k + 1), dtype=np.int64)
    known = np.ones_like(at, dtype=bool)
    for i in range(k):
        base = codes[:, i : length - k + 1 + i]
        at = 4 * at + np.minimum(base, 3)
        known &= base < 4
    rows = np.repeat(np.arange(n), known.sum(axis=1))
    counts = sparse.coo_matrix((np.ones(len(rows), np.float32), (rows, column[at[known]])), (n, column.max() + 1))
    return counts.toarray()


def kmer_ridge(
    train: np.ndarray, labels: np.ndarray, held_out: np.ndarray, k: int = 6, counts: str = "log1p", alpha: float = 10_000.0
) -> np.ndarray:
    """Fit a ridge regression on canonical k-mer counts and return its predictions.

    Each task is fitted on the genes that have it measured, all tasks in one go: a missing label is filled with the fit's own
    prediction until that no longer changes. Filled so, it adds nothing to the residuals, and what is reached solves the normal
    equations of the measured genes alone.

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
    """
    features = [count_kmers(codes, k) for codes in (train, held_out)]
    if counts == "log1p":
        features = [np.log1p(counted) for counted in features]
    x, x_held_out = features
    measured = np.isfinite(labels)
    fitted = measured.any(axis=0)
    missing = ~measured[:, fitted]
    filled = np.where(missing, np.nanmean(labels[:, fitted], axis=0), labels[:, fitted]).astype(np.float32)
    tolerance = 1e-3 * filled.std(axis=0)
    ridge = Ridge(alpha=alpha, solver="cholesky")
    for _ in range(_MOST_FITS):
        own = ridge.fit(x, filled).predict(x).reshape(filled.shape)
        settled = (np.abs(own - filled) <= tolerance) | ~missing
        filled = np.where(missing, own, filled)
        if settled.all():
            break
    else:
        log.warning("k-mer ridge: %d tasks with many missing labels had not settled", int((~settled.all(axis=0)).sum()))
    predictions = np.full((len(held_out), labels.shape[1]), np.nan)
    predictions[:, fitted] = ridge.predict(x_held_out).reshape(len(held_out), -1)
    return predictions
