"""Sequences match the file base by base, on both strands and beyond chromosome ends."""

from __future__ import annotations

import gzip
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pysam
import pytest

from cisnake.data.genome import fasta_index
from cisnake.data.genome.bases import decode, encode, one_hot, reverse_complement
from cisnake.data.genome.chromosomes import match_chromosomes
from cisnake.data.genome.fasta import Genome
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
def test_gzip_is_refused(tiny, tmp_path: Path, with_index: bool, name: str):
    path = tmp_path / "genome.fa.gz"
    with open(path, "wb") as raw, gzip.GzipFile(name, "wb", fileobj=raw) as file:
        file.write(tiny.fasta.read_bytes())
    if with_index:
        Genome(tiny.fasta)
        Path(f"{path}.fai").write_bytes(Path(f"{tiny.fasta}.fai").read_bytes())
    with pytest.raises(InputError, match="bgzip"):
        Genome(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "line 1"),
        (b">a\n", "line 2"),
        (b"no fasta\n", 'unexpected "n" at line 1'),
        (b">a\nACGT\nAC\nACGT\n", "line 4"),
        (b">a\nACGT\n>b\nAC\n>a\nTTT\n", 'duplicate sequence "a"'),
        (b">empty some words\n>b\nACGT\n", "the sequence empty is empty"),
        (b">b\nACGT\nAC\n>empty\n>c\nA\n", "the sequence empty is empty"),
        (">a\nACGT\n".encode("utf-16"), "line 1"),
        (bytes(range(256)), "line 1"),
    ],
)
def test_invalid_fasta_is_refused_with_the_reason(tmp_path: Path, text: bytes, message: str):
    path = tmp_path / "bad.fa"
    path.write_bytes(text)
    with pytest.raises(InputError, match=rf"bad\.fa.*{message}"):
        Genome(path)
    assert list(tmp_path.iterdir()) == [path]


def test_missing_file_and_folder_are_refused(tmp_path: Path):
    for path, message in ((tmp_path / "none.fa", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(InputError, match=message):
            Genome(path)


def test_stale_index_is_rebuilt(tmp_path: Path):
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n")
    Genome(path)
    path.write_text(">longer\nTTTTTTTTTT\n>b\nCC\n")
    os.utime(f"{path}.fai", (1_000_000_000, 1_000_000_000))
    genome = Genome(path)
    assert genome.sizes == {"longer": 10, "b": 2}
    assert decode(genome.codes("b", 0, 2)) == "CC"


@pytest.mark.parametrize("index", ["a\t100\t3\t60\t61\n", "", "a\tten\t3\t4\t5\n", "a\n"])
def test_index_that_does_not_fit_is_rebuilt(tmp_path: Path, index: str):
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n")
    Path(f"{path}.fai").write_text(index)
    assert Genome(path).sizes == {"a": 4}
    assert Path(f"{path}.fai").read_text() == "a\t4\t3\t4\t5\n"


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch) -> Path:
    """A read-only folder, and a writable cache."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def temporary(prefix: str, dir: Path, make=tempfile.TemporaryDirectory):
        # Folder permissions do not apply to root.
        if dir == folder:
            raise PermissionError(13, "Permission denied", str(dir))
        return make(prefix=prefix, dir=dir)

    monkeypatch.setattr(fasta_index.tempfile, "TemporaryDirectory", temporary)
    return folder


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("stale", [False, True])
def test_index_of_a_read_only_folder_goes_to_the_cache(read_only: Path, packed: bool, stale: bool, tmp_path: Path):
    path = read_only / ("a.fa.gz" if packed else "a.fa")
    for text in ("ACGT", "ACGTAA"):
        (tmp_path / "text.fa").write_text(f">a\n{text}\n")
        if packed:
            pysam.tabix_compress(str(tmp_path / "text.fa"), str(path), force=True)
        else:
            path.write_bytes((tmp_path / "text.fa").read_bytes())
        if stale:
            for suffix in (".fai", ".gzi") if packed else (".fai",):
                Path(f"{path}{suffix}").write_text("x")
                os.utime(f"{path}{suffix}", (1_000_000_000, 1_000_000_000))
        before = set(read_only.iterdir())
        # The cache key includes size and modification time, so a changed file is not mistaken for the old one.
        for _ in range(2):
            genome = Genome(path)
            assert decode(genome.codes("a", 0, genome.sizes["a"])) == text
        assert set(read_only.iterdir()) == before
    assert len(list((tmp_path / "cache" / "cisnake").iterdir())) == (4 if packed else 2)


def test_error_if_no_index_can_be_written(read_only: Path, tmp_path: Path, monkeypatch):
    (read_only / "a.fa").write_text(">a\nACGT\n")
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(InputError, match=r"a\.fa has no up-to-date index.* XDG_CACHE_HOME"):
        Genome(read_only / "a.fa")


def test_truncated_bgzip_is_refused(tiny, tmp_path: Path):
    packed = tmp_path / "genome.fa.gz"
    pysam.tabix_compress(str(tiny.fasta), str(packed))
    whole = packed.read_bytes()
    for end in (-28, len(whole) // 2, 20):
        packed.write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"genome\.fa\.gz is truncated"):
            Genome(packed)


def test_error_for_damaged_bgzip_names_the_region(tmp_path: Path):
    text = decode(np.random.default_rng(0).integers(0, 4, 400_000))
    (tmp_path / "a.fa").write_text(f">a\n{text}\n")
    packed = tmp_path / "a.fa.gz"
    pysam.tabix_compress(str(tmp_path / "a.fa"), str(packed))
    Genome(packed)
    raw = bytearray(packed.read_bytes())
    raw[-4000:-3000] = bytes(1000)
    packed.write_bytes(raw)
    with pytest.raises(InputError, match=r"a\.fa\.gz is not a valid FASTA file"):
        Genome(packed)
    for suffix in (".fai", ".gzi"):
        os.utime(f"{packed}{suffix}")
    genome = Genome(packed)
    assert decode(genome.codes("a", 5, 5000)) == text[5:5000]
    with pytest.raises(InputError, match=r"a\.fa\.gz is damaged at a:380000-400000, or its index belongs to another file"):
        genome.codes("a", 380_000, 400_010)


@pytest.mark.parametrize("packed", [False, True])
def test_concurrent_indexing(tmp_path: Path, packed: bool):
    path = tmp_path / "a.fa"
    path.write_text("".join(f">c{i}\n{'ACGTN' * 12}\n" * 1 for i in range(2000)))
    if packed:
        pysam.tabix_compress(str(path), f"{path}.gz")
        path = Path(f"{path}.gz")
    with ThreadPoolExecutor(6) as pool:
        genomes = list(pool.map(lambda _: Genome(path).sizes, range(6)))
    assert all(sizes == {f"c{i}": 60 for i in range(2000)} for sizes in genomes)
    assert not [name for name in os.listdir(tmp_path) if name.startswith(".part")]


def test_ambiguous_letters_are_counted(tmp_path: Path):
    (tmp_path / "a.fa").write_text(">a\nACGTNnRyK-acgt\n")
    genome = Genome(tmp_path / "a.fa")
    assert genome.n_ambiguous == 0
    genome.codes("a", 0, 6)
    assert genome.n_ambiguous == 0
    genome.codes("a", -5, 8, "-")
    assert genome.n_ambiguous == 2
    genome.codes("a", 8, 30)
    assert genome.n_ambiguous == 4


def test_names_match_with_and_without_chr():
    assert match_chromosomes(["1", "X", "7_alt", "1"], ["chr1", "chrX"], "gtf") == {"1": "chr1", "X": "chrX"}
    assert match_chromosomes(["chr1", "chrX"], ["1", "2"], "gtf") == {"chr1": "1"}
    # An identical name is preferred to one that differs by chr.
    assert match_chromosomes(["1"], ["chr1", "1"], "gtf") == {"1": "1"}
    assert match_chromosomes([], ["chr1"], "gtf") == {}


def test_no_common_name_shows_both_lists():
    with pytest.raises(InputError, match=r"genes\.gtf has I, II; the genome has chr1, chr2"):
        match_chromosomes(["I", "II"], ["chr1", "chr2"], "genes.gtf")
