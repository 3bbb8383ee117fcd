"""Broken inputs: what a user may give by mistake, made from whole inputs, and which program is then run on it."""

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
        What the file is.
    wrong: str
        What is wrong with it.
    program: str
        The script that reads it.
    option: str
        Its option that names the file.
    name: str
        The file that is broken, of those of `whole`; the broken one has the same name.
    breaks: callable
        Writes the broken file, given its path and the bytes of the whole one.
    works: bool
        Whether the program does what it should all the same.
    names: bool
        Whether the message must name the file; not where two files disagree.
    others: tuple of (option, value)
        Options that differ from those of a run that works.
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
    # Long enough that what is left is more than the head of the first block.
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
# The same in every run, and no text in any encoding.
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


_BED_NAMED_GTF = "BED with six columns under the name of GTF"
# What may happen to any file.
_ANY: dict[str, Break] = {"missing": _missing, "a folder": _folder, "empty": _empty, "binary garbage": _binary}
_TEXT = _ANY | {"UTF-16": _utf16}


def _each(breaks: dict[str, Break], input: str, program: str, option: str, name: str, **more) -> list[Case]:
    return [Case(input, wrong, program, option, name, change, **more) for wrong, change in breaks.items()]


CASES = [
    *_each(_TEXT, "genome", "select_genes", "genome", "genome.fa"),
    *_each(
        {
            "a name and no sequence": _bytes(lambda whole: b">chr1\n"),
            "no name": _bytes(lambda whole: b"ACGT\n"),
            "a sequence without bases": _text(">chr2\n", ">none\n>chr2\n"),
            "a name twice": _text(">chr2\n", ">chr1\n"),
            "lines of different lengths": _text("\n>chr2\n", "\nACG\n\nACGT\n>chr2\n"),
            "without read permission": _unreadable,
        },
        "genome",
        "select_genes",
        "genome",
        "genome.fa",
    ),
    *_each(
        {"other chromosomes than the annotation": _text(">chr", ">scaffold", 3)},
        "genome",
        "select_genes",
        "genome",
        "genome.fa",
        names=False,
    ),
    *_each({"CRLF": _crlf, "lower case": _lower}, "genome", "select_genes", "genome", "genome.fa", works=True),
    *_each({"no index, read-only folder": _read_only_folder}, "genome", "select_genes", "genome", "genome.fa", works=True),
    *_each({"gzip instead of bgzip": _bytes(gzip.compress)}, "genome", "select_genes", "genome", "genome.fa"),
    *_each({"bgzip, cut off": _bgzip_half}, "genome", "select_genes", "genome", "genome.fa"),
    *_each(_TEXT | {"gzip, cut off": _gzip_half}, "annotation", "select_genes", "gtf", "genes.gtf"),
    *_each(
        {
            "a strand that is none": _text("\t-\t", "\tminus\t"),
            "start after end": _text("\t101\t160\t", "\t161\t160\t"),
            "a start of 0": _text("\t101\t160\t", "\t0\t160\t"),
            "a start that is no number": _text("\t101\t160\t", "\tx\t160\t"),
            "spaces instead of tabs": _text("\t", " ", 8),
            "no gene_id": _text("gene_id ", "id "),
            "a FASTA": _bytes(lambda whole: b">chr1\nACGT\n"),
            "without read permission": _unreadable,
        },
        "annotation",
        "select_genes",
        "gtf",
        "genes.gtf",
    ),
    *_each(
        {"no gene of the matrix": _text('gene_id "', 'gene_id "other_', 12)},
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
            "genes twice (the second is dropped, with the reason)": _bytes(lambda whole: whole + whole),
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
    *_each(_TEXT | {"gzip, cut off": _gzip_half}, "TSS", "select_genes", "tss-bed", "tss.bed"),
    *_each(
        {"two columns": _first_columns(2), "a GTF": _bytes(lambda whole: b'c\tx\tgene\t1\t9\t.\t+\t.\tgene_id "g"\n')},
        "TSS",
        "select_genes",
        "tss-bed",
        "tss.bed",
    ),
    *_each(_TEXT, "matrix", "select_genes", "matrix", "matrix.tsv"),
    *_each({"gzip, cut off": _gzip_half}, "matrix", "select_genes", "matrix", "matrix.tsv.gz"),
    *_each(
        {
            "a cell of text": _bytes(lambda whole: whole.replace(b"chr1_1\t", b"chr1_1\tmany", 1)),
            "a row with more cells": _text("\nchr2_0", "\t1.5\nchr2_0"),
            "a row with fewer cells": _bytes(lambda whole: whole.rsplit(b"\t", 1)[0] + b"\n"),
            "a task twice": _text("\tcold", "\theat"),
            "commas instead of tabs": _text("\t", ",", 100),
        },
        "matrix",
        "select_genes",
        "matrix",
        "matrix.tsv",
    ),
    *_each(_ANY | {"cut off": _half}, "matrix, h5ad", "select_genes", "matrix", "matrix.h5ad"),
    *_each(_TEXT | {"cut off": _half}, "matrix, GCT", "select_genes", "matrix", "matrix.gct"),
    *_each(
        _TEXT | {"cut off": _half, "gzip, cut off": _gzip_half}, "matrix, MTX", "select_genes", "matrix", "market/matrix.mtx"
    ),
    *_each(_ANY | {"cut off": _half}, "cells, h5ad", "aggregate_cells", "cells", "matrix.h5ad"),
    *_each(_TEXT, "task table", "select_genes", "tasks", "tasks.tsv"),
    *_each(
        {"no column task": _text("task", "name"), "a task less": _text("cold\tb\n", "")},
        "task table",
        "select_genes",
        "tasks",
        "tasks.tsv",
    ),
    *_each(_TEXT, "table of splits", "select_genes", "splits", "splits.tsv"),
    *_each(
        {"no column split": _text("split", "part"), "a split that is none": _text("train", "training")},
        "table of splits",
        "select_genes",
        "splits",
        "splits.tsv",
    ),
    *_each(
        _TEXT | {"a column less": _first_columns(5), "cut off": _half}, "genes.tsv", "write_dataset", "genes", "results/genes"
    ),
    *_each(_TEXT, "table of tracks", "write_coverage", "tracks", "tracks.tsv"),
    *_each({"no column file": _text("\tfile", "\tpath")}, "table of tracks", "write_coverage", "tracks", "tracks.tsv"),
    *_each(_ANY | {"cut off": _half}, "BigWig", "write_coverage", "tracks", "track.bw"),
    *_each(_ANY | {"cut off": _half}, "BAM", "make_track", "tracks", "reads.bam", others=(("track", "bam"),)),
    *_each(
        {"no index": _bytes(lambda whole: whole)},
        "BAM",
        "make_track",
        "tracks",
        "reads.bam",
        others=(("track", "bam"),),
        works=True,
    ),
    *_each(
        _TEXT
        | {"two columns": _first_columns(2), "start after end": _text("\t10\t30", "\t30\t10"), "gzip, cut off": _gzip_half},
        "BED of a track",
        "make_track",
        "tracks",
        "intervals.bed",
    ),
    *_each(
        _TEXT | {"two columns": _first_columns(2)},
        "fragments",
        "make_track",
        "tracks",
        "fragments.tsv",
        others=(("track", "fragments"),),
    ),
    *_each(
        {
            "missing": _missing,
            "a folder": _folder,
            "binary garbage": _binary,
            "UTF-16": _utf16,
            "two columns": _first_columns(2),
        },
        "BED of gaps",
        "make_tiles",
        "gaps",
        "intervals.bed",
    ),
    *_each(_TEXT | {"gzip, cut off": _gzip_half}, "MEME file", "fetch_motifs", "motifs.source", "motifs.meme"),
    *_each(
        {
            "a matrix of three rows where w= 2": _text("0 1 0 0", "0 1 0 0\n0 0 1 0"),
            "a row that sums to 2": _text("1 0 0 0", "1 1 0 0"),
        },
        "MEME file",
        "fetch_motifs",
        "motifs.source",
        "motifs.meme",
    ),
    *_each(_ANY | {"cut off": _half}, "attributions", "call_peaks", "attributions", "attributions.h5"),
    *_each(_ANY | {"cut off": _half}, "data set", "scan_motifs", "dataset", "results/dataset.h5"),
    *_each(_ANY | {"cut off": _half}, "file of hits", "export_hits", "hits", "hits.h5"),
    *_each(_TEXT, "table of hits", "pair_motifs", "hits", "hits.tsv"),
]

# TensorFlow takes seconds to start: these run one after the other in a process of their own.
NETWORK_CASES = [
    *_each(_TEXT, "VCF", "score_variants", "vcf", "variants.vcf"),
    *_each(
        {
            "no header": _bytes(lambda whole: whole.splitlines()[-1] + b"\n"),
            "a column less": _bytes(lambda whole: whole.rstrip(b"\n").rsplit(b"\t", 1)[0] + b"\n"),
            "a position that is none": _text("\t100\t", "\tx\t"),
            "gzip, cut off": _gzip_half,
        },
        "VCF",
        "score_variants",
        "vcf",
        "variants.vcf",
    ),
    *_each(_ANY | {"cut off": _half}, "data set", "score_variants", "dataset", "results/dataset.h5"),
    *_each(_ANY | {"cut off": _half}, "model", "score_variants", "models", "model.keras"),
    *_each(_ANY | {"cut off": _half}, "data set", "train_model", "dataset", "results/dataset.h5"),
    *_each(
        _TEXT | {"no YAML": _bytes(lambda whole: b"model: [\n")}, "parameter file", "train_model", "model.params", "params.yaml"
    ),
    *_each(_ANY, "data set", "evaluate_model", "dataset", "results/dataset.h5"),
    *_each(_TEXT, "list of genes", "attribute_genes", "attribution.genes", "genes.txt"),
]


def write_broken(case: Case, whole: Path, folder: Path) -> Path:
    """Write the broken file of a case into an empty folder, and return its path."""
    source, path = whole / case.name.removesuffix(".gz"), folder / Path(case.name).name
    if case.wrong == _BED_NAMED_GTF:
        path = folder / "genes.gtf"
    if case.option == "models":
        # What a model was trained on is read from its folders.
        path = folder / "fold_0" / "replicate_0" / path.name
        path.parent.mkdir(parents=True)
    if source.parent.name == "market":
        for beside in ("features.tsv", "barcodes.tsv"):
            (folder / beside).write_bytes((source.parent / beside).read_bytes())
    case.breaks(path, source.read_bytes())
    return path


def skips(case: Case) -> bool:
    """Whether a case cannot be made here, as root may read everything."""
    return case.wrong == "without read permission" and os.geteuid() == 0
