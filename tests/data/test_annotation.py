"""Genes and TSSs must come out of GTF and BED with the right coordinates, and bad files must be named with the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cisnake.data.annotation import read_genes, read_tss
from cisnake.errors import InputError


@pytest.fixture
def gtf(tmp_path: Path):
    def write(*lines: str, name: str = "genes.gtf") -> Path:
        path = tmp_path / name
        with gzip.open(path, "wt") if name.endswith(".gz") else open(path, "w") as file:
            file.writelines(lines)
        return path

    return write


@pytest.mark.parametrize("name", ["genes.gtf", "genes.gtf.gz"])
def test_genes_are_half_open_and_in_order(gtf, gene_row, name):
    path = gtf(
        "#!genome-build x\n",
        gene_row("chr2", 10, 20, "-", gene_id="NA", gene_name="1e5", gene_type="lncRNA"),
        gene_row("chr2", 10, 15, "-", "exon", gene_id="NA"),
        "\n",
        gene_row("chr1", 0, 1, "+", gene_id="b", gene_biotype="protein_coding", class_="x#y"),
        name=name,
    )
    genes = read_genes(path, ["class_", "absent"])
    assert genes.to_dict("list") == {
        "gene_id": ["NA", "b"],
        "gene_name": ["1e5", "b"],
        "gene_biotype": ["lncRNA", "protein_coding"],
        "chrom": ["chr2", "chr1"],
        "start": [10, 0],
        "end": [20, 1],
        "strand": ["-", "+"],
        "class_": ["", "x#y"],
        "absent": ["", ""],
    }


def test_attributes_are_read_whole(gtf, gene_row):
    path = gtf(
        # A key inside another value or at the end of another key is no key, and a # cuts nothing off.
        gene_row("a", 0, 9, "+", note="no #1 gene_id wrong", ref_gene_id="wrong", gene_id="g", tag="t.1"),
        "a\tx\tgene\t1\t9\t.\t+\t.\tgene_id h; gene_name bare\n",
    )
    assert read_genes(path, ["tag"])[["gene_id", "gene_name", "tag"]].values.tolist() == [["g", "g", "t.1"], ["h", "bare", ""]]


def test_file_without_gene_rows_gives_spans(gtf, gene_row):
    path = gtf(
        "# made by an assembler\n",
        gene_row("chr1", 50, 60, "-", "exon", gene_id="g", gene_name="G"),
        gene_row("chr1", 5, 9, "+", "exon", gene_id="h"),
        "\n",
        gene_row("chr1", 30, 40, "-", "exon", gene_id="g"),
        gene_row("chr1", 70, 85, "-", "exon", gene_id="g"),
    )
    found = read_genes(path)[["gene_id", "gene_name", "start", "end", "strand"]].values.tolist()
    assert found == [["g", "G", 30, 85, "-"], ["h", "h", 5, 9, "+"]]


@pytest.mark.parametrize("name", ["bad.gtf", "bad.gtf.gz"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\t11\t", "\tten\t", "start is not a number"),
        ("\t20\t", "\tinf\t", "end is not a number"),
        ("\t11\t", "\t0\t", "start must be at least 1"),
        ("\t20\t", "\t3\t", "end at least start"),
        ("\t-\t", "\t.\t", "without a strand"),
        ("gene_id ", "ID ", "no gene_id"),
        ("\t.\t-", "-", "7 columns, but GTF has 9"),
    ],
)
def test_bad_line_is_named(gtf, gene_row, name, old, new, message):
    good = gene_row("a", 0, 9, "+", gene_id="g")
    bad = gene_row("a", 10, 20, "-", gene_id="h")
    assert old in bad
    path = gtf("# comment\n", good, "\n", "# another\n", bad.replace(old, new), good, name=name)
    with pytest.raises(InputError, match=rf"line 5: .*{message}"):
        read_genes(path)


def test_spans_need_a_strand_too(gtf, gene_row):
    with pytest.raises(InputError, match="line 2: a gene without a strand"):
        read_genes(gtf("#\n", gene_row("a", 0, 9, ".", "exon", gene_id="g")))


def test_missing_empty_and_foreign_files_are_refused(gtf, tmp_path: Path):
    with pytest.raises(InputError, match="is not there"):
        read_genes(tmp_path / "none.gtf")
    for text in ("", "# only\n", "\n"):
        with pytest.raises(InputError, match="has no rows"):
            read_genes(gtf(text))
    (tmp_path / "plain.gtf.gz").write_text("a\tb\n")
    with pytest.raises(InputError, match="cannot be read"):
        read_genes(tmp_path / "plain.gtf.gz")
    whole = gzip.compress(b"a\tx\tgene\t1\t9\t.\t+\t.\tgene_id g\n" * 500)
    (tmp_path / "cut.gtf.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_genes(tmp_path / "cut.gtf.gz")


def test_tss_is_the_first_base_of_its_strand(tmp_path: Path):
    path = tmp_path / "tss.bed"
    path.write_text("#h\nchr1\t10\t11\tg\t0\t+\tclass\nchr1\t20\t25\th\t0\t-\tclass\nchr1\t30\t35\tNA\t0\t+\tclass\n")
    assert read_tss(path).values.tolist() == [["g", "chr1", 10, "+"], ["h", "chr1", 24, "-"], ["NA", "chr1", 30, "+"]]


@pytest.mark.parametrize("text", ["chr1\t1\t2\tg\n", "chr1\tx\t2\tg\t0\t+\n", "chr1\t1\tx\tg\t0\t+\n", ""])
def test_tss_file_that_is_no_bed6_is_refused(tmp_path: Path, text):
    (tmp_path / "tss.bed").write_text(text)
    with pytest.raises(InputError, match="must be BED with six columns"):
        read_tss(tmp_path / "tss.bed")
    with pytest.raises(InputError, match="is not there"):
        read_tss(tmp_path / "none.bed")


def test_a_gene_can_span_its_coding_sequence(tmp_path: Path, gene_row):
    path = tmp_path / "genes.gtf"
    name = {"gene_id": "A", "gene_name": "alpha"}
    rows = [gene_row("chr1", 100, 400, "+", **name)]
    rows += [gene_row("chr1", start, end, "+", "CDS", gene_id="A") for start, end in ((300, 350), (180, 220))]
    rows += [gene_row("chr1", 500, 700, "-", gene_id="rna"), gene_row("chr2", 10, 90, "-", gene_id="B")]
    rows += [gene_row("chr2", 20, 80, "-", "CDS", gene_id="B")]
    path.write_text("".join(rows))
    table = read_genes(path, feature="CDS")
    assert table[["gene_id", "start", "end"]].values.tolist() == [["A", 180, 350], ["rna", 500, 700], ["B", 20, 80]]
    assert table["gene_name"].tolist() == ["alpha", "rna", "B"]
    assert read_genes(path)["start"].tolist() == [100, 500, 10]
