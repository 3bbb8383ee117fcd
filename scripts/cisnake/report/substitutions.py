"""Heat maps of in-silico mutagenesis, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup

from cisnake.data.genome import BASES, N
from cisnake.report.figures import BLUE, VERMILION
from cisnake.report.svg_columns import COLUMN, draw_band, draw_tick, frame_columns

# Height of a row in pixels, and steps of colour in either direction.
_ROW, _SHADES = 9, 8


def draw_substitutions(
    codes: np.ndarray,
    effects: np.ndarray,
    title: str,
    largest: float,
    ticks: Sequence[tuple[float, str]] = (),
    axis_label: str = "",
    marked: tuple[int, int] | None = None,
) -> Markup:
    """Draw the effects of substitutions with a row for each base: blue raises, vermilion lowers.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(length,), dtype=int8
        A0 C1 G2 T3: the base of the sequence, which is marked by a dot. Other codes have none.
    effects: numpy.ndarray, shape=(length, 4)
        Effect of each base; NaN is not drawn.
    title: str
        Alternative text.
    largest: float
        Absolute effect with the full colour.
    ticks, axis_label, marked
        As for `logos.draw_attribution`.
    """
    known = np.isfinite(effects)
    covered = np.flatnonzero(known.any(axis=1)).tolist()
    levels = np.rint(np.nan_to_num(effects) / (largest or 1) * _SHADES).clip(-_SHADES, _SHADES).astype(int)
    height = len(BASES) * _ROW
    parts = []
    if covered:
        x, width = covered[0] * COLUMN, (covered[-1] + 1 - covered[0]) * COLUMN
        parts.append(f'<rect x="{x}" y="0" width="{width}" height="{height}" fill="#fff" stroke="#999" stroke-width=".6"/>')
        parts += [
            f'<text x="{x - 4}" y="{(row + 1) * _ROW - 1.5}" text-anchor="end" font-size="8">{base}</text>'
            for row, base in enumerate(BASES)
        ]
    parts += [draw_band(*marked, 0, height)] if marked else []
    for level in sorted(set(levels.ravel().tolist()) - {0}):
        at = np.argwhere(levels == level).tolist()
        cells = "".join(f"M{i * COLUMN} {j * _ROW}h{COLUMN}v{_ROW}h-{COLUMN}z" for i, j in at)
        colour = BLUE if level > 0 else VERMILION
        parts.append(f'<path fill="{colour}" fill-opacity="{abs(level) / _SHADES:.3g}" d="{cells}"/>')
    own = [(i, int(codes[i])) for i in covered if 0 <= codes[i] < N]
    dots = "".join(f"M{(i + 0.5) * COLUMN} {(j + 0.5) * _ROW}h0" for i, j in own)
    parts.append(f'<path stroke="#333" stroke-width="3" stroke-linecap="round" d="{dots}"/>')
    parts += [draw_tick((position + 0.5) * COLUMN, height + 4, label) for position, label in ticks]
    return frame_columns(parts, title, len(effects) * COLUMN, height + 4, axis_label)
