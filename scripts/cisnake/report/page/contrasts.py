"""Data that the page shows per contrast: checks of the attributions, and motifs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cisnake.data import Motif
from cisnake.report.page.motifs import show_motifs
from cisnake.report.page.trust import count_quality
from cisnake.report.results import ContrastResults, Results
from cisnake.report.thresholds import SURE_Q


def show_contrasts(results: Results, matrices: Mapping[str, Motif], n_motifs: int) -> list[dict[str, Any]]:
    """Return the data of each contrast for trust.html and motifs.html.

    Parameters
    ----------
    results: Results
    matrices: mapping of str to Motif
        By motif_id; for logos.
    n_motifs: int
        Maximum number of motif clusters to show per contrast.
    """
    scored = results.evaluations[0].contrasts
    scores = scored.set_index("contrast")[["verdict", "pearson", "pearson_low", "pearson_high"]].to_dict("index")
    unknown = {"verdict": "", "pearson": math.nan, "pearson_low": math.nan, "pearson_high": math.nan}
    return [
        {
            "index": i,
            "name": contrast.name,
            "attrs": contrast.attributions.attrs,
            **scores.get(contrast.name, unknown),
            **_count_peaks(contrast),
            **show_motifs(contrast, matrices, n_motifs),
        }
        for i, contrast in enumerate(results.contrasts)
    ]


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
