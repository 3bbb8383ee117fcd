"""A track hub for the UCSC genome browser and other browsers that support track hubs.

https://genome.ucsc.edu/goldenpath/help/trackDb/trackDbHub.html

The package trackhub (1.0, MIT) would save some twenty lines here, but it requires five more packages and does not write files
atomically. It also checks the names and types of settings; the settings below are constants and pass that check.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from cisnake.data.genome import Genome
from cisnake.files import write_whole
from cisnake.report.browser.session import relative_path
from cisnake.report.browser.tracks import Track, colour_settings
from cisnake.report.browser.two_bit import write_two_bit

TWO_BIT = "genome.2bit"
# UCSC truncates longer labels.
_LONG_LABEL = 80
# UCSC requires an address. Replace it in hub.txt before publishing the hub.
_EMAIL = "nobody@example.org"

_SETTINGS = {
    # `logo` draws the bases of the genome with their values as height, once they are wide enough to read.
    "attribution": {
        "visibility": "full", "logo": "on", "autoScale": "on", "alwaysZero": "on", "maxHeightPixels": "128:72:16",
        "windowingFunction": "mean+whiskers",
    },
    "coverage": {
        "visibility": "full", "autoScale": "on", "alwaysZero": "on", "maxHeightPixels": "128:40:11",
        "windowingFunction": "mean",
    },
    "peaks": {"visibility": "pack", "itemRgb": "on"},
    "hits": {"visibility": "pack"},
    "genes": {"visibility": "pack"},
    "variants": {"visibility": "pack"},
}  # fmt: skip


def write_hub(
    tracks: Sequence[Track], genome: Genome, locus: str, title: str, results: Path, folder: Path, assembly: str | None = None
) -> list[Track]:
    """Write hub.txt, genomes.txt and trackDb.txt, and the genome as 2bit if UCSC does not provide it.

    Because a hub is read over the network, files are referred to by paths relative to the hub. Tracks outside `results` are
    left out, as are tracks in formats that UCSC does not support.

    Parameters
    ----------
    tracks: sequence of Track
        From top to bottom.
    genome: Genome
    locus: str
        Initial position of an assembly hub, as 1-based `chrom:first-last`.
    title: str
        Name of the run.
    results: Path
        Folder of the run, to be put on a web server.
    folder: Path
        Output folder, inside `results`.
    assembly: str, optional
        UCSC name of the genome, such as sacCer3. Default None: write an assembly hub, which includes the genome.

    Returns
    -------
    list of Track
        The tracks that were left out.
    """
    places = {track: relative_path(track.path, results, folder) for track in tracks}
    used = [track for track in tracks if track.type and places[track]]
    contrasts = list(dict.fromkeys(track.contrast for track in used if track.contrast))
    stanzas = []
    for i, contrast in enumerate(contrasts):
        label = f"Contrast {contrast}"
        stanzas.append(
            {"track": f"contrast{i}", "superTrack": "on show", "shortLabel": contrast, "longLabel": label[:_LONG_LABEL]}
        )
        members = [track for track in used if track.contrast == contrast]
        stanzas += [_stanza(f"contrast{i}_{t.kind}", t, places[t], f"contrast{i}") for t in members]
    stanzas += [_stanza(f"{track.kind}{i}", track, places[track]) for i, track in enumerate(t for t in used if not t.contrast)]
    name = _word(title)
    genome_stanza = {"genome": assembly or name, "trackDb": "trackDb.txt"}
    if assembly is None:
        write_two_bit(genome, folder / TWO_BIT)
        genome_stanza |= {
            "twoBitPath": TWO_BIT, "organism": _line(title), "description": _line(f"Genome of {title}"),
            "scientificName": _line(title), "defaultPos": locus,
        }  # fmt: skip
    _write([genome_stanza], folder / "genomes.txt")
    _write(stanzas, folder / "trackDb.txt")
    hub = {
        "hub": name, "shortLabel": _line(title), "longLabel": _line(f"{title}: attributions, peaks and motifs (Cisnake)"),
        "genomesFile": "genomes.txt", "email": _EMAIL,
    }  # fmt: skip
    _write([hub], folder / "hub.txt")
    return [track for track in tracks if track not in used]


def _stanza(name: str, track: Track, place: str, parent: str = "") -> dict[str, str]:
    return {
        "track": name, **({"parent": parent} if parent else {}), "type": track.type, "bigDataUrl": quote(place),
        "shortLabel": _line(f"{track.contrast} {track.label}"), "longLabel": _line(track.description),
        **colour_settings(track.kind), **_SETTINGS[track.kind],
    }  # fmt: skip


def _line(text: str) -> str:
    return " ".join(text.split())[:_LONG_LABEL]


def _word(text: str) -> str:
    """Convert a text to a valid UCSC name: ASCII letters, digits and underscores, starting with a letter."""
    word = re.sub(r"[^A-Za-z0-9_]", "_", text)
    return word if word[:1].isalpha() else f"run_{word}"


def _write(stanzas: Sequence[dict[str, str]], path: Path) -> None:
    text = "\n".join("".join(f"{key} {value}\n" for key, value in stanza.items()) for stanza in stanzas)
    with write_whole(path) as part:
        part.write_text(text, encoding="utf-8")
