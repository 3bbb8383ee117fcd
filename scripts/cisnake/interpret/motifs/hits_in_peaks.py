"""Find motif hits in attribution peaks, and count the genomic loci with a hit of each motif."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.data.genome import N
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.motifs.columns import Columns
from cisnake.interpret.motifs.enrichment import SiteCounts
from cisnake.interpret.motifs.hits import HIT_COLUMNS, HitFile, Hits, bed_table, site_table
from cisnake.interpret.motifs.places import Axis, distinct, draw_background, place_peaks, sites_within, unoccupied
from cisnake.processes import map_apart
from cisnake.program import Progress

SEARCH_BLOCK_BASES = 1_000_000


@dataclass(frozen=True, eq=False)
class _SearchJob:
    """Data shared by all processes; `stored` has the row of each gene in the file of hits."""

    attributions: AttributionFile
    hits: HitFile
    stored: np.ndarray
    motifs: Sequence[Motif]
    axis: Axis
    peaks: pd.DataFrame
    occupied: pd.DataFrame
    peak_ids: np.ndarray
    seed: int
    folder: Path


@dataclass(frozen=True, eq=False)
class _IntervalHits(Columns):
    """Hits in intervals: motif, position and strand on the axis, interval, bases of overlap with it, and attribution."""

    motif: np.ndarray
    first: np.ndarray
    forward: np.ndarray
    interval: np.ndarray
    shared: np.ndarray
    attribution: np.ndarray

    def once(self, begin: np.ndarray) -> _IntervalHits:
        """Keep one hit per motif, strand and genomic locus: that in the interval with the greatest overlap.

        Ties are broken by the start of the interval on the axis (`begin`). The order of intervals itself would depend on the
        order of genes, and so on shards and folds.
        """
        order = np.lexsort((begin[self.interval], -self.shared, self.forward, self.first, self.motif))
        key = np.stack([self.motif[order], self.first[order], self.forward[order]])
        return self[order[np.concatenate([[True], (np.diff(key) != 0).any(axis=0)])]] if len(order) else self


@dataclass(frozen=True, eq=False)
class _SearchedBlock:
    """Result for a block of genes: its first gene, hits in the counted peaks, background windows, and hits in these."""

    first: int
    in_peaks: _IntervalHits
    drawn_first: np.ndarray
    drawn_last: np.ndarray
    in_drawn: _IntervalHits


@dataclass(frozen=True)
class HitSearch:
    """Settings of the search for hits in peaks.

    Attributes
    ----------
    flank: int
        Bases added to both sides of a peak. A hit is in a peak if they overlap by at least half of the shorter. Default is 5.
    seed: int
        Random seed for drawing background windows; see `places.draw_background`. Default is 0.
    processes: int
        Number of processes; does not affect the result. Default is 1: the current process only.
    block_bases: int
        Bases that a process holds in memory at a time; does not affect the result.

    Raises
    ------
    InputError
        A setting is out of range.
    """

    flank: int = 5
    seed: int = 0
    processes: int = 1
    block_bases: int = SEARCH_BLOCK_BASES

    def __post_init__(self) -> None:
        if self.flank < 0 or self.processes < 1:
            raise InputError(
                f"motifs: flank ({self.flank}) must not be negative, and processes ({self.processes}) must be at least 1."
            )


def write_hits_in_peaks(
    hits: str | Path,
    attributions: AttributionFile,
    peaks: pd.DataFrame,
    motifs: Sequence[Motif],
    table: Path,
    bed: Path,
    search: HitSearch,
) -> SiteCounts:
    """Write the hits in peaks of one contrast, and count the peaks and background windows with a hit of each motif.

    The table lists every hit in a peak of its gene. The counts include every genomic locus once. If peaks of any genes overlap
    by at least half of the shorter, only the peak with the greatest attribution is counted. Background windows do not overlap
    each other or any peak of the contrast. A site of a motif counts in one interval only, that with the greatest overlap.
    Memory is bounded by one block of genes per process, plus the peaks and the hits in them.

    Parameters
    ----------
    hits: str or Path
        hits.h5 of a scan that includes all genes of the attributions.
    attributions: AttributionFile
    peaks: pandas.DataFrame
        peak_id, gene_id, window_start, window_end, attribution; may be empty.
    motifs: sequence of Motif
        The motifs used in the scan.
    table, bed: Path
        Output files for the hits: a table with the columns of `HIT_COLUMNS`, and BED6 (score: -10 log10 p, at most 1000).
    search: HitSearch

    Raises
    ------
    InputError
        The files are from different runs.
    """
    file = HitFile(hits)
    stored = _check_run(file, attributions, peaks, motifs)
    axis = Axis(attributions.windows)
    placed = place_peaks(peaks, attributions.genes, axis, search.flank)
    table.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".part-hits-", dir=table.parent) as folder:
        ids = peaks["peak_id"].to_numpy(object)
        occupied = placed[["first", "last"]].sort_values("first", kind="stable")
        job = _SearchJob(attributions, file, stored, motifs, axis, placed, occupied, ids, search.seed, Path(folder))
        blocks = _search_blocks(job, search)
        firsts = [block.first for block in blocks]
        _join_parts(table, job.folder, firsts, ".tsv", "\t".join(HIT_COLUMNS) + "\n")
        _join_parts(bed, job.folder, firsts, ".bed", "")
    return _count(blocks, placed, len(motifs))


def _search_blocks(job: _SearchJob, search: HitSearch) -> list[_SearchedBlock]:
    """Search all blocks of genes, and return the results in order."""
    n = len(job.attributions)
    step = max(1, search.block_bases // max(job.attributions.length, 1))
    bounds = [(first, min(first + step, n)) for first in range(0, n, step)]
    progress = Progress("genes searched for hits in peaks", n)
    blocks = []
    for block in map_apart(_search, job, bounds, search.processes, "searches for hits in peaks"):
        blocks.append(block)
        progress.advance(min(step, n - block.first))
    return sorted(blocks, key=lambda block: block.first)


def _join_parts(path: Path, folder: Path, firsts: Sequence[int], suffix: str, header: str) -> None:
    """Concatenate the parts of all blocks, which are named by their first gene."""
    with write_whole(path) as whole, open(whole, "wb") as file:
        file.write(header.encode())
        for first in firsts:
            with open(folder / f"{first:09d}{suffix}", "rb") as part:
                shutil.copyfileobj(part, file)


def _check_run(hits: HitFile, attributions: AttributionFile, peaks: pd.DataFrame, motifs: Sequence[Motif]) -> np.ndarray:
    """Check that all inputs are from one run, and return the row of each attributed gene in the file of hits."""
    if list(hits.motifs["motif_id"]) != [motif.id for motif in motifs] or list(hits.motifs["width"]) != list(map(len, motifs)):
        raise InputError(f"{hits.path} has other motifs: rerun scan_motifs, or use the motifs of that scan.")
    row_by_gene = {gene: row for row, gene in enumerate(hits.windows["gene_id"])}
    for gene in attributions.genes:
        if gene not in row_by_gene:
            raise InputError(
                f"{hits.path} lacks the gene {gene}, which is in {attributions.path}: rerun scan_motifs with the same genes."
            )
    known = set(attributions.genes)
    for gene in peaks["gene_id"].unique():
        if gene not in known:
            raise unknown_name("gene in the peak table", gene, known)
    stored = np.array([row_by_gene[gene] for gene in attributions.genes], dtype=np.int64)
    windows = hits.windows.iloc[stored]
    same = [(windows[name].to_numpy() == attributions.windows[name].to_numpy()).all() for name in ("chrom", "start", "strand")]
    if hits.length != attributions.length or not all(same):
        raise InputError(
            f"the windows in {hits.path} differ from those in {attributions.path}: rerun scan_motifs with the same data set."
        )
    return stored


def _count(blocks: Sequence[_SearchedBlock], peaks: pd.DataFrame, n_motifs: int) -> SiteCounts:
    if not blocks:
        return SiteCounts.none(n_motifs)
    in_peaks = _IntervalHits.join([block.in_peaks for block in blocks]).once(peaks["first"].to_numpy())
    first = np.concatenate([block.drawn_first for block in blocks])
    last = np.concatenate([block.drawn_last for block in blocks])
    # Rank by position rather than gene order, for the same reason as in `once`.
    apart = distinct(first, last, np.argsort(np.lexsort((last, first))), 0)
    before = np.cumsum([0, *(len(block.drawn_first) for block in blocks)])
    parts = [replace(block.in_drawn, interval=block.in_drawn.interval + n) for block, n in zip(blocks, before, strict=False)]
    drawn = _IntervalHits.join(parts)
    drawn = drawn[np.flatnonzero(apart[drawn.interval])].once(first)
    motif, interval = np.unique(np.stack([in_peaks.motif, in_peaks.interval]), axis=1)
    positive = peaks["positive"].to_numpy()[interval]
    background_motif = np.unique(np.stack([drawn.motif, drawn.interval]), axis=1)[0]
    return SiteCounts(
        int(peaks["counted"].sum()),
        int(apart.sum()),
        np.bincount(motif[positive], minlength=n_motifs),
        np.bincount(motif[~positive], minlength=n_motifs),
        np.bincount(background_motif, minlength=n_motifs),
        np.bincount(in_peaks.motif, minlength=n_motifs),
        np.bincount(in_peaks.motif, weights=in_peaks.attribution, minlength=n_motifs),
    )


def _search(job: _SearchJob, bounds: tuple[int, int]) -> _SearchedBlock:
    begin, end = bounds
    rows = np.arange(begin, end)
    attributions, codes = job.attributions.read_block(begin, end)
    hits = job.hits.read(job.stored[rows])
    inside_block = job.peaks[job.peaks["row"].between(begin, end - 1)]
    peaks = inside_block.assign(row=inside_block["row"] - begin)
    counted = peaks["counted"].to_numpy(bool)
    free = unoccupied(codes != N, rows, job.axis, job.occupied)
    genes = job.attributions.windows["gene_id"].to_numpy()[rows]
    drawn = draw_background(free, genes, peaks[counted], job.seed)
    peak, _ = _within(hits, peaks, np.ones(len(peaks), bool), job.axis.length)
    inside = np.flatnonzero(peak >= 0)
    _write_block(job, begin, rows, hits[inside], peaks["peak"].to_numpy()[peak[inside]], attributions, codes)
    in_peak, shared = _within(hits, peaks, counted, job.axis.length)
    counts = np.flatnonzero(in_peak >= 0)
    site, _ = _site_scores(attributions, hits[counts], job.motifs)
    file_rows = peaks.index.to_numpy()[in_peak[counts]]
    in_peaks = _sites(job.axis, begin, hits[counts], file_rows, shared[counts], site)
    in_drawn, shared = _within(hits, drawn, np.ones(len(drawn), bool), job.axis.length)
    in_background = np.flatnonzero(in_drawn >= 0)
    in_drawn_windows = _sites(
        job.axis, begin, hits[in_background], in_drawn[in_background], shared[in_background], np.zeros(len(in_background))
    )
    place = job.axis.place(drawn["row"].to_numpy() + begin, drawn["start"].to_numpy(), drawn["end"].to_numpy())
    return _SearchedBlock(begin, in_peaks, *place, in_drawn_windows)


def _within(hits: Hits, intervals: pd.DataFrame, eligible: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    offset, interval_offset = hits.row * length, intervals["row"].to_numpy(np.int64) * length
    start, end = (interval_offset + intervals[name].to_numpy(np.int64) for name in ("start", "end"))
    return sites_within(offset + hits.start, offset + hits.end, start, end, eligible)


def _sites(
    axis: Axis, begin: int, hits: Hits, interval: np.ndarray, shared: np.ndarray, attribution: np.ndarray
) -> _IntervalHits:
    first, _ = axis.place(hits.row + begin, hits.start, hits.end)
    forward = axis.forward(hits.row + begin) == (hits.orientation > 0)
    return _IntervalHits(hits.motif, first, forward, interval, shared, attribution)


def _write_block(
    job: _SearchJob, begin: int, rows: np.ndarray, hits: Hits, peak: np.ndarray, attributions: np.ndarray, codes: np.ndarray
) -> None:
    table = site_table(hits, job.hits.motifs, job.hits.windows.iloc[job.stored[rows]], job.hits.levels, codes)
    site, match = _site_scores(attributions, hits, job.motifs)
    table = table.assign(peak_id=job.peak_ids[peak], region="peak", site_attr_score=site, motif_attr_score=match)
    part = job.folder / f"{begin:09d}"
    # Format numbers with NumPy: pandas formats them one by one, which would take half of the total run time.
    numbers = {name: np.char.mod("%.7g", table[name]) for name in table.columns[table.dtypes == np.float64]}
    table.assign(**numbers)[list(HIT_COLUMNS)].to_csv(f"{part}.tsv", sep="\t", index=False, header=False)
    bed_table(table).to_csv(f"{part}.bed", sep="\t", index=False, header=False)


def _site_scores(attributions: np.ndarray, hits: Hits, motifs: Sequence[Motif]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean projected attribution of each site, and the mean weighted by the oriented motif matrix."""
    site, match = np.zeros((2, len(hits)))
    widths = np.array([len(motif) for motif in motifs], dtype=np.int64)
    for width in np.unique(widths[hits.motif]):
        same_width = np.flatnonzero(widths == width)
        sites = np.flatnonzero(widths[hits.motif] == width)
        at = hits.start[sites, None] + np.arange(width)
        # Shape (sites, width, 4): advanced indices on both sides of a slice move their axes to the front.
        local = attributions[hits.row[sites, None], :, at].astype(np.float64)
        matrices = np.stack([motifs[index].probabilities for index in same_width.tolist()])[
            np.searchsorted(same_width, hits.motif[sites])
        ]
        oriented = np.where((hits.orientation[sites] > 0)[:, None, None], matrices, matrices[:, ::-1, ::-1])
        site[sites], match[sites] = local.sum(axis=2).mean(axis=1), (local * oriented).sum(axis=2).mean(axis=1)
    return site, match
