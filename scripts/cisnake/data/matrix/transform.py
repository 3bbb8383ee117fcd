"""The transform applied to expression before training, and its inverse."""

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
# Share of the counts of the median task above which ids that the annotation lacks are reported.
_LARGE_SHARE = 0.1


@dataclass(frozen=True)
class ExpressionTransform:
    """Transform of the measurements of each task, and its inverse.

    - "none": no change;
    - "log1p": log(1 + x);
    - "zscore": (x - mean) / sd;
    - "cpm": 1e6 x / library, counts per million;
    - "log1p_cpm": log(1 + 1e6 x / library).

    Missing values (NaN) stay missing in both directions. A task that is constant over the training genes has sd 1: its
    z-scores are 0, and the inverse returns the constant.

    Parameters
    ----------
    kind: str
        One of `KINDS`. Default "none".
    mean, sd: sequence of float, optional
        For "zscore": mean and standard deviation per task; sd above 0.
    library: sequence of float, optional
        For "cpm" and "log1p_cpm": sum per task over the genes that count, including genes not used in the run; above 0.

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
        """Transform measurements to the scale on which models are trained.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
        numpy: module
            Module with `log1p` and `expm1` for arrays like `values`: numpy (default) or `keras.ops`.

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
        """Invert `forward`: return values, such as predictions, on the scale of the matrix.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            Predictions may be outside the range of measurements: log1p of a count is never below 0, but a prediction may be,
            and its inverse is then a negative count.
        numpy: module
            As for `forward`.

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
        """Return a JSON-serialisable dictionary of `kind` and its statistics."""
        names = _STATISTICS.get(self.kind, ())
        return {"kind": self.kind, **{name: list(getattr(self, name)) for name in names}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ExpressionTransform:
        """Create a transform from the dictionary of `to_dict`."""
        return cls(**stored)

    def _constant(self, name: str, values: Any) -> np.ndarray:
        """Return a statistic in the dtype of floating-point values, so that results keep it; float64 for integer values."""
        dtype_name = str(values.dtype.name)
        return np.asarray(getattr(self, name), "float64" if dtype_name == "bool" or "int" in dtype_name else dtype_name)


def fit_transform(
    kind: str,
    values: np.ndarray,
    train: np.ndarray,
    genes: pd.Index | None = None,
    tasks: list[str] | None = None,
    annotated: np.ndarray | None = None,
    only_annotated: bool = False,
) -> ExpressionTransform:
    """Fit a transform to a matrix.

    Parameters
    ----------
    kind: str
        One of `KINDS`.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        The whole matrix: library sizes include genes that the run does not use. Missing values (NaN) are ignored.
    train: numpy.ndarray, shape=(n,), dtype=int
        Rows of the training genes. Mean and standard deviation are computed from these only.
    genes: pandas.Index, optional
        Names of the rows in error messages. Default: row numbers.
    tasks: list of str, optional
        Names of the columns in error messages. Default: column numbers.
    annotated: numpy.ndarray, shape=(genes,), dtype=bool, optional
        Which rows are genes of the annotation. A warning tells if others hold a large share of the counts. Default: all.
    only_annotated: bool
        Whether library sizes include only annotated genes. Default False.

    Returns
    -------
    ExpressionTransform

    Raises
    ------
    InputError
        The kind requires counts and a value is negative; a task has no counts; or a task has no value in any training gene.

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
        annotated = np.ones(len(values), bool) if annotated is None else annotated
        return ExpressionTransform(kind, library=_library(kind, values, genes, tasks, annotated, only_annotated))
    return ExpressionTransform(kind)


def _blocks(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield blocks of rows of a few million values, each with its first row number."""
    rows = max(1, _BLOCK_CELLS // max(1, values.shape[1]))
    for first in range(0, len(values), rows):
        yield first, values[first : first + rows]


def _refuse_negative(kind: str, values: np.ndarray, genes: pd.Index, tasks: list[str]) -> None:
    for first, block in _blocks(values):
        negative = np.argwhere(block < 0)
        if len(negative):
            gene, task = negative[0] + (first, 0)
            raise InputError(
                f"targets.transform {kind} requires counts, but gene {genes[gene]}, task {tasks[task]} of the matrix is "
                f"{values[gene, task]:g}: use none or zscore, for example for log ratios."
            )


def _library(
    kind: str, values: np.ndarray, genes: pd.Index, tasks: list[str], annotated: np.ndarray, only_annotated: bool
) -> list[float]:
    """Return the sum of each task over all genes, or over annotated genes only."""
    known, unknown, all_integer = np.zeros(values.shape[1]), np.zeros(values.shape[1]), True
    for first, block in _blocks(values):
        measured, of_block = np.isfinite(block), annotated[first : first + len(block), None]
        known += np.sum(block, axis=0, dtype=np.float64, where=measured & of_block)
        unknown += np.sum(block, axis=0, dtype=np.float64, where=measured & ~of_block)
        all_integer = all_integer and bool(((block == np.floor(block)) | ~measured).all())
    if not all_integer:
        log.warning(
            "targets.transform %s requires counts, but the matrix has non-integer values: if they are normalised, set "
            "targets.layer to the matrix of counts, or use another transform.", kind,
        )  # fmt: skip
    if not only_annotated:
        _warn_of_unannotated(values, genes, annotated, unknown / np.maximum(known + unknown, 1))
    library = known if only_annotated else known + unknown
    if not library.all():
        raise InputError(
            f"task {tasks[int(np.argmin(library))]} of the matrix has no counts: counts per million are undefined; drop such "
            "tasks with targets.filters.tasks.min_total."
        )
    return library.tolist()


def _warn_of_unannotated(values: np.ndarray, genes: pd.Index, annotated: np.ndarray, shares: np.ndarray) -> None:
    """Warn if ids that the annotation lacks hold a large share of the counts; `shares` is their share of each task."""
    if (share := float(np.median(shares))) < _LARGE_SHARE:
        return
    rows = np.flatnonzero(~annotated)
    totals = np.concatenate([np.nansum(block, axis=1, dtype=np.float64) for _, block in _blocks(values)])[rows]
    largest = genes[rows[np.argsort(-totals, kind="stable")[:3]]]
    log.warning(
        "%d ids that the annotation lacks, most of all %s, hold %.0f %% of the counts of the median task, between %.0f %% and "
        "%.0f %%: counts per million are relative to sums that include them. To leave them out, set targets.library to "
        "annotation.", len(rows), ", ".join(map(str, largest)), 100 * share, 100 * shares.min(), 100 * shares.max(),
    )  # fmt: skip


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
                f"task {task} has no value in any training gene: z-scores are undefined; drop such tasks with "
                "targets.filters.tasks.max_missing."
            )
        minimum = np.min(block, axis=0, where=measured, initial=np.inf)
        constant = minimum == np.max(block, axis=0, where=measured, initial=-np.inf)
        # Rounding can give equal values a different mean and a tiny non-zero standard deviation, an invalid divisor.
        mean[part] = np.where(constant, minimum, np.mean(block, axis=0, where=measured))
        sd[part] = np.where(constant, 1.0, np.std(block, axis=0, where=measured))
    return mean.tolist(), sd.tolist()


def transform_labels(labels: np.ndarray, transform: ExpressionTransform) -> np.ndarray:
    """Transform labels in place and return them; computed block by block in double precision.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN marks missing values.
    transform: ExpressionTransform

    Returns
    -------
    numpy.ndarray
        The same array.

    Raises
    ------
    InputError
        A transformed value exceeds the range of float32.

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
            raise InputError(f"targets.transform {transform.kind} gives values that exceed the range of 32-bit numbers.")
        block[:] = transformed
    return labels
