"""Windows to predict without a run: sequences of a file, regions of a genome, and genes of an annotation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pysam

from cisnake.data.annotation import read_bed_regions, read_genes
from cisnake.data.genome import Genome, N, encode, match_chromosomes
from cisnake.data.windows.gene_choice import check_list, read_gene_list
from cisnake.data.windows.gene_selection import log_selection, require_genes
from cisnake.data.windows.gene_windows import select_genes
from cisnake.errors import InputError
from cisnake.sections import AnnotationSection, WindowsSection
from cisnake.text_files import read_lines

_NOT_BASES = re.compile(r"[^ACGTNRYKMSWBDHVacgtnrykmswbdhv]")
_FASTA = (".fa", ".fasta", ".fna", ".fa.gz", ".fasta.gz", ".fna.gz")


class GivenWindow(NamedTuple):
    """A window to predict.

    Attributes
    ----------
    name: str
    codes: numpy.ndarray, shape=(length,), dtype=int8
    body: tuple of int, optional
        The gene body, half-open, counted from the start of the window and not clipped to it. None: not known.
    """

    name: str
    codes: np.ndarray
    body: tuple[int, int] | None = None


def read_sequences(path: str | Path, length: int) -> Iterator[GivenWindow]:
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
    GivenWindow

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
        yield GivenWindow(name, codes)
    if empty:
        raise InputError(f"{path} has no sequences.")


def read_region_windows(path: str | Path, genome: Genome, length: int) -> Iterator[GivenWindow]:
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
    GivenWindow
        Named by the fourth column, or chrom:start-end with the coordinates of the region.

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
        yield GivenWindow(name, genome.codes(known, first, first + length, "-" if strand == "-" else "+"))


def read_gene_windows(
    path: str | Path,
    genome: Genome,
    annotation: AnnotationSection,
    windows: WindowsSection,
    listed: str | Path | None = None,
) -> Iterator[GivenWindow]:
    """Yield the windows of genes as a run without measurements selects and places them, with the gene bodies.

    Genes that a run would drop are left out (see `select_genes`); the log gives their number by reason, and names those of the
    list.

    Parameters
    ----------
    path: str or Path
        GTF, GFF3 or BED, see `annotation.read_genes`.
    genome: Genome
    annotation: AnnotationSection
    windows: WindowsSection
    listed: str or Path, optional
        File with one gene id per line. Default None: all genes.

    Yields
    ------
    GivenWindow
        In the direction of the gene, named by the gene id, in the order of the list or else of the genome.

    Raises
    ------
    InputError
        A file cannot be read, the list has an id that the annotation lacks, or no gene is left.
    """
    genes = read_genes(path, list(annotation.exclude), annotation.feature)
    if listed is not None:
        genes = genes[genes["gene_id"].isin(read_gene_list(listed, genes))].reset_index(drop=True)
    kept, dropped, summary = select_genes(genes, None, genome, annotation, windows)
    log_selection(kept, dropped, summary)
    if listed is not None:
        kept = kept.set_index("gene_id", drop=False).loc[check_list(listed, kept, dropped)]
    require_genes(kept, dropped)
    columns = ("gene_id", "chrom", "window_start", "window_end", "strand", "mask_start", "mask_end")
    for gene, chrom, start, end, strand, *body in kept[[*columns]].itertuples(index=False, name=None):
        yield GivenWindow(gene, genome.codes(chrom, start, end, strand), (body[0], body[1]))


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
