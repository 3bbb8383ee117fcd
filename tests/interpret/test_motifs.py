import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

import scan_motifs
from cisnake.data.genome import decode, encode, reverse_complement
from cisnake.data.motif_database import Motif, write_meme
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret import motifs
from cisnake.interpret.attribution_file import AttributionFile, write_attributions

SKEWED = np.array([0.38, 0.12, 0.12, 0.38])
PEAK_COLUMNS = ["peak_id", "gene_id", "window_start", "window_end", "attribution"]


def random_motif(rng, width, name="m"):
    return Motif(name, name.upper(), rng.dirichlet(np.full(4, 0.25), width), 20)


def consensus_motif(word, name):
    return Motif(name, name.upper(), np.where(np.eye(4)[encode(word)] > 0, 0.97, 0.01), 100)


def log_odds(motif, background):
    mixed = (1 - motifs.PSEUDO_SHARE) * motif.probabilities + motifs.PSEUDO_SHARE * background
    return np.log2(mixed / background)


def no_peaks():
    return pd.DataFrame({column: [] for column in PEAK_COLUMNS})


def attribution_file(path, codes, strands, attributions=None, length=None):
    n, length = codes.shape if length is None else (0, length)
    if attributions is None:
        attributions = np.zeros((n, 4, length), np.float32)
    start = 1000 * np.arange(1, n + 1)
    windows = pd.DataFrame({"gene_id": [f"g{i}" for i in range(n)], "chrom": "chr1", "start": start, "end": start + length})
    windows["strand"] = np.array(strands, dtype=object)
    windows = windows.assign(mask_start=50, mask_end=length, fold=0, split="test", measured=0)
    attrs = {"contrast": "c", "on_tasks": ["a"], "off_tasks": [], "models": [], "replicates": 1}
    with write_attributions(path, windows, length, attrs) as append:
        append(attributions, codes, np.zeros(n), np.zeros(n))
    return AttributionFile(path)


def scan_table(file, peaks, collection, folder, **parameters):
    folder.mkdir(exist_ok=True)
    scan = motifs.scan_file(file, peaks, collection, folder, **parameters)
    return scan, pd.concat(list(scan.tables()), ignore_index=True)


@pytest.mark.parametrize("background", [np.full(4, 0.25), SKEWED, np.array([0.1, 0.4, 0.4, 0.1])])
@pytest.mark.parametrize("width", [1, 4, 7, 8])
def test_p_values_are_those_of_all_words(background, width):
    motif = random_motif(np.random.default_rng(width), width)
    scores = motifs.motif_scores(motif, background)
    words = np.array(list(itertools.product(range(4), repeat=width)))
    total = scores.steps[np.arange(width), words].sum(axis=1)
    chance = background[words].prod(axis=1)
    for observed in np.unique(total)[:: max(1, len(np.unique(total)) // 200)]:
        exact = chance[total >= observed].sum()
        assert scores.tail[observed - scores.lowest] == pytest.approx(exact, rel=1e-9)
    exact_score = log_odds(motif, background)[np.arange(width), words].sum(axis=1)
    assert np.abs(total * motifs.STEP - exact_score).max() <= width * motifs.STEP / 2 + 1e-9


@pytest.mark.parametrize("p_threshold", [0.3, 1e-2, 1e-3])
def test_the_cut_is_the_least_score_that_reaches_p(p_threshold):
    scores = motifs.motif_scores(random_motif(np.random.default_rng(5), 8), SKEWED)
    cut = scores.cut(p_threshold) - scores.lowest
    assert scores.tail[cut] <= p_threshold < scores.tail[cut - 1]


def test_a_motif_too_short_for_the_threshold_is_cut_at_its_best_word(tmp_path):
    codes = encode("GGACGTAGACGTTGTACGTGG")[None]
    file = attribution_file(tmp_path / "a.h5", codes, ["+"])
    collection = [consensus_motif("ACGTA", "short"), consensus_motif("GGACGTAGACG", "long")]
    scan, hits = scan_table(file, no_peaks(), collection, tmp_path / "parts")
    assert scan.best_only == ["SHORT"]
    short = hits[hits["motif_id"] == "short"]
    assert list(zip(short["window_start"], short["orientation"], strict=True)) == [(2, "+"), (14, "-")]
    assert (short["p_value"] > 1e-4).all()


@pytest.mark.parametrize("seed", range(6))
def test_sites_are_those_of_a_brute_force_scan(seed):
    rng = np.random.default_rng(seed)
    width, length = int(rng.integers(1, 22)), int(rng.integers(15, 400))
    codes = rng.choice(5, (7, length), p=[0.36, 0.12, 0.12, 0.36, 0.04]).astype(np.int8)
    motif = random_motif(rng, width)
    scores = motifs.motif_scores(motif, SKEWED)
    exact = log_odds(motif, SKEWED)
    expected, float_scores = [], []
    for row, start in itertools.product(range(7), range(length - width + 1)):
        word = codes[row, start : start + width]
        if (word < 4).all():
            for orientation, oriented in ((1, word), (-1, reverse_complement(word))):
                total = int(scores.steps[np.arange(width), oriented].sum())
                expected.append((row, start, orientation, total))
                float_scores.append(exact[np.arange(width), oriented].sum())
    for cut in (scores.lowest, *np.quantile([site[3] for site in expected] or [0], [0.5, 0.95, 1]).astype(int)):
        found = list(zip(*(part.tolist() for part in motifs.scan_windows(codes, scores.steps, int(cut))), strict=True))
        assert found == [site for site in expected if site[3] >= cut]
    totals = motifs.STEP * np.array([site[3] for site in expected])
    np.testing.assert_allclose(totals, float_scores, atol=width * motifs.STEP / 2 + 1e-9)


def test_a_site_at_either_end_is_found_and_none_across_two_windows():
    motif = consensus_motif("GATTACAG", "x")
    codes = np.stack([encode("GATTACAG" + "T" * 12 + "GATTACAG"), encode("T" * 24 + "GATT"), encode("ACAG" + "T" * 24)])
    row, start, orientation, _ = motifs.scan_windows(codes, motifs.motif_scores(motif, SKEWED).steps, 1500)
    assert list(zip(row, start, orientation, strict=True)) == [(0, 0, 1), (0, 20, 1)]
    short = motifs.scan_windows(codes[:, :5], motifs.motif_scores(motif, SKEWED).steps, 0)
    assert [len(part) for part in short] == [0, 0, 0, 0]


def test_base_composition_pools_strands_and_leaves_out_n():
    blocks = [encode("AAAAAAACC" + "N" * 50)[None], encode("AGT" + "N" * 3)[None]]
    # A 8+1, C 2+1, G 1+1, T 1+1 with one of each added
    np.testing.assert_allclose(motifs.base_composition(blocks), np.array([11, 5, 5, 11]) / 32)
    np.testing.assert_allclose(motifs.base_composition([]), 0.25)


def test_q_values_of_all_tests_are_those_of_benjamini_and_hochberg():
    p = np.random.default_rng(0).choice([0.001, 0.004, 0.01, 0.2, 0.5, 0.9, 1.0], 300)
    levels, counts = np.unique(p, return_counts=True)
    shuffled = np.random.default_rng(1).permutation(len(levels))
    q = np.empty(len(levels))
    q[shuffled] = motifs.q_values(levels[shuffled], counts[shuffled], len(p))
    np.testing.assert_allclose(q[np.searchsorted(levels, p)], false_discovery_control(p))
    # The same level given twice (by two motifs), one without a test.
    twice = motifs.q_values(np.repeat(levels, 2), np.column_stack([counts - 1, np.ones_like(counts)]).ravel(), len(p))
    np.testing.assert_allclose(twice[::2], q)
    np.testing.assert_allclose(twice[1::2], q)


def test_q_values_of_hits_are_an_upper_bound_of_those_of_the_whole_table(tmp_path):
    rng = np.random.default_rng(3)
    codes = rng.integers(0, 4, (4, 300)).astype(np.int8)
    codes[:, 40:48] = codes[0, 40:48]
    collection = [consensus_motif(decode(codes[0, 40:48]), "planted"), random_motif(rng, 6, "other")]
    file = attribution_file(tmp_path / "a.h5", codes, ["+"] * 4)
    scan, whole = scan_table(file, no_peaks(), collection, tmp_path / "whole", p_threshold=1.0)
    assert len(whole) == scan.n_tests == scan.n_hits == 2 * 4 * (293 + 295)
    np.testing.assert_allclose(whole["q_value"].astype(float), false_discovery_control(whole["p_value"].astype(float)))
    _, some = scan_table(file, no_peaks(), collection, tmp_path / "some", p_threshold=1e-2)
    assert 5 < len(some) < len(whole)
    key = ["motif_id", "gene_id", "window_start", "orientation"]
    both = some.merge(whole, on=key, suffixes=("", "_whole"))
    assert len(both) == len(some)
    assert (both["q_value"] >= both["q_value_whole"] * (1 - 1e-12)).all()
    planted = both[(both["motif_id"] == "planted") & (both["window_start"] == 40)]
    assert len(planted) == 4
    np.testing.assert_allclose(planted["q_value"].astype(float), planted["q_value_whole"].astype(float))


def planted_file(path, word="TGACTCAGC"):
    """Four genes of either strand with the word planted along the gene at 30 and against it at 70."""
    rng = np.random.default_rng(0)
    codes = rng.choice(4, (4, 120), p=SKEWED).astype(np.int8)
    codes[:, 30 : 30 + len(word)] = encode(word)
    codes[:, 70 : 70 + len(word)] = reverse_complement(encode(word))
    attributions = rng.normal(size=(4, 4, 120)).astype(np.float32)
    return attribution_file(path, codes, ["+", "-", "+", "-"], attributions), codes, attributions


def test_planted_sites_have_the_right_place_strand_and_sequence(tmp_path):
    word = "TGACTCAGC"
    file, codes, _ = planted_file(tmp_path / "a.h5", word)
    _, hits = scan_table(file, no_peaks(), [consensus_motif(word, "gcn4")], tmp_path / "parts")
    best = hits[hits["score"] == hits["score"].max()].set_index(["gene_id", "window_start"])
    assert best.index.tolist() == [(f"g{i}", start) for i in range(4) for start in (30, 70)]
    assert (best["matched_seq"] == word).all()
    assert best["orientation"].tolist() == ["+", "-"] * 4
    assert best["strand"].tolist() == ["+", "-", "-", "+"] * 2
    assert best["start"].tolist()[:4] == [1030, 1070, 2120 - 39, 2120 - 79]
    assert (best["end"] - best["start"] == 9).all()
    assert best["from_tss"].tolist() == [34 - 50, 74 - 50] * 4
    assert set(hits["region"]) == {"window"}
    assert set(hits["peak_id"]) == {""}
    # The genome, read on the strand that the hit names, is the matched sequence.
    for hit in hits.itertuples():
        gene = int(hit.gene_id[1:])
        genome = codes[gene] if gene % 2 == 0 else reverse_complement(codes[gene])
        read = genome[hit.start - 1000 * (gene + 1) : hit.end - 1000 * (gene + 1)]
        assert decode(read if hit.strand == "+" else reverse_complement(read)) == hit.matched_seq


def test_attribution_scores_of_sites_are_their_definition(tmp_path):
    word = "TGACTCAGC"
    file, _, attributions = planted_file(tmp_path / "a.h5", word)
    collection = [consensus_motif(word, "gcn4"), random_motif(np.random.default_rng(1), 7)]
    _, hits = scan_table(file, no_peaks(), collection, tmp_path / "parts", p_threshold=0.02)
    assert set(hits["motif_id"]) == {"gcn4", "m"}
    assert set(hits["orientation"]) == {"+", "-"}
    for hit in hits.itertuples():
        local = attributions[int(hit.gene_id[1:]), :, hit.window_start : hit.window_end].astype(float)
        matrix = next(motif for motif in collection if motif.id == hit.motif_id).probabilities
        oriented = matrix if hit.orientation == "+" else matrix[::-1, ::-1]
        assert hit.site_attr_score == pytest.approx(local.sum() / len(matrix))
        assert hit.motif_attr_score == pytest.approx((local * oriented.T).sum() / len(matrix))


def test_hits_are_marked_by_the_peak_that_they_overlap_most(tmp_path):
    word = "TGACTCAGC"
    file, _, _ = planted_file(tmp_path / "a.h5", word)
    rows = [
        ("p0", "g0", 30, 39, 1.0),  # all of the site
        ("p1", "g1", 36, 48, 1.0),  # [31, 53) with flanks: 8 of 9 bases
        ("p2", "g1", 10, 32, -1.0),  # [5, 37): 7 of 9, less than p1
        ("p3", "g2", 40, 60, 1.0),  # [35, 65): 4 of 9, less than half
        ("p4", "g3", 72, 76, 1.0),  # [67, 81): all of the second site
    ]
    peaks = pd.DataFrame(rows, columns=PEAK_COLUMNS)
    scan, hits = scan_table(file, peaks, [consensus_motif(word, "gcn4")], tmp_path / "parts", p_threshold=1e-5)
    sites = hits.set_index(["gene_id", "window_start"])["peak_id"].to_dict()
    assert sites == {
        ("g0", 30): "p0", ("g0", 70): "", ("g1", 30): "p1", ("g1", 70): "", ("g2", 30): "", ("g2", 70): "",
        ("g3", 30): "", ("g3", 70): "p4",
    }  # fmt: skip
    assert ((hits["region"] == "peak") == (hits["peak_id"] != "")).all()
    counts = scan.counts
    assert (counts.n_peaks, counts.positive[0], counts.negative[0], counts.hits[0]) == (5, 3, 1, 3)
    assert counts.attribution[0] == pytest.approx(hits.loc[hits["region"] == "peak", "site_attr_score"].sum(), rel=1e-6)
    _, without = scan_table(file, peaks, [consensus_motif(word, "gcn4")], tmp_path / "parts2", p_threshold=1e-5, flank=0)
    assert without.set_index(["gene_id", "window_start"])["peak_id"].to_dict() == {**sites, ("g1", 30): ""}


def test_blocks_and_processes_do_not_change_the_result(tmp_path):
    file, _, _ = planted_file(tmp_path / "a.h5")
    peaks = pd.DataFrame([("p0", "g0", 30, 39, 1.0), ("p4", "g3", 72, 76, -1.0)], columns=PEAK_COLUMNS)
    collection = [consensus_motif("TGACTCAGC", "gcn4"), random_motif(np.random.default_rng(1), 7)]
    one, hits = scan_table(file, peaks, collection, tmp_path / "one", p_threshold=0.02)
    for name, parameters in {"blocks": {"block_bases": 130}, "processes": {"block_bases": 260, "processes": 2}}.items():
        other, same = scan_table(file, peaks, collection, tmp_path / name, p_threshold=0.02, **parameters)
        assert len(other.parts) > 1
        pd.testing.assert_frame_equal(same, hits)
        assert (other.n_tests, other.n_hits) == (one.n_tests, one.n_hits)
        for field in ("n_peaks", "n_background", "positive", "negative", "background", "hits"):
            np.testing.assert_array_equal(getattr(other.counts, field), getattr(one.counts, field))


def test_a_window_full_of_n_has_no_site_and_counts_no_test(tmp_path):
    codes = np.full((2, 80), 4, np.int8)
    codes[1, 20:60] = np.random.default_rng(0).integers(0, 4, 40)
    file = attribution_file(tmp_path / "a.h5", codes, ["+", "-"])
    scan, hits = scan_table(file, no_peaks(), [random_motif(np.random.default_rng(1), 6)], tmp_path / "p", p_threshold=1.0)
    assert scan.n_tests == len(hits) == 2 * 35
    assert set(hits["gene_id"]) == {"g1"}
    assert hits["window_start"].min() == 20
    assert hits["window_end"].max() == 60


def test_parameters_without_sense_and_unknown_genes_are_refused(tmp_path):
    file, _, _ = planted_file(tmp_path / "a.h5")
    collection = [consensus_motif("TGACTCAGC", "gcn4")]
    for parameters in ({"p_threshold": 0}, {"flank": -1}, {"processes": 0}):
        with pytest.raises(InputError, match="motifs: "):
            motifs.scan_file(file, no_peaks(), collection, tmp_path, **parameters)
    with pytest.raises(InputError, match="no motif"):
        motifs.scan_file(file, no_peaks(), [], tmp_path)
    peaks = pd.DataFrame([("p0", "g9", 30, 39, 1.0)], columns=PEAK_COLUMNS)
    with pytest.raises(InputError, match="unknown gene in the table of peaks 'g9'"):
        motifs.scan_file(file, peaks, collection, tmp_path)


@pytest.mark.parametrize("genes", [4, 0])
def test_the_program_writes_valid_tables_without_peaks_or_genes(tmp_path, genes):
    if genes:
        planted_file(tmp_path / "a.h5")
    else:
        attribution_file(tmp_path / "a.h5", np.zeros((0, 120), np.int8), [])
    write_meme([consensus_motif("TGACTCAGC", "gcn4"), consensus_motif("ACGTT", "short")], tmp_path / "m.meme")
    write_table(no_peaks(), tmp_path / "p.tsv")
    outputs = {"attributions": "a.h5", "peaks": "p.tsv", "motifs": "m.meme", "output-hits": "h.tsv", "output-bed": "h.bed"}
    options = [f"--{name}={tmp_path / file}" for name, file in {**outputs, "output-enrichment": "e.tsv"}.items()]
    scan_motifs.main(scan_motifs.parser().parse_args(options))
    hits = read_table(tmp_path / "h.tsv", start="int", end="int")
    assert tuple(hits.columns) == motifs.HIT_COLUMNS
    bed = (tmp_path / "h.bed").read_text().splitlines()
    assert len(bed) == len(hits)
    assert (len(hits) >= 8) == (genes > 0)
    for line, hit in zip(bed, hits.itertuples(), strict=True):
        fields = line.split("\t")
        assert fields[:4] + fields[5:] == [hit.chrom, str(hit.start), str(hit.end), hit.motif_name, hit.strand]
        assert 0 <= int(fields[4]) <= 1000
    enrichment = read_table(tmp_path / "e.tsv", p_value="float", n_hits="int")
    assert enrichment["p_value"].tolist() == [1, 1]
    assert enrichment["mean_attribution"].tolist() == ["", ""]
    assert not list(tmp_path.glob(".part*"))
