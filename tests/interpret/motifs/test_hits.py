import numpy as np
import pytest

import export_hits
from cisnake.data.genome.bases import decode, reverse_complement
from cisnake.errors import InputError
from cisnake.files import read_table
from cisnake.interpret.motifs import hits
from cisnake.interpret.motifs.hits import SITE_COLUMNS, HitFile, read_hits
from cisnake.interpret.motifs.scan import scan_genes

from .scanned import TSS, consensus_motif, random_motif, windows_of, write_dataset

WORD = "TGACTCAGC"


@pytest.fixture(scope="module")
def scanned(tmp_path_factory):
    """Four overlapping genes of either strand on two chromosomes, with a word planted on both strands of the genome."""
    folder = tmp_path_factory.mktemp("hits")
    rng = np.random.default_rng(0)
    genome = {name: rng.integers(0, 4, 500).astype(np.int8) for name in ("chr1", "chr2")}
    word = np.array(["ACGT".index(base) for base in WORD], np.int8)
    for codes in genome.values():
        codes[130:139], codes[170:179] = word, reverse_complement(word)
    windows, _ = windows_of(genome, [("chr2", 90, "-"), ("chr1", 60, "+"), ("chr1", 100, "-"), ("chr2", 100, "+")], 120)
    motifs = [consensus_motif(WORD, "gcn4"), random_motif(rng, 7), random_motif(rng, 12, "w")]
    scan_genes(write_dataset(folder, genome, windows), "all", motifs, folder / "hits.h5", p_threshold=0.02)
    return folder, genome, windows


def test_hits_have_positions_on_the_genome_and_from_the_tss(scanned):
    folder, genome, windows = scanned
    table = read_hits(folder / "hits.h5")
    assert tuple(table.columns) == SITE_COLUMNS
    assert set(table["gene_id"]) == set(windows["gene_id"])
    for hit in table.itertuples():
        gene = windows.set_index("gene_id").loc[hit.gene_id]
        forward = gene["strand"] == "+"
        assert hit.chrom == gene["chrom"]
        assert hit.start == (gene["start"] + hit.window_start if forward else gene["end"] - hit.window_end)
        read = genome[hit.chrom][hit.start : hit.end]
        assert decode(read if hit.strand == "+" else reverse_complement(read)) == hit.matched_seq
        assert (hit.strand == gene["strand"]) == (hit.orientation == "+")
        assert hit.from_tss == (hit.window_start + hit.window_end - 1) // 2 - TSS
    planted = table[table["matched_seq"] == WORD]
    assert len(planted) == 8
    assert sorted(set(zip(planted["chrom"], planted["start"], planted["strand"], strict=True))) == [
        ("chr1", 130, "+"), ("chr1", 170, "-"), ("chr2", 130, "+"), ("chr2", 170, "-"),
    ]  # fmt: skip


def test_genes_and_motifs_can_be_chosen(scanned, monkeypatch):
    path = scanned[0] / "hits.h5"
    table = read_hits(path)
    assert table["gene_id"].drop_duplicates().tolist() == ["g0", "g1", "g2", "g3"]
    order = table.assign(reverse=table["orientation"] == "-").groupby("gene_id")[["window_start"]]
    assert all(of_gene["window_start"].is_monotonic_increasing for _, of_gene in order)
    for genes, motifs in ((["g3", "g1"], None), (None, ["m"]), (["g2"], ["w", "gcn4"]), ([], None)):
        kept = table["gene_id"].isin(genes if genes is not None else table["gene_id"])
        kept &= table["motif_id"].isin(motifs if motifs is not None else table["motif_id"])
        for block in (hits._BLOCK_HITS, 10):
            monkeypatch.setattr(hits, "_BLOCK_HITS", block)
            assert read_hits(path, genes, motifs).equals(table[kept].reset_index(drop=True)) or not kept.any()
            assert len(read_hits(path, genes, motifs)) == kept.sum()
    with pytest.raises(InputError, match=r"unknown gene in .*'g9'"):
        read_hits(path, ["g9"])
    with pytest.raises(InputError, match=r"unknown motif in .*'gcn5': did you mean gcn4"):
        read_hits(path, None, ["gcn5"])


def test_rows_are_read_in_any_order(scanned):
    file = HitFile(scanned[0] / "hits.h5")
    whole = file.read(np.arange(4))
    rows = np.array([2, 3, 0, 2])
    some = file.read(rows)
    for place, row in enumerate(rows):
        here, there = some[np.flatnonzero(some.row == place)], whole[np.flatnonzero(whole.row == row)]
        for name in ("motif", "start", "end", "orientation", "level"):
            np.testing.assert_array_equal(getattr(here, name), getattr(there, name))
    assert len(file.read(np.zeros(0, int))) == 0


def test_an_incomplete_file_is_refused(scanned, tmp_path):
    whole = (scanned[0] / "hits.h5").read_bytes()
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"no HDF5"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as hits of motifs"):
            HitFile(tmp_path / name)
    with pytest.raises(InputError, match="cannot be read as hits of motifs"):
        HitFile(tmp_path / "missing")
    with pytest.raises(InputError, match="cannot be read as hits of motifs"):
        HitFile(scanned[0] / "dataset.h5")


def test_program_makes_tables_for_people_and_for_browsers(scanned, tmp_path):
    path = scanned[0] / "hits.h5"
    for name in ("hits.tsv", "hits.bed"):
        export_hits.main(
            export_hits.parser().parse_args([f"--hits={path}", "--genes", "g1", "g2", f"--output={tmp_path / name}"])
        )
    table = read_hits(path, ["g1", "g2"])
    kinds = dict.fromkeys(("start", "end", "window_start", "window_end", "from_tss"), "int")
    written = read_table(tmp_path / "hits.tsv", **kinds, score="float", p_value="float", q_value="float")
    assert list(written.columns) == list(table.columns)
    for column in table.columns:
        if column in ("score", "p_value", "q_value"):
            np.testing.assert_allclose(written[column], table[column], rtol=1e-6)
        else:
            assert written[column].tolist() == table[column].tolist()
    lines = [line.split("\t") for line in (tmp_path / "hits.bed").read_text().splitlines()]
    assert [line[:4] + line[5:] for line in lines] == [
        [hit.chrom, str(hit.start), str(hit.end), hit.motif_name, hit.strand] for hit in table.itertuples()
    ]
    assert [int(line[4]) for line in lines] == np.minimum(-10 * np.log10(table["p_value"]), 1000).round().astype(int).tolist()
