"""The transform applied to expression before training, and its inverse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.program import log

KINDS = ("none", "log1p", "zscore", "cpm", "log1p_cpm", "log2_cpm")
_LIBRARY = ("cpm", "log1p_cpm", "log2_cpm")
# The factor of the natural logarithm in each kind that takes one.
_LOGARITHMS = {"log1p": 1.0, "log1p_cpm": 1.0, "log2_cpm": 1 / math.log(2)}
_STATISTICS = {"zscore": ("mean", "sd"), **dict.fromkeys(_LIBRARY, ("library",))}
# First and last step of each kind: 1 counts per million, 2 logarithm, 3 z-score. The steps of a list increase.
_STEPS = {"cpm": (1, 1), "log1p": (2, 2), "log1p_cpm": (1, 2), "log2_cpm": (1, 2), "zscore": (3, 3)}
_BLOCK_CELLS = 4_000_000
# Share of the counts of the median task above which ids that the annotation lacks are reported.
_LARGE_SHARE = 0.1


def check_kinds(kind: str | Sequence[str]) -> tuple[str, ...]:
    """Return the kinds of `targets.transform` in the order in which they are applied.

    Parameters
    ----------
    kind: str or sequence of str
        One of `KINDS`, or several that make sense one after the other.

    Raises
    ------
    InputError
        A kind is unknown, or cannot follow the one before it.

    Examples
    --------
    >>> from cisnake.data.matrix import check_kinds
    >>> check_kinds("log1p"), check_kinds(["log2_cpm", "zscore"])
    (('log1p',), ('log2_cpm', 'zscore'))
    >>> check_kinds(["zscore", "log1p"])
    Traceback (most recent call last):
        ...
    cisnake.errors.InputError: targets.transform has log1p after zscore: put zscore last.
    """
    kinds = (kind,) if isinstance(kind, str) else tuple(kind)
    if not kinds:
        raise InputError("targets.transform is an empty list: use none.")
    for name in kinds:
        if name not in KINDS:
            raise unknown_name("targets.transform", str(name), KINDS)
    if "none" in kinds and len(kinds) > 1:
        raise InputError("targets.transform has none in a list with others: remove none.")
    for first, second in pairwise(kinds):
        if _STEPS[second][0] <= _STEPS[first][1]:
            raise InputError(f"targets.transform {_clash(first, second)}.")
    return kinds


def _clash(first: str, second: str) -> str:
    if first == second:
        return f"has {first} twice: remove one"
    if first == "zscore":
        return f"has {second} after zscore: put zscore last"
    if first == "cpm":
        return f"has {second} after cpm, which would divide by the library size twice: remove cpm"
    if second in _LIBRARY:
        return (
            f"has {second} after {first}, but counts per million cannot be computed from logarithms: use log1p_cpm or log2_cpm"
        )
    return f"has {second} after {first}, which already takes the logarithm: remove {second}"


@dataclass(frozen=True)
class ExpressionTransform:
    """Transform of the measurements of each task, and its inverse.

    - "none": no change;
    - "log1p": log(1 + x);
    - "zscore": (x - mean) / sd;
    - "cpm": 1e6 x / library, counts per million;
    - "log1p_cpm": log(1 + 1e6 x / library);
    - "log2_cpm": log2(1 + 1e6 x / library).

    Several kinds are applied in order. Missing values (NaN) stay missing in both directions. A task that is constant over the
    training genes has sd 1: its z-scores are 0, and the inverse returns the constant.

    Parameters
    ----------
    kind: str or sequence of str
        One of `KINDS`, or several. Default "none".
    mean, sd: sequence of float, or of sequences of float, optional
        For "zscore": mean and standard deviation per task, shape (tasks,), or per fold and task, shape (folds, tasks); sd above
        0. They are those of the values to which the kinds before "zscore" have been applied.
    library: sequence of float, optional
        For "cpm", "log1p_cpm" and "log2_cpm": sum per task over the genes that count, including genes not used in the run;
        above 0.

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

    kind: str | Sequence[str] = "none"
    mean: Sequence[Any] | None = None
    sd: Sequence[Any] | None = None
    library: Sequence[float] | None = None

    def __post_init__(self) -> None:
        kinds = check_kinds(self.kind)
        object.__setattr__(self, "kind", kinds[0] if len(kinds) == 1 else kinds)
        for name in ("mean", "sd", "library"):
            value, needed = getattr(self, name), name in self._statistics()
            if needed != (value is not None):
                raise InputError(f"transform {self.label} {'needs' if needed else 'has no'} {name}.")
            if value is None:
                continue
            value = np.asarray(value, np.float64)
            if not np.isfinite(value).all() or (name != "mean" and not (value > 0).all()):
                raise InputError(f"{name} of transform {self.label} must be finite{'' if name == 'mean' else ' and above 0'}.")
            object.__setattr__(self, name, tuple(map(tuple, value.tolist())) if value.ndim == 2 else tuple(value.tolist()))
        if np.shape(self.mean or ()) != np.shape(self.sd or ()):
            n_means, n_sds = np.size(self.mean or ()), np.size(self.sd or ())
            raise InputError(f"transform zscore has {n_means} means and {n_sds} standard deviations.")

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds in the order in which they are applied."""
        return (self.kind,) if isinstance(self.kind, str) else tuple(self.kind)

    @property
    def label(self) -> str:
        """The kinds as text for messages."""
        return ", ".join(self.kinds)

    @property
    def n_folds(self) -> int:
        """Number of folds with statistics of their own; 1 if the statistics apply to all genes."""
        return len(self.mean) if self.mean is not None and np.ndim(self.mean) == 2 else 1

    def forward(self, values: Any, numpy: Any = np, folds: Any = None) -> Any:
        """Transform measurements to the scale on which models are trained.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
        numpy: module
            Module with `log1p` and `expm1` for arrays like `values`: numpy (default) or `keras.ops`.
        folds: int, or numpy.ndarray of int, shape=(...), optional
            The fold whose statistics are used, for all values or for each row. Required if the statistics differ between folds.

        Returns
        -------
        array of the same shape and dtype
        """
        for kind in self.kinds:
            if kind == "zscore":
                values = (values - self._constant("mean", values, folds)) / self._constant("sd", values, folds)
            if kind in _LIBRARY:
                values = values * (1e6 / self._constant("library", values))
            if kind in _LOGARITHMS:
                values = numpy.log1p(values)
                values = values if _LOGARITHMS[kind] == 1 else values * _LOGARITHMS[kind]
        return values

    def inverse(self, values: Any, numpy: Any = np, folds: Any = None) -> Any:
        """Invert `forward`: return values, such as predictions, on the scale of the matrix.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            Predictions may be outside the range of measurements: log1p of a count is never below 0, but a prediction may be,
            and its inverse is then a negative count.
        numpy: module
            As for `forward`.
        folds: int, or numpy.ndarray of int, shape=(...), optional
            The fold whose models predicted the values. Required if the statistics differ between folds.

        Returns
        -------
        array of the same shape and dtype
        """
        for kind in reversed(self.kinds):
            if kind == "zscore":
                values = values * self._constant("sd", values, folds) + self._constant("mean", values, folds)
            if kind in _LOGARITHMS:
                values = numpy.expm1(values if _LOGARITHMS[kind] == 1 else values / _LOGARITHMS[kind])
            if kind in _LIBRARY:
                values = values * (self._constant("library", values) / 1e6)
        return values

    def inverse_effects(self, effects: Any, reference: Any, numpy: Any = np, folds: Any = None) -> Any:
        """Return effects, such as those of variants, on the scale of the matrix.

        An effect becomes inverse(reference + effect) - inverse(reference). It is computed without this subtraction of similar
        numbers, so that small effects keep their precision.

        Parameters
        ----------
        effects: array of float, shape=(..., tasks)
            Differences between two predictions, on the scale of the labels.
        reference: array of float, shape=(..., tasks)
            The prediction from which the effects are counted, on the scale of the labels.
        numpy, folds
            As for `inverse`.

        Returns
        -------
        array of the same shape and dtype

        Examples
        --------
        >>> import numpy as np
        >>> from cisnake.data.matrix import ExpressionTransform
        >>> doubled = ExpressionTransform("log2_cpm", library=[1e6]).inverse_effects(np.array([[1.0]]), np.array([[3.0]]))
        >>> doubled.round(9).tolist()  # 1 + x rises from 8 to 16
        [[8.0]]
        """
        for kind in reversed(self.kinds):
            step = ExpressionTransform(kind, **{name: getattr(self, name) for name in _STATISTICS.get(kind, ())})
            if kind == "zscore":
                effects = effects * self._constant("sd", effects, folds)
            if kind in _LOGARITHMS:
                factor = 1 / _LOGARITHMS[kind]
                effects = numpy.expm1(effects * factor) * (numpy.expm1(reference * factor) + 1)
            if kind in _LIBRARY:
                effects = effects * (self._constant("library", effects) / 1e6)
            reference = step.inverse(reference, numpy, folds)
        return effects

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary of `kind` and its statistics."""
        kind = self.kind if isinstance(self.kind, str) else list(self.kind)
        return {"kind": kind, **{name: np.asarray(getattr(self, name)).tolist() for name in self._statistics()}}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ExpressionTransform:
        """Create a transform from the dictionary of `to_dict`."""
        return cls(**stored)

    def _statistics(self) -> tuple[str, ...]:
        return tuple(name for kind in self.kinds for name in _STATISTICS.get(kind, ()))

    def _constant(self, name: str, values: Any, folds: Any = None) -> np.ndarray:
        """Return a statistic in the dtype of floating-point values, so that results keep it; float64 for integer values."""
        dtype_name = str(values.dtype.name)
        dtype = "float64" if dtype_name == "bool" or "int" in dtype_name else dtype_name
        statistic = np.asarray(getattr(self, name), dtype)
        if name == "library" or statistic.ndim == 1:
            return statistic
        if folds is None:
            raise InputError(f"the {name} of transform {self.label} differs between folds: pass the folds of the values.")
        return statistic[folds]


def fit_transform(
    kind: str | Sequence[str],
    values: np.ndarray,
    train: np.ndarray | Sequence[np.ndarray],
    genes: pd.Index | None = None,
    tasks: list[str] | None = None,
    annotated: np.ndarray | None = None,
    only_annotated: bool = False,
) -> ExpressionTransform:
    """Fit a transform to a matrix.

    Parameters
    ----------
    kind: str or sequence of str
        One of `KINDS`, or several that are applied in order.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        The whole matrix: library sizes include genes that the run does not use. Missing values (NaN) are ignored.
    train: numpy.ndarray, shape=(n,), dtype=int, or sequence of such arrays
        Rows of the training genes; with several folds, those of each fold. Mean and standard deviation are computed from these
        only.
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
        With statistics per fold if there are several.

    Raises
    ------
    InputError
        The kinds cannot follow each other; they require counts and a value is negative; a task has no counts; or a task has no
        value in any training gene.

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
    kinds = check_kinds(kind)
    if kinds[0] in (*_LIBRARY, *_LOGARITHMS):
        _refuse_negative(kinds[0], values, genes, tasks)
    library = None
    if kinds[0] in _LIBRARY:
        annotated = np.ones(len(values), bool) if annotated is None else annotated
        library = _library(kinds[0], values, genes, tasks, annotated, only_annotated)
    if "zscore" not in kinds:
        return ExpressionTransform(kinds, library=library)
    before = ExpressionTransform(kinds[:-1] or "none", library=library)
    folds = [train] if isinstance(train, np.ndarray) else train
    of = [""] if len(folds) == 1 else [f" of fold {fold}" for fold in range(len(folds))]
    statistics = [_mean_and_sd(values, rows, tasks, before, of_fold) for rows, of_fold in zip(folds, of, strict=True)]
    if len(folds) == 1:
        return ExpressionTransform(kinds, *statistics[0], library)
    return ExpressionTransform(kinds, [mean for mean, _ in statistics], [sd for _, sd in statistics], library)


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


def _mean_and_sd(
    values: np.ndarray, train: np.ndarray, tasks: list[str], before: ExpressionTransform, of_fold: str
) -> tuple[list[float], list[float]]:
    """Return mean and standard deviation (over n) of each task, after the transform `before`; shape=(tasks,), dtype=float64."""
    mean, sd = np.zeros(values.shape[1]), np.ones(values.shape[1])
    columns = max(1, _BLOCK_CELLS // max(1, len(train)))
    for first in range(0, values.shape[1], columns):
        part = slice(first, first + columns)
        block = values[:, part][train].astype(np.float64)
        measured = np.isfinite(block)
        if not measured.any(axis=0).all():
            task = tasks[first + int(np.argmin(measured.any(axis=0)))]
            raise InputError(
                f"task {task} has no value in any training gene{of_fold}: z-scores are undefined; drop such tasks with "
                "targets.filters.tasks.max_missing."
            )
        minimum = np.min(block, axis=0, where=measured, initial=np.inf)
        constant = minimum == np.max(block, axis=0, where=measured, initial=-np.inf)
        of_part = replace(before, library=before.library and before.library[part])
        block, minimum = of_part.forward(block), of_part.forward(minimum)
        # Rounding can give equal values a different mean and a tiny non-zero standard deviation, an invalid divisor.
        mean[part] = np.where(constant, minimum, np.mean(block, axis=0, where=measured))
        sd[part] = np.where(constant, 1.0, np.std(block, axis=0, where=measured))
    return mean.tolist(), sd.tolist()


def transform_labels(labels: np.ndarray, transform: ExpressionTransform, folds: np.ndarray | None = None) -> np.ndarray:
    """Transform labels in place and return them; computed block by block in double precision.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN marks missing values.
    transform: ExpressionTransform
    folds: numpy.ndarray, shape=(genes,), dtype=int, optional
        The fold whose statistics each gene gets. Required if the statistics differ between folds.

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
    for first, block in _blocks(labels):
        of_block = None if folds is None else folds[first : first + len(block)]
        transformed = transform.forward(block.astype(np.float64), folds=of_block)
        if (np.abs(transformed) > np.finfo(np.float32).max).any():
            raise InputError(f"targets.transform {transform.label} gives values that exceed the range of 32-bit numbers.")
        block[:] = transformed
    return labels
