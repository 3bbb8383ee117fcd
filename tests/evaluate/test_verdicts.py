"""Every verdict, at and around its bounds."""

from __future__ import annotations

import pytest

from cisnake.evaluate.verdicts import AT_BASELINE, BELOW, NO_BETTER, UNKNOWN, WELL_ABOVE, judge

GOOD = {"pearson": (0.4, 0.6), "r2": (0.1, 0.3), "difference": (0.05, 0.15)}


@pytest.mark.parametrize(
    ("scores", "intervals", "expected"),
    [
        ((0.5, 0.2, 0.4), {}, WELL_ABOVE),
        ((0.5, 0.2, 0.48), {}, WELL_ABOVE),
        ((0.5, 0.2, 0.481), {}, AT_BASELINE),
        ((0.5, 0.2, 0.4), {"difference": (-0.01, 0.2)}, AT_BASELINE),
        ((0.5, 0.2, 0.5), {"difference": (-0.1, 0.0)}, AT_BASELINE),
        ((0.5, 0.2, 0.6), {"difference": (-0.2, -0.01)}, BELOW),
        ((0.5, -0.5, 0.4), {"r2": (-0.9, 0.0)}, NO_BETTER),
        ((0.5, -0.5, 0.4), {"r2": (-0.9, 0.01)}, WELL_ABOVE),
        ((0.1, 0.2, 0.4), {"pearson": (0.0, 0.2)}, NO_BETTER),
        # A model that is no better than the mean can still be below the baseline; the graver verdict counts.
        ((0.1, 0.2, 0.4), {"pearson": (-0.1, 0.2), "difference": (-0.4, -0.2)}, NO_BETTER),
        ((0.5, 0.2, None), {"difference": None}, UNKNOWN),
        ((None, 0.2, 0.4), {}, UNKNOWN),
    ],
)
def test_verdicts_follow_the_intervals(scores, intervals, expected):
    assert judge(*scores, GOOD | intervals) == expected


def test_without_intervals_only_the_mean_is_judged():
    assert judge(0.5, 0.2, 0.1, None) == UNKNOWN
    assert judge(0.0, 0.2, 0.1, None) == judge(0.5, 0.0, 0.1, None) == NO_BETTER
