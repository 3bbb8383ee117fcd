"""BAM, BED and fragment files turned into BigWig tracks of coverage.

A track has a value for every base of its chromosomes, zeros too: no reads is a measurement, and only what a track leaves out
counts as not measured.
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

    Memory holds two numbers for everything counted, and the values of one chromosome.

    Parameters
    ----------
    source: Path
        BAM (no index is needed), sorted or not; a table of fragments (chrom, start, end, and what may follow; tabs, plain or
        gzipped); or BED, which becomes 1 in its regions and 0 elsewhere.
    form: str
        "bam", "fragments" or "bed".
    sizes: mapping of str to int
        Lengths of the genome's chromosomes. Names may differ by a leading `chr`; what lies on others is left out.
    output: Path
        The BigWig. It has the genome's names, and every chromosome of the genome; of a BAM file those that its header has.
    settings: CountSettings
        For BED none is of use.

    Returns
    -------
    int
        How many fragments, ends, reads or regions were counted.

    Raises
    ------
    InputError
        The file cannot be read, shares no chromosome with the genome, is of another assembly, or has a record that reaches
        beyond its chromosome; the message names the line or the read. Or settings do not go with the format.
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
        raise InputError(f"nothing in {source} is counted: check chromosomes, filters and strand.")
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
    """Return how many intervals lie over each base of a chromosome, as runs of bases with as many.

    Parameters
    ----------
    starts, ends: numpy.ndarray, shape=(n,), dtype=int
        Half-open, in [0, size], in any order; empty intervals count nowhere.
    size: int
        Length of the chromosome, in bp.

    Returns
    -------
    starts, ends, values: numpy.ndarray, shape=(runs,), dtype=int64
        Runs cover the chromosome, those of value 0 too; neighbours differ.
    """
    starts, ends = np.sort(starts), np.sort(ends)
    edges = np.unique(np.concatenate([[0, size], starts, ends]))
    begun = np.searchsorted(starts, edges[:-1], side="right")
    values = begun - np.searchsorted(ends, edges[:-1], side="right")
    first = np.flatnonzero(np.r_[True, np.diff(values) != 0])
    return edges[first], np.r_[edges[first[1:]], size], values[first]


def _add_runs(track: pyBigWig.pyBigWig, chrom: str, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> None:
    for first in range(0, len(starts), _ENTRIES_AT_ONCE):
        part = slice(first, first + _ENTRIES_AT_ONCE)
        names = np.full(len(starts[part]), chrom)
        track.addEntries(names, starts[part], ends=ends[part], values=values[part].astype(np.float64))
