"""Windows with a variant in them, built so that the start of transcription keeps its place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, encode, reverse_complement, to_genome, to_window
from cisnake.errors import InputError


class Change(NamedTuple):
    """Bases [start, end) of the genome's forward strand (0-based; empty for an insertion) and what replaces them."""

    start: int
    end: int
    alt: str


class Window(NamedTuple):
    """What the model sees of a gene: [start, end) of `chrom`, read along `strand`.

    mask_start and mask_end: the gene body, counted from the window's upstream end in the gene's direction; mask_start is the
    TSS, and mask_end may lie beyond the window.

    Examples
    --------
    A window of 100 bases on the minus strand, whose TSS is 60 bases from its upstream end:

    >>> from cisnake.data.genome import decode
    >>> from cisnake.variants.windows import Change, Window
    >>> window = Window("chr1", 1000, 1100, "-", 60, 90)
    >>> first, last, bases = window.place(Change(1045, 1046, "AC"))
    >>> first, last, decode(bases)
    (54, 55, 'GT')
    >>> window.moved(Change(1045, 1046, "AC"))
    (1, 1)
    """

    chrom: str
    start: int
    end: int
    strand: str
    mask_start: int
    mask_end: int

    def place(self, change: Change) -> tuple[int, int, np.ndarray]:
        """Return a change in the gene's direction: first position, position after the last, and the codes that come there."""
        first, last = to_window(self.start, self.end, self.strand, change.start, change.end)
        codes = encode(change.alt)
        return int(first), int(last), reverse_complement(codes) if self.strand == "-" else codes

    def codes(self, genome: Genome | None, first: int, last: int) -> np.ndarray:
        """Return the genome's bases at [first, last), counted from the window's upstream end; N beyond it or without one."""
        if genome is None:
            return np.full(last - first, N, dtype=np.int8)
        start, end = to_genome(self.start, self.end, self.strand, first, last)
        return genome.codes(self.chrom, int(start), int(end), self.strand)

    def widened(self, upstream: int, downstream: int) -> Window:
        """Return the window with so many bases more before its upstream end and after its downstream end."""
        left, right = (downstream, upstream) if self.strand == "-" else (upstream, downstream)
        body = (place + upstream for place in (self.mask_start, self.mask_end))
        return Window(self.chrom, self.start - left, self.end + right, self.strand, *body)

    def moved(self, change: Change) -> tuple[int, int]:
        """Return where the window with a change begins, and by how much the change makes the chromosome longer.

        The beginning is counted from the old one on the changed chromosome. From beyond the old window, a negative beginning
        asks for so many bases upstream, and one that is larger than the growth for the difference downstream.
        """
        first, last, allele = self.place(change)
        grown = len(allele) - (last - first)
        if last <= self.mask_start:
            return grown, grown
        # Where the TSS base is replaced or deleted, what stands in its place, or follows it, takes its part.
        return min(0, first + len(allele) - self.mask_start) if first <= self.mask_start else 0, grown


def gene_windows(genes: pd.DataFrame, seq_len: int) -> list[Window]:
    """Return the window of each gene of genes.tsv.

    Raises
    ------
    InputError
        A window is not `seq_len` long: genes.tsv and the data set are of different runs.
    """
    columns = ("chrom", "window_start", "window_end", "strand", "mask_start", "mask_end")
    windows = [Window(*row) for row in zip(*(genes[column] for column in columns), strict=True)]
    wrong = np.flatnonzero(genes["window_end"] - genes["window_start"] != seq_len)
    if len(wrong):
        window = windows[wrong[0]]
        raise InputError(
            f"the window of gene {genes['gene_id'].iloc[wrong[0]]} is {window.end - window.start} long in the table of genes "
            f"and {seq_len} in the data set: give the two files of one run."
        )
    return windows


def trim(start: int, ref: str, alt: str) -> Change:
    """Take from two alleles what they share, first at their ends and then at their starts, as in left-aligned VCF.

    The base before an indel, which VCF writes with it, so never decides on which side of the TSS or of a window's edge the
    indel lies.

    Examples
    --------
    >>> from cisnake.variants.windows import trim
    >>> trim(99, "CTT", "CT"), trim(99, "A", "G")
    (Change(start=100, end=101, alt=''), Change(start=99, end=100, alt='G'))
    """
    tail = _shared(ref[::-1].upper(), alt[::-1].upper())
    ref, alt = ref[: len(ref) - tail], alt[: len(alt) - tail]
    head = _shared(ref.upper(), alt.upper())
    return Change(start + head, start + len(ref), alt[head:])


def _shared(first: str, second: str) -> int:
    """Return how many letters two texts have in common at their starts."""
    return next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))


def pair_with_genes(
    chroms: Sequence[str], changes: Sequence[Change], windows: Sequence[Window]
) -> tuple[np.ndarray, np.ndarray]:
    """Find for each change the windows that it touches.

    A change touches a window when it alters or removes a base of it, or inserts between two bases of it.

    Parameters
    ----------
    chroms: sequence of str, n entries
        Chromosomes of the changes.
    changes: sequence of Change, n entries
    windows: sequence of Window
        All of one length.

    Returns
    -------
    change, window: numpy.ndarray, shape=(pairs,), dtype=int64
        Indices, ordered by change, then by the window's place on the genome.

    Examples
    --------
    >>> from cisnake.variants.windows import Change, Window, pair_with_genes
    >>> windows = [Window("chr1", 50, 150, "+", 60, 90), Window("chr1", 0, 100, "-", 60, 90)]
    >>> change, window = pair_with_genes(["chr1", "chr2"], [Change(70, 71, "A"), Change(70, 71, "A")], windows)
    >>> change.tolist(), window.tolist()
    ([0, 0], [1, 0])
    """
    window_chroms = np.array([window.chrom for window in windows], dtype=object)
    window_starts = np.array([window.start for window in windows], dtype=np.int64)
    window_ends = np.array([window.end for window in windows], dtype=np.int64)
    starts = np.array([change.start for change in changes], dtype=np.int64)
    ends = np.array([change.end for change in changes], dtype=np.int64)
    all_chroms = np.array(chroms, dtype=object)
    pairs: list[tuple[np.ndarray, np.ndarray]] = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for chrom in dict.fromkeys(chroms):
        rows = np.flatnonzero(all_chroms == chrom)
        candidates = np.flatnonzero(window_chroms == chrom)
        candidates = candidates[np.argsort(window_starts[candidates], kind="stable")]
        # Windows of one length are ordered by end as well as by start: those touched are neighbours.
        first = np.searchsorted(window_ends[candidates], starts[rows], side="right")
        last = np.searchsorted(window_starts[candidates], ends[rows], side="left")
        counts = np.maximum(last - first, 0)
        offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs.append((np.repeat(rows, counts), candidates[np.repeat(first, counts) + offsets]))
    change, window = (np.concatenate(part) for part in zip(*pairs, strict=True))
    order = np.argsort(change, kind="stable")
    return change[order], window[order]


def alternative_windows(
    genome: Genome | None, window: Window, reference: np.ndarray, changes: Sequence[Change]
) -> tuple[np.ndarray, np.ndarray]:
    """Return a gene's window once with each of some changes.

    A window with a change is cut from the changed chromosome so that the TSS is where it was: what an indel upstream of the
    TSS adds or removes is made up for at the upstream end of the window, what one at or downstream of it does, at the
    downstream end, with bases from beyond the window (N beyond the chromosome). A change that covers the TSS is split at it:
    as many of its new bases as there were old ones upstream go upstream, the others downstream, so that a substitution stays
    in its place; where the TSS base is deleted, the first base after the deletion takes its part. Of a change that reaches
    beyond the window only what the window shows has an effect. This is how Decima's builder anchors indels.

    Parameters
    ----------
    genome: Genome, optional
        None gives N for bases from beyond the window.
    window: Window
    reference: numpy.ndarray, shape=(length,), dtype=int8
        The window without a change, in the gene's direction.
    changes: sequence of Change, n entries
        Trimmed; they touch the window.

    Returns
    -------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        In the gene's direction.
    mask_end: numpy.ndarray, shape=(n,), dtype=int64
        Where the gene body ends in the window, at most at its length; it moves with indels inside the body, which starts at
        `window.mask_start` as before.

    Examples
    --------
    A deletion upstream of the TSS, at 6, moves bases from beyond the window in, here unknown ones; downstream bases stay:

    >>> from cisnake.data.genome import decode, encode
    >>> from cisnake.variants.windows import Change, Window, alternative_windows
    >>> window, reference = Window("chr1", 100, 110, "+", 6, 9), encode("ACGTACGTAC")
    >>> codes, mask_end = alternative_windows(None, window, reference, [Change(102, 104, ""), Change(107, 108, "A")])
    >>> [decode(row) for row in codes], mask_end.tolist()
    (['NNACACGTAC', 'ACGTACGAAC'], [9, 9])
    """
    codes = np.repeat(reference[None], len(changes), axis=0)
    mask_end = np.full(len(changes), min(window.mask_end, len(reference)), dtype=np.int64)
    single = np.array([change.end - change.start == 1 == len(change.alt) for change in changes], dtype=bool)
    rows = np.flatnonzero(single).tolist()
    if rows:
        starts = np.array([changes[row].start for row in rows])
        bases = encode("".join(changes[row].alt for row in rows))
        # The complement of each base; reversed twice, for the bases belong to different rows.
        positions, _ = to_window(window.start, window.end, window.strand, starts, starts + 1)
        codes[rows, positions] = reverse_complement(bases)[::-1] if window.strand == "-" else bases
    for row in np.flatnonzero(~single).tolist():
        codes[row], mask_end[row] = _alternative_window(genome, window, reference, changes[row])
    return codes, mask_end


def _alternative_window(genome: Genome | None, window: Window, reference: np.ndarray, change: Change) -> tuple[np.ndarray, int]:
    length, tss = len(reference), window.mask_start
    first, last, allele = window.place(change)
    begin, grown = window.moved(change)

    def moved(position: int) -> int:
        return position + grown if last <= position else first + min(position - first, len(allele))

    body_end = moved(window.mask_end) if first < window.mask_end else window.mask_end
    end, after = begin + length, first + len(allele)

    def bases(start: int, stop: int) -> np.ndarray:
        if start >= stop:
            return reference[:0]
        inner = reference[max(start, 0) : max(stop, 0)]
        left = window.codes(genome, start, min(stop, 0)) if start < 0 else reference[:0]
        right = window.codes(genome, max(start, length), stop) if stop > length else reference[:0]
        return np.concatenate([left, inner, right])

    codes = np.concatenate(
        [
            bases(begin, min(first, end)),
            allele[max(begin - first, 0) : max(end - first, 0)],
            bases(max(begin, after) - grown, end - grown),
        ]
    )
    return codes, min(max(body_end - begin, tss), length)
