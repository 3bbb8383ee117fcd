import itertools

import h5py
import numpy as np
import pytest
from scipy.stats import false_discovery_control

import scan_motifs
from cisnake.data.genome.bases import decode, encode, reverse_complement
from cisnake.data.motif_database import write_meme
from cisnake.errors import InputError
from cisnake.interpret.motifs import scan as motifs
from cisnake.interpret.motifs.hits import HitFile, read_hits
from cisnake.interpret.motifs.log_odds import base_composition, motif_scores

from .scanned import apart, consensus_motif, random_motif, windows_of, write_dataset

KEY = ["motif_id", "gene_id", "window_start", "orientation"]


def scan(folder, codes, strands, collection, which="all", **parameters):
    genome, places = apart(codes, strands)
    windows, _ = windows_of(genome, places, codes.shape[1])
    return scan_places(folder, genome, windows, collection, which, **parameters)


def scan_places(folder, genome, windows, collection, which="all", **parameters):
    summary = motifs.scan_genes(write_dataset(folder, genome, windows), which, collection, folder / "hits.h5", **parameters)
    return summary, HitFile(folder / "hits.h5"), read_hits(folder / "hits.h5")


def brute_force(codes, genes, collection, background, p_threshold):
    """All hits as (motif, gene, start, orientation): p, and the p of all sites."""
    found, tests = {}, []
    for motif in collection:
        scores = motif_scores(motif, background)
        cut, width = scores.cut(p_threshold), len(motif)
        for gene, window in zip(genes, codes, strict=True):
            for start in range(len(window) - width + 1):
                word = window[start : start + width]
                if (word < 4).all():
                    for sign, oriented in (("+", word), ("-", reverse_complement(word))):
                        total = scores.steps[np.arange(width), oriented].sum()
                        tests.append(scores.tail[total - scores.lowest])
                        if total >= cut:
                            found[motif.id, gene, start, sign] = tests[-1]
    return found, np.array(tests)


@pytest.mark.parametrize("p_threshold", [1.0, 1e-2])
def test_hits_and_their_p_and_q_are_those_of_a_brute_force_scan(tmp_path, p_threshold):
    rng = np.random.default_rng(3)
    codes = rng.choice(5, (4, 120), p=[0.36, 0.12, 0.12, 0.36, 0.04]).astype(np.int8)
    codes[:, 40:48] = codes[0, 40:48] % 4
    collection = [
        consensus_motif(decode(codes[0, 40:48]), "planted"),
        random_motif(rng, 6, "other"),
        random_motif(rng, 130, "long"),
    ]
    summary, file, table = scan(tmp_path, codes, ["+", "-", "-", "+"], collection, p_threshold=p_threshold)
    background = base_composition([codes])
    np.testing.assert_allclose(file.background, background[None])
    expected, tests = brute_force(codes, ["g0", "g1", "g2", "g3"], collection, background, p_threshold)
    p = dict(zip(table[KEY].itertuples(index=False, name=None), table["p_value"], strict=True))
    assert p.keys() == expected.keys()
    np.testing.assert_allclose([p[key] for key in expected], list(expected.values()), rtol=1e-9)
    assert (summary.n_hits, summary.n_tests, summary.n_genes) == (len(expected), len(tests), 4)
    q = np.sort(false_discovery_control(tests))[: len(table)]
    assert (np.sort(table["q_value"]) >= q * (1 - 1e-9)).all()
    # Ranks are exact below the threshold, so the smallest q-values equal those of the full table.
    smallest = 4 if p_threshold < 1 else len(table)
    np.testing.assert_allclose(np.sort(table["q_value"])[:smallest], q[:smallest])


def test_a_position_of_several_windows_is_one_test(tmp_path):
    """Overlapping windows have all their hits, but q-values are those of scanning each genomic position once."""
    rng = np.random.default_rng(0)
    genome = {name: rng.choice(5, 600, p=[0.24, 0.24, 0.24, 0.24, 0.04]).astype(np.int8) for name in ("chr1", "chr2")}
    genome["chr1"][150:160] = encode("TGACTCAGCA")
    places = [
        ("chr1", 100, "-"), ("chr1", 60, "+"), ("chr2", 60, "+"), ("chr1", 100, "+"), ("chr1", 180, "-"), ("chr1", 400, "+"),
        ("chr2", 110, "-"),
    ]  # fmt: skip
    collection = [consensus_motif("TGACTCAGCA", "a"), random_motif(rng, 7, "b")]
    windows, codes = windows_of(genome, places, 100)
    summary, file, table = scan_places(tmp_path, genome, windows, collection, p_threshold=1.0)
    # The same distinct stretches of the genome as separate windows; sites in [60, 280) are in one of three windows.
    background = file.background[0]
    sites = set()
    for row, (chrom, start, strand) in enumerate(places):
        for motif in collection:
            for first in range(100 - len(motif) + 1):
                if (codes[row, first : first + len(motif)] < 4).all():
                    low = start + first if strand == "+" else start + 100 - first - len(motif)
                    sites |= {(motif.id, chrom, low, sign) for sign in "+-"}
    assert summary.n_tests == len(sites) < len(table)
    scores = {motif.id: motif_scores(motif, background) for motif in collection}
    p = []
    for motif_id, chrom, low, sign in sites:
        of = scores[motif_id]
        word = genome[chrom][low : low + len(of.steps)]
        total = of.steps[np.arange(len(of.steps)), word if sign == "+" else reverse_complement(word)].sum()
        p.append(of.tail[total - of.lowest])
    p = np.array(p)
    q = false_discovery_control(p)
    by_p = {round(np.log(a), 6): b for a, b in zip(p, q, strict=True)}
    np.testing.assert_allclose(table["q_value"], [by_p[round(np.log(a), 6)] for a in table["p_value"]])
    # Every gene has all of its hits, including those shared with other genes.
    assert table.groupby("gene_id").size().tolist() == [
        sum(2 * int((codes[row, i : i + w] < 4).all()) for w in (10, 7) for i in range(101 - w)) for row in range(len(places))
    ]


def test_classes_of_gc_have_their_own_background_and_cuts(tmp_path):
    rng = np.random.default_rng(1)
    shares = np.repeat([0.2, 0.5, 0.8], 4)[rng.permutation(12)]
    codes = np.stack([rng.choice(4, 150, p=[(1 - gc) / 2, gc / 2, gc / 2, (1 - gc) / 2]) for gc in shares]).astype(np.int8)
    collection = [random_motif(rng, 8, "a"), consensus_motif("GCGCATGC", "b"), consensus_motif("ACG", "short")]
    strands = ["+", "-"] * 6
    summary, file, table = scan(tmp_path / "three", codes, strands, collection, p_threshold=5e-3, gc_classes=3)
    assert file.windows["gc_class"].tolist() == sorted(file.windows["gc_class"])
    of_gene = file.windows.set_index("gene_id")["gc_class"]
    assert [of_gene[f"g{i}"] for i in range(12)] == np.searchsorted([0.3, 0.6], shares).tolist()
    tests = []
    for number in range(3):
        here = np.flatnonzero([of_gene[f"g{i}"] == number for i in range(12)])
        background = base_composition([codes[here]])
        np.testing.assert_allclose(file.background[number], background)
        expected, of_class = brute_force(codes[here], [f"g{i}" for i in here], collection, background, 5e-3)
        tests.append(of_class)
        found = table[table["gene_id"].isin([f"g{i}" for i in here])]
        p = dict(zip(found[KEY].itertuples(index=False, name=None), found["p_value"], strict=True))
        assert p.keys() == expected.keys()
        np.testing.assert_allclose([p[key] for key in expected], list(expected.values()), rtol=1e-9)
    assert summary.n_tests == sum(map(len, tests))
    able = ~file.motifs["best_only"].to_numpy()[file.cuts["motif"]]
    assert (file.cuts["p_value"][able] <= 5e-3).all()
    assert summary.best_only == ["SHORT"]
    assert (file.cuts["p_value"][~able] > 0).all()
    q = np.sort(false_discovery_control(np.concatenate(tests)))[: len(table)]
    assert (np.sort(table["q_value"]) >= q * (1 - 1e-9)).all()
    np.testing.assert_allclose(table["q_value"].min(), q[0])


def test_gc_classes_are_of_equal_size_and_keep_equal_windows_together():
    gc = np.array([0.5, 0.1, 0.9, 0.5, 0.3, 0.7])
    counts = np.rint(100 * np.stack([1 - gc, gc, 0 * gc, 0 * gc], axis=1)).astype(int)
    assert motifs.classes_of_gc(counts, 1).tolist() == [0] * 6
    assert motifs.classes_of_gc(counts, 2).tolist() == [0, 0, 1, 0, 0, 1]
    assert motifs.classes_of_gc(counts, 3).tolist() == [1, 0, 2, 1, 0, 2]
    assert motifs.classes_of_gc(np.zeros((2, 4), int), 3).tolist() == [0, 0]
    assert motifs.classes_of_gc(np.zeros((0, 4), int), 3).tolist() == []


def test_a_motif_too_short_for_the_threshold_is_cut_at_its_best_word(tmp_path):
    codes = encode("GGACGTAGACGTTGTACGTGG")[None]
    collection = [consensus_motif("ACGTA", "short"), consensus_motif("GGACGTAGACG", "long")]
    summary, file, table = scan(tmp_path, codes, ["+"], collection)
    assert summary.best_only == ["SHORT"]
    assert file.motifs["best_only"].tolist() == [True, False]
    short = table[table["motif_id"] == "short"]
    assert list(zip(short["window_start"], short["orientation"], strict=True)) == [(2, "+"), (14, "-")]
    assert (short["p_value"] > 1e-4).all()


def test_blocks_and_processes_do_not_change_the_result(tmp_path):
    rng = np.random.default_rng(0)
    codes = rng.choice(5, (9, 120), p=[0.3, 0.18, 0.2, 0.3, 0.02]).astype(np.int8)
    collection = [consensus_motif("TGACTCAGC", "gcn4"), random_motif(rng, 7)]
    for classes in (1, 3):
        one, _, table = scan(tmp_path / "one", codes, ["+", "-", "+"] * 3, collection, p_threshold=0.02, gc_classes=classes)
        for parameters in ({"block_bases": 130}, {"block_bases": 260, "processes": 2}):
            folder = tmp_path / str(parameters)
            other, _, same = scan(
                folder, codes, ["+", "-", "+"] * 3, collection, p_threshold=0.02, gc_classes=classes, **parameters
            )
            assert other == one
            assert same.equals(table)
            assert not list(folder.glob(".part*"))
    assert table["gene_id"].nunique() == 9


def test_windows_full_of_n_and_no_genes_at_all(tmp_path):
    codes = np.full((2, 80), 4, np.int8)
    codes[1, 20:60] = np.random.default_rng(0).integers(0, 4, 40)
    collection = [random_motif(np.random.default_rng(1), 6)]
    summary, _, table = scan(tmp_path / "n", codes, ["+", "-"], collection, p_threshold=1.0)
    assert summary.n_tests == len(table) == 2 * 35
    assert set(table["gene_id"]) == {"g1"}
    assert (table["window_start"].min(), table["window_end"].max()) == (20, 60)
    genome, places = apart(codes, ["+", "-"])
    windows = windows_of(genome, places, 80)[0].assign(split="train")
    summary, file, table = scan_places(tmp_path / "none", genome, windows, collection, "held_out", gc_classes=2)
    assert (summary.n_genes, summary.n_tests, summary.n_hits, len(file), len(table)) == (0, 0, 0, 0, 0)


def test_only_the_selected_genes_are_scanned(tmp_path):
    codes = np.random.default_rng(0).integers(0, 4, (4, 80)).astype(np.int8)
    collection = [random_motif(np.random.default_rng(1), 6)]
    (tmp_path / "genes.txt").write_text("g3\ng1\n")
    _, file, some = scan(tmp_path / "some", codes, ["+", "-"] * 2, collection, str(tmp_path / "genes.txt"), p_threshold=1.0)
    assert file.windows["gene_id"].tolist() == ["g1", "g3"]
    assert set(some["gene_id"]) == {"g1", "g3"}
    np.testing.assert_allclose(file.background, base_composition([codes[[1, 3]]])[None])


def test_invalid_parameters_are_refused(tmp_path):
    codes = np.zeros((1, 60), np.int8)
    collection = [consensus_motif("TGACTCAGC", "gcn4")]
    for parameters in ({"p_threshold": 0}, {"gc_classes": 0}, {"gc_classes": 11}, {"processes": 0}):
        with pytest.raises(InputError, match="motifs: "):
            scan(tmp_path, codes, ["+"], collection, **parameters)
    with pytest.raises(InputError, match="there are 0 motifs"):
        scan(tmp_path, codes, ["+"], [])
    with pytest.raises(InputError, match="all, held_out, or a file"):
        scan(tmp_path, codes, ["+"], collection, "some")
    assert not (tmp_path / "hits.h5").exists()


def test_program(tmp_path):
    codes = np.random.default_rng(0).integers(0, 4, (4, 200)).astype(np.int8)
    genome, places = apart(codes, ["+", "-"] * 2)
    path = write_dataset(tmp_path, genome, windows_of(genome, places, 200)[0])
    collection = [consensus_motif("TGACTCAGC", "gcn4"), consensus_motif("ACGTT", "short")]
    write_meme(collection, tmp_path / "m.meme")
    options = [
        f"--dataset={path}",
        f"--motifs={tmp_path / 'm.meme'}",
        "--set=motifs.p_threshold=0.01",
        "--set=motifs.gc_classes=2",
    ]
    scan_motifs.main(scan_motifs.parser().parse_args([*options, f"--output={tmp_path / 'program.h5'}"]))
    motifs.scan_genes(path, "all", collection, tmp_path / "function.h5", p_threshold=0.01, gc_classes=2)
    one, other = read_hits(tmp_path / "program.h5"), read_hits(tmp_path / "function.h5")
    assert len(one) and one.equals(other)
    with h5py.File(tmp_path / "program.h5") as file:
        assert (file["hits/motif"].dtype, file["hits/start"].dtype) == (np.uint16, np.uint32)
    assert len(list(itertools.chain(tmp_path.glob(".part*")))) == 0
