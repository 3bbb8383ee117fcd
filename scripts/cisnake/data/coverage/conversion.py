"""Convert BAM, BED and fragment files to BigWig tracks of coverage.

A track has a value for every base of its chromosomes, including zeros: a base without reads is a measurement of 0. Only bases
without a value in the track are missing values.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyBigWig

from cisnake.data.coverage.count_settings import CountSettings, check_counting
from cisnake.data.coverage.events import bam_events, moved, table_events
from cisnake.data.coverage.tracks import FORMATS
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole

_ENTRIES_AT_ONCE = 1_000_000


def write_track(source: Path, form: str, sizes: Mapping[str, int], output: Path, settings: CountSettings) -> int:
    """Write the coverage of a file as BigWig.

    Memory holds two integers per counted event, and the values of one chromosome.

    Parameters
    ----------
    source: Path
        One of: BAM, sorted or not (no index required); a tab-separated table of fragments (chrom, start, end, and any further
        columns), plain or gzipped; or BED, which becomes 1 in its regions and 0 elsewhere.
    form: str
        "bam", "fragments" or "bed".
    sizes: mapping of str to int
        Chromosome lengths of the genome. Names may differ by a leading `chr`. Records on other chromosomes are left out.
    output: Path
        BigWig to write, with the genome's chromosome names. It has every chromosome of the genome; from a BAM file only those
        in its header.
    settings: CountSettings
        What to count; ignored for BED.

    Returns
    -------
    int
        Number of fragments, ends, reads or regions counted.

    Raises
    ------
    InputError
        The file cannot be read, shares no chromosome with the genome, is of another assembly, or has a record that extends
        beyond its chromosome (the message names the line or the read); or the settings do not apply to the format.
    """
    check_counting(form, settings)
    if form == "bam":
        events, n, n_both = bam_events(source, sizes, settings)
    elif form in ("bed", "fragments"):
        events = table_events(source, sizes)
        if form == "fragments":
            events = {chrom: moved(*places, sizes[chrom], settings) for chrom, places in events.items()}
        n = n_both = sum(len(starts) for starts, _ in events.values())
    else:
        raise unknown_name("format of a track", form, [name for name in FORMATS if name != "bigwig"])
    if not n:
        raise InputError(f"no record of {source} was counted: check chromosomes, filters and strand.")
    with write_whole(output) as part:
        track = pyBigWig.open(str(part), "w")
        track.addHeader([(chrom, sizes[chrom]) for chrom in sizes if chrom in events])
        for chrom in sizes:
            if chrom in events:
                starts, ends, values = coverage_runs(*events.pop(chrom), sizes[chrom])
                values = np.minimum(values, 1) if form == "bed" else values * (1e6 / n_both if settings.cpm else 1)
                _add_runs(track, chrom, starts, ends, values)
        track.close()
    return n


def coverage_runs(starts: np.ndarray, ends: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count the intervals that cover each base of a chromosome, as runs of equal counts.

    Parameters
    ----------
    starts, ends: numpy.ndarray, shape=(n,), dtype=int
        Half-open, within [0, size], in any order. Empty intervals are ignored.
    size: int
        Length of the chromosome in bp.

    Returns
    -------
    starts, ends, values: numpy.ndarray, shape=(runs,), dtype=int64
        Runs cover the whole chromosome, including runs of 0. Adjacent runs differ in value.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data.coverage.conversion import coverage_runs
    >>> [array.tolist() for array in coverage_runs(np.array([2, 4]), np.array([6, 8]), size=10)]
    [[0, 2, 4, 6, 8], [2, 4, 6, 8, 10], [0, 1, 2, 1, 0]]
    """
    starts, ends = np.sort(starts), np.sort(ends)
    edges = np.unique(np.concatenate([[0, size], starts, ends]))
    n_started = np.searchsorted(starts, edges[:-1], side="right")
    values = n_started - np.searchsorted(ends, edges[:-1], side="right")
    run_starts = np.flatnonzero(np.r_[True, np.diff(values) != 0])
    return edges[run_starts], np.r_[edges[run_starts[1:]], size], values[run_starts]


def _add_runs(track: pyBigWig.pyBigWig, chrom: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
    for first in range(0, len(starts), _ENTRIES_AT_ONCE):
        part = slice(first, first + _ENTRIES_AT_ONCE)
        names = np.full(len(starts[part]), chrom)
        track.addEntries(names, starts[part], ends=ends[part], values=values[part].astype(np.float64))
