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
from cisnake.evaluate import baselines, scores
from cisnake.files import write_json, write_table, write_whole
from cisnake.model import gene_readout, load_model, models_by_fold, predict_with_model
from cisnake.program import Progress
from cisnake.sections import BaselineSection, baseline_upstream


def evaluate_split(
    dataset: Path, models: list[Path], split: str, baseline: BaselineSection, anchor: int, tasks: pd.DataFrame, batch_size: int
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, anndata.AnnData]:
    """Score an ensemble and the baselines on the genes of a split.

    Each gene is predicted by the models of the fold that has the gene in this split. The baselines are fitted to the training
    genes of the same fold.

    Parameters
    ----------
    dataset: Path
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`, with the same number of replicates in each fold.
    split: str
        "train", "val" or "test".
    baseline: BaselineSection
        Settings of the k-mer ridge; `upstream` and `downstream` are numbers of bases around the anchor.
    anchor: int
        Position of the anchor in the window.
    tasks: pandas.DataFrame
        task, group, description: one row per task, in the order of the data set.
    batch_size: int

    Returns
    -------
    summary: dict
        The content of summary.json.
    by_task, by_gene: pandas.DataFrame
        `specificity_pearson` compares a task with all other tasks, as all tasks of a run are of the same kind.
    predictions: anndata.AnnData
        obs: tasks, with all columns of `tasks`; var: genes. X holds the measurements, and the layers `predicted`, `kmer_ridge`
        and `replicate_<i>` the predictions, all on the scale of the labels. If labels were transformed, the layer
        `predicted_original` holds the predictions on the scale of the matrix.

    Raises
    ------
    InputError
        The folds have different numbers of replicates, or no gene is in the split.
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
            replicates = _predict_replicates(file, windows, rows, paths, batch_size, progress)
            ridge = _predict_kmer_ridge(file, labels, train, rows, baseline, anchor)
            parts.append(_Predictions(rows, replicates, ridge, baselines.train_mean(labels[train], len(rows))))
    predictions = _Predictions.join(parts)
    genes, true = windows.iloc[predictions.rows], np.concatenate(measured)
    summary, by_task = _score(true, predictions, tasks)
    by_gene = pd.concat(
        [genes[["gene_id", "fold"]].reset_index(drop=True), scores.score_genes(true, predictions.ensemble)], axis=1
    )
    data = _as_anndata(true, predictions, genes, tasks, transform, np.array(scale), split)
    return {"split": split} | summary, by_task, by_gene, data


@dataclass(frozen=True)
class _Predictions:
    """Predictions of models and baselines for genes.

    rows: shape=(n,), rows of the genes in the data set; replicates: shape=(replicates, n, tasks), dtype=float32; kmer_ridge,
    train_mean: shape=(n, tasks).
    """

    rows: np.ndarray
    replicates: np.ndarray
    kmer_ridge: np.ndarray
    train_mean: np.ndarray

    @classmethod
    def join(cls, parts: Sequence[_Predictions]) -> _Predictions:
        """Concatenate the predictions of several folds."""
        rows, ridge, mean = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "kmer_ridge", "train_mean")
        )
        return cls(rows, np.concatenate([part.replicates for part in parts], axis=1), ridge, mean)

    @cached_property
    def ensemble(self) -> np.ndarray:
        """Mean over replicates; shape=(n, tasks)."""
        return self.replicates.mean(axis=0)


def _predict_replicates(
    file: h5py.File, windows: pd.DataFrame, rows: np.ndarray, paths: list[Path], batch_size: int, progress: Progress
) -> np.ndarray:
    """Return the predictions of each model for genes of a data set; shape=(models, n, tasks), dtype=float32."""
    pad, length, readout = int(file["pad"][()]), int(file["seq_len"][()]), gene_readout(file)
    codes = read_codes(file, rows, pad, pad + length)
    masks = windows["mask_start"].to_numpy()[rows], windows["mask_end"].to_numpy()[rows]
    replicates = []
    for path in paths:
        replicates.append(predict_with_model(load_model(path), codes, *masks, rows, readout, batch_size))
        progress.advance()
    return np.stack(replicates)


def _predict_kmer_ridge(
    file: h5py.File, labels: np.ndarray, train: np.ndarray, rows: np.ndarray, baseline: BaselineSection, anchor: int
) -> np.ndarray:
    """Fit the k-mer ridge around the anchor of training genes, and predict `rows`; shape=(n, tasks), dtype=float64."""
    middle = int(file["pad"][()]) + anchor
    upstream = baseline_upstream(anchor) if baseline.upstream is None else baseline.upstream
    region = middle - upstream, middle + baseline.downstream
    train_codes, codes = (read_codes(file, genes, *region) for genes in (train, rows))
    return baselines.kmer_ridge(train_codes, labels[train], codes, baseline.k, baseline.counts, baseline.alpha)


def _score(true: np.ndarray, predictions: _Predictions, tasks: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
    """Return the summary of all scores, and the scores per task."""
    ensemble = predictions.ensemble
    model, ridge, mean = (
        scores.score_tasks(true, predicted) for predicted in (ensemble, predictions.kmer_ridge, predictions.train_mean)
    )
    # A constant has no correlation. With several folds, each with its own constant, a correlation would only reflect
    # differences between folds.
    mean[["pearson", "spearman"]] = np.nan
    replicates = [scores.score_tasks(true, predicted) for predicted in predictions.replicates]
    by_task = pd.concat([tasks[["task", "group", "description"]].reset_index(drop=True), model], axis=1).assign(
        kmer_ridge_pearson=ridge["pearson"],
        kmer_ridge_r2=ridge["r2"],
        train_mean_r2=mean["r2"],
        specificity_pearson=scores.specificity(true, ensemble, [""] * len(tasks)),
        **{f"replicate_{i}_pearson": table["pearson"] for i, table in enumerate(replicates)},
    )
    summary = {
        "n_genes": len(true),
        "n_tasks": len(tasks),
        "model": scores.summarize_scores(model),
        "baselines": {"train_mean": scores.summarize_scores(mean), "kmer_ridge": scores.summarize_scores(ridge)},
        "replicates": [scores.summarize_scores(table) for table in replicates],
    }
    return summary, by_task


def _as_anndata(
    true: np.ndarray,
    predictions: _Predictions,
    genes: pd.DataFrame,
    tasks: pd.DataFrame,
    transform: dict[str, Any],
    folds: np.ndarray,
    split: str,
) -> anndata.AnnData:
    """Return measurements and predictions (obs: tasks, var: genes).

    `transform` describes how labels were transformed, and `folds` is the fold whose models predicted each gene.
    """
    layers = {"predicted": predictions.ensemble.T, "kmer_ridge": predictions.kmer_ridge.T.astype(np.float32)}
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


def write_evaluation(
    folder: Path, summary: dict[str, Any], by_task: pd.DataFrame, by_gene: pd.DataFrame, predictions: anndata.AnnData
) -> None:
    """Write summary.json, tasks.tsv, genes.tsv and predictions.h5ad.

    Parameters
    ----------
    folder: Path
        Created if it does not exist.
    summary, by_task, by_gene, predictions
        As returned by `evaluate_split`.
    """
    with write_whole(folder / "predictions.h5ad") as part:
        predictions.write_h5ad(part)
    write_table(by_task, folder / "tasks.tsv")
    write_table(by_gene, folder / "genes.tsv")
    write_json(summary, folder / "summary.json")
