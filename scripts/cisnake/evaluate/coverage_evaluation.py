"""Evaluation of an ensemble on tiles of the genome, bin by bin, with the baselines beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data.coverage import TargetTransform
from cisnake.data.dataset import model_input, open_dataset, read_codes, read_label_rows, read_transform, read_windows
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.evaluate.coverage_baselines import CoverageBaseline, KmerRidge, Tiles, TrainMean, TssProfile
from cisnake.evaluate.scores import pearson, summarize
from cisnake.model import R2, PearsonR, load_model, models_by_fold, predict_batches
from cisnake.program import Progress

EXAMPLE_COLUMNS = ["tile", "quantile", "pearson", "chrom", "start", "end", "task", "measured", "predicted"]
COVERAGE_BASELINES = ("train_mean", "tss_profile", "kmer_ridge")

# Bins that the ridge regression learns from, and bins held at a time.
_RIDGE_BINS = 100_000
_BLOCK_BINS = 8_000
_EXAMPLE_TASKS = 4


def evaluate_tiles(
    dataset: Path,
    models: list[Path],
    split: str,
    genes: pd.DataFrame,
    tasks: pd.DataFrame,
    baseline: Mapping[str, Any],
    batch_size: int,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame]:
    """Return the scores of an ensemble and of the baselines over all bins of a split's tiles.

    Labels and predictions are compared as models are trained on them (see `TargetTransform`). Every tile is predicted by the
    models of the fold for which it is in that split; the baselines learn from the training tiles of the same fold.

    Parameters
    ----------
    dataset: Path
        dataset.h5 of a coverage run.
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`.
    split: str
        "train", "val" or "test".
    genes: pandas.DataFrame
        chrom, strand, tss.
    tasks: pandas.DataFrame
        task, group, description, in the order of the data set.
    baseline: mapping
        `k`, `counts`, `alpha` of the k-mer ridge.
    batch_size: int

    Returns
    -------
    summary: dict
        split, n_tiles, n_bins (measured, of the task with the most), n_tasks, model, baselines, replicates.
    by_task: pandas.DataFrame
        One row a task.
    examples: pandas.DataFrame
        Measured and predicted bins, in the first tasks, of three tiles whose correlation, in the median task, is about the
        lower quartile, the median and the upper quartile: tile, quantile, pearson, chrom, start, end, task, measured,
        predicted.
    """
    folds = models_by_fold(models)
    n_tasks, n_replicates = len(tasks), len(next(iter(folds.values())))
    names = ["model", *(f"replicate_{i}" for i in range(n_replicates)), *COVERAGE_BASELINES]
    metrics = {name: [kind(n_tasks, summarize=False) for kind in (PearsonR, R2)] for name in names}
    n_bins, of_tiles, found = np.zeros(n_tasks, np.int64), [], []
    with open_dataset(dataset) as file:
        windows = read_windows(file)
        for fold, paths in folds.items():
            role = split_for_fold(windows, fold, int(file.attrs["n_folds"]))
            rows = np.flatnonzero(role == split)
            if not len(rows):
                raise InputError(f"no tile is in the split {split}: check the section splits.")
            baselines = _fit(file, windows, np.flatnonzero(role == "train"), genes, baseline)
            loaded = [load_model(path) for path in paths]
            progress = Progress(f"{split} tiles scored", len(rows))
            for block, tiles, labels in _blocks(file, windows, rows):
                replicates = _predict(loaded, tiles, batch_size)
                predictions = {"model": np.mean(replicates, axis=0)}
                predictions |= {f"replicate_{i}": predicted for i, predicted in enumerate(replicates)}
                predictions |= {name: learnt.predict(tiles) for name, learnt in baselines.items()}
                for name, predicted in predictions.items():
                    for metric in metrics[name]:
                        metric.update_state(labels, predicted)
                n_bins += np.isfinite(labels).sum(axis=(0, 1))
                of_tiles.append(_by_tile(labels, predictions["model"]))
                progress.advance(len(block))
            found += [(row, fold) for row in rows.tolist()]
        by_tile = np.concatenate(of_tiles)
        chosen = _typical(by_tile)
        parts = [
            _example(file, windows, found[i][0], quantile, folds[found[i][1]], tasks, batch_size).assign(pearson=by_tile[i])
            for quantile, i in chosen.items()
        ]
        examples = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EXAMPLE_COLUMNS)
    tables = {
        name: pd.DataFrame({key: np.asarray(metric.result()) for key, metric in zip(("pearson", "r2"), pair, strict=True)})
        for name, pair in metrics.items()
    }
    # A constant has no correlation; that of several folds' constants is one between folds, not a prediction.
    tables["train_mean"]["pearson"] = np.nan
    by_task = tasks[["task", "group", "description"]].reset_index(drop=True).assign(n=n_bins)
    by_task = pd.concat([by_task, tables["model"]], axis=1)
    for name in names[1:]:
        by_task[f"{name}_pearson"], by_task[f"{name}_r2"] = tables[name]["pearson"], tables[name]["r2"]
    summary = {
        "split": split,
        "n_tiles": len(found),
        "n_bins": int(n_bins.max()),
        "n_tasks": n_tasks,
        "model": summarize(tables["model"]),
        "baselines": {name: summarize(tables[name]) for name in COVERAGE_BASELINES},
        "replicates": [summarize(tables[f"replicate_{i}"]) for i in range(n_replicates)],
    }
    return summary, by_task.drop(columns="train_mean_pearson"), examples[EXAMPLE_COLUMNS]


def gene_profiles(gene_windows: Path, models: list[Path], split: str, batch_size: int) -> np.ndarray:
    """Return, for each task, how well the course of coverage along a gene is predicted.

    Over the bins that are the gene's own, log2(1 + coverage) as measured is correlated with that predicted by the ensemble;
    of the fifth of the genes whose measurements vary most along the gene, the mean is taken (the `pearsonr_gene` of Borzoi's
    gene tests, over all tasks; here, for each).

    Parameters
    ----------
    gene_windows: Path
        genes.h5 of a coverage run.
    models, split, batch_size
        As of `evaluate_tiles`.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float64
        NaN where no gene has two bins that differ.
    """
    correlations, variances = [], []
    with open_dataset(gene_windows) as file:
        windows, transform = read_windows(file), TargetTransform.from_dict(read_transform(file))
        for fold, paths in models_by_fold(models).items():
            rows = np.flatnonzero(split_for_fold(windows, fold, int(file.attrs["n_folds"])) == split)
            loaded = [load_model(path) for path in paths]
            progress = Progress(f"{split} genes followed bin by bin", len(rows))
            for block, tiles, labels in _blocks(file, windows, rows):
                predicted = np.mean(_predict(loaded, tiles, batch_size), axis=0)
                own = read_codes(file, block, 0, tiles.n_bins, "gene_bins") > 0
                # Bins outside of the gene count as not measured.
                true, asked = (
                    np.log2(1 + transform.inverse(np.maximum(values, 0).astype(np.float64))) for values in (labels, predicted)
                )
                true[~own] = np.nan
                across = [values.transpose(1, 0, 2).reshape(tiles.n_bins, -1) for values in (true, asked)]
                correlations.append(pearson(*across).reshape(len(block), -1))
                variances.append(pd.DataFrame(across[0]).var(ddof=0).to_numpy().reshape(len(block), -1))
                progress.advance(len(block))
    correlation, variance = np.concatenate(correlations), np.concatenate(variances)
    varied = variance >= np.nanquantile(variance, 0.8, axis=0)
    return pd.DataFrame(np.where(varied, correlation, np.nan)).mean().to_numpy()


def _fit(
    file: h5py.File, windows: pd.DataFrame, train: np.ndarray, genes: pd.DataFrame, baseline: Mapping[str, Any]
) -> dict[str, CoverageBaseline]:
    n_tasks, n_bins = file["labels"].shape[1:]
    sample = min(1.0, _RIDGE_BINS / max(1, len(train) * n_bins))
    baselines: dict[str, CoverageBaseline] = {
        "train_mean": TrainMean(n_tasks),
        "tss_profile": TssProfile(genes, int(file.attrs["bin_size"]), n_tasks),
        "kmer_ridge": KmerRidge(n_tasks, baseline["k"], baseline["counts"], baseline["alpha"], sample=sample),
    }
    progress = Progress("training tiles shown to the baselines", len(train))
    for block, tiles, labels in _blocks(file, windows, train):
        for learnt in baselines.values():
            learnt.add(tiles, labels)
        progress.advance(len(block))
    return baselines


def _blocks(file: h5py.File, windows: pd.DataFrame, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Tiles, np.ndarray]]:
    """Yield rows, tiles and labels (n, bins, tasks) of runs of tiles."""
    pad, padded = int(file["pad"][()]), int(file["padded_seq_len"][()])
    crop, bin_size = int(file.attrs["crop"]), int(file.attrs["bin_size"])
    n_bins = file["labels"].shape[2]
    step = max(1, _BLOCK_BINS // n_bins)
    chrom, start = windows["chrom"].to_numpy(object), windows["start"].to_numpy(np.int64)
    for first in range(0, len(rows), step):
        block = rows[first : first + step]
        codes = read_codes(file, block, 0, padded)
        tiles = Tiles(chrom[block], start[block], codes, pad, crop, bin_size, n_bins)
        yield block, tiles, read_label_rows(file, block).transpose(0, 2, 1)


def _predict(models: list[Any], tiles: Tiles, batch_size: int) -> list[np.ndarray]:
    """Return the predictions of each model; (n, bins, tasks)."""
    length, depth = models[0].input_shape[1:]
    outside = np.zeros(len(tiles.start), int)
    inputs = model_input(tiles.codes[:, tiles.pad : tiles.pad + length], outside, outside, depth)
    return [next(predict_batches([model], [inputs], batch_size)) for model in models]


def _by_tile(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the median over tasks of each tile's correlation over its bins; NaN where it has none; shape=(n,)."""
    across = [values.transpose(1, 0, 2).reshape(labels.shape[1], -1) for values in (labels, predicted)]
    return pd.DataFrame(pearson(*across).reshape(len(labels), -1)).median(axis=1).to_numpy()


def _typical(by_tile: np.ndarray) -> dict[float, int]:
    """Return the tile nearest to each quartile of the correlations."""
    if not np.isfinite(by_tile).any():
        return {}
    quartiles = {q: float(np.nanquantile(by_tile, q)) for q in (0.25, 0.5, 0.75)}
    return {q: int(np.nanargmin(np.abs(by_tile - value))) for q, value in quartiles.items()}


def _example(
    file: h5py.File, windows: pd.DataFrame, row: int, quantile: float, paths: list[Path], tasks: pd.DataFrame, batch_size: int
) -> pd.DataFrame:
    _, tiles, labels = next(_blocks(file, windows, np.array([row])))
    predicted = np.mean(_predict([load_model(path) for path in paths], tiles, batch_size), axis=0)[0]
    start = int(tiles.start[0]) + tiles.crop + tiles.bin_size * np.arange(tiles.n_bins)
    of_tasks = [
        pd.DataFrame({"start": start, "end": start + tiles.bin_size, "measured": labels[0, :, i], "predicted": predicted[:, i]})
        for i in range(min(len(tasks), _EXAMPLE_TASKS))
    ]
    table = pd.concat(of_tasks, keys=tasks["task"].iloc[:_EXAMPLE_TASKS], names=["task"]).reset_index("task")
    return table.assign(tile=windows["gene_id"].iloc[row], quantile=quantile, chrom=tiles.chrom[0])
