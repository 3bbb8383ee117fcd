"""The scores of a run as the terminal shows them."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from cisnake.errors import InputError
from cisnake.report.words import count, number


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
    model, ridge = summary["model"]["pearson_median"], summary["baselines"]["kmer_ridge"]["pearson_median"]
    name = f"Pearson r over {'held-out' if split == 'test' else 'validation'} {unit}"
    return [(name, f"{number(model, 2)} (k-mer ridge baseline: {number(ridge, 2)})")]


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
