"""Coverage of windows: what BigWig tracks hold, as the values of bins that models are trained on.

`CoverageReader` describes the order of the steps, which docs/coverage.md explains to users.
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

# Bases by which regions of the blacklist are widened at either end.
_BLACKLIST_MARGIN = 20
# In windows of fewer bins the baseline is 0.
_BASELINE_BINS = 8
# Values of bases held at once.
_BLOCK_VALUES = 1 << 22
# Windows in which labels below 0 are looked for, and names that a message gives.
_SAMPLE = 32
_NAMES = 10


@dataclass(frozen=True)
class CoverageSettings:
    """What is done to coverage in all tracks alike.

    Parameters
    ----------
    order: str
        "new" (default) or "old"; see `CoverageReader`.
    interpolate_nan: bool
        Fill bases without a value by a straight line between their neighbours. Default False.
    blacklist: str or Path, optional
        BED of regions whose coverage is cut to the window's baseline.
    blacklist_quantile: float
        The baseline, as a quantile of the window's bases. Default 0.5.
    unmappable: str or Path, optional
        BED of regions whose bins are clipped by `umap_clip`.
    umap_clip: float
        Quantile of the bins of a window above which its unmappable bins are cut. Default 1, nothing is.
    missing_chromosome: str
        "error" (default), or "zeros" for tracks that lack a chromosome of a window.

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
                raise InputError(f"{name} is {getattr(self, name)}: a quantile lies between 0 and 1.")

    @classmethod
    def from_targets(cls, targets: TargetsSection, blacklist: Path | None, unmappable: Path | None) -> CoverageSettings:
        """Return the settings of a configuration, whose files of regions may have been fetched to another place."""
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
    """Reads the bins of windows: called with a slice of windows, it returns their labels.

    In this order, for each window and track:

    1. the values of the window's bases are read, their sign turned if the track's scale is below 0; beyond the ends of the
       chromosome they are 0;
    2. with `interpolate_nan`, bases without a value get one from the straight line between their neighbours, to zeros
       just outside of the window;
    3. the baseline is the `blacklist_quantile` of the window's bases, or 0 when a base has no value or the window has fewer
       than 8 bins;
    4. blacklisted regions, widened by 20 bp, are cut to [-baseline, baseline];
    5. bases that have no value yet become 0;
    6. `crop` bases at either end are dropped;
    7. order "new": values are multiplied by the track's scale, without its sign;
    8. the bases of a bin are pooled, as sum_stat says: sum, mean, max, median, or peak, sqrt(4 mean) cut at 1;
    9. the power of sum_stat is taken: x^0.75, or with order "new" (1 + x)^power - 1;
    10. values above clip_soft are compressed;
    11. values are cut to [-clip, clip];
    12. order "old": values are multiplied by scale, without its sign;
    13. bins of which unmappable regions cover a tenth are cut at the `umap_clip` quantile of the window's bins.

    Bins of minus-strand windows are then reversed, and tracks exchanged with their strand_pair. Steps 7, 9, 10 and 12 are
    `transform`.forward (which takes scale out of the pooling, with the same result but for peak).

    Parameters
    ----------
    tracks: pandas.DataFrame
        From `tracks.read_tracks`; all of format bigwig.
    windows: pandas.DataFrame, N rows
        chrom, window_start, window_end, strand; all windows are of one length, and may reach beyond chromosome ends.
    sizes: mapping of str to int
        Lengths of the genome's chromosomes. Tracks may name them with or without `chr`.
    bin_size: int
        bp.
    crop: int
        bp at either end of a window that have no bins. Default 0.
    settings: CoverageSettings

    Attributes
    ----------
    transform: TargetTransform
        What `inverse` takes back from labels to pooled coverage.
    missing: pandas.DataFrame
        identifier, chrom: which tracks lack which chromosomes of the windows.

    Raises
    ------
    InputError
        A track is not a BigWig, is of another assembly, or lacks a chromosome when that is an error; bins do not fill the
        window; a BED file cannot be read.
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
                f"bins of {self.bin_size} bp do not fill windows of {', '.join(map(str, length))} bp less {self.crop} bp at "
                "either end: choose a window that they do."
            )
        other = self.tracks[self.tracks["format"] != "bigwig"]
        if len(other):
            raise InputError(f"{other['file'].iloc[0]} is no BigWig: turn it into one with make_track.py.")
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
        """Return the labels of some windows.

        Parameters
        ----------
        rows: slice
            Of `windows`.

        Returns
        -------
        numpy.ndarray, shape=(n, tasks, bins), dtype=float32
            Bins in the direction of each window's strand.

        Raises
        ------
        InputError
            A value is not finite, in the file or after the transform; the message says where.
        """
        windows = self.windows.iloc[rows].reset_index(drop=True)
        masked = _pieces(windows, self._blacklist)
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
                    self._mask(values, masked[masked["row"].between(block.start, block.stop - 1)], block.start)
                    binned = self._bins(task, values, windows.iloc[block])
                    if unmappable is not None:
                        coverage_bins.cut_unmappable(binned, unmappable[block], self.settings.umap_clip)
                    of_block = labels[block]
                    of_block[~reverse[block], task] = binned[~reverse[block]]
                    of_block[reverse[block], pair] = binned[reverse[block], ::-1]
        return labels

    @property
    def bins(self) -> int:
        """How many bins a window has."""
        return (self._length - 2 * self.crop) // self.bin_size

    @property
    def _length(self) -> int:
        return int(self.windows["window_end"].iloc[0] - self.windows["window_start"].iloc[0]) if len(self.windows) else 0

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _missing_chromosomes(self) -> pd.DataFrame:
        """Return which tracks lack which chromosomes of the windows, if they may."""
        wanted, rows = self.windows["chrom"].unique(), []
        for identifier, file in zip(self.tracks["identifier"], self.tracks["file"]):
            with open_bigwig(file) as track:
                names = match_names(file, track, self.sizes)
            rows += [(identifier, chrom) for chrom in wanted if chrom not in names]
        missing = pd.DataFrame(rows, columns=["identifier", "chrom"])
        if len(missing) and self.settings.missing_chromosome == "error":
            lacked, lacking = missing["chrom"].unique(), missing["identifier"].unique()
            raise InputError(
                f"{_some(lacking)} without data on {_some(lacked)}, where there are windows: leave these chromosomes out "
                "(tiles.exclude_chromosomes and annotation.exclude_chromosomes), or set targets.missing_chromosome to zeros."
            )
        return missing

    def _unmappable_bins(self, windows: pd.DataFrame) -> np.ndarray | None:
        """Return which bins are unmappable, shape=(n, bins), forward."""
        if self._unmappable is None:
            return None
        bases = coverage_bins.count_covered(
            _pieces(windows, self._unmappable, self.crop), len(windows), self.bins, self.bin_size
        )
        return bases >= UNMAPPABLE_SHARE * self.bin_size

    def _read(self, track: pyBigWig.pyBigWig, names: Mapping[str, str], windows: pd.DataFrame, file: str) -> np.ndarray:
        """Return the value of each base, shape=(n, length), dtype=float32; NaN where the track has none."""
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
            place = windows.iloc[row]
            raise InputError(f"{file} is infinite at {place['chrom']}:{place['window_start'] + base}: make the track again.")
        return values

    def _mask(self, values: np.ndarray, masked: pd.DataFrame, first_row: int) -> None:
        """Fill bases without a value, and cut blacklisted ones to the baseline."""
        lacking = coverage_bins.fill_missing(values, self.settings.interpolate_nan)
        for row, pieces in masked.groupby("row"):
            of_row = values[int(row) - first_row]
            known = self.settings.interpolate_nan or not lacking[int(row) - first_row]
            known = known and self.bins >= _BASELINE_BINS
            baseline = float(np.quantile(of_row, self.settings.blacklist_quantile)) if known else 0.0
            coverage_bins.cut_to_baseline(of_row, zip(pieces["start"], pieces["end"]), baseline)

    def _bins(self, task: int, values: np.ndarray, windows: pd.DataFrame) -> np.ndarray:
        """Return the bins of a track, shape=(n, bins), dtype=float32, forward."""
        track, order = self.tracks.iloc[task], self.settings.order
        scale = abs(track["scale"])
        inner, how = values[:, self.crop : values.shape[1] - self.crop], SUM_STATS[track["sum_stat"]][0]
        pooled = coverage_bins.pool(inner, how, self.bin_size, scale if order == "new" else 1.0)
        limit = track["clip"] * (scale if order == "old" else 1)
        # What is not finite is refused below, with its place.
        with np.errstate(all="ignore"):
            binned = np.clip(self.transform.of_task(task).forward(pooled), -limit, limit).astype(np.float32)
        wrong = np.argwhere(~np.isfinite(binned))
        if len(wrong):
            row, at = wrong[0]
            place = windows.iloc[row]
            start = place["window_start"] + self.crop + at * self.bin_size
            raise InputError(
                f"{track['file']}: the bin {place['chrom']}:{start}-{start + self.bin_size} is {pooled[row, at]:g}, which "
                f"{track['sum_stat']} with scale {track['scale']:g} and order {order} makes no number: a power is taken of "
                "coverage that is not negative (a scale below 0 turns the sign), and the result must fit 32 bits."
            )
        return binned


def _pieces(windows: pd.DataFrame, places: pd.DataFrame | None, crop: int = 0) -> pd.DataFrame:
    """Return what regions cover of windows less their crop: row (of the window), start and end in it; none without regions."""
    if places is None:
        return pd.DataFrame(columns=["row", "start", "end"], dtype=np.int64)
    spans = {"row": np.arange(len(windows)), "chrom": windows["chrom"]}
    spans |= {"start": windows["window_start"] + crop, "end": windows["window_end"] - crop}
    found = intersect(pd.DataFrame(spans), places)
    first = windows["window_start"].to_numpy()[found["row"]] + crop
    return pd.DataFrame({"row": found["row"], "start": found["start"] - first, "end": found["end"] - first})


def _some(names: np.ndarray) -> str:
    """Return names as a sentence can hold them: a few, and how many more there are."""
    more = len(names) - _NAMES
    return ", ".join(names[:_NAMES]) + (f" and {more} more" if more > 0 else "")


def negative_tracks(reader: CoverageReader) -> list[str]:
    """Return the identifiers of tracks whose labels go below 0 in a sample of the windows.

    The sample is at most 32 windows, as far apart as they can be, fewer where that would be more labels than fit in memory.
    """
    most = min(_SAMPLE, max(1, _BLOCK_VALUES // (reader.bins * len(reader.tracks))))
    sample = slice(None, None, -(-len(reader.windows) // most))
    low = reader(sample).min(axis=2) < 0
    reverse = (reader.windows["strand"].iloc[sample] == "-").to_numpy()
    low[reverse] = low[reverse][:, reader.tracks["strand_pair"]]
    return reader.tracks["identifier"][low.any(axis=0)].tolist()


def clipped(reader: CoverageReader, quantile: float, processes: int = 1) -> Callable[[slice], np.ndarray]:
    """Return a reader that also cuts each task, at a quantile of the absolute values of all its bins in all windows.

    All windows are read once to find the quantiles, unless `quantile` is 1, at which nothing is cut.

    Parameters
    ----------
    reader: CoverageReader
    quantile: float
        0 to 1.
    processes: int
        How many read. Default 1, this one.
    """
    if quantile >= 1:
        return reader
    rows = max(1, _BLOCK_VALUES // (reader.bins * len(reader.tracks)))
    return ClippedRows(reader, find_limits(reader, len(reader.windows), quantile, rows, processes))
