"""The page of scouting, scout.html, and the files beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cisnake.files import write_table, write_whole
from cisnake.program import duration
from cisnake.report import draw_counts
from cisnake.report.page import html_environment, list_versions
from cisnake.scout import figures
from cisnake.scout.advice import compare_tss, coverage_lines, expression_lines
from cisnake.scout.cost import CPU_SPEED, GPU_SPEED, TrainingTime
from cisnake.scout.coverage import CLIP_PCT, EXTREME_SHARE, CoverageFindings
from cisnake.scout.expression import ExpressionFindings
from cisnake.scout.ridge_scores import MAX_FITTED_CONTRASTS, MAX_FITTED_TASKS, TOLERANCE

_MAX_ROWS = 12


def write_scout(folder: Path, page: str, advice: str, found: ExpressionFindings | CoverageFindings) -> None:
    """Write scout.html, advice.yaml and windows.tsv to a folder."""
    write_table(found.windows, folder / "windows.tsv")
    for name, text in (("advice.yaml", advice), ("scout.html", page)):
        with write_whole(folder / name) as part:
            part.write_text(text, encoding="utf-8")


def expression_page(title: str, found: ExpressionFindings, advice: str, configured: tuple[int, int], threads: int) -> str:
    """Return the page of an expression run.

    Parameters
    ----------
    title: str
        Name of the run.
    found: ExpressionFindings
    advice: str
        Content of advice.yaml.
    configured: tuple of int
        Bases upstream and downstream in the configuration.
    threads: int
        CPU threads for which the time of training is estimated.
    """
    contrasts = [column for column in found.windows if column.startswith("contrast:")]
    maps = [
        figures.draw_grid(f"grid-{i}", heading, found.grid, found.windows, column, configured)
        for i, (column, heading) in enumerate(
            [("levels", "levels"), *((column, column.partition(":")[2]) for column in contrasts)]
        )
    ]
    genes, labels = found.genes, found.labels
    return _render(
        kind="expression",
        title=title,
        lines=expression_lines(found),
        advice=advice,
        found=found,
        maps=maps,
        n={"train": int(genes.train.sum()), "val": int((~genes.train).sum()), "tasks": len(genes.tasks)},
        n_contrasts=len(genes.contrasts),
        limits={"tasks": MAX_FITTED_TASKS, "contrasts": MAX_FITTED_CONTRASTS, "tolerance": TOLERANCE},
        composition=list(found.composition.items()),
        tss=compare_tss(found) if found.tss is not None else "",
        labels=figures.draw_labels(genes.labels[genes.train], labels.tasks),
        missing=labels.tasks.sort_values("missing", ascending=False, kind="stable").head(_MAX_ROWS).to_dict("records"),
        median_missing=labels.tasks["missing"].median(),
        replicates=labels.replicates.head(_MAX_ROWS).to_dict("records"),
        dropped=draw_counts("dropped", genes.dropped, "genes") if genes.dropped else "",
        training=[_training_row(time) for time in found.training],
        threads=threads,
        speeds=[speed / 1e9 for speed in (*CPU_SPEED, GPU_SPEED)],
    )


def coverage_page(title: str, found: CoverageFindings, advice: str) -> str:
    """Return the page of a coverage run; parameters as for `expression_page`."""
    return _render(
        kind="coverage",
        title=title,
        lines=coverage_lines(found),
        advice=advice,
        found=found,
        contexts=figures.draw_contexts(found.windows),
        tracks=found.tracks.sort_values("top", ascending=False, kind="stable").to_dict("records"),
        limits={"share": EXTREME_SHARE, "clip_pct": CLIP_PCT},
    )


def _training_row(time: TrainingTime) -> dict[str, Any]:
    times = {name: duration(getattr(time, name)) for name in ("fastest", "slowest", "gpu")}
    return {"name": time.name, "millions": time.multiply_adds / 1e6, "epochs": time.epochs, **times}


def _render(**values: Any) -> str:
    return html_environment().get_template("scout.html").render(versions=list_versions(), **values)
