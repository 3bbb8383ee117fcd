"""Read the cards of a contrast from the results of a run."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata.io import read_elem

from cisnake.files import open_hdf5
from cisnake.interpret import judge_predictions
from cisnake.report.cards.card import Card, make_card, read_strongest_effects
from cisnake.report.cards.shown_genes import ShownGene, best_region
from cisnake.report.peak_labels import PeakLabel, add_clusters, label_peaks
from cisnake.report.results import ContrastResults, Evaluation, read_hits_of_genes

# With thousands of tasks, a card lists the tasks of its contrast first, and no more than these.
MAX_TASKS = 200


@dataclass
class TaskValues:
    """Measured and predicted values of some tasks in held-out genes.

    Attributes
    ----------
    table: pandas.DataFrame
        task and on (1 for tasks that the contrast is about, −1 for those it is set against, 0 for others).
    columns: dict
        Column of each gene.
    measured, predicted: numpy.ndarray, shape=(n_tasks, n_genes), dtype=float32
    """

    table: pd.DataFrame
    columns: dict[str, int]
    measured: np.ndarray
    predicted: np.ndarray

    def of_gene(self, gene_id: str) -> pd.DataFrame:
        """Return the table with the columns measured and predicted of a gene; no rows for genes that were not held out."""
        column = self.columns.get(gene_id)
        if column is None:
            return self.table.iloc[:0].assign(measured=0.0, predicted=0.0)
        return self.table.assign(measured=self.measured[:, column], predicted=self.predicted[:, column])


def read_task_values(evaluations: Sequence[Evaluation], on_tasks: Collection[str], off_tasks: Collection[str]) -> TaskValues:
    """Read the values of the tasks of a contrast, then of other tasks, up to `MAX_TASKS`, from predictions.h5ad.

    Parameters
    ----------
    evaluations: sequence of Evaluation
        Those without predictions are ignored. If a gene is in several, the first one counts.
    on_tasks, off_tasks: collection of str
        Tasks of the contrast, and tasks that it is set against.
    """
    names: list[str] = []
    columns: dict[str, int] = {}
    blocks: list[tuple[np.ndarray, np.ndarray]] = []
    for evaluation in evaluations:
        if evaluation.predictions is None:
            continue
        remedy = "rerun the rule evaluate_model"
        with open_hdf5(evaluation.predictions, "predictions", remedy, faults=(OSError, KeyError, ValueError)) as file:
            tasks, genes = list(read_elem(file["obs"]).index), list(read_elem(file["var"]).index)
            wanted = [*on_tasks, *off_tasks]
            names = names or [*wanted, *(task for task in tasks if task not in set(wanted))][:MAX_TASKS]
            rows = [tasks.index(name) for name in names]
            measured, predicted = (np.stack([file[key][row] for row in rows]) for key in ("X", "layers/predicted"))
            blocks.append((measured, predicted))
        offset = sum(block[0].shape[1] for block in blocks[:-1])
        for i, gene in enumerate(genes):
            columns.setdefault(gene, offset + i)
    on = [1 if name in set(on_tasks) else -1 if name in set(off_tasks) else 0 for name in names]
    empty = np.zeros((len(names), 0), np.float32)
    measured, predicted = (np.concatenate([empty, *(block[i] for block in blocks)], axis=1) for i in (0, 1))
    return TaskValues(pd.DataFrame({"task": names, "on": on}), columns, measured, predicted)


class CardReader:
    """Makes cards of the genes of one contrast.

    Parameters
    ----------
    contrast: ContrastResults
    annotation: pandas.DataFrame
        The genes of the run: gene_id, gene_name, chrom, start, end, strand.
    evaluations: sequence of Evaluation
        For the measured and predicted values of tasks.
    genes: collection of str
        Ids of the genes whose cards are made; hits and variants of others are not kept in memory.
    effects: Path, optional
        variants/effects.tsv. Default None: no variants were scored.
    """

    def __init__(
        self,
        contrast: ContrastResults,
        annotation: pd.DataFrame,
        evaluations: Sequence[Evaluation],
        genes: Collection[str],
        effects: Path | None = None,
    ) -> None:
        self.contrast = contrast
        attributions = contrast.attributions
        self.windows = attributions.windows.assign(
            unseen=attributions.windows["split"] != "train", prediction=judge_predictions(attributions.windows)
        )
        self._near = dict(tuple(annotation.groupby("chrom", sort=False)))
        self._no_genes = annotation.iloc[:0]
        self._peaks = _by_gene(contrast.peaks)
        hits = None
        if contrast.hits is not None and contrast.enrichment is not None:
            hits = add_clusters(read_hits_of_genes(contrast.hits, genes), contrast.enrichment)
        self._labels: Mapping[str, PeakLabel] = {} if hits is None else label_peaks(hits)
        self._hits = None if hits is None else _by_gene(hits)
        self._variants = None if effects is None else _by_gene(read_strongest_effects(effects, genes))
        self._tasks = read_task_values(evaluations, attributions.attrs["on_tasks"], attributions.attrs["off_tasks"])

    def read(self, row: int) -> Card:
        """Return the card of the gene in a row of the attribution file."""
        window = self.windows.iloc[row]
        gene_id = window["gene_id"]
        values, sequences = self.contrast.attributions.read_block(row, row + 1)
        scores = values[0].sum(axis=0)
        tables = [None if groups is None else groups(gene_id) for groups in (self._peaks, self._hits, self._variants)]
        shown = ShownGene(window, sequences[0], scores, best_region(scores), *tables)
        near = self._near.get(window["chrom"], self._no_genes)
        return make_card(self.contrast.name, shown, near, self._labels, self._tasks.of_gene(gene_id))


def _by_gene(table: pd.DataFrame) -> Callable[[str], pd.DataFrame]:
    """Return a function that returns the rows of a gene."""
    places = table.groupby("gene_id", sort=False).indices
    none = np.array([], int)
    return lambda gene_id: table.iloc[places.get(gene_id, none)]
