"""Statistics of variants match plain float64 definitions."""

import math

import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.variants.statistics import VARIANT_STATISTICS, compare_predictions


def by_definition(r, a):
    """All statistics of one task, from lists of predictions per position."""
    log, root = (lambda x: math.log2(x + 1)), math.sqrt
    pairs = list(zip(r, a, strict=True))

    def js(scale):
        ref, alt = [scale(x) for x in r], [scale(x) for x in a]
        rank = 0.25 * (len(ref) - 1)
        low, high = sorted(ref)[math.floor(rank)], sorted(ref)[math.ceil(rank)]
        pseudo = low + (high - low) * (rank - math.floor(rank))
        p, q = [x + pseudo for x in ref], [x + pseudo for x in alt]
        p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
        return sum(x * math.log(x / y) + y * math.log(y / x) for x, y in zip(p, q, strict=True)) / 2

    return {
        "SUM": sum(y - x for x, y in pairs),
        "logSUM": sum(log(y) - log(x) for x, y in pairs),
        "sqrtSUM": sum(root(y) - root(x) for x, y in pairs),
        "logSED": log(sum(a)) - log(sum(r)),
        "SAX": max((y - x for x, y in pairs), key=abs),
        "D1": sum(abs(y - x) for x, y in pairs),
        "logD1": sum(abs(log(y) - log(x)) for x, y in pairs),
        "sqrtD1": sum(abs(root(y) - root(x)) for x, y in pairs),
        "D2": root(sum((y - x) ** 2 for x, y in pairs)),
        "logD2": root(sum((log(y) - log(x)) ** 2 for x, y in pairs)),
        "sqrtD2": root(sum((root(y) - root(x)) ** 2 for x, y in pairs)),
        "JS": js(lambda x: x),
        "logJS": js(log),
        "REF": sum(r),
        "ALT": sum(a),
    }


@pytest.mark.parametrize("positions", [1, 2, 7, 64])
def test_statistics_match_their_definitions(positions):
    rng = np.random.default_rng(positions)
    ref, alt = rng.gamma(0.5, 3.0, (2, positions, 4))
    found = compare_predictions(ref, alt)
    for task in range(4):
        expected = by_definition(ref[:, task].tolist(), alt[:, task].tolist())
        assert set(expected) == set(VARIANT_STATISTICS)
        for name, value in zip(VARIANT_STATISTICS, found[:, task], strict=True):
            assert value == pytest.approx(expected[name], rel=1e-12, abs=1e-13), name


def test_signs_change_with_the_alleles_and_distances_do_not():
    ref, alt = np.random.default_rng(0).gamma(1, 1, (2, 30, 3))
    there, back = compare_predictions(ref, alt), compare_predictions(alt, ref)
    for i, name in enumerate(VARIANT_STATISTICS):
        if "D1" in name or "D2" in name:
            np.testing.assert_allclose(there[i], back[i], rtol=1e-12)
        elif "SUM" in name or name in ("SAX", "logSED"):
            np.testing.assert_allclose(there[i], -back[i], rtol=1e-12)
    same = dict(zip(VARIANT_STATISTICS, compare_predictions(ref, ref), strict=True))
    assert all((same[name] == 0).all() for name in same if name not in ("REF", "ALT"))


def test_what_is_undefined_is_nan_and_without_a_warning():
    found = dict(zip(VARIANT_STATISTICS, compare_predictions(np.full((3, 1), -2.0), np.zeros((3, 1))), strict=True))
    assert np.isnan(found["logSUM"]) and np.isnan(found["sqrtD2"]) and found["SUM"] == 6
    nothing = compare_predictions(np.zeros((3, 1)), np.ones((3, 1)), ["JS"])
    assert np.isnan(nothing).all()


def test_an_unknown_statistic_is_refused():
    with pytest.raises(InputError, match="unknown variant statistic 'logSUN': did you mean logSUM"):
        compare_predictions(np.zeros((1, 1)), np.zeros((1, 1)), ["logSUN"])
