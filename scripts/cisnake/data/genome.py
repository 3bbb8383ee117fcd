"""Genomic sequence: a FASTA file, its chromosome names, and bases as small integers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pysam

from cisnake.errors import InputError

BASES = "ACGT"
N = 4

_CODES = np.full(256, N, dtype=np.int8)
for _code, _base in enumerate(BASES):
    _CODES[ord(_base)] = _CODES[ord(_base.lower())] = _code
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_COMPLEMENT = np.array([3, 2, 1, 0, 4], dtype=np.int8)
_ONE_HOT = np.vstack([np.eye(4, dtype=np.float32), np.zeros((1, 4), dtype=np.float32)])


def encode(sequence: str | bytes) -> np.ndarray:
    """Return a sequence as codes: A0 C1 G2 T3, anything else N4.

    Parameters
    ----------
    sequence: str or bytes
        Letters of either case.

    Returns
    -------
    numpy.ndarray, shape=(length,), dtype=int8
    """
    raw = sequence.encode("ascii", "replace") if isinstance(sequence, str) else sequence
    return _CODES[np.frombuffer(raw, dtype=np.uint8)]


def decode(codes: np.ndarray) -> str:
    """Return codes, shape=(length,), as upper-case letters."""
    return _LETTERS[codes].tobytes().decode("ascii")


def reverse_complement(codes: np.ndarray) -> np.ndarray:
    """Return the reverse complement of codes along the last axis; N stays N."""
    return _COMPLEMENT[codes[..., ::-1]]


def one_hot(codes: np.ndarray) -> np.ndarray:
    """Return codes, shape=(..., length), as float32 indicators, shape=(..., length, 4), in the order A C G T; N is all zero."""
    return _ONE_HOT[codes]


class Genome:
    """A FASTA file, plain or bgzipped, read by region.

    Parameters
    ----------
    path: str or Path
        The file. Its index (`.fai`, and `.gzi` for bgzip) is made beside it when missing.

    Attributes
    ----------
    sizes: dict of str to int
        Length of each chromosome, in the order of the file.

    Raises
    ------
    InputError
        The file is missing, empty, compressed with gzip instead of bgzip, or cannot be indexed where it is.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"genome {self.path} is not there: check genome.fasta in the configuration.")
        _refuse_gzip(self.path)
        _make_index(self.path)
        self._fasta = pysam.FastaFile(str(self.path))
        self.sizes: dict[str, int] = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        if not self.sizes:
            raise InputError(f"genome {self.path} holds no sequence: is it a FASTA file?")

    def codes(self, chrom: str, start: int, end: int, strand: str = "+") -> np.ndarray:
        """Return the bases of [start, end) as codes; positions beyond a chromosome's ends are N.

        Parameters
        ----------
        chrom: str
            A key of `sizes`.
        start, end: int
            0-based, half-open, on the forward strand; may lie outside the chromosome.
        strand: "+" or "-"
            "-" gives the reverse complement.

        Returns
        -------
        numpy.ndarray, shape=(end - start,), dtype=int8
        """
        inner_start, inner_end = min(max(start, 0), self.sizes[chrom]), max(min(end, self.sizes[chrom]), 0)
        codes = np.full(end - start, N, dtype=np.int8)
        if inner_end > inner_start:
            codes[inner_start - start : inner_end - start] = encode(self._fasta.fetch(chrom, inner_start, inner_end))
        return reverse_complement(codes) if strand == "-" else codes


def _make_index(path: Path) -> None:
    index = path.with_name(path.name + ".fai")
    if index.exists() and index.stat().st_mtime_ns >= path.stat().st_mtime_ns:
        return
    try:
        pysam.faidx(str(path))
    except pysam.SamtoolsError as error:
        raise InputError(
            f"genome {path} could not be indexed ({str(error).strip().splitlines()[-1]}): it must be FASTA, with its .fai "
            "beside it or in a folder that can be written to."
        ) from error


def _refuse_gzip(path: Path) -> None:
    """Refuse gzip that is not bgzip, which says so in an extra field of its first block."""
    with open(path, "rb") as handle:
        head = handle.read(14)
    if head.startswith(b"\x1f\x8b") and head[12:] != b"BC":
        raise InputError(f"genome {path} is compressed with gzip: compress it with bgzip instead, or unpack it.")


def match_chromosomes(names: Iterable[str], known: Iterable[str], source: str) -> dict[str, str]:
    """Map chromosome names of a file to those of the genome.

    A name is the same in both, or differs by a leading `chr`. Names that the genome lacks are left out of the map (their
    genes are reported as dropped), but a file that shares no name with the genome is an error.

    Parameters
    ----------
    names: iterable of str
        Names in the file.
    known: iterable of str
        Names in the genome.
    source: str
        The file, as it should read in the message.

    Returns
    -------
    dict of str to str
        Names of the genome by names of the file; only those that match.

    Raises
    ------
    InputError
        No name matches, with or without `chr`; the message shows both lists.
    """
    names, known = list(dict.fromkeys(names)), list(dict.fromkeys(known))
    genome = set(known)
    toggled = {name: name.removeprefix("chr") if name.startswith("chr") else f"chr{name}" for name in names}
    matched = {name: near for name in names for near in (toggled[name], name) if near in genome}
    if names and not matched:
        raise InputError(
            f"no chromosome of {source} is in the genome: {source} has {_some(names)}; the genome has {_some(known)}. "
            "Use one naming in both files."
        )
    return matched


def _some(names: list[str], n: int = 20) -> str:
    return ", ".join(names[:n]) + (f" and {len(names) - n} more" if len(names) > n else "")
