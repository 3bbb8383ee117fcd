import dataclasses

import numpy as np
import pytest

import enrich_motifs
from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.data.motif_database import Motif, write_meme
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.interpret.motifs import hits_in_peaks
from cisnake.interpret.motifs.enrichment import SiteCounts
from cisnake.interpret.motifs.hits import HIT_COLUMNS, SITE_COLUMNS, read_hits
from cisnake.interpret.motifs.scan import scan_genes

from .scanned import consensus_motif, peak_table, random_motif, windows_of, write_contrast, write_dataset

WORD = "TGACTCAGC"
NUMBERS = dict.fromkeys(("start", "end", "window_start", "window_end", "from_tss"), "int") | dict.fromkeys(
    ("score", "p_value", "q_value", "site_attr_score", "motif_attr_score"), "float"
)


def run(folder, genome, places, length, motifs, attributions=None, p_threshold=1e-4):
    windows, codes = windows_of(genome, places, length)
    scan_genes(write_dataset(folder, genome, windows), "all", motifs, folder / "hits.h5", p_threshold=p_threshold)
    # Genes in attributions are in the order of shards and folds, not of the data set.
    order = np.arange(len(windows))[::-1]
    windows, codes = windows.iloc[order].reset_index(drop=True), codes[order]
    attributions = None if attributions is None else attributions[order]
    return write_contrast(folder / "a.h5", windows, codes, attributions)


def find(folder, file, peaks, motifs, name="t", **parameters) -> tuple[SiteCounts, object]:
    counts = hits_in_peaks.write_hits_in_peaks(
        folder / "hits.h5",
        file,
        peaks,
        motifs,
        folder / f"{name}.tsv",
        folder / f"{name}.bed",
        hits_in_peaks.HitSearch(**parameters),
    )
    return counts, read_table(folder / f"{name}.tsv", **NUMBERS)


@pytest.fixture
def planted(tmp_path):
    """Four genes of either strand with the word planted along the gene at 30 and against it at 70."""
    rng = np.random.default_rng(0)
    genome, places = np.full(6000, 4, np.int8), []
    for row, strand in enumerate("+-+-"):
        codes = rng.choice(4, 120, p=[0.38, 0.12, 0.12, 0.38]).astype(np.int8)
        codes[30:39], codes[70:79] = encode(WORD), reverse_complement(encode(WORD))
        genome[1000 * (row + 1) : 1000 * (row + 1) + 120] = codes if strand == "+" else reverse_complement(codes)
        places.append(("chr1", 1000 * (row + 1), strand))
    attributions = rng.normal(size=(4, 4, 120)).astype(np.float32)
    motifs = [consensus_motif(WORD, "gcn4"), random_motif(rng, 7)]
    return tmp_path, run(tmp_path, {"chr1": genome}, places, 120, motifs, attributions, 0.02), motifs, attributions


def test_hits_are_those_of_the_peak_that_they_overlap_most(planted):
    folder, file, motifs, _ = planted
    rows = [
        ("p0", "g0", 30, 39, 1.0),  # all of the site
        ("p1", "g1", 36, 48, 1.0),  # [31, 53) with flanks: 8 of 9 bases
        ("p2", "g1", 10, 32, -1.0),  # [5, 37): 7 of 9, less than p1
        ("p3", "g2", 40, 60, 1.0),  # [35, 65): 4 of 9, less than half
        ("p4", "g3", 72, 76, 1.0),  # [67, 81): all of the second site
    ]
    counts, table = find(folder, file, peak_table(rows), motifs)
    best = table[(table["motif_id"] == "gcn4") & (table["matched_seq"] == WORD)]
    found = dict(zip(zip(best["gene_id"], best["window_start"], strict=True), best["peak_id"], strict=True))
    assert found == {("g0", 30): "p0", ("g1", 30): "p1", ("g3", 70): "p4"}
    assert set(table["region"]) == {"peak"}
    _, without = find(folder, file, peak_table(rows), motifs, "none", flank=0)
    without = without[(without["motif_id"] == "gcn4") & (without["matched_seq"] == WORD)]
    assert without["peak_id"].tolist() == ["p4", "p0"]
    assert counts.n_peaks == 5
    inside = table[table["motif_id"] == "gcn4"]
    assert counts.hits[0] == len(inside)
    assert counts.attribution[0] == pytest.approx(inside["site_attr_score"].sum(), rel=1e-5)


def test_rows_are_those_of_the_scan_with_the_attribution_of_their_sites(planted):
    folder, file, motifs, attributions = planted
    peaks = peak_table([(f"p{i}", f"g{i}", 0, 120, 1.0) for i in range(4)])
    _, table = find(folder, file, peaks, motifs)
    assert tuple(table.columns) == HIT_COLUMNS
    whole = read_hits(folder / "hits.h5", table["gene_id"].unique())
    assert table["gene_id"].drop_duplicates().tolist() == ["g3", "g2", "g1", "g0"]
    key = ["gene_id", "window_start", "motif_id", "orientation"]
    one, other = table.sort_values(key, ignore_index=True), whole.sort_values(key, ignore_index=True)
    for column in SITE_COLUMNS:
        if NUMBERS.get(column) == "float":
            np.testing.assert_allclose(one[column], other[column], rtol=1e-6)
        else:
            assert one[column].tolist() == other[column].tolist()
    matrices = {motif.id: motif.probabilities for motif in motifs}
    for hit in table.itertuples():
        local = attributions[int(hit.gene_id[1:]), :, hit.window_start : hit.window_end].astype(float)
        matrix = matrices[hit.motif_id]
        oriented = matrix if hit.orientation == "+" else matrix[::-1, ::-1]
        assert hit.site_attr_score == pytest.approx(local.sum() / len(matrix), abs=1e-6)
        assert hit.motif_attr_score == pytest.approx((local * oriented.T).sum() / len(matrix), abs=1e-6)
    bed = [line.split("\t") for line in (folder / "t.bed").read_text().splitlines()]
    assert [line[:4] + line[5:] for line in bed] == [
        [hit.chrom, str(hit.start), str(hit.end), hit.motif_name, hit.strand] for hit in table.itertuples()
    ]
    assert all(0 <= int(line[4]) <= 1000 for line in bed)


def test_a_gene_twice_changes_no_count(tmp_path):
    """Duplicate windows, on either strand, do not change the counts."""
    rng = np.random.default_rng(4)
    genome = {"chr1": rng.integers(0, 4, 1200).astype(np.int8)}
    for start in (400 * row + 40 + 90 * i for row in range(3) for i in range(4)):
        genome["chr1"][start : start + 9] = encode(WORD)
    motifs = [consensus_motif(WORD, "gcn4"), random_motif(rng, 6)]
    places = [("chr1", 0, "+"), ("chr1", 400, "-"), ("chr1", 800, "+")]
    of_strand = {"+": lambda a, b: (a, b), "-": lambda a, b: (400 - b, 400 - a)}
    called = [(row, *of_strand[strand](start - 400 * row, start - 400 * row + 12)) for row, (_, _, strand) in enumerate(places)
              for start in range(400 * row + 37, 400 * row + 380, 90)]  # fmt: skip
    results = {}
    for name, copies in {
        "once": places,
        "again": [*places, *places],
        "turned": [*places, *((c, s, "-+"[t == "-"]) for c, s, t in places)],
    }.items():
        rows, number = [], 0
        for index, (_, _, strand) in enumerate(copies):
            for row, start, end in called:
                if row == index % 3:
                    turned = strand != places[row][2]
                    at = (400 - end, 400 - start) if turned else (start, end)
                    # The peaks of a copy are slightly shorter and weaker.
                    rows.append((f"p{number}", f"g{index}", at[0] + (index > 2), at[1], 1.0 - 0.5 * (index > 2)))
                    number += 1
        (tmp_path / name).mkdir()
        file = run(tmp_path / name, genome, copies, 400, motifs, p_threshold=1e-3)
        results[name] = find(tmp_path / name, file, peak_table(rows), motifs)
    once, table = results["once"]
    assert once.n_peaks == len(called)
    assert once.positive[0] >= 10
    for name in ("again", "turned"):
        counts, more = results[name]
        assert len(more) == 2 * len(table)
        assert counts.n_peaks == once.n_peaks
        np.testing.assert_array_equal(counts.positive, once.positive)
        np.testing.assert_array_equal(counts.hits, once.hits)
        # Copies draw their own windows; those that overlap others are left out.
        assert once.n_background <= counts.n_background < 2 * once.n_background


def test_background_is_free_of_the_peaks_of_other_genes(tmp_path):
    """A peak of one gene is not background for another gene whose window contains it."""
    genome = {"chr1": np.zeros(400, np.int8)}
    sites = np.arange(10, 390, 30)
    for start in sites:
        genome["chr1"][start : start + 9] = encode(WORD)
    places = [("chr1", 0, "+"), ("chr1", 0, "-")]
    motifs = [consensus_motif(WORD, "gcn4")]
    rows = [(f"p{i}", "g0", int(start) - 1, int(start) + 10, 1.0) for i, start in enumerate(sites[1:])]
    rows.append(("q", "g1", 400 - 20, 400 - 9, 1.0))
    file = run(tmp_path, genome, places, 400, motifs)
    counts, _ = find(tmp_path, file, peak_table(rows), motifs, flank=1)
    assert (counts.n_peaks, counts.positive[0], counts.background[0]) == (13, 13, 0)
    assert counts.n_background > 0


@pytest.mark.parametrize("block_bases", [150, 1_000_000])
def test_background_windows_of_genes_that_share_a_place_are_one(tmp_path, block_bases):
    """With a motif that matches everywhere, every counted window has a hit, and excluded windows have none."""
    motifs = [Motif("a", "everywhere", np.array([[1.0, 0, 0, 0]]))]
    file = run(tmp_path, {"chr1": np.zeros(400, np.int8)}, [("chr1", 0, "+-"[i % 2]) for i in range(8)], 400, motifs)
    peaks = peak_table([(f"p{i}", f"g{2 * i}", 190 + 12 * i, 200 + 12 * i, 1.0) for i in range(4)])
    counts, _ = find(tmp_path, file, peaks, motifs, flank=0, block_bases=block_bases)
    assert counts.n_peaks == counts.positive[0] == 4
    assert 4 <= counts.n_background < 12
    assert counts.background[0] == counts.n_background


def test_a_site_between_two_peaks_counts_in_one(tmp_path):
    genome = {"chr1": np.random.default_rng(0).integers(0, 4, 300).astype(np.int8)}
    genome["chr1"][100:109] = encode(WORD)
    motifs = [consensus_motif(WORD, "gcn4")]
    file = run(tmp_path, genome, [("chr1", 0, "+"), ("chr1", 50, "+")], 200, motifs)
    peaks = peak_table([("a", "g0", 90, 105, 1.0), ("b", "g1", 58, 70, -2.0)])
    counts, table = find(tmp_path, file, peaks, motifs)
    assert len(table) == 2
    assert (counts.n_peaks, counts.positive[0], counts.negative[0], counts.hits[0]) == (2, 1, 0, 1)


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize(("word", "strands"), [("TGACGTCA", 2), ("TGACTCCA", 1)])
def test_a_site_of_two_genes_counts_once_on_each_strand_that_it_reads_on(tmp_path, word, strands, strand):
    """A site in peaks of two genes is listed twice in the table, but counted once per genomic strand."""
    genome = {"chr1": np.random.default_rng(0).integers(0, 4, 300).astype(np.int8)}
    genome["chr1"][100:108] = encode(word)
    motifs = [consensus_motif(word, "cre")]
    file = run(tmp_path, genome, [("chr1", 0, "+"), ("chr1", 50, strand)], 200, motifs)
    # [90, 104) and [104, 118) on the genome: each has half of the site, so the flanks share it and both peaks count.
    other = (54, 68) if strand == "+" else (132, 146)
    counts, table = find(tmp_path, file, peak_table([("a", "g0", 90, 104, 1.0), ("b", "g1", *other, 1.0)]), motifs)
    expected = [(gene, on) for gene in ("g0", "g1") for on in "+-"[:strands]]
    assert sorted(zip(table["gene_id"], table["strand"], strict=True)) == expected
    assert set(zip(table["start"], table["end"], strict=True)) == {(100, 108)}
    assert (counts.n_peaks, counts.hits[0]) == (2, strands)


def test_a_site_that_two_peaks_share_alike_is_in_the_first_on_the_genome(tmp_path):
    """The order of genes does not matter: the later peak has its own site, the first has no other site."""
    word = "TGACTCCA"
    genome = {"chr1": np.random.default_rng(0).integers(0, 4, 300).astype(np.int8)}
    genome["chr1"][100:108] = genome["chr1"][112:120] = encode(word)
    motifs = [consensus_motif(word, "a")]
    windows, codes = windows_of(genome, [("chr1", 0, "+"), ("chr1", 50, "+")], 200)
    scan_genes(write_dataset(tmp_path, genome, windows), "all", motifs, tmp_path / "hits.h5")
    peaks = peak_table([("a", "g0", 90, 104, 1.0), ("b", "g1", 54, 68, 1.0)])
    for order in ([0, 1], [1, 0]):
        file = write_contrast(tmp_path / "a.h5", windows.iloc[order].reset_index(drop=True), codes[order])
        counts, _ = find(tmp_path, file, peaks, motifs)
        assert (counts.n_peaks, counts.positive[0], counts.hits[0]) == (2, 2, 2)


def test_the_order_of_genes_in_attributions_changes_no_count(tmp_path):
    """Shards and folds determine the order of genes; windows overlap, so that some background windows are left out."""
    rng = np.random.default_rng(3)
    genome = {"chr1": rng.integers(0, 4, 700).astype(np.int8)}
    motifs = [consensus_motif("TGAC", "a"), random_motif(rng, 4)]
    windows, codes = windows_of(genome, [("chr1", 40 * i, "+-"[i % 2]) for i in range(10)], 300)
    scan_genes(write_dataset(tmp_path, genome, windows), "all", motifs, tmp_path / "hits.h5", p_threshold=0.02)
    rows = [(f"p{i}", f"g{i}", 100, 118, float(i + 1)) for i in range(10)]
    found = []
    for order in (np.arange(10), np.arange(10)[::-1], rng.permutation(10)):
        file = write_contrast(tmp_path / "a.h5", windows.iloc[order].reset_index(drop=True), codes[order])
        found.append(dataclasses.astuple(find(tmp_path, file, peak_table([rows[i] for i in order]), motifs)[0]))
    assert found[0][1] > 5
    assert found[0][4].any()
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(one, two)


def test_blocks_and_processes_do_not_change_the_result(planted):
    folder, file, motifs, _ = planted
    peaks = peak_table([("p0", "g0", 30, 39, 1.0), ("p1", "g1", 20, 45, 1.0), ("p4", "g3", 72, 76, -1.0)])
    one, table = find(folder, file, peaks, motifs, "one")
    for name, parameters in {"blocks": {"block_bases": 130}, "processes": {"block_bases": 260, "processes": 2}}.items():
        other, same = find(folder, file, peaks, motifs, name, **parameters)
        assert same.equals(table)
        for field in dataclasses.fields(SiteCounts):
            np.testing.assert_array_equal(getattr(other, field.name), getattr(one, field.name))
    assert not list(folder.glob(".part*"))


def test_files_of_different_runs_are_refused(planted):
    folder, file, motifs, _ = planted
    for parameters in ({"flank": -1}, {"processes": 0}):
        with pytest.raises(InputError, match="motifs: "):
            find(folder, file, peak_table(), motifs, **parameters)
    with pytest.raises(InputError, match="unknown gene in the peak table 'g9'"):
        find(folder, file, peak_table([("p0", "g9", 30, 39, 1.0)]), motifs)
    for others in (motifs[:1], [motifs[0], consensus_motif("ACGTACGT", "m")], motifs[::-1]):
        with pytest.raises(InputError, match="has other motifs: rerun scan_motifs"):
            find(folder, file, peak_table(), others)
    moved = file.windows.assign(start=file.windows["start"] + 1, end=file.windows["end"] + 1)
    codes = file.read_block(0, 4)[1]
    with pytest.raises(InputError, match=r"the windows in .* differ from those in"):
        find(folder, write_contrast(folder / "moved.h5", moved, codes), peak_table(), motifs)
    renamed = file.windows.assign(gene_id=["x", "g2", "g1", "g0"])
    with pytest.raises(InputError, match="lacks the gene x"):
        find(folder, write_contrast(folder / "renamed.h5", renamed, codes), peak_table(), motifs)


@pytest.mark.parametrize("genes", [4, 0])
def test_the_program_writes_valid_tables_without_peaks_or_genes(planted, tmp_path, genes):
    folder, file, motifs, _ = planted
    path = folder / "a.h5"
    if not genes:
        path = write_contrast(folder / "none.h5", file.windows[:0], np.zeros((0, 120), np.int8)).path
    write_meme(motifs, tmp_path / "m.meme")
    write_table(peak_table(), tmp_path / "p.tsv")
    outputs = {"output-hits": "h.tsv", "output-bed": "h.bed", "output-tests": "e.tsv"}
    inputs = {"hits": "hits.h5", "attributions": path.name, "peaks": "p.tsv", "motifs": "m.meme"}
    options = [f"--{name}={tmp_path / value}" for name, value in {**inputs, **outputs}.items()]
    enrich_motifs.main(enrich_motifs.parser().parse_args(options))
    assert (tmp_path / "h.tsv").read_text() == "\t".join(HIT_COLUMNS) + "\n"
    assert (tmp_path / "h.bed").read_text() == ""
    enrichment = read_table(tmp_path / "e.tsv", p_value="float", n_hits="int")
    assert enrichment["p_value"].tolist() == [1, 1]
    assert enrichment["mean_attribution"].tolist() == ["", ""]
    assert not list(tmp_path.glob(".part*"))
