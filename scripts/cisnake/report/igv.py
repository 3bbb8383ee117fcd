"""A genome browser embedded in the report: igv.js and the views of the top genes, all stored in the page.

The page needs no network. igv.js itself (576 kB) and each view (a gene in a contrast) are stored compressed, as base64. The web
browser decompresses them when they are shown. A view covers at most `igv_views.MAX_SHOWN_BASES` bases and takes two to five
bytes per base, including its peaks, hits, genes and variants: 3 kB for a window of 600 bases.

igv-reports also makes such pages, but it does not read BigWig and cannot scale letters by their attribution.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from cisnake.report.figures import BLUE, VERMILION
from cisnake.report.igv_views import GREY, SLATE, View
from cisnake.report.logos import COLOURS

LIBRARY = Path(__file__).parent / "assets" / "igv.min.js"
PROGRAM = Path(__file__).with_suffix(".js")

# Scores are stored as integer multiples of the largest one divided by this.
STEPS = 9999

# Content-Security-Policy for a <meta http-equiv> element in the head of the page: it forbids all network access.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "connect-src data: blob:"
)

_STYLE: dict[str, dict[str, Any]] = {
    "colours": {**COLOURS, "N": GREY},
    "attribution": {"height": 150, "color": BLUE, "altColor": VERMILION},
    "peaks": {"displayMode": "COLLAPSED", "height": 42},
    "hits": {"displayMode": "EXPANDED", "height": 130, "expandedRowHeight": 28, "color": SLATE},
    "genes": {"displayMode": "EXPANDED", "height": 50},
    "variants": {"displayMode": "EXPANDED", "height": 60, "expandedRowHeight": 28},
}


def browser_section(views: Sequence[View]) -> Markup:
    """Return the browser as HTML: a selector of views, a container, igv.js and the data; empty without views.

    The element is `<div id="browser">`. Its attribute data-state becomes "ready" when a view is drawn. The first view is drawn
    when the element scrolls into sight. All other ids begin with `igv-`.

    Parameters
    ----------
    views: sequence of View
        In the order of the selector, grouped by contrast.
    """
    if not views:
        return Markup("")
    options: list[str] = []
    contrast = None
    for i, view in enumerate(views):
        if view.contrast != contrast:
            options.append(f'{"</optgroup>" if options else ""}<optgroup label="{escape(view.contrast)}">')
            contrast = view.contrast
        options.append(f'<option value="{i}">{escape(view.label)}</option>')
    return Markup(
        '<div id="browser">\n'
        f'<p><label>Gene <select id="igv-choice" autocomplete="off">{"".join(options)}</optgroup></select></label>\n'
        '<button type="button" id="igv-closer">Strongest stretch</button>\n'
        '<button type="button" id="igv-wider">Whole window</button></p>\n'
        '<div id="igv-place" style="min-height:30rem"></div>\n'
        "<noscript><p>This part needs JavaScript.</p></noscript>\n"
        f"{_data('igv-views', [_pack(_json(_plain(view)).encode()) for view in views])}\n"
        f"{_data('igv-style', _STYLE)}\n"
        f'<script type="text/plain" id="igv-library">{_library()}</script>\n'
        f"<script>{PROGRAM.read_text(encoding='utf-8')}</script>\n"
        "</div>"
    )


def _data(name: str, value: Any) -> str:
    # Names from the run are base64-encoded, so none of them can close the script element.
    return f'<script type="application/json" id="{name}">{_json(value)}</script>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _plain(view: View) -> dict[str, Any]:
    step = float(np.abs(view.scores).max(initial=0)) / STEPS
    steps = np.rint(view.scores.astype(np.float64) / step).astype(int) if step else np.zeros(len(view.scores), int)
    # igv.js parses the part of a name after a colon as a position.
    return {
        "contrast": view.contrast, "chrom": view.chrom.replace(":", "_"), "start": view.start, "end": view.end,
        "focus": view.focus, "sequence": view.sequence, "step": float(f"{step:.7g}"), "scores": steps.tolist(),
        "tracks": [
            _track("peaks", "peaks", view.peaks),
            _track("hits", "motif hits in peaks", view.hits),
            _track("variants", "variants", view.variants),
            _track("genes", "genes", view.genes),
        ],
    }  # fmt: skip


def _track(kind: str, name: str, table: pd.DataFrame) -> dict[str, Any]:
    cells = [
        [None if np.isnan(value) else float(f"{value:.4g}") for value in table[column]]
        if pd.api.types.is_float_dtype(table[column])
        else table[column].tolist()
        for column in table
    ]
    return {"kind": kind, "name": name, "columns": list(table.columns), "rows": list(zip(*cells, strict=True))}


def _pack(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, compresslevel=9, mtime=0)).decode("ascii")


@cache
def _library() -> str:
    return _pack(LIBRARY.read_bytes())
