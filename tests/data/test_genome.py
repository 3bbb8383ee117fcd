"""Sequence must be that of the file, base for base, on both strands and beyond the ends."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pysam
import pytest

from cisnake.data.genome import Genome, decode, encode, match_chromosomes, one_hot, reverse_complement
from cisnake.errors import InputError

PAIR = {"A": "T", "C": "G", "G": "C", "T": "A", "N": "N"}


def plain_reverse_complement(text: str) -> str:
    return "".join(PAIR[base] for base in reversed(text))


def test_codes_are_acgt_in_order_either_case_and_the_rest_n():
    assert encode("ACGTNacgtn").tolist() == [0, 1, 2, 3, 4] * 2
    assert encode(b"RYKMSWBDHVX-.*U").tolist() == [4] * 15
    assert encode("é").tolist() == [4]
    assert encode("ACGT").dtype == np.int8 and len(encode("")) == 0
    assert decode(encode("GATTACAryn")) == "GATTACANNN"


def test_reverse_complement_along_the_last_axis():
    text = "".join(np.random.default_rng(0).choice(list("ACGTN"), 101))
    assert decode(reverse_complement(encode(text))) == plain_reverse_complement(text)
    two = np.stack([encode(text), encode(text[::-1])])
    assert np.array_equal(reverse_complement(two)[1], reverse_complement(two[1]))


def test_one_hot_of_n_is_zero():
    assert one_hot(encode("ACGTN")).tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert one_hot(np.zeros((2, 3), np.int8)).shape == (2, 3, 4)
    assert one_hot(encode("A")).dtype == np.float32


@pytest.mark.parametrize("strand", ["+", "-"])
def test_every_interval_is_the_slice_of_the_text(tiny, strand):
    genome = Genome(tiny.fasta)
    assert genome.sizes == {"chr1": 600, "chr2": 600, "chr3": 600}
    text = "N" * 700 + tiny.chromosomes["chr2"] + "N" * 700
    rng = np.random.default_rng(1)
    starts = [-700, -5, -1, 0, 1, 345, 349, 350, 595, 599, 600, 650, *rng.integers(-600, 600, 50)]
    for start in starts:
        for length in (0, 1, 5, 12, 645):
            expected = text[700 + start : 700 + start + length]
            expected = expected if strand == "+" else plain_reverse_complement(expected)
            assert decode(genome.codes("chr2", int(start), int(start) + length, strand)) == expected


def test_lower_case_and_iupac(tmp_path: Path):
    (tmp_path / "a.fa").write_text(">a\nacgtRyN\n")
    assert decode(Genome(tmp_path / "a.fa").codes("a", 0, 7)) == "ACGTNNN"


def test_bgzip_reads_as_plain_and_makes_both_indices(tiny, tmp_path: Path):
    packed = tmp_path / "genome.fa.gz"
    pysam.tabix_compress(str(tiny.fasta), str(packed))
    for _ in range(2):
        assert decode(Genome(packed).codes("chr3", 10, 400)) == tiny.chromosomes["chr3"][10:400]
        (tmp_path / "genome.fa.gz.gzi").unlink()


@pytest.mark.parametrize("with_index", [False, True])
@pytest.mark.parametrize("name", ["", "genome.fa"])
def test_gzip_is_refused_by_name(tiny, tmp_path: Path, with_index: bool, name: str):
    path = tmp_path / "genome.fa.gz"
    with open(path, "wb") as raw, gzip.GzipFile(name, "wb", fileobj=raw) as file:
        file.write(tiny.fasta.read_bytes())
    if with_index:
        Genome(tiny.fasta)
        Path(f"{path}.fai").write_bytes(Path(f"{tiny.fasta}.fai").read_bytes())
    with pytest.raises(InputError, match="bgzip"):
        Genome(path)


def test_missing_empty_and_no_fasta_are_refused(tmp_path: Path):
    with pytest.raises(InputError, match="is not there"):
        Genome(tmp_path / "none.fa")
    for text in ("", "no fasta\n"):
        (tmp_path / "bad.fa").write_text(text)
        with pytest.raises(InputError, match=r"bad\.fa"):
            Genome(tmp_path / "bad.fa")


def test_stale_index_is_made_again(tmp_path: Path):
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n")
    Genome(path)
    path.write_text(">longer\nTTTTTTTTTT\n>b\nCC\n")
    os.utime(f"{path}.fai", (1_000_000_000, 1_000_000_000))
    genome = Genome(path)
    assert genome.sizes == {"longer": 10, "b": 2}
    assert decode(genome.codes("b", 0, 2)) == "CC"


def test_names_match_with_and_without_chr():
    assert match_chromosomes(["1", "X", "7_alt", "1"], ["chr1", "chrX"], "gtf") == {"1": "chr1", "X": "chrX"}
    assert match_chromosomes(["chr1", "chrX"], ["1", "2"], "gtf") == {"chr1": "1"}
    # The same name wins over one that differs by chr.
    assert match_chromosomes(["1"], ["chr1", "1"], "gtf") == {"1": "1"}
    assert match_chromosomes([], ["chr1"], "gtf") == {}


def test_no_common_name_shows_both_lists():
    with pytest.raises(InputError, match=r"genes\.gtf has I, II; the genome has chr1, chr2"):
        match_chromosomes(["I", "II"], ["chr1", "chr2"], "genes.gtf")
