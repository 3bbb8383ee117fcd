"""Figures of the scouting page, in the style of the report's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.patches import Rectangle

from cisnake.report import BLUE, ORANGE, VERMILION, number, svg_canvas
from cisnake.scout.grid import Grid
from cisnake.scout.labels import QUANTILES

_MAX_TASKS = 120
_HISTOGRAMS = 3


def draw_grid(name: str, title: str, grid: Grid, cells: pd.DataFrame, column: str, configured: tuple[int, int]) -> Markup:
    """Draw the scores of all windows as a heat map with numbers.

    The recommended window has a thick frame, that of the configuration a dashed one.

    Parameters
    ----------
    name: str
        Prefix of the ids.
    title: str
    grid: Grid
    cells: pandas.DataFrame
        upstream, downstream, recommended, and `column`.
    column: str
        Column of the scores.
    configured: tuple of int
        Bases upstream and downstream in the configuration of the run.
    """
    table = cells.pivot(index="downstream", columns="upstream", values=column).reindex(grid.downstream, columns=grid.upstream)
    # The largest distance upstream is on the left, as on the strand of a gene.
    values = table.to_numpy(float)[:, ::-1]
    upstream = grid.upstream[::-1]
    low, high = (np.nanmin(values), np.nanmax(values)) if np.isfinite(values).any() else (0.0, 1.0)
    with svg_canvas(name, f"Heat map: {title} by bases upstream and downstream", 4.3, 0.9 + 0.36 * len(table)) as canvas:
        axes = canvas.figure.subplots()
        axes.imshow(values, cmap="cividis", aspect="auto", vmin=low, vmax=max(high, low + 0.02))
        for (i, j), value in np.ndenumerate(values):
            if np.isfinite(value):
                dark = value < low + 0.55 * max(high - low, 0.02)
                axes.text(j, i, number(value, 2), ha="center", va="center", color="white" if dark else "black", fontsize=8)
        chosen = cells[cells["recommended"]].iloc[0]
        for place, style in ((configured, (0, (2, 1.5))), ((chosen["upstream"], chosen["downstream"]), "solid")):
            if place[0] in upstream and place[1] in grid.downstream:
                corner = (upstream.index(place[0]) - 0.46, grid.downstream.index(place[1]) - 0.46)
                width = 2.4 if style == "solid" else 1.6
                axes.add_patch(_frame(corner, VERMILION if style == "solid" else "white", width, style))
        axes.set_xticks(range(len(upstream)), [f"{n:,}" for n in upstream])
        axes.set_yticks(range(len(grid.downstream)), [f"{n:,}" for n in grid.downstream])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="bp upstream", ylabel="bp downstream", title=title)
    return canvas.svg


def _frame(corner: tuple[float, float], colour: str, width: float, style: Any) -> Rectangle:
    return Rectangle(corner, 0.92, 0.92, fill=False, edgecolor=colour, linewidth=width, linestyle=style)


def draw_labels(labels: np.ndarray, tasks: pd.DataFrame) -> Markup:
    """Draw the distribution of labels: quantiles of each task, and histograms of three tasks.

    Parameters
    ----------
    labels: numpy.ndarray, shape=(genes, tasks)
        Of training genes.
    tasks: pandas.DataFrame
        As in `LabelSummary`.
    """
    low, lower, quarter, median, three, upper, high = map(str, QUANTILES)
    known = tasks.reset_index(drop=True).dropna(subset=[median]).sort_values(median, kind="stable")
    shown = known.iloc[np.linspace(0, len(known) - 1, min(len(known), _MAX_TASKS)).round().astype(int)]
    with svg_canvas("labels", "Quantiles of the labels of each task, and histograms of three tasks", 8.6, 3.0) as canvas:
        spans, histogram = canvas.figure.subplots(1, 2, width_ratios=(1.25, 1))
        x = np.arange(len(shown))
        wide = max(140 / max(len(shown), 1), 1.0)
        for bottom, top, colour, width in ((lower, upper, "#9ecae8", 0.6), (quarter, three, BLUE, 1.0)):
            spans.vlines(x, shown[bottom], shown[top], color=colour, linewidth=min(wide, 9) * width)
        spans.plot(x, shown[median], "_", color="white", markersize=min(wide, 9), markeredgewidth=1.4)
        for end in (low, high):
            spans.plot(x, shown[end], ".", color="#777777", markersize=2.5)
        spans.set(xlabel="tasks, by median", ylabel="label", title="dots: range; bars: 5–95% and 25–75% of the genes")
        spans.set_xticks([])
        places = np.unique(np.linspace(0, len(known) - 1, _HISTOGRAMS).round().astype(int))
        for place, colour in zip(places, (BLUE, ORANGE, VERMILION), strict=False):
            values = labels[:, known.index[place]]
            task = str(known["task"].iloc[place])
            values = values[np.isfinite(values)]
            histogram.hist(
                values, 50, histtype="step", color=colour, linewidth=1.3, label=task if len(task) <= 22 else task[:21] + "…"
            )
        histogram.set(xlabel="label", ylabel="training genes", title="lowest, middle and highest task")
        histogram.legend(fontsize=8)
    return canvas.svg


def draw_contexts(windows: pd.DataFrame) -> Markup:
    """Draw the score of the ridge regression over the bases around a bin, with the recommended number marked.

    Parameters
    ----------
    windows: pandas.DataFrame
        bases, score, recommended; as in `CoverageFindings`.
    """
    with svg_canvas("contexts", "Line: r over bases around a bin", 4.6, 2.9) as canvas:
        axes = canvas.figure.subplots()
        axes.plot(windows["bases"], windows["score"], "o-", color=BLUE, markersize=5)
        chosen = windows[windows["recommended"]]
        axes.plot(chosen["bases"], chosen["score"], "o", color=VERMILION, markersize=9, fillstyle="none", markeredgewidth=2)
        axes.set(
            xlabel="bases around the middle of a bin",
            ylabel="r over validation bins",
            ylim=(min(0, windows["score"].min()), 1.08 * max(windows["score"].max(), 0.1)),
        )
    return canvas.svg
