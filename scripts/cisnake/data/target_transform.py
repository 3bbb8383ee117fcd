"""How measurements were squashed before training, and back."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from cisnake.errors import InputError, unknown_name

ORDERS = ("new", "old")


@dataclass(frozen=True)
class TargetTransform:
    """Scale, power and soft clip of targets, as Basenji and Baskerville apply them, and their inverse.

    - order "new": s = scale x, then p = (1 + s)^power - 1, then p above clip_soft becomes
      clip_soft - 1 + sqrt(p - clip_soft + 1);
    - order "old" (the Borzoi paper): p = x^power, then p above clip_soft becomes clip_soft + sqrt(p - clip_soft), then all is
      multiplied by scale.

    Both are undone in the opposite order. Predictions are squashed values too: what was trained on transformed targets is
    brought back to coverage by `inverse`.

    Parameters
    ----------
    scale: float or tuple of float
        One for all tasks or one each; above 0. Default 1.
    power: float or tuple of float
        `track_transform`: 0.75, or 0.5 for a square root; above 0. Default 1.
    clip_soft: float or tuple of float, optional
        Above it values are compressed; infinity for a task without. Default None, no task has one.
    order: str
        "new" (default) or "old".

    Raises
    ------
    InputError
        The order is unknown, or scale or power is not above 0.
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
        for name in ("scale", "power"):
            if not (np.asarray(getattr(self, name)) > 0).all():
                raise InputError(f"{name} of a target transform is {getattr(self, name)}: it must be above 0.")

    def forward(self, values: Any, numpy: Any = np) -> Any:
        """Return measurements as models are trained on them.

        Parameters
        ----------
        values: array of float, shape=(..., tasks)
            At least 0; with order "new" at least -1 / scale.
        numpy: module
            Where `maximum`, `sqrt`, `power`, `expm1` and `log1p` for such arrays are found: numpy (default) or `keras.ops`.

        Returns
        -------
        array of the same shape and dtype
        """
        scale, clip, power = self._constants(values)
        if self.order == "old":
            values = numpy.power(values, power)
            excess = 0 if clip is None else numpy.maximum(values - clip, 0 * scale)
            return (values if clip is None else values + (numpy.sqrt(excess) - excess)) * scale
        # As (1 + s)^power - 1, but a small s keeps its digits.
        values = numpy.expm1(power * numpy.log1p(scale * values))
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
        return numpy.expm1(numpy.log1p(values) / power) / scale

    def _constants(self, values: Any) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
        """Return scale, clip_soft and power in the precision of the values."""
        kind = values.dtype.name
        clip = None if self.clip_soft is None else np.asarray(self.clip_soft, kind)
        return np.asarray(self.scale, kind), clip, np.asarray(self.power, kind)
