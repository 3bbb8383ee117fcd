"""Command-line options, inputs and outputs shared by the programs that select genes for expression and coverage runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from cisnake.data.annotation import read_bed_regions, read_genes, read_tss
from cisnake.data.genome import Genome
from cisnake.data.windows.background import add_background, is_background
from cisnake.data.windows.gene_windows import MatrixGenes, count_selection, select_genes
from cisnake.data.windows.region_units import regions_as_genes
from cisnake.errors import InputError
from cisnake.files import write_json, write_table
from cisnake.program import log
from cisnake.sections import AnnotationSection, Sections


def add_selection_options(parser: argparse.ArgumentParser) -> None:
    """Add the options for genome, annotation and output tables."""
    parser.add_argument("--genome", type=Path, required=True, metavar="FASTA")
    parser.add_argument("--gtf", type=Path, required=True, metavar="FILE", help="annotation, or regions (regions.file)")
    parser.add_argument("--tss-bed", type=Path, metavar="BED", help="measured transcription start sites")
    for name, form in (("genes", "TSV"), ("dropped", "TSV"), ("tasks", "TSV"), ("summary", "JSON")):
        parser.add_argument(f"--output-{name}", type=Path, required=True, metavar=form)


def read_annotation(args: argparse.Namespace, configured: Sections) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the genes of the annotation and, if `--tss-bed` is given, the measured TSSs; or the regions of a run of regions."""
    annotation, regions = configured.annotation, configured.regions
    if regions.file:
        return regions_as_genes(read_bed_regions(args.gtf), regions.top, regions.overlaps), None
    genes = read_genes(args.gtf, list(annotation.exclude), annotation.feature)
    return genes, read_tss(args.tss_bed) if args.tss_bed else None


def select_units(
    annotated: pd.DataFrame,
    tss: pd.DataFrame | None,
    genome: Genome,
    configured: Sections,
    annotation: AnnotationSection,
    matrix: MatrixGenes | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Select genes or regions as `select_genes` does, and add background regions if the run has any (`regions.negatives`).

    Parameters
    ----------
    annotated, tss: pandas.DataFrame
        As from `read_annotation`.
    genome: Genome
    configured: Sections
        Uses windows, regions and, with background regions, run.seed.
    annotation: AnnotationSection
    matrix: MatrixGenes, optional

    Returns
    -------
    kept, dropped: pandas.DataFrame
        With background regions, both have the column `background` (0 or 1).
    summary: dict
        With background regions also `background`, the summary of `add_background`.

    Raises
    ------
    InputError
        As for `select_genes`, or no genes are left.
    """
    kept, dropped, summary = select_genes(annotated, tss, genome, annotation, configured.windows, matrix)
    require_genes(kept, dropped)
    if not configured.regions.negatives:
        return kept, dropped, summary
    times, seed = configured.regions.negatives, configured.run.seed
    kept, background, notices = add_background(kept, annotated, genome, configured.windows, times, seed)
    summary |= {"background": background, "notices": [*summary["notices"], *notices]}
    return kept, dropped.assign(background=0), summary


def require_genes(kept: pd.DataFrame, dropped: pd.DataFrame) -> None:
    """Raise an InputError with the reasons if no gene is kept."""
    if kept.empty:
        reasons = count_selection(kept, dropped)["dropped"]
        raise InputError(f"no genes are left; numbers dropped, by reason: {reasons}.")


def log_selection(kept: pd.DataFrame, dropped: pd.DataFrame, summary: dict[str, Any]) -> None:
    """Log the notices of `select_genes`, and the numbers of kept and, by reason, of dropped genes."""
    for notice in summary["notices"]:
        log.warning("%s", notice)
    if "tss_bed" in summary:
        log.info("measured TSSs, used and not used by reason: %s", summary["tss_bed"])
    log.info("%d genes kept, %d dropped: %s", len(kept), len(dropped), count_selection(kept, dropped)["dropped"])


def write_selection(
    args: argparse.Namespace, kept: pd.DataFrame, dropped: pd.DataFrame, tasks: pd.DataFrame, summary: dict[str, Any]
) -> None:
    """Write genes, dropped genes, tasks and summary to the output files, and log the notices.

    Parameters
    ----------
    args: argparse.Namespace
        Parsed options, including those of `add_selection_options`.
    kept, dropped: pandas.DataFrame
        Selected genes with their split, and dropped genes with the reason. Background regions that were dropped are only
        counted.
    tasks: pandas.DataFrame
        task, group, description.
    summary: dict
        Summary from `select_units` and the program. The numbers of genes, by reason and by split, are added here. Those by
        split include background regions, others do not.
    """
    background = is_background(kept)
    dropped = dropped[~is_background(dropped)].drop(columns="background", errors="ignore")
    counts = count_selection(kept[~background], dropped)
    summary = summary | counts | {"split": kept["split"].value_counts().to_dict()}
    log_selection(kept[~background], dropped, summary)
    if "background" in summary:
        summary["background"] |= {"n_kept": int(background.sum())}
        log.info("%(n_kept)d background regions kept; %(found)d were drawn, %(asked)d asked for", summary["background"])
    write_table(tasks, args.output_tasks)
    write_table(dropped, args.output_dropped)
    write_json(summary, args.output_summary)
    write_table(kept, args.output_genes)
