"""Scan windows with motifs: hits with p-values against the windows' own base composition, and what the model made of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.data.genome import N, reverse_complement
from cisnake.data.motif_database import Motif
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.interpret import motif_enrichment
from cisnake.interpret.attribution_file import AttributionFile
from cisnake.interpret.peaks import to_genome
from cisnake.program import Progress

HIT_COLUMNS = (
    "motif_id", "motif_name", "gene_id", "peak_id", "region", "chrom", "start", "end", "strand", "window_start",
    "window_end", "orientation", "from_tss", "score", "p_value", "q_value", "matched_seq", "site_attr_score",
    "motif_attr_score",
)  # fmt: skip

# Scores are multiples of this many bits, so that their distribution can be computed exactly and equal scores are equal.
STEP = 0.005
# Share of the background mixed into a motif: the worst base costs at most 10 bits, however many sites a motif was built from.
PSEUDO_SHARE = 0.001
BLOCK_BASES = 1_000_000

_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)


@dataclass(frozen=True, eq=False)
class MotifScores:
    """A motif's log odds on a grid, and the exact distribution of their sum.

    Attributes
    ----------
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        round(log2(p / background) / STEP), p having `PSEUDO_SHARE` of background mixed in.
    lowest: int
        The least sum, in steps.
    tail: numpy.ndarray, dtype=float64
        tail[i]: chance, under the background, of a sum of at least lowest + i.
    """

    steps: np.ndarray
    lowest: int
    tail: np.ndarray

    def cut(self, p_threshold: float) -> int:
        """Return the least sum, in steps, whose p-value is at most `p_threshold`, or the greatest sum if there is none."""
        return self.lowest + min(int(np.count_nonzero(self.tail > p_threshold)), len(self.tail) - 1)


def motif_scores(motif: Motif, background: np.ndarray) -> MotifScores:
    """Return a motif's scores and their distribution by dynamic programming over its columns.

    The distribution is that of the scores on the grid, which differ from the real log odds by at most STEP / 2 a column;
    nothing else is approximate. lightmotif's own p-values are not used: its `log_odds(background)` leaves out the background,
    and its tables give p = 0 for some greatest scores and thresholds that exceed p on short motifs.

    Parameters
    ----------
    motif: Motif
    background: numpy.ndarray, shape=(4,), dtype=float64
        Base frequencies, positive, with A = T and C = G so that they hold for both strands.
    """
    mixed = (1 - PSEUDO_SHARE) * motif.probabilities + PSEUDO_SHARE * background
    steps = np.rint(np.log2(mixed / background) / STEP).astype(np.int64)
    density = np.ones(1)
    for column in steps:
        shifts = column - column.min()
        grown = np.zeros(len(density) + shifts.max())
        for shift, frequency in zip(shifts, background, strict=True):
            grown[shift : shift + len(density)] += frequency * density
        density = grown
    # Summed from the top, where terms are smallest.
    tail = np.minimum(np.cumsum(density[::-1])[::-1], 1)
    return MotifScores(steps, int(steps.min(axis=1).sum()), tail)


def base_composition(sequences: Iterable[np.ndarray]) -> np.ndarray:
    """Return the base frequencies of sequences, both strands pooled.

    Parameters
    ----------
    sequences: iterable of numpy.ndarray, dtype=int8
        Codes of any shape; N is left out. One base of each kind is added, so that none is impossible.

    Returns
    -------
    numpy.ndarray, shape=(4,), dtype=float64
        A = T and C = G.
    """
    counts = np.ones(4)
    for codes in sequences:
        counts += np.bincount(codes.ravel().astype(np.uint8), minlength=5)[:4]
    pooled = counts + counts[::-1]
    return pooled / pooled.sum()


def q_values(p: np.ndarray, counts: np.ndarray, n_tests: int) -> np.ndarray:
    """Return Benjamini-Hochberg q-values of the smallest of many tests.

    q of a p-value is the least of p' n_tests / #{tests with p <= p'} over all p' >= p. Ranks are right, since every smaller
    p-value is given; what is not given are the p' above the threshold, so that q is an upper bound of the q-value that the
    whole table would give, equal to it wherever the least is reached below the threshold. Leaving out some tests at other
    thresholds than those of the rest only lowers ranks, and so keeps the bound.

    Parameters
    ----------
    p: numpy.ndarray, shape=(n,), dtype=float64
        p-values, in any order; equal ones may repeat.
    counts: numpy.ndarray, shape=(n,), dtype=int
        How many tests had each; may be zero.
    n_tests: int
        All tests, those above the threshold included.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64
    """
    order = np.argsort(p, kind="stable")
    ordered = p[order]
    cumulative = np.cumsum(counts[order])
    rank = cumulative[np.searchsorted(ordered, ordered, side="right") - 1] if len(p) else cumulative
    ratio = np.divide(ordered * n_tests, rank, out=np.full(len(p), np.inf), where=rank > 0)
    q = np.empty(len(p))
    q[order] = np.minimum(np.minimum.accumulate(ratio[::-1])[::-1], 1)
    return q


def scan_windows(codes: np.ndarray, steps: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the sites of one motif in windows, on both strands.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(windows, length), dtype=int8
    steps: numpy.ndarray, shape=(width, 4), dtype=int64
        Scores of the motif, as of `MotifScores`.
    cut: int
        Least sum of a site, in steps. Sites with an N, and such as would leave the window, are none.

    Returns
    -------
    row, start, orientation, total: numpy.ndarray, dtype=int
        Window, position of the site in it, +1 or -1, and sum in steps; by row, start and orientation (+ first).
    """
    return _Windows(codes).sites(steps, cut)


class _Windows:
    """Windows joined to one sequence for lightmotif, which is fast on long ones only, an N between any two."""

    def __init__(self, codes: np.ndarray) -> None:
        import lightmotif

        self.n, self.length = codes.shape
        self.joined = np.pad(codes, ((0, 0), (0, 1)), constant_values=N).ravel()
        self._n_before = np.concatenate([[0], np.cumsum(self.joined == N)])
        self._striped = lightmotif.stripe(_LETTERS[self.joined].tobytes().decode("ascii")) if len(self.joined) else None

    def free(self, width: int) -> np.ndarray:
        """Return at which joined positions a site of that width holds no N and so lies in one window."""
        return self._n_before[width:] == self._n_before[: len(self.joined) + 1 - width]

    def sites(self, steps: np.ndarray, cut: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        import lightmotif

        width = len(steps)
        found = []
        for orientation, oriented in ((1, steps), (-1, steps[::-1, ::-1])):
            if self._striped is None or width > self.length or cut > steps.max(axis=1).sum():
                continue
            # Sums of such integers are exact in the scanner's single precision, so that its scores and the cut are too.
            matrix = lightmotif.ScoringMatrix({base: column.tolist() for base, column in zip("ACGT", oriented.T, strict=True)})
            hits = [(hit.position, hit.score) for hit in lightmotif.scan(matrix, self._striped, threshold=cut - 0.5)]
            place, total = np.array(hits, dtype=np.float64).reshape(-1, 2).T
            found.append((place.astype(np.int64), np.full(len(place), orientation), np.rint(total).astype(np.int64)))
        if not found:
            return tuple(np.empty(0, np.int64) for _ in range(4))  # type: ignore[return-value]
        places, strands, totals = (np.concatenate(parts) for parts in zip(*found, strict=True))
        valid = np.flatnonzero(self._n_before[places + width] == self._n_before[places])
        kept = valid[np.lexsort((-strands[valid], places[valid]))]
        places = places[kept]
        return places // (self.length + 1), places % (self.length + 1), strands[kept], totals[kept]


@dataclass(frozen=True, eq=False)
class _Job:
    """What a process needs to scan any block of genes; `levels` numbers the scores at or above the cut through all motifs."""

    path: Path
    motifs: Sequence[Motif]
    steps: Sequence[np.ndarray]
    cuts: Sequence[int]
    first_level: np.ndarray
    peaks: pd.DataFrame
    flank: int
    seed: int
    folder: Path


@dataclass
class Scan:
    """A finished scan: what remains of it besides the hits themselves, which lie in `parts` until they are written.

    Attributes
    ----------
    counts: motif_enrichment.SiteCounts
        Of peaks and of background windows with a hit, by motif.
    n_hits, n_tests: int
        Hits, and sites looked at (motifs x positions x strands, but for sites with N).
    best_only: list of str
        Names of motifs too short or too vague for any site to reach the threshold.
    """

    counts: motif_enrichment.SiteCounts
    n_hits: int
    n_tests: int
    best_only: list[str]
    parts: list[Path]
    p: np.ndarray
    q: np.ndarray
    _job: _Job

    def tables(self) -> Iterator[pd.DataFrame]:
        """Yield the hits as tables with the columns of `HIT_COLUMNS`, block by block in the order of the genes."""
        windows = AttributionFile(self._job.path).windows
        for part in self.parts:
            with np.load(part) as hits:
                yield _hit_table({name: hits[name] for name in hits.files}, self, windows)


def scan_file(
    file: AttributionFile,
    peaks: pd.DataFrame,
    motifs: Sequence[Motif],
    folder: Path,
    *,
    p_threshold: float = 1e-4,
    flank: int = 5,
    processes: int = 1,
    seed: int = 0,
    block_bases: int = BLOCK_BASES,
) -> Scan:
    """Scan the windows of all genes with all motifs.

    p-values are against the base composition of all windows of the file, both strands pooled. Memory is that of a block of
    genes per process; blocks and processes do not change the result.

    Parameters
    ----------
    file: AttributionFile
    peaks: pandas.DataFrame
        peak_id, gene_id, window_start, window_end, attribution; may be empty.
    motifs: sequence of Motif
    folder: Path
        Where to keep the hits until they are written.
    p_threshold: float
        Greatest p of a hit. A motif of which no site can be as unlikely (any of five bases, at 1e-4) is matched by its best
        words alone, and their p-values say so. Default is 1e-4.
    flank: int
        Bases added to both sides of a peak. A hit is in the peak if they overlap by at least half of the shorter. Default is 5.
    processes: int
        Default is 1: none besides this one.
    seed: int
        Of the draw of background windows; see `motif_enrichment.draw_background`.
    block_bases: int
        Bases of a block.

    Raises
    ------
    InputError
        Parameters without sense, no motif, or a peak of a gene that the file does not have.
    """
    if not 0 < p_threshold <= 1 or flank < 0 or processes < 1:
        raise InputError(
            f"motifs: the p threshold ({p_threshold}) must lie in (0, 1], flank ({flank}) not be negative, "
            f"processes ({processes}) be at least 1."
        )
    if not motifs:
        raise InputError("motifs: there is no motif to scan with.")
    known = set(file.genes)
    for gene in peaks["gene_id"].unique():
        if gene not in known:
            raise unknown_name("gene in the table of peaks", gene, known)
    step = max(1, block_bases // max(file.length, 1))
    bounds = [(first, min(first + step, len(file))) for first in range(0, len(file), step)]
    background = base_composition(_sequences(file, bounds))
    tails, steps, cuts, best_only = [], [], [], []
    for motif in motifs:
        scores = motif_scores(motif, background)
        cut = scores.cut(p_threshold)
        tails.append(scores.tail[cut - scores.lowest :])
        steps.append(scores.steps)
        cuts.append(cut)
        if tails[-1][0] > p_threshold:
            best_only.append(motif.name)
    first_level = np.concatenate([[0], np.cumsum([len(tail) for tail in tails])]).astype(np.int64)
    job = _Job(file.path, motifs, steps, cuts, first_level, peaks, flank, seed, folder)
    levels = np.zeros(int(first_level[-1]), np.int64)
    counts = motif_enrichment.SiteCounts.none(len(motifs))
    n_tests, parts = 0, []
    progress = Progress("genes scanned", len(file))
    for (first, last), (part, at_levels, block_counts, block_tests) in zip(
        bounds, _in_processes(_scan_block, [(job, *bound) for bound in bounds], processes), strict=True
    ):
        parts.append(part)
        levels += np.bincount(at_levels[0], weights=at_levels[1], minlength=len(levels)).astype(np.int64)
        counts = counts + block_counts
        n_tests += block_tests
        progress.advance(last - first)
    p = np.concatenate([np.empty(0), *tails])
    return Scan(counts, int(levels.sum()), n_tests, best_only, parts, p, q_values(p, levels, n_tests), job)


def write_scan(
    file: AttributionFile,
    peaks: pd.DataFrame,
    motifs: Sequence[Motif],
    hits: Path,
    bed: Path,
    **parameters: float | int,
) -> Scan:
    """Scan as `scan_file` does and write the hits as a table and as BED6 (score: -10 log10 p, at most 1000)."""
    with ExitStack() as stack:
        hits_part, bed_part = stack.enter_context(write_whole(hits)), stack.enter_context(write_whole(bed))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".part-hits-", dir=hits.parent)))
        scan = scan_file(file, peaks, motifs, folder, **parameters)  # type: ignore[arg-type]
        with open(hits_part, "w", newline="") as table_file, open(bed_part, "w", newline="") as bed_file:
            table_file.write("\t".join(HIT_COLUMNS) + "\n")
            for table in scan.tables():
                table.to_csv(table_file, sep="\t", index=False, header=False, float_format="%.7g")
                score = np.minimum(-10 * np.log10(np.maximum(table["p_value"], 1e-100)), 1000).round().astype(int)
                short = table[["chrom", "start", "end", "motif_name"]].assign(score=score, strand=table["strand"])
                short.to_csv(bed_file, sep="\t", index=False, header=False)
    return scan


def _sequences(file: AttributionFile, bounds: Iterable[tuple[int, int]]) -> Iterator[np.ndarray]:
    with h5py.File(file.path, "r") as store:
        for first, last in bounds:
            yield store["sequences"][first:last]


def _in_processes(function: Callable, tasks: Sequence[tuple], processes: int) -> Iterator:
    processes = min(processes, len(tasks))
    if processes < 2:
        yield from (function(*task) for task in tasks)
        return
    # Spawned, not forked: a notebook that has loaded TensorFlow would hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(function, *zip(*tasks, strict=True))


def _scan_block(
    job: _Job, first: int, last: int
) -> tuple[Path, tuple[np.ndarray, np.ndarray], motif_enrichment.SiteCounts, int]:
    file = AttributionFile(job.path)
    attributions, codes = file.read_block(first, last)
    windows = _Windows(codes)
    genes = file.windows["gene_id"].to_numpy()[first:last]
    peaks = motif_enrichment.block_peaks(job.peaks, genes, job.flank, file.length)
    draws = motif_enrichment.draw_background(codes, genes, peaks, job.seed)
    free = {width: int(np.count_nonzero(windows.free(width))) for width in {len(steps) for steps in job.steps}}
    found = []
    for index, (motif, steps, cut) in enumerate(zip(job.motifs, job.steps, job.cuts, strict=True)):
        row, start, orientation, total = windows.sites(steps, cut)
        width = len(steps)
        site, match = _site_scores(attributions, row, start, orientation, motif.probabilities)
        found.append(
            {
                "motif": np.full(len(row), index, np.int32),
                "row": row,
                "start": start.astype(np.int32),
                "orientation": orientation.astype(np.int8),
                "level": job.first_level[index] + total - cut,
                "site": site,
                "match": match,
                "letters": _matched(codes, row, start, orientation, width, max(len(s) for s in job.steps)),
            }
        )
    hits = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    widths = np.array([len(steps) for steps in job.steps])
    ends = hits["start"] + widths[hits["motif"]]
    hits["peak"], counts = motif_enrichment.count_sites(
        len(job.motifs), hits["motif"], hits["row"], hits["start"], ends, hits["site"], peaks, draws, file.length
    )
    order = np.lexsort((-hits["orientation"], hits["motif"], hits["start"], hits["row"]))
    hits = {name: values[order] for name, values in hits.items()}
    hits["row"] = hits["row"] + first
    part = job.folder / f"{first:09d}.npz"
    np.savez(part, **hits)  # type: ignore[arg-type]
    return part, np.unique(hits["level"], return_counts=True), counts, 2 * sum(free[width] for width in widths)


def _site_scores(
    attributions: np.ndarray, row: np.ndarray, start: np.ndarray, orientation: np.ndarray, probabilities: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean projected attribution of sites, and the mean of attribution weighted by the motif in its orientation."""
    at = start[:, None] + np.arange(len(probabilities))
    # (sites, width, 4): the two indices around the slice bring their axes to the front.
    local = attributions[row[:, None], :, at].astype(np.float64)
    weights = np.where((orientation > 0)[:, None, None], probabilities, probabilities[::-1, ::-1])
    return local.sum(axis=2).mean(axis=1), (local * weights).sum(axis=2).mean(axis=1)


def _matched(
    codes: np.ndarray, row: np.ndarray, start: np.ndarray, orientation: np.ndarray, width: int, widest: int
) -> np.ndarray:
    """Return the bases of sites as read in the motif's direction, as bytes of the length of the widest motif."""
    bases = codes[row[:, None], start[:, None] + np.arange(width)]
    letters = np.zeros((len(row), widest), np.uint8)
    letters[:, :width] = _LETTERS[np.where((orientation > 0)[:, None], bases, reverse_complement(bases))]
    return letters.view(f"S{widest}")[:, 0]


def _hit_table(hits: dict[str, np.ndarray], scan: Scan, windows: pd.DataFrame) -> pd.DataFrame:
    job = scan._job
    motif, row, first, peak = hits["motif"], hits["row"], hits["start"].astype(int), hits["peak"]
    last = first + np.array([len(steps) for steps in job.steps], dtype=int)[motif]
    gene = {name: windows[name].to_numpy()[row] for name in ("gene_id", "chrom", "start", "end", "strand", "mask_start")}
    start, end = to_genome(gene["start"], gene["end"], gene["strand"], first, last)
    along = hits["orientation"] > 0
    cut, first_level = np.array(job.cuts, dtype=np.int64), job.first_level
    peak_ids = np.append(job.peaks["peak_id"].to_numpy(object), "")
    columns = [
        np.array([m.id for m in job.motifs], object)[motif], np.array([m.name for m in job.motifs], object)[motif],
        gene["gene_id"], peak_ids[peak], np.where(peak >= 0, "peak", "window"), gene["chrom"], start, end,
        np.where((gene["strand"] == "+") == along, "+", "-"), first, last, np.where(along, "+", "-"),
        (first + last - 1) // 2 - gene["mask_start"].astype(int), (hits["level"] - first_level[motif] + cut[motif]) * STEP,
        scan.p[hits["level"]], scan.q[hits["level"]], hits["letters"].astype(str), hits["site"], hits["match"],
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(HIT_COLUMNS, columns, strict=True)))
