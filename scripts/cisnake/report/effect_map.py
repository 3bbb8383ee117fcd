"""The heat map of motifs by contrasts, as inline SVG: what inserting each motif does, and whether the network uses it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from markupsafe import Markup, escape

from cisnake.data import Motif
from cisnake.report import logos
from cisnake.report.figures import BLUE, VERMILION, shorten
from cisnake.report.words import number

MAX_ROWS = 40
"""Motifs beyond these are not drawn: those whose largest effect is smallest."""

ACTING = ("raises", "lowers")
"""Verdicts of motifs that act by themselves."""

# In pixels: height of a row, and widths of logos, of names and of a character.
_ROW, _LOGO, _NAME, _CHARACTER = 34, 150, 110, 6.3
# Longer names of contrasts are cut. With more contrasts, cells are too narrow for numbers.
_MAX_CHARACTERS, _MAX_NUMBERS = 28, 12


def draw_effect_map(effects: pd.DataFrame, matrices: Mapping[str, Motif], unit: str = "") -> Markup:
    """Draw the effect of inserting motifs on each contrast; blue raises it, vermilion lowers it.

    Rows are ordered by the contrast on which they act most, so that blocks appear. A full cell is a motif that acts by itself,
    a frame one whose sites matter but that does little elsewhere, and a dot one that the network does not use. Cells without
    anything were not tested. A grey corner marks motifs that move the contrast only by their effect on its off-tasks.

    Parameters
    ----------
    effects: pandas.DataFrame
        One row per motif and contrast: contrast, motif_id, motif_name, insertion_mean, verdict (`raises`, `lowers`,
        `sites_only`, `inert` or `no_sites`), and moves (as in effects.tsv; NaN or empty if not known). Contrasts are drawn in
        the order in which they first occur.
    matrices: mapping of str to Motif
        By motif_id; for logos. Motifs that are not in it have none.
    unit: str
        Unit of the effects, for the legend.

    Returns
    -------
    Markup
        Empty if no motif acts on any contrast.
    """
    contrasts = list(dict.fromkeys(effects["contrast"]))
    acting = effects.loc[effects["verdict"].isin(ACTING), "motif_id"].unique()
    table = effects[effects["motif_id"].isin(acting)]
    if table.empty:
        return Markup("")
    values = table.pivot(index="motif_id", columns="contrast", values="insertion_mean").reindex(columns=contrasts)
    verdicts = table.pivot(index="motif_id", columns="contrast", values="verdict").reindex(columns=contrasts)
    moves = table["moves"].fillna("").astype(str)
    aside = table.assign(aside=(moves != "") & ~moves.str.contains("_on"))
    aside = aside.pivot(index="motif_id", columns="contrast", values="aside").reindex(columns=contrasts).eq(True)
    names = table.drop_duplicates("motif_id").set_index("motif_id")["motif_name"]
    order = _order(values, verdicts)
    largest = float(np.nanmax(values.loc[order].abs().to_numpy()))
    numbered = len(contrasts) <= _MAX_NUMBERS
    column = 58 if numbered else 26
    left, top = _LOGO + _NAME, 14 + _CHARACTER * min(max(map(len, contrasts)), _MAX_CHARACTERS) * 0.75
    parts = [_heading(name, left + (i + 0.5) * column, top) for i, name in enumerate(contrasts)]
    for y, motif_id in enumerate(order):
        at = top + y * _ROW
        parts.append(_name(names[motif_id], matrices.get(motif_id), at))
        parts += [
            _cell(values.at[motif_id, c], verdicts.at[motif_id, c], left + x * column, at, column, largest, numbered)
            for x, c in enumerate(contrasts)
        ]
        corners = [left + x * column for x, c in enumerate(contrasts) if aside.at[motif_id, c]]
        parts += [f'<path class="aside" d="M{x + 1:.1f} {at + 1:.1f}h11l-11 11z" fill="#3d454d"/>' for x in corners]
    width, bottom = left + len(contrasts) * column + 90, top + len(order) * _ROW
    parts.append(_legend(bottom + 24, largest, unit))
    return Markup(
        f'<svg class="figure map" role="img" viewBox="0 0 {width:.0f} {bottom + 68:.0f}" width="{max(width, 560):.0f}" '
        f'font-family="DejaVu Sans, Arial, sans-serif" font-size="11" style="min-width:{width * 0.65:.0f}px">'
        f"<title>{escape(_in_words(table, contrasts))}</title>{''.join(parts)}</svg>"
    )


def _order(values: pd.DataFrame, verdicts: pd.DataFrame) -> list[str]:
    """Return the ids of the motifs with the largest effects, by the contrast on which they act most, and there by effect."""
    acting = values.where(verdicts.isin(ACTING))
    size = acting.abs().max(axis=1)
    kept = size.sort_values(ascending=False, kind="stable").index[:MAX_ROWS]
    place = acting.loc[kept].abs().to_numpy()
    first = np.nanargmax(place, axis=1)
    effect = acting.loc[kept].to_numpy()[np.arange(len(kept)), first]
    return kept[np.lexsort((-effect, first))].tolist()


def _heading(name: str, x: float, y: float) -> str:
    text = shorten(name, _MAX_CHARACTERS)
    return f'<text transform="translate({x:.1f} {y - 6:.1f}) rotate(-48)">{escape(text)}<title>{escape(name)}</title></text>'


def _name(name: str, motif: Motif | None, y: float) -> str:
    shown = shorten(name, 16)
    place = f'x="{_LOGO + _NAME - 8}" y="{y + _ROW / 2 + 4:.1f}" text-anchor="end"'
    text = f"<text {place}>{escape(shown)}<title>{escape(name)}</title></text>"
    if motif is None:
        return text
    column = min(8.0, _LOGO / len(motif.probabilities))
    logo = logos.matrix_letters(motif.probabilities, _ROW - 8, column)
    return f'<g transform="translate({_LOGO - column * len(motif.probabilities):.1f} {y + 4:.1f})">{logo}</g>{text}'


def _cell(value: float, verdict: object, x: float, y: float, width: float, largest: float, numbered: bool) -> str:
    if not np.isfinite(value):
        return ""
    colour, strength = (BLUE if value > 0 else VERMILION), abs(value) / largest
    box = f'x="{x + 1:.1f}" y="{y + 1:.1f}" width="{width - 2:.1f}" height="{_ROW - 2}"'
    middle = f'x="{x + width / 2:.1f}" y="{y + _ROW / 2 + 4:.1f}" text-anchor="middle"'
    label = number(value, 2, "g")
    if verdict in ACTING:
        # White on the darkest cells, so that the contrast of the number suffices everywhere.
        text = f'<text {middle} fill="{"#fff" if strength > 0.75 else "#1b1f24"}">{label}</text>' if numbered else ""
        return f'<rect {box} fill="{colour}" fill-opacity="{max(strength, 0.06):.2f}"><title>{label}</title></rect>{text}'
    if verdict == "sites_only":
        text = f'<text {middle} fill="#56606a">{label}</text>' if numbered else ""
        return f'<rect {box} fill="none" stroke="{colour}" stroke-dasharray="3 2"/>{text}'
    return f'<circle cx="{x + width / 2:.1f}" cy="{y + _ROW / 2:.1f}" r="2" fill="#9aa3ab"/>'


def _legend(y: float, largest: float, unit: str) -> str:
    label = number(largest, 2, "g")
    of = f" ({unit})" if unit else ""
    steps = "".join(
        f'<rect x="{i * 14}" y="{y - 10:.1f}" width="14" height="12" fill="{VERMILION if i < 5 else BLUE}" '
        f'fill-opacity="{abs(i - 4.5) / 4.5:.2f}"/>'
        for i in range(10)
    )
    return (
        f'{steps}<text x="148" y="{y:.1f}">\N{MINUS SIGN}{label} to {label}: effect of inserting the motif{escape(of)}</text>'
        f'<rect x="1" y="{y + 8:.1f}" width="13" height="12" fill="none" stroke="#56606a" stroke-dasharray="3 2"/>'
        f'<text x="20" y="{y + 18:.1f}">not by itself</text><circle cx="106" cy="{y + 14:.1f}" r="2" fill="#9aa3ab"/>'
        f'<text x="114" y="{y + 18:.1f}">not used by the network; empty: not tested</text>'
        f'<path d="M0 {y + 25:.1f}h11l-11 11z" fill="#3d454d"/>'
        f'<text x="20" y="{y + 35:.1f}">acts on the tasks that the contrast is compared with, not on its own</text>'
    )


def _in_words(table: pd.DataFrame, contrasts: list[str]) -> str:
    """Return the strongest motif of each contrast, as alternative text."""
    acting = table[table["verdict"].isin(ACTING)]
    parts = []
    for contrast in contrasts[:12]:
        rows = acting[acting["contrast"] == contrast]
        if len(rows):
            best = rows.loc[rows["insertion_mean"].abs().idxmax()]
            parts.append(f"{best['motif_name']} {best['verdict']} {contrast} most")
    return "Effect of inserting motifs, by contrast: " + "; ".join(parts)
