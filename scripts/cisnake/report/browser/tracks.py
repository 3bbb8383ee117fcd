"""What genome browsers show of a run: which track, from which file, in which colour."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# As "r,g,b", Okabe and Ito's: what raises a contrast is blue, what lowers it vermilion, as in the report.
POSITIVE, NEGATIVE = "0,114,178", "213,94,0"
# Of what lies above 0 and below. Peaks have colours of their own, which those of a track would hide.
TRACK_COLOURS = {
    "attribution": (POSITIVE, NEGATIVE),
    "peaks": (),
    "hits": ("91,101,112",),
    "genes": ("27,31,36",),
    "variants": ("204,121,167",),
    "coverage": ("0,158,115",),
}


@dataclass(frozen=True)
class Track:
    """One track.

    Attributes
    ----------
    kind: str
        A key of `TRACK_COLOURS`.
    label: str
        A word or two for the reader.
    description: str
        A line for the reader.
    path: Path
        The file.
    type: str
        As UCSC writes it: `bigWig`, `bigBed 6`, `vcfTabix`; empty where UCSC cannot read such a file.
    contrast: str
        Whose it is; empty where it is of the whole run.
    """

    kind: str
    label: str
    description: str
    path: Path
    type: str
    contrast: str = ""


def colour_settings(kind: str) -> dict[str, str]:
    """Return the colours of a kind of track by the names that UCSC and IGV have for them.

    Examples
    --------
    >>> colour_settings("attribution")
    {'color': '0,114,178', 'altColor': '213,94,0'}
    """
    return dict(zip(("color", "altColor"), TRACK_COLOURS[kind]))
