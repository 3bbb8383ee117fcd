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
    """
    counted = [count_kmers(codes, k) for codes in (train, held_out)]
    if counts == "log1p":
        counted = [np.log1p(of_genes, dtype=np.float64) for of_genes in counted]
    # Centred words leave the intercept, which the penalty spares, to the mean of the labels. All fits share the words, so that
    # one factorisation, of the smaller of the two Gram matrices, serves all.
    centre = counted[0].mean(axis=0, dtype=np.float64)
    x, x_held_out = (of_genes - centre for of_genes in counted)
    more_words = x.shape[1] > x.shape[0]
    gram = x @ x.T if more_words else x.T @ x
    gram[np.diag_indices_from(gram)] += alpha
    factor = linalg.cho_factor(gram, overwrite_a=True, check_finite=False)

    def fit(labels: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return what a fit to labels without gaps predicts at some words."""
        mean = labels.mean(axis=0)
        if more_words:
            weights = x.T @ linalg.cho_solve(factor, labels - mean, check_finite=False)
        else:
            weights = linalg.cho_solve(factor, x.T @ (labels - mean), check_finite=False)
        return at @ weights + mean

    measured = np.isfinite(labels)
    fitted = measured.any(axis=0)
    missing = ~measured[:, fitted]
    filled = np.asarray(labels, np.float64)[:, fitted]
    filled = np.where(missing, np.nanmean(filled, axis=0), filled)
    # What the fit gives at the gaps is linear in what they are filled with, by a symmetric matrix with eigenvalues below 1:
    # where the two are equal is found by conjugate gradients, for all tasks side by side.
    residual = np.where(missing, fit(filled, x) - filled, 0.0)
    direction, square = residual, (residual**2).sum(axis=0)
    settled = (_TOLERANCE * filled.std(axis=0)) ** 2 * missing.sum(axis=0)
    for _ in range(_MOST_FITS):
        if (square <= settled).all():
            break
        image = np.where(missing, direction - fit(direction, x), 0.0)
        step = _ratio(square, (direction * image).sum(axis=0))
        filled = filled + step * direction
        residual = residual - step * image
        before, square = square, (residual**2).sum(axis=0)
        direction = residual + _ratio(square, before) * direction
    else:
        log.warning("k-mer ridge: %d tasks with many missing labels had not settled", int((square > settled).sum()))
    predictions = np.full((len(held_out), labels.shape[1]), np.nan)
    predictions[:, fitted] = fit(filled, x_held_out)
    return predictions


def _ratio(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a / b, and 0 where b is 0: a task without gaps has nothing left to find."""
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)
