"""Scout an expression run: which windows predict, from which TSS, and what the labels are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome
from cisnake.data.windows import place_windows
from cisnake.errors import InputError
from cisnake.model import read_params
from cisnake.program import Progress, log
from cisnake.scout.cost import TrainingTime, estimate_training, network_cost
from cisnake.scout.genes import Measurements, ScoutedGenes, read_windows_of, scout_genes
from cisnake.scout.grid import Grid, WordCounts
from cisnake.scout.labels import LabelSummary, summarize_labels
from cisnake.scout.ridge_scores import (
    NOTHING,
    Fitted,
    Prediction,
    choose_columns,
    enclosing,
    predict_from_words,
    smallest_good,
    standard_errors,
)
from cisnake.sections import Sections, SplitsSection
from cisnake.words import count_kmers

# Number of training genes from which words of so many bases are counted.
_WORDS = {2000: 5, 500: 4, 0: 3}
# Longest words, and the training genes that they need. They are counted in one window only: they take a minute.
_LONG_WORDS, _LONG_WORDS_GENES = 6, 2000
# Fewer genes with a measured TSS are not compared.
_MIN_GENES = 100


@dataclass(frozen=True, eq=False)
class TssComparison:
    """Scores of one window at measured TSSs and at annotated 5' ends, on the same genes.

    Attributes
    ----------
    measured, annotated: float
        Scores.
    error: float
        Standard error of their difference.
    n_train, n_val: int
        Genes that have both.
    """

    measured: float
    annotated: float
    error: float
    n_train: int
    n_val: int


@dataclass(frozen=True, eq=False)
class ExpressionFindings:
    """What scouting found in an expression run.

    Attributes
    ----------
    genes: ScoutedGenes
    grid: Grid
    k: int
        Length of the words.
    windows: pandas.DataFrame
        One row per window of the grid: upstream, downstream, length, levels, one column `contrast:<name>` per contrast,
        contrasts (their mean), score, below_best and standard_error of the score, as_good, smallest (of those whose score is
        at most a standard error below the best), recommended.
    n_levels: int
        Number of tasks that were fitted.
    composition: dict of int to float
        Score in the recommended window of words of so many bases.
    tss: TssComparison, optional
    labels: LabelSummary
    upstream, downstream: int
        The recommended window, lengthened to a multiple of `divisor`.
    divisor: int
        Bases per position of the network after pooling.
    training: list of TrainingTime
    """

    genes: ScoutedGenes
    grid: Grid
    k: int
    windows: pd.DataFrame
    n_levels: int
    composition: dict[int, float]
    tss: TssComparison | None
    labels: LabelSummary
    upstream: int
    downstream: int
    divisor: int
    training: list[TrainingTime]

    @property
    def length(self) -> int:
        """Length of the recommended window, bp."""
        return self.upstream + self.downstream

    @property
    def best(self) -> pd.Series:
        """The row of `windows` with the highest score."""
        return self.windows.loc[self.windows["score"].fillna(-np.inf).idxmax()]

    @property
    def chosen(self) -> pd.Series:
        """The row of `windows` that is recommended, before it is lengthened."""
        return self.windows[self.windows["recommended"]].iloc[0]

    @property
    def smallest(self) -> pd.Series:
        """The row of the smallest window whose score is about as high as the best."""
        return self.windows[self.windows["smallest"]].iloc[0]

    @property
    def predicts_nothing(self) -> bool:
        """Whether no window predicts the labels."""
        return not self.best["score"] >= NOTHING


def scout_expression(
    configured: Sections,
    splits: SplitsSection,
    annotated: pd.DataFrame,
    tss: pd.DataFrame | None,
    genome: Genome,
    matrix: Measurements,
    files: Mapping[Path, Mapping[str, Any]],
) -> ExpressionFindings:
    """Look at the training and validation genes of a run.

    Parameters
    ----------
    configured: Sections
        The keys of the program `scout`.
    splits: SplitsSection
        With the local path of the table of splits, if there is one.
    annotated, tss: pandas.DataFrame
        As from `read_annotation`.
    genome: Genome
    matrix: Measurements
    files: mapping of Path to mapping
        Parameter files for which the time of training is estimated, each with its overrides; that of the run is first.

    Raises
    ------
    InputError
        No gene is left, there are too few labels, or the run uses trained networks.
    """
    if configured.model.trained:
        raise InputError("model.trained lists trained networks, whose window is fixed: remove it for scout.")
    genes = scout_genes(configured, splits, annotated, tss, genome, matrix)
    for notice in genes.notices:
        log.warning("%s", notice)
    fitted = _fitted(genes)
    k = next(words for least, words in _WORDS.items() if genes.train.sum() >= least)
    table, predictions = _score_grid(genes, genome, fitted, k)
    cells = genes.grid.cells
    scores = table["score"].to_numpy()
    best = int(np.nanargmax(scores)) if np.isfinite(scores).any() else 0
    errors = standard_errors(fitted, predictions[best], predictions)
    as_good, window = enclosing(cells, table[["levels", "contrasts"]].to_numpy())
    chosen, numbers = cells.index(window), np.arange(len(table))
    table = table.assign(
        below_best=scores[best] - scores,
        standard_error=errors,
        as_good=as_good,
        smallest=numbers == smallest_good(table["length"].tolist(), scores, errors),
        recommended=numbers == chosen,
    )
    own = next(iter(files))
    model = read_params(own, dict(files[own]))["model"]
    cost = network_cost(model, sum(cells[chosen]), len(genes.tasks))
    divisor = cost.divisor if cost else 1
    upstream, downstream = fit_to_pooling(*cells[chosen], divisor)
    folds = splits.folds or 1
    return ExpressionFindings(
        genes,
        genes.grid,
        k,
        table,
        fitted.n_levels,
        _composition(genes, genome, fitted, cells[chosen], k, scores[chosen]),
        None if tss is None else _compare_tss(genes, genome, fitted, cells[chosen], k),
        summarize_labels(genes.labels, genes.raw, genes.train, genes.tasks, configured.targets.transform),
        upstream,
        downstream,
        divisor,
        estimate_training(
            {
                file: {key: value for key, value in overrides.items() if key != "model.seq_length"}
                for file, overrides in files.items()
            },
            upstream + downstream,
            len(genes.tasks),
            genes.counts["train"],
            configured.train.replicates * folds,
            configured.resources.threads,
        ),
    )


def fit_to_pooling(upstream: int, downstream: int, divisor: int) -> tuple[int, int]:
    """Lengthen a window to a multiple of `divisor`, with at least one base on either side of the anchor.

    Bases are added on the side without bases, else upstream.

    Examples
    --------
    >>> from cisnake.scout import fit_to_pooling
    >>> fit_to_pooling(500, 150, 40), fit_to_pooling(500, 0, 40), fit_to_pooling(0, 2000, 40)
    ((530, 150), (500, 20), (40, 2000))
    """
    missing = (upstream == 0) + (downstream == 0)
    length = -(-(upstream + downstream + missing) // divisor) * divisor
    more = length - upstream - downstream
    return (upstream, more) if downstream == 0 else (upstream + more, downstream)


def _fitted(genes: ScoutedGenes) -> Fitted:
    train, names = genes.train, genes.tasks["task"].tolist()
    measured = {contrast.name: contrast.measured(genes.labels, names) for contrast in genes.contrasts}
    contrasts = {name: (values[train], values[~train]) for name, values in measured.items()}
    fitted = choose_columns(genes.labels[train], genes.labels[~train], contrasts)
    if not fitted.train.shape[1]:
        raise InputError(
            "no task has ten labels that differ, both in training and in validation genes: there is nothing to fit."
        )
    return fitted


def _row(prediction: Prediction) -> dict[str, float]:
    contrasts = {f"contrast:{name}": r for name, r in prediction.contrasts.items()}
    return {"levels": prediction.level, **contrasts, "contrasts": prediction.contrast, "score": prediction.score}


def _score_grid(genes: ScoutedGenes, genome: Genome, fitted: Fitted, k: int) -> tuple[pd.DataFrame, list[Prediction]]:
    counts = WordCounts(read_windows_of(genes.genes, genome), genes.grid, k)
    rows, predictions = [], []
    progress = Progress("windows", len(genes.grid.cells))
    for upstream, downstream in genes.grid.cells:
        window = counts.window(upstream, downstream)
        predictions.append(predict_from_words(window[genes.train], window[~genes.train], fitted))
        rows.append({"upstream": upstream, "downstream": downstream, "length": upstream + downstream, **_row(predictions[-1])})
        progress.advance()
    return pd.DataFrame(rows), predictions


def _composition(
    genes: ScoutedGenes, genome: Genome, fitted: Fitted, window: tuple[int, int], k: int, score: float
) -> dict[int, float]:
    """Return the score of words of 1, 2, k and, if there are enough genes, 6 bases in one window."""
    anchor, (upstream, downstream) = genes.grid.upstream[-1], window
    codes = read_windows_of(genes.genes, genome)[:, anchor - upstream : anchor + downstream]
    longer = [_LONG_WORDS] if genes.train.sum() >= _LONG_WORDS_GENES else []
    found = {k: float(score)}
    for words in (1, 2, *longer):
        counts = count_kmers(codes, words)
        found[words] = predict_from_words(counts[genes.train], counts[~genes.train], fitted).score
    return dict(sorted(found.items()))


def _compare_tss(genes: ScoutedGenes, genome: Genome, fitted: Fitted, window: tuple[int, int], k: int) -> TssComparison | None:
    """Compare a window at measured TSSs with one at annotated 5' ends; None if too few genes have both."""
    table = genes.genes
    placed = {anchor: place_windows(table, anchor, *window) for anchor in ("tss", "start")}
    both = (table["tss_source"] == "bed").to_numpy()
    for windows in placed.values():
        both &= ((windows["window_start"] >= 0) & (windows["window_end"] <= windows["chrom"].map(genome.sizes))).to_numpy()
    train = genes.train
    if min((both & train).sum(), (both & ~train).sum()) < _MIN_GENES:
        return None
    part = fitted.rows(both[train], both[~train])
    predicted = {}
    for anchor, windows in placed.items():
        counts = count_kmers(read_windows_of(windows[both], genome), k)
        predicted[anchor] = predict_from_words(counts[train[both]], counts[~train[both]], part)
    error = standard_errors(part, predicted["tss"], [predicted["start"]])[0]
    n_train, n_val = int((both & train).sum()), int((both & ~train).sum())
    return TssComparison(predicted["tss"].score, predicted["start"].score, float(error), n_train, n_val)
