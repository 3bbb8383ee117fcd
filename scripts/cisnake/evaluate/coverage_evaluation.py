"""Evaluation of an ensemble on tiles of the genome, bin by bin, with the baselines beside it."""

from __future__ import annotations

from collections.abc import Iterator
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
from cisnake.evaluate.scores import pearson, summarize_scores
from cisnake.model import R2, PearsonR, load_model, models_by_fold, predict_batches
from cisnake.program import Progress
from cisnake.sections import BaselineSection

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
    baseline: BaselineSection,
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
    baseline: BaselineSection
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
    totals = _Totals(len(tasks), len(next(iter(folds.values()))))
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
                totals.add(block, fold, labels, replicates, {name: b.predict(tiles) for name, b in baselines.items()})
                progress.advance(len(block))
        by_tile = totals.by_tile()
        parts = [
            _example(file, windows, row, quantile, folds[fold], tasks, batch_size).assign(pearson=pearson_of_tile)
            for quantile, row, fold, pearson_of_tile in _typical(by_tile)
        ]
    examples = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=EXAMPLE_COLUMNS)
    summary, by_task = totals.scores(tasks)
    return {"split": split, "n_tiles": len(by_tile)} | summary, by_task, examples[EXAMPLE_COLUMNS]


class _Totals:
    """Running scores over tiles of the ensemble, of each replicate, and of the baselines."""

    def __init__(self, n_tasks: int, n_replicates: int) -> None:
        self._replicates = [f"replicate_{i}" for i in range(n_replicates)]
        names = ("model", *self._replicates, *COVERAGE_BASELINES)
        self._metrics = {name: [kind(n_tasks, summarize=False) for kind in (PearsonR, R2)] for name in names}
        self._n_bins = np.zeros(n_tasks, np.int64)
        self._tiles: list[pd.DataFrame] = []

    def add(
        self, rows: np.ndarray, fold: int, labels: np.ndarray, replicates: list[np.ndarray], baselines: dict[str, np.ndarray]
    ) -> None:
        """Take in a block of tiles.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
        fold: int
        labels: numpy.ndarray, shape=(n, bins, tasks)
            NaN where not measured.
        replicates, baselines: list, and dict by name, of numpy.ndarray, shape=(n, bins, tasks)
            Predictions.
        """
        ensemble = np.mean(replicates, axis=0)
        predictions = {"model": ensemble, **dict(zip(self._replicates, replicates, strict=True)), **baselines}
        for name, predicted in predictions.items():
            for metric in self._metrics[name]:
                metric.update_state(labels, predicted)
        self._n_bins += np.isfinite(labels).sum(axis=(0, 1))
        self._tiles.append(pd.DataFrame({"row": rows, "fold": fold, "pearson": _by_tile(labels, ensemble)}))

    def by_tile(self) -> pd.DataFrame:
        """Return row, fold and pearson (of the median task) of every tile."""
        return pd.concat(self._tiles, ignore_index=True)

    def scores(self, tasks: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
        """Return the summary of all scores, and those of each task."""
        tables = {
            name: pd.DataFrame({"pearson": np.asarray(correlation.result()), "r2": np.asarray(r2.result())})
            for name, (correlation, r2) in self._metrics.items()
        }
        # A constant has no correlation; that of several folds' constants is one between folds, not a prediction.
        tables["train_mean"]["pearson"] = np.nan
        by_task = tasks[["task", "group", "description"]].reset_index(drop=True).assign(n=self._n_bins)
        beside = [table.add_prefix(f"{name}_") for name, table in tables.items() if name != "model"]
        by_task = pd.concat([by_task, tables["model"], *beside], axis=1).drop(columns="train_mean_pearson")
        summary = {
            "n_bins": int(self._n_bins.max()),
            "n_tasks": len(tasks),
            "model": summarize_scores(tables["model"]),
            "baselines": {name: summarize_scores(tables[name]) for name in COVERAGE_BASELINES},
            "replicates": [summarize_scores(tables[name]) for name in self._replicates],
        }
        return summary, by_task


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
    file: h5py.File, windows: pd.DataFrame, train: np.ndarray, genes: pd.DataFrame, baseline: BaselineSection
) -> dict[str, CoverageBaseline]:
    n_tasks, n_bins = file["labels"].shape[1:]
    sample = min(1.0, _RIDGE_BINS / max(1, len(train) * n_bins))
    baselines: dict[str, CoverageBaseline] = {
        "train_mean": TrainMean(n_tasks),
        "tss_profile": TssProfile(genes, int(file.attrs["bin_size"]), n_tasks),
        "kmer_ridge": KmerRidge(n_tasks, baseline.k, baseline.counts, baseline.alpha, sample=sample),
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


def _typical(by_tile: pd.DataFrame) -> list[tuple[float, int, int, float]]:
    """Return, for each quartile of the tiles' correlations, the nearest tile: quantile, row, fold, correlation."""
    correlations = by_tile["pearson"].to_numpy()
    if not np.isfinite(correlations).any():
        return []
    typical = []
    for quantile in (0.25, 0.5, 0.75):
        at = int(np.nanargmin(np.abs(correlations - np.nanquantile(correlations, quantile))))
        typical.append((quantile, int(by_tile["row"].iloc[at]), int(by_tile["fold"].iloc[at]), correlations[at]))
    return typical


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
