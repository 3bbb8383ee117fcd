"""Scores of ridge regressions on words, and whether one window predicts better than another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cisnake.evaluate import pearson
from cisnake.words import Ridge, kmer_features

MAX_FITTED_TASKS = 64
"""Largest number of tasks that are fitted; of more, as many at even distances in the table are."""

MAX_FITTED_CONTRASTS = 12
"""Largest number of contrasts that are fitted: the first ones."""

TOLERANCE = 0.01
"""Windows within this score of the best are as good as the best."""

NOTHING = 0.05
"""Scores below this mean that words predict nothing."""

# A task or contrast with fewer labels in training or validation genes is left out.
_MIN_LABELS = 10
_PENALTIES = (100.0, 1e3, 1e4, 1e5)
# Imputing missing labels less exactly is enough to compare windows.
_ROUGH = 1e-2
_DRAWS = 200


@dataclass(frozen=True, eq=False)
class Fitted:
    """Labels that are fitted: levels of tasks, and contrasts.

    Attributes
    ----------
    train, val: numpy.ndarray, shape=(genes, columns), dtype=float64
        Labels of training and validation genes; NaN for missing values. Levels come first.
    n_levels: int
        Number of columns that are levels.
    contrasts: tuple of str
        Names of the other columns.
    """

    train: np.ndarray
    val: np.ndarray
    n_levels: int
    contrasts: tuple[str, ...] = ()

    def rows(self, train: np.ndarray, val: np.ndarray) -> Fitted:
        """Return the labels of some training and validation genes."""
        return Fitted(self.train[train], self.val[val], self.n_levels, self.contrasts)


def choose_columns(train: np.ndarray, val: np.ndarray, contrasts: dict[str, tuple[np.ndarray, np.ndarray]]) -> Fitted:
    """Choose the labels to fit: tasks and contrasts with enough labels that differ.

    Parameters
    ----------
    train, val: numpy.ndarray, shape=(genes, tasks)
        NaN for missing values.
    contrasts: dict of str to tuple of numpy.ndarray
        Measured scores of training and of validation genes, by name.
    """

    def usable(train: np.ndarray, val: np.ndarray) -> np.ndarray:
        return np.logical_and.reduce(
            [(np.isfinite(part).sum(axis=0) >= _MIN_LABELS) & (_spread(part) > 0) for part in (train, val)]
        )

    levels = np.flatnonzero(usable(train, val))
    if len(levels) > MAX_FITTED_TASKS:
        levels = levels[np.linspace(0, len(levels) - 1, MAX_FITTED_TASKS).round().astype(int)]
    names = [name for name, (of_train, of_val) in contrasts.items() if usable(of_train[:, None], of_val[:, None])[0]]
    names = names[:MAX_FITTED_CONTRASTS]
    parts = [
        np.column_stack([labels[:, levels], *(contrasts[name][i] for name in names)]).astype(np.float64)
        for i, labels in enumerate((train, val))
    ]
    return Fitted(parts[0], parts[1], len(levels), tuple(names))


def _spread(labels: np.ndarray) -> np.ndarray:
    known = np.isfinite(labels)
    return np.max(labels, axis=0, where=known, initial=-np.inf) - np.min(labels, axis=0, where=known, initial=np.inf)


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predictions of the validation genes from one set of words.

    Attributes
    ----------
    values: numpy.ndarray, shape=(genes, columns), dtype=float32
    level: float
        Pearson correlation over validation genes, median over tasks.
    contrasts: dict of str to float
        Pearson correlation over validation genes.
    """

    values: np.ndarray
    level: float
    contrasts: dict[str, float]

    @property
    def contrast(self) -> float:
        """Mean score of the contrasts that have one; NaN if none has."""
        return _mean_defined(list(self.contrasts.values()))

    @property
    def score(self) -> float:
        """Mean of the score of the levels and of the mean score of the contrasts, as far as they are defined."""
        return _mean_defined([self.level, self.contrast])


def _mean_defined(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def predict_from_words(train: np.ndarray, val: np.ndarray, fitted: Fitted, words: str = "stranded") -> Prediction:
    """Fit a ridge regression on words to training genes, and predict validation genes.

    The tasks share a penalty, each contrast has its own: those with the highest score.

    Parameters
    ----------
    train, val: numpy.ndarray, shape=(genes, 4^k)
        Counts of words.
    fitted: Fitted
    words: str
        "stranded" or "canonical"; see `evaluate.kmer_features`.
    """
    ridge = Ridge(kmer_features(train, words, "log1p"))
    rotated = ridge.rotate(kmer_features(val, words, "log1p"))
    n, columns = fitted.n_levels, fitted.train.shape[1]
    best, predicted = np.full(columns, -np.inf), np.zeros((len(val), columns), np.float32)
    filled = None
    # From the largest penalty on: the imputed labels of one are a good start for the next.
    for penalty in reversed(_PENALTIES):
        filled = ridge.fill_missing(fitted.train, penalty, _ROUGH, filled)
        values = ridge.predict(filled, rotated, penalty)
        r = pearson(fitted.val, values)
        r[:n] = _median(r[:n])
        better = np.nan_to_num(r, nan=-1.0) > best
        best[better], predicted[:, better] = np.nan_to_num(r, nan=-1.0)[better], values[:, better]
    r = pearson(fitted.val, predicted)
    return Prediction(predicted, _median(r[:n]), dict(zip(fitted.contrasts, r[n:].tolist(), strict=True)))


def _median(values: np.ndarray) -> float:
    return float(np.nanmedian(values)) if np.isfinite(values).any() else float("nan")


def standard_errors(fitted: Fitted, best: Prediction, others: Sequence[Prediction], seed: int = 0) -> np.ndarray:
    """Return the standard error of the difference between the score of the best prediction and that of each other.

    All predictions are scored on the same 200 draws of validation genes with replacement.

    Parameters
    ----------
    fitted: Fitted
    best: Prediction
    others: sequence of Prediction
    seed: int

    Returns
    -------
    numpy.ndarray, shape=(others,), dtype=float64
    """
    n = len(fitted.val)
    weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), _DRAWS).astype(np.float64)
    of_best = _weighted_scores(fitted, best.values, weights)
    return np.array([np.nanstd(of_best - _weighted_scores(fitted, other.values, weights)) for other in others])


def _weighted_scores(fitted: Fitted, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the score of a prediction for each set of weights of the genes; shape=(draws,)."""
    known = np.isfinite(fitted.val)
    # Centred first: sums of squares lose digits if the mean is large.
    t, p = (
        np.where(known, values - np.mean(values, axis=0, where=known), 0.0)
        for values in (np.where(known, fitted.val, 0.0), predicted.astype(np.float64))
    )
    total = np.maximum(weights @ known, 1e-9)
    mean_t, mean_p = weights @ t / total, weights @ p / total
    covariance = weights @ (t * p) / total - mean_t * mean_p
    spread = np.sqrt(np.maximum((weights @ t**2 / total - mean_t**2) * (weights @ p**2 / total - mean_p**2), 0))
    r = np.divide(covariance, spread, out=np.zeros_like(covariance), where=spread > 0)
    n = fitted.n_levels
    parts = [np.median(r[:, :n], axis=1)] if n else []
    parts += [r[:, n:].mean(axis=1)] if r.shape[1] > n else []
    return np.mean(parts, axis=0)


def enclosing(cells: Sequence[tuple[int, int]], scores: np.ndarray) -> tuple[np.ndarray, tuple[int, int]]:
    """Return which windows are as good as the best by any score, and the smallest window that contains them all.

    A window is as good as the best if its score is at most `TOLERANCE` lower. What a shorter window lacks, no network can
    learn; sequence that does not even confuse a regression does a network no harm.

    Parameters
    ----------
    cells: sequence of tuple of int
        Bases upstream and downstream.
    scores: numpy.ndarray, shape=(windows, kinds)
        NaN where undefined.

    Returns
    -------
    as_good: numpy.ndarray, shape=(windows,), dtype=bool
        All False if no score is defined.
    window: tuple of int

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.scout import enclosing
    >>> as_good, window = enclosing([(0, 500), (250, 0), (250, 500), (4000, 0)], np.array([[0.305], [0.31], [0.29], [0.1]]))
    >>> as_good.tolist(), window
    ([True, True, False, False], (250, 500))
    """
    known = np.where(np.isfinite(scores), scores, -np.inf)
    best = known.max(axis=0)
    as_good = ((known >= best - TOLERANCE) & np.isfinite(best)).any(axis=1)
    chosen = [cell for cell, good in zip(cells, as_good, strict=True) if good] or list(cells[:1])
    return as_good, (max(upstream for upstream, _ in chosen), max(downstream for _, downstream in chosen))


def smallest_good(sizes: Sequence[int], scores: np.ndarray, errors: np.ndarray) -> int:
    """Return the smallest window that is as good as the best one; of equal sizes, that with the higher score.

    A window is as good as the best if its score is at most `TOLERANCE`, or one standard error of the difference, lower.

    Parameters
    ----------
    sizes: sequence of int
        Lengths of the windows, bp.
    scores, errors: numpy.ndarray, shape=(windows,)
        Scores, and standard errors of their differences from the best score. NaN counts as worst.

    Returns
    -------
    int
        Its number.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.scout import smallest_good
    >>> smallest_good([500, 1000, 4000], np.array([0.20, 0.31, 0.315]), np.array([0.02, 0.001, 0.0]))
    1
    """
    scores = np.where(np.isfinite(scores), scores, -1.0)
    good = np.flatnonzero(scores.max() - scores <= np.maximum(TOLERANCE, errors))
    return min(good.tolist(), key=lambda i: (sizes[i], -scores[i]))
