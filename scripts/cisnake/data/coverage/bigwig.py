"""Open BigWig files and match their chromosome names to those of the genome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyBigWig

from cisnake.data.genome import match_chromosomes
from cisnake.errors import InputError


@contextmanager
def open_bigwig(path: str | Path) -> Iterator[pyBigWig.pyBigWig]:
    """Open a BigWig file as a context manager.

    Raises
    ------
    InputError
        The file is missing or not a BigWig.
    """
    try:
        track = pyBigWig.open(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as BigWig: check that it exists and is a complete BigWig file.") from error
    try:
        if not track.isBigWig():
            raise InputError(f"{path} is BigBed, not BigWig: use a file of coverage.")
        yield track
    finally:
        track.close()


def match_names(path: str | Path, track: pyBigWig.pyBigWig, sizes: Mapping[str, int]) -> dict[str, str]:
    """Map the genome's chromosome names to the track's, which may differ by a leading `chr`.

    Raises
    ------
    InputError
        The track shares no chromosome with the genome, or a chromosome differs in length (another assembly).
    """
    lengths = track.chroms()
    names = {chrom: name for name, chrom in match_chromosomes(lengths, sizes, str(path)).items()}
    for chrom, name in names.items():
        if lengths[name] != sizes[chrom]:
            raise InputError(
                f"{path}: {name} has {lengths[name]} bp, but {sizes[chrom]} bp in the genome: use a track of the same assembly."
            )
    return names
