"""A session file for IGV Desktop with all tracks of a run."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path

from cisnake.files import write_whole
from cisnake.report.browser.tracks import Track, colour_settings

_SETTINGS = {
    "attribution": {"renderer": "DYNSEQ", "autoScale": "true", "windowFunction": "mean", "height": "90"},
    "coverage": {"renderer": "BAR_CHART", "autoScale": "true", "windowFunction": "mean", "height": "50"},
    "peaks": {"displayMode": "COLLAPSED"},
    "hits": {"displayMode": "EXPANDED"},
    "genes": {"displayMode": "EXPANDED"},
    "variants": {"displayMode": "EXPANDED"},
}


def write_session(tracks: Sequence[Track], genome: Path, locus: str, results: Path, path: Path) -> None:
    """Write an IGV session file.

    Parameters
    ----------
    tracks: sequence of Track
        From top to bottom.
    genome: Path
        FASTA.
    locus: str
        Initial position, as 1-based `chrom:first-last`.
    results: Path
        Folder of the run. Files in it are referred to by paths relative to the session, so that the folder can be moved; all
        other files by absolute paths.
    path: Path
        The session file, in a subfolder of `results`.
    """

    def place(file: Path) -> str:
        return relative_path(file, results, path.parent) or str(file.resolve())

    session = ElementTree.Element("Session", genome=place(genome), locus=locus, version="8")
    resources = ElementTree.SubElement(session, "Resources")
    data = ElementTree.SubElement(session, "Panel", name="DataPanel", height="600", width="1200")
    features = ElementTree.SubElement(session, "Panel", name="FeaturePanel", height="160", width="1200")
    ElementTree.SubElement(
        features, "Track", clazz="org.igv.track.SequenceTrack", id="Reference sequence", name="Reference sequence"
    )
    for track in tracks:
        name = f"{track.contrast} {track.label}".strip()
        where = place(track.path)
        ElementTree.SubElement(resources, "Resource", path=where, name=name)
        attributes = {"id": where, "name": name, "visible": "true", **colour_settings(track.kind), **_SETTINGS[track.kind]}
        ElementTree.SubElement(features if track.kind in ("genes", "variants") else data, "Track", attributes)
    ElementTree.indent(session)
    with write_whole(path) as part:
        ElementTree.ElementTree(session).write(part, encoding="UTF-8", xml_declaration=True)


def relative_path(file: Path, results: Path, folder: Path) -> str:
    """Return the path of a file relative to a folder, with slashes; empty if the file is not in `results`.

    Examples
    --------
    >>> from pathlib import Path
    >>> relative_path(Path("run/peaks/liver.bed"), Path("run"), Path("run/browser"))
    '../peaks/liver.bed'
    """
    # Symbolic links inside the folder are not resolved, because they move with it.
    whole = Path(os.path.abspath(file))
    if not whole.is_relative_to(Path(os.path.abspath(results))):
        return ""
    return Path(os.path.relpath(whole, os.path.abspath(folder))).as_posix()
