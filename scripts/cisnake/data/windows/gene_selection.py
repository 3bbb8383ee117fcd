"""Command-line options, inputs and outputs shared by the programs that select genes for expression and coverage runs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from cisnake.data.annotation import read_bed_regions, read_genes, read_tss
from cisnake.data.windows.gene_windows import count_selection
from cisnake.data.windows.region_units import regions_as_genes
from cisnake.errors import InputError
from cisnake.files import write_json, write_table
from cisnake.program import log
from cisnake.sections import Sections


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
        Selected genes with their split, and dropped genes with the reason.
    tasks: pandas.DataFrame
        task, group, description.
    summary: dict
        Summary from `select_genes` and the program. The numbers of genes, by reason and by split, are added here.
    """
    summary = summary | count_selection(kept, dropped) | {"split": kept["split"].value_counts().to_dict()}
    log_selection(kept, dropped, summary)
    write_table(tasks, args.output_tasks)
    write_table(dropped, args.output_dropped)
    write_json(summary, args.output_summary)
    write_table(kept, args.output_genes)
