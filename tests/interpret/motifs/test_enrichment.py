import numpy as np
import pytest
from scipy.stats import false_discovery_control, fisher_exact

from cisnake.data.genome.bases import encode
from cisnake.data.motif_database import Motif, load_motifs
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import enrichment
from cisnake.interpret.motifs.clusters import cluster_motifs, motif_similarity
from cisnake.interpret.motifs.hits_in_peaks import HitSearch, write_hits_in_peaks
from cisnake.interpret.motifs.scan import scan_genes
from cisnake.interpret.peaks.call import call_peaks
from cisnake.interpret.peaks.seqlets import RecursiveSeqlets

from .scanned import apart, consensus_motif, windows_of, write_contrast, write_dataset


def four_motifs():
    words = ["GATTACAGT", "CCCGGGTTT", "ATATATCGC", "GTGTGCACA"]
    return [consensus_motif(word, f"m{i}") for i, word in enumerate(words)]


def test_table_is_fishers_test_with_haldanes_odds_and_benjamini_hochberg():
    counts = enrichment.SiteCounts(
        50, 140, np.array([20, 3, 0, 5]), np.array([4, 2, 0, 5]), np.array([10, 14, 0, 28]),
        np.array([26, 5, 0, 11]), np.array([13.0, -2.5, 0.0, 1.1]),
    )  # fmt: skip
    table = enrichment.enrichment_tests(four_motifs(), counts).set_index("motif_id")
    assert tuple(table.reset_index().columns) == enrichment.TEST_COLUMNS
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
    table = enrichment.enrichment_tests(four_motifs(), enrichment.SiteCounts.none(4))
    assert (table["p_value"] == 1).all()
    assert (table["q_value"] == 1).all()
    assert len(enrichment.enrichment_tests([], enrichment.SiteCounts.none(0))) == 0


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
    genome, places = apart(codes, ["+", "-"] * 30)
    windows, _ = windows_of(genome, places, 400)
    file = write_contrast(tmp_path / "a.h5", windows, codes, attributions)
    write_table(call_peaks(file, RecursiveSeqlets(0.05)), tmp_path / "peaks.tsv")
    peaks = read_table(tmp_path / "peaks.tsv", window_start="int", window_end="int", attribution="float")
    words = {"up": "TGACTCAGC", "down": "ACCCGCATT", "silent": "CGTACGATC", "shuffled": "CAGTCTGAC", "unlike": "GGCCATGTA"}
    collection = [consensus_motif(word, name) for name, word in words.items()]
    scan_genes(write_dataset(tmp_path, genome, windows), "all", collection, tmp_path / "hits.h5")
    counts = write_hits_in_peaks(
        tmp_path / "hits.h5", file, peaks, collection, tmp_path / "h.tsv", tmp_path / "h.bed", HitSearch(seed=3)
    )
    table = enrichment.enrichment_tests(collection, counts).set_index("motif_id")
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


def test_clusters_of_jaspar_contain_similar_motifs(fungi):
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
