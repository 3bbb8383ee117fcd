"""The inputs section: genes that were kept, dropped and held out."""

from __future__ import annotations

from typing import Any

from cisnake.report import figures
from cisnake.report.results import Results


def show_inputs(results: Results) -> dict[str, Any]:
    """Return the data for inputs.html: counts of genes by reason for exclusion and by split, with figures."""
    summary = results.summary
    reasons = dict(sorted(summary["dropped"].items(), key=lambda item: (-item[1], item[0])))
    details = results.dropped.groupby("reason")["detail"].first() if len(results.dropped) else {}
    return {
        "summary": summary,
        "reasons": [(reason, n, details.get(reason, "")) for reason, n in reasons.items()],
        "kept": figures.draw_counts("kept", {"kept": summary["n_kept"], **reasons}, "genes", highlight="kept"),
        "splits": figures.draw_splits(results.genes),
        "split": {split: int((results.genes["split"] == split).sum()) for split in ("train", "val", "test")},
    }
