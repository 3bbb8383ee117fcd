"""Labels on the scale of each fold equal z-scores by the training genes of that fold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cisnake.data.dataset import fold_labels, layout, measured, writer
from cisnake.data.dataset.fold_labels import labels_for_fold
from cisnake.data.genome.fasta import Genome
from cisnake.data.matrix import ExpressionTransform, fit_transform, transform_labels
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.model import HDF5Dataset
from cisnake.model.training.batches import GeneBatches
from cisnake.model.training.examples import training_batches

N, FOLDS = 24, 4


def values() -> np.ndarray:
    found = np.random.default_rng(0).poisson(20, (N, 3)).astype(np.float32)
    found[5, 1] = np.nan
    return found


@pytest.fixture
def write(tiny, random_windows, tmp_path: Path):
    """Return a function that writes the data set of a run, and the role of each gene in each fold."""

    def write_file(kind, counts: np.ndarray, n_folds: int = FOLDS) -> tuple[Path, list[np.ndarray]]:
        splits = ["test"] * N if n_folds > 1 else ["train", "val", "test"] * (N // 3)
        windows = random_windows(N, np.random.default_rng(0), splits).assign(fold=np.arange(N) % n_folds)
        roles = [split_for_fold(windows, fold, n_folds) for fold in range(n_folds)]
        transform = fit_transform(kind, counts, [np.flatnonzero(role == "train") for role in roles])
        labels = transform_labels(counts.copy(), transform, windows["fold"].to_numpy())
        path = tmp_path / "dataset.h5"
        stored = writer.Labels(labels, ["a", "b", "c"], transform.to_dict())
        writer.write_dataset(path, windows, stored, Genome(tiny.fasta), writer.Layout(2), {"n_folds": n_folds})
        return path, roles

    return write_file


def scored(counts: np.ndarray, train: np.ndarray) -> np.ndarray:
    return (counts - np.nanmean(counts[train], axis=0)) / np.nanstd(counts[train], axis=0)


@pytest.mark.parametrize("block", [1, 10, 10**6])
@pytest.mark.parametrize("kind", ["zscore", ("log2_cpm", "zscore")])
def test_each_fold_sees_all_labels_on_its_own_scale(write, kind, block, monkeypatch):
    monkeypatch.setattr(fold_labels, "_BLOCK_NUMBERS", block)
    counts = values()
    x = counts.astype(np.float64)
    x = x if kind == "zscore" else np.log2(1 + 1e6 * x / np.nansum(x, axis=0))
    path, roles = write(kind, counts)
    with layout.open_dataset(path) as file:
        stored = layout.read_labels(file)
        for fold, role in enumerate(roles):
            expected = scored(x, role == "train")
            np.testing.assert_allclose(labels_for_fold(file, np.arange(N), fold), expected, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(measured.measured_values(file, fold=fold), expected, rtol=1e-5, atol=1e-6)
            test = np.flatnonzero(role == "test")[::-1]
            np.testing.assert_array_equal(labels_for_fold(file, test, fold), stored[test])
        np.testing.assert_array_equal(labels_for_fold(file, np.arange(N), None), stored)
        with pytest.raises(InputError, match="has no fold 4: its folds are 0 to 3"):
            labels_for_fold(file, np.arange(N), 4)


def test_held_out_genes_do_not_change_what_the_models_of_their_fold_learn(write):
    counts, changed = values(), values()
    path, roles = write("zscore", counts)
    held_out = roles[2] != "train"
    changed[held_out] *= 9

    def learnt() -> np.ndarray:
        with layout.open_dataset(path) as file:
            return labels_for_fold(file, np.flatnonzero(~held_out), 2)

    before = learnt()
    write("zscore", changed)
    # The genes are stored on other scales now, of which single precision keeps 24 bits.
    np.testing.assert_allclose(learnt(), before, rtol=1e-4, atol=1e-5)


def test_training_gets_the_labels_of_its_fold(write):
    counts = values()
    path, roles = write("zscore", counts)
    params = {"model": {}, "train": {"batch_size": 5, "loss": "mse"}}
    for fold, role in enumerate(roles):
        expected = scored(counts, role == "train")
        for split, batches in training_batches(path, params, fold, seed=0).items():
            np.testing.assert_allclose(batches.labels, expected[role == split], rtol=1e-4, atol=1e-5)
        for split in ("train", "val", "test"):
            data = HDF5Dataset(split, path, augment_mode=None, batch_size=5, fold=fold)
            assert data.gene_index.tolist() == np.flatnonzero(role == split).tolist()
            found = np.concatenate([data[i][1] for i in range(len(data))])
            np.testing.assert_allclose(found, expected[role == split], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "n_folds"), [("log1p", FOLDS), ("none", FOLDS), ("zscore", 1), (("log1p", "zscore"), 1)])
def test_without_statistics_per_fold_labels_are_the_stored_ones(write, kind, n_folds):
    path, _ = write(kind, values(), n_folds)
    rows = np.array([7, 3, 12])
    with layout.open_dataset(path) as file:
        stored = layout.read_labels(file)[rows]
        np.testing.assert_array_equal(labels_for_fold(file, rows, 0), stored)
        assert ExpressionTransform.from_dict(layout.read_transform(file)).n_folds == 1
    np.testing.assert_array_equal(GeneBatches(path, rows, 2, 4, fold=0).labels, stored)
