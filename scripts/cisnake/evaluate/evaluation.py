"""Evaluation of an ensemble and of the baselines on the genes of one split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd

from cisnake.data.dataset import measured_values, open_dataset, read_codes, read_transform, read_windows
from cisnake.data.matrix import ExpressionTransform
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.evaluate.baselines import train_mean
from cisnake.evaluate.ceiling import ceiling_of_tasks, replicates_of
from cisnake.evaluate.condition_scores import score_conditions
from cisnake.evaluate.contrast_scores import score_contrasts
from cisnake.evaluate.fitted_baselines import LEVELS, BaselinePredictions, rows_among
from cisnake.evaluate.intervals import (
    BootstrapScores,
    draw_scores,
    median_over_tasks,
    neighbour_blocks,
    percentile_interval,
    sum_blocks,
)
from cisnake.evaluate.scores import score_genes, score_tasks, specificity, summarize_scores
from cisnake.evaluate.seen_genes import score_unseen_genes, score_without_background
from cisnake.evaluate.verdicts import judge
from cisnake.files import write_json, write_table, write_whole
from cisnake.interpret import Contrast
from cisnake.model import gene_readout, load_model, models_by_fold, predict_with_model
from cisnake.model.network import split_words
from cisnake.program import Progress


def evaluate_split(
    dataset: Path,
    models: list[Path],
    split: str,
    ridges: BaselinePredictions | None,
    choices: pd.DataFrame | None,
    tasks: pd.DataFrame,
    contrasts: Sequence[Contrast],
    batch_size: int,
    from_elsewhere: bool = False,
    trained_on: Sequence[str] | None = None,
) -> SplitEvaluation:
    """Score an ensemble and the baselines on the genes of a split.

    Each gene is predicted by the models of the fold that has the gene in this split. The baselines are fitted to the training
    genes of the same fold.

    Parameters
    ----------
    dataset: Path
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`, with the same number of replicates in each fold.
    split: str
        "val" or "test".
    ridges: BaselinePredictions, optional
        Predictions of the k-mer ridges for the genes of the split. None: there are none, because nothing is measured.
    choices: pandas.DataFrame, optional
        The k-mer ridges, as `fit_baselines` returns them.
    tasks: pandas.DataFrame
        task, group, description, and replicate_of if replicates are named: one row per task, in the order of the data set.
    contrasts: sequence of Contrast
    batch_size: int
    from_elsewhere: bool
        Whether the networks, or the trunk from which they were trained, come from outside this run. Default False.
    trained_on: sequence of str, optional
        The regions on which these were trained, see `find_seen_genes`. Default None: not known.

    Raises
    ------
    InputError
        The folds have different numbers of replicates, no gene is in the split, or the ridges belong to other genes.
    """
    folds = models_by_fold(models)
    n_replicates = len(next(iter(folds.values())))
    if any(len(paths) != n_replicates for paths in folds.values()):
        raise InputError("the folds have different numbers of replicates: pass all models of every fold.")
    with open_dataset(dataset) as file:
        windows, transform = read_windows(file), read_transform(file)
        progress = Progress(f"models evaluated on the {split} genes", len(models))
        parts, measured, scale = [], [], []
        for fold, paths in folds.items():
            role = split_for_fold(windows, fold, int(file.attrs["n_folds"]))
            rows, train = np.flatnonzero(role == split), np.flatnonzero(role == "train")
            if not len(rows):
                raise InputError(f"no gene is in the split {split}: check the section 'splits' of the configuration.")
            labels = measured_values(file, fold=fold)
            measured.append(labels[rows])
            scale += [fold] * len(rows)
            replicates, of_parts = _predict_replicates(file, windows, rows, paths, batch_size, progress)
            parts.append(_Predictions(rows, replicates, of_parts, train_mean(labels[train], len(rows))))
    predictions = _Predictions.join(parts)
    genes, true = windows.iloc[predictions.rows], np.concatenate(measured)
    if ridges is None:
        of_tasks, of_contrasts = np.full(true.shape, np.nan), np.full((len(true), len(contrasts)), np.nan)
    else:
        at = rows_among(ridges, predictions.rows)
        of_tasks, of_contrasts = ridges.tasks[at], ridges.contrasts[at]
    blocks = neighbour_blocks(genes)
    summary, by_task = _score(true, predictions, of_tasks, tasks, blocks)
    if from_elsewhere:
        summary["seen"] = score_unseen_genes(true, predictions.ensemble, of_tasks, genes, trained_on)
    if without := score_without_background(true, predictions.ensemble, of_tasks, genes):
        summary["background"] = without
    by_target = [] if choices is None else choices.groupby("target")
    of_target = {target: table.drop(columns="target").to_dict("records") for target, table in by_target}
    summary["baselines"]["kmer_ridge"]["ridges"] = of_target.get(LEVELS, [])
    by_contrast = score_contrasts(true, predictions.ensemble, of_contrasts, contrasts, tasks, blocks, predictions.parts)
    rows = by_contrast.astype(object).where(by_contrast.notna(), None).set_index("contrast").to_dict("index")
    summary["contrasts"] = {name: {**row, "ridges": of_target.get(name, [])} for name, row in rows.items()}
    by_gene = pd.concat([genes[["gene_id", "fold"]].reset_index(drop=True), score_genes(true, predictions.ensemble)], axis=1)
    table = _as_anndata(true, predictions, of_tasks, genes, tasks, transform, np.array(scale), split)
    return SplitEvaluation({"split": split} | summary, by_task, by_contrast, by_gene, table)


@dataclass(frozen=True)
class SplitEvaluation:
    """Scores and predictions of the genes of a split.

    Attributes
    ----------
    summary: dict
        The content of summary.json.
    by_task, by_contrast, by_gene: pandas.DataFrame
        In `by_task`, `specificity_pearson` compares a task with all other tasks, as all tasks of a run are of the same kind.
        For `by_contrast` see `score_contrasts`.
    predictions: anndata.AnnData
        obs: tasks, with all columns of the task table; var: genes. X holds the measurements, and the layers `predicted`,
        `kmer_ridge` and `replicate_<i>` the predictions, all on the scale of the labels; `network` and `words` those of either
        part alone, if the models have a table of words. If labels were transformed, the layer
        `predicted_original` holds the predictions on the scale of the matrix.
    """

    summary: dict[str, Any]
    by_task: pd.DataFrame
    by_contrast: pd.DataFrame
    by_gene: pd.DataFrame
    predictions: anndata.AnnData


_PARTS = ("network", "words")


@dataclass(frozen=True)
class _Predictions:
    """Predictions of models for genes.

    rows: shape=(n,), rows of the genes in the data set; replicates: shape=(replicates, n, tasks), dtype=float32; parts: means
    over replicates of the predictions of network and words alone, shape=(n, tasks) each; train_mean: shape=(n, tasks).
    """

    rows: np.ndarray
    replicates: np.ndarray
    parts: dict[str, np.ndarray]
    train_mean: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[_Predictions]) -> _Predictions:
        """Concatenate the predictions of several folds."""
        rows, mean = (np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "train_mean"))
        names = [name for name in _PARTS if all(name in part.parts for part in parts)]
        of_parts = {name: np.concatenate([part.parts[name] for part in parts]) for name in names}
        return cls(rows, np.concatenate([part.replicates for part in parts], axis=1), of_parts, mean)

    @cached_property
    def ensemble(self) -> np.ndarray:
        """Mean over replicates; shape=(n, tasks)."""
        return self.replicates.mean(axis=0)


def _predict_replicates(
    file: h5py.File, windows: pd.DataFrame, rows: np.ndarray, paths: list[Path], batch_size: int, progress: Progress
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the predictions for genes of a data set of each model, shape=(models, n, tasks), and the mean of each part."""
    pad, length, readout = int(file["pad"][()]), int(file["seq_len"][()]), gene_readout(file)
    codes = read_codes(file, rows, pad, pad + length)
    masks = windows["mask_start"].to_numpy()[rows], windows["mask_end"].to_numpy()[rows]
    replicates, parts = [], []
    for path in paths:
        model = load_model(path)
        with_parts = split_words(model)
        if with_parts is None:
            replicates.append(predict_with_model(model, codes, *masks, rows, readout, batch_size))
        else:
            whole, *of_parts = np.moveaxis(predict_with_model(with_parts, codes, *masks, batch_size=batch_size), 1, 0)
            replicates.append(whole)
            parts.append(of_parts)
        progress.advance()
    means = np.mean(parts, axis=0) if len(parts) == len(paths) else ()
    return np.stack(replicates), dict(zip(_PARTS, means, strict=False))


def _score(
    true: np.ndarray, predictions: _Predictions, kmer_ridge: np.ndarray, tasks: pd.DataFrame, blocks: np.ndarray | None
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the summary of all scores, and the scores per task."""
    ensemble = predictions.ensemble
    model, ridge, mean = (score_tasks(true, predicted) for predicted in (ensemble, kmer_ridge, predictions.train_mean))
    # A constant has no correlation. With several folds, each with its own constant, a correlation would only reflect
    # differences between folds.
    mean[["pearson", "spearman"]] = np.nan
    replicates = [score_tasks(true, predicted) for predicted in predictions.replicates]
    parts = {name: score_tasks(true, predicted) for name, predicted in predictions.parts.items()}
    by_task = pd.concat([tasks[["task", "group", "description"]].reset_index(drop=True), model], axis=1).assign(
        kmer_ridge_pearson=ridge["pearson"],
        kmer_ridge_r2=ridge["r2"],
        train_mean_r2=mean["r2"],
        specificity_pearson=specificity(true, ensemble, [""] * len(tasks)),
        ceiling=ceiling_of_tasks(true, replicates_of(tasks)),
        **{f"{name}_pearson": table["pearson"] for name, table in parts.items()},
        **{f"replicate_{i}_pearson": table["pearson"] for i, table in enumerate(replicates)},
    )
    summary = {
        "n_genes": len(true),
        "measured": bool(np.isfinite(true).any()),
        "n_tasks": len(tasks),
        "model": summarize_scores(model),
        "baselines": {"train_mean": summarize_scores(mean), "kmer_ridge": summarize_scores(ridge)},
        "replicates": [summarize_scores(table) for table in replicates],
        "parts": {name: summarize_scores(table) for name, table in parts.items()},
    }
    known = by_task["ceiling"].dropna()
    summary |= {"ceiling": float(known.median()) if len(known) else "unknown"}
    summary |= {"conditions": score_conditions(true, ensemble, kmer_ridge, tasks)}
    return summary | bound_and_judge(summary, None if blocks is None else _draw(true, [ensemble, kmer_ridge], blocks)), by_task


def _draw(true: np.ndarray, predictors: list[np.ndarray], blocks: np.ndarray) -> BootstrapScores:
    measured = np.isfinite(true)
    shift = np.where(measured, true, 0.0).sum(axis=0) / np.maximum(measured.sum(axis=0), 1)
    return draw_scores(sum_blocks(true, predictors, blocks, int(blocks.max()) + 1, shift))


def bound_and_judge(summary: dict[str, Any], draws: BootstrapScores | None) -> dict[str, Any]:
    """Return the intervals of the medians over tasks, and the verdict, for a summary.

    Parameters
    ----------
    summary: dict
        model and baselines.kmer_ridge, as `summarize_scores` returns them.
    draws: BootstrapScores, optional
        Of the model and the k-mer ridge. None if there are too few blocks.

    Returns
    -------
    dict
        intervals: None, or the 95% intervals of pearson, r2 (model), kmer_ridge_pearson and difference (pearson of model
        minus k-mer ridge), each of the median over tasks; verdict: see `judge`.
    """
    intervals = None
    if draws is not None:
        pearson, ridge = (median_over_tasks(values) for values in draws.pearson)
        by_score = {"pearson": pearson, "r2": median_over_tasks(draws.r2[0])}
        by_score |= {"kmer_ridge_pearson": ridge, "difference": pearson - ridge}
        intervals = {name: percentile_interval(values) for name, values in by_score.items()}
    model, ridge_score = summary["model"], summary["baselines"]["kmer_ridge"]["pearson_median"]
    return {
        "intervals": intervals,
        "verdict": judge(model["pearson_median"], model["r2_median"], ridge_score, intervals),
    }


def _as_anndata(
    true: np.ndarray,
    predictions: _Predictions,
    kmer_ridge: np.ndarray,
    genes: pd.DataFrame,
    tasks: pd.DataFrame,
    transform: dict[str, Any],
    folds: np.ndarray,
    split: str,
) -> anndata.AnnData:
    """Return measurements and predictions (obs: tasks, var: genes).

    `transform` describes how labels were transformed, and `folds` is the fold whose models predicted each gene.
    """
    layers = {"predicted": predictions.ensemble.T, "kmer_ridge": kmer_ridge.T}
    layers |= {name: predicted.T for name, predicted in predictions.parts.items()}
    layers |= {f"replicate_{i}": predicted.T for i, predicted in enumerate(predictions.replicates)}
    if transform["kind"] not in ("none", "coverage"):
        # A prediction can exceed every measurement by so much that the inverse of log1p overflows to infinity.
        with np.errstate(over="ignore"):
            ensemble = predictions.ensemble.astype(np.float64)
            original = ExpressionTransform.from_dict(transform).inverse(ensemble, folds=folds)
            layers["predicted_original"] = original.astype(np.float32).T
    return anndata.AnnData(
        X=true.T,
        obs=tasks.set_index("task"),
        var=genes.set_index("gene_id")[["chrom", "start", "end", "strand", "fold"]],
        layers=layers,
        uns={"split": split},
    )


def write_evaluation(folder: Path, evaluation: SplitEvaluation) -> None:
    """Write summary.json, tasks.tsv, contrasts.tsv, genes.tsv and predictions.h5ad.

    Parameters
    ----------
    folder: Path
        Created if it does not exist.
    evaluation: SplitEvaluation
    """
    with write_whole(folder / "predictions.h5ad") as part:
        evaluation.predictions.write_h5ad(part)
    write_table(evaluation.by_task, folder / "tasks.tsv")
    write_table(evaluation.by_contrast, folder / "contrasts.tsv")
    write_table(evaluation.by_gene, folder / "genes.tsv")
    write_json(evaluation.summary, folder / "summary.json")
