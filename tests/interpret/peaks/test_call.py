import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import call_peaks as script
from cisnake.data.genome.bases import BASES
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret.attribution.file import AttributionFile, write_attributions
from cisnake.interpret.peaks import call
from cisnake.interpret.peaks.call import PEAK_METHODS, call_peaks, peak_method
from cisnake.interpret.peaks.local_maxima import LocalMaxima
from cisnake.interpret.peaks.seqlets import RecursiveSeqlets
from cisnake.interpret.q_values import empirical_q_values


def noisy(seed, genes=3, length=70):
    rng = np.random.default_rng(seed)
    scores = rng.normal(0, 0.2, (genes, length)) ** 3
    scores[0, :7] += rng.uniform(0.5, 1, 7)  # at the very start
    scores[1, -5:] += rng.uniform(0.5, 1, 5)  # at the very end
    scores[2, 20:31] += rng.uniform(0.2, 1.4, 11)
    scores[1, 30:36] -= rng.uniform(0.5, 1, 6)
    return scores.astype(np.float32)


def attribution_file(path, scores, strands=None, mask_start=20, null=None):
    """A file of the given projected scores, and those of shuffled windows; windows lie at 1000, 2000, ... of chr1."""
    genes, length = scores.shape
    sequences = np.random.default_rng(0).integers(0, len(BASES), (genes, length)).astype(np.int8)
    attributions = np.zeros((genes, 4, length), np.float32)
    np.put_along_axis(attributions, sequences[:, None].astype(int), scores[:, None].astype(np.float32), axis=1)
    start = 1000 * np.arange(1, genes + 1)
    windows = pd.DataFrame({"gene_id": [f"g{i}" for i in range(genes)], "chrom": "chr1", "start": start, "end": start + length})
    windows["strand"] = strands or ["+", "-"] * (genes // 2) + ["+"] * (genes % 2)
    windows = windows.assign(mask_start=mask_start, mask_end=length, fold=0, split="test", measured=0)
    attrs = {"contrast": "c", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1}
    null_genes = [] if null is None else ["g0"] * len(null)
    with write_attributions(path, windows, length, attrs, null_genes=null_genes) as append:
        append(attributions, sequences, np.zeros(genes), np.zeros(genes))
        if null is not None:
            append.null(null.astype(np.float32))
    return AttributionFile(path)


# Spans in the window of each method for the scores below, and the attribution of each.
SPANS = {
    "recursive_seqlets": ([(8, 18), (8, 18), (78, 87), (106, 115)], [9, 9, -14, -14]),
    "find_attr_peaks": ([(11, 16), (11, 16), (80, 85), (108, 113)], [8, 8, -14, -14]),
    "tfmodisco_seqlets": ([(10, 16), (10, 16), (79, 85), (107, 113)], [9, 9, -14, -14]),
}


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_peaks_lie_right_on_either_strand_and_sign(tmp_path, method):
    scores = np.zeros((4, 120))
    scores[0, 10:16] = [1, 1, 1, 4, 1, 1]
    scores[1, 10:16] = [1, 1, 1, 4, 1, 1]
    scores[2, 80:85] = [-2, -2, -6, -2, -2]
    scores[3, 108:113] = [-2, -2, -6, -2, -2]
    file = attribution_file(tmp_path / "a.h5", scores)
    found = call_peaks(file, peak_method(method, {"threshold": 0.05, "height": 2, "window": 6, "flank": 7})).set_index(
        "gene_id"
    )
    assert tuple(call_peaks(file, peak_method(method, {})).columns) == call.PEAK_COLUMNS
    assert found.index.tolist() == ["g0", "g1", "g2", "g3"]
    assert found["summit"].tolist() == [13, 13, 82, 110]
    assert found["height"].tolist() == [4, 4, -6, -6]
    assert found["from_tss"].tolist() == [-7, -7, 62, 90]
    spans, attribution = SPANS[method]
    assert list(zip(found["window_start"], found["window_end"], strict=True)) == spans
    assert found["attribution"].tolist() == attribution
    # chr1: windows of 120 bases at 1000, 2000, 3000, 4000; the second and the fourth gene are on the minus strand.
    (a, b), _, (c, d), (e, f) = spans
    expected = [(1000 + a, 1000 + b), (2120 - b, 2120 - a), (3000 + c, 3000 + d), (4120 - f, 4120 - e)]
    assert list(zip(found["start"], found["end"], strict=True)) == expected
    assert found["strand"].tolist() == ["+", "-", "+", "-"]
    assert found["peak_id"].tolist() == [f"g0:{a}-{b}:+", f"g1:{a}-{b}:+", f"g2:{c}-{d}:-", f"g3:{e}-{f}:-"]
    assert found["p_value"].isna().all() == (method != "recursive_seqlets")
    assert found["q_value"].isna().all()


def test_scale_of_attributions_does_not_matter(tmp_path):
    scores = np.concatenate([noisy(seed) for seed in range(3)])
    for method in PEAK_METHODS:
        one = call_peaks(attribution_file(tmp_path / "a.h5", scores), peak_method(method, {}))
        two = call_peaks(attribution_file(tmp_path / "b.h5", scores * 1024), peak_method(method, {}))
        assert len(one) > 3
        assert one["peak_id"].tolist() == two["peak_id"].tolist()


def test_every_peak_has_the_sign_of_its_attribution(tmp_path):
    scores = noisy(1) - 2  # nearly all negative: the highest spans drive nothing up
    found = call_peaks(attribution_file(tmp_path / "a.h5", scores), RecursiveSeqlets(0.05))
    assert len(found)
    assert (found["attribution"] < 0).all()
    assert found["peak_id"].str.endswith(":-").all()


@pytest.mark.parametrize("method", PEAK_METHODS)
@pytest.mark.parametrize("genes", [3, 0])
def test_a_file_without_peaks_gives_a_header_and_an_empty_bed(tmp_path, method, genes):
    attribution_file(tmp_path / "a.h5", np.zeros((genes, 50)))
    outputs = {"attributions": "a.h5", "output-tsv": "p.tsv", "output-bed": "p.bed"}
    options = [f"--{name}={tmp_path / file}" for name, file in outputs.items()]
    script.main(script.parser().parse_args([*options, f"--set=peaks.method={method}"]))
    assert (tmp_path / "p.tsv").read_text() == "\t".join(call.PEAK_COLUMNS) + "\n"
    assert (tmp_path / "p.bed").read_text() == ""


def test_bed_and_table_hold_the_same_peaks(tmp_path):
    file = attribution_file(tmp_path / "a.h5", noisy(0))
    found = call_peaks(file, RecursiveSeqlets(0.05))
    write_table(found, tmp_path / "p.tsv")
    call.write_bed(found, tmp_path / "p.bed")
    again = read_table(tmp_path / "p.tsv", start="int", end="int", p_value="float")
    bed = pd.read_csv(tmp_path / "p.bed", sep="\t", header=None)
    assert bed[[0, 1, 2, 3, 5]].to_numpy().tolist() == again[["chrom", "start", "end", "peak_id", "strand"]].to_numpy().tolist()
    assert bed[4].between(0, 1000).all()
    assert bed[4].idxmax() == found["attribution"].abs().idxmax()


def test_an_unknown_method_or_parameter_is_refused():
    with pytest.raises(InputError, match="did you mean recursive_seqlets"):
        peak_method("recursive_seqlet", {})
    with pytest.raises(InputError, match="min_dist"):
        peak_method("find_attr_peaks", {"min_dist": 0})


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_order_of_genes_changes_nothing_but_their_order(tmp_path, method):
    scores = np.concatenate([noisy(seed) for seed in range(3)])
    order = np.random.default_rng(0).permutation(len(scores))
    one = call_peaks(attribution_file(tmp_path / "a.h5", scores, ["+"] * 9), peak_method(method, {}))
    two = call_peaks(attribution_file(tmp_path / "b.h5", scores[order], ["+"] * 9), peak_method(method, {}))
    columns = ["window_start", "window_end", "summit", "attribution"]
    for now, before in enumerate(order):
        own, other = (table[table["gene_id"] == f"g{i}"][columns].to_numpy() for table, i in ((two, now), (one, before)))
        np.testing.assert_array_equal(own, other)


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_scores_that_are_not_finite_are_refused(tmp_path, method):
    scores = noisy(0)
    scores[1, 3] = np.nan
    with pytest.raises(InputError, match="not finite"):
        call_peaks(attribution_file(tmp_path / "a.h5", scores), peak_method(method, {}))


OPTIONS = {"threshold": 0.05, "height": 1.5, "window": 7, "flank": 2}


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_q_compares_peaks_called_with_the_same_thresholds_in_shuffled_windows(tmp_path, method):
    scores, null = (np.concatenate([noisy(seed) for seed in seeds]) for seeds in (range(4), range(10, 13)))
    null *= 0.6
    file = attribution_file(tmp_path / "a.h5", scores, null=null)
    found = call_peaks(file, peak_method(method, OPTIONS))
    pd.testing.assert_frame_equal(
        found.drop(columns="q_value"),
        call_peaks(attribution_file(tmp_path / "b.h5", scores), peak_method(method, OPTIONS)).drop(columns="q_value"),
    )
    # Shuffled windows added as genes would change the thresholds; here both are called with those of the genes alone.
    shuffled = peak_method(method, OPTIONS).fit(lambda: [scores])(null.astype(np.float32))
    assert len(shuffled)
    for sign in (1, -1):
        own = found[np.sign(found["attribution"]) == sign]
        nothing = shuffled[shuffled["sign"] == sign]["attribution"].abs()
        assert len(own)
        np.testing.assert_allclose(
            own["q_value"], empirical_q_values(own["attribution"].abs(), nothing, len(scores), len(null))
        )
    assert found["q_value"].nunique() > 2


def test_a_maximum_in_a_span_that_lowers_the_score_is_not_a_strong_peak(tmp_path):
    scores = np.zeros((2, 60))
    scores[0, 18:23] = [-9, -9, 2, -9, -9]  # a maximum between minima: the greatest |sum| of all maxima
    scores[1, 20] = 5
    null = np.zeros((20, 60))
    null[:5, 30] = 4
    file = attribution_file(tmp_path / "a.h5", scores, null=null)
    found = call_peaks(file, LocalMaxima(height=1))
    raising = found[found["peak_id"].str.endswith(":+")].set_index("gene_id")
    assert raising["attribution"].tolist() == [-34, 5]
    assert raising["q_value"]["g1"] == pytest.approx((0 + 1) / 20 / (1 / 2))
    # (5 + 1) / 20 peaks per shuffled window, and 2 / 2 peaks per window.
    assert raising["q_value"]["g0"] == pytest.approx(6 / 20)


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_max_q_leaves_out_the_others(tmp_path, method):
    scores, null = np.concatenate([noisy(seed) for seed in range(4)]), 0.5 * noisy(9, genes=40)
    file = attribution_file(tmp_path / "a.h5", scores, null=null)
    every = call_peaks(file, peak_method(method, OPTIONS))
    cut = float(every["q_value"].median())
    kept = call_peaks(file, peak_method(method, OPTIONS), cut)
    assert 0 < len(kept) < len(every)
    pd.testing.assert_frame_equal(kept, every[every["q_value"] <= cut].reset_index(drop=True))


def test_max_q_needs_shuffled_windows(tmp_path):
    file = attribution_file(tmp_path / "a.h5", noisy(0))
    with pytest.raises(InputError, match=r"set attribution\.null_windows"):
        call_peaks(file, RecursiveSeqlets(), max_q=0.1)
    for wrong in (0, 1.1, np.nan):
        with pytest.raises(InputError, match=r"max_q is .* set it above 0"):
            call_peaks(file, RecursiveSeqlets(), max_q=wrong)


@pytest.mark.parametrize("method", PEAK_METHODS)
def test_files_too_large_to_keep_in_memory_are_read_again(tmp_path, monkeypatch, method):
    file = attribution_file(tmp_path / "a.h5", np.concatenate([noisy(0), noisy(1)]), null=noisy(2))
    expected = call_peaks(file, peak_method(method, OPTIONS))
    monkeypatch.setattr(call, "CACHE_BYTES", 0)
    blocks = AttributionFile.blocks
    monkeypatch.setattr(AttributionFile, "blocks", lambda self: blocks(self, megabytes=0))
    pd.testing.assert_frame_equal(call_peaks(file, peak_method(method, OPTIONS)), expected)


def test_the_configuration_has_the_defaults_of_the_library():
    schema = yaml.safe_load((Path(__file__).parents[3] / "workflow" / "schemas" / "config.schema.yaml").read_text())
    keys = schema["properties"]["peaks"]["properties"]
    assert keys["method"]["enum"] == list(PEAK_METHODS)
    for settings in PEAK_METHODS.values():
        for field in dataclasses.fields(settings):
            assert keys[field.name]["default"] == field.default, field.name
