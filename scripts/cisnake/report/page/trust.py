"""The trust section: checks of the attributions, as a figure and as counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup

from cisnake.interpret import correct_by_chance
from cisnake.report.figures import BLACK, BLUE, GREEN, ORANGE, VERMILION, shorten, svg_canvas

# Column, label, colour and marker of each check, in drawing order.
CHECKS = (
    ("replicates", "between replicates", BLUE, "o"),
    ("strands", "between strands", GREEN, "s"),
    ("ism", "with mutagenesis (ρ)", ORANGE, "D"),
    ("random_weights", "with random weights", VERMILION, "X"),
)
MAX_CONTRASTS = 24


def draw_quality(checks: Mapping[str, pd.DataFrame]) -> Markup:
    """Draw medians and quartiles of each check over genes, with one row per contrast; empty if no checks were made.

    Parameters
    ----------
    checks: mapping of str to pandas.DataFrame
        `AttributionFile.quality` by contrast. Only the first 24 contrasts are drawn.
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
        axes.set_yticks(range(len(shown)), [shorten(name) for name in shown])
        axes.set(xlabel="correlation along a gene's window: median and quartiles over genes", ylim=(len(shown) - 0.5, -0.5))
        axes.set_xlim(right=1.03)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0), ncols=len(made), bbox_transform=canvas.figure.transFigure,
                    fontsize=8, handletextpad=0.1, columnspacing=1)  # fmt: skip
        axes.set_title(" ")
    return canvas.svg


def count_quality(checks: pd.DataFrame, windows: pd.DataFrame) -> dict[str, Any]:
    """Return the medians of the checks of one contrast, and the number of correctly predicted genes.

    Parameters
    ----------
    checks: pandas.DataFrame
        `AttributionFile.quality`.
    windows: pandas.DataFrame
        `AttributionFile.windows`, in the same order.

    Returns
    -------
    dict
        completeness, replicates, strands, ism and random_weights are medians over genes, NaN for checks that were not made.
        n_checked is the number of genes with in-silico mutagenesis. n_correct is the number of correctly predicted genes among
        the n_measured held-out genes that have a measurement, and by_chance the share that shuffled predictions would give.
    """
    columns = ("completeness", "replicates", "strands", "ism", "random_weights")
    held_out = (windows["split"] != "train").to_numpy()
    prediction = checks["prediction"][held_out]
    return {
        **{column: float(checks[column].dropna().median()) for column in columns},
        "n_checked": int(checks["ism"].notna().sum()),
        "n_correct": int((prediction == "correct").sum()),
        "n_measured": int((prediction != "not_measured").sum()),
        "by_chance": correct_by_chance(windows[held_out]),
    }
