"""The scores section: how well genes, and the bins of coverage runs, are predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from cisnake.report import figures
from cisnake.report.results import Coverage, Evaluation, read_predictions
from cisnake.report.words import number

MAX_TASK_ROWS = 500
_PARTS = {"network": "ensemble, networks alone", "words": "ensemble, words alone"}
QUARTILES = {0.25: "lower quartile", 0.5: "median", 0.75: "upper quartile"}


def show_evaluation(evaluation: Evaluation) -> dict[str, Any]:
    """Return the data of one split for scores.html: scores per predictor and per task, and figures."""
    split, summary = evaluation.split, evaluation.summary
    tasks = evaluation.tasks.sort_values(["pearson", "task"], ascending=[False, True], na_position="last")
    ranked = tasks.dropna(subset=["pearson"])
    singles = [scores["pearson_median"] for scores in summary["replicates"] if scores["pearson_median"] is not None]
    mean = float(np.mean(singles)) if singles else None
    model = summary["model"]["pearson_median"]
    compared = tasks.dropna(subset=["pearson", "kmer_ridge_pearson"])
    return {
        "split": split,
        "summary": summary,
        "rows": [
            *_predictors(summary),
            (_ridge(summary), summary["baselines"]["kmer_ridge"]),
            ("mean of the training genes", summary["baselines"]["train_mean"]),
        ],
        "single_mean": mean,
        "gain": model - mean if model is not None and mean is not None and len(singles) > 1 else None,
        "n_singles": len(singles),
        "n_better": int((compared["pearson"] > compared["kmer_ridge_pearson"]).sum()),
        "n_compared": len(compared),
        "n_undefined": len(tasks) - len(ranked),
        "baseline": figures.draw_baseline(split, tasks) if len(compared) else "",
        "groups": figures.draw_groups(split, tasks) if figures.has_groups(ranked) else "",
        "examples": _scatters(evaluation, ranked),
        "tasks": tasks.head(MAX_TASK_ROWS).to_dict("records"),
        "n_tasks": len(tasks),
        "replicates": [column for column in tasks if column.startswith("replicate_") and column.endswith("_pearson")],
    }


def _ridge(summary: dict[str, Any]) -> str:
    """Return the name of the baseline, with its window and penalty if all folds chose the same."""
    if not summary["baselines"]["kmer_ridge"]["ridges"]:
        return "ridge regression on k-mers"
    chosen = {(ridge["upstream"], ridge["downstream"], ridge["words"], ridge["penalty"]) for ridge in
              summary["baselines"]["kmer_ridge"]["ridges"]}  # fmt: skip
    if len(chosen) > 1:
        return "ridge regression on k-mers (chosen by fold)"
    upstream, downstream, words, penalty = chosen.pop()
    return f"ridge regression on {words} k-mers, −{upstream} to +{downstream} bp, penalty {penalty:,.0f}"


def _predictors(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return names and scores of the ensemble, of its parts alone (if it has parts), and of each replicate."""
    return [
        ("ensemble", summary["model"]),
        *((_PARTS[name], scores) for name, scores in summary.get("parts", {}).items()),
        *((f"replicate {i}", scores) for i, scores in enumerate(summary["replicates"])),
    ]


def _scatters(evaluation: Evaluation, ranked: pd.DataFrame) -> list[Markup]:
    """Draw measured against predicted values for the median and the best task, or once if there is only one task."""
    if evaluation.predictions is None or ranked.empty:
        return []
    scatters = []
    for what, place in (("median", len(ranked) // 2), ("best", 0))[: len(ranked)]:
        row = ranked.iloc[place]
        measured, predicted = read_predictions(evaluation.predictions, row["task"])
        title = f"{what} task, r = {number(row['pearson'])}"
        name = ": ".join(filter(None, (row["task"], row.get("description", ""))))
        scatters.append(figures.draw_predictions(f"{what}-{evaluation.split}", measured, predicted, title, name))
    return scatters


def show_coverage(coverage: Coverage) -> dict[str, Any]:
    """Return the data of the bins of one split for scores.html: scores per predictor and per task, and example tiles."""
    summary, tasks = coverage.summary, coverage.tasks.sort_values("pearson", ascending=False, na_position="last")
    examples = []
    for i, (quantile, tile) in enumerate(coverage.examples.groupby("quantile", sort=True)):
        title = f"tile at the {QUARTILES[quantile]} (r = {number(tile['pearson'].iloc[0])})"
        examples.append(figures.draw_tile(f"tile-{coverage.split}-{i}", tile, title))
    return {
        "split": coverage.split,
        "summary": summary,
        "rows": [
            *_predictors(summary),
            *([("scored against the other strand", summary["partner_strand"])] if "partner_strand" in summary else []),
            ("ridge regression on k-mers", summary["baselines"]["kmer_ridge"]),
            ("mean profile around TSSs", summary["baselines"]["tss_profile"]),
            ("mean of the training tiles", summary["baselines"]["train_mean"]),
        ],
        "tasks": tasks.head(MAX_TASK_ROWS).to_dict("records"),
        "n_tasks": len(tasks),
        "examples": examples,
    }
