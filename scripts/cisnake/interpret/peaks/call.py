"""Peaks of attribution: the short spans of a window that drive the model's score of a gene, up or down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.genome import to_genome
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.peaks.local_maxima import find_attr_peaks, fit_local_maxima
from cisnake.interpret.peaks.modisco_windows import fit_windows, tfmodisco_seqlets
from cisnake.interpret.peaks.seqlets import fit_seqlets, recursive_seqlets
from cisnake.interpret.peaks.spans import Blocks, Caller, as_blocks, call_spans
from cisnake.interpret.q_values import empirical_q_values as q_values
from cisnake.program import Progress

__all__ = ["call_peaks", "find_attr_peaks", "q_values", "recursive_seqlets", "tfmodisco_seqlets", "to_genome", "write_bed"]

# What finds the cuts of each method in the scores of real genes, and the options of `call_peaks` that it takes.
_FITS: dict[str, tuple[Callable[..., Caller], tuple[str, ...]]] = {
    "recursive_seqlets": (fit_seqlets, ("threshold", "min_length", "max_length")),
    "find_attr_peaks": (fit_local_maxima, ("n", "min_dist", "height")),
    "tfmodisco_seqlets": (fit_windows, ("window", "flank", "precision")),
}
METHODS = tuple(_FITS)
COLUMNS = (
    "peak_id", "gene_id", "chrom", "start", "end", "strand", "window_start", "window_end",
    "summit", "from_tss", "height", "attribution", "p_value", "q_value",
)  # fmt: skip

CACHE_BYTES = 400_000_000


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
    window: int = 21,
    flank: int = 10,
    precision: float = 0.8,
    max_q: float | None = None,
) -> pd.DataFrame:
    """Return the positive and the negative peaks of every gene of a file.

    Bins, thresholds and the least height come from the attributions of the genes. Where the file has those of shuffled windows,
    peaks are called in them by the very same cuts, and the q-value of a peak is the empirical one of `q_values`, by its
    attribution among those of its sign.

    Parameters
    ----------
    file: AttributionFile
        Read in blocks of genes, more than once.
    method: str
        "recursive_seqlets": spans of `min_length` to `max_length` bases by `threshold`. "find_attr_peaks": of each gene and
        sign the `n` highest local maxima, at least `min_dist` apart; each is a span of half of that to both sides, so that
        those of one sign never overlap. "tfmodisco_seqlets": windows of `window` bases by `precision`, without the flanks of
        `flank` bases that keep one from the next.
    height: float
        Least height of a local maximum, in standard deviations of the projected attributions of the whole file: the scale of
        attributions differs by model and contrast. Default is 3: of normal noise one position in 370 is as far from zero.
    max_q: float, optional
        Peaks of a greater q-value are left out. Default None: all are kept.

    Returns
    -------
    pandas.DataFrame
        The columns of `COLUMNS`, gene by gene and in window order. start and end are of the genome; window_start, window_end,
        summit (position of the greatest |score|) and from_tss are gene-oriented; attribution is the sum over the span. q_value
        is NaN where the file has no shuffled windows, p_value but for recursive_seqlets.

    Raises
    ------
    InputError
        An unknown method, parameters that make no sense, `max_q` for a file without shuffled windows, or attributions that are
        not finite.
    """
    if method not in METHODS:
        raise unknown_name("method of calling peaks", method, METHODS)
    if max_q is not None and not 0 < max_q <= 1:
        raise InputError(f"peaks: max_q must lie above 0 and be at most 1, not {max_q}.")
    if max_q is not None and not file.n_null:
        raise InputError(
            f"peaks: max_q is {max_q}, but {file.path} has no shuffled windows to estimate q from: set "
            "attribution.null_windows to some hundreds, or leave max_q out."
        )
    given = {
        "threshold": threshold, "min_length": min_length, "max_length": max_length,
        "n": n, "min_dist": min_dist, "height": height, "window": window, "flank": flank, "precision": precision,
    }  # fmt: skip
    fit, options = _FITS[method]
    blocks = _projected(file)
    caller = fit(blocks, **{option: given[option] for option in options})
    spans = call_spans(caller, _counted(blocks(), len(file)))
    spans["q_value"] = np.nan
    if file.n_null:
        shuffled = call_spans(caller, as_blocks(file.null_blocks)())
        for sign in (1, -1):
            # Not its size: a maximum between deep minima stands in a span that lowers the score, and is no strong peak.
            own, null = (sign * table.loc[table["sign"] == sign, "attribution"] for table in (spans, shuffled))
            spans.loc[own.index, "q_value"] = q_values(own.to_numpy(), null.to_numpy(), len(file), file.n_null)
    if max_q is not None:
        spans = spans[spans["q_value"] <= max_q].reset_index(drop=True)
    return _table(spans, file.windows)


def write_bed(peaks: pd.DataFrame, path: str | Path) -> None:
    """Write peaks as BED6; the score is the rank of |attribution| among them, 1000 for the greatest."""
    rank = peaks["attribution"].astype(float).abs().rank(pct=True)
    bed = peaks[["chrom", "start", "end", "peak_id"]].assign(score=(1000 * rank).round().astype(int), strand=peaks["strand"])
    with write_whole(path) as part:
        bed.to_csv(part, sep="\t", header=False, index=False)


def _projected(file: AttributionFile) -> Blocks:
    """Return a source of projected scores, (genes, length) float32 by block; small files are read from disk only once."""

    def read() -> Iterable[np.ndarray]:
        for _, attributions, _ in file.blocks():
            yield attributions.sum(axis=1)

    blocks = as_blocks(read)
    if len(file) * file.length * 4 > CACHE_BYTES:
        return blocks
    held = list(blocks())
    return lambda: held


def _counted(blocks: Iterable[np.ndarray], n: int) -> Iterable[np.ndarray]:
    progress = Progress("genes searched for peaks", n)
    for block in blocks:
        yield block
        progress.advance(len(block))


def _table(spans: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
    row = spans["row"].to_numpy(int)
    gene = {column: windows[column].to_numpy()[row] for column in ("gene_id", "chrom", "start", "end", "strand", "mask_start")}
    first, last = spans["start"].to_numpy(int), spans["end"].to_numpy(int)
    start, end = to_genome(gene["start"], gene["end"], gene["strand"], first, last)
    signs = np.where(spans["sign"].to_numpy(int) > 0, "+", "-")
    names = [f"{g}:{a}-{b}:{s}" for g, a, b, s in zip(gene["gene_id"], first, last, signs, strict=True)]
    summit = spans["summit"].to_numpy(int)
    from_tss = summit - gene["mask_start"].astype(int)
    columns = [
        np.array(names, dtype=object), gene["gene_id"], gene["chrom"], start, end, gene["strand"], first, last,
        summit, from_tss, spans["height"], spans["attribution"], spans["p_value"], spans["q_value"],
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)))
