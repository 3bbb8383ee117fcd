import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tools"))

from rate_attributions import SHIFTS, responding, site_auroc


def by_definition(strength, rows, starts, ends):
    covered = np.zeros(strength.shape, bool)
    for row, start, end in zip(rows, starts, ends, strict=True):
        covered[row, start:end] = True
    found = []
    for row, start, end in zip(rows, starts, ends, strict=True):
        wins = []
        for shift in SHIFTS:
            first, last = start + shift, end + shift
            if first >= 0 and last <= strength.shape[1] and not covered[row, first:last].any():
                own, other = strength[row, start:end].sum(), strength[row, first:last].sum()
                wins.append((own > other) + 0.5 * (own == other))
        found.append(np.mean(wins) if wins else np.nan)
    return found


def test_sites_are_compared_with_free_places_of_their_window():
    rng = np.random.default_rng(0)
    # Whole numbers, so that ties are exact; sites at both ends, side by side and overlapping.
    strength = rng.integers(0, 3, (4, 150)).astype(float)
    rows = np.array([0, 0, 1, 1, 2, 2, 3])
    starts = np.array([0, 60, 70, 74, 30, 140, 5])
    ends = starts + np.array([8, 8, 12, 6, 10, 10, 140])
    found = site_auroc(strength, rows, starts, ends)
    np.testing.assert_allclose(found, by_definition(strength, rows, starts, ends))
    assert np.isnan(found[-1])


def test_random_attributions_rate_one_half_and_attributions_of_sites_one():
    rng = np.random.default_rng(1)
    rows, starts = np.repeat(np.arange(300), 2), np.tile([150, 330], 300)
    strength = rng.random((300, 500))
    assert site_auroc(strength, rows, starts, starts + 9).mean() == pytest.approx(0.5, abs=0.03)
    strength[:, 150:159] += 5
    strength[:, 330:339] += 5
    assert (site_auroc(strength, rows, starts, starts + 9) == 1).all()


def test_genes_far_from_the_median_respond():
    windows = pd.DataFrame({"measured": [0.0, 9.0, 0.1, -7.0, np.nan, 0.2, -0.1, 0.0]})
    assert responding(windows).tolist() == [1, 3]
