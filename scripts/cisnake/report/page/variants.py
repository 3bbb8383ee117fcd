"""The variants section: how many variants were scored, and the largest effects."""

from __future__ import annotations

from typing import Any

from cisnake.report import figures
from cisnake.report.results import VariantSummary


def show_variants(variants: VariantSummary | None) -> dict[str, Any] | None:
    """Return the data for variants.html: counts with a figure, and one row per variant with a large effect."""
    if variants is None:
        return None
    return {
        "n_variants": variants.n_variants,
        "n_pairs": sum(variants.status.values()),
        "status": figures.draw_counts("status", variants.status, "variants × genes") if variants.status else "",
        "top": variants.top.to_dict("records"),
        "significant": variants.significant,
    }
