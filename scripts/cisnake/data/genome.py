"""Genomic sequence: a FASTA file, its chromosome names, and bases as small integers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pysam

from cisnake.data.fasta_index import find_index
from cisnake.data.lines import check_file
from cisnake.errors import InputError

BASES = "ACGT"
N = 4

_CODES = np.full(256, N, dtype=np.int8)
for _code, _base in enumerate(BASES):
    _CODES[ord(_base)] = _CODES[ord(_base.lower())] = _code
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_N_LETTERS = np.frombuffer(b"Nn", dtype=np.uint8)
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
        The file. Its index (`.fai`, and `.gzi` for bgzip) is made when it is missing or older than the file, beside it or
        where that folder cannot be written to in the user's cache (see `fasta_index.find_index`).

    Attributes
    ----------
    sizes: dict of str to int
        Length of each chromosome, in the order of the file.
    n_ambiguous: int
        How many letters other than A, C, G, T and N (IUPAC's R, Y, …) have been read so far, each time as N.

    Raises
    ------
    InputError
        The file is missing, no FASTA, cut off, compressed with gzip instead of bgzip, or has two sequences of one name or an
        empty one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = check_file(path, "genome", "genome.fasta")
        index, blocks = find_index(self.path)
        self._fasta = pysam.FastaFile(
            str(self.path), filepath_index=str(index), filepath_index_compressed=blocks and str(blocks)
        )
        self.sizes: dict[str, int] = dict(zip(self._fasta.references, self._fasta.lengths, strict=True))
        self.n_ambiguous = 0

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

        Raises
        ------
        InputError
            The file is damaged there.
        """
        inner_start, inner_end = min(max(start, 0), self.sizes[chrom]), max(min(end, self.sizes[chrom]), 0)
        codes = np.full(end - start, N, dtype=np.int8)
        if inner_end > inner_start:
            codes[inner_start - start : inner_end - start] = self._read(chrom, inner_start, inner_end)
        return reverse_complement(codes) if strand == "-" else codes

    def _read(self, chrom: str, start: int, end: int) -> np.ndarray:
        try:
            text = self._fasta.fetch(chrom, start, end).encode("ascii", "replace")
        except (ValueError, OSError):
            text = b""
        if len(text) != end - start:
            raise InputError(
                f"genome {self.path} is damaged at {chrom}:{start}-{end}, or its index is of another file: copy the FASTA "
                "again and remove its index."
            )
        codes = encode(text)
        unknown = codes == N
        if unknown.any():
            letters = np.frombuffer(text, dtype=np.uint8)[unknown]
            self.n_ambiguous += int(np.isin(letters, _N_LETTERS, invert=True).sum())
        return codes


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
