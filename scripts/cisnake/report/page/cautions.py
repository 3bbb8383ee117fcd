"""How sure the results are, and what to distrust: sentences that follow from the checks by fixed rules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cisnake.evaluate import AT_BASELINE
from cisnake.report.page.headline import name_contrasts
from cisnake.report.results import Results
from cisnake.report.thresholds import SURE_Q
from cisnake.report.words import count, number, share

LEAST_AGREEMENT = 0.5
"""Replicates whose attributions correlate less than this do not agree on single bases."""

MOST_INCOMPLETE = 0.1
"""Attributions that miss more than this share of the predicted difference are incomplete."""

LEAST_SURE = 0.1
"""If no more peaks than this share are confident, most are as high as peaks in shuffled sequence."""

MOST_RANDOM = 0.3
"""Attributions that correlate more than this with those of random weights follow the sequence, not the training."""


def describe_certainty(contrasts: Sequence[Mapping[str, Any]]) -> str:
    """Return one or two sentences on how well the attributions of all contrasts pass their checks.

    Parameters
    ----------
    contrasts: list of dict
        As `show_contrasts` returns them.
    """
    parts = []
    for column, words in (
        ("replicates", "between replicates of the network"),
        ("ism", "with the effects of mutating each base (rank correlation)"),
        ("random_weights", "with those of a network with random weights"),
    ):
        if np.isfinite(value := _median(contrasts, column)):
            parts.append(f"{number(value, 2)} {words}")
    sentences = [f"Attributions correlate {_and(parts)}."] if parts else []
    if np.isfinite(value := _median(contrasts, "completeness")):
        sentences.append(f"Their sums miss {share(value, 1)} of the predicted difference.")
    judged = [contrast for contrast in contrasts if contrast["n_sure"] is not None]
    if judged:
        n_sure, n_peaks = (sum(contrast[name] for contrast in judged) for name in ("n_sure", "n_peaks"))
        sentences.append(f"Of {count(n_peaks)} peaks, {count(n_sure)} have q ≤ {SURE_Q}.")
    return " ".join(sentences)


def list_cautions(results: Results, contrasts: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what to distrust, most important first.

    Parameters
    ----------
    results: Results
    contrasts: list of dict
        As `show_contrasts` returns them.
    """
    main = results.evaluations[0]
    found = []

    def of(condition: Callable[[Mapping[str, Any]], bool], text: str) -> None:
        if names := [contrast["name"] for contrast in contrasts if condition(contrast)]:
            found.append(text.format(name_contrasts(names)))

    if main.measured and main.summary["verdict"] == AT_BASELINE:
        found.append(
            "The network predicts no better than words without places: its peaks may not be needed to explain the data."
        )
    of(lambda c: c["verdict"] == AT_BASELINE, "{} predicted as well by words without places: single sites may not matter.")
    of(
        lambda c: (
            c["quality"]["n_measured"] and c["quality"]["n_correct"] <= c["quality"]["by_chance"] * c["quality"]["n_measured"]
        ),
        "{} predicted correctly in no more genes than by chance.",
    )
    of(
        lambda c: c["quality"]["replicates"] < LEAST_AGREEMENT,
        f"{{}} attributed differently by each replicate (r < {LEAST_AGREEMENT}): trust motifs of many genes, not single bases.",
    )
    of(
        lambda c: c["quality"]["random_weights"] > MOST_RANDOM,
        f"{{}} attributed much as by random weights (r > {MOST_RANDOM}): attributions follow the sequence, not the training.",
    )
    of(
        lambda c: c["quality"]["completeness"] > MOST_INCOMPLETE,
        f"{{}} attributed incompletely: sums miss more than {MOST_INCOMPLETE:.0%} of the predicted difference.",
    )
    of(
        lambda c: c["n_sure"] is not None and c["n_peaks"] and c["n_sure"] <= LEAST_SURE * c["n_peaks"],
        f"{{}} explained by few sure peaks: only {LEAST_SURE:.0%} or fewer have q ≤ {SURE_Q}.",
    )
    if contrasts and all(contrast["n_sure"] is None for contrast in contrasts):
        found.append("Peaks have no q-values, because no shuffled windows were attributed (attribution.null_windows).")
    of(
        lambda c: c["scanned"] and not c["n_enriched"],
        "{} without any enriched motif: take the motifs that are listed as noise.",
    )
    if main.measured and main.summary.get("ceiling") == "unknown":
        found.append("How well any model could predict is not known, because no replicates of measurements are named.")
    if len({training.replicate for training in results.trainings}) == 1:
        found.append("There is one network only: how much the results depend on its random seed is not known.")
    if results.variants is not None and results.variants.significant is None:
        found.append("Effects of variants have no q-values, because no control variants were scored (variants.controls).")
    if any(contrast["attrs"]["off_tasks"] for contrast in contrasts):
        found.append(
            "A contrast against other tasks moves from either side: a motif that lowers the other tasks raises the contrast."
        )
    return found


def _median(contrasts: Sequence[Mapping[str, Any]], column: str) -> float:
    values = [contrast["quality"][column] for contrast in contrasts]
    return float(np.nanmedian(values)) if np.isfinite(values).any() else np.nan


def _and(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]
