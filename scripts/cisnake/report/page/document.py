"""Render the report: one HTML page with the results and methods of a run.

Each section consists of a module in this folder, which prepares the data, and of a template in `templates`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cisnake.data import read_meme
from cisnake.report.page.about import describe_run
from cisnake.report.page.cards import show_cards
from cisnake.report.page.cautions import describe_certainty, list_cautions
from cisnake.report.page.contrasts import show_contrasts
from cisnake.report.page.factors import show_factors
from cisnake.report.page.findings import found_variants
from cisnake.report.page.headline import warnings, write_headline
from cisnake.report.page.inputs import show_inputs
from cisnake.report.page.methods import write_methods
from cisnake.report.page.motifs import show_effect_map
from cisnake.report.page.programs import POLICY, POLICY_WITH_FILES
from cisnake.report.page.scores import show_coverage, show_evaluation
from cisnake.report.page.shell import html_environment
from cisnake.report.page.training import show_training
from cisnake.report.page.trust import draw_quality
from cisnake.report.page.variants import show_variants
from cisnake.report.page.versions import list_versions
from cisnake.report.results import read_results
from cisnake.report.units import label_unit


def write_report(
    folder: Path,
    motifs: Path,
    title: str,
    config: Mapping[str, Any] | None = None,
    n_genes: int = 25,
    n_motifs: int = 10,
    all_genes: bool = False,
    written: str | None = None,
) -> str:
    """Render the report of a run as a self-contained HTML page.

    The page contains no paths, and no date but `written`: identical results give identical bytes on the same day.

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
        Maximum number of genes whose cards are in the page (default 25), and of motif clusters (default 10), for each contrast.
    all_genes: bool
        Whether the cards of all genes lie beside the page, as `write_card_files` writes them. Default False.
    written: str, optional
        Date of the report. Default None: not shown.

    Raises
    ------
    InputError
        A required file is missing.
    """
    results = read_results(folder, config)
    matrices = {motif.id: motif for motif in read_meme(motifs)} if results.contrasts else {}
    contrasts = show_contrasts(results, matrices, n_motifs)
    effects = folder / "variants/effects.tsv" if results.variants else None
    page = html_environment().get_template("page.html")
    methods, works = write_methods(results, config)
    return page.render(
        title=title,
        policy=POLICY_WITH_FILES if all_genes else POLICY,
        main=results.evaluations[0],
        recovery=results.recovery,
        recovery_json=_json(results.recovery),
        headline=write_headline(results),
        warnings=warnings(results),
        about=describe_run(results, config, written),
        certainty=describe_certainty(contrasts),
        cautions=list_cautions(results, contrasts),
        factors=show_factors(results.factors),
        label_unit=label_unit(config),
        effect_map=show_effect_map(results, matrices, label_unit(config)),
        methods=methods,
        works=works,
        inputs=show_inputs(results),
        training=show_training(results.trainings),
        folds=len({training.fold for training in results.trainings}),
        evaluations=[show_evaluation(evaluation) for evaluation in results.evaluations],
        coverage=[show_coverage(coverage) for coverage in results.coverage],
        contrasts=contrasts,
        quality=draw_quality({c.name: c.attributions.quality for c in results.contrasts}),
        cards=show_cards(results, n_genes, effects, all_genes) if contrasts else None,
        variants=show_variants(results.variants, results.genes),
        found_variants=found_variants(results.variants),
        versions=list_versions(),
        config=_json(config),
    )


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) if value else ""
