"""Genes and TSSs from GTF, GFF3 and BED have the right coordinates; errors name the file and the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data.annotation.features import read_exons, read_genes, read_tss
from cisnake.errors import InputError

from .habits import HABITS, Habit


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
        # A key within a value, or at the end of another key, must not match; # does not start a comment.
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
        ("\t11\t", "\t1.5\t", "start is not an integer"),
        ("\t20\t", "\tinf\t", "end is not an integer"),
        ("\t11\t", "\t0\t", "start must be at least 1"),
        ("\t20\t", "\t3\t", "end not below start"),
        ("\t20\t", "\t10\t", "end not below start"),
        ("\t-\t", "\t*\t", "strand .* must be"),
        ("gene_id ", "ID ", "lacks the attribute gene_id"),
        ('gene_id "', 'gene_id ""; other "', "lacks the attribute gene_id"),
        ("\t.\t-", "-", "7 tab-separated columns, but GTF and GFF3 have 9"),
    ],
)
def test_bad_line_is_named(gtf, gene_row, name, old, new, message):
    good = gene_row("a", 0, 9, "+", gene_id="g")
    bad = gene_row("a", 10, 20, "-", gene_id="h")
    assert old in bad
    path = gtf("# comment\n", good, "\n", "# another\n", bad.replace(old, new), good, name=name)
    with pytest.raises(InputError, match=rf"{name}, line 5: .*{message}"):
        read_genes(path)


@pytest.mark.parametrize("feature", ["gene", "exon"])
@pytest.mark.parametrize("strand", [".", "?"])
def test_unknown_strand_is_a_dot(gtf, gene_row, feature, strand):
    path = gtf(gene_row("a", 0, 9, strand, feature, gene_id="g"), gene_row("a", 3, 9, "-", feature, gene_id="h"))
    assert read_genes(path)["strand"].tolist() == [".", "-"]


def test_missing_empty_and_foreign_files_are_errors(gtf, tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        read_genes(tmp_path / "none.gtf")
    with pytest.raises(InputError, match="is a folder"):
        read_genes(tmp_path)
    for text in ("", "# only\n", "\n", "##gff-version 3\n##FASTA\n>a\nACGT\n"):
        with pytest.raises(InputError, match="has no gene or transcript rows"):
            read_genes(gtf(text))
    row = b"a\tx\tgene\t1\t9\t.\t+\t.\tgene_id g\n"
    whole = gzip.compress(b"".join(row.replace(b"9", str(i).encode()) for i in range(10, 5000)))
    (tmp_path / "cut.gtf.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.gtf\.gz is damaged after line \d\d+ "):
        read_genes(tmp_path / "cut.gtf.gz")
    (tmp_path / "wide.gtf").write_bytes(row.decode().encode("utf-16"))
    with pytest.raises(InputError, match=r"wide\.gtf, line 1, is binary or UTF-16"):
        read_genes(tmp_path / "wide.gtf")


def test_format_is_detected_from_contents(gtf, gene_row, tmp_path: Path):
    # A byte-order mark, gzip with a plain suffix, plain text with the suffix .gz, and Latin-1.
    text = gene_row("a", 0, 9, "+", gene_id="g").encode()
    for name, raw in {"bom": b"\xef\xbb\xbf#!x\n" + text, "packed.gtf": gzip.compress(text), "plain.gtf.gz": text}.items():
        (tmp_path / name).write_bytes(raw)
        assert read_genes(tmp_path / name)[["gene_id", "chrom", "start"]].values.tolist() == [["g", "a", 0]]
    (tmp_path / "latin.gtf").write_bytes(text.rstrip() + b' description "Kr\xfcppel";\n')
    assert read_genes(tmp_path / "latin.gtf")["gene_id"].tolist() == ["g"]


def test_layout_of_lines_does_not_matter(gtf, gene_row):
    rows = [gene_row(c, s, s + 9, "+", gene_id=f"{c}{s}") for c, s in (("b", 50), ("a", 70), ("b", 3))]
    plain = read_genes(gtf(*rows))
    assert plain["gene_id"].tolist() == ["b50", "a70", "b3"]
    for change in (
        lambda line: line.replace("\n", "\r\n"),
        lambda line: line.replace("\n", "\r"),
        lambda line: line.replace(";\n", "\n"),
        lambda line: line.replace("\n", " \t\n\n# more\n \n"),
        lambda line: line.replace("gene_id ", "  gene_id\u0020\u0020"),
        lambda line: line.replace('"', "'"),
        lambda line: line.replace('"', ""),
    ):
        changed = gtf(*map(change, rows), name="changed.gtf")
        pd.testing.assert_frame_equal(read_genes(changed), plain)
    last = gtf(*rows[:-1], rows[-1].rstrip(), name="last.gtf")
    pd.testing.assert_frame_equal(read_genes(last), plain)


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ('note "a; gene_id wrong; b"; gene_id "g"; tag "t;u"', ("g", "t;u")),
        ("note 'a; gene_id wrong'; gene_id 'g'; tag 't;u'", ("g", "t;u")),
        ('note 5\' end; gene_id "g\'s"; tag "3\'"', ("g's", "3'")),
        ('gene_id "g";; tag  "t" ; tag "second"', ("g", "t")),
        ('gene_id "g"; level 2; tag "";', ("g", "")),
        ('gene_id "g"; Note "one" "two; tag 3"; tag "t"', ("g", "t")),
        ('gene_id "g h" ; tag bare word ;', ("g h", "bare word")),
        ('gene_id "100%25"; tag "x=y"', ("100%25", "x=y")),
    ],
)
def test_quoted_values_are_kept_whole(gtf, attributes, expected):
    path = gtf(f"a\tx\tgene\t1\t9\t.\t+\t.\t{attributes}\n")
    assert read_genes(path, ["tag"])[["gene_id", "tag"]].values.tolist() == [list(expected)]


def test_tss_is_the_first_base_of_its_strand(tmp_path: Path):
    path = tmp_path / "tss.bed"
    path.write_text("#h\nchr1\t10\t11\tg\t0\t+\tclass\nchr1\t20\t25\th\t0\t-\tclass\ntrack x\nchr1\t30\t35\tNA\t0\t+\r\n")
    assert read_tss(path).values.tolist() == [["g", "chr1", 10, "+"], ["h", "chr1", 24, "-"], ["NA", "chr1", 30, "+"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t1\t2\tg\n", "line 1: expected BED with six columns .*, found 4"),
        ("#\nchr1\tx\t2\tg\t0\t+\n", "line 2: start is not an integer"),
        ("chr1\t1\tx\tg\t0\t+\n", "line 1: end is not"),
        ("chr1\t2\t2\tg\t0\t+\n", "line 1: start must be at least 0, and end greater than start"),
        ("chr1\t-1\t2\tg\t0\t+\n", "line 1: start must be"),
        ("chr1\t1\t2\t\t0\t+\n", r"line 1: the name \(column 4\)"),
        ("chr1\t1\t2\tg\t0\t.\n", r"line 1: the strand \(column 6\) must be \+ or -"),
        ("", "has no rows"),
    ],
)
def test_tss_file_that_is_not_bed6_is_an_error(tmp_path: Path, text, message):
    (tmp_path / "tss.bed").write_text(text)
    with pytest.raises(InputError, match=rf"tss\.bed.*{message}"):
        read_tss(tmp_path / "tss.bed")
    with pytest.raises(InputError, match="does not exist"):
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


def test_exons_are_the_union_of_all_transcripts(gtf, gene_row, monkeypatch):
    exon = [(100, 120), (150, 160), (115, 130), (130, 140), (150, 160), (105, 110), (20, 30)]
    path = gtf(
        gene_row("c", 20, 200, "-", gene_id="g"),
        *(gene_row("c", start, end, "-", "exon", gene_id="g") for start, end in exon),
        gene_row("c", 0, 500, "-", "CDS", gene_id="g"),
        gene_row("c", 700, 900, "+", gene_id="coding_only"),
        gene_row("c", 750, 780, "+", "CDS", gene_id="coding_only"),
        gene_row("c", 780, 783, "+", "stop_codon", gene_id="coding_only"),
        gene_row("c", 710, 750, "+", "UTR", gene_id="coding_only"),
        gene_row("b", 40, 50, "+", gene_id="bare"),
        gene_row("b", 41, 42, "+", "exon", gene_id="no gene row"),
    )
    expected = [
        ["g", "c", 20, 30],
        ["g", "c", 100, 140],
        ["g", "c", 150, 160],
        ["coding_only", "c", 710, 783],
        ["bare", "b", 40, 50],
    ]
    assert read_exons(path).values.tolist() == expected
    monkeypatch.setattr("cisnake.data.annotation.gtf._BLOCK_ROWS", 2)
    assert read_exons(path).values.tolist() == expected
    assert read_genes(path, feature="CDS").values[:, 4:6].tolist() == [[20, 200], [750, 780], [40, 50]]


def test_spans_do_not_depend_on_blocks(gtf, gene_row, monkeypatch):
    rng = np.random.default_rng(3)
    rows = [("ab"[i % 2], int(s), int(s + n), f"g{i % 7}") for i, (s, n) in enumerate(rng.integers(1, 90, (60, 2)))]
    path = gtf(*(gene_row(c, s, e, "+", "exon", gene_id=g, gene_name=g.upper()) for c, s, e, g in rows))
    expected: dict[tuple[str, str], list[int]] = {}
    for chrom, start, end, gene in rows:
        low, high = expected.get((gene, chrom), (start, end))
        expected[gene, chrom] = [min(low, start), max(high, end)]
    for size in (1, 7, 1000):
        monkeypatch.setattr("cisnake.data.annotation.gtf._BLOCK_ROWS", size)
        genes = read_genes(path)
        assert [[*key, *place] for key, place in expected.items()] == genes[
            ["gene_id", "chrom", "start", "end"]
        ].values.tolist()
        assert (genes["gene_name"] == genes["gene_id"].str.upper()).all()


def places(path: Path, feature: str = "gene") -> list[list]:
    return read_genes(path, feature=feature)[["gene_id", "chrom", "start", "end", "strand"]].values.tolist()


def transcript(gene_row, chrom: str, exons: list[tuple[int, int]], strand: str, gene: str, name: str, *, own_row: bool) -> str:
    """Return a transcript as UCSC writes it, with or without a row of its own; exons are numbered from its 5' end."""
    ids = {"gene_id": gene, "transcript_id": name}
    lines = [gene_row(chrom, exons[0][0], exons[-1][1], strand, "transcript", **ids)] if own_row else []
    numbers = range(1, len(exons) + 1) if strand == "+" else range(len(exons), 0, -1)
    for number, (start, end) in zip(numbers, exons, strict=True):
        lines.append(gene_row(chrom, start, end, strand, "exon", **ids, exon_number=str(number)))
    return "".join(lines)


@pytest.mark.parametrize("block", [1, 3, 1000])
@pytest.mark.parametrize("own_row", [True, False])
def test_an_id_without_gene_rows_has_a_row_for_each_locus(gtf, gene_row, monkeypatch, own_row: bool, block: int):
    monkeypatch.setattr("cisnake.data.annotation.gtf._BLOCK_ROWS", block)
    given = [
        ("chr1", [(10, 20), (60, 70)], "+", "chained", "c1"),
        ("chr1", [(50, 55), (90, 99)], "+", "chained", "c2"),
        ("chr1", [(95, 120)], "+", "chained", "c3"),
        ("chr1", [(700, 750)], "-", "strands", "s"),
        ("chr1", [(10, 40)], "+", "strands", "s_2"),
        ("chr2", [(300, 310), (330, 340)], "-", "apart", "a"),
        ("chr2", [(800, 810), (830, 840)], "-", "apart", "a_2"),
        ("chr1", [(500, 540)], "+", "chromosomes", "x"),
        ("chr3", [(500, 540)], "+", "chromosomes", "x"),
        # The same name at both places.
        ("chr4", [(100, 110), (150, 160)], "-", "same", "t"),
        ("chr4", [(500, 510), (550, 560)], "-", "same", "t"),
    ]
    path = gtf(*(transcript(gene_row, *row, own_row=own_row) for row in given))
    found = places(path)
    if own_row:
        assert found[-2:] == [["same", "chr4", 100, 160, "-"], ["same", "chr4", 500, 560, "-"]]
    else:
        # The extent of its copies is unknown, but there are two.
        assert [row[0] for row in found[-2:]] == ["same", "same"]
    assert found[:-2] == [
        ["chained", "chr1", 10, 120, "+"],
        ["strands", "chr1", 700, 750, "-"],
        ["strands", "chr1", 10, 40, "+"],
        ["apart", "chr2", 300, 340, "-"],
        ["apart", "chr2", 800, 840, "-"],
        ["chromosomes", "chr1", 500, 540, "+"],
        ["chromosomes", "chr3", 500, 540, "+"],
    ]
    # Merging exons never crosses from one locus to another.
    exons = read_exons(path)
    chained = exons[exons["gene_id"] == "chained"][["start", "end"]].values.tolist()
    assert chained == [[10, 20], [50, 55], [60, 70], [90, 120]]
    assert exons[exons["gene_id"] == "apart"]["start"].tolist() == [300, 330, 800, 830]


def test_loci_of_gff3_without_gene_rows(gtf):
    form = "c\tx\t{}\t{}\t{}\t.\t{}\t.\t{}\n"
    rows = [
        ("mRNA", 101, 200, "+", "ID=a.1;geneID=a"),
        ("mRNA", 151, 300, "+", "ID=a.2;geneID=a"),
        ("mRNA", 501, 600, "+", "ID=b.1;geneID=b"),
        ("mRNA", 501, 600, "-", "ID=b.2;geneID=b"),
        ("mRNA", 701, 800, "-", "ID=d.1;geneID=d"),
        ("mRNA", 901, 950, "-", "ID=d.2;geneID=d"),
        # Parts of one coding sequence are one locus.
        ("CDS", 1001, 1100, "-", "ID=e;locus_tag=e"),
        ("CDS", 1201, 1300, "-", "ID=e;locus_tag=e"),
    ]
    found = [[row[0], *row[2:]] for row in places(gtf(*(form.format(*row) for row in rows)))]
    assert found == [
        ["a", 100, 300, "+"], ["b", 500, 600, "+"], ["b", 500, 600, "-"], ["d", 700, 800, "-"], ["d", 900, 950, "-"],
        ["e", 1000, 1300, "-"],
    ]  # fmt: skip


@pytest.mark.parametrize("strand", ["+", "-"])
def test_coding_sequence_and_exons_outside_the_locus_do_not_count(gtf, gene_row, strand: str):
    ids = {"gene_id": "g"}
    path = gtf(
        gene_row("a", 100, 400, strand, **ids),
        *(gene_row(chrom, start, end, strand, "CDS", **ids) for chrom, start, end in (("a", 150, 180), ("a", 300, 350))),
        *(gene_row(chrom, start, end, strand, "CDS", **ids) for chrom, start, end in (("a", 700, 800), ("b", 150, 390))),
        *(gene_row(chrom, start, end, strand, "exon", **ids) for chrom, start, end in (("a", 100, 180), ("a", 700, 900))),
        gene_row("b", 100, 400, strand, "exon", **ids),
    )
    assert places(path, "CDS") == [["g", "a", 150, 350, strand]]
    assert read_exons(path).values.tolist() == [["g", "a", 100, 180]]


@pytest.mark.parametrize("genes", [True, False])
def test_a_bare_word_is_the_id_of_its_row(gtf, genes: bool):
    """BRAKER and AUGUSTUS."""
    form = "c\tAUGUSTUS\t{}\t{}\t{}\t.\t{}\t.\t{}\n"
    rows = []
    for name, start, end, strand in (("g1", 101, 500, "+"), ("g2", 801, 900, "-")):
        own = f'transcript_id "{name}.t1"; gene_id "{name}";'
        rows += [("gene", start, end, strand, name)] if genes else []
        rows += [("transcript", start, end, strand, f"{name}.t1"), ("exon", start, end, strand, own)]
        rows += [("CDS", start + 30, end - 30, strand, own)]
    path = gtf(*(form.format(*row) for row in rows))
    assert places(path) == [["g1", "c", 100, 500, "+"], ["g2", "c", 800, 900, "-"]]
    assert read_genes(path)["gene_name"].tolist() == ["g1", "g2"]
    assert places(path, "CDS") == [["g1", "c", 130, 470, "+"], ["g2", "c", 830, 870, "-"]]
    assert read_exons(path).values.tolist() == [["g1", "c", 100, 500], ["g2", "c", 800, 900]]
    with pytest.raises(InputError, match=r"lone\.gtf, line 2: no other row says to which gene_id this transcript belongs"):
        exon = ("exon", 1, 9, "+", 'gene_id "g"; transcript_id "t";')
        read_genes(gtf(*(form.format(*row) for row in (exon, ("transcript", 1, 9, "+", "g9.t1"))), name="lone.gtf"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("habit", HABITS, ids=[habit.name for habit in HABITS])
def test_dialects_of_databases(tmp_path: Path, habit: Habit, packed: bool):
    path = tmp_path / "annotation"
    path.write_bytes(gzip.compress(habit.text.encode()) if packed else habit.text.encode())
    found = read_genes(path, list(habit.attributes))
    assert found.columns.tolist()[7:] == list(habit.attributes)
    assert [tuple(row) for row in found.values.tolist()] == habit.genes
    exons = read_exons(path)
    assert [tuple(row) for row in exons.values.tolist()] == habit.exons
    assert {str(table[column].dtype) for table in (found, exons) for column in ("start", "end")} == {"int64"}
    if habit.coding:
        spans = read_genes(path, feature="CDS")[["gene_id", "start", "end"]]
        assert [tuple(row) for row in spans.values.tolist()] == habit.coding


def test_parents_are_followed_to_the_gene_in_any_order(gtf):
    form = "c\tx\t{}\t{}\t{}\t.\t+\t.\t{}\n"
    rows = [
        ("exon", 30, 40, "Parent=part"),
        ("miRNA", 30, 40, "ID=part;Parent=whole"),
        ("transcript", 1, 90, "ID=whole;Parent=g"),
    ]
    rows += [("gene", 1, 90, "ID=g"), ("exon", 50, 60, "Parent=g"), ("exon", 70, 80, "Parent=unknown,,whole")]
    for order in (rows, rows[::-1]):
        assert read_exons(gtf(*(form.format(*row) for row in order)))["start"].tolist() == [29, 49, 69]


def test_cds_is_not_supported_for_bed(tmp_path: Path):
    (tmp_path / "a.bed").write_text("c\t1\t2\tg\t0\t+\n")
    with pytest.raises(InputError, match=r"set annotation\.feature to gene"):
        read_genes(tmp_path / "a.bed", feature="CDS")


def test_bed_blocks_must_be_consistent(tmp_path: Path):
    row = "c\t10\t90\tg\t0\t-\t10\t90\t0\t2\t5,6,\t{},\n"
    (tmp_path / "a.bed").write_text(row.format("0,74"))
    assert read_exons(tmp_path / "a.bed").values.tolist() == [["g", "c", 10, 15], ["g", "c", 84, 90]]
    for starts in ("0", "0,74,80", "0,x"):
        (tmp_path / "a.bed").write_text(row.format(starts))
        with pytest.raises(InputError, match=r"a\.bed, line 1: columns 11 and 12"):
            read_exons(tmp_path / "a.bed")


def test_yeast_from_gtf(yeast: Path):
    genes, exons = (read(yeast / "sacCer3.SGD_R64-2-1.gtf.gz") for read in (read_genes, read_exons))
    assert len(genes) > 6000 and set(exons["gene_id"]) == set(genes["gene_id"])
    # ACT1 is on the reverse strand and has one intron.
    act1 = genes.set_index("gene_id").loc["YFL039C"]
    assert act1["gene_name"] == "ACT1" and act1["strand"] == "-"
    act1_exons = exons[exons["gene_id"] == "YFL039C"]
    assert len(act1_exons) == 2 and act1_exons["end"].max() == act1["end"] and act1_exons["start"].min() == act1["start"]
