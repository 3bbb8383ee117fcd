"""Read genomic sequence from a FASTA file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pysam

from cisnake.data.genome.bases import N, encode, reverse_complement
from cisnake.data.genome.fasta_index import find_index
from cisnake.errors import InputError
from cisnake.text_files import check_file

_N_LETTERS = np.frombuffer(b"Nn", dtype=np.uint8)


class Genome:
    """A FASTA file, plain or bgzipped, with random access by region.

    Parameters
    ----------
    path: str or Path
        The FASTA file. Its index (`.fai`, and `.gzi` for bgzip) is created if it is missing or older than the file, either
        next to the file or, if that folder is not writable, in the user's cache (see `find_index`).

    Attributes
    ----------
    sizes: dict of str to int
        Length of each chromosome, in file order.
    n_ambiguous: int
        Number of letters other than A, C, G, T and N (IUPAC's R, Y, …) read so far; they are treated as N.

    Raises
    ------
    InputError
        The file is missing, not FASTA, truncated, compressed with gzip instead of bgzip, or has a repeated name or an empty
        sequence.
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
        """Return the bases in [start, end) as codes; positions beyond the ends of the chromosome are N.

        Parameters
        ----------
        chrom: str
            A key of `sizes`.
        start, end: int
            0-based, half-open, on the forward strand; may extend beyond the chromosome.
        strand: "+" or "-"
            "-" returns the reverse complement.

        Returns
        -------
        numpy.ndarray, shape=(end - start,), dtype=int8

        Raises
        ------
        InputError
            The file is damaged in this region.
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
                f"genome {self.path} is damaged at {chrom}:{start}-{end}, or its index belongs to another file: copy the FASTA "
                "file again and delete its index."
            )
        codes = encode(text)
        unknown = codes == N
        if unknown.any():
            letters = np.frombuffer(text, dtype=np.uint8)[unknown]
            self.n_ambiguous += int(np.isin(letters, _N_LETTERS, invert=True).sum())
        return codes
