"""The genes that scouting looks at: training and validation genes, with sequence and labels."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, to_window
from cisnake.data.matrix import (
    describes_tasks,
    filter_genes,
    filter_tasks,
    find_rows,
    fit_transform,
    matrix_keys,
    read_matrix,
    read_tasks_table,
    transform_labels,
)
from cisnake.data.windows import (
    MatrixGenes,
    assign_splits,
    check_overlap,
    match_places,
    place_windows,
    select_genes,
    split_for_fold,
)
from cisnake.errors import InputError
from cisnake.interpret import Contrast, resolve_contrasts
from cisnake.scout.grid import Grid, place_grid
from cisnake.sections import Sections, SplitsSection, TargetsSection


@dataclass(frozen=True, eq=False)
class Measurements:
    """A matrix of measurements and its tasks.

    Attributes
    ----------
    ids: pandas.Index of str
        Gene ids, one per row of `values`.
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        NaN for missing values.
    tasks: pandas.DataFrame
        task, group, description.
    """

    ids: pd.Index
    values: np.ndarray
    tasks: pd.DataFrame


@dataclass(frozen=True, eq=False)
class ScoutedGenes:
    """Training and validation genes of a run.

    Attributes
    ----------
    genes: pandas.DataFrame, n rows
        As `select_genes` returns them, for the largest window of the grid, with `role` (train, val).
    raw, labels: numpy.ndarray, shape=(n, tasks), dtype=float32
        Measurements before and after the transform; NaN for missing values.
    tasks: pandas.DataFrame
        task, group, description of the tasks that filters keep.
    contrasts: list of Contrast
    grid: Grid
        Windows that lie within the chromosomes of all these genes.
    dropped: dict of str to int
        Number of genes that were dropped, by reason.
    counts: dict of str to int
        Number of genes that are train, val and test.
    n_without_room: int
        Number of genes of the smallest window of the grid that the largest window costs.
    notices: list of str
    """

    genes: pd.DataFrame
    raw: np.ndarray
    labels: np.ndarray
    tasks: pd.DataFrame
    contrasts: list[Contrast]
    grid: Grid
    dropped: dict[str, int]
    counts: dict[str, int]
    n_without_room: int
    notices: list[str]

    @property
    def train(self) -> np.ndarray:
        """Which genes are training genes; shape=(n,), dtype=bool."""
        return (self.genes["role"] == "train").to_numpy()


def scout_genes(
    configured: Sections,
    splits: SplitsSection,
    annotated: pd.DataFrame,
    tss: pd.DataFrame | None,
    genome: Genome,
    matrix: Measurements,
) -> ScoutedGenes:
    """Select the genes as the run does, and keep training and validation genes (with folds, those of the first fold).

    The values of test genes are removed before anything is computed from the matrix, also before filters and library sizes.

    Parameters
    ----------
    configured: Sections
        With annotation, windows, targets.filters, targets.transform and attribution.contrasts.
    splits: SplitsSection
        With the local path of the table of splits, if there is one.
    annotated, tss: pandas.DataFrame
        As from `read_annotation`.
    genome: Genome
    matrix: Measurements

    Raises
    ------
    InputError
        No gene is left, or a split is invalid.
    """
    annotation = configured.annotation
    if "middle" in annotated:
        annotated, match_by = match_places(annotated, matrix.ids)
        annotation = dataclasses.replace(annotation, match_by=match_by)
    # Whether a gene is measured is not asked here: that, too, is known of test genes only from their labels.
    listed = MatrixGenes(matrix.ids, np.ones(len(matrix.ids), bool), tasks=matrix.tasks["task"].tolist())

    def select(upstream: int, downstream: int) -> tuple[pd.DataFrame, dict[str, Any]]:
        windows = dataclasses.replace(configured.windows, upstream=upstream, downstream=downstream)
        kept, _, summary = select_genes(annotated, tss, genome, annotation, windows, listed)
        if kept.empty:
            raise InputError(f"no genes are left; numbers dropped, by reason: {summary['dropped']}.")
        return kept, summary

    smallest, _ = select(1, 1)
    own = (configured.windows.upstream, configured.windows.downstream)
    grid = place_grid(*_room(smallest, genome, configured.windows.anchor), own)
    kept, summary = select(*grid.largest)
    genes, at_borders = assign_splits(kept, splits, genome.sizes, configured.windows.max_shift, configured.run.seed)
    notices, folds = list(summary["notices"]), splits.folds or 1
    if not splits.allow_overlap:
        try:
            check_overlap(genes, folds, configured.windows.max_shift)
        except InputError:
            notices.append(
                "In the largest windows, training and validation genes share bases: scores of long windows are too high."
            )
    genes = genes.assign(role=split_for_fold(genes, 0, folds))
    counts = {role: int((genes["role"] == role).sum()) for role in ("train", "val", "test")}

    seen = (genes["role"] != "test").to_numpy()
    matrix_rows = find_rows(matrix.ids, genes["matrix_id"])
    limits = configured.targets.filters.tasks
    # Totals over all genes of the matrix are not known here, only those of the genes that are seen.
    share = seen.sum() / max(len(matrix.ids), 1)
    scaled = {name: value and value * share for name in ("min_total", "min_genes") if (value := getattr(limits, name))}
    values, tasks, _ = filter_tasks(matrix.values[matrix_rows[seen]], matrix.tasks, dataclasses.replace(limits, **scaled))
    poor = filter_genes(values, configured.targets.filters.genes)["reason"].to_numpy(object)
    poor[(poor == "") & ~np.isfinite(values).any(axis=1)] = "no_label"
    genes, raw = genes[seen][poor == ""].reset_index(drop=True), values[poor == ""]
    reasons = [pd.Series(summary["dropped"], dtype=int), at_borders["reason"].value_counts()]
    reasons.append(pd.Series(poor[poor != ""], dtype=object).value_counts())
    dropped = pd.concat(reasons).groupby(level=0).sum()
    for role in ("train", "val"):
        if not (genes["role"] == role).any():
            raise InputError(f"no {'training' if role == 'train' else 'validation'} gene has labels: check splits and filters.")
    train = np.flatnonzero(genes["role"] == "train")
    transform = fit_transform(configured.targets.transform, raw, train, genes["matrix_id"], tasks["task"].tolist())
    return ScoutedGenes(
        genes,
        raw,
        transform_labels(raw.copy(), transform),
        tasks,
        resolve_contrasts(configured.attribution.contrasts or {}, tasks),
        grid,
        dropped.astype(int).sort_values(ascending=False, kind="stable").to_dict(),
        counts,
        len(smallest) - len(kept),
        notices,
    )


def _room(genes: pd.DataFrame, genome: Genome, anchor: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the bases upstream of the anchor of each gene, and downstream of it with the anchor, within the chromosome."""
    at = place_windows(genes, anchor, 0, 1)
    first, last = to_window(at["window_start"], at["window_end"], at["strand"], 0, genes["chrom"].map(genome.sizes))
    return -first, last


def read_windows_of(genes: pd.DataFrame, genome: Genome) -> np.ndarray:
    """Return the bases of the windows of genes on their strands; shape=(genes, length), dtype=int8."""
    rows = genes[["chrom", "window_start", "window_end", "strand"]].itertuples(index=False, name=None)
    return np.stack([genome.codes(*row) for row in rows])


def read_measurements(matrix: Path, tasks: Path | None, targets: TargetsSection) -> Measurements:
    """Read the matrix of a run and the table of its tasks (default: annotations in the matrix, if its format has any)."""
    ids, names, values = read_matrix(matrix, *matrix_keys(targets))
    described = tasks or (matrix if describes_tasks(matrix) else None)
    return Measurements(ids, values, read_tasks_table(described, names, dataclasses.asdict(targets.task_columns), ids))
