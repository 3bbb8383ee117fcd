"""Broken inputs, made from intact ones, and the program that is run on each."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pysam

Break = Callable[[Path, bytes], None]


@dataclass(frozen=True)
class Case:
    """One broken input.

    Parameters
    ----------
    input: str
        Kind of file.
    wrong: str
        What is wrong with it.
    program: str
        The script that reads it.
    option: str
        The option or configuration key for the file.
    name: str
        Name of the intact file from `whole`, which the broken file keeps.
    breaks: callable
        Function of the path to write and the bytes of the intact file.
    works: bool
        Whether the program is expected to succeed anyway.
    names: bool
        Whether the message must name the file; False if two files disagree.
    others: tuple of (option, value)
        Options that differ from those of a successful run.
    """

    input: str
    wrong: str
    program: str
    option: str
    name: str
    breaks: Break
    works: bool = False
    names: bool = True
    others: tuple[tuple[str, str], ...] = ()


def _bytes(change: Callable[[bytes], bytes]) -> Break:
    return lambda path, whole: path.write_bytes(change(whole)) and None


def _text(old: str, new: str, count: int = 1) -> Break:
    def change(whole: bytes) -> bytes:
        assert old.encode() in whole, (old, whole[:200])
        return whole.replace(old.encode(), new.encode(), count)

    return _bytes(change)


def _cut_gzip(whole: bytes) -> bytes:
    # Repeated, so that the remaining half contains more than the header of the first block.
    packed = gzip.compress(whole * 50)
    return packed[: len(packed) // 2]


def _missing(path: Path, whole: bytes) -> None:
    pass


def _folder(path: Path, whole: bytes) -> None:
    path.mkdir()


def _unreadable(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.chmod(0)


def _read_only_folder(path: Path, whole: bytes) -> None:
    path.write_bytes(whole)
    path.parent.chmod(0o555)


_empty = _bytes(lambda whole: b"")
_half = _bytes(lambda whole: whole[: len(whole) // 2])
_gzip_half = _bytes(_cut_gzip)
_utf16 = _bytes(lambda whole: whole.decode().encode("utf-16"))
# Identical in every run, and not text in any encoding.
_binary = _bytes(lambda whole: bytes((37 * i * i + 11 * i) % 256 for i in range(2000)))
_crlf = _bytes(lambda whole: whole.replace(b"\n", b"\r\n"))
_reversed = _bytes(lambda whole: b"\n".join(reversed(whole.rstrip(b"\n").split(b"\n"))) + b"\n")
_lower = _bytes(lambda whole: b"\n".join(line if line.startswith(b">") else line.lower() for line in whole.split(b"\n")))


def _bgzip_half(path: Path, whole: bytes) -> None:
    plain = path.with_suffix(".plain")
    plain.write_bytes(whole)
    pysam.tabix_compress(str(plain), str(path))
    plain.unlink()
    path.write_bytes(path.read_bytes()[:-40])


def _first_columns(n: int) -> Break:
    return _bytes(lambda whole: b"".join(b"\t".join(line.split(b"\t")[:n]) + b"\n" for line in whole.splitlines()))


_BED_NAMED_GTF = "six-column BED named .gtf"
# Ways to break any file.
_ANY: dict[str, Break] = {"missing": _missing, "a folder": _folder, "empty": _empty, "binary garbage": _binary}
_TEXT = _ANY | {"UTF-16": _utf16}


def _each(breaks: dict[str, Break], input: str, program: str, option: str, name: str, **more) -> list[Case]:
    return [Case(input, wrong, program, option, name, change, **more) for wrong, change in breaks.items()]


CASES = [
    *_each(_TEXT, "genome", "select_genes", "genome", "genome.fa"),
    *_each(
        {
            "a header without a sequence": _bytes(lambda whole: b">chr1\n"),
            "no header": _bytes(lambda whole: b"ACGT\n"),
            "an empty sequence": _text(">chr2\n", ">none\n>chr2\n"),
            "a duplicate name": _text(">chr2\n", ">chr1\n"),
            "lines of different lengths": _text("\n>chr2\n", "\nACG\n\nACGT\n>chr2\n"),
            "without read permission": _unreadable,
        },
        "genome",
        "select_genes",
        "genome",
        "genome.fa",
    ),
    *_each(
        {"chromosomes differ from the annotation": _text(">chr", ">scaffold", 3)},
        "genome",
        "select_genes",
        "genome",
        "genome.fa",
        names=False,
    ),
    *_each({"CRLF": _crlf, "lower case": _lower}, "genome", "select_genes", "genome", "genome.fa", works=True),
    *_each({"no index, in a read-only folder": _read_only_folder}, "genome", "select_genes", "genome", "genome.fa", works=True),
    *_each({"gzip instead of bgzip": _bytes(gzip.compress)}, "genome", "select_genes", "genome", "genome.fa"),
    *_each({"bgzip, truncated": _bgzip_half}, "genome", "select_genes", "genome", "genome.fa"),
    *_each(_TEXT | {"gzip, truncated": _gzip_half}, "annotation", "select_genes", "gtf", "genes.gtf"),
    *_each(
        {
            "an invalid strand": _text("\t-\t", "\tminus\t"),
            "start after end": _text("\t101\t160\t", "\t161\t160\t"),
            "a start of 0": _text("\t101\t160\t", "\t0\t160\t"),
            "a start that is not a number": _text("\t101\t160\t", "\tx\t160\t"),
            "spaces instead of tabs": _text("\t", " ", 8),
            "no gene_id": _text("gene_id ", "id "),
            "a FASTA file": _bytes(lambda whole: b">chr1\nACGT\n"),
            "without read permission": _unreadable,
        },
        "annotation",
        "select_genes",
        "gtf",
        "genes.gtf",
    ),
    *_each(
        {"no genes in common with the matrix": _text('gene_id "', 'gene_id "other_', 12)},
        "annotation",
        "select_genes",
        "gtf",
        "genes.gtf",
        names=False,
    ),
    *_each(
        {
            "CRLF": _crlf,
            "unsorted": _reversed,
            "duplicate genes (the second is dropped, with a reason)": _bytes(lambda whole: whole + whole),
        },
        "annotation",
        "select_genes",
        "gtf",
        "genes.gtf",
        works=True,
    ),
    *_each({_BED_NAMED_GTF: _bytes(lambda whole: whole)}, "annotation", "select_genes", "gtf", "tss.bed", works=True),
    *_each({"BED with two columns": _first_columns(2)}, "annotation", "select_genes", "gtf", "tss.bed"),
    *_each({"BED with three columns": _first_columns(3)}, "annotation", "select_genes", "gtf", "tss.bed"),
    *_each(_TEXT | {"gzip, truncated": _gzip_half}, "TSS BED", "select_genes", "tss-bed", "tss.bed"),
    *_each(
        {"two columns": _first_columns(2), "a GTF file": _bytes(lambda whole: b'c\tx\tgene\t1\t9\t.\t+\t.\tgene_id "g"\n')},
        "TSS BED",
        "select_genes",
        "tss-bed",
        "tss.bed",
    ),
    *_each(_TEXT, "matrix", "select_genes", "matrix", "matrix.tsv"),
    *_each({"gzip, truncated": _gzip_half}, "matrix", "select_genes", "matrix", "matrix.tsv.gz"),
    *_each(
        {
            "a cell with text": _bytes(lambda whole: whole.replace(b"chr1_1\t", b"chr1_1\tmany", 1)),
            "a row with too many cells": _text("\nchr2_0", "\t1.5\nchr2_0"),
            "a row with too few cells": _bytes(lambda whole: whole.rsplit(b"\t", 1)[0] + b"\n"),
            "a duplicate task": _text("\tcold", "\theat"),
            "commas instead of tabs": _text("\t", ",", 100),
        },
        "matrix",
        "select_genes",
        "matrix",
        "matrix.tsv",
    ),
    *_each(_ANY | {"truncated": _half}, "matrix, h5ad", "select_genes", "matrix", "matrix.h5ad"),
    *_each(_TEXT | {"truncated": _half}, "matrix, GCT", "select_genes", "matrix", "matrix.gct"),
    *_each(
        _TEXT | {"truncated": _half, "gzip, truncated": _gzip_half},
        "matrix, MTX",
        "select_genes",
        "matrix",
        "market/matrix.mtx",
    ),
    *_each(_ANY | {"truncated": _half}, "cells, h5ad", "aggregate_cells", "cells", "matrix.h5ad"),
    *_each(_TEXT, "task table", "select_genes", "tasks", "tasks.tsv"),
    *_each(
        {"no task column": _text("task", "name"), "a missing task": _text("cold\tb\n", "")},
        "task table",
        "select_genes",
        "tasks",
        "tasks.tsv",
    ),
    *_each(_TEXT, "split table", "select_genes", "splits", "splits.tsv"),
    *_each(
        {"no split column": _text("split", "part"), "an invalid split": _text("train", "training")},
        "split table",
        "select_genes",
        "splits",
        "splits.tsv",
    ),
    *_each(
        _TEXT | {"a missing column": _first_columns(5), "truncated": _half},
        "genes.tsv",
        "write_dataset",
        "genes",
        "results/genes",
    ),
    *_each(_TEXT, "track table", "write_coverage", "tracks", "tracks.tsv"),
    *_each({"no file column": _text("\tfile", "\tpath")}, "track table", "write_coverage", "tracks", "tracks.tsv"),
    *_each(_ANY | {"truncated": _half}, "track, BigWig", "write_coverage", "tracks", "track.bw"),
    *_each(_ANY | {"truncated": _half}, "track, BAM", "make_track", "tracks", "reads.bam", others=(("track", "bam_track"),)),
    *_each(
        {"no index": _bytes(lambda whole: whole)},
        "track, BAM",
        "make_track",
        "tracks",
        "reads.bam",
        others=(("track", "bam_track"),),
        works=True,
    ),
    *_each(
        _TEXT
        | {"two columns": _first_columns(2), "start after end": _text("\t10\t30", "\t30\t10"), "gzip, truncated": _gzip_half},
        "track, BED",
        "make_track",
        "tracks",
        "intervals.bed",
    ),
    *_each(
        _TEXT | {"two columns": _first_columns(2)},
        "track, fragments",
        "make_track",
        "tracks",
        "fragments.tsv",
        others=(("track", "fragments_track"),),
    ),
    *_each(
        {
            "missing": _missing,
            "a folder": _folder,
            "binary garbage": _binary,
            "UTF-16": _utf16,
            "two columns": _first_columns(2),
        },
        "gap BED",
        "make_tiles",
        "gaps",
        "intervals.bed",
    ),
    *_each(_TEXT | {"gzip, truncated": _gzip_half}, "MEME file", "fetch_motifs", "motifs.source", "motifs.meme"),
    *_each(
        {
            "a matrix with three rows and w= 2": _text("0 1 0 0", "0 1 0 0\n0 0 1 0"),
            "a row that sums to 2": _text("1 0 0 0", "1 1 0 0"),
        },
        "MEME file",
        "fetch_motifs",
        "motifs.source",
        "motifs.meme",
    ),
    *_each(
        {
            "no motifs, but text": _bytes(lambda whole: b"MA0001.1 is a motif\n"),
            "JASPAR, three rows": _bytes(lambda whole: b">a\nA 1\nC 1\nG 1\n"),
        },
        "motif file",
        "fetch_motifs",
        "motifs.source",
        "motifs.meme",
    ),
    *_each(_ANY | {"truncated": _half}, "attributions", "call_peaks", "attributions", "attributions.h5"),
    *_each(_ANY | {"truncated": _half}, "data set", "scan_motifs", "dataset", "results/dataset.h5"),
    *_each(_ANY | {"truncated": _half}, "hits, HDF5", "export_hits", "hits", "hits.h5"),
    *_each(_TEXT, "hits, TSV", "pair_motifs", "hits", "hits.tsv"),
]

# Run in a separate process, because TensorFlow takes seconds to import.
NETWORK_CASES = [
    *_each(_TEXT, "VCF", "score_variants", "vcf", "variants.vcf"),
    *_each(
        {
            "four columns": _first_columns(4),
            "spaces instead of tabs": _text("\t", " ", -1),
            "an invalid position": _text("\t100\t", "\tx\t"),
            "gzip, truncated": _gzip_half,
        },
        "VCF",
        "score_variants",
        "vcf",
        "variants.vcf",
    ),
    *_each(_ANY | {"truncated": _half}, "data set", "score_variants", "dataset", "results/dataset.h5"),
    *_each(_ANY | {"truncated": _half}, "model", "score_variants", "models", "model.keras"),
    *_each(_ANY | {"truncated": _half}, "data set", "train_model", "dataset", "results/dataset.h5"),
    *_each(
        _TEXT | {"not YAML": _bytes(lambda whole: b"model: [\n")},
        "parameter file",
        "train_model",
        "model.params",
        "params.yaml",
    ),
    *_each(_ANY, "data set", "fit_baselines", "dataset", "results/dataset.h5"),
    *_each(_ANY, "data set", "fit_words", "dataset", "results/dataset.h5"),
    *_each(_ANY, "table of words", "add_words", "words", "words.h5"),
    *_each(_TEXT, "gene list", "attribute_genes", "attribution.genes", "genes.txt"),
]


def write_broken(case: Case, whole: Path, folder: Path) -> Path:
    """Write the broken file of a case to an empty folder, and return its path."""
    source, path = whole / case.name.removesuffix(".gz"), folder / Path(case.name).name
    if case.wrong == _BED_NAMED_GTF:
        path = folder / "genes.gtf"
    if case.option == "models":
        # Fold and replicate of a model are read from its path.
        path = folder / "fold_0" / "replicate_0" / path.name
        path.parent.mkdir(parents=True)
    if source.parent.name == "market":
        for name in ("features.tsv", "barcodes.tsv"):
            (folder / name).write_bytes((source.parent / name).read_bytes())
    case.breaks(path, source.read_bytes())
    return path


def skips(case: Case) -> bool:
    """Whether a case cannot be tested, because root can read every file."""
    return case.wrong == "without read permission" and os.geteuid() == 0
