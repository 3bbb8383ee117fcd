"""The inputs section: genes that were kept, dropped and held out."""

from __future__ import annotations

from typing import Any

from cisnake.report import figures
from cisnake.report.results import Results

# Why a measured TSS is not used, in the order of `gene_windows.TSS_OUTCOMES`.
_UNUSED_TSS = {
    "unknown_id": "of no annotated gene",
    "chromosome": "on another chromosome",
    "strand": "on the other strand",
    "distance": "too far away",
    "not_nearest": "not the nearest",
    "gene_dropped": "of a dropped gene",
}


def show_inputs(results: Results) -> dict[str, Any]:
    """Return the data for inputs.html: counts of genes by reason for exclusion and by split, with figures."""
    summary = results.summary
    reasons = dict(sorted(summary["dropped"].items(), key=lambda item: (-item[1], item[0])))
    tss = summary.get("tss_bed", {})
    details = results.dropped.groupby("reason")["detail"].first() if len(results.dropped) else {}
    sources = summary.get("tss_source", {})
    return {
        "summary": summary,
        "middles": {source: sources.get(source, 0) for source in ("summit", "middle")}
        if {"summit", "middle"} & {*sources}
        else None,
        "background": summary.get("background"),
        "reasons": [(reason, n, details.get(reason, "")) for reason, n in reasons.items()],
        "kept": figures.draw_counts("kept", {"kept": summary["n_kept"], **reasons}, "genes", highlight="kept"),
        "tss_used": tss.get("used", 0) if tss else None,
        "tss_unused": [(tss[outcome], words) for outcome, words in _UNUSED_TSS.items() if outcome in tss],
        "splits": figures.draw_splits(results.genes),
        "split": {split: int((results.genes["split"] == split).sum()) for split in ("train", "val", "test")},
    }
