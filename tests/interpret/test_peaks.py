import time

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import call_peaks as script
from cisnake.data.genome import BASES
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret import peaks
from cisnake.interpret.attribution_file import AttributionFile, write_attributions


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
    found = peaks.recursive_seqlets(scores, threshold, shortest, longest)
    expected = brute_force(scores, threshold, shortest, longest)
    assert expected
    assert list(found[["row", "start", "end"]].itertuples(index=False, name=None)) == [span[:3] for span in expected]
    np.testing.assert_allclose(found[["attribution", "p_value"]], [span[3:] for span in expected], rtol=1e-6)


def test_spans_at_both_ends_of_the_window_are_found():
    found = peaks.recursive_seqlets(noisy(0), 0.05)
    assert ((found["row"] == 0) & (found["start"] == 0)).any()
    assert ((found["row"] == 1) & (found["end"] == 70)).any()


def test_spans_do_not_run_from_one_gene_into_the_next():
    scores = np.zeros((2, 200), np.float32)
    scores[0, -6:] = scores[1, :6] = 1
    found = peaks.recursive_seqlets(scores, 0.05)
    # Two positions beyond: every span of four that reaches there still holds two of the high scores.
    assert found[["row", "start", "end"]].to_numpy().tolist() == [[0, 192, 200], [1, 0, 8]]


@pytest.mark.parametrize("scores", [np.zeros((2, 50)), np.full((2, 50), 3.5), np.zeros((0, 50)), np.arange(3.0)[None]])
def test_constant_empty_or_short_scores_give_no_span(scores):
    found = peaks.recursive_seqlets(scores)
    assert len(found) == 0
    assert list(found) == ["row", "start", "end", "attribution", "p_value"]


def test_blocks_do_not_change_the_result():
    scores = np.concatenate([noisy(seed) for seed in range(4)])
    whole = peaks.recursive_seqlets(scores, 0.05)
    for size in (1, 5):
        parts = [scores[i : i + size] for i in range(0, len(scores), size)]
        pd.testing.assert_frame_equal(peaks.recursive_seqlets(lambda parts=parts: iter(parts), 0.05), whole)


def test_small_tails_keep_their_digits():
    scores = np.zeros((1, 10_000), np.float32)
    scores[0, 500:506] = 1
    (span,) = peaks.recursive_seqlets(scores, 1e-3).itertuples()
    assert (span.start, span.end) == (498, 508)
    assert span.p_value == pytest.approx(binom.sf(5, 10, 6 / 10_000), rel=1e-9)
    assert span.p_value < np.finfo(float).eps  # one minus a distribution function would be zero


@pytest.mark.parametrize(("threshold", "shortest", "longest"), [(0, 4, 25), (1, 4, 25), (0.01, 9, 8), (0.01, 1, 8)])
def test_parameters_without_sense_are_refused(threshold, shortest, longest):
    with pytest.raises(InputError, match="peaks: "):
        peaks.recursive_seqlets(noisy(0), threshold, shortest, longest)


def test_scores_that_are_not_finite_are_refused():
    scores = noisy(0)
    scores[1, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        peaks.recursive_seqlets(scores)


def test_find_attr_peaks_takes_the_highest_of_the_channel_sum():
    attr = np.zeros((4, 60))
    for channel, position, value in [
        (0, 10, 1.0),
        (1, 10, 0.5),
        (2, 14, 1.2),
        (3, 30, 0.8),
        (1, 40, 0.09),
        (2, 50, 3.0),
        (0, 20, -5),
    ]:
        attr[channel, position] += value
    found = peaks.find_attr_peaks(attr, tss_pos=25)
    assert found["peak"].tolist() == [50, 10, 30]  # 14 is lower than 10 and too near, 40 too low, 20 negative
    np.testing.assert_allclose(found["height"], [3.0, 1.5, 0.8])
    assert found["from_tss"].tolist() == [25, -15, 5]
    assert peaks.find_attr_peaks(attr, n=2)["peak"].tolist() == [50, 10]
    assert peaks.find_attr_peaks(attr, min_dist=3)["peak"].tolist() == [50, 10, 14, 30]
    pd.testing.assert_frame_equal(peaks.find_attr_peaks(attr.sum(axis=0), tss_pos=25), found)
    assert list(peaks.find_attr_peaks(np.zeros((4, 60)))) == ["peak", "height", "from_tss"]


def attribution_file(path, scores, strands=None, mask_start=20):
    """A file of the given projected scores; windows lie at 1000, 2000, ... of chr1."""
    genes, length = scores.shape
    sequences = np.random.default_rng(0).integers(0, len(BASES), (genes, length)).astype(np.int8)
    attributions = np.zeros((genes, 4, length), np.float32)
    np.put_along_axis(attributions, sequences[:, None].astype(int), scores[:, None].astype(np.float32), axis=1)
    start = 1000 * np.arange(1, genes + 1)
    windows = pd.DataFrame({"gene_id": [f"g{i}" for i in range(genes)], "chrom": "chr1", "start": start, "end": start + length})
    windows["strand"] = strands or ["+", "-"] * (genes // 2) + ["+"] * (genes % 2)
    windows = windows.assign(mask_start=mask_start, mask_end=length, fold=0, split="test", measured=0)
    attrs = {"contrast": "c", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1}
    with write_attributions(path, windows, length, attrs) as append:
        append(attributions, sequences, np.zeros(genes), np.zeros(genes))
    return AttributionFile(path)


@pytest.mark.parametrize("method", peaks.METHODS)
def test_peaks_lie_right_on_either_strand_and_sign(tmp_path, method):
    scores = np.zeros((4, 100))
    scores[0, 10:16] = [1, 1, 1, 4, 1, 1]
    scores[1, 10:16] = [1, 1, 1, 4, 1, 1]
    scores[2, 60:65] = [-2, -2, -6, -2, -2]
    scores[3, 95:100] = [-2, -2, -6, -2, -2]
    file = attribution_file(tmp_path / "a.h5", scores)
    found = peaks.call_peaks(file, method, threshold=0.05, height=2).set_index("gene_id")
    assert tuple(peaks.call_peaks(file, method).columns) == peaks.COLUMNS
    assert found.index.tolist() == ["g0", "g1", "g2", "g3"]
    half = method == "find_attr_peaks"
    assert found["summit"].tolist() == [13, 13, 62, 97]
    assert found["height"].tolist() == [4, 4, -6, -6]
    assert found["from_tss"].tolist() == [-7, -7, 42, 77]
    spans = {
        "recursive_seqlets": [(8, 18), (8, 18), (58, 67), (93, 100)],
        "find_attr_peaks": [(11, 16), (11, 16), (60, 65), (95, 100)],
    }[method]
    assert list(zip(found["window_start"], found["window_end"], strict=True)) == spans
    assert found["attribution"].tolist() == [8 if half else 9, 8 if half else 9, -14, -14]
    # chr1: windows of 100 bases at 1000, 2000, 3000, 4000; the second and the fourth gene are on the minus strand.
    a, b = spans[0]
    c, d = spans[2]
    expected = [(1000 + a, 1000 + b), (2100 - b, 2100 - a), (3000 + c, 3000 + d), (4000, 4100 - spans[3][0])]
    assert list(zip(found["start"], found["end"], strict=True)) == expected
    assert found["strand"].tolist() == ["+", "-", "+", "-"]
    assert found["peak_id"].tolist() == [f"g0:{a}-{b}:+", f"g1:{a}-{b}:+", f"g2:{c}-{d}:-", f"g3:{spans[3][0]}-100:-"]
    assert found["p_value"].isna().all() == half


def test_scale_of_attributions_does_not_matter(tmp_path):
    scores = np.concatenate([noisy(seed) for seed in range(3)])
    for method in peaks.METHODS:
        one = peaks.call_peaks(attribution_file(tmp_path / "a.h5", scores), method)
        two = peaks.call_peaks(attribution_file(tmp_path / "b.h5", scores * 1024), method)
        assert len(one) > 3
        assert one["peak_id"].tolist() == two["peak_id"].tolist()


def test_every_peak_has_the_sign_of_its_attribution(tmp_path):
    scores = noisy(1) - 2  # nearly all negative: the highest spans drive nothing up
    found = peaks.call_peaks(attribution_file(tmp_path / "a.h5", scores), threshold=0.05)
    assert len(found)
    assert (found["attribution"] < 0).all()
    assert found["peak_id"].str.endswith(":-").all()


@pytest.mark.parametrize("method", peaks.METHODS)
@pytest.mark.parametrize("genes", [3, 0])
def test_a_file_without_peaks_gives_a_header_and_an_empty_bed(tmp_path, method, genes):
    attribution_file(tmp_path / "a.h5", np.zeros((genes, 50)))
    outputs = {"attributions": "a.h5", "output-tsv": "p.tsv", "output-bed": "p.bed"}
    options = [f"--{name}={tmp_path / file}" for name, file in outputs.items()]
    script.main(script.parser().parse_args([*options, f"--method={method}"]))
    assert (tmp_path / "p.tsv").read_text() == "\t".join(peaks.COLUMNS) + "\n"
    assert (tmp_path / "p.bed").read_text() == ""


def test_bed_and_table_hold_the_same_peaks(tmp_path):
    file = attribution_file(tmp_path / "a.h5", noisy(0))
    found = peaks.call_peaks(file, threshold=0.05)
    write_table(found, tmp_path / "p.tsv")
    peaks.write_bed(found, tmp_path / "p.bed")
    again = read_table(tmp_path / "p.tsv", start="int", end="int", p_value="float")
    bed = pd.read_csv(tmp_path / "p.bed", sep="\t", header=None)
    assert bed[[0, 1, 2, 3, 5]].to_numpy().tolist() == again[["chrom", "start", "end", "peak_id", "strand"]].to_numpy().tolist()
    assert bed[4].between(0, 1000).all()
    assert bed[4].idxmax() == found["attribution"].abs().idxmax()


def test_an_unknown_method_or_parameter_is_refused(tmp_path):
    file = attribution_file(tmp_path / "a.h5", noisy(0))
    with pytest.raises(InputError, match="did you mean recursive_seqlets"):
        peaks.call_peaks(file, "recursive_seqlet")
    with pytest.raises(InputError, match="min_dist"):
        peaks.call_peaks(file, "find_attr_peaks", min_dist=0)


def test_calling_stays_fast():
    rng = np.random.default_rng(0)
    scores = rng.laplace(0, 1, (200, 10_000)).astype(np.float32)
    start = time.perf_counter()
    peaks.recursive_seqlets(scores)
    assert time.perf_counter() - start < 5
