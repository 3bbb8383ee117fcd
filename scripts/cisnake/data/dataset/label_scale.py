"""Mean and standard deviation of the labels of each task, so that networks learn labels of any unit alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class LabelScale:
    """Mean and standard deviation of the labels of each task over training genes.

    Attributes
    ----------
    mean, sd: numpy.ndarray, shape=(tasks,), dtype=float64
        0 and 1 for a task without labels; sd is 1 for a task whose labels are all equal.
    """

    mean: np.ndarray
    sd: np.ndarray

    @classmethod
    def of(cls, labels: np.ndarray) -> LabelScale:
        """Return the scale of labels, shape=(n, tasks), NaN where missing.

        Examples
        --------
        >>> import numpy as np
        >>> from cisnake.data.dataset import LabelScale
        >>> LabelScale.of(np.array([[1.0, 5.0], [3.0, np.nan]]))
        LabelScale(mean=array([2., 5.]), sd=array([1., 1.]))
        """
        labels = np.asarray(labels, np.float64)
        measured = np.isfinite(labels)
        n = np.maximum(measured.sum(axis=0), 1)
        mean = np.where(measured, labels, 0.0).sum(axis=0) / n
        sd = np.sqrt((np.where(measured, labels - mean, 0.0) ** 2).sum(axis=0) / n)
        # Equal labels can differ by rounding errors.
        return cls(mean, np.where(sd > 1e-6 * np.abs(mean), sd, 1.0))

    def standardize(self, labels: np.ndarray) -> np.ndarray:
        """Return labels minus the mean, in standard deviations; same shape, dtype=float64."""
        return (np.asarray(labels, np.float64) - self.mean) / self.sd
