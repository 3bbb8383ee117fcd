"""The summary at the top of the page: how well the models predict, and what follows from it."""

from __future__ import annotations

from typing import Any

from cisnake.report.results import Results
from cisnake.report.words import count, number

_HELD_OUT = {
    "test": "the models saw neither in training nor to choose when to stop",
    "val": "the models did not train on, but stopped by",
    "train": "the models were trained on",
}


def write_headline(results: Results) -> str:
    """Return the sentences that interpret the numbers at the top of the page."""
    main = results.evaluations[0]
    model = main.summary["model"]["pearson_median"]
    ridge = main.summary["baselines"]["kmer_ridge"]["pearson_median"]
    parts = [
        f"On {count(main.summary['n_genes'])} genes that {_HELD_OUT[main.split]}, predicted and measured values of the median "
        f"task correlate over genes with r = {number(model)}."
    ]
    if model is not None and ridge is not None:
        parts.append(_compare(model, ridge))
    if results.recovery:
        parts.append(_recovered(results.recovery))
    return " ".join(parts)


def _compare(model: float, ridge: float) -> str:
    if model > ridge:
        return (
            f"A ridge regression on k-mer counts, which knows what the sequence holds but not where, reaches {number(ridge)}: "
            f"the difference of {number(model - ridge)} is what the network adds."
        )
    return (
        f"A ridge regression on k-mer counts reaches {number(ridge)}: the network is no better than that, so do not trust the "
        "motifs and effects below before it is."
    )


def _recovered(recovery: dict[str, Any]) -> str:
    return (
        f"The genome is simulated, and its noise lets no model beyond r = {number(recovery.get('pearson_possible'))}. "
        f"{count(recovery.get('motifs_recovered'))} of {count(recovery.get('motifs_planted'))} planted motifs were found "
        f"again, and {count(recovery.get('decoys_called'))} of {count(recovery.get('decoys_planted'))} decoys taken for motifs."
    )
