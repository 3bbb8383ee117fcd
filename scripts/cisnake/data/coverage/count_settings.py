"""What make_track counts of a file of reads or fragments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from cisnake.data.coverage.tracks import COUNTS, STRANDS
from cisnake.errors import InputError, unknown_name


@dataclass(frozen=True)
class CountSettings:
    """What of a file of reads or fragments is counted.

    Parameters
    ----------
    count: str
        "fragments" (default): over each base, the fragments that span it. "ends": at each base, the fragments that begin or
        end there, which is where a transposase or nuclease cut. "reads": over each base, the aligned bases of reads, without
        introns (BAM only).
    shift: pair of int
        bp, to the right on the genome, by which the 5' end of a forward read (the left end of a fragment) and that of a
        reverse read (the right end) are moved first; (4, -5) centres Tn5 cuts. Default (0, 0).
    extend: int
        Length of the fragment, in bp, that an unpaired read is the beginning of. Default 0: the span of the read.
    strand: str
        "+" or "-": count what comes from that strand of the genome, as read 1 of a pair or the unpaired read says. Default "",
        both.
    min_mapq: int
        Least mapping quality of reads. Default 0.
    keep_duplicates: bool
        Count reads that are marked as duplicates. Default False.
    cpm: bool
        Multiply by a million over the number of fragments, ends or reads counted, on both strands whatever `strand` says: two
        strands of one library stay comparable. Default False.

    Raises
    ------
    InputError
        A name is unknown, a number is below 0, or what moves ends is asked for reads.

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
                "shift and extend move ends of fragments, but reads count where they are aligned: leave shift and extend out, "
                "or count fragments or ends."
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> CountSettings:
        """Return the settings that a section of the configuration gives; an unknown key is an error."""
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise unknown_name("key of count", key, known)
        return cls(**{**values, "shift": tuple(values.get("shift", (0, 0)))})


def check_counting(form: str, settings: CountSettings) -> None:
    """Refuse what a file of a format cannot be asked; reads no file.

    Parameters
    ----------
    form: str
        "bigwig" (of which nothing is counted), "bam", "fragments" or "bed".
    settings: CountSettings

    Raises
    ------
    InputError
        The format has no reads or no strands, or would lose what makes it one.
    """
    if form == "fragments" and settings.count == "reads":
        raise InputError("a file of fragments has no reads: count fragments or ends.")
    if form in ("fragments", "bed") and settings.strand:
        raise InputError(f"only BAM files are counted by strand, and this one is {form}: leave strand out.")
    if form == "bed" and settings.cpm:
        raise InputError("a BED file becomes 0 and 1, which cpm would change: leave cpm out.")
