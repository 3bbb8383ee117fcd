"""Peaks of attribution: the short spans of a window that drive the model's score of a gene, up or down."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.interpret.attribution_file import AttributionFile

METHODS = ("recursive_seqlets", "find_attr_peaks")
COLUMNS = (
    "peak_id", "gene_id", "chrom", "start", "end", "strand", "window_start", "window_end",
    "summit", "from_tss", "height", "attribution", "p_value",
)  # fmt: skip

N_BINS = 1000
CACHE_BYTES = 400_000_000

Blocks = Callable[[], Iterable[np.ndarray]]


def find_attr_peaks(
    attr: np.ndarray, tss_pos: int | None = None, n: int | None = 5, min_dist: int = 6, height: float = 0.1
) -> pd.DataFrame:
    """Return the highest local maxima of one window's attribution.

    Positive peaks only, as in Decima's first version; negate `attr` for the negative ones.

    Parameters
    ----------
    attr: numpy.ndarray, shape=(4, length) or (length,)
        Attribution; channels are summed.
    tss_pos: int, optional
        Position of the TSS in the window. Default is None: from_tss stays empty.
    n: int, optional
        Keep that many of the highest; all of them when None. Default is 5.
    min_dist: int
        Of two maxima closer than this many bases the lower one is dropped. Default is 6.
    height: float
        Least height, in units of the attribution: its scale is that of the model's score, so that the default suits log
        fold changes only. `call_peaks` takes a height that is free of scale. Default is 0.1.

    Returns
    -------
    pandas.DataFrame
        peak (position in the window), height, from_tss; the highest first, of equal ones the more upstream.
    """
    scores = np.asarray(attr)
    found = _highest_maxima(scores.sum(axis=0) if scores.ndim == 2 else scores, n, min_dist, height)
    return pd.DataFrame(found).assign(from_tss=np.nan if tss_pos is None else found["peak"] - tss_pos)


def _highest_maxima(scores: np.ndarray, n: int | None, min_dist: int, height: float) -> dict[str, np.ndarray]:
    from scipy.signal import find_peaks

    peaks, properties = find_peaks(scores, height=height, distance=min_dist)
    order = np.argsort(-properties["peak_heights"], kind="stable")[:n]
    return {"peak": peaks[order], "height": properties["peak_heights"][order]}


def recursive_seqlets(
    scores: np.ndarray | Blocks, threshold: float = 0.01, min_length: int = 4, max_length: int = 25
) -> pd.DataFrame:
    """Return the spans of positive attribution whose every inner span is unlikely too.

    Scores a are cut into 1000 equal bins between their least and greatest, b = floor((a - min) / width); S_m is the m-fold
    convolution of their distribution over all genes and positions with itself, and R_m its sum from the top, summed from the
    small end so that small tails keep their digits. A span of length m has p = R_m[sum of b]. It is called when it and every
    span of at least `min_length` within it have p < `threshold`. Called spans are taken longest first, then by the greatest p
    of the spans that share their start (then upstream first), leaving out what overlaps one taken before.

    p ranks spans: neighbours are not independent, and the null is the distribution of the attributions themselves, signal
    included; it is no error rate. Negative peaks are those of -a. After tangermeme 1.6.

    Parameters
    ----------
    scores: numpy.ndarray, shape=(genes, length), or callable
        Projected attribution, one score a position. A callable returns an iterable of such arrays of consecutive genes each
        time it is called, and is called three times: so memory is that of one block. Blocks do not change the result.
    threshold: float
        Default is 0.01.
    min_length, max_length: int
        Shortest and longest span, both included. Defaults are 4 and 25.

    Returns
    -------
    pandas.DataFrame
        row (of the gene), start, end (half-open, in the window), attribution (sum of scores), p_value (the span's own); sorted
        by row and start. Empty when all scores are the same.

    Raises
    ------
    InputError
        Lengths or threshold that make no sense, or scores that are not finite.
    """
    _check_spans(threshold, min_length, max_length)
    blocks = scores if callable(scores) else lambda: (scores,)
    low, high = _range(blocks())
    found: list[pd.DataFrame] = []
    if high > low:
        width = (high - low) / (N_BINS - 1)
        counts = sum((np.bincount(_bins(block, low, width).ravel(), minlength=N_BINS) for block in blocks()), np.zeros(N_BINS))
        tails = _tails(counts / counts.sum(), max_length)
        row = 0
        for block in blocks():
            spans = _spans(block, _bins(block, low, width), tails, threshold, min_length, max_length)
            found.append(spans.assign(row=spans["row"] + row))
            row += len(block)
    empty = {"row": np.int64, "start": np.int64, "end": np.int64, "attribution": np.float64, "p_value": np.float64}
    found = [spans for spans in found if len(spans)] or [pd.DataFrame({key: np.empty(0, kind) for key, kind in empty.items()})]
    return pd.concat(found, ignore_index=True)


def call_peaks(
    file: AttributionFile,
    method: str = "recursive_seqlets",
    *,
    threshold: float = 0.01,
    min_length: int = 4,
    max_length: int = 25,
    n: int = 5,
    min_dist: int = 6,
    height: float = 3.0,
) -> pd.DataFrame:
    """Return the positive and the negative peaks of every gene of a file.

    Parameters
    ----------
    file: AttributionFile
        Read in blocks of genes, more than once.
    method: str
        "recursive_seqlets": spans of `min_length` to `max_length` bases by `threshold`. "find_attr_peaks": of each gene and
        sign the `n` highest local maxima, at least `min_dist` apart; each is a span of half of that to both sides, so that
        those of one sign never overlap.
    height: float
        Least height of a local maximum, in standard deviations of the projected attributions of the whole file: the scale of
        attributions differs by model and contrast. Default is 3: of normal noise one position in 370 is as far from zero.

    Returns
    -------
    pandas.DataFrame
        The columns of `COLUMNS`, gene by gene and in window order. start and end are of the genome; window_start, window_end,
        summit (position of the greatest |score|) and from_tss are gene-oriented; attribution is the sum over the span.

    Raises
    ------
    InputError
        An unknown method, or parameters that make no sense.
    """
    if method not in METHODS:
        raise unknown_name("method of calling peaks", method, METHODS)
    blocks = _projected(file)
    called = []
    if method == "recursive_seqlets":
        for sign in (1, -1):
            spans = recursive_seqlets(_signed(blocks, sign), threshold, min_length, max_length)
            # Where nearly all scores are negative, the highest spans may be so too: they drive nothing up.
            spans = spans[spans["attribution"] > 0]
            called.append(spans.assign(attribution=sign * spans["attribution"], sign=sign))
    else:
        if n < 1 or min_dist < 1 or height < 0:
            raise InputError(f"peaks: n ({n}) and min_dist ({min_dist}) must be at least 1, height ({height}) not negative.")
        called.append(_local_maxima(blocks, n, min_dist, height * _standard_deviation(blocks())))
    spans = pd.concat([table for table in called if len(table)] or called[:1], ignore_index=True)
    spans = spans.sort_values(["row", "start", "end", "sign"], kind="stable", ignore_index=True)
    return _table(_summits(spans, blocks()), file.windows)


def write_bed(peaks: pd.DataFrame, path: str | Path) -> None:
    """Write peaks as BED6; the score is the rank of |attribution| among them, 1000 for the greatest."""
    rank = peaks["attribution"].astype(float).abs().rank(pct=True)
    bed = peaks[["chrom", "start", "end", "peak_id"]].assign(score=(1000 * rank).round().astype(int), strand=peaks["strand"])
    with write_whole(path) as part:
        bed.to_csv(part, sep="\t", header=False, index=False)


def _check_spans(threshold: float, min_length: int, max_length: int) -> None:
    if not 0 < threshold < 1:
        raise InputError(f"peaks: threshold must lie between 0 and 1, not {threshold}.")
    if not 2 <= min_length <= max_length:
        raise InputError(f"peaks: lengths must satisfy 2 <= min_length ({min_length}) <= max_length ({max_length}).")


def _projected(file: AttributionFile) -> Blocks:
    """Return a source of projected scores, (genes, length) float32 by block; small files are read from disk only once."""

    def read() -> Iterable[np.ndarray]:
        for _, attributions, _ in file.blocks():
            yield attributions.sum(axis=1)

    if len(file) * file.length * 4 > CACHE_BYTES:
        return read
    held = list(read())
    return lambda: held


def _signed(blocks: Blocks, sign: int) -> Blocks:
    return blocks if sign > 0 else lambda: (-block for block in blocks())


def _range(blocks: Iterable[np.ndarray]) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for block in blocks:
        if block.size:
            low, high = min(low, float(block.min())), max(high, float(block.max()))
            if not np.isfinite(low) or not np.isfinite(high):
                raise InputError("attributions hold values that are not finite: the model that made them has diverged.")
    return low, high


def _bins(scores: np.ndarray, low: float, width: float) -> np.ndarray:
    return np.clip(np.floor((scores.astype(np.float64) - low) / width), 0, N_BINS - 1).astype(np.int32)


def _tails(distribution: np.ndarray, max_length: int) -> list[np.ndarray]:
    """Return R_m for m = 0 .. max_length: the chance that m independent bins sum to at least that index."""
    sums, tails = np.ones(1), [np.ones(1)]
    for _ in range(max_length):
        # Convolved directly: the error of an FFT would swallow the small tails.
        sums = np.convolve(sums, distribution)
        tails.append(np.minimum(np.cumsum(sums[::-1])[::-1], 1))
    return tails


def _spans(
    scores: np.ndarray, bins: np.ndarray, tails: Sequence[np.ndarray], threshold: float, min_length: int, max_length: int
) -> pd.DataFrame:
    """Return the called spans of one block, without overlaps.

    A span is called when it passes itself and the two spans one base shorter within it are called, so that only the
    neighbourhoods of called spans are ever looked at again. `position` counts through the genes of the block.
    """
    n, length = scores.shape
    candidates = []
    position = total = np.empty(0, np.int64)
    greatest = own = np.empty(0)
    if length >= min_length:
        total = bins[:, : length - min_length + 1].copy()
        for k in range(1, min_length):
            total += bins[:, k : length - min_length + 1 + k]
        p = tails[min_length][total]
        row, start = np.nonzero(p < threshold)
        position, total, greatest = row * length + start, total[row, start], p[row, start]
        own = greatest
    flat = bins.ravel()
    for m in range(min_length, max_length + 1):
        if not len(position):
            break
        candidates.append((np.full(len(position), m), position, greatest, own))
        # Spans of m + 1: both inner spans of m are called, which also keeps the end within the gene.
        both = np.flatnonzero((position[1:] == position[:-1] + 1) & (position[1:] // length == position[:-1] // length))
        if m == max_length or not len(both):
            break
        total = total[both] + flat[position[both] + m]
        own = tails[m + 1][total]
        passes = own < threshold
        position, total, own = position[both][passes], total[passes], own[passes]
        greatest = np.maximum(own, greatest[both][passes])
    if not candidates:
        return pd.DataFrame({key: np.empty(0, int) for key in ("row", "start", "end", "attribution", "p_value")})
    lengths, positions, greatests, owns = (np.concatenate(parts) for parts in zip(*candidates, strict=True))
    order = np.lexsort((positions, greatests, -lengths))
    taken = bytearray(n * length)
    kept = []
    for index, first, m in zip(order.tolist(), positions[order].tolist(), lengths[order].tolist(), strict=True):
        # Longer spans come first, so that one taken before and overlapping this one covers one of its ends.
        if not taken[first] and not taken[first + m - 1]:
            taken[first : first + m] = b"\x01" * m
            kept.append(index)
    chosen = np.array(kept)[np.argsort(positions[kept])]
    first, last = positions[chosen], positions[chosen] + lengths[chosen]
    sums = np.add.reduceat(np.append(scores.ravel().astype(np.float64), 0), np.column_stack([first, last]).ravel())[::2]
    start = first % length
    return pd.DataFrame(
        {"row": first // length, "start": start, "end": start + lengths[chosen], "attribution": sums, "p_value": owns[chosen]}
    )


def _standard_deviation(blocks: Iterable[np.ndarray]) -> float:
    n, total, squares = 0, 0.0, 0.0
    for block in blocks:
        values = block.astype(np.float64)
        n, total, squares = n + values.size, total + values.sum(), squares + np.square(values).sum()
    # The mean of attributions is small against their spread, so that this form loses no digits that matter.
    return float(np.sqrt(max(squares / n - (total / n) ** 2, 0))) if n else 0.0


def _local_maxima(blocks: Blocks, n: int, min_dist: int, height: float) -> pd.DataFrame:
    half = (min_dist - 1) // 2
    found: list[tuple[int, int, int, int, float, int]] = []
    row = 0
    for block in blocks():
        length = block.shape[1]
        for scores in block:
            for sign in (1, -1):
                for peak in _highest_maxima(sign * scores, n, min_dist, height)["peak"]:
                    start, end = max(peak - half, 0), min(peak + half + 1, length)
                    found.append((row, start, end, peak, float(scores[start:end].sum(dtype=np.float64)), sign))
            row += 1
    table = pd.DataFrame(found, columns=["row", "start", "end", "summit", "attribution", "sign"])
    return table.assign(p_value=np.nan)


def _summits(spans: pd.DataFrame, blocks: Iterable[np.ndarray]) -> pd.DataFrame:
    """Add the summit, when the method has not set it, and the score there (height)."""
    summits, heights = [], []
    first = 0
    for block in blocks:
        of_block = spans[(spans["row"] >= first) & (spans["row"] < first + len(block))]
        row, start = of_block["row"].to_numpy(int) - first, of_block["start"].to_numpy(int)
        if "summit" in of_block:
            summit = of_block["summit"].to_numpy(int)
        else:
            width = int((of_block["end"] - of_block["start"]).max()) if len(of_block) else 0
            at = start[:, None] + np.arange(width)
            inside = at < of_block["end"].to_numpy(int)[:, None]
            size = np.abs(block[row[:, None], np.minimum(at, block.shape[1] - 1)])
            summit = start + (np.where(inside, size, -1).argmax(axis=1) if width else 0)
        summits.append(summit)
        heights.append(block[row, summit])
        first += len(block)
    empty = np.empty(0, int)
    return spans.assign(summit=np.concatenate([empty, *summits]), height=np.concatenate([empty, *heights]).astype(np.float64))


def _table(spans: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    row = spans["row"].to_numpy(int)
    gene = {column: windows[column].to_numpy()[row] for column in ("gene_id", "chrom", "start", "end", "strand", "mask_start")}
    first, last = spans["start"].to_numpy(int), spans["end"].to_numpy(int)
    start, end = to_genome(gene["start"], gene["end"], gene["strand"], first, last)
    signs = np.where(spans["sign"].to_numpy(int) > 0, "+", "-")
    names = [f"{g}:{a}-{b}:{s}" for g, a, b, s in zip(gene["gene_id"], first, last, signs, strict=True)]
    summit = spans["summit"].to_numpy(int)
    columns = [
        np.array(names, dtype=object), gene["gene_id"], gene["chrom"], start, end, gene["strand"], first, last,
        summit, summit - gene["mask_start"].astype(int), spans["height"], spans["attribution"].astype(float), spans["p_value"],
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))


def to_genome(
    window_start: np.ndarray, window_end: np.ndarray, strand: np.ndarray, first: np.ndarray, last: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return genome coordinates of spans [first, last) of gene-oriented windows.

    Parameters
    ----------
    window_start, window_end: numpy.ndarray, dtype=int
        The windows on the genome, 0-based and half-open.
    strand: numpy.ndarray, dtype=str
        "+" or "-": position 0 of a window is its 5' end on that strand.
    first, last: numpy.ndarray, dtype=int
        Spans in the windows, half-open.

    Returns
    -------
    start, end: numpy.ndarray, dtype=int
    """
    forward = strand == "+"
    start = np.where(forward, window_start + first, window_end - last)
    return start.astype(int), np.where(forward, window_start + last, window_end - first).astype(int)
