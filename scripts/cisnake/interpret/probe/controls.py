"""Tests of effects against controls, and confidence intervals of mean effects."""

from __future__ import annotations

import numpy as np
from scipy.stats import bootstrap

# Minimum number of controls for a central 95 % interval: the range of n draws covers (n - 1) / (n + 1) of the distribution.
FEWEST_CONTROLS = 39

_RESAMPLES = 2000
_PERMUTATIONS = 9999


def central(controls: np.ndarray) -> tuple[float, float]:
    """Return the interval outside which a further control falls with 5 % probability; NaN for too few controls.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.probe import controls
    >>> low, high = controls.central(np.arange(39.0))
    >>> low, high, controls.moves(np.array([-1.0, 5.0, 40.0]), low, high).tolist()
    (0.0, 38.0, [-1, 0, 1])
    """
    if len(controls) < FEWEST_CONTROLS:
        return np.nan, np.nan
    low, high = np.quantile(controls, [0.025, 0.975], method="weibull")
    return float(low), float(high)


def moves(effects: float | np.ndarray, low: float, high: float) -> np.ndarray:
    """Return -1 for effects below an interval, 1 above it, 0 within it or if it is NaN; shape of `effects`, dtype=int64."""
    return np.greater(effects, high).astype(np.int64) - np.less(effects, low)


def permutation_p(effects: np.ndarray, control: np.ndarray, site: np.ndarray, rng: np.random.Generator) -> float:
    """Return the two-sided permutation p-value of the mean effect of sites, each exchanged with its own controls.

    Parameters
    ----------
    effects: numpy.ndarray, shape=(spots,), dtype=float64
    control: numpy.ndarray, shape=(spots,), dtype=bool
    site: numpy.ndarray, shape=(spots,), dtype=int64
        Index of the site itself or, for a control, of its site. Sites without controls are left out.
    rng: numpy.random.Generator

    Returns
    -------
    float
        At least 1 / (permutations + 1); NaN without controls.

    Examples
    --------
    Ten sites, each with four controls without effect:

    >>> import numpy as np
    >>> from cisnake.interpret.probe.controls import permutation_p
    >>> site, control = np.repeat(np.arange(10), 5), np.tile([False, True, True, True, True], 10)
    >>> permutation_p(np.where(control, 0.0, 1.0), control, site, np.random.default_rng(0))
    0.0001
    """
    size = np.bincount(site)
    used = size[site] > 1
    if not used.any():
        return np.nan
    # Sort each group so that it starts with its site.
    order = np.lexsort((control[used], site[used]))
    values, size = effects[used][order], size[size > 1]
    first = np.cumsum(size) - size
    picks = first + (rng.random((_PERMUTATIONS, len(size))) * size).astype(np.int64)
    centre = (np.add.reduceat(values, first) / size).mean()
    # Permuted means that differ only by rounding count as equal.
    reached = np.abs(values[picks].mean(axis=1) - centre) >= abs(values[first].mean() - centre) * (1 - 1e-9)
    return float((1 + np.count_nonzero(reached)) / (1 + _PERMUTATIONS))


def interval(effects: np.ndarray, rng: np.random.Generator) -> tuple[float, float, float]:
    """Return the mean of effects and its 95 % bootstrap interval.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.probe.controls import interval
    >>> mean, low, high = interval(np.array([1.0, 2.0, 2.0, 3.0]), np.random.default_rng(0))
    >>> mean, low, high
    (2.0, 1.25, 2.75)
    """
    if len(effects) < 2:
        return (float(effects[0]) if len(effects) else np.nan), np.nan, np.nan
    resampled = bootstrap((effects,), np.mean, n_resamples=_RESAMPLES, method="percentile", rng=rng)
    low, high = resampled.confidence_interval
    return float(effects.mean()), float(low), float(high)
