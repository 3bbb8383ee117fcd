"""Per-bin evaluation of an ensemble and of the baselines on tiles of the genome."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data.coverage import TargetTransform
from cisnake.data.dataset import (
    model_input,
    open_dataset,
    read_codes,
    read_label_rows,
    read_strand_pair,
    read_transform,
    read_windows,
)
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.evaluate.coverage_baselines import BinRidge, CoverageBaseline, Tiles, TrainMean, TssProfile
from cisnake.evaluate.evaluation import bound_and_judge
from cisnake.evaluate.intervals import BlockSums, draw_scores, neighbour_blocks, sum_blocks
from cisnake.evaluate.scores import pearson, summarize_scores
from cisnake.model import R2, PearsonR, load_model, models_by_fold, predict_batches
from cisnake.program import Progress
from cisnake.sections import BaselineSection

EXAMPLE_COLUMNS = ["tile", "quantile", "pearson", "chrom", "start", "end", "task", "measured", "predicted"]
COVERAGE_BASELINES = ("train_mean", "tss_profile", "kmer_ridge")

# Number of bins that the ridge regression is fitted to, and number of bins in memory at a time.
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
    """Score an ensemble and the baselines over all bins of the tiles in a split.

    Labels and predictions are compared on the scale used in training (see `TargetTransform`). Each tile is predicted by the
    models of the fold that has the tile in this split. The baselines are fitted to the training tiles of the same fold.

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
        Settings of the k-mer ridge: `k`, `counts`, and `alpha` ("auto": chosen on the validation tiles).
    batch_size: int

    Returns
    -------
    summary: dict
        split, n_tiles, n_bins (measured bins of the task that has the most), n_tasks, model, baselines, replicates, intervals
        and verdict (see `bound_and_judge`); partner_strand: scores of the predictions against the measurements of the other
        strand, where tracks have strand pairs.
    by_task: pandas.DataFrame
        One row per task.
    examples: pandas.DataFrame
        Measured and predicted bins of three example tiles, for the first tasks. The tiles are those whose correlation
        (median over tasks) is closest to the lower quartile, the median and the upper quartile. Columns: tile, quantile,
        pearson, chrom, start, end, task, measured, predicted.

    Raises
    ------
    InputError
        No tile is in the split.
    """
    folds = models_by_fold(models)
    with open_dataset(dataset) as file:
        windows, pair = read_windows(file), read_strand_pair(file)
        if pair is not None and (pair == np.arange(len(pair))).all():
            pair = None
        totals = _Totals(len(tasks), len(next(iter(folds.values()))), pair, _blocks_of_tiles(file, windows, split))
        penalties = []
        for fold, paths in folds.items():
            role = split_for_fold(windows, fold, int(file.attrs["n_folds"]))
            rows = np.flatnonzero(role == split)
            if not len(rows):
                raise InputError(f"no tile is in the split {split}: check the section 'splits' of the configuration.")
            baselines, chosen = _fit(file, windows, role, genes, baseline)
            penalties.append({"fold": fold, **chosen})
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
    summary["baselines"]["kmer_ridge"]["ridges"] = penalties
    return {"split": split, "n_tiles": len(by_tile)} | summary, by_task, examples[EXAMPLE_COLUMNS]


class _Totals:
    """Scores of the ensemble, of each replicate and of the baselines, accumulated over tiles."""

    def __init__(self, n_tasks: int, n_replicates: int, pair: np.ndarray | None, blocks: dict[int, int] | None) -> None:
        self._replicates = [f"replicate_{i}" for i in range(n_replicates)]
        self._pair, self._blocks = pair, blocks
        self._shift: np.ndarray | None = None
        n_blocks = 1 + max(blocks.values()) if blocks else 0
        self._sums = BlockSums(np.zeros((3, n_blocks, n_tasks)), np.zeros((2, 3, n_blocks, n_tasks)))
        names = ("model", *self._replicates, *COVERAGE_BASELINES, *(("partner_strand",) if pair is not None else ()))
        self._metrics = {name: [kind(n_tasks, summarize=False) for kind in (PearsonR, R2)] for name in names}
        self._n_bins = np.zeros(n_tasks, np.int64)
        self._tiles: list[pd.DataFrame] = []

    def add(
        self, rows: np.ndarray, fold: int, labels: np.ndarray, replicates: list[np.ndarray], baselines: dict[str, np.ndarray]
    ) -> None:
        """Add a block of tiles.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
        fold: int
        labels: numpy.ndarray, shape=(n, bins, tasks)
            NaN for missing values.
        replicates, baselines: list, and dict by name, of numpy.ndarray, shape=(n, bins, tasks)
            Predictions.
        """
        ensemble = np.mean(replicates, axis=0)
        predictions = {"model": ensemble, **dict(zip(self._replicates, replicates, strict=True)), **baselines}
        for name, predicted in predictions.items():
            for metric in self._metrics[name]:
                metric.update_state(labels, predicted)
        if self._pair is not None:
            for metric in self._metrics["partner_strand"]:
                metric.update_state(labels[..., self._pair], ensemble)
        if self._blocks is not None:
            self._add_sums(rows, labels, [ensemble, baselines["kmer_ridge"]])
        self._n_bins += np.isfinite(labels).sum(axis=(0, 1))
        self._tiles.append(pd.DataFrame({"row": rows, "fold": fold, "pearson": _by_tile(labels, ensemble)}))

    def _add_sums(self, rows: np.ndarray, labels: np.ndarray, predictors: list[np.ndarray]) -> None:
        flat, *predicted = (values.reshape(-1, values.shape[-1]) for values in (labels, *predictors))
        if self._shift is None:
            self._shift = np.where(np.isfinite(flat), flat, 0.0).mean(axis=0, dtype=np.float64)
        present, local = np.unique([(self._blocks or {})[row] for row in rows], return_inverse=True)
        sums = sum_blocks(flat, predicted, np.repeat(local, labels.shape[1]), len(present), self._shift)
        self._sums.true[:, present] += sums.true
        self._sums.predicted[:, :, present] += sums.predicted

    def by_tile(self) -> pd.DataFrame:
        """Return one row per tile: row, fold and pearson (median over tasks)."""
        return pd.concat(self._tiles, ignore_index=True)

    def scores(self, tasks: pd.DataFrame) -> tuple[dict[str, Any], pd.DataFrame]:
        """Return the summary of all scores, and the scores per task."""
        tables = {
            name: pd.DataFrame({"pearson": np.asarray(correlation.result()), "r2": np.asarray(r2.result())})
            for name, (correlation, r2) in self._metrics.items()
        }
        # A constant has no correlation. With several folds, each with its own constant, a correlation would only reflect
        # differences between folds.
        tables["train_mean"]["pearson"] = np.nan
        if self._pair is not None:
            alone = self._pair == np.arange(len(self._pair))
            tables["partner_strand"].loc[alone] = np.nan
        by_task = tasks[["task", "group", "description"]].reset_index(drop=True).assign(n=self._n_bins)
        others = [table.add_prefix(f"{name}_") for name, table in tables.items() if name != "model"]
        by_task = pd.concat([by_task, tables["model"], *others], axis=1).drop(columns="train_mean_pearson")
        summary = {
            "n_bins": int(self._n_bins.max()),
            "n_tasks": len(tasks),
            "model": summarize_scores(tables["model"]),
            "baselines": {name: summarize_scores(tables[name]) for name in COVERAGE_BASELINES},
            "replicates": [summarize_scores(tables[name]) for name in self._replicates],
        }
        if self._pair is not None:
            summary["partner_strand"] = summarize_scores(tables["partner_strand"])
        return summary | bound_and_judge(summary, None if self._blocks is None else draw_scores(self._sums)), by_task


def _blocks_of_tiles(file: h5py.File, windows: pd.DataFrame, split: str) -> dict[int, int] | None:
    """Return the block of each tile of a split; None if there are too few blocks. Tiles are scored without their crop."""
    n_folds, crop = int(file.attrs["n_folds"]), int(file.attrs["crop"])
    roles = np.stack([split_for_fold(windows, fold, n_folds) == split for fold in range(n_folds)])
    rows = np.flatnonzero(roles.any(axis=0))
    tiles = windows.iloc[rows]
    blocks = neighbour_blocks(tiles.assign(start=tiles["start"] + crop, end=tiles["end"] - crop)) if len(rows) else None
    return None if blocks is None else dict(zip(rows.tolist(), blocks.tolist(), strict=True))


def gene_profiles(gene_windows: Path, models: list[Path], split: str, batch_size: int) -> np.ndarray:
    """Return, per task, the mean correlation of measured and predicted coverage along genes.

    Measured and predicted log2(1 + coverage) are correlated over the bins of each gene. The correlations are then averaged
    over the 20% of genes with the most variable measured coverage. This is `pearsonr_gene` in Borzoi's gene evaluation,
    except that Borzoi averages over all tasks, whereas this function returns one value per task.

    Parameters
    ----------
    gene_windows: Path
        genes.h5 of a coverage run.
    models, split, batch_size
        As for `evaluate_tiles`.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=float64
        NaN if no gene has two bins with different measured values.
    """
    correlations, variances = [], []
    with open_dataset(gene_windows) as file:
        windows, transform = read_windows(file), TargetTransform.from_dict(read_transform(file))
        for fold, paths in models_by_fold(models).items():
            rows = np.flatnonzero(split_for_fold(windows, fold, int(file.attrs["n_folds"])) == split)
            loaded = [load_model(path) for path in paths]
            progress = Progress(f"{split} genes scored bin by bin", len(rows))
            for block, tiles, labels in _blocks(file, windows, rows):
                ensemble = np.mean(_predict(loaded, tiles, batch_size), axis=0)
                in_gene = read_codes(file, block, 0, tiles.n_bins, "gene_bins") > 0
                measured, predicted = (
                    np.log2(1 + transform.inverse(np.maximum(values, 0).astype(np.float64))) for values in (labels, ensemble)
                )
                # Bins outside the gene are treated as missing.
                measured[~in_gene] = np.nan
                across = [values.transpose(1, 0, 2).reshape(tiles.n_bins, -1) for values in (measured, predicted)]
                correlations.append(pearson(*across).reshape(len(block), -1))
                variances.append(pd.DataFrame(across[0]).var(ddof=0).to_numpy().reshape(len(block), -1))
                progress.advance(len(block))
    correlation, variance = np.concatenate(correlations), np.concatenate(variances)
    varied = variance >= np.nanquantile(variance, 0.8, axis=0)
    return pd.DataFrame(np.where(varied, correlation, np.nan)).mean().to_numpy()


def _fit(
    file: h5py.File, windows: pd.DataFrame, role: np.ndarray, genes: pd.DataFrame, baseline: BaselineSection
) -> tuple[dict[str, CoverageBaseline], dict[str, Any]]:
    """Return the baselines of a fold, and the penalty of the ridge with its correlation over validation bins."""
    n_tasks, n_bins = file["labels"].shape[1:]
    train, val = np.flatnonzero(role == "train"), np.flatnonzero(role == "val")
    penalty = None if baseline.alpha == "auto" else float(baseline.alpha)

    def ridge(rows: np.ndarray) -> BinRidge:
        return BinRidge(
            n_tasks, baseline.k, baseline.counts, penalty, sample=min(1.0, _RIDGE_BINS / max(1, len(rows) * n_bins))
        )

    fitted = ridge(train)
    baselines: dict[str, CoverageBaseline] = {
        "train_mean": TrainMean(n_tasks),
        "tss_profile": TssProfile(genes, int(file.attrs["bin_size"]), n_tasks),
        "kmer_ridge": fitted,
    }
    progress = Progress("training tiles added to the baselines", len(train))
    for block, tiles, labels in _blocks(file, windows, train):
        for one in baselines.values():
            one.add(tiles, labels)
        progress.advance(len(block))
    val_pearson = None
    if penalty is None:
        validation = ridge(val)
        for _, tiles, labels in _blocks(file, windows, val):
            validation.add(tiles, labels)
        val_pearson = fitted.choose_penalty(validation)
    return baselines, {"span": fitted.span, "words": "canonical", "penalty": fitted.penalty, "val_pearson": val_pearson}


def _blocks(file: h5py.File, windows: pd.DataFrame, rows: np.ndarray) -> Iterator[tuple[np.ndarray, Tiles, np.ndarray]]:
    """Yield the tiles block by block: rows, tiles and labels, shape=(n, bins, tasks)."""
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
    """Return the predictions of each model; shape=(n, bins, tasks)."""
    length, depth = models[0].input_shape[1:]
    outside = np.zeros(len(tiles.start), int)
    inputs = model_input(tiles.codes[:, tiles.pad : tiles.pad + length], outside, outside, depth)
    return [next(predict_batches([model], [inputs], batch_size)) for model in models]


def _by_tile(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the correlation over bins of each tile, as the median over tasks; NaN where undefined; shape=(n,)."""
    across = [values.transpose(1, 0, 2).reshape(labels.shape[1], -1) for values in (labels, predicted)]
    return pd.DataFrame(pearson(*across).reshape(len(labels), -1)).median(axis=1).to_numpy()


def _typical(by_tile: pd.DataFrame) -> list[tuple[float, int, int, float]]:
    """Return the tile nearest to each quartile of the correlations: quantile, row, fold, correlation."""
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
    parts = [
        pd.DataFrame({"start": start, "end": start + tiles.bin_size, "measured": labels[0, :, i], "predicted": predicted[:, i]})
        for i in range(min(len(tasks), _EXAMPLE_TASKS))
    ]
    table = pd.concat(parts, keys=tasks["task"].iloc[:_EXAMPLE_TASKS], names=["task"]).reset_index("task")
    return table.assign(tile=windows["gene_id"].iloc[row], quantile=quantile, chrom=tiles.chrom[0])
