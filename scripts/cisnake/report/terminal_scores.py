"""The scores of a run as the terminal shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cisnake.errors import InputError
from cisnake.evaluate import NOT_TO_INTERPRET
from cisnake.report.words import count, number

_MAX_CONTRASTS = 5

_IN_WORDS = {"unknown": "too few genes for a verdict"}


def score_lines(results: Path, split: str = "test") -> list[str]:
    """Return the path of a run's report and its main scores, a line each.

    Parameters
    ----------
    results: Path
        `results/<run>`.
    split: str
        Split whose scores are printed, `test` or `val`; the other one if this split was not evaluated.

    Returns
    -------
    list of str
        Empty if the folder has no report. Scores are Pearson r over genes (in coverage runs also over bins), the median over
        tasks, beside those of the k-mer ridge; in simulated runs also the shares of the planted truth that were found.

    Raises
    ------
    InputError
        A file of scores is damaged.
    """
    if not (results / "report.html").is_file():
        return []
    other = {"test": "val", "val": "test"}[split]
    folder = next((path for name in (split, other) if (path := results / "evaluation" / name).is_dir()), None)
    rows = []
    if folder:
        for file, unit in (("summary.json", "genes"), ("bins.json", "bins")):
            if (folder / file).is_file():
                rows += _rows(folder / file, partial(_score, unit=unit, split=folder.name))
    if (results / "recovery.json").is_file():
        rows += _rows(results / "recovery.json", _recovery)
    width = max((len(name) for name, _ in rows), default=0)
    return [f"Report: {results / 'report.html'}", *(f"  {name:<{width}}  {value}" for name, value in rows)]


def _score(summary: dict[str, Any], unit: str, split: str) -> list[tuple[str, str]]:
    if not summary.get("measured", True):
        return [("predicted, nothing measured", f"{summary['n_genes']:,} genes, {summary['n_tasks']:,} tasks")]
    over = f"over {'held-out' if split == 'test' else 'validation'} {unit}"
    model, ridge = summary["model"]["pearson_median"], summary["baselines"]["kmer_ridge"]["pearson_median"]
    rows = [(f"Pearson r {over}", _compare(model, ridge, summary["verdict"]))]
    if background := summary.get("background"):
        model, ridge = (background[name]["pearson_median"] for name in ("model", "kmer_ridge"))
        name = f"without {background['n_background']:,} background regions"
        rows.append((name, f"{number(model, 2)} (k-mer ridge baseline: {number(ridge, 2)})"))
    # Contrasts that were not predicted come first: they are what must not be overlooked.
    contrasts = sorted(summary.get("contrasts", {}).items(), key=lambda item: item[1]["verdict"] not in NOT_TO_INTERPRET)
    for name, scores in contrasts[:_MAX_CONTRASTS]:
        rows.append((f"contrast {name}", _compare(scores["pearson"], scores["kmer_ridge_pearson"], scores["verdict"])))
    if len(contrasts) > _MAX_CONTRASTS:
        rows.append((f"{len(contrasts) - _MAX_CONTRASTS} more contrasts", f"in evaluation/{split}/contrasts.tsv"))
    not_predicted = [name for name, scores in contrasts if scores["verdict"] in NOT_TO_INTERPRET]
    if summary["verdict"] in NOT_TO_INTERPRET:
        rows.append(("Do not interpret", "any peaks, motifs and genes of this run"))
    elif not_predicted:
        more = f" and {len(not_predicted) - _MAX_CONTRASTS} more" if len(not_predicted) > _MAX_CONTRASTS else ""
        rows.append(("Do not interpret", f"peaks, motifs and genes of {', '.join(not_predicted[:_MAX_CONTRASTS])}{more}"))
    return rows


def _compare(model: float | None, ridge: float | None, verdict: str) -> str:
    return f"{number(model, 2)} (k-mer ridge baseline: {number(ridge, 2)}), {_IN_WORDS.get(verdict, verdict)}"


def _recovery(found: dict[str, Any]) -> list[tuple[str, str]]:
    return [
        ("Pearson r possible with this noise", number(found["pearson_possible"], 2)),
        ("planted motifs recovered", f"{count(found['motifs_recovered'])} of {count(found['motifs_planted'])}"),
        ("peaks at planted sites: precision", number(found["peak_precision"], 2)),
        ("peaks at planted sites: recall", number(found["peak_recall"], 2)),
        (f"precision of peaks with q <= {found['peak_q']}", number(found["peak_precision_at_q"], 2)),
    ]


def _rows(path: Path, show: Callable[[dict[str, Any]], list[tuple[str, str]]]) -> list[tuple[str, str]]:
    """Return the rows that `show` makes of a JSON file."""
    try:
        return show(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged: delete it and run the workflow again.") from error
