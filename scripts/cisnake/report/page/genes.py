"""The genes section: attributions over the window of each gene, and a logo of its strongest region."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cisnake.data.genome import to_genome
from cisnake.report import figures, logos
from cisnake.report.shown_genes import ShownGene
from cisnake.report.words import DASH


def show_gene(name: str, gene: ShownGene, labels: Mapping[str, str], annotation: pd.DataFrame) -> dict[str, Any]:
    """Return the data of one gene for genes.html.

    Parameters
    ----------
    name: str
        Prefix of the ids of its figures.
    gene: ShownGene
    labels: mapping of str to str
        Labels above peaks, by peak_id.
    annotation: pandas.DataFrame
        gene_id and gene_name of the genes of the run.
    """
    window, (first, last) = gene.window, gene.region
    gene_id = window["gene_id"]
    names = annotation.loc[annotation["gene_id"] == gene_id, "gene_name"]
    gene_name = (names.iloc[0] if len(names) else "") or gene_id
    start, end, strand = int(window["start"]), int(window["end"]), window["strand"]
    low, high = to_genome(start, end, strand, first, last)
    place = f"{window['chrom']}:{low}{DASH}{high}"
    spans = list(zip(gene.peaks["window_start"], gene.peaks["window_end"], strict=True))
    return {
        "gene_id": gene_id,
        "gene_name": gene_name,
        "window": f"{window['chrom']}:{start}{DASH}{end}",
        "strand": strand,
        **{key: window[key] for key in ("split", "unseen", "prediction", "predicted", "measured")},
        "n_peaks": len(gene.peaks),
        "region": place,
        "from_tss": [position - int(window["mask_start"]) for position in (first, last)],
        "track": figures.draw_track(
            name, gene.scores, window, spans, (first, last), f"Attribution over the window of {gene_name}"
        ),
        "logo": logos.draw_attribution(
            gene.codes[first:last],
            gene.scores[first:last],
            f"Attribution logo of {gene_name}, {place}",
            _boxes(gene, labels),
            [(x - first, label) for x, label in figures.genome_ticks(start, end, strand, first, last, 6)],
            figures.axis_label(window),
        ),
    }


def _boxes(gene: ShownGene, labels: Mapping[str, str]) -> list[logos.Box]:
    """Return the peaks in the region of the logo, truncated to the region."""
    first, last = gene.region
    return [
        logos.Box(max(peak.window_start - first, 0), min(peak.window_end, last) - first, labels.get(peak.peak_id, ""))
        for peak in gene.peaks.itertuples()
        if peak.window_start < last and peak.window_end > first
    ]
