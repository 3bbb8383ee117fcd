"""The transform applied to coverage before training, and its inverse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.coverage.tracks import SUM_STATS
from cisnake.errors import InputError, unknown_name

ORDERS = ("new", "old")

# With order "old", the power of every sum_stat that has one.
_OLD_POWER = 0.75

KIND = "coverage"


@dataclass(frozen=True)
class TargetTransform:
    """Scale, power and soft clip of targets, as in Basenji and Baskerville, and their inverse.

    - order "new": s = scale x, then p = (1 + s)^power - 1, then p above clip_soft becomes
      clip_soft - 1 + sqrt(p - clip_soft + 1);
    - order "old" (the Borzoi paper): p = x^power, then p above clip_soft becomes clip_soft + sqrt(p - clip_soft), then the
      result is multiplied by scale.

    The inverse applies the inverse steps in reverse order. It also converts predictions of models trained on transformed
    targets to coverage. The hard clip is not part of the transform, because it cannot be inverted.

    Parameters
    ----------
    scale: float or tuple of float
        One value for all tasks or one per task; above 0. Default 1.
    power: float or tuple of float
        `track_transform` of Borzoi: 0.75, or 0.5 for a square root; above 0. Default 1.
    clip_soft: float or tuple of float, optional
        Values above it are compressed; infinity for tasks without a soft clip. Default None: no task has one. If all values
        are infinity, they are replaced by None.
    order: str
        "new" (default) or "old".

    Raises
    ------
    InputError
        The order is unknown, or scale or power is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.coverage import TargetTransform
    >>> transform = TargetTransform(power=0.5, clip_soft=4.0)
    >>> transform.forward(np.array([[3.0], [99.0]])).round(3).tolist()
    [[1.0], [5.449]]
    >>> transform.inverse(transform.forward(np.array([[3.0], [99.0]]))).round(6).tolist()
    [[3.0], [99.0]]
    """

    scale: float | tuple[float, ...] = 1.0
    power: float | tuple[float, ...] = 1.0
    clip_soft: float | tuple[float, ...] | None = None
    order: str = "new"

    def __post_init__(self) -> None:
        if self.order not in ORDERS:
            raise unknown_name("order of a target transform", self.order, ORDERS)
        for field in fields(self)[:3]:
            value = getattr(self, field.name)
            if isinstance(value, (list, np.ndarray)):
                object.__setattr__(self, field.name, tuple(np.asarray(value, float).tolist()))
        if self.clip_soft is not None and np.isposinf(self.clip_soft).all():
            object.__setattr__(self, "clip_soft", None)
        for name in ("scale", "power"):
            if not (np.asarray(getattr(self, name)) > 0).all():
                raise InputError(f"{name} of a target transform is {getattr(self, name)}: it must be above 0.")

    def forward(self, values: Any, numpy: Any = np) -> Any:
        """Transform coverage to the scale on which models are trained.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            In tasks whose power is not 1, values must be at least 0 (with order "new", at least -1 / scale).
        numpy: module
            Module with `maximum`, `sqrt`, `power`, `expm1`, `log1p` and `where` for arrays like `values`: numpy (default) or
            `keras.ops`.

        Returns
        -------
        array of the same shape and dtype
        """
        scale, clip, power = self._constants(values)
        if self.order == "old":
            values = numpy.power(values, power)
            excess = 0 if clip is None else numpy.maximum(values - clip, 0 * scale)
            return (values if clip is None else values + (numpy.sqrt(excess) - excess)) * scale
        values = _raise(scale * values, power, numpy)
        if clip is None:
            return values
        excess = numpy.maximum(values - clip, 0 * scale)
        return values + (numpy.sqrt(1 + excess) - 1 - excess)

    def inverse(self, values: Any, numpy: Any = np) -> Any:
        """Invert `forward`: return coverage.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            Transformed coverage, or predictions of a model trained on it.
        numpy: module
            As for `forward`.

        Returns
        -------
        array of the same shape and dtype
            NaN where the inverse takes a power of a negative number: values below 0 (with order "new", below -1) in tasks
            whose power is not 1.
        """
        scale, clip, power = self._constants(values)
        old = self.order == "old"
        if old:
            values = values / scale
        if clip is not None:
            # For values c + e: (e + 1)^2 + c - 1 and e^2 + c, written so that the gradient is finite if the clip is infinity.
            excess = numpy.maximum(values - clip, 0 * scale)
            values = values + (excess * excess - excess if old else excess * excess + excess)
        if old:
            return numpy.power(values, 1 / power)
        return _raise(values, 1 / power, numpy) / scale

    def of_task(self, task: int) -> TargetTransform:
        """Return the transform of a single task, by index."""
        task_values = {name: value[task] for name, value in vars(self).items() if isinstance(value, tuple)}
        return replace(self, **task_values)

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON-serialisable dictionary with the key `kind`; clip_soft is None for tasks without a soft clip."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        if isinstance(self.clip_soft, tuple):
            values["clip_soft"] = [None if np.isposinf(clip) else clip for clip in self.clip_soft]
        return {"kind": KIND, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TargetTransform:
        """Create a transform from the dictionary of `to_dict`.

        Raises
        ------
        InputError
            The kind is not "coverage", or a key is unknown.
        """
        values = dict(values)
        if values.get("kind") != KIND:
            raise InputError(
                f"the kind of the target transform is {values.get('kind')!r}: transforms of coverage are '{KIND}'."
            )
        del values["kind"]
        for key in values.keys() - {field.name for field in fields(cls)}:
            raise unknown_name("key of a target transform", key, [field.name for field in fields(cls)])
        if isinstance(values.get("clip_soft"), list):
            values["clip_soft"] = [np.inf if c is None else c for c in values["clip_soft"]]
        return cls(**values)

    def _constants(self, values: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return scale, clip_soft and power in the dtype of the values."""
        dtype = values.dtype.name
        clip = None if self.clip_soft is None else np.asarray(self.clip_soft, dtype)
        return np.asarray(self.scale, dtype), clip, np.asarray(self.power, dtype)


def _raise(values: Any, power: np.ndarray, numpy: Any) -> Any:
    """Return (1 + values)^power - 1, accurate for small values; values are unchanged if the power is 1, even below -1."""
    linear = power == 1
    if linear.all():
        return values
    # Mask tasks of power 1 before the logarithm too: for values below -1 it is NaN, which would make the gradient NaN.
    raised = numpy.expm1(power * numpy.log1p(numpy.where(linear, 0 * power, values) if linear.any() else values))
    return numpy.where(linear, values, raised) if linear.any() else raised


def transform_of(tracks: pd.DataFrame, order: str = "new") -> TargetTransform:
    """Return the transform from pooled coverage to labels, for all tasks of a table of tracks.

    Parameters
    ----------
    tracks: pandas.DataFrame
        As from `tracks.read_tracks`; uses the columns sum_stat, scale and clip_soft. The sign of scale is not part of the
        transform: it is applied to the file's values first. `inverse` thus returns positive coverage for both strands, even if
        one strand is stored as negative values.
    order: str
        "new" (default): each sum_stat has its own power (sum_sqrt 0.5, sum_exp75 0.75). "old" (the Borzoi paper): the power is
        0.75 for every sum_stat that has one.

    Returns
    -------
    TargetTransform
        With order "new", tracks with sum_stat `peak` have scale 1 here, because pooling applies their scale within the square
        root, before the limit of 1.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.data.coverage import transform_of
    >>> tracks = pd.DataFrame({"sum_stat": ["sum", "sum_sqrt"], "scale": [0.5, -2.0], "clip_soft": [np.inf, 32.0]})
    >>> transform = transform_of(tracks)
    >>> transform.scale, transform.power, transform.clip_soft
    ((0.5, 2.0), (1.0, 0.5), (inf, 32.0))
    """
    powers = np.array([SUM_STATS[name][1] for name in tracks["sum_stat"]])
    scale = tracks["scale"].abs().to_numpy(float)
    if order == "old":
        powers = np.where(powers == 1, 1.0, _OLD_POWER)
    else:
        scale = np.where(tracks["sum_stat"] == "peak", 1.0, scale)
    return TargetTransform(tuple(scale.tolist()), tuple(powers.tolist()), tuple(tracks["clip_soft"].astype(float)), order)
