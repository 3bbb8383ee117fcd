"""Parts of pictures with one column per base, as inline SVG: pictures that are stacked have their columns in line."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

# Width of one base, and of the margin for the numbers of the axis, in pixels.
COLUMN, _LEFT = 9, 46


def frame_columns(parts: Sequence[str], title: str, width: int, base: int, axis_label: str) -> Markup:
    """Return an SVG of columns that are together `width` pixels wide.

    The ticks of the axis are at `base`, the label of the axis below them. Without a label, the picture ends at `base`.
    """
    label = f'<text x="{width / 2}" y="{base + 30}" text-anchor="middle">{escape(axis_label)}</text>' if axis_label else ""
    size = f"{width + _LEFT + 20} {base + (36 if axis_label else 0)}"
    return Markup(
        f'<svg class="logo" role="img" viewBox="{-_LEFT} 0 {size}" width="{width + _LEFT + 20}">'
        f"<title>{escape(title)}</title>{''.join(parts)}{label}</svg>"
    )


def draw_band(start: int, end: int, top: float, height: float, column: int = COLUMN) -> str:
    """Return a grey band behind the columns [start, end)."""
    x, width = start * column, (end - start) * column
    return f'<rect x="{x}" y="{top}" width="{width}" height="{height}" fill="#000" fill-opacity=".1"/>'


def draw_tick(x: float, y: int, label: str) -> str:
    """Return a tick of the axis at x, with its label below."""
    return (
        f'<line x1="{x}" x2="{x}" y1="{y}" y2="{y + 4}" stroke="#333"/>'
        f'<text x="{x}" y="{y + 15}" text-anchor="middle">{escape(label)}</text>'
    )
