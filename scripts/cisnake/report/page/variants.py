"""The variants section: how many variants were scored, and the largest effects."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cisnake.report import figures
from cisnake.report.page.explained_variants import show_explained
from cisnake.report.results import VariantSummary


def show_variants(variants: VariantSummary | None, genes: pd.DataFrame) -> dict[str, Any] | None:
    """Return the data for variants.html: counts with a figure, a row per variant with a large effect, and pictures.

    Parameters
    ----------
    variants: VariantSummary, optional
        None: no variants were scored.
    genes: pandas.DataFrame
        gene_id and gene_name of the genes of the run.
    """
    if variants is None:
        return None
    explained = None
    if variants.explanations is not None and variants.motif_changes is not None:
        explained = show_explained(variants.explanations, variants.motif_changes, genes)
    return {
        "n_variants": variants.n_variants,
        "n_pairs": sum(variants.status.values()),
        "status": figures.draw_counts("status", variants.status, "variants × genes") if variants.status else "",
        "top": variants.top.to_dict("records"),
        "significant": variants.significant,
        "explained": explained,
    }
