"""Fit the k-mer ridges of a run once, for tasks and contrasts, and store their predictions of held-out genes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.data.dataset import measured_values, open_dataset, read_codes, read_tasks, read_windows
from cisnake.data.genome import overlaps
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.evaluate.baselines import KmerRidge, candidate_windows, fit_kmer_ridges
from cisnake.files import open_hdf5, read_table, write_table, write_whole
from cisnake.interpret import Contrast
from cisnake.program import Progress, log
from cisnake.sections import BaselineSection

LEVELS = "all tasks"
"""Name of the tasks, which share one ridge, in the table of choices; no contrast can have a name with a blank."""


@dataclass(frozen=True)
class BaselinePredictions:
    """Predictions of the k-mer ridges for genes of one split.

    Attributes
    ----------
    rows: numpy.ndarray, shape=(n,), dtype=int64
        Rows of the genes in the data set, sorted.
    tasks: numpy.ndarray, shape=(n, tasks), dtype=float32
        On the scale of the labels.
    contrasts: numpy.ndarray, shape=(n, contrasts), dtype=float32
        Predicted by ridges that were fitted to the contrasts themselves.
    names: list of str
        Names of the contrasts.
    """

    rows: np.ndarray
    tasks: np.ndarray
    contrasts: np.ndarray
    names: list[str]


def fit_baselines(
    dataset: Path, splits: Sequence[str], baseline: BaselineSection, upstream: int, contrasts: Sequence[Contrast]
) -> tuple[dict[str, BaselinePredictions], pd.DataFrame]:
    """Fit the k-mer ridges of every fold to its training genes, and predict the genes of some splits.

    The window, the kind of words and the penalty are chosen on the validation genes of the fold: once for all tasks, and once
    for each contrast. In coverage runs, training genes whose windows share bases with those of held-out genes are left out.

    Parameters
    ----------
    dataset: Path
        dataset.h5; genes.h5 in a coverage run.
    splits: sequence of str
        Any of "val" and "test".
    baseline: BaselineSection
    upstream: int
        Position of the anchor in the window, in bases.
    contrasts: sequence of Contrast

    Returns
    -------
    predictions: dict of str to BaselinePredictions
        By split.
    choices: pandas.DataFrame
        fold, target ("all tasks" or a contrast) and the attributes of `KmerRidge`.

    Raises
    ------
    InputError
        No gene is in a split.
    """
    parts: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {split: [] for split in splits}
    choices = []
    with open_dataset(dataset) as file:
        windows, tasks = read_windows(file), read_tasks(file)
        pad, length, n_folds = int(file["pad"][()]), int(file["seq_len"][()]), int(file.attrs["n_folds"])
        candidates = candidate_windows(baseline, upstream, length - upstream)
        groups = np.concatenate([np.zeros(len(tasks), int), 1 + np.arange(len(contrasts))])

        def codes(rows: np.ndarray, before: int, after: int) -> np.ndarray:
            return read_codes(file, rows, pad + upstream - before, pad + upstream + after)

        progress = Progress("folds with a fitted k-mer ridge", n_folds)
        for fold in range(n_folds):
            labels = measured_values(file, fold=fold).astype(np.float64)
            targets = np.concatenate([labels, *(contrast.measured(labels, tasks)[:, None] for contrast in contrasts)], axis=1)
            role = split_for_fold(windows, fold, n_folds)
            rows = {split: np.flatnonzero(role == split) for split in ("train", "val", *splits)}
            for split in splits:
                if not len(rows[split]):
                    raise InputError(f"no gene is in the split {split}: check the section 'splits' of the configuration.")
            held_out = np.concatenate([rows[split] for split in splits])
            train = rows["train"]
            if "gene_bins" in file:
                # Networks of coverage runs train on tiles, but windows of training genes can extend into held-out tiles.
                train = train[~overlaps(windows.iloc[train], windows.iloc[np.union1d(rows["val"], held_out)])]
            roles = {"train": train, "val": rows["val"], "predicted": held_out}
            predicted, chosen = fit_kmer_ridges(codes, targets, groups, roles, candidates, baseline)
            ends = np.cumsum([len(rows[split]) for split in splits])[:-1]
            for split, part in zip(splits, np.split(predicted, ends), strict=True):
                parts[split].append((rows[split], part))
            choices += [(fold, *choice) for choice in zip([LEVELS, *(c.name for c in contrasts)], chosen, strict=True)]
            progress.advance()
    names = [contrast.name for contrast in contrasts]
    return {split: _join(part, len(tasks), names) for split, part in parts.items()}, _table(choices)


def _join(parts: list[tuple[np.ndarray, np.ndarray]], n_tasks: int, names: list[str]) -> BaselinePredictions:
    rows, predicted = (np.concatenate(values) for values in zip(*parts, strict=True))
    order = np.argsort(rows)
    tasks, contrasts = np.split(predicted[order].astype(np.float32), [n_tasks], axis=1)
    return BaselinePredictions(rows[order], tasks, contrasts, names)


def _table(choices: list[tuple[int, str, KmerRidge]]) -> pd.DataFrame:
    rows = []
    for fold, target, choice in choices:
        log.info(
            "fold %d, %s: -%d to +%d bp, %s words, penalty %g: Pearson r %.3f over validation genes",
            *(fold, target, choice.upstream, choice.downstream, choice.words, choice.penalty, choice.val_pearson),
        )
        rows.append({"fold": fold, "target": target, **vars(choice)})
    return pd.DataFrame(rows)


def write_baselines(
    predictions: dict[str, BaselinePredictions], choices: pd.DataFrame, output: Path, output_choices: Path
) -> None:
    """Write the predictions as HDF5, a group per split, and the choices as TSV.

    Parameters
    ----------
    predictions, choices
        As `fit_baselines` returns them.
    output, output_choices: Path
    """
    with write_whole(output) as part, h5py.File(part, "w") as file:
        for split, predicted in predictions.items():
            group = file.create_group(split)
            group["rows"], group["tasks"], group["contrasts"] = predicted.rows, predicted.tasks, predicted.contrasts
            group.create_dataset("names", data=predicted.names, dtype=h5py.string_dtype())
    write_table(choices, output_choices)


def read_baselines(path: Path, split: str) -> BaselinePredictions:
    """Read the predictions of the k-mer ridges for the genes of one split.

    Parameters
    ----------
    path: Path
        A file from `write_baselines`.
    split: str

    Raises
    ------
    InputError
        The file is missing or damaged, or has no predictions of the split.
    """
    with open_hdf5(path, "baseline predictions", "run the rule fit_baselines again") as file:
        if split not in file:
            raise InputError(f"{path} has no predictions for the split {split}, only for {', '.join(file)}.")
        group = file[split]
        return BaselinePredictions(group["rows"][:], group["tasks"][:], group["contrasts"][:], list(group["names"].asstr()))


def read_choices(path: Path) -> pd.DataFrame:
    """Read the table of choices that `write_baselines` writes, one row per fold and target."""
    return read_table(path, fold="int64", upstream="int64", downstream="int64", penalty="float", val_pearson="float")


def rows_among(predicted: BaselinePredictions, rows: np.ndarray) -> np.ndarray:
    """Return where the predictions of genes stand.

    Parameters
    ----------
    predicted: BaselinePredictions
    rows: numpy.ndarray of int
        Rows of the genes in the data set.

    Raises
    ------
    InputError
        A gene has no prediction: the baselines were fitted to another data set.
    """
    at = np.minimum(np.searchsorted(predicted.rows, rows), len(predicted.rows) - 1)
    if (predicted.rows[at] != rows).any():
        raise InputError("the baseline predictions belong to another data set: run the rule fit_baselines again.")
    return at
