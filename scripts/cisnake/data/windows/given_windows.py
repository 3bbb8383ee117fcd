"""Windows to predict that are not genes of a run: sequences of a file, and regions of a genome."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pysam

from cisnake.data.annotation import read_bed_regions
from cisnake.data.genome import Genome, N, encode, match_chromosomes
from cisnake.errors import InputError
from cisnake.text_files import read_lines

_NOT_BASES = re.compile(r"[^ACGTNRYKMSWBDHVacgtnrykmswbdhv]")
_FASTA = (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz")


def read_sequences(path: str | Path, length: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the sequences of a file as windows, one at a time.

    Sequences shorter than the window are put into its middle, with N on both sides.

    Parameters
    ----------
    path: str or Path
        FASTA (`.fa`, `.fasta`, `.fna`), or a tab-separated table of names and sequences without a header; may be gzipped.
    length: int
        Bases in a window.

    Yields
    ------
    name: str
    codes: numpy.ndarray, shape=(length,), dtype=int8

    Raises
    ------
    InputError
        The file cannot be read or has no sequences, or a sequence is empty, longer than the window, or not DNA.
    """
    path, empty = Path(path), True
    if not path.is_file():
        raise InputError(f"{path} does not exist.")
    for name, sequence in _fasta_records(path) if path.name.lower().endswith(_FASTA) else _table_records(path):
        empty = False
        wrong = _NOT_BASES.search(sequence)
        if wrong or not sequence:
            problem = f"has the letter {wrong[0]!r}, which is not a base" if wrong else "is empty"
            raise InputError(f"{path}: the sequence of {name} {problem}.")
        if len(sequence) > length:
            raise InputError(
                f"{path}: the sequence of {name} has {len(sequence)} bases, but the network reads {length}: shorten it."
            )
        codes = np.full(length, N, np.int8)
        first = (length - len(sequence)) // 2
        codes[first : first + len(sequence)] = encode(sequence)
        yield name, codes
    if empty:
        raise InputError(f"{path} has no sequences.")


def read_region_windows(path: str | Path, genome: Genome, length: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a window around the middle of each region of a BED file, or around the summit of each peak of a narrowPeak file.

    The middle of [start, end) is base (start + end) // 2. It is base length // 2 of the window on both strands. Windows of
    regions on the - strand are reverse complements. Positions beyond the ends of a chromosome are N.

    Parameters
    ----------
    path: str or Path
        BED with 3 to 12 columns, or narrowPeak; may be gzipped. The fourth column, if it is not `.`, is the name.
    genome: Genome
    length: int
        Bases in a window.

    Yields
    ------
    name: str
        The name, or chrom:start-end with the coordinates of the region.
    codes: numpy.ndarray, shape=(length,), dtype=int8

    Raises
    ------
    InputError
        The file cannot be read, has no regions, or a line is not a region of the genome; the message has its number.
    """
    regions = read_bed_regions(path)
    chromosomes = match_chromosomes(regions["chrom"], genome.sizes, str(path))
    columns = ("chrom", "end", "name", "strand", "middle", "place")
    for number, chrom, end, name, strand, middle, place in regions[[*columns]].itertuples(name=None):
        known = chromosomes.get(chrom)
        if known is None or end > genome.sizes[known]:
            what = f"chromosome {chrom} is not in the genome" if known is None else f"{place} is beyond its end"
            raise InputError(f"{path}, line {number}: {what}.")
        first = middle + 1 + length // 2 - length if strand == "-" else middle - length // 2
        yield name, genome.codes(known, first, first + length, "-" if strand == "-" else "+")


def _fasta_records(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with pysam.FastxFile(str(path)) as records:
            for record in records:
                yield str(record.name), record.sequence or ""
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as FASTA: {error}") from error


def _table_records(path: Path) -> Iterator[tuple[str, str]]:
    for number, line in read_lines(path, "sequences"):
        fields = line.rstrip("\r\n").split("\t")
        if line.strip() and len(fields) != 2:
            raise InputError(f"{path}, line {number}: expected two tab-separated columns, name and sequence.")
        if line.strip():
            yield fields[0], fields[1]
