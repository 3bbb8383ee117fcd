"""Sequences and regions to predict, base by base, on both strands and at the ends of chromosomes."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest

from cisnake import configuration
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.given_windows import read_gene_windows, read_region_windows, read_sequences
from cisnake.errors import InputError

COMPLEMENT = str.maketrans("ACGTN", "TGCAN")


def as_text(windows: Any) -> dict[str, str]:
    return {window.name: decode(window.codes) for window in windows}


@pytest.mark.parametrize("name", ["a.fa", "a.fasta.gz", "a.tsv", "a.txt.gz"])
def test_short_sequences_are_centred_between_n(name: str, tmp_path: Path) -> None:
    text = ">one and more\nACG\nTA\n>two\nacgtacgt\n" if ".fa" in name else "one\tACGTA\n\ntwo\tacgtacgt\n"
    (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    assert as_text(read_sequences(tmp_path / name, 8)) == {"one": "NACGTANN", "two": "ACGTACGT"}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.fa", ">one\nACGTACGTA\n", "the sequence of one has 9 bases, but the network reads 8"),
        ("a.fa", ">one\nACGE\n", "the sequence of one has the letter 'E', which is not a base"),
        ("a.fa", ">one\n>two\nA\n", "the sequence of one is empty"),
        ("a.fa", "", "has no sequences"),
        ("a.tsv", "one\tAC\tGT\n", r"a\.tsv, line 1: expected two tab-separated columns"),
        ("a.tsv", "\n", "has no sequences"),
    ],
)
def test_other_sequences_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        list(read_sequences(tmp_path / name, 8))


def test_a_missing_file_is_named(tmp_path: Path, tiny: Any) -> None:
    for windows in (read_sequences(tmp_path / "no.fa", 8), read_region_windows(tmp_path / "no.bed", Genome(tiny.fasta), 8)):
        with pytest.raises(InputError, match=r"no\.\w+ does not exist"):
            list(windows)


@pytest.mark.parametrize("length", [10, 11])
def test_the_middle_of_a_region_is_the_middle_of_its_window_on_both_strands(length: int, tmp_path: Path, tiny: Any) -> None:
    places = [("chr1", 100, 121), ("chr2", 0, 2), ("chr3", 590, 600), ("2", 300, 301)]
    rows = [
        f"{chrom}\t{start}\t{end}\t{chrom}{start}{strand}\t0\t{strand}\n" for chrom, start, end in places for strand in "+-."
    ]
    (tmp_path / "a.bed").write_text("# comment\ntrack name=x\n" + "".join(rows))
    found = as_text(read_region_windows(tmp_path / "a.bed", Genome(tiny.fasta), length))
    assert len(found) == 12
    for chrom, start, end in places:
        whole = tiny.chromosomes[chrom if chrom.startswith("chr") else f"chr{chrom}"]
        padded, middle = "N" * length + whole + "N" * length, length + (start + end) // 2
        forward = padded[middle - length // 2 :][:length]
        turned = padded[: middle + length // 2 + 1][-length:].translate(COMPLEMENT)[::-1]
        assert found[f"{chrom}{start}+"] == found[f"{chrom}{start}."] == forward
        assert found[f"{chrom}{start}-"] == turned
        assert forward[length // 2].translate(COMPLEMENT) == turned[length // 2]


def test_windows_of_peaks_are_centred_on_their_summits(tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "a.narrowPeak").write_text("chr1\t100\t200\t.\t0\t.\t1\t1\t1\t7\nchr1\t100\t200\tb\t0\t.\t1\t1\t1\t-1\n")
    found = as_text(read_region_windows(tmp_path / "a.narrowPeak", Genome(tiny.fasta), 4))
    assert found == {"chr1:100-200": tiny.chromosomes["chr1"][105:109], "b": tiny.chromosomes["chr1"][148:152]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chr1\t5\n", "line 1: expected the tab-separated columns"),
        ("\nchr1\tx\t7\n", "line 2: expected the tab-separated columns"),
        ("chr1\t7\t7\n", "line 1: the end of the region is not after its start"),
        ("chr1\t7\t601\n", r"line 1: chr1:7-601 is beyond its end"),
        ("chr1\t7\t9\nchrM\t7\t9\n", "line 2: chromosome chrM is not in the genome"),
        ("chrM\t7\t9\n", "no chromosome of"),
        ("", "has no regions"),
    ],
)
def test_other_regions_are_refused(text: str, message: str, tmp_path: Path, tiny: Any) -> None:
    (tmp_path / "a.bed").write_text(text)
    with pytest.raises(InputError, match=message):
        list(read_region_windows(tmp_path / "a.bed", Genome(tiny.fasta), 8))


def genes_of(tiny: Any, *listed: Path, upstream: int = 20, downstream: int = 30) -> list[Any]:
    windows = configuration.section("windows", upstream=upstream, downstream=downstream)
    return list(read_gene_windows(tiny.gtf, Genome(tiny.fasta), configuration.section("annotation"), windows, *listed))


def test_windows_of_genes_begin_upstream_of_the_tss_on_both_strands(tiny: Any) -> None:
    found = {window.name: window for window in genes_of(tiny)}
    assert len(found) == 12
    places = {"a": (100, 160, "+"), "b": (200, 330, "-"), "c": (340, 420, "+"), "d": (430, 500, "-")}
    for i in (1, 2, 3):
        for letter, (start, end, strand) in places.items():
            whole = tiny.chromosomes[f"chr{i}"]
            turned = whole[end - 30 : end + 20].translate(COMPLEMENT)[::-1]
            window = found[f"G{i}{letter}"]
            assert decode(window.codes) == (whole[start - 20 : start + 30] if strand == "+" else turned)
            assert window.body == (20, 20 + end - start)


def test_listed_genes_have_the_order_of_the_list_and_dropped_ones_are_named(
    tiny: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    listed = tmp_path / "ids.txt"
    listed.write_text("G3c\nG1a\n\nG2b\nG3c\n")
    assert [window.name for window in genes_of(tiny, listed)] == ["G3c", "G1a", "G2b"]
    # The TSS of G1a is base 100: its window would begin before the chromosome.
    assert [window.name for window in genes_of(tiny, listed, upstream=101)] == ["G3c", "G2b"]
    assert "1 of 3 genes" in caplog.text and "left out: G1a (near_chromosome_end)" in caplog.text
    listed.write_text("G1a\n")
    with pytest.raises(InputError, match=r"all 1 genes of .* were dropped: G1a \(near_chromosome_end\)"):
        genes_of(tiny, listed, upstream=101)
    with pytest.raises(InputError, match=r"no genes are left; numbers dropped, by reason: \{'near_chromosome_end': 12\}"):
        genes_of(tiny, upstream=599)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g1a\n", "lists 1 of 1 genes that are not in the annotation: .*The list has gene names: list gene ids"),
        ("G1a\nG7\nG8\n", "lists 2 of 3 genes that are not in the annotation: the list has G7, G8"),
        ("\n", r"the list of genes .*ids\.txt contains no gene ids: write one per line"),
        (None, r"the list of genes .*ids\.txt does not exist: check its path"),
    ],
)
def test_other_lists_are_refused(text: str | None, message: str, tmp_path: Path, tiny: Any) -> None:
    if text:
        (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        genes_of(tiny, tmp_path / "ids.txt")
