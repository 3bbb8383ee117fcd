"""Tile the genome with the windows on which coverage models are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, count_bases, count_bins, merge, total_bases
from cisnake.data.windows.contigs import break_for_fractions, divide_contigs, find_unknown, make_contigs, separate_contigs
from cisnake.data.windows.split_regions import SPLITS
from cisnake.errors import InputError
from cisnake.sections import SplitsSection, TilesSection

TILE_COLUMNS = ["gene_id", "chrom", "strand", "window_start", "window_end", "mask_start", "mask_end", "split", "fold"]

# Without a file of gaps, runs of N of at least this length separate contigs; shorter ones count against `max_n_fraction`.
MIN_GAP = 1000
# A bin is unmappable if at least this fraction of its bases is.
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
        Bases without bins at each end of a window. Default 0.
    max_shift: int
        Largest shift of training windows, in either direction. Default 0.

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
                f"bins of {self.bin_size} bp do not fill a window of {self.seq_len} bp minus {self.crop} bp at each end: "
                "change one of them."
            )

    @property
    def binned(self) -> int:
        """Number of bases covered by bins in a window."""
        return self.seq_len - 2 * self.crop


@dataclass(frozen=True, eq=False)
class TileRegions:
    """Regions that restrict the position of tiles; tables of chrom, start, end.

    Parameters
    ----------
    gaps: pandas.DataFrame, optional
        Gaps of the assembly. Default None: runs of N of at least `MIN_GAP` bp.
    limit: pandas.DataFrame, optional
        Regions that must contain the bins of tiles. Default None: the whole genome.
    unmappable: pandas.DataFrame, optional
        Regions to which reads cannot be assigned. Default None: no such regions.
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

    The bins of a tile (its window minus `crop` at each end) lie within one contig. Its flanks may extend into gaps, into the
    next contig, and beyond the ends of a chromosome, where they are N. Contigs of different splits are shortened so that no
    base of a training window, shifted by up to `max_shift`, lies in a window of another split. With `splits.allow_overlap`,
    as in Basenji, contigs are not shortened, and flanks of training windows may include the edges of test contigs.

    Parameters
    ----------
    genome: Genome
    settings: TilesSection
    splits: SplitsSection
        `allow_overlap` and the keys used by `divide_contigs`.
    shape: TileShape
    regions: TileRegions
        Default: gaps at long runs of N, no other restrictions.
    seed: int
        Random seed for the assignment of contigs and the sampling of tiles. Default 0.

    Returns
    -------
    tiles: pandas.DataFrame
        `TILE_COLUMNS`, by position on the genome; `gene_id` is `chrom:start-end` of the window, the strand is "+", and the
        mask is empty.
    summary: dict
        `n_tiles`; `splits`, with the number of contigs and tiles, the bases covered by bins, and the share of all such bases,
        per split or fold; `dropped_bases` and `dropped_tiles` by reason; `notices`.

    Raises
    ------
    InputError
        Settings contradict each other, or no tiles are left for a split.
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
    bases = total_bases(contigs)
    contigs = divide_contigs(break_for_fractions(contigs, splits, shape.binned), splits, genome.sizes, seed)
    outside["outside_regions"] = bases - total_bases(contigs)
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
    notices = [f"tiles.exclude_chromosomes: '{c}' is not in the genome." for c in excluded if c not in genome.sizes]
    return _as_windows(sampled, shape.crop), {"n_tiles": len(sampled), "splits": parts, **dropped, "notices": notices}


def _strides(settings: TilesSection, seq_len: int) -> tuple[int, int]:
    """Return the strides of training tiles and of held-out tiles, after checking that contigs can hold a window."""
    if settings.break_length < seq_len:
        raise InputError(
            f"tiles.break_length is {settings.break_length} bp; it must be at least the length of a window, {seq_len} bp."
        )
    return _stride("stride_train", settings, seq_len), _stride("stride_test", settings, seq_len)


def _drop_unusable(
    tiles: pd.DataFrame, settings: TilesSection, bin_size: int, unknown: pd.DataFrame, unmappable: pd.DataFrame | None
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the tiles with enough known and mappable bases, and the number of dropped tiles by first applicable reason."""
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
    """Count contigs, tiles and bases, with their share, per split or fold; raise an InputError if one has no tiles."""
    column = "fold" if folds else "split"
    parts = range(folds) if folds else SPLITS
    for part in parts:
        if not tiles[column].eq(part).any():
            raise InputError(
                f"no tiles are left for the {column} {part}; dropped bases: {dropped['dropped_bases']}; dropped tiles: "
                f"{dropped['dropped_tiles']}."
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
    """Extend binned stretches to windows, and return them as a table of windows."""
    start, end = tiles["start"] - crop, tiles["end"] + crop
    name = tiles["chrom"] + ":" + start.astype(str) + "-" + end.astype(str)
    windows = tiles.assign(gene_id=name, window_start=start, window_end=end, strand="+", mask_start=0, mask_end=0)
    return windows[TILE_COLUMNS].reset_index(drop=True)


def _stride(key: str, settings: TilesSection, seq_len: int) -> int:
    """Return a stride in bp; a setting of at most 1 is a fraction of the window."""
    stride = getattr(settings, key)
    stride = round(stride * seq_len) if stride <= 1 else stride
    if stride < 1 or stride % settings.snap:
        raise InputError(f"tiles.{key} is {stride:.12g} bp; it must be a multiple of tiles.snap, {settings.snap} bp.")
    return int(stride)


def place_tiles(contigs: pd.DataFrame, length: int, stride: np.ndarray, snap: int = 1) -> pd.DataFrame:
    """Place stretches of `length` bp at regular intervals in each contig.

    Parameters
    ----------
    contigs: pandas.DataFrame
        chrom, start, end and further columns.
    length: int
        Length of a stretch, bp.
    stride: numpy.ndarray, shape=(len(contigs),), dtype=int
        Distance between the starts of consecutive stretches of each contig, bp.
    snap: int
        The first stretch of a contig starts at the first multiple of this value in the contig. Default 1.

    Returns
    -------
    pandas.DataFrame
        The columns of `contigs`, one row per stretch, in the order of the contigs.

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
    """Return the fraction of unmappable bins of each tile.

    A bin is unmappable if at least a tenth of its bases are. For regions longer than a bin, this is Basenji's rule, which
    counts every bin that a region touches, except the first and the last if less than a tenth of that bin is covered.

    Parameters
    ----------
    tiles: pandas.DataFrame, n rows
        chrom, start, end of the binned part of each tile, all of the same length.
    unmappable: pandas.DataFrame
        chrom, start, end.
    bin_size: int
        Length of a bin, bp.

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
    """Sample at least one tile of each split and fold, keeping their order; `size` is a fraction if <= 1, else a number."""
    share = size if size <= 1 else min(size / max(len(tiles), 1), 1)
    rng = np.random.default_rng(seed)
    rows = [
        rng.choice(group, max(1, round(share * len(group))), replace=False)
        for _, group in sorted(tiles.groupby(["split", "fold"]).indices.items())
    ]
    return tiles.iloc[np.sort(np.concatenate(rows, dtype=np.int64))] if rows else tiles
