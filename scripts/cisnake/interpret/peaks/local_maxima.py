"""Local maxima of attribution, the highest positions of each gene, as in the first version of Decima."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.interpret.peaks.spans import Blocks, Caller, highest_apart, span_table


@dataclass(frozen=True)
class LocalMaxima:
    """Settings for peaks that are local maxima of either sign.

    Attributes
    ----------
    n: int, optional
        Number of peaks to keep per sign and gene, the highest first; None keeps all. Default is 5.
    min_dist: int
        Minimum distance between two peaks, in bases. Each peak extends by half of it on both sides, so that peaks of one sign
        never overlap. Default is 6.
    height: float
        Minimum height of a maximum, in standard deviations of the projected attributions of the whole file, because the scale
        of attributions differs between models and contrasts. Default is 3, which 1 in 370 positions of normal noise exceeds in
        absolute value.

    Raises
    ------
    InputError
        A setting is out of range.
    """

    n: int | None = 5
    min_dist: int = 6
    height: float = 3.0

    def __post_init__(self) -> None:
        _check(self.n, self.min_dist, self.height)

    def fit(self, blocks: Blocks) -> Caller:
        """Return a caller of local maxima, with the minimum height in units of the scores.

        Parameters
        ----------
        blocks: Blocks
            Read once.
        """
        least, half = self.height * _standard_deviation(blocks()), (self.min_dist - 1) // 2

        def call(scores: np.ndarray) -> pd.DataFrame:
            maxima = [_highest(sign * scores, self.n, self.min_dist, least) for sign in (1, -1)]
            row, summit = (np.concatenate(parts) for parts in zip(*maxima, strict=True))
            sign = np.repeat([1, -1], [len(rows) for rows, _ in maxima])
            start, end = np.maximum(summit - half, 0), np.minimum(summit + half + 1, scores.shape[1])
            return span_table(scores, row, start, end, sign, summit=summit)

        return call


def find_attr_peaks(
    attr: np.ndarray, tss_pos: int | None = None, n: int | None = 5, min_dist: int = 6, height: float = 0.1
) -> pd.DataFrame:
    """Return the highest local maxima of attribution in one window.

    Only positive peaks are returned, as in the first version of Decima; negate `attr` for negative peaks. A maximum is higher
    than its neighbours on both sides. A plateau is represented by its middle, the more upstream of two middle positions. The
    ends of the window are not maxima.

    Parameters
    ----------
    attr: numpy.ndarray, shape=(4, length) or (length,)
        Attribution; channels are summed.
    tss_pos: int, optional
        Position of the TSS in the window. Default is None: from_tss is empty.
    n: int, optional
        Number of maxima to keep, the highest first; None keeps all. Default is 5.
    min_dist: int
        If two maxima are closer than this many bases, the lower is dropped (ties: the more downstream). Default is 6.
    height: float
        Minimum height, in units of the attribution, which are those of the score. The default suits only log fold changes.
        `call_peaks` uses a height in standard deviations instead. Default is 0.1.

    Returns
    -------
    pandas.DataFrame
        peak (position in the window), height, from_tss; the highest first (ties: the more upstream).

    Raises
    ------
    InputError
        A parameter is out of range, or attributions are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks import find_attr_peaks
    >>> peaks = find_attr_peaks(np.array([0, 2, 0, 0, 0, 0, 0, 3, 3, 0]), tss_pos=5, min_dist=3)
    >>> peaks[["peak", "height", "from_tss"]].to_numpy().tolist()
    [[7, 3, 2], [1, 2, -4]]
    """
    _check(n, min_dist, height)
    scores = np.asarray(attr)
    scores = (scores.sum(axis=0) if scores.ndim == 2 else scores)[None]
    if not np.isfinite(scores).all():
        raise InputError("attributions are not finite: the model has probably diverged. Check its training log.")
    _, peak = _highest(scores, n, min_dist, height)
    order = np.lexsort((peak, -scores[0, peak]))
    peaks = pd.DataFrame({"peak": peak[order], "height": scores[0, peak[order]]})
    return peaks.assign(from_tss=np.nan if tss_pos is None else peaks["peak"] - tss_pos)


def _check(n: int | None, min_dist: int, height: float) -> None:
    if (n is not None and n < 1) or min_dist < 1 or not height >= 0:
        raise InputError(
            f"peaks: n ({n}) and min_dist ({min_dist}) must be at least 1, and height ({height}) must not be negative."
        )


def _highest(scores: np.ndarray, n: int | None, min_dist: int, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and positions of the maxima to keep, sorted by row and position."""
    row, position = _maxima(scores)
    size = scores[row, position]
    high = size >= height
    row, position, size = row[high], position[high], size[high]
    kept = highest_apart(row, position, size, min_dist)
    if n is not None:
        # Maxima are in descending order, which a stable sort by row preserves within rows.
        kept = kept[np.argsort(row[kept], kind="stable")]
        firsts = np.searchsorted(row[kept], row[kept])
        kept = kept[np.arange(len(kept)) - firsts < n]
    kept = np.sort(kept)
    return row[kept], position[kept]


def _maxima(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and positions of all local maxima."""
    if scores.shape[1] < 3:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    steps = np.sign(np.diff(scores, axis=1)).astype(np.int8)
    # A maximum starts after a step up that is followed by a step down, with only level steps between.
    row, step = np.nonzero(steps)
    direction = steps[row, step]
    peak = np.flatnonzero((direction[:-1] > 0) & (direction[1:] < 0) & (row[:-1] == row[1:]))
    return row[peak], (step[peak] + 1 + step[peak + 1]) // 2


def _standard_deviation(blocks: Iterable[np.ndarray]) -> float:
    n, total, squares = 0, 0.0, 0.0
    for block in blocks:
        values = block.astype(np.float64)
        n, total, squares = n + values.size, total + values.sum(), squares + np.square(values).sum()
    # The mean of attributions is small relative to their spread, so the difference loses little precision.
    return float(np.sqrt(max(squares / n - (total / n) ** 2, 0))) if n else 0.0
