"""Files beside the report with the cards of all genes of a contrast: small scripts that the page loads on demand.

A page that is opened from a disk may not read other files, but it may run scripts that lie beside it.
"""

from __future__ import annotations

import json
from pathlib import Path

from cisnake.files import write_whole
from cisnake.program import Progress
from cisnake.report.cards.card import MAX_SHOWN_BASES
from cisnake.report.cards.packing import pack_card
from cisnake.report.cards.reader import CardReader

# Name of the folder beside report.html; it has one folder per contrast.
CARD_FILES = "report_data"

_BLOCK_BASES = 120_000


def block_rows(length: int) -> int:
    """Return the number of genes per file for windows of `length` bases; a file takes about half a megabyte.

    Examples
    --------
    >>> block_rows(600), block_rows(524_288)
    (200, 6)
    """
    return max(1, _BLOCK_BASES // max(min(length, MAX_SHOWN_BASES), 1))


def write_card_files(reader: CardReader, folder: Path) -> int:
    """Write the cards of all genes of a contrast, and return the number of files.

    Each file holds the cards of `block_rows` successive rows of the attribution file, and is named by the first of them.

    Parameters
    ----------
    reader: CardReader
        For all genes of the contrast.
    folder: Path
        `report_data/<contrast>`. It appears once it is complete.
    """
    n, step = len(reader.windows), block_rows(reader.contrast.attributions.length)
    progress = Progress(f"cards of {reader.contrast.name}", n)
    with write_whole(folder) as part:
        part.mkdir()
        for first in range(0, n, step):
            rows = range(first, min(first + step, n))
            cards = json.dumps([pack_card(reader.read(row)) for row in rows], separators=(",", ":"))
            name = json.dumps(reader.contrast.name)
            (part / f"{first}.js").write_text(f"report.cards.receive({name},{first},{cards});\n", encoding="utf-8")
            progress.advance(len(rows))
    return -(-n // step)
