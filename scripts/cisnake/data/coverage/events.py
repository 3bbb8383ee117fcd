"""What is counted of BAM files and tables of intervals: where it starts and ends on each chromosome."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pysam

from cisnake.data.coverage.count_settings import CountSettings
from cisnake.data.genome import match_chromosomes, read_intervals, refuse_lines
from cisnake.errors import InputError
from cisnake.program import Progress, log

# Starts and ends of what is counted, by chromosome of the genome.
Events = dict[str, tuple[np.ndarray, np.ndarray]]

_ROWS_AT_ONCE = 1_000_000
_MEGABYTE = 1 << 20

_PAIRED, _PROPER, _UNMAPPED, _REVERSE, _FIRST, _SECONDARY, _FAILED, _DUPLICATE, _SUPPLEMENTARY = (
    *(0x1, 0x2, 0x4, 0x10, 0x40, 0x100, 0x200, 0x400, 0x800),
)


def moved(starts: np.ndarray, ends: np.ndarray, size: int, settings: CountSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return what is counted of fragments, with their ends moved; one without bases counts nowhere.

    Parameters
    ----------
    starts, ends: numpy.ndarray, shape=(n,), dtype=int
        Fragments on one chromosome, 0-based and half-open.
    size: int
        Length of the chromosome, bp.
    settings: CountSettings

    Returns
    -------
    starts, ends: numpy.ndarray, dtype=int
        Fragments, or single bases at both ends of each, within the chromosome.
    """
    starts, ends = starts[starts < ends], ends[starts < ends]
    left, right = starts + settings.shift[0], ends + settings.shift[1]
    if settings.count == "ends":
        # The base of the left end is the fragment's first, that of the right end its last.
        left = np.concatenate([left, right - 1])
        right = left + 1
    return _within(left, right, size)


def _within(starts: np.ndarray, ends: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return intervals cut at the ends of a chromosome, without those that are empty then."""
    starts, ends = np.maximum(starts, 0), np.minimum(ends, size)
    return starts[starts < ends], ends[starts < ends]


def table_events(path: Path, sizes: Mapping[str, int]) -> Events:
    """Return the intervals of a table of chrom, start, end, on every chromosome of the genome.

    For parameters and errors see `track_bigwig.write_track`.
    """
    names: dict[str, str | None] = {}
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {chrom: [] for chrom in sizes}
    left_out = 0
    for table in read_intervals(path):
        for name, rows in table.groupby("chrom", sort=False):
            if name not in names:
                # With the genome's own names, which match: that nothing else does is an error below.
                names[name] = match_chromosomes([name, *sizes], sizes, str(path)).get(name)
            chrom = names[name]
            if chrom is None:
                left_out += len(rows)
                continue
            refuse_lines(
                path, rows["end"] > sizes[chrom], f"the end is beyond {name}, which has {sizes[chrom]} bp in the genome."
            )
            found[chrom].append((rows["start"].to_numpy(np.int32), rows["end"].to_numpy(np.int32)))
    match_chromosomes(names, sizes, str(path))
    if left_out:
        unknown = [name for name, chrom in names.items() if chrom is None]
        log.info("%s: left out %d rows on chromosomes that the genome lacks: %s", path, left_out, ", ".join(unknown[:20]))
    events: Events = {}
    for chrom in sizes:
        pieces = found.pop(chrom) or [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        events[chrom] = np.concatenate([start for start, _ in pieces]), np.concatenate([end for _, end in pieces])
    return events


def bam_events(path: Path, sizes: Mapping[str, int], settings: CountSettings) -> tuple[Events, int, int]:
    """Return what is counted of a BAM file, on the chromosomes that it and the genome have, and how many reads that are.

    The second number is that of both strands, whichever is counted. Of the fragments of pairs, numbers are those of pairs. For
    parameters and errors see `track_bigwig.write_track`.
    """
    try:
        with pysam.AlignmentFile(str(path), "rb") as bam:
            names = match_chromosomes(bam.references, sizes, str(path))
            for name, chrom in names.items():
                if bam.get_reference_length(name) != sizes[chrom]:
                    raise InputError(
                        f"{path} has {bam.get_reference_length(name)} bp of {name}, the genome {sizes[chrom]}: align to the "
                        "same assembly."
                    )
            lengths = [sizes.get(names.get(name, ""), 0) for name in bam.references]
            places, n, n_both = _collect(path, bam, lengths, settings)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as BAM: {error}") from error
    events = {chrom: tuple(np.frombuffer(part, np.int32) for part in places[name]) for name, chrom in names.items()}
    return {chrom: _within(start, end, sizes[chrom]) for chrom, (start, end) in events.items()}, n, n_both


def _collect(
    path: Path, bam: pysam.AlignmentFile, lengths: list[int], settings: CountSettings
) -> tuple[dict[str, tuple[array, array]], int, int]:
    """Return starts and ends, by the file's chromosome names, and the number of reads: those counted, those of both strands."""
    places = [(array("i"), array("i")) for _ in lengths]
    refused = _UNMAPPED | _SECONDARY | _FAILED | _SUPPLEMENTARY | (0 if settings.keep_duplicates else _DUPLICATE)
    progress = Progress(f"MB of {path.name} read", path.stat().st_size // _MEGABYTE)
    n = n_both = 0
    for i, read in enumerate(bam.fetch(until_eof=True)):
        if i % _ROWS_AT_ONCE == 0:
            progress.advance((bam.tell() >> 16) // _MEGABYTE - progress.done)
        flag = read.flag
        if flag & refused or not lengths[read.reference_id] or read.mapping_quality < settings.min_mapq:
            continue
        span = _span(read, settings.count)
        if span is None:
            continue
        if span[1] > lengths[read.reference_id]:
            raise InputError(
                f"{path}: the read {read.query_name} ends beyond {read.reference_name}, which has "
                f"{lengths[read.reference_id]} bp: make the file again."
            )
        n_both += 1
        second = bool(flag & _PAIRED and not flag & _FIRST)
        if settings.strand and (settings.strand == "-") != (bool(flag & _REVERSE) != second):
            continue
        starts, ends = places[read.reference_id]
        for start, end in read.get_blocks() if settings.count == "reads" else [_counted(*span, flag, settings)]:
            starts.append(start)
            ends.append(end)
        n += 1
    return dict(zip(bam.references, places)), n, n_both


def _span(read: pysam.AlignedSegment, count: str) -> tuple[int, int] | None:
    """Return where a read, or the pair that it is the first of, begins and ends; None for what is not counted."""
    if count != "fragments" or not read.flag & _PAIRED:
        # None where an aligner gave a place and no alignment.
        return None if read.reference_end is None else (read.reference_start, read.reference_end)
    if not read.flag & _FIRST or not read.flag & _PROPER:
        return None
    start = min(read.reference_start, read.next_reference_start)
    return start, start + abs(read.template_length)


def _counted(start: int, end: int, flag: int, settings: CountSettings) -> tuple[int, int]:
    """Return the interval of the chromosome on which a fragment counts, or the 5' end of a read."""
    reverse = bool(flag & _REVERSE)
    if settings.count == "ends":
        at = end - 1 + settings.shift[1] if reverse else start + settings.shift[0]
        return at, at + 1
    if settings.extend and not flag & _PAIRED:
        start, end = (end - settings.extend, end) if reverse else (start, start + settings.extend)
    return start + settings.shift[0], end + settings.shift[1]
