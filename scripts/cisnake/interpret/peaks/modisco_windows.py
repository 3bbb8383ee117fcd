"""Windows of attribution after TF-MoDISco: those whose sum is larger than expected under a fitted null distribution."""

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
        Bases that are summed. Default is 21.
    flank: int
        Bases that keep one window from the next, and from the ends of the gene's window. Default is 10.
    precision: float
        Share of windows above the threshold that do not belong to the null distribution. Default is 0.8.

    Raises
    ------
    InputError
        Settings that make no sense.
    """

    window: int = 21
    flank: int = 10
    precision: float = 0.8

    def __post_init__(self) -> None:
        if self.window < 1 or self.flank < 0:
            raise InputError(f"peaks: window ({self.window}) must be at least 1, flank ({self.flank}) not negative.")
        if not 0 < self.precision < 1:
            raise InputError(f"peaks: precision must lie between 0 and 1, not {self.precision}.")

    def fit(self, blocks: Blocks) -> Caller:
        """Return the caller of windows, with thresholds from the given scores; its spans are without flanks.

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
    """Return the seqlets that TF-MoDISco starts from: windows of either sign with large attribution, and their flanks.

    v is the sum of each window. Its null is a Laplace law of two rates about the mode of v (the centre of the fullest of 1000
    bins, of which the fullest of 1000 bins): on each side the greatest rate that one of the percentiles 5 .. 95 asks for. For
    each sign, an isotonic regression on |v| tells windows (1) from 10,000 values of the law (0, weighed to count as much). With
    y its value, and c = y / (1 - y) at the least |v|, cut to [0.95, 1], the precision from there on is 1 + c (1 - 1 / y); the
    threshold is the least |v| with the wanted one. If less than 3 % or more than 20 % of windows pass, it is the |v| that
    lets as many pass, for both signs alike. Then the greatest |v| of a gene is taken, again and again, each shutting out the
    windows that begin within `window // 2 + flank` of it.

    The law's values are its quantiles, not draws, so that nothing depends on chance. Of more than a million windows, law and
    thresholds come from a million, spread evenly. After Shrikumar et al. 2018 (arXiv:1811.00416); tangermeme 1.6 differs: it
    reads the threshold off values that are not sorted.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or callable
        Projected attribution, one score a position. A callable returns an iterable of such arrays of consecutive genes each
        time it is called, and is called three times, so that memory is that of one block. Blocks do not change the result.
    window: int
        Bases that are summed. Default is 21.
    flank: int
        Bases added to both sides; windows that begin among the first or the last so many are left out. Default is 10.
    precision: float
        Share of windows above the threshold that are none of the null's. Default is 0.8.

    Returns
    -------
    pandas.DataFrame
        row (of the gene), start, end (half-open, in the window, flanks included: those of neighbours may overlap), attribution
        (sum of the window without its flanks); sorted by row and start. Empty when all windows have the same sum.

    Raises
    ------
    InputError
        Parameters that make no sense, or scores that are not finite.

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
    # Summed one by one: differences of a running sum would leave equal windows unequal.
    sums = np.zeros((len(scores), n))
    for k in range(window):
        sums += scores[:, k : k + n]
    return sums


def _sample(blocks: Blocks, window: int) -> np.ndarray:
    """Return the sums of all windows, or of a million of them, one drawn from each of as many equal stretches."""
    shapes = [block.shape for block in blocks()]
    total = sum(n * max(length - window + 1, 0) for n, length in shapes)
    if total > N_SAMPLED:
        # Even steps could fall on the same few positions of every gene.
        inner = np.random.default_rng(0).random(N_SAMPLED)
        chosen = ((np.arange(N_SAMPLED) + inner) * (total / N_SAMPLED)).astype(np.int64)
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
    """Return from which sum upwards and from which downwards windows pass; infinite where none do."""
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
    """Return quantiles of the Laplace law that stands for windows with nothing in them."""
    mode = _mode(values)
    rates = [_rate(values[values >= mode] - mode), _rate(mode - values[values <= mode])]
    p_above = np.mean(values >= mode)
    levels = (np.arange(N_NULL) + 0.5) / N_NULL
    upper = levels < p_above
    # Of each side the quantiles of an exponential law, the share of the side left of all levels.
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
    """Return the greatest rate of an exponential law that a percentile of the distances asks for."""
    quantiles = np.quantile(distances, PERCENTILES) if len(distances) else np.zeros(len(PERCENTILES))
    # A percentile of zero asks for no finite rate; where many windows are exactly the mode, the others decide.
    apart = quantiles > 0
    return float((-np.log1p(-PERCENTILES[apart]) / quantiles[apart]).max()) if apart.any() else np.inf


def _threshold(values: np.ndarray, null: np.ndarray, precision: float) -> float:
    """Return the least of some values of one sign, given as positive numbers, that has the wanted precision."""
    if not len(values):
        return np.inf
    levels, level = np.unique(np.concatenate([values, null]), return_inverse=True)
    real = np.bincount(level[: len(values)], minlength=len(levels)).astype(float)
    weight = np.bincount(level[len(values) :], minlength=len(levels)) * (len(values) / max(len(null), 1)) + real
    # Values that are equal are one point of the regression, its label their mean.
    fitted = np.maximum(isotonic_regression(real / weight, weights=weight).x, 1e-7)
    odds = 1 / fitted - 1
    share = float(np.clip(1 / odds[0], LEAST_NULL, 1)) if odds[0] > 0 else LEAST_NULL
    passing = 1 - share * odds >= precision
    # The greatest value always passes.
    return float(levels[real > 0][passing[real > 0].argmax()]) if passing[real > 0].any() else float(values.max())
