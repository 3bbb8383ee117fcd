import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from cisnake.errors import InputError
from cisnake.interpret.peaks.seqlets import RecursiveSeqlets, recursive_seqlets
from cisnake.interpret.peaks.spans import as_blocks


def brute_force(scores, threshold, min_length, max_length):
    """The definition, span by span, in plain Python floats."""
    n, length = scores.shape
    low, high = float(scores.min()), float(scores.max())
    if low == high:
        return []
    width = (high - low) / 999
    bins = [[min(max(int(np.floor((float(a) - low) / width)), 0), 999) for a in row] for row in scores]
    f = np.bincount(np.ravel(bins), minlength=1000) / scores.size
    sums, tails = np.ones(1), {}
    for m in range(1, max_length + 1):
        sums = np.convolve(sums, f)
        tails[m] = sums[::-1].cumsum()[::-1]
    called = []
    for g in range(n):
        own = {
            (m, k): tails[m][sum(bins[g][k : k + m])] for m in range(min_length, max_length + 1) for k in range(length - m + 1)
        }
        spans = []
        for m, k in own:
            inner = [own[i, j] for i in range(min_length, m + 1) for j in range(k, k + m - i + 1)]
            if max(inner) < threshold:
                spans.append((-m, max(own[i, k] for i in range(min_length, m + 1)), k))
        covered = set()
        for minus_m, _, k in sorted(spans):
            span = range(k, k - minus_m)
            if not covered & set(span):
                covered |= set(span)
                called.append((g, k, k - minus_m, float(scores[g, k : k - minus_m].astype(float).sum()), own[-minus_m, k]))
    return sorted(called)


def noisy(seed, genes=3, length=70):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 0.2, (genes, length)) ** 3
    scores[0, :7] += rng.uniform(0.5, 1, 7)  # at the very start
    scores[1, -5:] += rng.uniform(0.5, 1, 5)  # at the very end
    scores[2, 20:31] += rng.uniform(0.2, 1.4, 11)
    scores[1, 30:36] -= rng.uniform(0.5, 1, 6)
    return scores.astype(np.float32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("threshold", "shortest", "longest"), [(0.01, 4, 25), (0.05, 4, 9), (0.2, 3, 12)])
def test_recursive_seqlets_is_its_definition(seed, sign, threshold, shortest, longest):
    scores = sign * noisy(seed)
    found = recursive_seqlets(scores, threshold, shortest, longest)
    expected = brute_force(scores, threshold, shortest, longest)
    assert expected
    assert list(found[["row", "start", "end"]].itertuples(index=False, name=None)) == [span[:3] for span in expected]
    np.testing.assert_allclose(found[["attribution", "p_value"]], [span[3:] for span in expected], rtol=1e-6)


def test_spans_at_both_ends_of_the_window_are_found():
    found = recursive_seqlets(noisy(0), 0.05)
    assert ((found["row"] == 0) & (found["start"] == 0)).any()
    assert ((found["row"] == 1) & (found["end"] == 70)).any()


def test_spans_do_not_run_from_one_gene_into_the_next():
    scores = np.zeros((2, 200), np.float32)
    scores[0, -6:] = scores[1, :6] = 1
    found = recursive_seqlets(scores, 0.05)
    # Spans extend two positions beyond: every span of four that reaches there still has two high scores.
    assert found[["row", "start", "end"]].to_numpy().tolist() == [[0, 192, 200], [1, 0, 8]]


@pytest.mark.parametrize("scores", [np.zeros((2, 50)), np.full((2, 50), 3.5), np.zeros((0, 50)), np.arange(3.0)[None]])
def test_constant_empty_or_short_scores_give_no_span(scores):
    found = recursive_seqlets(scores)
    assert len(found) == 0
    assert list(found) == ["row", "start", "end", "attribution", "p_value"]


def test_blocks_do_not_change_the_result():
    scores = np.concatenate([noisy(seed) for seed in range(4)])
    whole = recursive_seqlets(scores, 0.05)
    for size in (1, 5):
        parts = [scores[i : i + size] for i in range(0, len(scores), size)]
        pd.testing.assert_frame_equal(recursive_seqlets(lambda parts=parts: iter(parts), 0.05), whole)


def test_small_tails_keep_their_digits():
    scores = np.zeros((1, 10_000), np.float32)
    scores[0, 500:506] = 1
    (span,) = recursive_seqlets(scores, 1e-3).itertuples()
    assert (span.start, span.end) == (498, 508)
    assert span.p_value == pytest.approx(binom.sf(5, 10, 6 / 10_000), rel=1e-9)
    assert span.p_value < np.finfo(float).eps  # one minus a distribution function would be zero


@pytest.mark.parametrize(("threshold", "shortest", "longest"), [(0, 4, 25), (1, 4, 25), (0.01, 9, 8), (0.01, 1, 8)])
def test_invalid_parameters_are_refused(threshold, shortest, longest):
    with pytest.raises(InputError, match="peaks: "):
        recursive_seqlets(noisy(0), threshold, shortest, longest)


def test_scores_that_are_not_finite_are_refused():
    scores = noisy(0)
    scores[1, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        recursive_seqlets(scores)


def as_tuples(spans):
    return list(spans[["row", "start", "end"]].itertuples(index=False, name=None))


@pytest.mark.parametrize("seed", range(4))
def test_ties_are_broken_as_defined(seed):
    # Few distinct scores: many spans of the same length have equal p.
    scores = np.round(noisy(seed) * 3) / 3
    expected = brute_force(scores, 0.2, 3, 9)
    assert len(expected) > 3
    assert as_tuples(recursive_seqlets(scores, 0.2, 3, 9)) == [span[:3] for span in expected]


@pytest.mark.parametrize("seed", range(3))
def test_both_signs_are_those_of_the_scores_and_of_their_negative(seed):
    scores = noisy(seed)
    blocks = as_blocks(scores)
    spans = RecursiveSeqlets(0.05).fit(blocks)(scores)
    for sign in (1, -1):
        own = spans[spans["sign"] == sign].sort_values(["row", "start"])
        expected = [span for span in brute_force(sign * scores, 0.05, 4, 25) if span[3] > 0]
        assert as_tuples(own) == [span[:3] for span in expected]
        np.testing.assert_allclose(own["attribution"], [sign * span[3] for span in expected], rtol=1e-6)
        np.testing.assert_allclose(own["p_value"], [span[4] for span in expected], rtol=1e-9)


def test_scores_without_negative_values_give_no_negative_peaks():
    spans = RecursiveSeqlets(0.05).fit(as_blocks(np.abs(noisy(0))))(np.abs(noisy(0)))
    assert (spans["sign"] == 1).all()
    assert len(spans)


def test_other_scores_are_called_by_the_bins_and_the_null_of_the_first():
    scores, others = noisy(0), noisy(1)
    others[0, 10:16] = 50  # far beyond the range of the first
    others[2, 40:46] = -50
    call = RecursiveSeqlets(0.05).fit(as_blocks(scores))
    low, high = scores.min(), scores.max()
    width = (high - low) / 999
    # Values outside the range are in the outermost bins, so clipping does not change p.
    cut = call(np.clip(others, low - width, high + width))
    found = call(others)
    assert as_tuples(found) == as_tuples(cut)
    assert found["p_value"].tolist() == cut["p_value"].tolist()
    assert found["attribution"].max() >= 200
    assert found["attribution"].min() <= -200


def test_calling_stays_fast():
    rng = np.random.default_rng(0)
    scores = rng.laplace(0, 1, (200, 10_000)).astype(np.float32)
    start = time.process_time()
    recursive_seqlets(scores)
    assert time.process_time() - start < 5
