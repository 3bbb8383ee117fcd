"""Tiles: the windows of the genome that coverage models are trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, count_bases, count_bins, merge, total_bases
from cisnake.data.windows.contigs import divide_contigs, find_unknown, make_contigs, separate_contigs
from cisnake.data.windows.splits import SPLITS
from cisnake.errors import InputError

COLUMNS = ["gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold"]

# Without a file of gaps, runs of N from this length on part contigs; shorter ones count against `max_n_fraction`.
MIN_GAP = 1000
# A bin counts as unmappable from this share of its bases on.
UNMAPPABLE_SHARE = 0.1


def make_tiles(
    genome: Genome,
    settings: dict[str, Any],
    splits: dict[str, Any],
    *,
    seq_len: int,
    bin_size: int,
    crop: int = 0,
    max_shift: int = 0,
    gaps: pd.DataFrame | None = None,
    limit: pd.DataFrame | None = None,
    unmappable: pd.DataFrame | None = None,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Lay windows over a genome for training, choosing and testing.

    The bins of a tile, its window less `crop` at either end, lie in one contig; its flanks may reach into gaps, beyond the ends
    of a chromosome, where they read N, and into the next contig. Contigs of different splits are drawn back from each other
    so that no base of a training window, moved by up to `max_shift`, lies in a window of another split. Basenji leaves
    contigs where they are, so that flanks of training windows read the edges of test contigs; with `splits.allow_overlap` ours
    do so too.

    Parameters
    ----------
    genome: Genome
    settings: dict
        Section `tiles` of the configuration: exclude_chromosomes, break_length, stride_train, stride_test, snap, sample,
        unmappable_threshold, max_n_fraction.
    splits: dict
        Section `splits`: `allow_overlap` and what `divide_contigs` takes.
    seq_len, bin_size, crop, max_shift: int
        bp: of a window; of a bin; at either end of a window that have no bins; by which training moves windows.
    gaps: pandas.DataFrame, optional
        chrom, start, end of the assembly's gaps. Default None: runs of N of at least `MIN_GAP` bp.
    limit: pandas.DataFrame, optional
        Regions in which the bins of tiles must lie. Default None: the whole genome.
    unmappable: pandas.DataFrame, optional
        Regions to which no read can be assigned. Default None: there are none.
    seed: int
        Of the draws of contigs and of tiles. Default 0.

    Returns
    -------
    tiles: pandas.DataFrame
        `COLUMNS`, by position on the genome; `gene_id` is `chrom:start-end` of the window, strand "+", the mask empty.
    summary: dict
        `n_tiles`; `splits`: for each split (or fold) its contigs, its tiles, the bases that their bins cover and their share
        of all such bases; `dropped_bases` and `dropped_tiles` by reason; `notices`.

    Raises
    ------
    InputError
        Settings contradict each other, or a split is left without tiles.
    """
    bins, rest = divmod(seq_len - 2 * crop, bin_size)
    if rest or bins < 1:
        raise InputError(f"bins of {bin_size} bp do not fill a window of {seq_len} bp less {crop} at either end: change one.")
    if settings["break_length"] < seq_len:
        raise InputError(f"tiles.break_length is {settings['break_length']}, shorter than a window ({seq_len} bp).")
    strides = {key: _stride(key, settings, seq_len) for key in ("stride_train", "stride_test")}
    length, folds = bins * bin_size, splits.get("folds") or 0
    excluded = settings["exclude_chromosomes"]
    sizes = {chrom: size for chrom, size in genome.sizes.items() if chrom not in excluded}
    if not sizes:
        raise InputError("tiles.exclude_chromosomes excludes every chromosome of the genome.")
    dropped_bases = {"excluded_chromosomes": sum(genome.sizes.values()) - sum(sizes.values())}

    unknown = find_unknown(genome, list(sizes))
    if gaps is None:
        gaps = unknown[unknown["end"] - unknown["start"] >= MIN_GAP]
    contigs, more = make_contigs(sizes, gaps, limit, length, settings["break_length"])
    contigs = divide_contigs(contigs, splits, list(genome.sizes), seed)
    apart = contigs if splits.get("allow_overlap") else separate_contigs(contigs, 2 * crop + max_shift)
    dropped_bases |= more | {"near_other_split": total_bases(contigs) - total_bases(apart)}

    stride = np.where(apart["split"].eq("train") | (folds > 0), strides["stride_train"], strides["stride_test"])
    tiles = place_tiles(apart, length, stride, settings["snap"])
    reasons = {"too_many_n": count_bases(tiles, unknown) > settings["max_n_fraction"] * length}
    if unmappable is not None:
        reasons["unmappable"] = unmappable_share(tiles, unmappable, bin_size) >= settings["unmappable_threshold"]
    dropped_tiles = {}
    kept = np.ones(len(tiles), dtype=bool)
    for reason, wrong in reasons.items():
        dropped_tiles[reason] = int((kept & wrong).sum())
        kept &= ~wrong
    tiles = tiles[kept]
    sampled = _sample(tiles, settings["sample"], seed)
    dropped_tiles["not_sampled"] = len(tiles) - len(sampled)

    part = "fold" if folds else "split"
    names = range(folds) if folds else SPLITS
    missing = [f"the fold {name}" if folds else f"the split {name}" for name in names if not sampled[part].eq(name).any()]
    if missing:
        raise InputError(f"no tile is left for {missing[0]}; dropped were, in bases {dropped_bases}, in tiles {dropped_tiles}.")
    bases = {name: total_bases(merge(sampled[sampled[part] == name])) for name in names}
    summary = {
        "n_tiles": len(sampled),
        "splits": {
            f"fold{name}" if folds else name: {
                "contigs": int(apart[part].eq(name).sum()),
                "tiles": int(sampled[part].eq(name).sum()),
                "bases": bases[name],
                "share": bases[name] / sum(bases.values()),
            }
            for name in names
        },
        "dropped_bases": dropped_bases,
        "dropped_tiles": dropped_tiles,
        "notices": [f"tiles.exclude_chromosomes: the genome has no '{c}'." for c in excluded if c not in genome.sizes],
    }
    start, end = sampled["start"] - crop, sampled["end"] + crop
    tiles = sampled.assign(window_start=start, window_end=end, strand="+", mask_start=0, mask_end=0)
    tiles["gene_id"] = tiles["chrom"] + ":" + start.astype(str) + "-" + end.astype(str)
    return tiles[COLUMNS].reset_index(drop=True), summary


def _stride(key: str, settings: dict[str, Any], seq_len: int) -> int:
    """Return a stride in bp; up to 1 it is given as a part of the window."""
    stride = settings[key]
    stride = round(stride * seq_len) if stride <= 1 else stride
    if stride < 1 or stride % settings["snap"]:
        raise InputError(f"tiles.{key} is {stride} bp, but must be a multiple of tiles.snap ({settings['snap']} bp).")
    return int(stride)


def place_tiles(contigs: pd.DataFrame, length: int, stride: np.ndarray, snap: int = 1) -> pd.DataFrame:
    """Return the stretches of `length` bp that fit into each contig.

    Parameters
    ----------
    contigs: pandas.DataFrame
        chrom, start, end and further columns.
    length: int
        bp.
    stride: numpy.ndarray, shape=(len(contigs),), dtype=int
        From one stretch of a contig to the next, bp.
    snap: int
        The first stretch of a contig begins at the first multiple of this in it. Default 1.

    Returns
    -------
    pandas.DataFrame
        The columns of `contigs`, one row a stretch, in the order of the contigs.
    """
    start, end = contigs["start"].to_numpy(), contigs["end"].to_numpy()
    first = -(-start // snap) * snap
    n = np.maximum((end - first - length) // stride + 1, 0)
    row = np.repeat(np.arange(len(contigs)), n)
    tiles = contigs.iloc[row].reset_index(drop=True)
    tiles["start"] = first[row] + stride[row] * (np.arange(len(row)) - (np.cumsum(n) - n)[row])
    return tiles.assign(end=tiles["start"] + length)


def unmappable_share(tiles: pd.DataFrame, unmappable: pd.DataFrame, bin_size: int) -> np.ndarray:
    """Return which part of the bins of each tile is unmappable.

    A bin is when at least a tenth of its bases are. Basenji's rule is this for regions longer than a bin: it counts each bin
    that a region touches, but for the first and the last if less than a tenth of them is in it.

    Parameters
    ----------
    tiles: pandas.DataFrame, n rows
        chrom, start, end of the bins of each tile, all of one length.
    unmappable: pandas.DataFrame
        chrom, start, end.
    bin_size: int
        bp.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=float64
    """
    bins = ((tiles["end"] - tiles["start"]) // bin_size).to_numpy()
    return count_bins(tiles, unmappable, bin_size, UNMAPPABLE_SHARE * bin_size) / bins


def _sample(tiles: pd.DataFrame, size: float, seed: int) -> pd.DataFrame:
    """Return some tiles of each split and fold, at least one, in their order; `size` up to 1 is a share, above it a number."""
    share = size if size <= 1 else min(size / max(len(tiles), 1), 1)
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(group, max(1, round(share * len(group))), replace=False)
        for _, group in sorted(tiles.groupby(["split", "fold"]).indices.items())
    ]
    return tiles.iloc[np.sort(np.concatenate(rows, dtype=np.int64))] if rows else tiles
