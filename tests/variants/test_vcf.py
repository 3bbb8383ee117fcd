import gzip

import numpy as np
import pysam
import pytest

from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.variants import vcf

HEADER = '##fileformat=VCFv4.3\n##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
COLUMNS = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">chr1\nACGTACGTNN\n>chr2\nTTTTGGGG\n")
    return Genome(path)


def write(path, *records, header=HEADER + COLUMNS):
    path.write_text(header + "".join("\t".join(map(str, record)) + "\n" for record in records))
    return path


def record(chrom, pos, ref, alt, identifier=".", info="."):
    return (chrom, pos, identifier, ref, alt, ".", "PASS", info)


@pytest.mark.parametrize(
    ("place", "status"),
    [
        (("chr1", 1, "A", "G"), "ok"),
        (("chr1", 1, "a", "g"), "ok"),
        (("chr1", 1, "AC", "A"), "ok"),
        (("chr1", 1, "A", "ATT"), "ok"),
        (("chr1", 1, "G", "A"), "flipped"),
        (("chr1", 1, "A", "AC"), "ok"),
        (("chr1", 1, "AT", "AC"), "flipped"),
        (("chr1", 1, "C", "G"), "mismatch"),
        # The base kept by the deletion matches, the deleted ones do not.
        (("chr1", 1, "GG", "A"), "mismatch"),
        (("chr1", 9, "N", "G"), "unknown_ref"),
        # The genome has A here: not "flipped", because nobody knows the reference.
        (("chr1", 1, "N", "A"), "unknown_ref"),
        (("chr1", 1, "AN", "A"), "unknown_ref"),
        (("chr1", 1, "A", "AN"), "symbolic"),
        (("chr1", 1, "A", "."), "no_alt"),
        (("chr1", 1, "A", "a"), "no_alt"),
        (("chr1", 1, "A", "*"), "symbolic"),
        (("chr1", 1, "A", "<DEL>"), "symbolic"),
        (("chr1", 1, "A", "A[chr2:3["), "symbolic"),
        (("chr1", 1, "A", "R"), "symbolic"),
        (("chr9", 1, "A", "G"), "unknown_chromosome"),
        (("chr1", 0, "A", "G"), "out_of_range"),
        (("chr1", 10, "AA", "G"), "out_of_range"),
        (("chr1", 11, "A", "G"), "out_of_range"),
    ],
)
def test_every_kind_of_variant_has_its_status(tmp_path, genome, place, status):
    path = write(tmp_path / "a.vcf", record("chr2", 1, "T", "G"), record(*place))
    table = vcf.read_variants(path, genome)
    assert list(table["status"]) == ["ok", status]


def test_alleles_are_split_and_named_and_positions_are_zero_based(tmp_path, genome):
    path = write(tmp_path / "a.vcf", record("1", 2, "CG", "C,*,T", "rs1"), record("2", 3, "T", "A"))
    table = vcf.read_variants(path, genome)
    assert list(table["variant_id"]) == ["rs1", "rs1", "rs1", "2:3:T:A"]
    assert list(table["chrom"]) == ["chr1", "chr1", "chr1", "chr2"]
    assert list(zip(table["start"], table["end"], strict=True)) == [(1, 3)] * 3 + [(2, 3)]
    assert list(table["alt"]) == ["C", "*", "T", "A"]
    assert list(table["record"]) == [0, 0, 0, 1]


def test_compressed_and_plain_files_read_the_same(tmp_path, genome):
    plain = write(tmp_path / "a.vcf", record("chr1", 1, "A", "G"), record("chr2", 1, "T", "G"))
    zipped = tmp_path / "b.vcf.gz"
    zipped.write_bytes(gzip.compress(plain.read_bytes().replace(b"\n", b"\r\n")))
    assert vcf.read_variants(zipped, genome).equals(vcf.read_variants(plain, genome))


def test_a_file_without_variants_gives_an_empty_table(tmp_path, genome):
    table = vcf.read_variants(write(tmp_path / "a.vcf"), genome)
    assert len(table) == 0
    assert table["start"].dtype == np.int64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no records and no line that starts with #CHROM"),
        (HEADER, "no records and no line that starts with #CHROM"),
        ("chr1\t1\t.\tA\n", "line 1: 4 tab-separated columns, but a VCF has at least five"),
        (COLUMNS.replace("\t", " ") + "chr1\t1\t.\tA\tG\t.\t.\t.\n", "line 1: 1 tab-separated columns"),
        (HEADER + COLUMNS + "chr1\t1\t.\tA\tG\t.\t.\t.\tGT\n", "line 4: 9 tab-separated columns, but the header has 8"),
        ("chr1\t1\t.\tA\tG\nchr1\t1\t.\tA\tG\t.\t.\t.\tGT\n", "line 2: 9 .*, but the first record has 8"),
        ("##CHROM\nchr1\tx\t.\tA\tG\n", "line 2: POS is 'x'"),
        (HEADER + COLUMNS + "chr1 1 . A G . . .\n", "line 4: 1 tab-separated columns"),
        (HEADER + COLUMNS + "chr1\t1\t.\tA\tG\t.\t.\t.\nchr1\t1\t.\tA\n", "line 5: 4 tab-separated columns"),
        (HEADER + COLUMNS + "chr1\tone\t.\tA\tG\t.\t.\t.\n", "line 4: POS is 'one', which is not a position"),
        (HEADER + COLUMNS + "chr1\t1\t.\tA\t\t.\t.\t.\n", "line 4: ALT is empty"),
        (HEADER + COLUMNS + "X\t1\t.\tA\tG\t.\t.\t.\n", "no chromosome of the VCF"),
    ],
)
def test_error_for_malformed_file_names_the_line(tmp_path, genome, text, message):
    path = tmp_path / "a.vcf"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        vcf.read_variants(path, genome)
    assert str(path) in str(error.value)


def test_a_truncated_or_missing_file_is_refused(tmp_path, genome):
    path = tmp_path / "a.vcf.gz"
    text = HEADER + COLUMNS + "".join(f"chr1\t{i}\t.\tA\tG\t.\t.\tDP={i * i}\n" for i in range(1, 500))
    path.write_bytes(gzip.compress(text.encode())[:-200])
    with pytest.raises(InputError, match="damaged after line"):
        vcf.read_variants(path, genome)
    with pytest.raises(InputError, match="does not exist"):
        vcf.read_variants(tmp_path / "b.vcf", genome)


def test_the_annotated_copy_keeps_everything_else(tmp_path, genome):
    samples = COLUMNS.rstrip("\n") + "\tFORMAT\tone\n"
    source = write(
        tmp_path / "a.vcf",
        (*record("chr1", 2, "C", "G,T", "rs1", "DP=3"), "GT", "0|1"),
        (*record("chr2", 1, "T", "G", info="."), "GT", "1|1"),
        header=HEADER + samples,
    )
    out = tmp_path / "b.vcf.gz"
    entries = [
        [vcf.annotation("G", "a", "ok", "T cell, CD4; 50%", -0.25), vcf.annotation("T", "", "outside", "", np.nan)],
        [vcf.annotation("G", "b", "ok", "x", 1.5, 0.05, 99.5)],
    ]
    vcf.write_annotated(source, out, entries)
    with pysam.VariantFile(str(out)) as file:
        assert "percent-encoded" in file.header.info["CISNAKE"].description
        (first,), (second,) = file.fetch("chr1"), file.fetch("chr2")
    assert first.info["CISNAKE"] == ("G|a|ok|T%20cell%2C%20CD4%3B%2050%25|-0.25||", "T||outside||||")
    assert first.info["DP"] == 3
    assert first.samples["one"]["GT"] == (0, 1)
    assert second.info["CISNAKE"] == ("G|b|ok|x|1.5|0.05|99.5",)
    with gzip.open(out, "rt") as handle:
        lines = [line for line in handle if not line.startswith("##INFO=<ID=CISNAKE")]
    kept = [line.split("\t") for line in source.read_text().splitlines(keepends=True)]
    for line, before in zip(lines, kept, strict=True):
        after = line.split("\t")
        assert [c for i, c in enumerate(after) if i != 7] == [c for i, c in enumerate(before) if i != 7]

    again = tmp_path / "c.vcf.gz"
    vcf.write_annotated(out, again, entries)
    assert gzip.decompress(again.read_bytes()) == gzip.decompress(out.read_bytes())


def test_an_unsorted_file_is_written_as_it_is_without_an_index(tmp_path, genome):
    source = write(tmp_path / "a.vcf", record("chr1", 5, "A", "G"), record("chr1", 1, "A", "G"))
    out = tmp_path / "b.vcf.gz"
    out.with_name("b.vcf.gz.tbi").write_text("of an earlier run")
    vcf.write_annotated(source, out, [["x"], ["y"]])
    with gzip.open(out, "rt") as handle:
        assert [line.split("\t")[1] for line in handle if not line.startswith("#")] == ["5", "1"]
    assert sorted(p.name for p in tmp_path.iterdir() if "b.vcf" in p.name) == ["b.vcf.gz"]


@pytest.mark.parametrize("n", [5, 6, 7, 8])
@pytest.mark.parametrize(
    "header",
    ["", HEADER, HEADER + COLUMNS, HEADER + "#CHROM\tPOS\tID\tREF\tALT\n", "# made by hand\n#chrom\tpos\tid\tref\talt\n"],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_five_columns_and_no_header_are_enough(tmp_path, genome, header, n, end, caplog, monkeypatch):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    caplog.set_level("INFO", "cisnake")
    rows = [record("chr1", 1, "A", "G", "rs1", "DP=3")[:n], record("chr1", 2, "C", "T")[:n], record("chr2", 1, "T", "G")]
    path = tmp_path / "a.vcf"
    path.write_bytes((header + "".join("\t".join(map(str, row)) + "\n" for row in rows)).replace("\n", end).encode())
    table = vcf.read_variants(path, genome)
    assert table["status"].tolist() == ["ok"] * 3 and table["variant_id"].tolist() == ["rs1", "chr1:2:C:T", "chr2:1:T:G"]
    notices = [message.getMessage() for message in caplog.records]
    without = "#CHROM" not in header.upper()
    assert sum("no line that starts with #CHROM" in notice for notice in notices) == without
    assert sum("missing ones are read as '.'" in notice for notice in notices) == (n < 8)
    assert len(notices) == without + (n < 8)

    caplog.clear()
    out = tmp_path / "b.vcf.gz"
    vcf.write_annotated(path, out, [["x"], ["y"], ["z"]])
    assert not caplog.records, "a notice is given once, when the file is read"
    with gzip.open(out, "rt") as handle:
        lines = handle.read().splitlines()
    assert lines[0].startswith("##fileformat=VCFv4") and lines.count(COLUMNS.rstrip("\n")) == 1
    assert sum(line.startswith("#") and not line.startswith("##") for line in lines) == 1
    with pysam.VariantFile(str(out)) as file:
        found = list(file.fetch("chr1"))
        assert [variant.info["CISNAKE"] for variant in found] == [("x",), ("y",)]
        assert [variant.qual for variant in found] == [None, None]
        assert list(found[0].filter) == (["PASS"] if n > 6 else [])
    after = [line.split("\t") for line in lines if not line.startswith("#")]
    for row, fields in zip(rows, after, strict=True):
        padded = [*map(str, row), *["."] * (8 - len(row))]
        assert fields[:7] == padded[:7]
        assert fields[7].rpartition(";")[0] == ("" if padded[7] == "." else padded[7])


def test_samples_without_a_header_and_records_without_samples_are_read(tmp_path, genome):
    rows = ["chr1\t1\t\tA\tG\t.\tPASS\t\tGT\t0|1", "chr1\t2\t.\tC\tT"]
    path, out = tmp_path / "a.vcf", tmp_path / "b.vcf.gz"
    path.write_text("\n".join(rows))
    assert vcf.read_variants(path, genome)["variant_id"].tolist() == ["chr1:1:A:G", "chr1:2:C:T"]
    vcf.write_annotated(path, out, [["x"], ["y"]])
    with pysam.VariantFile(str(out)) as file:
        first, second = file
        assert list(file.header.samples) == ["sample_1"]
    assert first.info["CISNAKE"] == ("x",) and second.info["CISNAKE"] == ("y",)
    with gzip.open(out, "rt") as handle:
        assert handle.read().splitlines()[-1] == "chr1\t2\t.\tC\tT\t.\t.\tCISNAKE=y\t.\t."
