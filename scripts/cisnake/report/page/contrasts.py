"""Data that the page shows per contrast: checks of the attributions, motifs and genes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from cisnake.data import Motif
from cisnake.report import igv_views
from cisnake.report.page.genes import show_gene
from cisnake.report.page.motifs import show_motifs
from cisnake.report.page.trust import count_quality
from cisnake.report.results import ContrastResults, Results, read_hits_of_genes
from cisnake.report.shown_genes import ShownGene, best_hits, best_region, choose_shown_genes
from cisnake.report.thresholds import SURE_Q


def show_contrasts(
    results: Results, matrices: Mapping[str, Motif], effects: Path, n_genes: int, n_motifs: int
) -> list[dict[str, Any]]:
    """Return the data of each contrast for trust.html, motifs.html, genes.html and the browser.

    Parameters
    ----------
    results: Results
    matrices: mapping of str to Motif
        By motif_id; for logos.
    effects: Path
        variants/effects.tsv, read only if variants were scored.
    n_genes, n_motifs: int
        Maximum number of genes and of motif clusters to show per contrast.
    """
    chosen = [choose_shown_genes(c.attributions.windows, n_genes) for c in results.contrasts]
    scored = results.evaluations[0].contrasts
    verdicts = dict(zip(scored["contrast"], scored["verdict"], strict=True))
    gene_ids = {gene for windows, _ in chosen for gene in windows["gene_id"]}
    variants = None if results.variants is None else igv_views.read_strongest_effects(effects, gene_ids)
    shown = []
    for i, (contrast, (windows, how)) in enumerate(zip(results.contrasts, chosen, strict=True)):
        genes, views = _genes(f"c{i}", contrast, windows, results.genes, variants)
        shown.append(
            {
                "index": i,
                "name": contrast.name,
                "attrs": contrast.attributions.attrs,
                "verdict": verdicts.get(contrast.name, ""),
                "how": how,
                "genes": genes,
                "views": views,
                **_count_peaks(contrast),
                **show_motifs(contrast, matrices, n_motifs),
            }
        )
    return shown


def _count_peaks(contrast: ContrastResults) -> dict[str, Any]:
    peaks, attributions = contrast.peaks, contrast.attributions
    return {
        "n_genes": len(attributions),
        "n_peaks": len(peaks),
        "n_positive": int((peaks["attribution"] > 0).sum()),
        "n_sure": int((peaks["q_value"] <= SURE_Q).sum()) if peaks["q_value"].notna().any() else None,
        "n_null": attributions.n_null,
        "quality": count_quality(attributions.quality, attributions.windows),
    }


def _genes(
    name: str, contrast: ContrastResults, windows: pd.DataFrame, annotation: pd.DataFrame, variants: pd.DataFrame | None
) -> tuple[list[dict[str, Any]], list[igv_views.View]]:
    """Return the genes of a contrast and their browser views; `name` is the prefix of the ids of their figures."""
    attributions = contrast.attributions
    hits = None if contrast.hits is None else read_hits_of_genes(contrast.hits, windows["gene_id"])
    labels = {} if hits is None else best_hits(hits)
    genes, views = [], []
    for i, (_, window) in enumerate(windows.iterrows()):
        gene_id = window["gene_id"]
        tables = [table if table is None else table[table["gene_id"] == gene_id] for table in (contrast.peaks, hits, variants)]
        values, sequences = attributions.read_block(window["row"], window["row"] + 1)
        scores = values[0].sum(axis=0)
        gene = ShownGene(window, sequences[0], scores, best_region(scores), *tables)
        genes.append(show_gene(f"{name}g{i}", gene, labels, annotation))
        views.append(igv_views.make_view(contrast.name, gene, annotation))
    return genes, views
