"""What the report's browser shows of a gene: its window and what lies in it, turned to the genome's forward strand."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.genome import decode, reverse_complement
from cisnake.files import read_chunks
from cisnake.report.figures import BLUE, VERMILION

MAX_BASES = 20_000
# Hits of alike motifs lie on each other: of a peak, these many are shown.
HITS_OF_PEAK = 3
GREY, SLATE, DARK = "#8a939c", "#5b6570", "#1b1f24"

VARIANT_COLUMNS = ("variant_id", "start", "end", "ref", "alt", "gene_id", "task", "effect_mean")


@dataclass(frozen=True)
class View:
    """What the browser shows of one gene in one contrast, on the genome's forward strand.

    Attributes
    ----------
    contrast, label: str
        Names for the reader.
    chrom: str
    start, end: int
        The stretch that is shown, 0-based and half-open.
    focus: tuple of int
        The part of it that the browser opens at.
    sequence: str, length=end - start
    scores: numpy.ndarray, shape=(end - start,), dtype=float32
        Attribution of each base.
    genes, peaks, hits, variants: pandas.DataFrame
        What igv.js is given of each feature: start, end, name, and further columns, of which strand and color have a meaning.
    """

    contrast: str
    label: str
    chrom: str
    start: int
    end: int
    focus: tuple[int, int]
    sequence: str
    scores: np.ndarray
    genes: pd.DataFrame
    peaks: pd.DataFrame
    hits: pd.DataFrame
    variants: pd.DataFrame


def make_view(
    contrast: str,
    window: pd.Series,
    codes: np.ndarray,
    scores: np.ndarray,
    region: tuple[int, int],
    genes: pd.DataFrame,
    peaks: pd.DataFrame,
    hits: pd.DataFrame | None = None,
    variants: pd.DataFrame | None = None,
) -> View:
    """Turn what is known of a gene's window, in the gene's orientation, into a view of the genome.

    Of a window longer than `MAX_BASES` those around the region are shown.

    Parameters
    ----------
    contrast: str
    window: pandas.Series
        gene_id, chrom, start, end and strand, as a row of `AttributionFile.windows`.
    codes: numpy.ndarray, shape=(length,), dtype=int8
        Sequence, gene-oriented.
    scores: numpy.ndarray, shape=(length,)
        Projected attribution, gene-oriented; NaN counts as 0.
    region: tuple of int
        First and last position (half-open) in the window of what the browser opens at.
    genes: pandas.DataFrame
        All genes of the run: gene_id, gene_name, chrom, start, end, strand.
    peaks: pandas.DataFrame
        Peaks of the gene: window_start, window_end, attribution, and p_value and q_value where there are such columns.
    hits: pandas.DataFrame, optional
        Hits in its peaks, as `results.read_peak_hits` gives them: motif_id, motif_name, peak_id, orientation, window_start,
        window_end, p_value. The `HITS_OF_PEAK` of smallest p are shown of each peak. Default None: motifs were not scanned for.
    variants: pandas.DataFrame, optional
        Variants of the gene, as `read_strongest_effects` gives them. Default None: there are none.
    """
    if hits is None:
        hits = pd.DataFrame(
            columns=["motif_id", "motif_name", "peak_id", "orientation", "window_start", "window_end", "p_value"]
        )
    if variants is None:
        variants = pd.DataFrame(columns=list(VARIANT_COLUMNS))
    forward = window["strand"] == "+"
    middle = sum(region) // 2
    first = max(min(middle - MAX_BASES // 2, len(scores) - MAX_BASES), 0)
    last = min(first + MAX_BASES, len(scores))

    def place(starts: pd.Series, ends: pd.Series) -> dict[str, pd.Series]:
        if forward:
            return {"start": window["start"] + starts.astype(int), "end": window["start"] + ends.astype(int)}
        return {"start": window["end"] - ends.astype(int), "end": window["end"] - starts.astype(int)}

    ((start, end),) = zip(*place(pd.Series([first]), pd.Series([last])).values(), strict=True)
    ((low, high),) = zip(*place(pd.Series([region[0]]), pd.Series([region[1]])).values(), strict=True)
    shown, values = codes[first:last], np.nan_to_num(scores[first:last].astype(np.float32))
    on_chrom = genes[(genes["chrom"] == window["chrom"]) & (genes["start"] < end) & (genes["end"] > start)]
    names = on_chrom["gene_name"].where(on_chrom["gene_name"] != "", on_chrom["gene_id"])
    own = on_chrom["gene_id"] == window["gene_id"]
    best = hits.sort_values(["p_value", "motif_id"], kind="stable").groupby("peak_id", sort=False).head(HITS_OF_PEAK)
    label = names[own].iloc[0] if own.any() else window["gene_id"]
    return View(
        contrast=contrast,
        label=label if label == window["gene_id"] else f"{label} ({window['gene_id']})",
        chrom=window["chrom"],
        start=int(start),
        end=int(end),
        focus=(int(low), int(high)),
        sequence=decode(shown if forward else reverse_complement(shown)),
        scores=values if forward else values[::-1],
        genes=on_chrom[["start", "end", "strand", "gene_id"]].assign(name=names, color=np.where(own, DARK, GREY)),
        peaks=_within(
            pd.DataFrame(place(peaks["window_start"], peaks["window_end"])).assign(
                name=[_signed(value) for value in peaks["attribution"]],
                color=np.where(peaks["attribution"] > 0, BLUE, VERMILION),
                **{column: peaks[column] for column in ("p_value", "q_value") if column in peaks},
            ),
            start,
            end,
        ),
        hits=_within(
            pd.DataFrame(place(best["window_start"], best["window_end"])).assign(
                name=best["motif_name"],
                strand=best["orientation"] if forward else best["orientation"].map({"+": "-", "-": "+"}),
                motif=best["motif_id"],
                p_value=best["p_value"],
            ),
            start,
            end,
        ),
        variants=_within(
            variants[["start", "end"]].assign(
                name=[f"{_short(v.ref)}>{_short(v.alt)} {_signed(v.effect_mean)}" for v in variants.itertuples()],
                color=np.where(variants["effect_mean"] > 0, BLUE, VERMILION),
                variant=variants["variant_id"],
                task=variants["task"],
            ),
            start,
            end,
        ),
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _short(allele: str) -> str:
    return allele if len(allele) <= 8 else f"{allele[:6]}\N{HORIZONTAL ELLIPSIS}{len(allele)}"


def _within(table: pd.DataFrame, start: int, end: int) -> pd.DataFrame:
    return table[(table["start"] < end) & (table["end"] > start)].reset_index(drop=True)


def read_strongest_effects(path: Path, genes: Collection[str]) -> pd.DataFrame:
    """Return the scored variants of some genes from an effects.tsv, each in the task of its largest |effect_mean|.

    The file is read once, in pieces: it may be far larger than those few rows.

    Returns
    -------
    pandas.DataFrame
        variant_id, start, end (0-based, half-open, on the genome), ref, alt, gene_id, task, effect_mean; by gene and place.
    """
    wanted, kept = list(genes), []
    for chunk in read_chunks(path, dict.fromkeys(VARIANT_COLUMNS, str)):
        chunk = chunk[chunk["gene_id"].isin(wanted)]
        chunk = chunk.assign(effect_mean=pd.to_numeric(chunk["effect_mean"], errors="coerce").astype(float))
        kept.append(chunk[chunk["effect_mean"].notna()])
    table = pd.concat(kept, ignore_index=True)
    table = table.assign(size=table["effect_mean"].abs(), start=table["start"].astype(int), end=table["end"].astype(int))
    strongest = table.sort_values(["size", "task"], ascending=[False, True]).drop_duplicates(["variant_id", "alt", "gene_id"])
    return strongest.sort_values(["gene_id", "start", "variant_id", "alt"])[list(VARIANT_COLUMNS)].reset_index(drop=True)
