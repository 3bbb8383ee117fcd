"""The section of trust: checks of the attributions, drawn and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from cisnake.report.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, svg_canvas

# Column, what it is called, colour, marker; in the order in which they are drawn.
CHECKS = (
    ("replicates", "between replicates", BLUE, "o"),
    ("strands", "between strands", GREEN, "s"),
    ("ism", "with mutagenesis (ρ)", ORANGE, "D"),
    ("random_weights", "with random weights", VERMILION, "X"),
)
MAX_CONTRASTS = 24


def draw_quality(checks: Mapping[str, pd.DataFrame]) -> Markup:
    """Return medians and quartiles over genes of each check, a line a contrast; nothing where none was made.

    Parameters
    ----------
    checks: mapping of str to pandas.DataFrame
        By contrast, of which the first 24 are drawn: `AttributionFile.quality`.
    """
    shown = dict(list(checks.items())[:MAX_CONTRASTS])
    made = [check for check in CHECKS if any(table[check[0]].notna().any() for table in shown.values())]
    if not made:
        return Markup("")
    alt = "Checks of attributions by contrast: " + ", ".join(label for _, label, _, _ in made)
    with svg_canvas("quality", alt, 6.6, 0.95 + 0.42 * len(shown)) as canvas:
        axes = canvas.figure.subplots()
        for offset, (column, label, colour, marker) in enumerate(made):
            quartiles = pd.DataFrame({name: table[column].quantile([0.25, 0.5, 0.75]) for name, table in shown.items()})
            y = [row + 0.16 * (offset - (len(made) - 1) / 2) for row in range(len(shown))]
            axes.hlines(y, quartiles.loc[0.25], quartiles.loc[0.75], color=colour, linewidth=2, alpha=0.55)
            axes.plot(quartiles.loc[0.5], y, marker, color=colour, markersize=5, linestyle="none", label=label)
        axes.axvline(0, color="#999999", linewidth=0.8, zorder=0)
        axes.axvline(1, color=BLACK, linewidth=0.5, zorder=0)
        axes.set_yticks(range(len(shown)), list(shown))
        axes.set(xlabel="correlation along a gene's window: median and quartiles over genes", ylim=(len(shown) - 0.5, -0.5))
        axes.set_xlim(right=1.03)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0), ncols=len(made), bbox_transform=canvas.figure.transFigure,
                    fontsize=8, handletextpad=0.1, columnspacing=1)  # fmt: skip
        axes.set_title(" ")
    return canvas.svg


def count_quality(checks: pd.DataFrame) -> dict[str, Any]:
    """Return medians of the checks of one contrast, and how many genes are predicted poorly.

    Parameters
    ----------
    checks: pandas.DataFrame
        `AttributionFile.quality`.

    Returns
    -------
    dict
        completeness, replicates, strands, ism, random_weights: medians over genes, NaN where not measured; n_checked: genes
        with mutagenesis; n_poor, n_measured: genes whose prediction is poor, of those with a measurement.
    """
    columns = ("completeness", "replicates", "strands", "ism", "random_weights")
    return {
        **{column: float(checks[column].dropna().median()) for column in columns},
        "n_checked": int(checks["ism"].notna().sum()),
        "n_poor": int((checks["prediction"] == "poor").sum()),
        "n_measured": int((checks["prediction"] != "not_measured").sum()),
    }
