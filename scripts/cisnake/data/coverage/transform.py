"""How measurements were squashed before training, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.coverage.tracks import SUM_STATS
from cisnake.errors import InputError, unknown_name

ORDERS = ("new", "old")

# The power that order "old" takes of every statistic whose name asks for one.
_OLD_POWER = 0.75

KIND = "coverage"


@dataclass(frozen=True)
class TargetTransform:
    """Scale, power and soft clip of targets, as Basenji and Baskerville apply them, and their inverse.

    - order "new": s = scale x, then p = (1 + s)^power - 1, then p above clip_soft becomes
      clip_soft - 1 + sqrt(p - clip_soft + 1);
    - order "old" (the Borzoi paper): p = x^power, then p above clip_soft becomes clip_soft + sqrt(p - clip_soft), then all is
      multiplied by scale.

    Both are undone in the opposite order. Predictions are squashed values too: what was trained on transformed targets is
    brought back to coverage by `inverse`. A hard clip is no part of it: what it cuts off is gone.

    Parameters
    ----------
    scale: float or tuple of float
        One for all tasks or one each; above 0. Default 1.
    power: float or tuple of float
        `track_transform`: 0.75, or 0.5 for a square root; above 0. Default 1.
    clip_soft: float or tuple of float, optional
        Above it values are compressed; infinity for a task without. Default None, no task has one (kept so too when all are
        infinity).
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
        """Return measurements as models are trained on them.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            At least 0, with order "new" at least -1 / scale, in tasks whose power is not 1.
        numpy: module
            Where `maximum`, `sqrt`, `power`, `expm1`, `log1p` and `where` for such arrays are found: numpy (default) or
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
        """Return what `forward` was given.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            Transformed measurements, or predictions of a model trained on them; NaN where a power of a negative number would
            have to be taken (predictions below 0, with order "new" below -1).
        numpy: module
            As of `forward`.

        Returns
        -------
        array of the same shape and dtype
        """
        scale, clip, power = self._constants(values)
        old = self.order == "old"
        if old:
            values = values / scale
        if clip is not None:
            # (e + 1)^2 + c - 1 and e^2 + c for values c + e, written so that a clip at infinity has a gradient.
            excess = numpy.maximum(values - clip, 0 * scale)
            values = values + (excess * excess - excess if old else excess * excess + excess)
        if old:
            return numpy.power(values, 1 / power)
        return _raise(values, 1 / power, numpy) / scale

    def of_task(self, task: int) -> TargetTransform:
        """Return the transform of one task, by its place."""
        each = {name: value[task] for name, value in vars(self).items() if isinstance(value, tuple)}
        return replace(self, **each)

    def to_dict(self) -> dict[str, Any]:
        """Return the transform as JSON can hold it, with the key `kind`; a task without a soft clip has null."""
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        if isinstance(self.clip_soft, tuple):
            values["clip_soft"] = [None if np.isposinf(clip) else clip for clip in self.clip_soft]
        return {"kind": KIND, **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TargetTransform:
        """Return the transform that `to_dict` described.

        Raises
        ------
        InputError
            The kind is not "coverage", or a key is unknown.
        """
        values = dict(values)
        if values.get("kind") != KIND:
            raise InputError(f"a target transform of kind {values.get('kind')!r} is none of coverage, which has kind '{KIND}'.")
        del values["kind"]
        for key in values.keys() - {field.name for field in fields(cls)}:
            raise unknown_name("key of a target transform", key, [field.name for field in fields(cls)])
        if isinstance(values.get("clip_soft"), list):
            values["clip_soft"] = [np.inf if c is None else c for c in values["clip_soft"]]
        return cls(**values)

    def _constants(self, values: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return scale, clip_soft and power in the precision of the values."""
        kind = values.dtype.name
        clip = None if self.clip_soft is None else np.asarray(self.clip_soft, kind)
        return np.asarray(self.scale, kind), clip, np.asarray(self.power, kind)


def _raise(values: Any, power: np.ndarray, numpy: Any) -> Any:
    """Return (1 + values)^power - 1; a small value keeps its digits, and a power of 1 changes nothing, below -1 either."""
    linear = power == 1
    if linear.all():
        return values
    # Tasks of power 1 are kept out of the logarithm too: of values below -1 it would be NaN, and so would be its gradient.
    raised = numpy.expm1(power * numpy.log1p(numpy.where(linear, 0 * power, values) if linear.any() else values))
    return numpy.where(linear, values, raised) if linear.any() else raised


def transform_of(tracks: pd.DataFrame, order: str = "new") -> TargetTransform:
    """Return what makes labels of pooled coverage: the one transform of all tasks of a table of tracks.

    Parameters
    ----------
    tracks: pandas.DataFrame
        From `tracks.read_tracks`; its sum_stat, scale and clip_soft are used. The sign of scale is none of the transform's: it
        is taken of the file's values before all else, so that `inverse` gives coverage above 0, and gives the same for both
        strands, of which one may be stored below 0.
    order: str
        "new" (default): the power of a sum_stat is its own (sum_sqrt 0.5, sum_exp75 0.75). "old" (the Borzoi paper): it is
        0.75 for all that have one.

    Returns
    -------
    TargetTransform
        `peak` has its scale inside its own square root with order "new", before the cut at 1, and so has none here: its
        labels stay what they are.

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
