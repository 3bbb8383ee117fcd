"""Effects on either side of a contrast: on its on-tasks and on its off-tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from cisnake.interpret.probe import controls

TESTS, SIDES, _VALUES = ("deletion", "insertion"), ("on", "off"), ("mean", "low", "high")
SIDE_COLUMNS = tuple(f"{test}_{side}_{value}" for test in TESTS for side in SIDES for value in _VALUES)

# Minimum ratio of the effect on one side to that on the other side for both to be named.
LEAST_SIDE = 1 / 4


def side_effects(deleted: np.ndarray, inserted: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    """Return the mean effects on on-tasks and on off-tasks, with 95 % bootstrap intervals, as in `controls.interval`.

    Parameters
    ----------
    deleted, inserted: numpy.ndarray, shape=(n, 3) or (n, 1), dtype=float64
        Effects of deleting sites and of inserting the motif, on the sums of `Contrast.side_weights`.
    rng: numpy.random.Generator

    Returns
    -------
    dict
        The columns of `SIDE_COLUMNS`; those of off-tasks are NaN if the contrast has none.
    """
    row: dict[str, float] = {}
    for test, sums in zip(TESTS, (deleted, inserted), strict=True):
        for side, column in zip(SIDES, (1, 2) if sums.shape[1] > 1 else (0, None), strict=True):
            values = (np.nan,) * 3 if column is None else controls.interval(sums[:, column], rng)
            row |= zip((f"{test}_{side}_{value}" for value in _VALUES), values, strict=True)
    return row


def moves_of(row: Any) -> str:
    """Return the sides that inserting a motif moves, for a row of effects; empty without off-tasks."""
    if np.isnan(row.insertion_off_mean):
        return ""
    on, off = ([getattr(row, f"insertion_{side}_{value}") for value in _VALUES] for side in SIDES)
    return moved_sides(on, off)


def moved_sides(on: Sequence[float], off: Sequence[float]) -> str:
    """Return which sides of a contrast an effect moves: "raises_on", "lowers_off" etc., the larger first, with a comma.

    A side moves if its interval excludes 0, and if its effect is at least `LEAST_SIDE` of that on the other side.

    Parameters
    ----------
    on, off: sequence of three floats
        Mean effect on the side, and its 95 % interval.

    Examples
    --------
    >>> from cisnake.interpret.probe.sides import moved_sides
    >>> moved_sides((0.02, 0.01, 0.03), (-0.5, -0.6, -0.4)), moved_sides((0.9, 0.8, 1.0), (-0.5, -0.6, -0.4))
    ('lowers_off', 'raises_on,lowers_off')
    """
    largest = max(abs(on[0]), abs(off[0]))
    found = [
        (abs(mean), f"{'raises' if mean > 0 else 'lowers'}_{side}")
        for side, (mean, low, high) in zip(SIDES, (on, off), strict=True)
        if (low > 0 or high < 0) and abs(mean) >= LEAST_SIDE * largest
    ]
    return ",".join(name for _, name in sorted(found, key=lambda side: -side[0]))
