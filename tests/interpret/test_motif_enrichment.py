import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, fisher_exact

from cisnake.data.genome import encode
from cisnake.data.motif_database import Motif, load_motifs
from cisnake.files import read_table, write_table
from cisnake.interpret import motif_enrichment as enrichment
from cisnake.interpret import motifs
from cisnake.interpret.motif_clusters import cluster_motifs, motif_similarity
from cisnake.interpret.peaks import call_peaks

from .test_motifs import attribution_file, consensus_motif


def drawn(codes, rows, seed=0, flank=5, genes=None):
    genes = np.array(genes if genes is not None else [f"g{i}" for i in range(len(codes))], dtype=object)
    table = pd.DataFrame(rows, columns=["gene_id", "window_start", "window_end", "attribution"])
    peaks = enrichment.block_peaks(table, genes, flank, codes.shape[1])
    return peaks, enrichment.draw_background(codes, genes, peaks, seed)


def test_peaks_are_extended_within_the_window_and_found_by_gene():
    codes = np.zeros((2, 100), np.int8)
    rows = [("g1", 40, 50, -1.0), ("g0", 2, 12, 1.0), ("other", 5, 9, 1.0), ("g0", 90, 99, 2.0)]
    peaks, _ = drawn(codes, rows)
    assert peaks[["peak", "row", "start", "end"]].to_numpy().tolist() == [[1, 0, 0, 17], [3, 0, 85, 100], [0, 1, 35, 55]]
    assert peaks["positive"].tolist() == [True, True, False]


def test_background_has_the_length_of_its_peak_and_touches_no_peak_no_n_and_no_other_window():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, (5, 600)).astype(np.int8)
    codes[:, 300:340] = 4
    rows = [
        (f"g{g}", int(a), int(a + size), 1.0) for g in range(5) for a, size in zip([20, 110, 400], [8, 15, 25], strict=True)
    ]
    peaks, background = drawn(codes, rows)
    assert len(background) == 3 * len(peaks)
    expected = sorted(3 * (peaks["end"] - peaks["start"]).tolist())
    assert sorted((background["end"] - background["start"]).tolist()) == expected
    for row in range(5):
        used = (codes[row] == 4).astype(int)
        for table in (peaks, background):
            for start, end in table.loc[table["row"] == row, ["start", "end"]].to_numpy():
                used[start:end] += 1
        assert used.max() == 1


def test_background_lies_near_its_peak():
    _, background = drawn(np.zeros((1, 20_000), np.int8), [("g0", 9_000, 9_010, 1.0)])
    assert (background["start"] - 8_995).abs().max() <= enrichment.NEAREST
    assert len(background) == 3


def test_a_crowded_window_gives_less_background_and_a_full_one_none():
    assert len(drawn(np.zeros((1, 60), np.int8), [("g0", 10, 30, 1.0)])[1]) == 0  # 30 bases extended, 25 left
    assert len(drawn(np.zeros((1, 70), np.int8), [("g0", 10, 30, 1.0)])[1]) == 1
    assert len(drawn(np.full((1, 90), 4, np.int8), [("g0", 10, 30, 1.0)])[1]) == 0


def test_the_draw_depends_on_seed_and_gene_id_not_on_the_row():
    codes = np.zeros((3, 900), np.int8)
    _, first = drawn(codes, [("b", 400, 420, 1.0)], genes=["a", "b", "c"])
    _, moved = drawn(codes, [("b", 400, 420, 1.0)], genes=["b", "x", "y"])
    assert first["start"].tolist() == moved["start"].tolist()
    assert first["row"].tolist() == [1] * 3
    _, other = drawn(codes, [("b", 400, 420, 1.0)], genes=["a", "b", "c"], seed=1)
    assert first["start"].tolist() != other["start"].tolist()


def test_overlaps_are_those_of_all_pairs():
    rng = np.random.default_rng(2)
    start, row = rng.integers(0, 180, 150), rng.integers(0, 3, 150)
    end = start + rng.integers(4, 20, 150)
    motif = rng.integers(0, 3, 150)
    intervals = pd.DataFrame({"row": rng.integers(0, 3, 30), "start": rng.integers(0, 150, 30)})
    intervals["end"] = intervals["start"] + rng.integers(4, 50, 30)
    peaks = intervals.assign(peak=rng.permutation(30), positive=rng.random(30) < 0.5)
    attribution = rng.normal(size=150)
    peak, counts = enrichment.count_sites(3, motif, row, start, end, attribution, peaks, intervals[:12], 200)
    with_hit = {True: set(), False: set()}
    beside = set()
    for i in range(150):
        best = (0, 0, -1)
        for j, interval in enumerate(peaks.itertuples()):
            shared = min(end[i], interval.end) - max(start[i], interval.start)
            shorter = min(end[i] - start[i], interval.end - interval.start)
            if interval.row == row[i] and shared > 0 and shared >= shorter / 2:
                with_hit[interval.positive].add((motif[i], j))
                beside |= {(motif[i], j)} if j < 12 else set()
                best = max(best, (shared, -j, interval.peak))
        assert peak[i] == best[2]
    for m in range(3):
        assert counts.positive[m] == sum(pair[0] == m for pair in with_hit[True])
        assert counts.negative[m] == sum(pair[0] == m for pair in with_hit[False])
        assert counts.background[m] == sum(pair[0] == m for pair in beside)
        inside = (motif == m) & (peak >= 0)
        assert counts.hits[m] == inside.sum() > 0
        assert counts.attribution[m] == pytest.approx(attribution[inside].sum())


def four_motifs():
    words = ["GATTACAGT", "CCCGGGTTT", "ATATATCGC", "GTGTGCACA"]
    return [consensus_motif(word, f"m{i}") for i, word in enumerate(words)]


def test_table_is_fishers_test_with_haldanes_odds_and_benjamini_hochberg():
    counts = enrichment.SiteCounts(
        50, 140, np.array([20, 3, 0, 5]), np.array([4, 2, 0, 5]), np.array([10, 14, 0, 28]),
        np.array([26, 5, 0, 11]), np.array([13.0, -2.5, 0.0, 1.1]),
    )  # fmt: skip
    table = enrichment.enrichment_table(four_motifs(), counts).set_index("motif_id")
    assert tuple(table.reset_index().columns) == enrichment.ENRICHMENT_COLUMNS
    p = []
    for index, motif in enumerate(four_motifs()):
        a, c = counts.positive[index] + counts.negative[index], counts.background[index]
        expected = fisher_exact([[a, 50 - a], [c, 140 - c]], alternative="greater").pvalue
        row = table.loc[motif.id]
        assert row["p_value"] == pytest.approx(expected)
        assert row["odds_ratio"] == pytest.approx((a + 0.5) * (140 - c + 0.5) / ((50 - a + 0.5) * (c + 0.5)))
        assert (row["n_peaks"], row["n_peaks_with_hit"], row["n_background"], row["n_background_with_hit"]) == (50, a, 140, c)
        p.append(expected)
    np.testing.assert_allclose(table.loc[["m0", "m1", "m2", "m3"], "q_value"], false_discovery_control(p))
    assert table.index[0] == "m0"
    assert table["rank"].tolist() == [1, 2, 3, 4]
    assert table.loc["m0", "mean_attribution"] == pytest.approx(0.5)
    assert np.isnan(table.loc["m2", "mean_attribution"])


def test_no_peaks_give_no_enrichment():
    table = enrichment.enrichment_table(four_motifs(), enrichment.SiteCounts.none(4))
    assert (table["p_value"] == 1).all()
    assert (table["q_value"] == 1).all()
    assert len(enrichment.enrichment_table([], enrichment.SiteCounts.none(0))) == 0


def test_a_planted_motif_is_enriched_and_a_shuffled_one_is_not(tmp_path):
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 4, (60, 400)).astype(np.int8)
    scores = rng.normal(0, 0.02, (60, 400))
    for gene in range(60):
        for word, size in (("TGACTCAGC", 1), ("ACCCGCATT", -1)):
            place = rng.integers(0, 9) * 40 + (20 if size > 0 else 0)
            codes[gene, place : place + 9] = encode(word)
            scores[gene, place : place + 9] = size * rng.uniform(0.5, 1, 9)
    codes[::3, 380:389] = encode("CGTACGATC")  # planted as often, but without attribution
    attributions = np.zeros((60, 4, 400), np.float32)
    np.put_along_axis(attributions, codes[:, None].astype(int), scores[:, None].astype(np.float32), axis=1)
    file = attribution_file(tmp_path / "a.h5", codes, ["+", "-"] * 30, attributions)
    peaks = call_peaks(file, threshold=0.05)
    write_table(peaks, tmp_path / "peaks.tsv")
    peaks = read_table(tmp_path / "peaks.tsv", window_start="int", window_end="int", attribution="float")
    words = {"up": "TGACTCAGC", "down": "ACCCGCATT", "silent": "CGTACGATC", "shuffled": "CAGTCTGAC", "unlike": "GGCCATGTA"}
    collection = [consensus_motif(word, name) for name, word in words.items()]
    scan = motifs.write_scan(file, peaks, collection, tmp_path / "h.tsv", tmp_path / "h.bed", seed=3)
    table = enrichment.enrichment_table(collection, scan.counts).set_index("motif_id")
    assert set(table.index[:2]) == {"up", "down"}
    assert (table.loc[["up", "down"], "q_value"] < 1e-6).all()
    assert (table.loc[["silent", "shuffled", "unlike"], "q_value"] > 0.05).all()
    assert table.loc["up", "mean_attribution"] > 0.4
    assert table.loc["down", "mean_attribution"] < -0.4
    assert table.loc["up", "n_positive"] > 50 > 5 > table.loc["up", "n_negative"]
    assert table.loc["down", "n_negative"] > 50 > 5 > table.loc["down", "n_positive"]


@pytest.fixture(scope="module")
def fungi():
    return load_motifs("jaspar:2026/fungi")


def test_clusters_of_jaspar_hold_what_binds_alike(fungi):
    labels = cluster_motifs(fungi)
    of = {motif.name: label for motif, label in zip(fungi, labels, strict=True)}
    assert len({of[name] for name in ("MSN2", "MSN4", "RPH1", "GIS1", "RGM1", "USV1", "YER130C")}) == 1
    assert of["DOT6"] == of["TOD6"]
    assert of["CBF1"] == of["PHO4"]
    apart = ("MSN2", "DOT6", "CBF1", "GCN4", "HSF1", "RAP1", "REB1", "ABF1", "GAL4", "MCM1", "STE12", "MBP1")
    assert len({of[name] for name in apart}) == len(apart)
    assert labels.max() + 1 == len(set(labels)) < 0.5 * len(fungi)
    assert np.array_equal(np.unique(labels, return_index=True)[1], np.sort(np.unique(labels, return_index=True)[1]))


def test_similarity_does_not_depend_on_strand_or_order(fungi):
    some = fungi[:25]
    similarity = motif_similarity(some)
    np.testing.assert_allclose(similarity, similarity.T)
    assert similarity.max() <= 1
    turned = [Motif(motif.id, motif.name, motif.probabilities[::-1, ::-1]) for motif in some[::-1]]
    np.testing.assert_allclose(motif_similarity(turned)[::-1, ::-1], similarity, atol=1e-9)
    both = motif_similarity([some[0], turned[-1]])
    assert both[0, 1] == pytest.approx(1)


def test_similarity_is_the_best_alignment():
    rng = np.random.default_rng(0)
    pair = [Motif("a", "a", rng.dirichlet(np.full(4, 0.5), 7)), Motif("b", "b", rng.dirichlet(np.full(4, 0.5), 10))]
    info = [2 + np.sum(m.probabilities * np.log2(m.probabilities), axis=1) for m in pair]
    small = int(info[1].sum() < info[0].sum())
    best = -1
    for matrix, bits in ((pair[1].probabilities, info[1]), (pair[1].probabilities[::-1, ::-1], info[1][::-1])):
        for shift in range(-9, 7):
            places = [(i, i - shift) for i in range(7) if 0 <= i - shift < 10]
            if len(places) < 5:
                continue
            r = [np.corrcoef(pair[0].probabilities[i], matrix[j])[0, 1] * np.sqrt(info[0][i] * bits[j]) for i, j in places]
            other = sum(bits[j] for _, j in places) if small == 0 else sum(info[0][i] for i, _ in places)
            best = max(best, sum(r) / np.sqrt(info[small].sum() * other))
    assert motif_similarity(pair)[0, 1] == pytest.approx(best)


def test_clusters_are_named_and_ranked_by_their_best_motif():
    word = "TGACTCAGCA"
    collection = [consensus_motif("GGGTACCTAT", "z"), consensus_motif(word, "a1"), consensus_motif(word[:9], "a2")]
    counts = enrichment.SiteCounts(
        40, 100, np.array([5, 20, 30]), np.zeros(3, int), np.array([12, 9, 9]), np.array([5, 20, 30]), np.array([1.0, 10, 30])
    )
    table = enrichment.enrichment_table(collection, counts)
    assert table["motif_id"].tolist() == ["a2", "a1", "z"]
    assert table["cluster"].tolist() == [1, 1, 2]
    assert table["cluster_name"].tolist() == ["A2", "A2", "Z"]
    clusters = enrichment.rank_clusters(table)
    assert clusters["cluster_name"].tolist() == ["A2", "Z"]
    assert clusters["members"].tolist() == ["A2, A1", "Z"]
    assert clusters["p_value"].tolist() == table["p_value"].iloc[[0, 2]].tolist()
    np.testing.assert_allclose(clusters["mean_attribution"], [40 / 50, 0.2])
    assert clusters["rank"].tolist() == [1, 2]
