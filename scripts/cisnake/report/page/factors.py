"""The table of factors: genes that the motifs are named after, and whether they are expressed where the motif acts."""

from __future__ import annotations

from typing import Any

import pandas as pd

from cisnake.report.effect_map import ACTING

MAX_FACTORS = 40


def show_factors(factors: pd.DataFrame | None) -> dict[str, Any] | None:
    """Return the data of factors.html: one row per acting motif and gene, in the contrast on which the motif acts most.

    Rows are ordered by the absolute correlation over contrasts, then by the absolute effect.

    Parameters
    ----------
    factors: pandas.DataFrame, optional
        motifs/factors.tsv. Default None: factors were not looked for.
    """
    if factors is None:
        return None
    acting = factors[factors["verdict"].isin(ACTING)].assign(
        size=factors["insertion_mean"].abs(), sure=factors["pearson"].abs()
    )
    known = acting[acting["gene_id"] != ""]
    best = known.sort_values("size", ascending=False, kind="stable").drop_duplicates(["motif_id", "gene_id"])
    best = best.sort_values(["sure", "size"], ascending=False, na_position="last", kind="stable")
    unmatched = set(acting["motif_name"]) - set(known["motif_name"])
    return {"rows": best.head(MAX_FACTORS).to_dict("records"), "n": len(best), "unmatched": sorted(unmatched)}
