"""Build windows with a variant such that the position of the TSS is unchanged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, encode, reverse_complement, to_genome, to_window
from cisnake.errors import InputError


class Change(NamedTuple):
    """Bases [start, end) of the forward strand (0-based; empty for an insertion) and their replacement `alt`."""

    start: int
    end: int
    alt: str


class Window(NamedTuple):
    """The window of a gene: [start, end) of `chrom`, read along `strand`.

    mask_start and mask_end are the gene body, counted from the upstream end of the window in the direction of the gene.
    mask_start is the TSS; mask_end may be beyond the window.

    Examples
    --------
    A window of 100 bases on the minus strand, with the TSS 60 bases from its upstream end:

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
        """Return a change in the direction of the gene: first position, position after the last, and replacement codes."""
        first, last = to_window(self.start, self.end, self.strand, change.start, change.end)
        codes = encode(change.alt)
        return int(first), int(last), reverse_complement(codes) if self.strand == "-" else codes

    def codes(self, genome: Genome | None, first: int, last: int) -> np.ndarray:
        """Return the bases in [first, last), counted from the upstream end of the window; N outside or without a genome."""
        if genome is None:
            return np.full(last - first, N, dtype=np.int8)
        start, end = to_genome(self.start, self.end, self.strand, first, last)
        return genome.codes(self.chrom, int(start), int(end), self.strand)

    def widened(self, upstream: int, downstream: int) -> Window:
        """Return the window extended by `upstream` and `downstream` bases."""
        left, right = (downstream, upstream) if self.strand == "-" else (upstream, downstream)
        body = (place + upstream for place in (self.mask_start, self.mask_end))
        return Window(self.chrom, self.start - left, self.end + right, self.strand, *body)

    def moved(self, change: Change) -> tuple[int, int]:
        """Return the start of the window with a change, and the increase in chromosome length.

        The start is relative to the old start, on the changed chromosome. A negative start means that as many bases are needed
        from upstream of the old window. A start that exceeds the increase in length means that the difference is needed from
        downstream of it.
        """
        first, last, allele = self.place(change)
        grown = len(allele) - (last - first)
        if last <= self.mask_start:
            return grown, grown
        # If the TSS base is replaced or deleted, its replacement, or the next base, becomes the TSS.
        return min(0, first + len(allele) - self.mask_start) if first <= self.mask_start else 0, grown


def gene_windows(genes: pd.DataFrame, seq_len: int) -> list[Window]:
    """Return the window of each gene in genes.tsv.

    Raises
    ------
    InputError
        A window is not `seq_len` bases long: genes.tsv and the data set come from different runs.
    """
    columns = ("chrom", "window_start", "window_end", "strand", "mask_start", "mask_end")
    windows = [Window(*row) for row in zip(*(genes[column] for column in columns), strict=True)]
    wrong = np.flatnonzero(genes["window_end"] - genes["window_start"] != seq_len)
    if len(wrong):
        window = windows[wrong[0]]
        raise InputError(
            f"the window of gene {genes['gene_id'].iloc[wrong[0]]} has {window.end - window.start} bp in the table of genes "
            f"but {seq_len} bp in the data set: use two files of the same run."
        )
    return windows


def trim(start: int, ref: str, alt: str) -> Change:
    """Trim the bases shared by two alleles, first at their ends and then at their starts, as in left-aligned VCF.

    VCF includes the base before an indel. After trimming, this base no longer affects on which side of the TSS, or of the edge
    of a window, the indel lies.

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
    """Return the length of the common prefix of two strings."""
    return next((i for i, (a, b) in enumerate(zip(first, second)) if a != b), min(len(first), len(second)))


def pair_with_genes(
    chroms: Sequence[str], changes: Sequence[Change], windows: Sequence[Window]
) -> tuple[np.ndarray, np.ndarray]:
    """Find the windows that each change affects.

    A change affects a window if it replaces or deletes a base of it, or inserts bases between two bases of it.

    Parameters
    ----------
    chroms: sequence of str, n entries
        Chromosomes of the changes.
    changes: sequence of Change, n entries
    windows: sequence of Window
        Windows, all of the same length.

    Returns
    -------
    change, window: numpy.ndarray, shape=(pairs,), dtype=int64
        Indices, ordered by change, then by the position of the window on the genome.

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
        # Windows of the same length have the same order by end as by start, so those affected are consecutive.
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
    """Build the window of a gene separately for each change.

    The window is taken from the changed chromosome such that the TSS keeps its position. An indel upstream of the TSS is
    compensated at the upstream end of the window, and one at or downstream of the TSS at the downstream end, with bases from
    beyond the window (N beyond the chromosome). A change that covers the TSS is split there: the first new bases replace the
    old bases upstream of the TSS, one for one, and the others follow downstream, so that substitutions stay in place. If the
    TSS base is deleted, the first base after the deletion becomes the TSS. If a change extends beyond the window, only the
    part inside has an effect. Decima anchors indels in the same way.

    Parameters
    ----------
    genome: Genome, optional
        Source of bases beyond the window; they are N if it is None.
    window: Window
    reference: numpy.ndarray, shape=(length,), dtype=int8
        The unchanged window, in the direction of the gene.
    changes: sequence of Change, n entries
        Trimmed changes that affect the window.

    Returns
    -------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        The changed windows, in the direction of the gene.
    mask_end: numpy.ndarray, shape=(n,), dtype=int64
        End of the gene body in the window, at most its length. It shifts with indels inside the body. The start of the body
        remains `window.mask_start`.

    Examples
    --------
    The TSS is at 6. A deletion upstream of it lets in bases from beyond the window, unknown here; downstream bases stay:

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
        # Complement each base; undo the reversal, because the bases belong to different rows.
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
