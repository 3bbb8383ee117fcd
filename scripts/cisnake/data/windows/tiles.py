"""Tiles: the windows of the genome that coverage models are trained on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, count_bases, count_bins, merge, total_bases
from cisnake.data.windows.contigs import divide_contigs, find_unknown, make_contigs, separate_contigs
from cisnake.data.windows.splits import SPLITS
from cisnake.errors import InputError
from cisnake.sections import SplitsSection, TilesSection

TILE_COLUMNS = ["gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold"]

# Without a file of gaps, runs of N from this length on part contigs; shorter ones count against `max_n_fraction`.
MIN_GAP = 1000
# A bin counts as unmappable from this share of its bases on.
UNMAPPABLE_SHARE = 0.1


@dataclass(frozen=True)
class TileShape:
    """The windows of a coverage model, in bp.

    Parameters
    ----------
    seq_len: int
        Length of a window.
    bin_size: int
        Length of a bin.
    crop: int
        Bases at either end of a window that have no bins. Default 0.
    max_shift: int
        By how much training moves windows, either way. Default 0.

    Raises
    ------
    InputError
        Bins do not fill the window.

    Examples
    --------
    >>> from cisnake.data.windows import TileShape
    >>> TileShape(seq_len=1000, bin_size=32, crop=20).binned
    960
    """

    seq_len: int
    bin_size: int
    crop: int = 0
    max_shift: int = 0

    def __post_init__(self) -> None:
        if self.binned < self.bin_size or self.binned % self.bin_size:
            raise InputError(
                f"bins of {self.bin_size} bp do not fill a window of {self.seq_len} bp less {self.crop} at either end: "
                "change one."
            )

    @property
    def binned(self) -> int:
        """Bases of a window that have bins."""
        return self.seq_len - 2 * self.crop


@dataclass(frozen=True, eq=False)
class TileRegions:
    """Regions of the genome that decide where tiles may lie: tables of chrom, start, end.

    Parameters
    ----------
    gaps: pandas.DataFrame, optional
        Gaps of the assembly. Default None: runs of N of at least `MIN_GAP` bp.
    limit: pandas.DataFrame, optional
        Where the bins of tiles must lie. Default None: the whole genome.
    unmappable: pandas.DataFrame, optional
        Where no read can be assigned. Default None: nowhere.
    """

    gaps: pd.DataFrame | None = None
    limit: pd.DataFrame | None = None
    unmappable: pd.DataFrame | None = None


def make_tiles(
    genome: Genome,
    settings: TilesSection,
    splits: SplitsSection,
    shape: TileShape,
    regions: TileRegions = TileRegions(),
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Tile a genome with windows for training, validation and test.

    The bins of a tile, its window less `crop` at either end, lie in one contig; its flanks may reach into gaps, beyond the ends
    of a chromosome, where they read N, and into the next contig. Contigs of different splits are drawn back from each other
    so that no base of a training window, moved by up to `max_shift`, lies in a window of another split; with
    `splits.allow_overlap`, as in Basenji, they are not, and flanks of training windows read the edges of test contigs.

    Parameters
    ----------
    genome: Genome
    settings: TilesSection
    splits: SplitsSection
        `allow_overlap` and what `divide_contigs` takes.
    shape: TileShape
    regions: TileRegions
        Default: gaps at long runs of N, no further limits.
    seed: int
        Of the draws of contigs and of tiles. Default 0.

    Returns
    -------
    tiles: pandas.DataFrame
        `TILE_COLUMNS`, by position on the genome; `gene_id` is `chrom:start-end` of the window, strand "+", the mask empty.
    summary: dict
        `n_tiles`; `splits`: for each split (or fold) its contigs, its tiles, the bases that their bins cover and their share
        of all such bases; `dropped_bases` and `dropped_tiles` by reason; `notices`.

    Raises
    ------
    InputError
        Settings contradict each other, or a split is left without tiles.
    """
    excluded = settings.exclude_chromosomes
    sizes = {chrom: size for chrom, size in genome.sizes.items() if chrom not in excluded}
    strides = _strides(settings, shape.seq_len)
    if not sizes:
        raise InputError("tiles.exclude_chromosomes excludes every chromosome of the genome.")
    dropped_bases = {"excluded_chromosomes": sum(genome.sizes.values()) - sum(sizes.values())}
    unknown = find_unknown(genome, list(sizes))
    gaps = unknown[unknown["end"] - unknown["start"] >= MIN_GAP] if regions.gaps is None else regions.gaps
    contigs, outside = make_contigs(sizes, gaps, regions.limit, shape.binned, settings.break_length)
    contigs = divide_contigs(contigs, splits, list(genome.sizes), seed)
    apart = contigs if splits.allow_overlap else separate_contigs(contigs, 2 * shape.crop + shape.max_shift)
    dropped_bases |= outside | {"near_other_split": total_bases(contigs) - total_bases(apart)}

    folds = splits.folds or 0
    in_training = apart["split"].eq("train") | (folds > 0)
    tiles = place_tiles(apart, shape.binned, np.where(in_training, *strides), settings.snap)
    usable, dropped_tiles = _drop_unusable(tiles, settings, shape.bin_size, unknown, regions.unmappable)
    sampled = _sample(usable, settings.sample, seed)
    dropped_tiles["not_sampled"] = len(usable) - len(sampled)
    dropped = {"dropped_bases": dropped_bases, "dropped_tiles": dropped_tiles}
    parts = _count_parts(apart, sampled, folds, dropped)
    notices = [f"tiles.exclude_chromosomes: the genome has no '{c}'." for c in excluded if c not in genome.sizes]
    return _as_windows(sampled, shape.crop), {"n_tiles": len(sampled), "splits": parts, **dropped, "notices": notices}


def _strides(settings: TilesSection, seq_len: int) -> tuple[int, int]:
    """Return the strides of training tiles and of the others, refusing contigs that may be shorter than a window."""
    if settings.break_length < seq_len:
        raise InputError(f"tiles.break_length is {settings.break_length}, shorter than a window ({seq_len} bp).")
    return _stride("stride_train", settings, seq_len), _stride("stride_test", settings, seq_len)


def _drop_unusable(
    tiles: pd.DataFrame, settings: TilesSection, bin_size: int, unknown: pd.DataFrame, unmappable: pd.DataFrame | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the tiles with enough known and mappable bases, and the number of others by the first reason that applies."""
    length = (tiles["end"] - tiles["start"]).to_numpy()
    reasons = {"too_many_n": count_bases(tiles, unknown) > settings.max_n_fraction * length}
    if unmappable is not None:
        reasons["unmappable"] = unmappable_share(tiles, unmappable, bin_size) >= settings.unmappable_threshold
    dropped = {}
    kept = np.ones(len(tiles), dtype=bool)
    for reason, mask in reasons.items():
        dropped[reason] = int((kept & mask).sum())
        kept &= ~mask
    return tiles[kept], dropped


def _count_parts(contigs: pd.DataFrame, tiles: pd.DataFrame, folds: int, dropped: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return contigs, tiles, bases and share of the bases of each split or fold, refusing one without tiles."""
    column = "fold" if folds else "split"
    parts = range(folds) if folds else SPLITS
    for part in parts:
        if not tiles[column].eq(part).any():
            raise InputError(
                f"no tile is left for the {column} {part}; dropped were, in bases {dropped['dropped_bases']}, "
                f"in tiles {dropped['dropped_tiles']}."
            )
    bases = {part: total_bases(merge(tiles[tiles[column] == part])) for part in parts}
    return {
        f"fold{part}" if folds else str(part): {
            "contigs": int(contigs[column].eq(part).sum()),
            "tiles": int(tiles[column].eq(part).sum()),
            "bases": bases[part],
            "share": bases[part] / sum(bases.values()),
        }
        for part in parts
    }


def _as_windows(tiles: pd.DataFrame, crop: int) -> pd.DataFrame:
    """Return the table of windows of stretches that have bins."""
    start, end = tiles["start"] - crop, tiles["end"] + crop
    name = tiles["chrom"] + ":" + start.astype(str) + "-" + end.astype(str)
    windows = tiles.assign(gene_id=name, window_start=start, window_end=end, strand="+", mask_start=0, mask_end=0)
    return windows[TILE_COLUMNS].reset_index(drop=True)


def _stride(key: str, settings: TilesSection, seq_len: int) -> int:
    """Return a stride in bp; up to 1 it is given as a part of the window."""
    stride = getattr(settings, key)
    stride = round(stride * seq_len) if stride <= 1 else stride
    if stride < 1 or stride % settings.snap:
        raise InputError(f"tiles.{key} is {stride:.12g} bp, but must be a multiple of tiles.snap ({settings.snap} bp).")
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

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from cisnake.data.windows import place_tiles
    >>> contigs = pd.DataFrame({"chrom": ["chr1", "chr2"], "start": [3, 0], "end": [30, 9]})
    >>> place_tiles(contigs, length=10, stride=np.array([8, 8]), snap=4).values.tolist()
    [['chr1', 4, 14], ['chr1', 12, 22], ['chr1', 20, 30]]
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

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import unmappable_share
    >>> tiles = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [40]})
    >>> unmappable = pd.DataFrame({"chrom": ["chr1"], "start": [5], "end": [12]})
    >>> unmappable_share(tiles, unmappable, bin_size=10).tolist()
    [0.5]
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
