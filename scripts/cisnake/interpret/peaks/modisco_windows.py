"""TF-MoDISco seqlets: windows whose summed attribution is larger than expected under a fitted null distribution."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import isotonic_regression

from cisnake.errors import InputError
from cisnake.interpret.peaks.spans import Blocks, Caller, as_blocks, call_spans, highest_apart, span_table

N_SAMPLED = 1_000_000
N_NULL = 10_000
_N_BINS = 1000
PERCENTILES = np.arange(5, 100, 5) / 100
LEAST_NULL = 0.95
LEAST_PASSING, MOST_PASSING = 0.03, 0.2


@dataclass(frozen=True)
class ModiscoWindows:
    """Settings of `tfmodisco_seqlets`.

    Attributes
    ----------
    window: int
        Number of bases to sum. Default is 21.
    flank: int
        Bases that separate windows from each other and from the ends of the gene window. Default is 10.
    precision: float
        Share of windows above the threshold that do not come from the null distribution. Default is 0.8.

    Raises
    ------
    InputError
        A setting is out of range.
    """

    window: int = 21
    flank: int = 10
    precision: float = 0.8

    def __post_init__(self) -> None:
        if self.window < 1 or self.flank < 0:
            raise InputError(
                f"peaks: window ({self.window}) must be at least 1, and flank ({self.flank}) must not be negative."
            )
        if not 0 < self.precision < 1:
            raise InputError(f"peaks: precision is {self.precision}: set it between 0 and 1.")

    def fit(self, blocks: Blocks) -> Caller:
        """Return a caller of windows, with thresholds computed from the scores; its spans exclude flanks.

        Parameters
        ----------
        blocks: Blocks
            Read twice.
        """
        above, below = _thresholds(_sample(blocks, self.window), self.precision)
        apart = self.window // 2 + self.flank + 1

        def call(scores: np.ndarray) -> pd.DataFrame:
            sums = _window_sums(scores, self.window)
            passes = (sums >= above) | (sums <= below)
            passes[:, : self.flank] = passes[:, max(sums.shape[1] - self.flank, 0) :] = False
            row, start = np.nonzero(passes)
            kept = highest_apart(row, start, np.abs(sums[row, start]), apart)
            row, start = row[kept], start[kept]
            return span_table(scores, row, start, start + self.window, np.where(sums[row, start] > 0, 1, -1))

        return call


def tfmodisco_seqlets(scores: np.ndarray | Blocks, window: int = 21, flank: int = 10, precision: float = 0.8) -> pd.DataFrame:
    """Return the initial seqlets of TF-MoDISco: windows of either sign with large summed attribution, and their flanks.

    Let v be the sum of each window. The method has four steps:

    1. Null distribution: a Laplace distribution around the mode of v, with one rate per side. The mode is found in two rounds:
       the fullest of 1000 bins is itself split into 1000 bins, and the mode is the centre of the fullest of these. The rate of
       a side is the greatest of those fitted to the percentiles 5 .. 95 of that side.
    2. Precision: for each sign, an isotonic regression on |v| separates windows (1) from 10,000 null values (0, weighted to the
       same total). Let y be its fitted value, and c = y / (1 - y) at the smallest |v|, clipped to [0.95, 1]. The precision at a
       threshold is 1 + c (1 - 1 / y).
    3. Threshold: the smallest |v| with the required precision. If less than 3 % or more than 20 % of windows pass, the
       threshold is the quantile of |v| at which exactly that share passes, for both signs together.
    4. Selection: windows of a gene are selected in descending order of |v|. A selected window excludes all windows that start
       within `window // 2 + flank` of its start.

    Null values are quantiles, not random draws, so the result is deterministic. With more than a million windows, the null
    distribution and the thresholds are computed from a million windows, evenly spread. The method follows Shrikumar et al. 2018
    (arXiv:1811.00416). tangermeme 1.6 differs: it takes the threshold from unsorted values.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or callable
        Projected attribution, one score per position. A callable must return an iterable of such arrays of consecutive genes.
        It is called three times, so that only one block is in memory. The block size does not affect the result.
    window: int
        Number of bases to sum. Default is 21.
    flank: int
        Bases added on both sides; windows without space for flanks are left out. Default is 10.
    precision: float
        Share of windows above the threshold that do not come from the null distribution. Default is 0.8.

    Returns
    -------
    pandas.DataFrame
        row (of the gene), start, end (half-open, in the window; includes flanks, which may overlap between neighbours),
        attribution (sum of the window without flanks); sorted by row and start. Empty if all windows have the same sum.

    Raises
    ------
    InputError
        A parameter is out of range, or scores are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret.peaks import tfmodisco_seqlets
    >>> scores = np.random.default_rng(0).laplace(size=(2, 200))
    >>> scores[1, 90:99] += 30
    >>> spans = tfmodisco_seqlets(scores, window=9, flank=3).sort_values("attribution")
    >>> spans[["row", "start", "end"]].to_numpy().tolist()[-1]
    [1, 87, 102]
    """
    blocks = as_blocks(scores)
    spans = call_spans(ModiscoWindows(window, flank, precision).fit(blocks), blocks())[["row", "start", "end", "attribution"]]
    return spans.assign(start=spans["start"] - flank, end=spans["end"] + flank)


def _window_sums(scores: np.ndarray, window: int) -> np.ndarray:
    """Return the sums of all windows, shape=(genes, length - window + 1), dtype=float64."""
    n = max(scores.shape[1] - window + 1, 0)
    # Not as differences of a cumulative sum: rounding would make equal windows unequal.
    sums = np.zeros((len(scores), n))
    for k in range(window):
        sums += scores[:, k : k + n]
    return sums


def _sample(blocks: Blocks, window: int) -> np.ndarray:
    """Return the sums of all windows, or of a stratified sample of a million windows."""
    shapes = [block.shape for block in blocks()]
    total = sum(n * max(length - window + 1, 0) for n, length in shapes)
    if total > N_SAMPLED:
        # With a constant step, the sample could consist of the same few positions of every gene.
        jitter = np.random.default_rng(0).random(N_SAMPLED)
        chosen = ((np.arange(N_SAMPLED) + jitter) * (total / N_SAMPLED)).astype(np.int64)
    else:
        chosen = np.arange(total)
    samples, first = [np.empty(0)], 0
    for block in blocks():
        sums = _window_sums(block, window).ravel()
        inside = chosen[slice(*np.searchsorted(chosen, [first, first + len(sums)]))]
        samples.append(sums[inside - first])
        first += len(sums)
    return np.concatenate(samples)


def _thresholds(values: np.ndarray, precision: float) -> tuple[float, float]:
    """Return the upper and lower threshold on window sums; infinite if no window passes."""
    if not len(values) or values.min() == values.max():
        return np.inf, -np.inf
    null = _null(values)
    above = _threshold(values[values >= 0], null[null >= 0], precision)
    below = -_threshold(-values[values < 0], -null[null < 0], precision)
    passing = np.mean((values >= above) | (values <= below))
    share = np.clip(passing, LEAST_PASSING, MOST_PASSING)
    if passing != share:
        above = float(np.quantile(np.abs(values), 1 - share))
        below = -above
    return above, below


def _null(values: np.ndarray) -> np.ndarray:
    """Return quantiles of the Laplace null distribution fitted to window sums."""
    mode = _mode(values)
    rates = [_rate(values[values >= mode] - mode), _rate(mode - values[values <= mode])]
    p_above = np.mean(values >= mode)
    levels = (np.arange(N_NULL) + 0.5) / N_NULL
    upper = levels < p_above
    # Quantiles of an exponential distribution on each side; the number of levels is proportional to the share of windows.
    above = mode - np.log1p(-levels[upper] / p_above) / rates[0]
    below = mode + np.log1p(-(levels[~upper] - p_above) / (1 - p_above)) / rates[1]
    return np.concatenate([above, below])


def _mode(values: np.ndarray) -> float:
    for _ in range(2):
        counts, edges = np.histogram(values, _N_BINS)
        modal = int(counts.argmax())
        low, high = edges[modal], edges[modal + 1]
        inside = values[(values >= low) & (values <= high)]
        if inside.min() == inside.max():
            return float(inside[0])
        values = inside
    return float((low + high) / 2)


def _rate(distances: np.ndarray) -> float:
    """Return the greatest exponential rate among those fitted to each percentile of the distances."""
    quantiles = np.quantile(distances, PERCENTILES) if len(distances) else np.zeros(len(PERCENTILES))
    # A percentile of zero (many windows exactly at the mode) does not give a finite rate, and is ignored.
    apart = quantiles > 0
    return float((-np.log1p(-PERCENTILES[apart]) / quantiles[apart]).max()) if apart.any() else np.inf


def _threshold(values: np.ndarray, null: np.ndarray, precision: float) -> float:
    """Return the smallest value with the required precision; values of one sign, as positive numbers."""
    if not len(values):
        return np.inf
    levels, level = np.unique(np.concatenate([values, null]), return_inverse=True)
    real = np.bincount(level[: len(values)], minlength=len(levels)).astype(float)
    weight = np.bincount(level[len(values) :], minlength=len(levels)) * (len(values) / max(len(null), 1)) + real
    # Equal values are one point of the regression, with their mean label.
    fitted = np.maximum(isotonic_regression(real / weight, weights=weight).x, 1e-7)
    odds = 1 / fitted - 1
    share = float(np.clip(1 / odds[0], LEAST_NULL, 1)) if odds[0] > 0 else LEAST_NULL
    passing = 1 - share * odds >= precision
    # The greatest value always passes.
    return float(levels[real > 0][passing[real > 0].argmax()]) if passing[real > 0].any() else float(values.max())
