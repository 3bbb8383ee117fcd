"""The genes section: the table of all genes of each contrast, and the cards of the best ones, packed into the page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cisnake.interpret import CORRECT, POOR
from cisnake.report.cards import CARD_FILES, CardReader, block_rows, choose_shown_genes, pack_card, pack_table
from cisnake.report.results import ContrastResults, Results

# Limits for the cards in the page: their bytes, shared equally by the contrasts; and the number of cards in contrasts other
# than that for which a gene was chosen.
PAGE_BYTES = 12_000_000
MAX_CARDS = 2_000

UNIT_COLUMNS = ("gene_id", "gene_name", "chrom", "start", "end", "strand", "split")


def show_cards(results: Results, n_genes: int, effects: Path | None, with_files: bool) -> dict[str, Any]:
    """Return the data of genes.html: `data` for the script, and how the genes of each contrast were chosen.

    Of each contrast, the page has the cards of the `n_genes` best genes, as far as its share of `PAGE_BYTES` suffices. If there
    are no more than `MAX_CARDS`, it has the cards of these genes in all contrasts.

    Parameters
    ----------
    results: Results
        With at least one contrast.
    n_genes: int
        Maximum number of genes to choose for each contrast.
    effects: Path, optional
        variants/effects.tsv. Default None: no variants were scored.
    with_files: bool
        Whether the cards of all genes lie beside the page (`write_card_files`).
    """
    chosen = [choose_shown_genes(contrast.attributions.windows, n_genes) for contrast in results.contrasts]
    units = pd.concat([c.attributions.windows for c in results.contrasts]).drop_duplicates("gene_id", ignore_index=True)
    units = units.merge(results.genes[["gene_id", "gene_name"]], on="gene_id", how="left", validate="1:1")
    units["gene_name"] = units["gene_name"].where(units["gene_name"].fillna("") != "", units["gene_id"])
    numbers = dict(zip(units["gene_id"], range(len(units)), strict=True))
    shown = {gene for genes, _ in chosen for gene in genes["gene_id"]}
    everywhere = len(shown) * len(results.contrasts) <= MAX_CARDS
    contrasts = []
    for contrast, (genes, _) in zip(results.contrasts, chosen, strict=True):
        best = genes["row"].tolist()
        reader = CardReader(contrast, results.genes, results.evaluations, shown if everywhere else genes["gene_id"], effects)
        others = reader.windows.index[reader.windows["gene_id"].isin(shown)].difference(best).tolist() if everywhere else []
        contrasts.append(
            {
                "name": contrast.name,
                "table": pack_table(_gene_table(contrast, reader.windows, best, numbers)),
                "cards": _pack_cards(reader, [*best, *others], PAGE_BYTES // len(results.contrasts)),
            }
        )
    data = {
        "units": pack_table(units[list(UNIT_COLUMNS)]),
        "contrasts": contrasts,
        "measured": results.evaluations[0].measured,
        "unit": "region" if {"summit", "middle"} & {*results.summary.get("tss_source", {})} else "gene",
        "files": CARD_FILES if with_files else None,
        "block": block_rows(results.contrasts[0].attributions.length),
    }
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    return {"data": Markup(text), "how": [how for _, how in chosen]}


def _gene_table(contrast: ContrastResults, windows: pd.DataFrame, best: list[int], numbers: dict[str, int]) -> pd.DataFrame:
    """Return one row per gene in file order; `rank` has the chosen genes first, then the others by distance from the median."""
    far = (windows["predicted"] - windows["predicted"].median()).abs().to_numpy(float)
    far[best] = np.inf
    order = np.argsort(-np.nan_to_num(far, posinf=np.inf, nan=-1), kind="stable")
    order[: len(best)] = best
    rank = np.empty(len(order), int)
    rank[order] = np.arange(1, len(order) + 1)
    peaks = contrast.peaks["gene_id"].value_counts()
    judged = windows["prediction"].map({CORRECT: 0, POOR: 1}).fillna(2).astype(int)
    return pd.DataFrame(
        {
            "unit": windows["gene_id"].map(numbers),
            "predicted": windows["predicted"].astype(float),
            "measured": windows["measured"].astype(float),
            "judged": judged,
            "peaks": windows["gene_id"].map(peaks).fillna(0).astype(int),
            "rank": rank,
        }
    )


def _pack_cards(reader: CardReader, rows: list[int], budget: int) -> dict[int, str]:
    cards: dict[int, str] = {}
    for row in rows:
        packed = pack_card(reader.read(row))
        budget -= len(packed)
        if budget < 0 and cards:
            break
        cards[row] = packed
    return cards
