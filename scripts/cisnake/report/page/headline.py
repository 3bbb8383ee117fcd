"""The summary at the top of the page: how well the models predict, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cisnake.evaluate import NOT_TO_INTERPRET
from cisnake.report.results import Results
from cisnake.report.words import count, number

_HELD_OUT = {
    "test": "the models saw neither in training nor to choose when to stop",
    "val": "the models did not train on, but stopped by",
    "train": "the models were trained on",
}

_IN_WORDS = {"test": "held-out", "val": "validation", "train": "training"}
_MAX_NAMES = 8
_MEANING = {
    "well above the baseline": "the model is well above this baseline.",
    "at the baseline": "the model is at this baseline, not clearly above it.",
    "below the baseline": "the model is below this baseline.",
    "no better than the mean": "the model is no better than predicting the mean.",
    "unknown": "whether the model is better cannot be told from these genes.",
}
_PREDICTED = {"no better than the mean": "no better than by the mean", "below the baseline": "worse than by the baseline"}
_ADVICE = "Do not interpret the peaks, motifs and genes below before it predicts better."


def write_headline(results: Results) -> str:
    """Return the sentences that interpret the numbers at the top of the page."""
    main = results.evaluations[0]
    summary = main.summary
    if not main.measured:
        return (
            f"Trained networks predict {count(summary['n_tasks'])} tasks of {count(summary['n_genes'])} genes. Nothing was "
            "measured in this run, so it cannot tell how well the networks predict these genes."
        )
    intervals = summary["intervals"] or {}
    held_out = f"of the {main.split} split" if summary.get("seen") else f"that {_HELD_OUT[main.split]}"
    parts = [
        f"On {count(summary['n_genes'])} genes {held_out}, predicted and measured values of the median "
        f"task correlate over genes with r = {bounded(summary['model']['pearson_median'], intervals.get('pearson'))}. "
        f"A ridge regression on k-mer counts, which knows what the sequence contains but not where, reaches "
        f"{bounded(summary['baselines']['kmer_ridge']['pearson_median'], intervals.get('kmer_ridge_pearson'))}: "
        f"{_MEANING[summary['verdict']]}"
    ]
    if background := summary.get("background"):
        parts.append(_without_background(background))
    if summary["ceiling"] != "unknown":
        parts.append(f"Replicates agree so well that no prediction can exceed r = {number(summary['ceiling'])}.")
    if summary["conditions"]:
        parts.append(_conditions(summary["conditions"]))
    if not intervals:
        parts.append("Fewer than 30 groups of neighbouring genes were scored, too few for intervals.")
    if results.recovery:
        parts.append(_recovered(results.recovery))
    return " ".join(parts)


def warnings(results: Results) -> list[str]:
    """Return the sentences that must be read first: what the model does not predict, and therefore does not explain."""
    main = results.evaluations[0]
    if not main.measured:
        return []
    found = []
    if main.summary["verdict"] in NOT_TO_INTERPRET:
        found.append(f"The model is {main.summary['verdict']} on {_IN_WORDS[main.split]} genes. {_ADVICE}")
    if main.summary.get("seen"):
        found += _seen(main.summary)
    for verdict in NOT_TO_INTERPRET:
        names = main.contrasts.loc[main.contrasts["verdict"] == verdict, "contrast"].tolist()
        if names:
            found.append(
                f"{name_contrasts(names)} predicted {_PREDICTED[verdict]}. Do not interpret the peaks, motifs and genes of "
                f"{'this contrast' if len(names) == 1 else 'these contrasts'}."
            )
    return found


def name_contrasts(names: Sequence[str]) -> str:
    """Return the beginning of a sentence about contrasts.

    Examples
    --------
    >>> name_contrasts(["heat"]), name_contrasts(["heat", "acid"])
    ('The contrast heat is', 'The contrasts heat, acid are')
    """
    shown = ", ".join(names[:_MAX_NAMES]) + (f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else "")
    return f"The contrast {shown} is" if len(names) == 1 else f"The contrasts {shown} are"


def _seen(summary: dict[str, Any]) -> list[str]:
    """Return what is known about genes that networks from elsewhere were trained on."""
    seen, n = summary["seen"], count(summary["n_genes"])
    if seen["n_seen"] == "unknown":
        return [
            "The networks come from elsewhere. On which genes they were trained is not known (model.trained_on): if genes that "
            "are scored here are among them, the scores are too good."
        ]
    if not seen["n_seen"]:
        return []
    if seen["model"] is None:
        return [f"The networks were trained on all {n} genes scored here: nothing is held out."]
    r, ridge = (number(seen[name]["pearson_median"]) for name in ("model", "kmer_ridge"))
    return [
        f"The networks were trained on {count(seen['n_seen'])} of the {n} genes scored here. Without these, r = {r}, and "
        f"{ridge} for the ridge regression."
    ]


def _without_background(background: dict[str, Any]) -> str:
    r, ridge = (number(background[name]["pearson_median"]) for name in ("model", "kmer_ridge"))
    return (
        f"These include {count(background['n_background'])} background regions. Among the others, which tells whether regions "
        f"are told apart from each other and not only from background, r = {r}, and {ridge} for the ridge regression."
    )


def bounded(value: float | None, interval: Any) -> str:
    """Return a score with its 95% interval, if there is one."""
    return number(value) + (f" ({number(interval[0])} to {number(interval[1])})" if interval else "")


def _conditions(scores: dict[str, Any]) -> str:
    best = "" if scores["ceiling"] == "unknown" else f"; at most {number(scores['ceiling'])} is possible"
    return (
        f"For the mean of each condition's replicates, r = {number(scores['model']['pearson_median'])} "
        f"(ridge regression: {number(scores['kmer_ridge']['pearson_median'])}{best})."
    )


def _recovered(recovery: dict[str, Any]) -> str:
    return (
        f"The genome is simulated, and its noise lets no model beyond r = {number(recovery.get('pearson_possible'))}. "
        f"{count(recovery.get('motifs_recovered'))} of {count(recovery.get('motifs_planted'))} planted motifs were found "
        f"again, and {count(recovery.get('decoys_called'))} of {count(recovery.get('decoys_planted'))} decoys taken for motifs."
    )
