"""Evaluation of an ensemble on one split, with the baselines beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd

from cisnake.data.dataset import measured_values, open_dataset, read_codes, read_transform, read_windows
from cisnake.data.matrix import KINDS, ExpressionTransform
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.evaluate import baselines, scores
from cisnake.files import write_json, write_table, write_whole
from cisnake.model import gene_readout, load_model, models_by_fold, predict_with_model
from cisnake.program import Progress


def evaluate_split(
    dataset: Path, models: list[Path], split: str, baseline: dict[str, Any], anchor: int, tasks: pd.DataFrame, batch_size: int
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, anndata.AnnData]:
    """Return the scores of an ensemble and of the baselines on the genes of a split.

    Every gene is predicted by the models of the fold for which it is in that split; the baselines are fitted on the training
    genes of the same fold.

    Parameters
    ----------
    dataset: Path
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`, as many replicates in each fold.
    split: str
        "train", "val" or "test".
    baseline: dict
        `k`, `upstream`, `downstream` (bases around the anchor), `counts`, `alpha` of the k-mer ridge.
    anchor: int
        Position of the anchor in the window.
    tasks: pandas.DataFrame
        task, group, description: one row a task, in the order of the data set.
    batch_size: int

    Returns
    -------
    summary: dict
        As summary.json.
    by_task, by_gene: pandas.DataFrame
        `specificity_pearson` of a task compares it with all others: tasks of a run are of one kind.
    predictions: anndata.AnnData
        obs tasks, with all columns of `tasks`; var genes; X measurements, layers `predicted`, `kmer_ridge` and one a replicate,
        all as labels are; where these were transformed, `predicted_original`, what was predicted on the scale of the matrix.
    """
    folds = models_by_fold(models)
    n_replicates = len(next(iter(folds.values())))
    if any(len(paths) != n_replicates for paths in folds.values()):
        raise InputError("the folds have different numbers of replicates: give the models of all.")
    parts: list[dict[str, Any]] = []
    with open_dataset(dataset) as file:
        windows, labels, readout = read_windows(file), measured_values(file), gene_readout(file)
        pad, length, stored = int(file["pad"][()]), int(file["seq_len"][()]), read_transform(file)
        progress = Progress(f"models asked about the {split} genes", len(models))
        for fold, paths in folds.items():
            role = split_for_fold(windows, fold, int(file.attrs["n_folds"]))
            rows, train = np.flatnonzero(role == split), np.flatnonzero(role == "train")
            if not len(rows):
                raise InputError(f"no gene is in the split {split}: check the section splits.")
            codes = read_codes(file, rows, pad, pad + length)
            masks = windows["mask_start"].to_numpy()[rows], windows["mask_end"].to_numpy()[rows]
            of_fold = []
            for path in paths:
                of_fold.append(predict_with_model(load_model(path), codes, *masks, rows, readout, batch_size))
                progress.advance()
            region = slice(pad + anchor - baseline["upstream"], pad + anchor + baseline["downstream"])
            of_train = read_codes(file, train, region.start, region.stop)
            of_split = codes[:, region.start - pad : region.stop - pad]
            ridge = baselines.kmer_ridge(
                of_train, labels[train], of_split, k=baseline["k"], counts=baseline["counts"], alpha=baseline["alpha"]
            )
            parts.append(
                {
                    "rows": rows,
                    "replicates": np.stack(of_fold),
                    "kmer_ridge": ridge,
                    "train_mean": baselines.train_mean(labels[train], len(rows)),
                }
            )
    rows = np.concatenate([part["rows"] for part in parts])
    replicates = np.concatenate([part["replicates"] for part in parts], axis=1)
    ridge, mean = (np.concatenate([part[name] for part in parts]) for name in ("kmer_ridge", "train_mean"))
    true, ensemble = labels[rows], replicates.mean(axis=0)
    model, of_ridge, of_mean = (scores.score_tasks(true, predicted) for predicted in (ensemble, ridge, mean))
    # A constant has no correlation; that of several folds' constants is one between folds, not a prediction.
    of_mean[["pearson", "spearman"]] = np.nan
    single = [scores.score_tasks(true, predicted) for predicted in replicates]
    by_task = pd.concat([tasks[["task", "group", "description"]].reset_index(drop=True), model], axis=1).assign(
        kmer_ridge_pearson=of_ridge["pearson"],
        kmer_ridge_r2=of_ridge["r2"],
        train_mean_r2=of_mean["r2"],
        specificity_pearson=scores.specificity(true, ensemble, [""] * len(tasks)),
        **{f"replicate_{i}_pearson": table["pearson"] for i, table in enumerate(single)},
    )
    by_gene = pd.concat(
        [windows.iloc[rows][["gene_id", "fold"]].reset_index(drop=True), scores.score_genes(true, ensemble)], axis=1
    )
    summary = {
        "split": split,
        "n_genes": len(rows),
        "n_tasks": len(tasks),
        "model": scores.summarize(model),
        "baselines": {"train_mean": scores.summarize(of_mean), "kmer_ridge": scores.summarize(of_ridge)},
        "replicates": [scores.summarize(table) for table in single],
    }
    layers = {"predicted": ensemble.T, "kmer_ridge": ridge.T.astype(np.float32)}
    layers |= {f"replicate_{i}": predicted.T for i, predicted in enumerate(replicates)}
    if stored["kind"] in KINDS and stored["kind"] != "none":
        # A network may say more than any measurement, of which the inverse of log1p is then infinite.
        with np.errstate(over="ignore"):
            original = ExpressionTransform.from_dict(stored).inverse(ensemble.astype(np.float64)).astype(np.float32)
        layers["predicted_original"] = original.T
    predictions = anndata.AnnData(
        X=true.T,
        obs=tasks.set_index("task"),
        var=windows.iloc[rows].set_index("gene_id")[["chrom", "start", "end", "strand", "fold"]],
        layers=layers,
        uns={"split": split},
    )
    return summary, by_task, by_gene, predictions


def write_evaluation(
    folder: Path, summary: dict[str, Any], by_task: pd.DataFrame, by_gene: pd.DataFrame, predictions: anndata.AnnData
) -> None:
    """Write summary.json, tasks.tsv, genes.tsv and predictions.h5ad to a folder."""
    with write_whole(folder / "predictions.h5ad") as part:
        predictions.write_h5ad(part)
    write_table(by_task, folder / "tasks.tsv")
    write_table(by_gene, folder / "genes.tsv")
    write_json(summary, folder / "summary.json")
