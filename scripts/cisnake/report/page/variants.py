"""The section of variants: how many were scored, and the largest effects."""

from __future__ import annotations

from typing import Any

from cisnake.report import figures
from cisnake.report.results import VariantSummary


def show_variants(variants: VariantSummary | None) -> dict[str, Any] | None:
    """Return what variants.html needs: counts, their figure, and a row for each of the largest effects."""
    if variants is None:
        return None
    return {
        "n_variants": variants.n_variants,
        "n_pairs": sum(variants.status.values()),
        "status": figures.draw_counts("status", variants.status, "variants × genes") if variants.status else "",
        "top": variants.top.to_dict("records"),
    }
