"""BigWig files, opened and their chromosomes named as in the genome."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pyBigWig

from cisnake.data.genome import match_chromosomes
from cisnake.errors import InputError


@contextmanager
def open_bigwig(path: str | Path) -> Iterator[pyBigWig.pyBigWig]:
    """Open a BigWig file for the length of a block.

    Raises
    ------
    InputError
        The file is missing or no BigWig.
    """
    try:
        track = pyBigWig.open(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} cannot be read as BigWig: check that it is there, whole, and a BigWig file.") from error
    try:
        if not track.isBigWig():
            raise InputError(f"{path} is BigBed, not BigWig: it holds no coverage.")
        yield track
    finally:
        track.close()


def match_names(path: str | Path, track: pyBigWig.pyBigWig, sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the track's names of chromosomes by those of the genome, which may differ by a leading `chr`.

    Raises
    ------
    InputError
        The track shares no chromosome with the genome, or has one of another length, as one of another assembly would.
    """
    lengths = track.chroms()
    names = {chrom: name for name, chrom in match_chromosomes(lengths, sizes, str(path)).items()}
    for chrom, name in names.items():
        if lengths[name] != sizes[chrom]:
            raise InputError(
                f"{path} has {lengths[name]} bp of {name}, the genome {sizes[chrom]}: use a track made on the same assembly."
            )
    return names
