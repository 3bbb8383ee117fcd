"""Windows of one data set that share bases with held-out windows of another one, if both are of the same genome."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.data.dataset.layout import open_dataset, read_codes, read_windows
from cisnake.data.genome import N, overlaps, reverse_complement
from cisnake.data.windows import split_for_fold

# Overlapping windows whose bases are compared, and the fraction of equal bases from which genomes are the same. Windows of
# different genomes agree in a quarter to a third; patched or masked versions of one genome in almost all.
_COMPARED, _EQUAL = 50, 0.9


def overlaps_held_out(h5_file: str | Path, other: str | Path, fold: int = 0) -> np.ndarray:
    """Return which windows of another data set share a base with validation or test windows of a data set.

    A network that trains on these windows has seen held-out sequence. Whether two data sets are of the same genome is decided
    by their bases at the same places, because imported data sets do not name their genome.

    Parameters
    ----------
    h5_file: str or Path
        The data set with held-out windows. Those of coverage count with as many bases on either side as they have, into which
        windows of held-out genes reach.
    other: str or Path
        Another data set, of the same genome or of another one. Its windows include their padding, into which training shifts
        them.
    fold: int
        Held-out fold of the first data set. Default 0.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool
        For each window of `other`; all False if genomes or names of chromosomes differ.
    """
    with open_dataset(h5_file) as first, open_dataset(other) as second:
        windows, others = read_windows(first), read_windows(second)
        if not _same_genome(first, windows, second, others):
            return np.zeros(len(others), bool)
        held_out = split_for_fold(windows, fold, int(first.attrs["n_folds"])) != "train"
        pad = int(second["pad"][()])
        # In coverage runs, windows of held-out genes reach beyond held-out tiles by less than a window.
        reach = int(first["seq_len"][()]) if first.attrs["bin_size"] else 0
        return overlaps(_widened(others, pad), _widened(windows[held_out], reach))


def _widened(windows: pd.DataFrame, bases: int) -> pd.DataFrame:
    places = windows[["chrom", "start", "end"]]
    return places.assign(start=places["start"] - bases, end=places["end"] + bases)


def _same_genome(first: h5py.File, windows: pd.DataFrame, second: h5py.File, others: pd.DataFrame) -> bool:
    """Whether overlapping windows have the same bases; False if there are none."""
    equal = known = 0
    for row, other in _overlapping_pairs(windows, others):
        a, b = windows.iloc[row], others.iloc[other]
        start, end = max(a["start"], b["start"]), min(a["end"], b["end"])
        bases = _forward(first, row, a)[start - a["start"] : end - a["start"]]
        other_bases = _forward(second, other, b)[start - b["start"] : end - b["start"]]
        both = (bases != N) & (other_bases != N)
        equal += int((bases == other_bases)[both].sum())
        known += int(both.sum())
    return known > 0 and equal >= _EQUAL * known


def _overlapping_pairs(windows: pd.DataFrame, others: pd.DataFrame) -> list[tuple[int, int]]:
    """Return rows of some overlapping windows of both tables, evenly spaced; all windows of a table have the same length."""
    pairs: list[tuple[int, int]] = []
    for chrom, part in windows.groupby("chrom", sort=False):
        rows = np.flatnonzero((others["chrom"] == chrom).to_numpy())
        rows = rows[np.argsort(others["start"].to_numpy()[rows], kind="stable")]
        if not len(rows):
            continue
        # Of the windows that start before the end of another one, the last reaches furthest.
        last = np.searchsorted(others["start"].to_numpy()[rows], part["end"].to_numpy()) - 1
        at = np.flatnonzero(last >= 0)
        at = at[others["end"].to_numpy()[rows[last[at]]] > part["start"].to_numpy()[at]]
        pairs += zip(part.index[at].tolist(), rows[last[at]].tolist(), strict=True)
    if not pairs:
        return []
    return [pairs[i] for i in np.unique(np.linspace(0, len(pairs) - 1, _COMPARED).round().astype(int))]


def _forward(file: h5py.File, row: int, window: pd.Series) -> np.ndarray:
    """Return the bases of a window on the + strand, without padding."""
    pad, length = int(file["pad"][()]), int(file["seq_len"][()])
    codes = read_codes(file, np.array([row]), pad, pad + length)[0]
    return reverse_complement(codes) if window["strand"] == "-" else codes
