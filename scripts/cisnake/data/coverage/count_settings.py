"""Settings for counting reads or fragments with make_track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cisnake.data.coverage.tracks import COUNTS, STRANDS
from cisnake.errors import InputError, unknown_name


@dataclass(frozen=True)
class CountSettings:
    """What to count in a file of reads or fragments.

    Parameters
    ----------
    count: str
        "fragments" (default): per base, the number of fragments that span it. "ends": per base, the number of fragments that
        start or end there, that is, cuts by a transposase or nuclease. "reads": per base, the number of reads aligned to it,
        without introns (BAM only).
    shift: pair of int
        Shift in bp, positive to the right on the genome, applied before counting: first to the 5' end of forward reads (the
        left end of a fragment), second to the 5' end of reverse reads (the right end). (4, -5) centres Tn5 cuts. Default
        (0, 0).
    extend: int
        Fragment length in bp to which an unpaired read is extended from its 5' end. Default 0: the span of the read.
    strand: str
        "+" or "-": count only fragments from that strand of the genome, which is the strand of read 1 of a pair or of the
        unpaired read. Default "": both strands.
    min_mapq: int
        Minimum mapping quality of reads. Default 0.
    keep_duplicates: bool
        Count reads marked as duplicates. Default False.
    cpm: bool
        Scale to counts per million: multiply by 1e6 / number of fragments, ends or reads counted. The number covers both
        strands whatever `strand` is, so that both strands of a library stay comparable. Default False.

    Raises
    ------
    InputError
        A name is unknown, a number is below 0, or `shift` or `extend` is used with count "reads".

    Examples
    --------
    >>> from cisnake.data.coverage import CountSettings
    >>> CountSettings.from_dict({"count": "ends", "shift": [4, -5]}).shift
    (4, -5)
    """

    count: str = "fragments"
    shift: tuple[int, int] = (0, 0)
    extend: int = 0
    strand: str = ""
    min_mapq: int = 0
    keep_duplicates: bool = False
    cpm: bool = False

    def __post_init__(self) -> None:
        if self.count not in COUNTS:
            raise unknown_name("count", self.count, COUNTS)
        if self.strand not in ("", *STRANDS):
            raise unknown_name("strand", self.strand, STRANDS)
        if min(self.extend, self.min_mapq) < 0 or len(self.shift) != 2:
            raise InputError("extend and min_mapq must be at least 0, and shift must be two numbers.")
        if self.count == "reads" and (any(self.shift) or self.extend):
            raise InputError(
                "shift and extend do not apply to count reads, which counts aligned bases: remove shift and extend, or set "
                "count to fragments or ends."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CountSettings:
        """Return settings from a section of the configuration; unknown keys are an error."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("key of count", key, known)
        return cls(**{**values, "shift": tuple(values.get("shift", (0, 0)))})


def check_counting(form: str, settings: CountSettings) -> None:
    """Check that settings apply to a file format, without reading a file.

    Parameters
    ----------
    form: str
        "bigwig" (always accepted, as nothing is counted), "bam", "fragments" or "bed".
    settings: CountSettings

    Raises
    ------
    InputError
        The settings need reads or strands that the format lacks, or set `cpm` for BED.
    """
    if form == "fragments" and settings.count == "reads":
        raise InputError("a file of fragments has no reads: set count to fragments or ends.")
    if form in ("fragments", "bed") and settings.strand:
        raise InputError(f"strand is supported for BAM files only, but the format is {form}: remove strand.")
    if form == "bed" and settings.cpm:
        raise InputError("cpm is not supported for BED files, which become tracks of 0 and 1: remove cpm.")
