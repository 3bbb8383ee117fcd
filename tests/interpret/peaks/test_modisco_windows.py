import numpy as np
import pandas as pd
import pytest

from cisnake.errors import InputError
from cisnake.interpret.peaks import modisco_windows
from cisnake.interpret.peaks.modisco_windows import ModiscoWindows, tfmodisco_seqlets
from cisnake.interpret.peaks.spans import as_blocks

N_NULL = 240


def isotonic(labels, weights):
    """Max-min form: the maximum over starts a <= i of the minimum over ends b >= i of the weighted means of a .. b."""
    sums, total = (np.concatenate([[0], np.cumsum(part)]) for part in (labels * weights, weights))
    start, end = np.arange(len(labels))[:, None], np.arange(len(labels))[None] + 1
    with np.errstate(divide="ignore", invalid="ignore"):
        means = np.where(end > start, (sums[end] - sums[start]) / (total[end] - total[start]), np.inf)
    least = np.minimum.accumulate(means[:, ::-1], axis=1)[:, ::-1]
    return [least[: i + 1, i].max() for i in range(len(labels))]


def cut(values, null, precision):
    points = sorted(set(values) | set(null))
    real = np.array([np.sum(values == x) for x in points], float)
    none = np.array([np.sum(null == x) for x in points]) * len(values) / len(null)
    fitted = isotonic(real / (real + none), real + none)
    c = -1 / (1 - 1 / max(fitted[0], 1e-7)) if fitted[0] < 1 else -np.inf
    c = min(max(c, 0.95), 1)
    passing = [x for x, y, n in zip(points, fitted, real, strict=True) if n and 1 + c * (1 - 1 / max(y, 1e-7)) >= precision]
    return passing[0] if passing else max(values)


def brute_force(scores, window, flank, precision):
    """The definition, window by window; returns spans and the reason for the threshold."""
    n, length = scores.shape
    sums = np.array([[row[k : k + window].astype(float).sum() for k in range(length - window + 1)] for row in scores])
    v = sums.ravel()
    inside = v
    for _ in range(2):
        counts, edges = np.histogram(inside, 1000)
        k = counts.argmax()
        middle = (edges[k] + edges[k + 1]) / 2
        inside = inside[(inside >= edges[k]) & (inside <= edges[k + 1])]
        if len(set(inside)) == 1:
            middle = inside[0]
            break
    rates = []
    for sign in (1, -1):
        far = np.sort(sign * (v[sign * (v - middle) >= 0] - middle))
        rates.append(max(-np.log(1 - q / 100) / np.percentile(far, q) for q in range(5, 100, 5) if np.percentile(far, q) > 0))
    above = np.mean(v >= middle)
    null = []
    for i in range(N_NULL):
        u = (i + 0.5) / N_NULL
        if u < above:
            null.append(middle - np.log(1 - u / above) / rates[0])
        else:
            null.append(middle + np.log(1 - (u - above) / (1 - above)) / rates[1])
    null = np.array(null)
    high = cut(v[v >= 0], null[null >= 0], precision)
    low = -cut(-v[v < 0], -null[null < 0], precision)
    share, why = np.mean((v >= high) | (v <= low)), "precision"
    if share < 0.03 or share > 0.2:
        high = np.quantile(np.abs(v), 0.97 if share < 0.03 else 0.8)
        low, why = -high, "too few" if share < 0.03 else "too many"
    found = []
    for row in range(n):
        left = {
            k: abs(s) for k, s in enumerate(sums[row]) if (s >= high or s <= low) and flank <= k < length - window + 1 - flank
        }
        while left:
            best = min(left, key=lambda k: (-left[k], k))
            found.append((row, best - flank, best + window + flank, sums[row, best]))
            # The mask of the original: [floor(i + .5 - s), ceil(i + .5 + s)).
            reach = window // 2 + flank
            left = {k: s for k, s in left.items() if not np.floor(best + 0.5 - reach) <= k < np.ceil(best + 0.5 + reach)}
    return sorted(found), why


def noisy(seed, signal=3.0, share=0.06, genes=4, length=150):
    rng = np.random.default_rng(seed)
    scores = rng.laplace(0, 0.3, (genes, length))
    for row, start in zip(*np.nonzero(rng.random((genes, length - 8)) < share / 8), strict=True):
        scores[row, start : start + 8] += rng.choice([-1, 1]) * signal * rng.random()
    return scores.astype(np.float32)


CASES = [(0.01, 0.05, 0.999), (3.0, 0.2, 0.8), (3.0, 0.2, 0.6), (6.0, 0.9, 0.3)]


@pytest.mark.parametrize(("window", "flank"), [(21, 10), (6, 3), (5, 0)])
def test_windows_are_their_definition(monkeypatch, window, flank):
    monkeypatch.setattr(modisco_windows, "N_NULL", N_NULL)
    reasons = set()
    for signal, share, precision in CASES:
        for seed in range(2):
            scores = noisy(seed, signal, share, genes=3, length=110)
            found = tfmodisco_seqlets(scores, window, flank, precision)
            expected, reason = brute_force(scores, window, flank, precision)
            reasons.add(reason)
            assert expected
            assert as_tuples(found) == [span[:3] for span in expected]
            np.testing.assert_allclose(found["attribution"], [span[3] for span in expected], rtol=1e-9)
    assert reasons == {"too few", "precision", "too many"}


def as_tuples(spans):
    return list(spans[["row", "start", "end"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("seed", range(2))
def test_equal_windows_are_one_point_of_the_regression(monkeypatch, seed):
    monkeypatch.setattr(modisco_windows, "N_NULL", N_NULL)
    scores = np.round(noisy(seed, share=0.2, genes=3, length=110) * 4) / 4
    expected, _ = brute_force(scores, 6, 3, 0.8)
    assert expected
    assert as_tuples(tfmodisco_seqlets(scores, 6, 3, 0.8)) == [span[:3] for span in expected]


def test_blocks_do_not_change_the_result(monkeypatch):
    scores = noisy(0, genes=9)
    for sampled in (10**6, 300):
        monkeypatch.setattr(modisco_windows, "N_SAMPLED", sampled)
        whole = tfmodisco_seqlets(scores)
        assert len(whole)
        for size in (1, 4):
            parts = [scores[i : i + size] for i in range(0, len(scores), size)]
            pd.testing.assert_frame_equal(tfmodisco_seqlets(lambda parts=parts: iter(parts)), whole)


def test_many_windows_are_sampled_across_all_positions(monkeypatch):
    # Every score encodes its position, and one stratum of the sample has the length of a gene.
    scores = np.arange(400 * 100.0).reshape(400, 100)
    monkeypatch.setattr(modisco_windows, "N_SAMPLED", 400)
    sample = modisco_windows._sample(as_blocks(scores), 1)
    assert (sample // 100).tolist() == list(range(400))
    assert len(set(sample % 100)) > 80
    monkeypatch.setattr(modisco_windows, "N_SAMPLED", 40_000)
    assert modisco_windows._sample(as_blocks(scores), 1).tolist() == scores.ravel().tolist()


def test_a_sample_gives_about_the_same_thresholds(monkeypatch):
    values = noisy(0, genes=60, length=400).astype(float).ravel()
    whole = modisco_windows._thresholds(values, 0.8)
    part = modisco_windows._thresholds(values[::4], 0.8)
    np.testing.assert_allclose(part, whole, rtol=0.2)


def test_windows_near_the_ends_are_left_out_and_those_beside_them_are_not():
    scores = np.random.default_rng(0).normal(0, 0.01, (2, 200))
    scores[0, 10:31] = scores[1, 169:190] = 1  # the first window that counts, and the last
    found = tfmodisco_seqlets(scores)
    assert {(0, 0, 41), (1, 159, 200)} <= set(as_tuples(found))
    assert found["start"].min() >= 0
    assert found["end"].max() <= 200


def test_windows_of_opposite_sign_exclude_each_other():
    scores = np.random.default_rng(0).normal(0, 0.01, (1, 300))
    scores[0, 100:121], scores[0, 121:142] = 1, -2
    spans = ModiscoWindows().fit(as_blocks(scores))(scores)
    start = np.sort(spans["start"])
    assert np.diff(start).min() >= 21
    greatest = spans.loc[spans["attribution"].abs().idxmax()]
    assert (greatest["start"], greatest["sign"]) == (121, -1)


def test_scores_of_one_sign_have_windows_of_that_sign():
    scores = np.abs(noisy(0))
    for sign in (1, -1):
        spans = ModiscoWindows().fit(as_blocks(sign * scores))(sign * scores)
        assert len(spans)
        assert (spans["sign"] == sign).all()


def test_other_scores_are_called_by_the_thresholds_of_the_first():
    scores = noisy(0)
    call = ModiscoWindows().fit(as_blocks(scores))
    assert len(call(scores * 0.001)) == 0
    assert call(scores * 100)["attribution"].abs().min() >= call(scores)["attribution"].abs().min()


@pytest.mark.parametrize("scores", [np.zeros((2, 50)), np.full((2, 50), 0.1), np.zeros((0, 50)), np.ones((3, 20))])
def test_constant_empty_or_short_scores_give_no_window(scores):
    found = tfmodisco_seqlets(scores)
    assert len(found) == 0
    assert list(found) == ["row", "start", "end", "attribution"]


def test_windows_of_only_n_do_not_break_the_fit():
    scores = noisy(0, length=400)
    scores[:, 150:] = 0  # most windows are exactly zero
    found = tfmodisco_seqlets(scores)
    assert len(found)
    assert (found["attribution"] != 0).all()


@pytest.mark.parametrize("wrong", [{"window": 0}, {"flank": -1}, {"precision": 0}, {"precision": 1}])
def test_invalid_parameters_are_refused(wrong):
    with pytest.raises(InputError, match="peaks: "):
        tfmodisco_seqlets(noisy(0), **wrong)


def test_scores_that_are_not_finite_are_refused():
    scores = noisy(0)
    scores[0, 0] = np.nan
    with pytest.raises(InputError, match="not finite"):
        tfmodisco_seqlets(scores)
