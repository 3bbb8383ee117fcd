"""Scout a coverage run: how spiky tracks are, whether strands are swapped, and how much sequence a bin needs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.data.coverage import CoverageReader
from cisnake.data.genome import Genome, match_chromosomes, overlaps
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.program import Progress
from cisnake.scout.grid import Grid, WordCounts
from cisnake.scout.ridge_scores import Fitted, Prediction, choose_columns, predict_from_words, smallest_good, standard_errors

CONTEXTS = (100, 200, 500, 1000, 2000)
"""Bases around the middle of a bin in which words are counted."""

EXTREME_SHARE = 0.25
"""Coverage is extreme if the highest thousandth of the bins holds more than this share of the total."""

CLIP_PCT = 0.999
"""Quantile to which extreme tracks should be limited."""

_MAX_TRACKS = 48
_MAX_TILES = {"train": 400, "val": 200}
# Base values that are read at most.
_MAX_VALUES = 4e8
_MAX_BINS = {"train": 6000, "val": 2000}
_TOP = 0.001
_CONSTANT = 0.999
# Correlation with strands from which a track is taken to be of one strand.
_STRAND_R = 0.05
_K = 5


@dataclass(frozen=True, eq=False)
class CoverageFindings:
    """What scouting found in a coverage run.

    Attributes
    ----------
    tracks: pandas.DataFrame
        One row per track: track, mean, zero (share of bins without coverage), top (share of the total in the highest thousandth
        of the bins), clip_soft (0.999 quantile), constant; strand (of the table, or guessed from the identifier), strand_r
        (correlation with genes on + rather than -), looks (+, -, or empty).
    n_tracks: int
        Tracks of the run; of many, a part is looked at.
    windows: pandas.DataFrame
        One row per stretch of sequence around a bin: bases, score, below_best, standard_error, recommended.
    n_tiles: dict of str to int
        Tiles looked at, and `bins` of the ridge regression, by split.
    bin_size, crop, length: int
        Of the run, bp.
    hints: list of str
    """

    tracks: pd.DataFrame
    n_tracks: int
    windows: pd.DataFrame
    n_tiles: dict[str, int]
    bin_size: int
    crop: int
    length: int
    hints: list[str]

    @property
    def bins(self) -> int:
        """Number of bins per window."""
        return (self.length - 2 * self.crop) // self.bin_size

    @property
    def is_extreme(self) -> bool:
        """Whether the coverage of a track is extreme."""
        return bool((self.tracks["top"] > EXTREME_SHARE).any())

    @property
    def context(self) -> int:
        """Bases around a bin that it needs."""
        return int(self.windows.loc[self.windows["recommended"], "bases"].iloc[0])


def choose_tracks(tracks: pd.DataFrame) -> pd.DataFrame:
    """Return the tracks to look at: all, or at most 48 at even distances in the table and with their strand partners.

    Parameters
    ----------
    tracks: pandas.DataFrame
        As from `read_tracks`. The result has the same columns, with `strand_pair` counting its own rows.
    """
    if len(tracks) <= _MAX_TRACKS:
        return tracks
    pairs = tracks["strand_pair"].to_numpy()
    rows = np.linspace(0, len(tracks) - 1, _MAX_TRACKS // 2).round().astype(int)
    rows = np.unique(np.concatenate([rows, pairs[rows]]))
    return tracks.iloc[rows].assign(strand_pair=np.searchsorted(rows, pairs[rows])).reset_index(drop=True)


def choose_tiles(tiles: pd.DataFrame, folds: int, tracks: int) -> pd.DataFrame:
    """Return training and validation tiles at even distances, with the column `role`; with folds, those of the first fold.

    Parameters
    ----------
    tiles: pandas.DataFrame
        As from `read_genes_table`.
    folds, tracks: int
        Number of folds, and of tracks that are read.
    """
    tiles = tiles.assign(role=split_for_fold(tiles, 0, folds))
    length = int((tiles["window_end"] - tiles["window_start"]).iloc[0])
    share = min(1.0, _MAX_VALUES / (sum(_MAX_TILES.values()) * length * tracks))
    parts = []
    for role, most in _MAX_TILES.items():
        part = tiles[tiles["role"] == role]
        if part.empty:
            raise InputError(f"there are no {'training' if role == 'train' else 'validation'} tiles: check the section splits.")
        n = min(len(part), max(int(most * share), 8))
        parts.append(part.iloc[np.linspace(0, len(part) - 1, n).round().astype(int)])
    return pd.concat(parts, ignore_index=True)


def scout_coverage(
    reader: CoverageReader, tiles: pd.DataFrame, n_tracks: int, genome: Genome, genes: pd.DataFrame
) -> CoverageFindings:
    """Look at a sample of training and validation tiles.

    Parameters
    ----------
    reader: CoverageReader
        Of the tracks of `choose_tracks` and the windows `tiles`.
    tiles: pandas.DataFrame
        As from `choose_tiles`.
    n_tracks: int
        Tracks of the run.
    genome: Genome
    genes: pandas.DataFrame
        chrom, start, end, strand of annotated genes.
    """
    values = np.concatenate([reader(slice(i, i + 16)) for i in range(0, len(tiles), 16)])
    train = (tiles["role"] == "train").to_numpy()
    places = _bin_places(tiles, reader)
    tracks = _describe(reader.tracks, values[train])
    strands = _strand_correlation(places[np.repeat(train, reader.bins)], values[train], genes, genome)
    tracks = tracks.assign(strand=_strands(reader.tracks), strand_r=strands)
    tracks["looks"] = np.select([tracks["strand_r"] > _STRAND_R, tracks["strand_r"] < -_STRAND_R], ["+", "-"], "")
    windows, n_bins = _score_contexts(places, values, np.repeat(train, reader.bins), genome)
    length = int((tiles["window_end"] - tiles["window_start"]).iloc[0])
    n = {"train": int(train.sum()), "val": int((~train).sum())} | {f"bins_{role}": n for role, n in n_bins.items()}
    hints = [*_swapped(reader.tracks, tracks), *_odd_tracks(tracks)]
    return CoverageFindings(tracks, n_tracks, windows, n, reader.bin_size, reader.crop, length, hints)


def _bin_places(tiles: pd.DataFrame, reader: CoverageReader) -> pd.DataFrame:
    """Return the bins of the tiles, tile by tile: chrom, start, end."""
    offsets = reader.crop + reader.bin_size * np.arange(reader.bins)
    start = (tiles["window_start"].to_numpy()[:, None] + offsets).ravel()
    return pd.DataFrame(
        {"chrom": np.repeat(tiles["chrom"].to_numpy(), reader.bins), "start": start, "end": start + reader.bin_size}
    )


def _describe(tracks: pd.DataFrame, values: np.ndarray) -> pd.DataFrame:
    rows = []
    for identifier, track in zip(tracks["identifier"], np.abs(values.transpose(1, 0, 2)).reshape(len(tracks), -1), strict=True):
        track = np.sort(track.astype(np.float64))
        total, n_top = track.sum(), max(1, round(_TOP * len(track)))
        equal = np.unique(track, return_counts=True)[1].max() / len(track)
        rows.append(
            {
                "track": identifier,
                "mean": track.mean(),
                "zero": float((track == 0).mean()),
                "top": track[-n_top:].sum() / total if total else np.nan,
                "clip_soft": float(f"{np.quantile(track, 1 - _TOP):.2g}"),
                "constant": bool(equal > _CONSTANT),
            }
        )
    return pd.DataFrame(rows)


def _strands(tracks: pd.DataFrame) -> list[str]:
    """Return the strand of each track that has a partner: of the table, or guessed from its identifier."""
    found = []
    for row, (identifier, strand, pair) in enumerate(
        zip(tracks["identifier"], tracks["strand"], tracks["strand_pair"], strict=True)
    ):
        name = identifier.lower()
        guess = "+" if name.endswith(("+", "plus", "fwd", "forward", "pos")) else ""
        guess = "-" if name.endswith(("-", "minus", "rev", "reverse", "neg")) else guess
        found.append((strand or guess) if pair != row else "")
    return found


def _strand_correlation(places: pd.DataFrame, values: np.ndarray, genes: pd.DataFrame, genome: Genome) -> np.ndarray:
    """Return the correlation of each track's log coverage with the strand of genes, over bins in genes of one strand only."""
    names = match_chromosomes(genes["chrom"], genome.sizes, "annotation.gtf")
    genes = genes.assign(chrom=genes["chrom"].map(names)).dropna(subset=["chrom"])
    plus, minus = (overlaps(places, genes[genes["strand"] == strand]) for strand in "+-")
    one = plus != minus
    strand = np.where(plus, 1.0, -1.0)[one]
    flat = np.log1p(np.abs(values.transpose(1, 0, 2).reshape(values.shape[1], -1)[:, one].astype(np.float64)))
    if not 0 < plus[one].sum() < one.sum():
        return np.full(len(flat), np.nan)
    deviations, strand = flat - flat.mean(axis=1, keepdims=True), strand - strand.mean()
    size = np.sqrt((deviations**2).sum(axis=1) * (strand**2).sum())
    return np.divide(deviations @ strand, size, out=np.full(len(flat), np.nan), where=size > 0)


def _score_contexts(
    places: pd.DataFrame, values: np.ndarray, train: np.ndarray, genome: Genome
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Score words in stretches of sequence around bins, as `ridge_scores` does for genes; the labels are log coverage."""
    half = tuple(bases // 2 for bases in CONTEXTS)
    middle = ((places["start"] + places["end"]) // 2).to_numpy()
    inside = (middle >= half[-1]) & (middle + half[-1] <= places["chrom"].map(genome.sizes).to_numpy())
    rows = {}
    for role, chosen in (("train", train), ("val", ~train)):
        candidates = np.flatnonzero(chosen & inside)
        if not len(candidates):
            raise InputError("no bin has 1,000 bases of its chromosome on either side: chromosomes are too short to scout.")
        n = min(len(candidates), _MAX_BINS[role])
        rows[role] = candidates[np.linspace(0, len(candidates) - 1, n).round().astype(int)]
    flat = np.log1p(np.maximum(values.transpose(0, 2, 1).reshape(len(places), -1), 0))
    fitted = choose_columns(flat[rows["train"]], flat[rows["val"]], {})
    if not fitted.n_levels:
        raise InputError("no track has coverage that differs between bins, both in training and in validation tiles.")
    grid = Grid((0, *half), (0, *half))
    counts = {
        role: WordCounts(
            np.stack(
                [
                    genome.codes(chrom, at - half[-1], at + half[-1])
                    for chrom, at in zip(places["chrom"].iloc[chosen], middle[chosen], strict=True)
                ]
            ),
            grid,
            _K,
        )
        for role, chosen in rows.items()
    }
    predictions, progress = [], Progress("stretches around bins", len(half))
    for side in half:
        predictions.append(
            predict_from_words(counts["train"].window(side, side), counts["val"].window(side, side), fitted, "canonical")
        )
        progress.advance()
    return _table(fitted, predictions), {role: len(chosen) for role, chosen in rows.items()}


def _table(fitted: Fitted, predictions: list[Prediction]) -> pd.DataFrame:
    scores = np.array([prediction.score for prediction in predictions])
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else 0
    errors = standard_errors(fitted, predictions[best], predictions)
    chosen = smallest_good(CONTEXTS, scores, errors)
    return pd.DataFrame(
        {
            "bases": CONTEXTS,
            "score": scores,
            "below_best": scores[best] - scores,
            "standard_error": errors,
            "recommended": np.arange(len(scores)) == chosen,
        }
    )


def _swapped(tracks: pd.DataFrame, described: pd.DataFrame) -> list[str]:
    """Return a hint for each pair whose strands look swapped or alike."""
    hints = []
    for row, pair in enumerate(tracks["strand_pair"]):
        if pair <= row:
            continue
        names, looks = described["track"][[row, pair]].tolist(), described["looks"][[row, pair]].tolist()
        strands = described["strand"][[row, pair]].tolist()
        if "" in looks:
            continue
        if looks[0] == looks[1]:
            hints.append(
                f"Tracks {names[0]} and {names[1]} are a strand pair, but both are higher in genes on the {looks[0]} strand: "
                "check strand_pair and the files."
            )
        elif "" not in strands and looks != strands:
            hints.append(
                f"Tracks {names[0]} and {names[1]} look swapped: {names[0]} is of the {strands[0]} strand, but higher in genes "
                f"on the {looks[0]} strand. Exchange the files, unless the assay reads the opposite strand."
            )
    return hints


def _odd_tracks(described: pd.DataFrame) -> list[str]:
    hints = [
        f"{name} has the same value in more than {_CONSTANT:.1%} of its bins: nothing can be learned there. Remove it from the "
        "table of tracks, or use larger bins."
        for name in described["track"][described["constant"]]
    ]
    for name, top, clip in described[described["top"] > EXTREME_SHARE][["track", "top", "clip_soft"]].itertuples(index=False):
        hints.append(
            f"{name}: the highest thousandth of the bins holds {top:.0%} of all coverage and would dominate training. Set "
            f"clip_soft to {clip:g} in the table of tracks, or targets.clip_pct to {CLIP_PCT} for all tracks."
        )
    return hints
