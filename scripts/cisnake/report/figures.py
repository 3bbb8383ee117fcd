"""Figures of the report, as inline SVG.

Text remains text, so that it can be searched, selected and read by screen readers. Colours are those of Okabe and Ito. Dense
scatter plots are stored as images inside the SVG. Ids begin with the name of the figure, so that a page can hold any number of
figures.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cisnake.report.results import Training

BLUE, VERMILION, GREEN, ORANGE, SKY, PURPLE, BLACK = (
    "#0072b2", "#d55e00", "#009e73", "#e69f00", "#56b4e9", "#cc79a7", "#000000",
)  # fmt: skip
PALETTE = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY, BLACK)
SPLIT_COLOURS = {"train": "#bbbbbb", "val": ORANGE, "test": BLUE}

# A scatter plot with more points than this is stored as an image.
VECTOR_POINTS = 1500
MAX_CHROMOSOMES = 30
MAX_GROUPS = 24
MAX_TITLE = 46
# Longer names of groups and contrasts would leave no space for the data.
MAX_LABEL = 30
MAX_TILE_TASKS = 4

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # dollar signs in task names are literal
    "axes.unicode_minus": True,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": mpl.cycler(color=PALETTE),
    "legend.frameon": False,
    "savefig.facecolor": "none",
}

_SVG = "{http://www.w3.org/2000/svg}"
_XLINK = "{http://www.w3.org/1999/xlink}href"
_LONG_FRACTION = re.compile(r"(-?\d+\.\d{2})\d+")
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Canvas:
    """A figure, and its SVG once it is finished."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.svg = Markup("")


@contextmanager
def svg_canvas(name: str, alt: str, width: float, height: float, layout: str | None = "constrained") -> Iterator[Canvas]:
    """Open an empty figure, and convert it to SVG at the end of the block.

    Parameters
    ----------
    name: str
        Prefix of the ids in the SVG, unique within a page.
    alt: str
        Alternative text.
    width, height: float
        In inches.
    layout: str, optional
        Layout of `matplotlib.figure.Figure`. Default "constrained".

    Yields
    ------
    Canvas
    """
    with mpl.rc_context({**STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # The web browser draws the text, and has fonts for glyphs that DejaVu Sans lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        canvas = Canvas(Figure(figsize=(width, height), layout=layout))
        yield canvas
        buffer = io.StringIO()
        FigureCanvasSVG(canvas.figure)
        canvas.figure.savefig(buffer, format="svg", metadata={"Date": None}, dpi=110)
    canvas.svg = _inline(buffer.getvalue(), name, alt)


def _inline(svg: str, name: str, alt: str) -> Markup:
    """Convert an SVG document of matplotlib to an HTML element with unique ids, a title, no prolog and two decimals."""
    root = ElementTree.fromstring(_NOT_XML.sub("", svg))
    for metadata in root.findall(f"{_SVG}metadata"):
        root.remove(metadata)
    used = set(re.findall(r"""(?:url\(|href=")#([^)"]+)""", svg))
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        attributes = element.attrib
        if attributes.get("id") not in used:
            attributes.pop("id", None)
        else:
            attributes["id"] = f"{name}-{attributes['id']}"
        if _XLINK in attributes:
            attributes["href"] = attributes.pop(_XLINK)
            if attributes["href"].startswith("#"):
                attributes["href"] = f"#{name}-{attributes['href'][1:]}"
        for key in ("clip-path", "style"):
            if key in attributes:
                attributes[key] = attributes[key].replace("url(#", f"url(#{name}-")
        for key in ("d", "x", "y"):
            if key in attributes:
                attributes[key] = " ".join(_LONG_FRACTION.sub(r"\1", attributes[key]).split())
    width = round(float(root.attrib["viewBox"].split()[2]) * 4 / 3)
    # On a narrow screen a figure shrinks until its text is small, then it scrolls.
    root.attrib = {
        "class": "figure",
        "role": "img",
        "viewBox": root.attrib["viewBox"],
        "width": str(width),
        "style": f"min-width:{round(width * 0.65)}px",
    }
    title = ElementTree.Element("title")
    title.text = _NOT_XML.sub("", alt)
    root.insert(0, title)
    return Markup(ElementTree.tostring(root, encoding="unicode"))


def natural_key(name: str) -> list[tuple[bool, int, str]]:
    """Return a sort key that orders numbers in names by value: chr2 before chr10.

    Examples
    --------
    >>> sorted(["chr10", "chrX", "chr2"], key=natural_key)
    ['chr2', 'chr10', 'chrX']
    """
    return [(part.isdigit(), int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", name) if part]


def draw_counts(name: str, counts: Mapping[str, int], unit: str, highlight: str = "") -> Markup:
    """Draw counts as horizontal bars.

    Parameters
    ----------
    name: str
        Prefix of the ids.
    counts: mapping of str to int
        From top to bottom.
    unit: str
        What is counted; the label of the axis.
    highlight: str
        Key of the bar to highlight. Default "": none.
    """
    labels = list(counts)
    alt = f"Bars: {unit}. " + ", ".join(f"{label} {n}" for label, n in counts.items())
    with svg_canvas(name, alt, 5.1, 0.55 + 0.26 * len(labels)) as canvas:
        axes = canvas.figure.subplots()
        bars = axes.barh(labels, list(counts.values()), color=[BLUE if label == highlight else ORANGE for label in labels])
        axes.bar_label(bars, labels=[f"{n:,}" for n in counts.values()], padding=3)
        axes.invert_yaxis()
        axes.set_xlabel(unit)
        axes.margins(x=0.1)
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return canvas.svg


def draw_splits(genes: pd.DataFrame) -> Markup:
    """Draw the number of genes per chromosome and split as stacked bars; beyond 30 chromosomes, the smallest are merged.

    Parameters
    ----------
    genes: pandas.DataFrame
        Columns chrom and split.
    """
    chroms = genes["chrom"]
    sizes = chroms.value_counts()
    if len(sizes) > MAX_CHROMOSOMES:
        shown = sizes.index[: MAX_CHROMOSOMES - 1]
        chroms = chroms.where(chroms.isin(shown), f"{len(sizes) - len(shown)} others")
    table = pd.crosstab(chroms, genes["split"])
    table = table.loc[sorted(table.index, key=natural_key)]
    with svg_canvas("splits", "Genes per chromosome and split", 5.1, 0.8 + 0.22 * len(table)) as canvas:
        axes = canvas.figure.subplots()
        left = np.zeros(len(table))
        for split, colour in SPLIT_COLOURS.items():
            if split in table:
                axes.barh(table.index, table[split], left=left, color=colour, label=f"{split} ({table[split].sum():,})")
                left += table[split].to_numpy()
        axes.invert_yaxis()
        axes.set_xlabel("genes")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.0), ncols=3, bbox_transform=canvas.figure.transFigure)
        axes.set_title(" ")
    return canvas.svg


def draw_learning(trainings: Sequence[Training]) -> Markup:
    """Draw loss and validation r over epochs, with one line per model and a dot at its best epoch."""
    by_fold = len({training.fold for training in trainings}) > 1
    keys = list(dict.fromkeys(training.fold if by_fold else training.replicate for training in trainings))
    with svg_canvas("learning", "Learning curves: loss and validation r over epochs, one line a model", 8.5, 3.2) as canvas:
        loss, r = canvas.figure.subplots(1, 2)
        for training in trainings:
            key = training.fold if by_fold else training.replicate
            colour = PALETTE[keys.index(key) % len(PALETTE)]
            history = training.history
            if history is None:
                continue
            best = history[history["best"]].tail(1)
            label = key if loss.get_legend_handles_labels()[1].count(key) == 0 else None
            loss.plot(history["epoch"], history["loss"], color=colour, linewidth=1, linestyle=(0, (2, 1.5)))
            loss.plot(history["epoch"], history["val_loss"], color=colour, linewidth=1.3, label=label)
            loss.plot(best["epoch"], best["val_loss"], "o", color=colour, markersize=5)
            r.plot(history["epoch"], history["val_pearsonr"], color=colour, linewidth=1.3)
            r.plot(best["epoch"], best["val_pearsonr"], "o", color=colour, markersize=5)
        loss.set(xlabel="epoch", title="loss (dashed: training, solid: validation)")
        r.set(xlabel="epoch", title="validation r (mean over tasks)")
        for axes in (loss, r):
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if len(keys) <= 10:
            loss.legend(fontsize=8)
    return canvas.svg


def draw_baseline(split: str, tasks: pd.DataFrame) -> Markup:
    """Draw r of the model against r of the ridge regression per task, coloured by group if there are few groups.

    Parameters
    ----------
    split: str
    tasks: pandas.DataFrame
        Columns pearson, kmer_ridge_pearson, and group if tasks have groups.
    """
    known = tasks.dropna(subset=["pearson", "kmer_ridge_pearson"])
    n_better = int((known["pearson"] > known["kmer_ridge_pearson"]).sum())
    alt = f"Scatter: each task's r, model over baseline. The model is better in {n_better} of {len(known)} tasks"
    with svg_canvas(f"baseline-{split}", alt, 4.4, 4.1) as canvas:
        axes = canvas.figure.subplots()
        both = known[["pearson", "kmer_ridge_pearson"]].to_numpy()
        low, high = (both.min(), both.max()) if len(known) else (0.0, 1.0)
        margin = max(0.05 * (high - low), 0.01)
        limits = (low - margin, high + margin)
        axes.plot(limits, limits, color="#999999", linewidth=0.8, zorder=0)
        groups = _groups(known)
        if not 1 < groups.nunique() <= len(PALETTE):
            groups = pd.Series("", index=known.index)
        for colour, group in zip(PALETTE, dict.fromkeys(groups), strict=False):
            rows = known[groups == group]
            _scatter(axes, rows["kmer_ridge_pearson"], rows["pearson"], colour, shorten(group))
        axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="r of ridge regression on k-mers", ylabel="r of the ensemble")
        if groups.nunique() > 1:
            axes.legend(fontsize=8, markerscale=1.3, handletextpad=0.1, borderaxespad=0)
    return canvas.svg


def shorten(name: str, most: int = MAX_LABEL) -> str:
    """Return a name with at most `most` characters: without its middle, because names often differ at their ends.

    Examples
    --------
    >>> shorten("CD4-positive, alpha-beta T cell of the blood, donor 7", 20), shorten("liver")
    ('CD4-positive…donor 7', 'liver')
    """
    if len(name) <= most:
        return name
    tail = (most - 1) * 2 // 5
    return f"{name[: most - 1 - tail]}…{name[-tail:]}"


def _groups(tasks: pd.DataFrame) -> pd.Series:
    return tasks["group"] if "group" in tasks else pd.Series("", index=tasks.index)


def has_groups(tasks: pd.DataFrame) -> bool:
    """Return whether the tasks belong to more than one group."""
    return _groups(tasks).nunique() > 1


def draw_groups(split: str, tasks: pd.DataFrame) -> Markup:
    """Draw r of each task as a dot, in one row per group, sorted by the group median, which a bar marks.

    Beyond 24 groups, the smallest are merged.
    """
    known = tasks.dropna(subset=["pearson"])
    groups = _groups(known).replace("", "no group")
    sizes = groups.value_counts()
    if len(sizes) > MAX_GROUPS:
        shown = sizes.index[: MAX_GROUPS - 1]
        groups = groups.where(groups.isin(shown), f"{len(sizes) - len(shown)} other groups")
    medians = known.groupby(groups)["pearson"].median().sort_values(kind="stable")
    alt = "Dots: each task's r by group of tasks. Medians: " + ", ".join(
        f"{group} {r:.2f}" for group, r in medians[::-1].items()
    )
    with svg_canvas(f"groups-{split}", alt, 5.6, 0.7 + 0.24 * len(medians)) as canvas:
        axes = canvas.figure.subplots()
        for y, (group, median) in enumerate(medians.items()):
            r = np.sort(known.loc[groups == group, "pearson"].to_numpy())
            # A fixed zigzag instead of random jitter makes the figure reproducible.
            _scatter(axes, r, y + 0.16 * (np.arange(len(r)) % 3 - 1), BLUE)
            axes.plot([median, median], [y - 0.36, y + 0.36], color=VERMILION, linewidth=2)
        axes.set_yticks(range(len(medians)), [f"{shorten(group)} ({(groups == group).sum()})" for group in medians.index])
        axes.set_xlabel("r over held-out genes")
        axes.set_ylim(-0.6, len(medians) - 0.4)
    return canvas.svg


def _scatter(axes: Axes, x: np.ndarray, y: np.ndarray, colour: str, label: str = "") -> None:
    many = len(x) > VECTOR_POINTS
    axes.plot(
        x, y, "o", color=colour, alpha=0.35 if many else 0.65, markersize=2.2 if many else 3.5, markeredgewidth=0,
        rasterized=many, label=label,
    )  # fmt: skip


def draw_predictions(name: str, measured: np.ndarray, predicted: np.ndarray, title: str, task: str) -> Markup:
    """Draw measured against predicted values of one task, with one point per gene.

    Parameters
    ----------
    name: str
        Prefix of the ids.
    measured, predicted: numpy.ndarray, shape=(genes,), dtype=float64
        Genes with NaN in either array are left out.
    title, task: str
        Two lines above the figure; a long task name is truncated.
    """
    known = np.isfinite(measured) & np.isfinite(predicted)
    with svg_canvas(name, f"Scatter: measured over predicted, {title}: {task}", 4, 3.8) as canvas:
        axes = canvas.figure.subplots()
        _scatter(axes, predicted[known], measured[known], BLUE)
        if known.any():
            axes.axline((0, 0), slope=1, color="#999999", linewidth=0.8)
            for values, limit in ((predicted[known], axes.set_xlim), (measured[known], axes.set_ylim)):
                margin = 0.05 * (np.ptp(values) or 1)
                limit(values.min() - margin, values.max() + margin)
        axes.set(xlabel="predicted", ylabel="measured")
        axes.set_title(f"{title}\n{shorten(task, MAX_TITLE)}")
    return canvas.svg


def draw_tile(name: str, tile: pd.DataFrame, title: str) -> Markup:
    """Draw measured (bars) and predicted (line) coverage of a tile, in one panel per task for the first tasks.

    Parameters
    ----------
    name: str
        Prefix of the ids.
    tile: pandas.DataFrame
        chrom, start, end, task, measured, predicted; sorted by position within each task.
    title: str
    """
    tasks = list(dict.fromkeys(tile["task"]))[:MAX_TILE_TASKS]
    place = f"{tile['chrom'].iloc[0]}:{tile['start'].min():,}-{tile['end'].max():,}"
    with svg_canvas(name, f"{title}, {place}: measured and predicted coverage.", 7.6, 0.75 + 1.05 * len(tasks)) as canvas:
        panels = canvas.figure.subplots(len(tasks), squeeze=False, sharex=True)[:, 0]
        for axes, task in zip(panels, tasks):
            bins = tile[tile["task"] == task]
            edges = np.append(bins["start"], bins["end"].iloc[-1])
            axes.stairs(bins["measured"], edges, fill=True, color="#bbbbbb", label="measured")
            axes.stairs(bins["predicted"], edges, baseline=None, color=BLUE, linewidth=1.3, label="predicted")
            axes.set_ylabel(task if len(task) <= 14 else task[:13] + "…")
            axes.set_ylim(bottom=0 if bins["measured"].min() >= 0 else None)
            axes.yaxis.set_major_locator(MaxNLocator(3))
        panels[0].set_title(title, loc="left")
        panels[0].legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0.1)
        panels[-1].xaxis.set_major_locator(MaxNLocator(5, integer=True))
        panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panels[-1].set_xlabel(place.split(":")[0])
        panels[-1].margins(x=0)
    return canvas.svg


def axis_label(window: Mapping[str, Any] | pd.Series) -> str:
    """Return the label of the genome axis of a gene-oriented window.

    Examples
    --------
    >>> axis_label({"chrom": "chr1", "strand": "-"})
    'chr1, − strand (coordinates fall from left to right)'
    """
    if window["strand"] == "+":
        return f"{window['chrom']}, + strand"
    return f"{window['chrom']}, \N{MINUS SIGN} strand (coordinates fall from left to right)"
