"""Render the report: one HTML page with the results and methods of a run.

Each section consists of a module in this folder, which prepares the data, and of a template in `templates`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from cisnake.data import read_meme
from cisnake.evaluate import NOT_TO_INTERPRET
from cisnake.report import figures, igv, logos
from cisnake.report.page.contrasts import show_contrasts
from cisnake.report.page.headline import warnings, write_headline
from cisnake.report.page.inputs import show_inputs
from cisnake.report.page.scores import show_coverage, show_evaluation
from cisnake.report.page.training import show_training
from cisnake.report.page.trust import MAX_CONTRASTS, draw_quality
from cisnake.report.page.variants import show_variants
from cisnake.report.page.versions import list_versions
from cisnake.report.results import read_results
from cisnake.report.shown_genes import LOGO_BASES
from cisnake.report.thresholds import ENRICHED_Q, SURE_Q
from cisnake.report.words import count, number, share, signed

TEMPLATES = Path(__file__).parent / "templates"


def write_report(
    folder: Path,
    motifs: Path,
    title: str,
    config: Mapping[str, Any] | None = None,
    n_genes: int = 10,
    n_motifs: int = 10,
) -> str:
    """Render the report of a run as a self-contained HTML page.

    The page contains no dates and no paths, so identical results give identical bytes.

    Parameters
    ----------
    folder: Path
        `results/<run>`.
    motifs: Path
        Motifs in MEME format, used for logos.
    title: str
        Name of the run.
    config: mapping, optional
        Configuration of the run, shown at the end of the page. Default None: the configuration is unknown, and all results in
        the folder are shown.
    n_genes, n_motifs: int
        Maximum number of genes and of motif clusters to show per contrast. Default 10.

    Raises
    ------
    InputError
        A required file is missing.
    """
    results = read_results(folder, config)
    matrices = {motif.id: motif for motif in read_meme(motifs)} if results.contrasts else {}
    contrasts = show_contrasts(results, matrices, folder / "variants/effects.tsv", n_genes, n_motifs)
    return _page().render(
        title=title,
        main=results.evaluations[0],
        recovery=results.recovery,
        recovery_json=_json(results.recovery),
        headline=write_headline(results),
        warnings=warnings(results),
        inputs=show_inputs(results),
        training=show_training(results.trainings),
        folds=len({training.fold for training in results.trainings}),
        evaluations=[show_evaluation(evaluation) for evaluation in results.evaluations],
        coverage=[show_coverage(coverage) for coverage in results.coverage],
        contrasts=contrasts,
        quality=draw_quality({c.name: c.attributions.quality for c in results.contrasts}),
        browser=igv.browser_section([view for contrast in contrasts for view in contrast["views"]]),
        variants=show_variants(results.variants),
        versions=list_versions(),
        config=_json(config),
    )


def _page() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(num=number, count=count, share=share, signed=signed)
    environment.globals.update(
        policy=igv.POLICY,
        definitions=logos.definitions(),
        colours=logos.COLOURS,
        logo_bases=LOGO_BASES,
        track_bins=figures.TRACK_BINS,
        enriched_q=ENRICHED_Q,
        not_to_interpret=NOT_TO_INTERPRET,
        max_contrasts=MAX_CONTRASTS,
        sure_q=SURE_Q,
    )
    return environment.get_template("page.html")


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""
