"""Filters and dilations of the steps of a tower."""

from __future__ import annotations

import math

import numpy as np


def tower_filters(
    filters_init: int, filters_end: int | None, filters_mult: float | None, divisible_by: int, repeat: int
) -> list[int]:
    """Return the filters of each step of a tower: `filters_init` times powers of `filters_mult`, rounded.

    Parameters
    ----------
    filters_init, filters_end: int
        Filters of the first and of the last step.
    filters_mult: float
        Factor between successive steps. None: computed from `filters_end`.
    divisible_by: int
        Filters are rounded to multiples of it.
    repeat: int
        Number of steps.
    """
    if filters_mult is None:
        if filters_end is None:
            raise ValueError("set filters_end or filters_mult.")
        filters_mult = math.exp(math.log(filters_end / filters_init) / (repeat - 1)) if repeat > 1 else 1.0
    filters, steps = float(filters_init), []
    for _ in range(repeat):
        steps.append(int(np.round(filters / divisible_by) * divisible_by))
        filters *= filters_mult
    return steps


def dilations(rate_mult: float, repeat: int, rounded: bool = False) -> list[int]:
    """Return the dilation of each step: rounded powers of `rate_mult`; if `rounded`, each multiplies the last rounded rate."""
    rate, steps = 1.0, []
    for _ in range(repeat):
        steps.append(int(np.round(rate)))
        rate *= rate_mult
        rate = float(np.round(rate)) if rounded else rate
    return steps
