"""Compute the labels of windows, binned and transformed coverage, from BigWig tracks.

`CoverageReader` defines the order of the steps; docs/coverage.md explains them to users.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyBigWig

from cisnake.data.coverage import bins as coverage_bins
from cisnake.data.coverage.bigwig import match_names, open_bigwig
from cisnake.data.coverage.quantile_clip import ClippedRows, find_limits
from cisnake.data.coverage.tracks import SUM_STATS
from cisnake.data.coverage.transform import TargetTransform, transform_of
from cisnake.data.genome import intersect, read_regions
from cisnake.data.windows import UNMAPPABLE_SHARE
from cisnake.errors import InputError, unknown_name
from cisnake.sections import TargetsSection

MISSING_CHROMOSOME = ("error", "zeros")

# Bases by which blacklisted regions are widened at either end.
_BLACKLIST_MARGIN = 20
# Minimum bins per window for a baseline other than 0.
_BASELINE_BINS = 8
# Base values held in memory at a time.
_BLOCK_VALUES = 1 << 22
# Windows sampled to find negative labels.
_SAMPLE = 32
# Names listed in an error message.
_NAMES = 10


@dataclass(frozen=True)
class CoverageSettings:
    """Processing of coverage that is common to all tracks.

    Parameters
    ----------
    order: str
        "new" (default) or "old"; see `CoverageReader`.
    interpolate_nan: bool
        Fill missing values of bases by linear interpolation between their neighbours. Default False: fill with 0.
    blacklist: str or Path, optional
        BED of regions whose coverage is clipped to the baseline of the window.
    blacklist_quantile: float
        The baseline, as a quantile of the bases of a window. Default 0.5.
    unmappable: str or Path, optional
        BED of regions whose bins are clipped by `umap_clip`.
    umap_clip: float
        Unmappable bins are clipped to this quantile of the bins of their window. Default 1: no clipping.
    missing_chromosome: str
        If a track lacks a chromosome that has windows: "error" (default), or "zeros" for coverage 0.

    Raises
    ------
    InputError
        A name is unknown, or a quantile is not between 0 and 1.
    """

    order: str = "new"
    interpolate_nan: bool = False
    blacklist: str | Path | None = None
    blacklist_quantile: float = 0.5
    unmappable: str | Path | None = None
    umap_clip: float = 1.0
    missing_chromosome: str = "error"

    def __post_init__(self) -> None:
        if self.missing_chromosome not in MISSING_CHROMOSOME:
            raise unknown_name("missing_chromosome", self.missing_chromosome, MISSING_CHROMOSOME)
        for name in ("blacklist_quantile", "umap_clip"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}: a quantile must be between 0 and 1.")

    @classmethod
    def from_targets(cls, targets: TargetsSection, blacklist: Path | None, unmappable: Path | None) -> CoverageSettings:
        """Return the settings of a configuration, with the local paths of its BED files, which may have been downloaded."""
        return cls(
            targets.transform_order,
            targets.interpolate_nan,
            blacklist,
            targets.blacklist_quantile,
            unmappable,
            targets.umap_clip,
            targets.missing_chromosome,
        )


@dataclass(frozen=True, eq=False)
class CoverageReader:
    """Reader of labels: call it with a slice of windows.

    The steps, in this order, for each window and track:

    1. read the values of the window's bases, and flip their sign if the track's scale is negative; values are 0 beyond the
       ends of the chromosome;
    2. with `interpolate_nan`, fill missing values by linear interpolation between their neighbours, with zeros assumed just
       outside the window;
    3. compute the baseline: the `blacklist_quantile` of the window's bases, or 0 if a value is missing or the window has
       fewer than 8 bins;
    4. clip blacklisted regions, widened by 20 bp, to [-baseline, baseline];
    5. set values that are still missing to 0;
    6. crop `crop` bases at either end;
    7. order "new": multiply by the absolute value of the track's scale;
    8. pool the bases of each bin by sum_stat: sum, mean, max, median, or peak, which is min(sqrt(4 mean), 1);
    9. apply the power of sum_stat: x^0.75, or with order "new" (1 + x)^power - 1;
    10. compress values above clip_soft;
    11. clip values to [-clip, clip];
    12. order "old": multiply by the absolute value of scale;
    13. clip unmappable bins, those at least one tenth covered by unmappable regions, to the `umap_clip` quantile of the
        window's bins.

    For windows on the minus strand, bins are then reversed and each track is swapped with its strand_pair. Steps 7, 9, 10 and
    12 are `transform.forward`, which applies scale after pooling: the result is the same except for peak.

    Parameters
    ----------
    tracks: pandas.DataFrame
        As from `tracks.read_tracks`; the format of all tracks must be bigwig.
    windows: pandas.DataFrame, N rows
        chrom, window_start, window_end, strand. All windows have the same length; they may extend beyond chromosome ends.
    sizes: mapping of str to int
        Chromosome lengths of the genome. Tracks may name chromosomes with or without `chr`.
    bin_size: int
        Bin size in bp.
    crop: int
        bp without bins at either end of a window. Default 0.
    settings: CoverageSettings

    Attributes
    ----------
    transform: TargetTransform
        Its `inverse` converts labels to pooled coverage.
    missing: pandas.DataFrame
        identifier, chrom: the chromosomes of windows that tracks lack.

    Raises
    ------
    InputError
        A track is not a BigWig, is of another assembly, or lacks a chromosome although missing_chromosome is "error"; bins do
        not fill the window; or a BED file cannot be read.
    """

    tracks: pd.DataFrame
    windows: pd.DataFrame
    sizes: Mapping[str, int]
    bin_size: int
    crop: int = 0
    settings: CoverageSettings = CoverageSettings()
    transform: TargetTransform = field(init=False)
    missing: pd.DataFrame = field(init=False)
    _blacklist: pd.DataFrame | None = field(init=False, repr=False)
    _unmappable: pd.DataFrame | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        settings, windows = self.settings, self.windows[["chrom", "window_start", "window_end", "strand"]]
        length = (windows["window_end"] - windows["window_start"]).unique()
        if len(length) != 1 or self.bins * self.bin_size != length[0] - 2 * self.crop or self.bins < 1:
            raise InputError(
                f"windows of {', '.join(map(str, length))} bp minus {self.crop} bp at either end are not a multiple of the "
                f"bin size, {self.bin_size} bp: change the window length."
            )
        other = self.tracks[self.tracks["format"] != "bigwig"]
        if len(other):
            raise InputError(f"{other['file'].iloc[0]} is not a BigWig: convert it with make_track.py.")
        self._set("windows", windows.reset_index(drop=True))
        self._set("transform", transform_of(self.tracks, settings.order))
        blacklist = None
        if settings.blacklist is not None:
            blacklist = read_regions(settings.blacklist, self.sizes)
            blacklist["start"] -= _BLACKLIST_MARGIN
            blacklist["end"] += _BLACKLIST_MARGIN
        self._set("_blacklist", blacklist)
        clips = settings.unmappable is not None and settings.umap_clip < 1
        self._set("_unmappable", read_regions(str(settings.unmappable), self.sizes) if clips else None)
        self._set("missing", self._missing_chromosomes())

    def __call__(self, rows: slice) -> np.ndarray:
        """Return the labels of a slice of windows.

        Parameters
        ----------
        rows: slice
            Slice of the rows of `windows`.

        Returns
        -------
        numpy.ndarray, shape=(n, tasks, bins), dtype=float32
            Bins are in the direction of each window's strand.

        Raises
        ------
        InputError
            A value is not finite, in the file or after the transform. The message names the file and the position.
        """
        windows = self.windows.iloc[rows].reset_index(drop=True)
        blacklisted = _pieces(windows, self._blacklist)
        unmappable = self._unmappable_bins(windows)
        reverse = (windows["strand"] == "-").to_numpy()
        labels = np.empty((len(windows), len(self.tracks), self.bins), np.float32)
        step = max(1, _BLOCK_VALUES // self._length)
        for task, (file, pair) in enumerate(zip(self.tracks["file"], self.tracks["strand_pair"])):
            with open_bigwig(file) as track:
                names = match_names(file, track, self.sizes)
                for first in range(0, len(windows), step):
                    block = slice(first, min(first + step, len(windows)))
                    values = self._read(track, names, windows.iloc[block], file)
                    if self.tracks["scale"].iloc[task] < 0:
                        np.negative(values, out=values)
                    self._mask(values, blacklisted[blacklisted["row"].between(block.start, block.stop - 1)], block.start)
                    binned = self._bins(task, values, windows.iloc[block])
                    if unmappable is not None:
                        coverage_bins.cut_unmappable(binned, unmappable[block], self.settings.umap_clip)
                    block_labels = labels[block]
                    block_labels[~reverse[block], task] = binned[~reverse[block]]
                    block_labels[reverse[block], pair] = binned[reverse[block], ::-1]
        return labels

    @property
    def bins(self) -> int:
        """Number of bins per window."""
        return (self._length - 2 * self.crop) // self.bin_size

    @property
    def _length(self) -> int:
        return int(self.windows["window_end"].iloc[0] - self.windows["window_start"].iloc[0]) if len(self.windows) else 0

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _missing_chromosomes(self) -> pd.DataFrame:
        """Return the chromosomes of windows that tracks lack; raise if the settings do not allow any."""
        chroms, rows = self.windows["chrom"].unique(), []
        for identifier, file in zip(self.tracks["identifier"], self.tracks["file"]):
            with open_bigwig(file) as track:
                names = match_names(file, track, self.sizes)
            rows += [(identifier, chrom) for chrom in chroms if chrom not in names]
        missing = pd.DataFrame(rows, columns=["identifier", "chrom"])
        if len(missing) and self.settings.missing_chromosome == "error":
            missing_chroms, incomplete = missing["chrom"].unique(), missing["identifier"].unique()
            raise InputError(
                f"tracks {_list_names(incomplete)} have no data on {_list_names(missing_chroms)}, which have windows: exclude "
                "these chromosomes (tiles.exclude_chromosomes and annotation.exclude_chromosomes), or set "
                "targets.missing_chromosome to zeros."
            )
        return missing

    def _unmappable_bins(self, windows: pd.DataFrame) -> np.ndarray | None:
        """Return which bins are unmappable, shape=(n, bins), on the forward strand."""
        if self._unmappable is None:
            return None
        bases = coverage_bins.count_covered(
            _pieces(windows, self._unmappable, self.crop), len(windows), self.bins, self.bin_size
        )
        return bases >= UNMAPPABLE_SHARE * self.bin_size

    def _read(self, track: pyBigWig.pyBigWig, names: Mapping[str, str], windows: pd.DataFrame, file: str) -> np.ndarray:
        """Return the value of each base, shape=(n, length), dtype=float32; NaN if the track has no value."""
        values = np.zeros((len(windows), self._length), np.float32)
        for row, (chrom, start, end) in enumerate(zip(windows["chrom"], windows["window_start"], windows["window_end"])):
            inner_start, inner_end = max(start, 0), min(end, self.sizes[chrom])
            if chrom in names and inner_start < inner_end:
                values[row, inner_start - start : inner_end - start] = track.values(
                    names[chrom], inner_start, inner_end, numpy=True
                )
        infinite = np.argwhere(np.isinf(values))
        if len(infinite):
            row, base = infinite[0]
            window = windows.iloc[row]
            raise InputError(f"{file} is infinite at {window['chrom']}:{window['window_start'] + base}: regenerate the track.")
        return values

    def _mask(self, values: np.ndarray, blacklisted: pd.DataFrame, first_row: int) -> None:
        """Fill missing values and clip blacklisted bases to the baseline, in place."""
        has_missing = coverage_bins.fill_missing(values, self.settings.interpolate_nan)
        for row, pieces in blacklisted.groupby("row"):
            row_values = values[int(row) - first_row]
            use_baseline = self.settings.interpolate_nan or not has_missing[int(row) - first_row]
            use_baseline = use_baseline and self.bins >= _BASELINE_BINS
            baseline = float(np.quantile(row_values, self.settings.blacklist_quantile)) if use_baseline else 0.0
            coverage_bins.cut_to_baseline(row_values, zip(pieces["start"], pieces["end"]), baseline)

    def _bins(self, task: int, values: np.ndarray, windows: pd.DataFrame) -> np.ndarray:
        """Return the bins of a track, shape=(n, bins), dtype=float32, on the forward strand."""
        track, order = self.tracks.iloc[task], self.settings.order
        scale = abs(track["scale"])
        inner, how = values[:, self.crop : values.shape[1] - self.crop], SUM_STATS[track["sum_stat"]][0]
        pooled = coverage_bins.pool(inner, how, self.bin_size, scale if order == "new" else 1.0)
        limit = track["clip"] * (scale if order == "old" else 1)
        # Non-finite values raise an error below that names their position.
        with np.errstate(all="ignore"):
            binned = np.clip(self.transform.of_task(task).forward(pooled), -limit, limit).astype(np.float32)
        not_finite = np.argwhere(~np.isfinite(binned))
        if len(not_finite):
            row, bin_index = not_finite[0]
            window = windows.iloc[row]
            start = window["window_start"] + self.crop + bin_index * self.bin_size
            raise InputError(
                f"{track['file']}: the bin {window['chrom']}:{start}-{start + self.bin_size} is {pooled[row, bin_index]:g}, "
                f"which is not finite after {track['sum_stat']} with scale {track['scale']:g} and order {order}: coverage must "
                "not be negative if sum_stat takes a power (a negative scale flips the sign), and the result must fit into "
                "float32."
            )
        return binned


def _pieces(windows: pd.DataFrame, regions: pd.DataFrame | None, crop: int = 0) -> pd.DataFrame:
    """Return the intersections of regions with cropped windows: row of the window, start and end in it; empty for None."""
    if regions is None:
        return pd.DataFrame(columns=["row", "start", "end"], dtype=np.int64)
    spans = {"row": np.arange(len(windows)), "chrom": windows["chrom"]}
    spans |= {"start": windows["window_start"] + crop, "end": windows["window_end"] - crop}
    overlaps = intersect(pd.DataFrame(spans), regions)
    origins = windows["window_start"].to_numpy()[overlaps["row"]] + crop
    return pd.DataFrame({"row": overlaps["row"], "start": overlaps["start"] - origins, "end": overlaps["end"] - origins})


def _list_names(names: np.ndarray) -> str:
    """Format names for an error message: the first few, and the number of further ones."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def negative_tracks(reader: CoverageReader) -> list[str]:
    """Return the identifiers of tracks with negative labels in a sample of the windows.

    The sample has at most 32 evenly spaced windows, fewer if their labels would take too much memory.
    """
    max_windows = min(_SAMPLE, max(1, _BLOCK_VALUES // (reader.bins * len(reader.tracks))))
    sample = slice(None, None, -(-len(reader.windows) // max_windows))
    negative = reader(sample).min(axis=2) < 0
    reverse = (reader.windows["strand"].iloc[sample] == "-").to_numpy()
    negative[reverse] = negative[reverse][:, reader.tracks["strand_pair"]]
    return reader.tracks["identifier"][negative.any(axis=0)].tolist()


def clipped(reader: CoverageReader, quantile: float, processes: int = 1) -> Callable[[slice], np.ndarray]:
    """Return a reader that also clips each task at a quantile of its absolute labels in all windows.

    All windows are read once to find the quantiles. If `quantile` is 1, nothing is clipped and `reader` itself is returned.

    Parameters
    ----------
    reader: CoverageReader
    quantile: float
        Quantile from 0 to 1.
    processes: int
        Number of processes that read. Default 1: only this process.

    Returns
    -------
    callable
        Takes a slice of windows and returns labels, as `reader` does.
    """
    if quantile >= 1:
        return reader
    rows = max(1, _BLOCK_VALUES // (reader.bins * len(reader.tracks)))
    return ClippedRows(reader, find_limits(reader, len(reader.windows), quantile, rows, processes))
