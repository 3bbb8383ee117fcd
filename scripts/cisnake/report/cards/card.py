"""The card of a gene in a contrast: its window on the forward strand, its features, and its predictions.

The report draws cards on demand, and shows the same data in igv.js. igv-reports also extracts such slices from files, but it
does not read BigWig and so cannot show attributions as letters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import decode, reverse_complement, to_genome
from cisnake.files import read_chunks
from cisnake.report.cards.shown_genes import ShownGene
from cisnake.report.figures import BLUE, VERMILION
from cisnake.report.peak_labels import PeakLabel, order_hits

MAX_SHOWN_BASES = 20_000
# The best hits of only this many clusters are shown per peak.
HITS_OF_PEAK = 3
GREY, SLATE, DARK = "#8a939c", "#5b6570", "#1b1f24"

SHOWN_HIT_COLUMNS = (
    "motif_id", "motif_name", "peak_id", "orientation", "window_start", "window_end", "p_value", "cluster", "cluster_name",
    "enriched",
)  # fmt: skip
VARIANT_COLUMNS = ("variant_id", "start", "end", "ref", "alt", "gene_id", "task", "effect_mean")


@dataclass(frozen=True)
class Card:
    """What the report shows for one gene in one contrast, on the forward strand of the genome.

    Attributes
    ----------
    contrast: str
    gene: dict
        id, name, strand, split, unseen, prediction, predicted, measured, window (start and end), tss and region (both `None`
        without a TSS or without attribution), for the heading.
    chrom: str
    start, end: int
        The displayed region, 0-based and half-open.
    focus: tuple of int
        The start and end of the part at which the picture opens.
    sequence: str, length=end - start
    scores: numpy.ndarray, shape=(end - start,), dtype=float32
        Attribution of each base.
    genes, peaks, hits, variants: pandas.DataFrame
        One row per feature: start, end, name and further columns. igv.js interprets `strand` and `color`, and displays the
        others as they are.
    tasks: pandas.DataFrame
        task, measured, predicted and on (whether the contrast counts the task positively, negatively or not: 1, -1, 0).
    """

    contrast: str
    gene: Mapping[str, Any]
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
    tasks: pd.DataFrame


NO_LABEL = PeakLabel("", False, "")
NO_TASKS = pd.DataFrame({"task": [], "measured": [], "predicted": [], "on": []})


def make_card(
    contrast: str, gene: ShownGene, annotation: pd.DataFrame, labels: Mapping[str, PeakLabel], tasks: pd.DataFrame = NO_TASKS
) -> Card:
    """Convert the gene-oriented window of a gene to a card on the forward strand of the genome.

    Of windows longer than `MAX_SHOWN_BASES`, only that many bases around the region are shown.

    Parameters
    ----------
    contrast: str
    gene: ShownGene
        For each peak, the hits that `strongest_hits` returns are shown. NaN scores count as 0.
    annotation: pandas.DataFrame
        Genes of the run on the chromosome of the gene, with columns gene_id, gene_name, chrom, start, end, strand.
    labels: mapping of str to PeakLabel
        What is written at peaks, by peak_id.
    tasks: pandas.DataFrame
        As `Card.tasks`. Default: none.
    """
    window, forward = gene.window, gene.window["strand"] == "+"
    middle = sum(gene.region) // 2
    first = max(min(middle - MAX_SHOWN_BASES // 2, len(gene.scores) - MAX_SHOWN_BASES), 0)
    last = min(first + MAX_SHOWN_BASES, len(gene.scores))
    (start, end), focus = _on_genome(window, first, last), _on_genome(window, *gene.region)
    codes, scores = gene.codes[first:last], np.nan_to_num(gene.scores[first:last].astype(np.float32))
    near = annotation[(annotation["start"] < end) & (annotation["end"] > start)]
    tables = {"peaks": _peak_features(gene, labels), "hits": _hit_features(gene), "variants": _variant_features(gene)}
    within = {
        kind: table[(table["start"] < end) & (table["end"] > start)].reset_index(drop=True) for kind, table in tables.items()
    }
    return Card(
        contrast=contrast,
        gene=_heading(gene, annotation),
        chrom=window["chrom"],
        start=int(start),
        end=int(end),
        focus=(int(focus[0]), int(focus[1])),
        sequence=decode(codes if forward else reverse_complement(codes)),
        scores=scores if forward else scores[::-1],
        genes=_gene_features(near, window["gene_id"]).reset_index(drop=True),
        tasks=tasks,
        **within,
    )


def _heading(gene: ShownGene, annotation: pd.DataFrame) -> dict[str, Any]:
    window = gene.window
    names = annotation.loc[annotation["gene_id"] == window["gene_id"], "gene_name"]
    tss, _ = _on_genome(window, int(window["mask_start"]), int(window["mask_start"]) + 1)
    return {
        "id": window["gene_id"],
        "name": (names.iloc[0] if len(names) else "") or window["gene_id"],
        "strand": window["strand"],
        "split": window["split"],
        "unseen": bool(window["unseen"]),
        "prediction": window["prediction"],
        "predicted": float(window["predicted"]),
        "measured": float(window["measured"]),
        "window": [int(window["start"]), int(window["end"])],
        "tss": int(tss),
    }


def _on_genome(window: pd.Series, first: Any, last: Any) -> tuple[Any, Any]:
    return to_genome(int(window["start"]), int(window["end"]), window["strand"], first, last)


def _features(window: pd.Series, spans: pd.DataFrame) -> pd.DataFrame:
    """Convert spans of a window to start and end on the genome, keeping their index."""
    start, end = _on_genome(window, spans["window_start"].to_numpy(int), spans["window_end"].to_numpy(int))
    return pd.DataFrame({"start": start, "end": end}, index=spans.index)


def _gene_features(annotation: pd.DataFrame, gene_id: str) -> pd.DataFrame:
    names = annotation["gene_name"].where(annotation["gene_name"] != "", annotation["gene_id"])
    colours = np.where(annotation["gene_id"] == gene_id, DARK, GREY)
    return annotation[["start", "end", "strand", "gene_id"]].assign(name=names, color=colours)


def _peak_features(gene: ShownGene, labels: Mapping[str, PeakLabel]) -> pd.DataFrame:
    peaks = gene.peaks
    found = [labels.get(peak, NO_LABEL) for peak in peaks["peak_id"]]
    return _features(gene.window, peaks).assign(
        name=[_signed(value) for value in peaks["attribution"]],
        color=np.where(peaks["attribution"] > 0, BLUE, VERMILION),
        motif=[label.text for label in found],
        enriched=[label.enriched for label in found],
        best_hit=[label.best_hit for label in found],
        **{column: peaks[column] for column in ("p_value", "q_value") if column in peaks},
    )


def _hit_features(gene: ShownGene) -> pd.DataFrame:
    hits = pd.DataFrame(columns=list(SHOWN_HIT_COLUMNS)) if gene.hits is None else gene.hits
    best = strongest_hits(hits)
    orientation = best["orientation"]
    return _features(gene.window, best).assign(
        name=best["cluster_name"],
        strand=orientation if gene.window["strand"] == "+" else orientation.map({"+": "-", "-": "+"}),
        motif=best["motif_name"] + ", " + best["motif_id"],
        p_value=best["p_value"],
    )


def strongest_hits(hits: pd.DataFrame) -> pd.DataFrame:
    """Return the best hit in each peak of up to `HITS_OF_PEAK` clusters; columns as `SHOWN_HIT_COLUMNS`.

    The cluster that the peak is named after is first. Similar motifs match the same places, so that other hits add nothing.
    """
    best = order_hits(hits).drop_duplicates(["peak_id", "cluster"])
    return best.groupby("peak_id", sort=False).head(HITS_OF_PEAK)


def _variant_features(gene: ShownGene) -> pd.DataFrame:
    variants = pd.DataFrame(columns=list(VARIANT_COLUMNS)) if gene.variants is None else gene.variants
    return variants[["start", "end"]].assign(
        name=[f"{_short(v.ref)}>{_short(v.alt)} {_signed(v.effect_mean)}" for v in variants.itertuples()],
        color=np.where(variants["effect_mean"] > 0, BLUE, VERMILION),
        variant=variants["variant_id"],
        task=variants["task"],
    )


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", "\N{MINUS SIGN}")


def _short(allele: str) -> str:
    return allele if len(allele) <= 8 else f"{allele[:6]}\N{HORIZONTAL ELLIPSIS}{len(allele)}"


def read_strongest_effects(path: Path, genes: Collection[str]) -> pd.DataFrame:
    """Read the scored variants of some genes from effects.tsv, each in the task with its largest |effect_mean|.

    The file is read once, in chunks, because it can be far larger than the selected rows.

    Returns
    -------
    pandas.DataFrame
        variant_id, start, end (0-based, half-open, on the genome), ref, alt, gene_id, task, effect_mean; sorted by gene and
        position.
    """
    gene_ids, kept = list(genes), []
    for chunk in read_chunks(path, dict.fromkeys(VARIANT_COLUMNS, str)):
        chunk = chunk[chunk["gene_id"].isin(gene_ids)]
        chunk = chunk.assign(effect_mean=pd.to_numeric(chunk["effect_mean"], errors="coerce").astype(float))
        kept.append(chunk[chunk["effect_mean"].notna()])
    table = pd.concat(kept, ignore_index=True)
    table = table.assign(size=table["effect_mean"].abs(), start=table["start"].astype(int), end=table["end"].astype(int))
    strongest = table.sort_values(["size", "task"], ascending=[False, True]).drop_duplicates(["variant_id", "alt", "gene_id"])
    return strongest.sort_values(["gene_id", "start", "variant_id", "alt"])[list(VARIANT_COLUMNS)].reset_index(drop=True)
