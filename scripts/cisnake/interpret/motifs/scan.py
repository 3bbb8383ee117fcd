"""Scan the windows of a run with motifs on both strands, once for all contrasts, and compute p-values and q-values."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cisnake.data.dataset import RowReader
from cisnake.data.genome import to_genome
from cisnake.errors import InputError
from cisnake.interpret.motifs.log_odds import Scores, pooled_frequencies, score_motifs
from cisnake.interpret.motifs.window_sites import Windows
from cisnake.interpret.q_values import bh_q_values_of_smallest
from cisnake.processes import map_apart
from cisnake.program import Progress

if TYPE_CHECKING:
    import pandas as pd

    from cisnake.data import Motif

MAX_CLASSES = 10
BLOCK_BASES = 4_000_000
# Maximum expected number of hits per block; bounds memory if thresholds are permissive.
_BLOCK_HITS = 4_000_000


@dataclass(frozen=True)
class Scan:
    """Summary of a scan.

    Attributes
    ----------
    n_genes, n_hits: int
    n_tests: int
        Number of sites tested: motifs x positions x strands, with each genomic position counted once, without sites with N.
    best_only: list of str
        Names of motifs that are too short or too degenerate for any site to reach the threshold in some GC class.
    """

    n_genes: int
    n_hits: int
    n_tests: int
    best_only: list[str]


@dataclass(frozen=True, eq=False)
class _Source:
    """Windows to scan, sorted by GC class: their table, rows in the data set, sequences, and the background of each class."""

    windows: pd.DataFrame
    stored: np.ndarray
    reader: RowReader
    columns: tuple[int, int]
    background: np.ndarray

    @property
    def length(self) -> int:
        """Bases in a window."""
        return self.columns[1] - self.columns[0]

    def sequences(self) -> Iterator[np.ndarray]:
        """Yield the base codes of all windows in order, in blocks."""
        return _read(self.reader, self.stored, self.columns)


@dataclass(frozen=True, eq=False)
class _ScanJob:
    """Data shared by all processes of a scan."""

    reader: RowReader
    columns: tuple[int, int]
    strand: np.ndarray
    seen: np.ndarray
    scores: Scores
    folder: Path


@dataclass(frozen=True, eq=False)
class _WindowBlock:
    """Windows of one GC class, with their rows among the scanned genes and in the data set."""

    number: int
    gc_class: int
    rows: np.ndarray
    stored: np.ndarray


@dataclass(frozen=True, eq=False)
class _ScannedBlock:
    """Result for a block; hits are in the file `part`, with counts per window, per level, and per level at new positions."""

    number: int
    part: Path
    counts: np.ndarray
    levels: np.ndarray
    n_hits: np.ndarray
    n_new: np.ndarray
    n_tests: int


def scan_genes(
    dataset: str | Path,
    genes: str,
    motifs: Sequence[Motif],
    output: Path,
    *,
    p_threshold: float = 1e-4,
    gc_classes: int = 1,
    processes: int = 1,
    block_bases: int = BLOCK_BASES,
) -> Scan:
    """Scan the windows of genes with all motifs, and write the hits.

    p-values use the base composition of all windows as background, with both strands pooled. With several GC classes, each of
    about equally many windows, the background is that of the class. A genomic position shared by several windows is one test,
    in the window that starts first. Memory is bounded by one block per process plus a table of scores. Blocks and processes do
    not affect the result.

    Parameters
    ----------
    dataset: str or Path
        dataset.h5 or genes.h5.
    genes: str
        "all", "held_out", or a file of gene ids; see `gene_choice.choose_genes`.
    motifs: sequence of Motif
    output: Path
        hits.h5; see `hits.HitFile`. Genes are sorted by GC class, then in the order of the data set.
    p_threshold: float
        Greatest p-value of a hit. If no site of a motif can reach it (at 1e-4, any motif of five bases), only the best words of
        the motif are hits, with their true p-values. Default is 1e-4.
    gc_classes: int
        Number of GC classes, from 1 to 10. Default is 1.
    processes: int
        Number of processes. Default is 1: the current process only.
    block_bases: int
        Maximum number of bases in a block.

    Raises
    ------
    InputError
        A parameter is out of range, there are no motifs or too many, or a gene is not in the data set.
    """
    if not 0 < p_threshold <= 1 or not 1 <= gc_classes <= MAX_CLASSES or processes < 1:
        raise InputError(
            f"motifs: the p threshold ({p_threshold}) must be above 0 and at most 1, the number of GC classes ({gc_classes}) "
            f"from 1 to {MAX_CLASSES}, and processes ({processes}) at least 1."
        )
    if not 0 < len(motifs) <= np.iinfo(np.uint16).max:
        raise InputError(f"motifs: there are {len(motifs)} motifs to scan with, but the number must be from 1 to 65,535.")
    source = _open_source(dataset, genes, gc_classes)
    scores = score_motifs(motifs, source.background, p_threshold)
    # With permissive thresholds or short motifs, the number of hits limits the block size.
    most = min(block_bases, int(_BLOCK_HITS / (2 * scores.cut_p.sum(axis=1).max())))
    blocks = _blocks(source, most, processes)
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-hits-", dir=output.parent) as folder:
        strand = source.windows["strand"].to_numpy(str)
        seen = seen_before(source.windows, source.length)
        job = _ScanJob(source.reader, source.columns, strand, seen, scores, Path(folder))
        return _write(output, source, _scan_blocks(job, blocks, processes), motifs, scores, p_threshold)


def _open_source(dataset: str | Path, genes: str, gc_classes: int) -> _Source:
    # Imported here to keep the start-up of worker processes fast.
    from cisnake.data.dataset import open_dataset, read_windows
    from cisnake.data.windows import choose_genes

    with open_dataset(dataset) as file:
        windows = read_windows(file)
        first = int(file["pad"][()])
        columns = first, first + int(file["seq_len"][()])
        stored = choose_genes(windows, genes)
        reader = RowReader(file, "sequences")
    counts = np.concatenate([np.zeros((0, 4), np.int64), *map(_count_bases, _read(reader, stored, columns))])
    gc_class = classes_of_gc(counts, gc_classes)
    order = np.argsort(gc_class, kind="stable")
    background = np.array([pooled_frequencies(counts[gc_class == number].sum(axis=0)) for number in range(gc_classes)])
    windows = windows.iloc[stored[order]].assign(gc_class=gc_class[order])
    return _Source(windows, stored[order], reader, columns, background)


def _scan_blocks(job: _ScanJob, blocks: Sequence[_WindowBlock], processes: int) -> list[_ScannedBlock]:
    """Scan all blocks, and return the results in order."""
    progress = Progress("genes scanned", sum(len(block.rows) for block in blocks))
    scanned = []
    for block in map_apart(_scan, job, blocks, processes, "scans for motifs"):
        scanned.append(block)
        progress.advance(len(block.counts))
    return sorted(scanned, key=lambda block: block.number)


def _write(
    output: Path,
    source: _Source,
    blocks: Sequence[_ScannedBlock],
    motifs: Sequence[Motif],
    scores: Scores,
    p_threshold: float,
) -> Scan:
    """Write the hits of all blocks in the order of the windows, with q-values over all blocks."""
    from cisnake.interpret.motifs.hits import write_hits

    n_hits, n_new = np.zeros((2, len(scores.p)), np.int64)
    for block in blocks:
        n_hits[block.levels] += block.n_hits
        n_new[block.levels] += block.n_new
    n_tests = sum(block.n_tests for block in blocks)
    levels = np.flatnonzero(n_hits)
    row_of_level = np.zeros(len(n_hits), np.uint32)
    row_of_level[levels] = np.arange(len(levels))
    best_only: np.ndarray = np.any(scores.cut_p > p_threshold, axis=0)
    tables: dict[str, dict[str, Any]] = {
        "motifs": {
            "id": [motif.id for motif in motifs],
            "name": [motif.name for motif in motifs],
            "width": [len(motif) for motif in motifs],
            "best_only": best_only,
        },
        "cuts": scores.describe(scores.first_level.ravel()),
        "levels": scores.describe(levels) | {"q_value": bh_q_values_of_smallest(scores.p[levels], n_new[levels], n_tests)},
    }
    counts = np.concatenate([np.zeros(0, np.int64), *(block.counts for block in blocks)])
    hits = _hits((block.part for block in blocks), row_of_level)
    attrs = {"p_threshold": p_threshold, "n_tests": n_tests}
    write_hits(output, source.windows, source.sequences(), counts, hits, tables, source.background, source.length, attrs)
    names = [motif.name for motif, best in zip(motifs, best_only.tolist(), strict=True) if best]
    return Scan(len(source.windows), int(n_hits.sum()), n_tests, names)


def classes_of_gc(counts: np.ndarray, n_classes: int) -> np.ndarray:
    """Assign windows to GC classes of about equal size, from low to high GC; equal GC contents are in the same class.

    Parameters
    ----------
    counts: numpy.ndarray, shape=(windows, 4), dtype=int
        Counts of A, C, G and T.
    n_classes: int

    Returns
    -------
    numpy.ndarray, shape=(windows,), dtype=int64
        Windows with only N are in class 0.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.motifs.scan import classes_of_gc
    >>> classes_of_gc(np.array([[9, 1, 0, 0], [2, 3, 4, 1], [4, 2, 1, 3], [1, 4, 5, 0]]), n_classes=2).tolist()
    [0, 1, 0, 1]
    """
    known = counts.sum(axis=1)
    gc = np.divide(counts[:, 1] + counts[:, 2], known, out=np.zeros(len(counts)), where=known > 0)
    edges = np.quantile(gc, np.arange(1, n_classes) / n_classes) if len(gc) else np.zeros(0)
    return np.searchsorted(edges, gc, side="left")


def seen_before(windows: pd.DataFrame, length: int) -> np.ndarray:
    """Return how far each window, from its lower end on the genome, is covered by windows that start before it.

    A site is new in a window if it ends beyond this position. All windows have the same length, so an earlier window that
    contains the end of a site contains the whole site.

    Parameters
    ----------
    windows: pandas.DataFrame
        chrom, start. Of windows with the same start, the first counts as the earlier.
    length: int
        Bases in a window.

    Returns
    -------
    numpy.ndarray, shape=(windows,), dtype=int64
        Covered bases, from 0 to `length`.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret.motifs.scan import seen_before
    >>> seen_before(pd.DataFrame({"chrom": ["chr1", "chr1", "chr2"], "start": [40, 0, 40]}), length=100).tolist()
    [60, 0, 0]
    """
    seen = np.zeros(len(windows), np.int64)
    chrom, start = np.unique(windows["chrom"].to_numpy(str), return_inverse=True)[1], windows["start"].to_numpy(np.int64)
    order = np.lexsort((start, chrom))
    together = np.flatnonzero(np.diff(chrom[order]) == 0)
    seen[order[together + 1]] = np.maximum(length - np.diff(start[order])[together], 0)
    return seen


def _read(reader: RowReader, rows: np.ndarray, columns: tuple[int, int]) -> Iterator[np.ndarray]:
    step = max(1, BLOCK_BASES // max(columns[1] - columns[0], 1))
    for first in range(0, len(rows), step):
        yield reader.read(rows[first : first + step], *columns)


def _count_bases(codes: np.ndarray) -> np.ndarray:
    return np.stack([np.count_nonzero(codes == base, axis=1) for base in range(4)], axis=1)


def _blocks(source: _Source, block_bases: int, processes: int) -> list[_WindowBlock]:
    """Split the windows of each class into blocks of about equal size, in a multiple of the number of processes."""
    gc_class = source.windows["gc_class"].to_numpy()
    size = max(1, block_bases // max(source.length, 1))
    blocks: list[_WindowBlock] = []
    for number in np.unique(gc_class):
        rows = np.flatnonzero(gc_class == number)
        n = math.ceil(len(rows) / size / processes) * processes
        parts = np.array_split(rows, min(n, len(rows)))
        blocks += [_WindowBlock(len(blocks) + i, int(number), part, source.stored[part]) for i, part in enumerate(parts)]
    return blocks


def _scan(job: _ScanJob, block: _WindowBlock) -> _ScannedBlock:
    windows = Windows(job.reader.read(block.stored, *job.columns))
    steps, cuts = job.scores.steps[block.gc_class], job.scores.cuts[block.gc_class]
    parts: list[tuple[np.ndarray, ...]] = []
    for index, (motif_steps, cut) in enumerate(zip(steps, cuts.tolist(), strict=True)):
        place, orientation, total = windows.sites(motif_steps, cut)
        level = job.scores.first_level[block.gc_class, index] + total - cut
        parts.append((place, np.full(len(place), 2 * index, np.int64) + (orientation < 0), level))
    place, motif, level = (np.concatenate(part) for part in zip(*parts, strict=True))
    order = np.argsort(place * (2 * len(steps)) + motif)
    place, motif, level = place[order], motif[order], level[order]
    reverse = motif % 2 == 1
    motif //= 2
    row, start = windows.split(place)
    width = np.array([len(motif_steps) for motif_steps in steps])
    strand, seen = job.strand[block.rows], job.seen[block.rows]
    # Relative to the lower end of the window on the genome.
    _, end = to_genome(0, windows.length, strand[row], start, start + width[motif])
    new = end > seen[row]
    levels, at = np.unique(level, return_inverse=True)
    part = job.folder / f"{block.number:09d}.npz"
    np.savez(part, motif=motif, start=start, orientation=np.where(reverse, -1, 1), level=level)
    return _ScannedBlock(
        block.number,
        part,
        np.bincount(row, minlength=len(block.rows)),
        levels,
        np.bincount(at, minlength=len(levels)),
        np.bincount(at[new], minlength=len(levels)),
        _count_tests(windows, width, strand, seen),
    )


def _count_tests(windows: Windows, widths: np.ndarray, strand: np.ndarray, seen: np.ndarray) -> int:
    """Count the sites tested for all motifs on both strands, without N and at new positions only."""
    row, first, last = windows.known()
    first, last = to_genome(0, windows.length, strand[row], first, last)
    total = 0
    for width, number in zip(*np.unique(widths, return_counts=True), strict=True):
        earliest = np.maximum(first + width, seen[row] + 1)
        total += 2 * int(number) * int(np.maximum(last - earliest + 1, 0).sum())
    return total


def _hits(parts: Iterator[Path], row_of_level: np.ndarray) -> Iterator[dict[str, np.ndarray]]:
    for path in parts:
        with np.load(path) as part:
            yield {name: part[name] for name in ("motif", "start", "orientation")} | {"level": row_of_level[part["level"]]}
