"""Ridge regressions that share their predictors: many tasks, missing labels and many penalties with one factorisation."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from cisnake.program import log

PENALTIES = tuple(float(f"{10 ** (i / 2):.3g}") for i in range(2, 13))
"""Penalties to choose from: 10 to 1,000,000, two per power of ten."""

EXACT = 1e-8
"""Tolerance with which missing labels are imputed, in standard deviations of the task."""

# Maximum number of conjugate-gradient steps.
_MAX_STEPS = 200
# Eigenvalues below this fraction of the largest are rounding errors.
_ROUNDING = 1e-12


class Ridge:
    """Ridge regressions on the same predictors, with an intercept that is not penalised.

    The predictors are centred and rotated to their principal components once. A fit with any penalty then only divides by the
    eigenvalues plus the penalty.

    Parameters
    ----------
    features: numpy.ndarray, shape=(n, predictors), dtype=float64
        Predictors of the training genes. The array is centred in place.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.words import Ridge
    >>> ridge = Ridge(np.array([[0.0], [1.0], [2.0]]))
    >>> new = ridge.rotate(np.array([[3.0]]))
    >>> [ridge.predict(np.array([[1.0], [3.0], [5.0]]), new, penalty).round(3).tolist() for penalty in (1e-9, 2)]
    [[[7.0]], [[5.0]]]
    """

    def __init__(self, features: np.ndarray) -> None:
        self._centre = features.mean(axis=0)
        features -= self._centre
        wide = features.shape[1] > features.shape[0]
        gram = features @ features.T if wide else features.T @ features
        values, vectors = linalg.eigh(gram, overwrite_a=True, check_finite=False, driver="evd")
        kept = values > _ROUNDING * max(values[-1], 0.0)
        self._squares, vectors = values[kept], vectors[:, kept]
        # Principal axes of the predictors, and coordinates of the training genes along them.
        self._axes = features.T @ (vectors / np.sqrt(self._squares)) if wide else vectors
        self._rotated = vectors * np.sqrt(self._squares) if wide else features @ vectors

    def rotate(self, features: np.ndarray) -> np.ndarray:
        """Return the coordinates of other genes along the principal axes; shape=(n, axes)."""
        return (features - self._centre) @ self._axes

    def predict(self, labels: np.ndarray, rotated: np.ndarray, penalty: float) -> np.ndarray:
        """Fit complete labels and predict genes.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(n_train, tasks)
            Without missing values; see `fill_missing`.
        rotated: numpy.ndarray, shape=(n, axes)
            As `rotate` returns it.
        penalty: float
            Weight of the sum of squared coefficients, above 0.

        Returns
        -------
        numpy.ndarray, shape=(n, tasks), dtype=float64
        """
        labels = np.asarray(labels, np.float64)
        return rotated @ self._along_axes(labels, penalty) + labels.mean(axis=0)

    def coefficients(self, labels: np.ndarray, penalty: float) -> np.ndarray:
        """Fit complete labels and return the coefficients of the predictors.

        Parameters
        ----------
        labels, penalty
            See `predict`. A prediction is the mean label plus the centred predictors times the coefficients.

        Returns
        -------
        numpy.ndarray, shape=(predictors, tasks), dtype=float64
        """
        return self._axes @ self._along_axes(np.asarray(labels, np.float64), penalty)

    def _along_axes(self, labels: np.ndarray, penalty: float) -> np.ndarray:
        return self._rotated.T @ (labels - labels.mean(axis=0)) / (self._squares + penalty)[:, None]

    def fill_missing(
        self, labels: np.ndarray, penalty: float, tolerance: float = EXACT, start: np.ndarray | None = None
    ) -> np.ndarray:
        """Impute missing labels so that a fit to the imputed labels reproduces them.

        Imputed labels then have residuals of zero, so that the fit to all labels solves the normal equations of the measured
        genes of each task, although all tasks share one factorisation. The fitted values of the missing labels depend
        linearly on the imputed ones, through a symmetric matrix with eigenvalues below 1; conjugate gradients find the fixed
        point for all tasks in parallel.

        Parameters
        ----------
        labels: numpy.ndarray, shape=(n_train, tasks)
            NaN for missing values. Each task has at least one label.
        penalty: float
        tolerance: float
            Root-mean-square difference between imputed and fitted labels at which a task is done, in standard deviations.
        start: numpy.ndarray, shape=(n_train, tasks), optional
            Labels imputed with a similar penalty, to start from. Default: the mean of each task.

        Returns
        -------
        numpy.ndarray, shape=(n_train, tasks), dtype=float64
        """
        labels = np.asarray(labels, np.float64)
        columns = np.flatnonzero(np.isnan(labels).any(axis=0))
        if not len(columns):
            return labels
        filled = np.array(labels)
        filled[:, columns] = self._fill(labels[:, columns], penalty, tolerance, None if start is None else start[:, columns])
        return filled

    def _fill(self, labels: np.ndarray, penalty: float, tolerance: float, start: np.ndarray | None) -> np.ndarray:
        missing = np.isnan(labels)
        filled = np.where(missing, np.nanmean(labels, axis=0) if start is None else start, labels)
        residual = np.where(missing, self.predict(filled, self._rotated, penalty) - filled, 0.0)
        direction, square = residual, (residual**2).sum(axis=0)
        tolerated = (tolerance * filled.std(axis=0)) ** 2 * missing.sum(axis=0)
        for _ in range(_MAX_STEPS):
            if (square <= tolerated).all():
                break
            image = np.where(missing, direction - self.predict(direction, self._rotated, penalty), 0.0)
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
