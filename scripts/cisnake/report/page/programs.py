"""The programs of the page: its own scripts, and libraries that are stored compressed and unpacked in the web browser.

The page needs no network, and its policy forbids access to it. igv.js (0.6 MB) and DataTables (0.06 MB) are stored as base64.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from cisnake.report.cards import GREY, SLATE, pack_bytes
from cisnake.report.figures import BLUE, VERMILION
from cisnake.report.logos import COLOURS

ASSETS = Path(__file__).parents[1] / "assets"
SCRIPTS = Path(__file__).parent / "scripts"
LIBRARIES = {"datatables": "dataTables.min.js", "igv-library": "igv.min.js"}

# Content-Security-Policy for a <meta http-equiv> element in the head of the page: it forbids all network access.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "connect-src data: blob:"
)
# The same, with scripts that lie beside the page, whether it is opened from a disk or from a server.
POLICY_WITH_FILES = POLICY.replace("script-src 'unsafe-inline'", "script-src 'unsafe-inline' 'self' file:")

IGV_STYLE: dict[str, dict[str, Any]] = {
    "colours": {**COLOURS, "N": GREY},
    "attribution": {"height": 150, "color": BLUE, "altColor": VERMILION},
    "peaks": {"displayMode": "COLLAPSED", "height": 42},
    "hits": {"displayMode": "EXPANDED", "height": 130, "expandedRowHeight": 28, "color": SLATE},
    "genes": {"displayMode": "EXPANDED", "height": 50},
    "variants": {"displayMode": "EXPANDED", "height": 60, "expandedRowHeight": 28},
}


def embed_programs(*scripts: str) -> Markup:
    """Return script elements with scripts of the page (names without suffix), in this order."""
    return Markup("").join(
        Markup(f"<script>\n{(SCRIPTS / name).with_suffix('.js').read_text(encoding='utf-8')}</script>\n") for name in scripts
    )


def embed_libraries(*names: str) -> Markup:
    """Return script elements with packed libraries, by their names in `LIBRARIES`."""
    return Markup("").join(Markup(f'<script type="text/plain" id="{name}">{_packed(name)}</script>\n') for name in names)


def embed_igv_style() -> Markup:
    """Return a script element with the settings of the tracks of igv.js."""
    return Markup(f'<script type="application/json" id="igv-style">{json.dumps(IGV_STYLE)}</script>\n')


@cache
def _packed(name: str) -> str:
    return pack_bytes((ASSETS / LIBRARIES[name]).read_bytes())
