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

from cisnake.data.genome import to_genome, to_window
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
TRACK_BINS = 800
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
    with svg_canvas(f"baseline-{split}", "Scatter: each task's r, model over baseline", 4.4, 4.1) as canvas:
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
            _scatter(axes, rows["kmer_ridge_pearson"], rows["pearson"], colour, group)
        axes.set(xlim=limits, ylim=limits, aspect="equal", xlabel="r of ridge regression on k-mers", ylabel="r of the ensemble")
        if groups.nunique() > 1:
            axes.legend(fontsize=8, markerscale=1.3, handletextpad=0.1, borderaxespad=0)
    return canvas.svg


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
    with svg_canvas(f"groups-{split}", "Dots: each task's r by group of tasks", 5.6, 0.7 + 0.24 * len(medians)) as canvas:
        axes = canvas.figure.subplots()
        for y, (group, median) in enumerate(medians.items()):
            r = np.sort(known.loc[groups == group, "pearson"].to_numpy())
            # A fixed zigzag instead of random jitter makes the figure reproducible.
            _scatter(axes, r, y + 0.16 * (np.arange(len(r)) % 3 - 1), BLUE)
            axes.plot([median, median], [y - 0.36, y + 0.36], color=VERMILION, linewidth=2)
        axes.set_yticks(range(len(medians)), [f"{group} ({(groups == group).sum()})" for group in medians.index])
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
        axes.set_title(f"{title}\n{task if len(task) <= MAX_TITLE else task[: MAX_TITLE - 1] + '…'}")
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


def genome_ticks(start: int, end: int, strand: str, first: int, last: int, n: int) -> list[tuple[float, str]]:
    """Return ticks at about `n` round genome positions for the axis of a part of a gene-oriented window.

    Parameters
    ----------
    start, end: int
        The window on the genome, 0-based and half-open.
    strand: str
        "+" or "-".
    first, last: int
        The part, [first, last) in the window.
    n: int
        Approximate number of ticks.

    Returns
    -------
    list of (float, str)
        Position in the window, and genome position as text.

    Examples
    --------
    >>> genome_ticks(1000, 1300, "-", 0, 300, 3)
    [(299.0, '1,000'), (199.0, '1,100'), (99.0, '1,200')]
    """
    low, high = to_genome(start, end, strand, first, last)
    rounds = MaxNLocator(n, integer=True, steps=[1, 2, 5, 10]).tick_values(low, high - 1)
    return [(float(to_window(start, end, strand, g, g + 1)[0]), f"{int(g):,}") for g in rounds if low <= g < high]


def draw_track(
    name: str,
    scores: np.ndarray,
    window: pd.Series,
    peaks: Sequence[tuple[int, int]],
    region: tuple[int, int],
    alt: str,
) -> Markup:
    """Draw attributions over the window of a gene, with peaks shaded and TSS and gene body marked.

    A window longer than `TRACK_BINS` bases is divided into that many bins, and the largest and smallest score of each bin are
    drawn, so that single high bases remain visible.

    Parameters
    ----------
    name: str
        Prefix of the ids.
    scores: numpy.ndarray, shape=(length,)
        Projected scores (the score of the base present at each position), gene-oriented.
    window: pandas.Series
        chrom, start, end, strand, mask_start, mask_end of the gene.
    peaks: sequence of (int, int)
        [start, end) in the window.
    region: (int, int)
        The region shown as a logo, [start, end) in the window.
    alt: str
        Alternative text.
    """
    middle, low, high = bin_extremes(np.nan_to_num(scores.astype(np.float64)), TRACK_BINS)
    tss = int(window["mask_start"])
    with svg_canvas(name, alt, 9, 1.75, layout=None) as canvas:
        axes = canvas.figure.add_axes((0.065, 0.27, 0.9, 0.52))
        for first, last in peaks:
            axes.axvspan(first - 0.5, last - 0.5, color=SKY, alpha=0.35, linewidth=0)
        axes.fill_between(middle, 0, high, color=BLUE, linewidth=0.5)
        axes.fill_between(middle, 0, low, color=VERMILION, linewidth=0.5)
        span = (high.max(initial=0) - low.min(initial=0)) or 1
        top, bottom = high.max(initial=0) + 0.06 * span, low.min(initial=0) - 0.06 * span
        axes.axhline(0, color="#999999", linewidth=0.6)
        axes.axvline(tss, color=BLACK, linewidth=0.9, linestyle=(0, (3, 2)))
        body = bottom - 0.09 * span
        axes.plot([tss, int(window["mask_end"])], [body, body], color="#777777", linewidth=4, solid_capstyle="butt")
        axes.plot([region[0], region[1]], [top, top], color=BLACK, linewidth=2, solid_capstyle="butt")
        if 0 <= tss < len(scores):
            place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
            axes.annotate("TSS", (tss, 1), xytext=(3, -8), fontsize=8, **place)
        axes.set(xlim=(-0.5, len(scores) - 0.5), ylim=(body - 0.09 * span, top + 0.02 * span))
        axes.yaxis.set_major_locator(MaxNLocator(3))
        _label_positions(axes, window, len(scores))
    return canvas.svg


def bin_extremes(scores: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the smallest and largest score, extended to include 0, in each of at most `n` bins.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(length,), dtype=float64
    n: int

    Returns
    -------
    middle, low, high: numpy.ndarray, shape=(bins,), dtype=float64
        Middle of each bin, in bases from the middle of the first base; low <= 0 <= high.

    Examples
    --------
    >>> import numpy as np
    >>> [values.tolist() for values in bin_extremes(np.array([0.5, -1.0, 2.0, 3.0]), 2)]
    [[0.5, 2.5], [-1.0, 0.0], [0.5, 3.0]]
    """
    length = len(scores)
    edges = np.unique(np.linspace(0, length, min(n, length) + 1).astype(int))[:-1]
    middle = edges + np.diff(np.append(edges, length)) / 2 - 0.5
    return middle, np.minimum(np.minimum.reduceat(scores, edges), 0), np.maximum(np.maximum.reduceat(scores, edges), 0)


def _label_positions(axes: Axes, window: pd.Series, length: int) -> None:
    """Label genome positions below the axes, and distances from the TSS above."""
    tss = int(window["mask_start"])
    ticks = genome_ticks(int(window["start"]), int(window["end"]), str(window["strand"]), 0, length, 6)
    axes.set_xticks([x for x, _ in ticks], [label for _, label in ticks])
    axes.set_xlabel(axis_label(window), labelpad=1)
    above = axes.secondary_xaxis("top", functions=(lambda x: x - tss, lambda x: x + tss))
    above.xaxis.set_major_locator(MaxNLocator(7, integer=True, steps=[1, 2, 5, 10]))
    above.spines["top"].set_visible(False)
    above.tick_params(length=2, pad=3, labelsize=8, colors="#666666")


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
