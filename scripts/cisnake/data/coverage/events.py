"""Extract the intervals to count, per chromosome, from BAM files and tables of intervals."""

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

# Starts and ends of counted intervals, by chromosome of the genome.
Events = dict[str, tuple[np.ndarray, np.ndarray]]

_ROWS_AT_ONCE = 1_000_000
_MEGABYTE = 1 << 20

_PAIRED, _PROPER, _UNMAPPED, _REVERSE, _FIRST, _SECONDARY, _FAILED, _DUPLICATE, _SUPPLEMENTARY = (
    *(0x1, 0x2, 0x4, 0x10, 0x40, 0x100, 0x200, 0x400, 0x800),
)


def moved(starts: np.ndarray, ends: np.ndarray, size: int, settings: CountSettings) -> tuple[np.ndarray, np.ndarray]:
    """Return the intervals to count for fragments, with their ends shifted; empty fragments are ignored.

    Parameters
    ----------
    starts, ends: numpy.ndarray, shape=(n,), dtype=int
        Fragments on one chromosome, 0-based and half-open.
    size: int
        Length of the chromosome in bp.
    settings: CountSettings

    Returns
    -------
    starts, ends: numpy.ndarray, dtype=int
        Fragments, or the single bases at both of their ends, clipped to the chromosome.
    """
    starts, ends = starts[starts < ends], ends[starts < ends]
    left, right = starts + settings.shift[0], ends + settings.shift[1]
    if settings.count == "ends":
        # The left end is the first base of the fragment, the right end its last base.
        left = np.concatenate([left, right - 1])
        right = left + 1
    return _clip_to_chromosome(left, right, size)


def _clip_to_chromosome(starts: np.ndarray, ends: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Clip intervals to a chromosome and drop those that become empty."""
    starts, ends = np.maximum(starts, 0), np.minimum(ends, size)
    return starts[starts < ends], ends[starts < ends]


def table_events(path: Path, sizes: Mapping[str, int]) -> Events:
    """Return the intervals of a table of chrom, start, end for every chromosome of the genome.

    For parameters and errors see `conversion.write_track`.
    """
    names: dict[str, str | None] = {}
    by_chrom: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {chrom: [] for chrom in sizes}
    left_out = 0
    for table in read_intervals(path):
        for name, rows in table.groupby("chrom", sort=False):
            if name not in names:
                # The genome's own names are added because a single name without a match would be an error; if none of the
                # file's names match, the check below reports it.
                names[name] = match_chromosomes([name, *sizes], sizes, str(path)).get(name)
            chrom = names[name]
            if chrom is None:
                left_out += len(rows)
                continue
            refuse_lines(path, rows["end"] > sizes[chrom], f"end is beyond {name}, which has {sizes[chrom]} bp in the genome.")
            by_chrom[chrom].append((rows["start"].to_numpy(np.int32), rows["end"].to_numpy(np.int32)))
    match_chromosomes(names, sizes, str(path))
    if left_out:
        unknown = [name for name, chrom in names.items() if chrom is None]
        log.info("%s: left out %d rows on chromosomes that are not in the genome: %s", path, left_out, ", ".join(unknown[:20]))
    events: Events = {}
    for chrom in sizes:
        pieces = by_chrom.pop(chrom) or [(np.zeros(0, np.int32), np.zeros(0, np.int32))]
        events[chrom] = np.concatenate([start for start, _ in pieces]), np.concatenate([end for _, end in pieces])
    return events


def bam_events(path: Path, sizes: Mapping[str, int], settings: CountSettings) -> tuple[Events, int, int]:
    """Return the intervals to count in a BAM file, the number of reads counted, and the same number for both strands.

    Only chromosomes that the file shares with the genome are used. The second number covers both strands whatever
    `settings.strand` is. For fragments of pairs, both numbers count pairs. For parameters and errors see
    `conversion.write_track`.
    """
    try:
        with pysam.AlignmentFile(str(path), "rb") as bam:
            names = match_chromosomes(bam.references, sizes, str(path))
            for name, chrom in names.items():
                if bam.get_reference_length(name) != sizes[chrom]:
                    raise InputError(
                        f"{path}: {name} has {bam.get_reference_length(name)} bp, but {sizes[chrom]} bp in the genome: align "
                        "to the same assembly."
                    )
            lengths = [sizes.get(names.get(name, ""), 0) for name in bam.references]
            places, n, n_both = _collect(path, bam, lengths, settings)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read as BAM: {error}") from error
    events = {chrom: tuple(np.frombuffer(part, np.int32) for part in places[name]) for name, chrom in names.items()}
    return {chrom: _clip_to_chromosome(start, end, sizes[chrom]) for chrom, (start, end) in events.items()}, n, n_both


def _collect(
    path: Path, bam: pysam.AlignmentFile, lengths: list[int], settings: CountSettings
) -> tuple[dict[str, tuple[array, array]], int, int]:
    """Return starts and ends by the file's chromosome names, and the numbers of reads as for `bam_events`."""
    places = [(array("i"), array("i")) for _ in lengths]
    excluded = _UNMAPPED | _SECONDARY | _FAILED | _SUPPLEMENTARY | (0 if settings.keep_duplicates else _DUPLICATE)
    progress = Progress(f"MB of {path.name} read", path.stat().st_size // _MEGABYTE)
    n = n_both = 0
    for i, read in enumerate(bam.fetch(until_eof=True)):
        if i % _ROWS_AT_ONCE == 0:
            progress.advance((bam.tell() >> 16) // _MEGABYTE - progress.done)
        flag = read.flag
        if flag & excluded or not lengths[read.reference_id] or read.mapping_quality < settings.min_mapq:
            continue
        span = _span(read, settings.count)
        if span is None:
            continue
        if span[1] > lengths[read.reference_id]:
            raise InputError(
                f"{path}: the read {read.query_name} ends beyond {read.reference_name}, which has "
                f"{lengths[read.reference_id]} bp: regenerate the file."
            )
        n_both += 1
        is_read_2 = bool(flag & _PAIRED and not flag & _FIRST)
        if settings.strand and (settings.strand == "-") != (bool(flag & _REVERSE) != is_read_2):
            continue
        starts, ends = places[read.reference_id]
        for start, end in read.get_blocks() if settings.count == "reads" else [_counted_interval(*span, flag, settings)]:
            starts.append(start)
            ends.append(end)
        n += 1
    return dict(zip(bam.references, places)), n, n_both


def _span(read: pysam.AlignedSegment, count: str) -> tuple[int, int] | None:
    """Return start and end of a read, or of its pair if it is read 1; None for reads that are not counted."""
    if count != "fragments" or not read.flag & _PAIRED:
        # reference_end is None if the aligner set a position but no alignment.
        return None if read.reference_end is None else (read.reference_start, read.reference_end)
    if not read.flag & _FIRST or not read.flag & _PROPER:
        return None
    start = min(read.reference_start, read.next_reference_start)
    return start, start + abs(read.template_length)


def _counted_interval(start: int, end: int, flag: int, settings: CountSettings) -> tuple[int, int]:
    """Return the interval to count for a fragment, or the 5' end of a read."""
    reverse = bool(flag & _REVERSE)
    if settings.count == "ends":
        position = end - 1 + settings.shift[1] if reverse else start + settings.shift[0]
        return position, position + 1
    if settings.extend and not flag & _PAIRED:
        start, end = (end - settings.extend, end) if reverse else (start, start + settings.extend)
    return start + settings.shift[0], end + settings.shift[1]
