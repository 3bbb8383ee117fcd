"""Background regions: windows away from all regions of a run, with their GC content and share of N."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, match_chromosomes, subtract, to_genome
from cisnake.data.windows.gene_windows import in_genome_order, place_tss, place_windows
from cisnake.data.windows.tiles import place_tiles
from cisnake.program import Progress, log
from cisnake.sections import WindowsSection

# In genes.tsv: the source of the middle of a background region, and the row of the matrix that its zeros stand for.
BACKGROUND = "background"
_BASES_AT_ONCE = 1 << 24
# GC content is compared in classes of one percentage point: first the same class, then the neighbours up to the second.
_STEPS = (0, 1, -1, 2, -2)
_N_CLASSES = 10


def is_background(windows: pd.DataFrame) -> np.ndarray:
    """Return whether each row of a table of windows is a background region; shape=(n,), dtype=bool.

    Parameters
    ----------
    windows: pandas.DataFrame, n rows
        genes.tsv, or as from `read_windows`. Without the column `background`, no row is one.

    Examples
    --------
    >>> import pandas as pd
    >>> is_background(pd.DataFrame({"background": [0, 1]})).tolist(), is_background(pd.DataFrame({"fold": [0]})).tolist()
    ([False, True], [False])
    """
    return windows["background"].to_numpy() == 1 if "background" in windows else np.zeros(len(windows), bool)


def add_background(
    kept: pd.DataFrame, listed: pd.DataFrame, genome: Genome, windows: WindowsSection, times: int, seed: int
) -> tuple[pd.DataFrame, dict[str, Any], list[str]]:
    """Add background regions to the regions of a run.

    A background region is a window on the chromosome of the region that it matches, with its strand. It shares no base with any
    listed region, with the window of one, or with another background region, also if either is shifted by up to
    `windows.max_shift`. GC contents (of the known bases) are in the same percentage point or, where too few windows are,
    differ by less than three. Both windows have no N, or shares of N in the same tenth, and at most `windows.max_n_fraction`.

    Candidates lie side by side in the stretches without regions, with a random start in each. Among those that match, windows
    are drawn at random without replacement. Memory is bounded by the candidates of one chromosome and 16 million bases.

    Parameters
    ----------
    kept: pandas.DataFrame
        The regions to match, as `select_genes` returns them.
    listed: pandas.DataFrame
        All regions of the file, used or not, as from `regions_as_genes`.
    genome: Genome
    windows: WindowsSection
    times: int
        Number of background regions per region.
    seed: int
        Random seed.

    Returns
    -------
    units: pandas.DataFrame
        `kept` and the background regions in genome order, with the column `background` (0 or 1). A background region is named
        `background:chrom:start-end` by its window, and has `tss_source` and `matrix_id` "background".
    summary: dict
        asked, found: numbers of background regions; gc: mean, median, 5% and 95% quantile of the GC content of regions and of
        background; n_share: the mean share of N of either.
    notices: list of str
        A sentence if fewer were found than asked for.
    """
    rng, length = np.random.default_rng(seed), windows.upstream + windows.downstream
    taken = dict(list(_reserved(listed, genome, windows).groupby("chrom")))
    progress = Progress("bases searched for background regions", sum(genome.sizes[chrom] for chrom in kept["chrom"].unique()))
    tables: list[pd.DataFrame] = []
    counts: dict[str, list[np.ndarray]] = {"regions": [], "background": []}
    for chrom, regions in kept.groupby("chrom", sort=False):
        start = _candidates(str(chrom), genome.sizes[chrom], taken[chrom], length, windows.max_shift, rng)
        starts = np.concatenate([regions["window_start"].to_numpy(), start])
        composition = count_composition(genome, str(chrom), starts, length)
        own, other = composition[: len(regions)], composition[len(regions) :]
        usable = np.flatnonzero(other[:, 1] <= windows.max_n_fraction * length)
        region, chosen = match_composition(own, other[usable], length, times, rng)
        chosen = usable[chosen]
        tables.append(_as_units(str(chrom), start[chosen], regions["strand"].to_numpy()[region], windows))
        counts["regions"].append(own)
        counts["background"].append(other[chosen])
        progress.advance(genome.sizes[chrom])
    units = pd.concat([kept.assign(background=0), *tables])
    summary = {"asked": times * len(kept), "found": len(units) - len(kept)} | _describe(counts, length)
    log.info("GC content of regions and of background: %s; share of N: %s", summary["gc"], summary["n_share"])
    notices = []
    if summary["found"] < summary["asked"]:
        notices.append(
            f"Only {summary['found']} of {summary['asked']} background regions (regions.negatives) were found: too few windows "
            "away from the regions have their GC content and share of N."
        )
    return in_genome_order(units, genome)[[*kept.columns, "background"]].reset_index(drop=True), summary, notices


def _reserved(listed: pd.DataFrame, genome: Genome, windows: WindowsSection) -> pd.DataFrame:
    """Return chrom, start and end of what no background window may touch: regions and their windows, with room for shifts."""
    names = match_chromosomes(listed["chrom"], genome.sizes, "regions.file")
    listed = listed.assign(chrom=listed["chrom"].map(names))[listed["chrom"].isin(names)]
    placed = place_windows(place_tss(listed, None, 0)[0], "tss", windows.upstream, windows.downstream)
    start, end = placed[["start", "window_start"]].min(axis=1), placed[["end", "window_end"]].max(axis=1)
    return pd.DataFrame({"chrom": placed["chrom"], "start": start - windows.max_shift, "end": end + windows.max_shift})


def _candidates(chrom: str, size: int, reserved: pd.DataFrame, length: int, gap: int, rng: np.random.Generator) -> np.ndarray:
    """Return the starts of windows, `gap` bases apart, in the stretches of a chromosome that are not reserved."""
    free = subtract(pd.DataFrame({"chrom": [chrom], "start": 0, "end": size}), reserved)
    free = free[free["end"] - free["start"] >= length]
    slack = (free["end"] - free["start"] - length) % (length + gap)
    free = free.assign(start=free["start"] + rng.integers(0, slack.to_numpy() + 1))
    return place_tiles(free, length, np.full(len(free), length + gap))["start"].to_numpy()


def count_composition(genome: Genome, chrom: str, starts: np.ndarray, length: int) -> np.ndarray:
    """Count the bases G and C, and the bases N, of windows on a chromosome.

    The chromosome is read once, in blocks. Any letter other than A, C, G and T counts as N.

    Parameters
    ----------
    genome: Genome
    chrom: str
    starts: numpy.ndarray, shape=(n,), dtype=int
        0-based first positions, in any order. The windows lie within the chromosome.
    length: int
        Length of a window, bp.

    Returns
    -------
    numpy.ndarray, shape=(n, 2), dtype=int64
        Numbers of G and C, and of N.
    """
    size = genome.sizes[chrom]
    positions = np.concatenate([starts, starts + length])
    order = np.argsort(positions, kind="stable")
    in_order, before, total = positions[order], np.zeros((len(positions), 2), np.int64), np.zeros(2, np.int64)
    for first in range(0, size, _BASES_AT_ONCE):
        last = min(first + _BASES_AT_ONCE, size)
        codes = genome.codes(chrom, first, last)
        block = order[np.searchsorted(in_order, first, "left") : np.searchsorted(in_order, last, "right")]
        for column, is_counted in enumerate(((codes == 1) | (codes == 2), codes == N)):
            sums = np.concatenate([[0], np.cumsum(is_counted, dtype=np.int32)])
            before[block, column] = total[column] + sums[positions[block] - first]
            total[column] += sums[-1]
    return before[len(starts) :] - before[: len(starts)]


def match_composition(
    wanted: np.ndarray, offered: np.ndarray, length: int, times: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw windows with the composition of others, at random and without replacement.

    Parameters
    ----------
    wanted: numpy.ndarray, shape=(n, 2), dtype=int
        Numbers of G and C, and of N, of the windows to match; see `count_composition`.
    offered: numpy.ndarray, shape=(m, 2), dtype=int
        The same of the windows to draw from.
    length: int
        Length of all windows, bp.
    times: int
        Number of windows to draw for each of `wanted`.
    rng: numpy.random.Generator

    Returns
    -------
    row, drawn: numpy.ndarray, shape=(k,), dtype=int64
        Rows of `wanted` and of `offered` that match, k <= n times `times`. Each row of `offered` occurs at most once.

    Examples
    --------
    >>> import numpy as np
    >>> wanted, offered = np.array([[40, 0]]), np.array([[10, 0], [41, 0], [41, 50]])
    >>> match_composition(wanted, offered, length=100, times=1, rng=np.random.default_rng(0))
    (array([0]), array([1]))
    """
    own, other = (_classes(counts, length) for counts in (wanted, offered))
    # In random order, so that the first of a class are a random draw.
    rows, places = rng.permutation(np.repeat(np.arange(len(own)), times)), rng.permutation(len(other))
    pairs = [np.zeros((2, 0), np.int64)]
    for step in _STEPS:
        first, second = _pair(own[rows] + step, other[places])
        pairs.append(np.stack([rows[first], places[second]]))
        rows, places = np.delete(rows, first), np.delete(places, second)
    row, drawn = np.concatenate(pairs, axis=1)
    return row, drawn


def _classes(counts: np.ndarray, length: int) -> np.ndarray:
    """Return one number per window for its share of N (0, and tenths) and its GC content, in percent of the known bases."""
    gc, unknown = counts.T
    return -(-_N_CLASSES * unknown // length) * 1000 + 100 * gc // np.maximum(length - unknown, 1)


def _pair(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return positions in two lists of classes, paired within each class in the order of the lists."""
    keys = [np.stack([classes, _rank_within(classes)], axis=1) for classes in (first, second)]
    tables = [pd.DataFrame(key, columns=["class", "rank"]).reset_index(names="at") for key in keys]
    pairs = tables[0].merge(tables[1], on=["class", "rank"])
    return pairs["at_x"].to_numpy(), pairs["at_y"].to_numpy()


def _rank_within(classes: np.ndarray) -> np.ndarray:
    """Return how many earlier values equal each value."""
    return pd.Series(classes).groupby(classes).cumcount().to_numpy()


def _as_units(chrom: str, start: np.ndarray, strand: np.ndarray, windows: WindowsSection) -> pd.DataFrame:
    """Return background windows as rows of genes.tsv."""
    end = start + windows.upstream + windows.downstream
    table = pd.DataFrame({"start": start, "end": end, "strand": strand, "window_start": start, "window_end": end})
    tss, _ = to_genome(start, end, strand, windows.upstream, windows.upstream + 1)
    place = chrom + ":" + table["start"].astype(str) + "-" + table["end"].astype(str)
    table = table.assign(chrom=chrom, gene_name=place, gene_id=f"{BACKGROUND}:" + place, tss=tss, tss_source=BACKGROUND)
    # A region has no body.
    return table.assign(mask_start=windows.upstream, mask_end=windows.upstream, matrix_id=BACKGROUND, background=1)


def _describe(counts: dict[str, list[np.ndarray]], length: int) -> dict[str, Any]:
    """Return the distribution of the GC content, and the mean share of N, of regions and background."""
    gc, n_share = {}, {}
    for name, blocks in counts.items():
        of_gc, of_n = np.concatenate(blocks).T
        share = of_gc / np.maximum(length - of_n, 1)
        if len(share):
            q05, median, q95 = np.quantile(share, [0.05, 0.5, 0.95])
            numbers = {"mean": share.mean(), "q05": q05, "median": median, "q95": q95}
            gc[name] = {key: round(float(value), 4) for key, value in numbers.items()}
            n_share[name] = round(float(of_n.mean() / length), 4)
    return {"gc": gc, "n_share": n_share}
