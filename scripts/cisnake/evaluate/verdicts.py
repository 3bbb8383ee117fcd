"""What a score means, in one of a few words."""

from __future__ import annotations

from cisnake.evaluate.intervals import Interval

WELL_ABOVE = "well above the baseline"
AT_BASELINE = "at the baseline"
BELOW = "below the baseline"
NO_BETTER = "no better than the mean"
UNKNOWN = "unknown"

NOT_TO_INTERPRET = (NO_BETTER, BELOW)
"""Verdicts with which peaks, motifs and genes should not be interpreted."""

# A smaller gain in r is not worth a network.
_LEAST_GAIN = 0.02


def judge(
    pearson: float | None,
    r2: float | None,
    baseline_pearson: float | None,
    intervals: dict[str, Interval | None] | None,
) -> str:
    """Return the verdict on a model.

    Parameters
    ----------
    pearson, r2: float or None
        Scores of the model; None where undefined.
    baseline_pearson: float or None
        Pearson correlation of the baseline.
    intervals: dict of str to tuple of float, optional
        Intervals of `pearson`, `r2` and `difference` (model minus baseline, Pearson). None if there are too few genes.

    Returns
    -------
    str
        "no better than the mean": the upper end of R² or the lower end of r is at most 0 (without intervals: R² or r itself).
        "below the baseline": the upper end of the difference is below 0. "well above the baseline": its lower end is above 0,
        and r is at least 0.02 above the baseline. "at the baseline": all else. "unknown" if there are no intervals, or the
        model or the baseline has no score.

    Examples
    --------
    >>> from cisnake.evaluate import judge
    >>> judge(0.5, 0.2, 0.4, {"pearson": (0.4, 0.6), "r2": (0.1, 0.3), "difference": (0.05, 0.15)})
    'well above the baseline'
    >>> judge(0.5, 0.2, 0.4, None), judge(-0.1, 0.2, 0.4, None)
    ('unknown', 'no better than the mean')
    """
    if pearson is None or r2 is None:
        return UNKNOWN
    of_pearson, of_r2, of_difference = ((intervals or {}).get(name) for name in ("pearson", "r2", "difference"))
    if (of_r2[1] if of_r2 else r2) <= 0 or (of_pearson[0] if of_pearson else pearson) <= 0:
        return NO_BETTER
    if of_difference is None or baseline_pearson is None:
        return UNKNOWN
    if of_difference[1] < 0:
        return BELOW
    return WELL_ABOVE if of_difference[0] > 0 and pearson >= baseline_pearson + _LEAST_GAIN else AT_BASELINE
