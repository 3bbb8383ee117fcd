"""The scale on which expression is predicted, and the way back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.program import log

KINDS = ("none", "log1p", "zscore", "cpm", "log1p_cpm")
_COUNTS = ("log1p", "cpm", "log1p_cpm")
_STATISTICS = {"zscore": ("mean", "sd"), "cpm": ("library",), "log1p_cpm": ("library",)}
_BLOCK_CELLS = 4_000_000


@dataclass(frozen=True)
class ExpressionTransform:
    """What was done to the measurements of each task, and its inverse.

    - "none": nothing;
    - "log1p": log(1 + x);
    - "zscore": (x - mean) / sd;
    - "cpm": 1e6 x / library, counts per million;
    - "log1p_cpm": log(1 + 1e6 x / library).

    What was not measured (NaN) stays so, both ways. A task that is constant over the training genes has sd 1: its z-scores
    there are 0, and go back to the constant.

    Parameters
    ----------
    kind: str
        One of `KINDS`. Default "none".
    mean, sd: sequence of float, optional
        One each a task, for "zscore"; sd above 0.
    library: sequence of float, optional
        The sum of a task over all genes of its matrix, those not used in the run among them, for "cpm" and "log1p_cpm"; above
        0.

    Raises
    ------
    InputError
        The kind is unknown, or its statistics are missing, not finite, or not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.matrix import ExpressionTransform
    >>> transform = ExpressionTransform("zscore", mean=[5.0], sd=[2.0])
    >>> transform.forward(np.array([[9.0], [np.nan]])).tolist()
    [[2.0], [nan]]
    >>> transform.inverse(np.array([[2.0]])).tolist()
    [[9.0]]
    """

    kind: str = "none"
    mean: Sequence[float] | None = None
    sd: Sequence[float] | None = None
    library: Sequence[float] | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise unknown_name("targets.transform", self.kind, KINDS)
        for name in ("mean", "sd", "library"):
            value, needed = getattr(self, name), name in _STATISTICS.get(self.kind, ())
            if needed != (value is not None):
                raise InputError(f"transform {self.kind} {'needs' if needed else 'has no'} {name}.")
            if value is None:
                continue
            value = np.asarray(value, np.float64)
            if not np.isfinite(value).all() or (name != "mean" and not (value > 0).all()):
                raise InputError(f"{name} of transform {self.kind} must be finite{'' if name == 'mean' else ' and above 0'}.")
            object.__setattr__(self, name, tuple(value.tolist()))
        if self.kind == "zscore" and len(self.mean or ()) != len(self.sd or ()):
            raise InputError(f"transform zscore has {len(self.mean or ())} means and {len(self.sd or ())} standard deviations.")

    def forward(self, values: Any, numpy: Any = np) -> Any:
        """Return measurements as models are trained on them.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
        numpy: module
            Where `log1p` and `expm1` for such arrays are found: numpy (default) or `keras.ops`.

        Returns
        -------
        array of the same shape and dtype
        """
        if self.kind == "zscore":
            return (values - self._constant("mean", values)) / self._constant("sd", values)
        if self.library is not None:
            values = values * (1e6 / self._constant("library", values))
        return numpy.log1p(values) if self.kind.startswith("log1p") else values

    def inverse(self, values: Any, numpy: Any = np) -> Any:
        """Return what `forward` was given: predictions on the scale of the matrix.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            Predictions may be such as no measurement could give: log1p of a count is never below 0, a network's answer may be,
            and then goes back to a negative count.
        numpy: module
            As of `forward`.

        Returns
        -------
        array of the same shape and dtype
        """
        if self.kind == "zscore":
            return values * self._constant("sd", values) + self._constant("mean", values)
        if self.kind.startswith("log1p"):
            values = numpy.expm1(values)
        return values if self.library is None else values * (self._constant("library", values) / 1e6)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON can hold: `kind` and the statistics that it has."""
        names = _STATISTICS.get(self.kind, ())
        return {"kind": self.kind, **{name: list(getattr(self, name)) for name in names}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ExpressionTransform:
        """Return the transform that `to_dict` gave."""
        return cls(**stored)

    def _constant(self, name: str, values: Any) -> np.ndarray:
        """Return a statistic in the precision of the values: 1e6 / library must not be rounded to another.

        Whole numbers have no such precision; with them it is double.
        """
        kind = str(values.dtype.name)
        return np.asarray(getattr(self, name), "float64" if kind == "bool" or "int" in kind else kind)


def fit_transform(
    kind: str, values: np.ndarray, train: np.ndarray, genes: pd.Index | None = None, tasks: list[str] | None = None
) -> ExpressionTransform:
    """Return the transform of a matrix, with the statistics that it needs.

    Parameters
    ----------
    kind: str
        One of `KINDS`.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        The whole matrix: counts per million are of all that was counted, whatever a run uses of it. NaN counts as nothing.
    train: numpy.ndarray, shape=(n,), dtype=int
        Rows of the training genes: mean and standard deviation are of these alone.
    genes: pandas.Index, optional
    tasks: list of str, optional
        What messages call the rows and columns. Default: their numbers.

    Returns
    -------
    ExpressionTransform

    Raises
    ------
    InputError
        A value is negative, where counts are asked for; a task has no counts; no training gene of a task was measured.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.matrix import fit_transform
    >>> values = np.array([[1.0, 0.0], [3.0, 10.0], [100.0, 30.0]], np.float32)
    >>> fit_transform("zscore", values, train=np.array([0, 1])).to_dict()
    {'kind': 'zscore', 'mean': [2.0, 5.0], 'sd': [1.0, 5.0]}
    >>> fit_transform("cpm", values, train=np.array([0, 1])).library
    (104.0, 40.0)
    """
    genes = pd.RangeIndex(len(values)) if genes is None else genes
    tasks = [str(i) for i in range(values.shape[1])] if tasks is None else tasks
    if kind in _COUNTS:
        _refuse_negative(kind, values, genes, tasks)
    if kind == "zscore":
        mean, sd = _mean_and_sd(values, train, tasks)
        return ExpressionTransform(kind, mean=mean, sd=sd)
    if kind in ("cpm", "log1p_cpm"):
        return ExpressionTransform(kind, library=_library(kind, values, tasks))
    return ExpressionTransform(kind)


def _blocks(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield runs of rows, each with the number of its first, of a few million values."""
    rows = max(1, _BLOCK_CELLS // max(1, values.shape[1]))
    for first in range(0, len(values), rows):
        yield first, values[first : first + rows]


def _refuse_negative(kind: str, values: np.ndarray, genes: pd.Index, tasks: list[str]) -> None:
    for first, block in _blocks(values):
        below = np.argwhere(block < 0)
        if len(below):
            gene, task = below[0] + (first, 0)
            raise InputError(
                f"targets.transform {kind} needs counts, but gene {genes[gene]}, task {tasks[task]} of the matrix is "
                f"{values[gene, task]:g}: choose none or zscore, which log ratios need."
            )


def _library(kind: str, values: np.ndarray, tasks: list[str]) -> list[float]:
    """Return the sum of each task over all genes."""
    library, whole = np.zeros(values.shape[1]), True
    for _, block in _blocks(values):
        measured = np.isfinite(block)
        library += np.sum(block, axis=0, dtype=np.float64, where=measured)
        whole = whole and bool(((block == np.floor(block)) | ~measured).all())
    if not whole:
        log.warning(
            "targets.transform %s is of counts, but the matrix has values that are no whole numbers: if they are "
            "normalised, name the matrix that has the counts by targets.layer, or choose another transform.", kind,
        )  # fmt: skip
    if not library.all():
        raise InputError(
            f"task {tasks[int(np.argmin(library))]} of the matrix has no counts, and so no counts per million: "
            "targets.filters.tasks.min_total leaves such tasks out."
        )
    return library.tolist()


def _mean_and_sd(values: np.ndarray, train: np.ndarray, tasks: list[str]) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation (over n) of each task; shape=(tasks,), dtype=float64."""
    mean, sd = np.zeros(values.shape[1]), np.ones(values.shape[1])
    columns = max(1, _BLOCK_CELLS // max(1, len(train)))
    for first in range(0, values.shape[1], columns):
        part = slice(first, first + columns)
        block = values[:, part][train].astype(np.float64)
        measured = np.isfinite(block)
        if not measured.any(axis=0).all():
            task = tasks[first + int(np.argmin(measured.any(axis=0)))]
            raise InputError(
                f"task {task} was measured in no training gene, and so has no z-scores: "
                "targets.filters.tasks.max_missing leaves such tasks out."
            )
        low = np.min(block, axis=0, where=measured, initial=np.inf)
        constant = low == np.max(block, axis=0, where=measured, initial=-np.inf)
        # The mean of equal numbers may be another number, and their standard deviation then a tiny one to divide by.
        mean[part] = np.where(constant, low, np.mean(block, axis=0, where=measured))
        sd[part] = np.where(constant, 1.0, np.std(block, axis=0, where=measured))
    return mean.tolist(), sd.tolist()


def transform_labels(labels: np.ndarray, transform: ExpressionTransform) -> np.ndarray:
    """Transform labels in place, in double precision block by block, and return them.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN where not measured.
    transform: ExpressionTransform

    Returns
    -------
    numpy.ndarray
        The same array.

    Raises
    ------
    InputError
        A transformed value is beyond the range of float32.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.matrix import ExpressionTransform, transform_labels
    >>> transform_labels(np.array([[5.0], [0.0]], np.float32), ExpressionTransform("zscore", mean=[1.0], sd=[2.0])).tolist()
    [[2.0], [-0.5]]
    """
    for _, block in _blocks(labels):
        transformed = transform.forward(block.astype(np.float64))
        if (np.abs(transformed) > np.finfo(np.float32).max).any():
            raise InputError(f"targets.transform {transform.kind} gives values beyond the range of 32-bit numbers.")
        block[:] = transformed
    return labels
