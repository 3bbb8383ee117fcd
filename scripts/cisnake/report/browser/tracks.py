"""Tracks for genome browsers: their files, labels and colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Okabe-Ito colours as "r,g,b". As in the report, bases that raise a contrast are blue, and those that lower it vermilion.
POSITIVE, NEGATIVE = "0,114,178", "213,94,0"
# For values above 0 and below 0. Each peak has its own colour, which a track colour would override.
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
    """One track of a genome browser.

    Attributes
    ----------
    kind: str
        A key of `TRACK_COLOURS`.
    label: str
        A short display name.
    description: str
        A one-line description.
    path: Path
        The data file.
    type: str
        UCSC track type, such as `bigWig`, `bigBed 6` or `vcfTabix`; empty if UCSC does not support the format.
    contrast: str
        The contrast it belongs to; empty for tracks of the whole run.
    """

    kind: str
    label: str
    description: str
    path: Path
    type: str
    contrast: str = ""


def colour_settings(kind: str) -> dict[str, str]:
    """Return the colours of a kind of track under the setting names of UCSC and IGV.

    Examples
    --------
    >>> colour_settings("attribution")
    {'color': '0,114,178', 'altColor': '213,94,0'}
    """
    return dict(zip(("color", "altColor"), TRACK_COLOURS[kind]))
