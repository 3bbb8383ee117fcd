"""Attribution peaks: short spans of a window that raise or lower the score of a gene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import to_genome
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.interpret.attribution import AttributionFile
from cisnake.interpret.peaks.local_maxima import LocalMaxima
from cisnake.interpret.peaks.modisco_windows import ModiscoWindows
from cisnake.interpret.peaks.seqlets import RecursiveSeqlets
from cisnake.interpret.peaks.spans import Blocks, Caller, PeakMethod, as_blocks, call_spans
from cisnake.interpret.q_values import empirical_q_values
from cisnake.program import Progress

PEAK_METHODS: dict[str, type[RecursiveSeqlets] | type[LocalMaxima] | type[ModiscoWindows]] = {
    "recursive_seqlets": RecursiveSeqlets,
    "find_attr_peaks": LocalMaxima,
    "tfmodisco_seqlets": ModiscoWindows,
}
PEAK_COLUMNS = (
    "peak_id", "gene_id", "chrom", "start", "end", "strand", "window_start", "window_end",
    "summit", "from_tss", "height", "attribution", "p_value", "q_value",
)  # fmt: skip

CACHE_BYTES = 400_000_000


def peak_method(name: str, options: Mapping[str, Any]) -> PeakMethod:
    """Return the settings of a peak calling method.

    Parameters
    ----------
    name: str
        One of `PEAK_METHODS`.
    options: mapping
        Options of other methods, and any other keys, are ignored.

    Raises
    ------
    InputError
        The method is unknown, or an option is out of range.

    Examples
    --------
    >>> from cisnake.interpret.peaks import peak_method
    >>> peak_method("recursive_seqlets", {"threshold": 0.05, "n": 3})
    RecursiveSeqlets(threshold=0.05, min_length=4, max_length=25)
    """
    if name not in PEAK_METHODS:
        raise unknown_name("peak calling method", name, PEAK_METHODS)
    settings = PEAK_METHODS[name]
    return settings(**{field.name: options[field.name] for field in fields(settings) if field.name in options})


def call_peaks(file: AttributionFile, method: PeakMethod, max_q: float | None = None) -> pd.DataFrame:
    """Call the positive and negative peaks of every gene in a file.

    Thresholds are computed from the attributions of the genes. If the file has shuffled windows, peaks are called in them with
    the same thresholds, and q-values are computed with `q_values.empirical_q_values`, separately for each sign, using the
    attribution of a peak as its statistic.

    Parameters
    ----------
    file: AttributionFile
        Read in blocks of genes, more than once.
    method: PeakMethod
        `RecursiveSeqlets`, `LocalMaxima` or `ModiscoWindows` with its settings.
    max_q: float, optional
        Keep only peaks with a q-value of at most this. Default None: keep all peaks.

    Returns
    -------
    pandas.DataFrame
        The columns of `PEAK_COLUMNS`, sorted by gene and position in the window. start and end are on the genome; window_start,
        window_end, summit (position of the greatest |score|) and from_tss are gene-oriented; attribution is the sum over the
        span. q_value is NaN if the file has no shuffled windows; p_value is NaN except for `RecursiveSeqlets`.

    Raises
    ------
    InputError
        `max_q` is out of range or the file has no shuffled windows, or attributions are not finite.
    """
    if max_q is not None and not 0 < max_q <= 1:
        raise InputError(f"peaks: max_q is {max_q}: set it above 0 and at most 1.")
    if max_q is not None and not file.n_null:
        raise InputError(
            f"peaks: max_q is {max_q}, but {file.path} has no shuffled windows from which to estimate q-values: set "
            "attribution.null_windows to a few hundred, or leave out max_q."
        )
    blocks = _projected(file)
    caller = method.fit(blocks)
    spans = call_spans(caller, _counted(blocks(), len(file)))
    spans["q_value"] = _q_values(spans, caller, file) if file.n_null else np.nan
    if max_q is not None:
        spans = spans[spans["q_value"] <= max_q].reset_index(drop=True)
    return _peak_table(spans, file.windows)


def _q_values(spans: pd.DataFrame, caller: Caller, file: AttributionFile) -> np.ndarray:
    """Return the empirical q-value of each span, among those of its sign."""
    shuffled = call_spans(caller, as_blocks(file.null_blocks)())
    q = np.full(len(spans), np.nan)
    for sign in (1, -1):
        rows = np.flatnonzero(spans["sign"] == sign)
        # Signed, not absolute: a maximum between deep minima is in a span that lowers the score, and is not a strong peak.
        real, null = (sign * table.loc[table["sign"] == sign, "attribution"].to_numpy() for table in (spans, shuffled))
        q[rows] = empirical_q_values(real, null, len(file), file.n_null)
    return q


def write_bed(peaks: pd.DataFrame, path: str | Path) -> None:
    """Write peaks as BED6; the score is the rank of |attribution|, scaled so that the greatest is 1000."""
    rank = peaks["attribution"].astype(float).abs().rank(pct=True)
    bed = peaks[["chrom", "start", "end", "peak_id"]].assign(score=(1000 * rank).round().astype(int), strand=peaks["strand"])
    with write_whole(path) as part:
        bed.to_csv(part, sep="\t", header=False, index=False)


def _projected(file: AttributionFile) -> Blocks:
    """Return a source of blocks of projected scores, (genes, length) float32; small files are read from disk only once."""

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


def _peak_table(spans: pd.DataFrame, windows: pd.DataFrame) -> pd.DataFrame:
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
    return pd.DataFrame(dict(zip(PEAK_COLUMNS, columns, strict=True)))
