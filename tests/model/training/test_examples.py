"""Training examples come from the data set; the caller's parameters are not modified."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from cisnake.data.dataset.layout import open_dataset
from cisnake.errors import InputError
from cisnake.model.training.examples import batches_by_head, complete_params, training_batches

PARAMS = {"model": {"trunk": []}, "train": {"batch_size": 5, "loss": "mse"}}


def test_parameters_are_completed_from_the_data_set(dataset):
    params = copy.deepcopy(PARAMS)
    assert complete_params(params, dataset)["model"] == {"trunk": [], "seq_length": 40}
    assert params == PARAMS


def test_existing_parameters_take_precedence(dataset, tmp_path):
    stranded = tmp_path / "stranded.h5"
    stranded.write_bytes(dataset.read_bytes())
    with h5py.File(stranded, "r+") as file:
        file["strand_pair"] = np.array([1, 0])
    assert complete_params(PARAMS, stranded)["model"] == {"trunk": [], "seq_length": 40, "strand_pair": [[1, 0]]}
    own = {"seq_length": 30, "strand_pair": [None]}
    assert complete_params(PARAMS | {"model": own}, stranded)["model"] == own


def test_several_heads_are_refused_where_there_is_one_data_set(dataset):
    model = {"trunk": [], "head_human": {"name": "final", "units": 2}, "head_mouse": {"name": "final", "units": 3}}
    with pytest.raises(InputError, match="has the heads head_human, head_mouse, but the run has a data set for only one"):
        complete_params(PARAMS | {"model": model}, dataset)


def test_splits_are_dealt_by_their_genes(dataset):
    batches = training_batches(dataset, PARAMS, fold=0, seed=3)
    assert sorted(np.concatenate([batches["train"].rows, batches["val"].rows])) == list(range(48))
    assert (batches["train"].seed, batches["train"].max_shift) == (3, 4)
    assert (batches["val"].seed, batches["val"].max_shift) == (None, 0)


def test_labels_for_which_the_loss_is_not_defined_are_refused(dataset):
    with pytest.raises(InputError, match="poisson"):
        training_batches(dataset, PARAMS | {"train": {"batch_size": 5, "loss": "poisson"}}, fold=0, seed=0)


# Several heads.


@pytest.fixture
def other(dataset, tmp_path):
    """The same windows, with one task, and other splits."""
    path = tmp_path / "other.h5"
    path.write_bytes(dataset.read_bytes())
    with h5py.File(path, "r+") as file:
        genes = file["genes"].asstr()[:]
        genes[:, 1] = np.where(np.arange(len(genes)) < 8, "val", "train")
        file["genes"][:] = genes
    return path


def test_heads_are_added_to_the_parameters(dataset):
    params = PARAMS | {"model": {"trunk": [], "head": [{"name": "dense", "units": 8}, {"name": "final", "units": 2}]}}
    model = complete_params(params, dataset, ["head_mouse"])["model"]
    assert model["head_mouse"] == [{"name": "dense", "units": 8}, {"name": "final"}] and model["seq_length"] == 40
    assert "head_mouse" not in params["model"]


def test_training_windows_in_held_out_windows_of_the_run_are_left_out(dataset, other):
    train, val = batches_by_head({"head": dataset, "head_b": other}, PARAMS, fold=0, seed=3)
    assert list(train) == list(val) == ["head", "head_b"]
    with open_dataset(dataset) as file:
        held_out = np.flatnonzero(file["genes"].asstr()[:, 1] == "val")
    # Shifts by up to 4 bases do not reach the next window, 20 bases away.
    assert train["head_b"].rows.tolist() == [row for row in range(8, 48) if row not in held_out]
    assert val["head_b"].rows.tolist() == list(range(8))
    assert train["head"].seed == 3 and train["head_b"].seed == 4


def test_a_head_that_has_nothing_else_to_train_on_is_refused(dataset, other):
    with h5py.File(other, "r+") as file, h5py.File(dataset) as first:
        genes = file["genes"].asstr()[:]
        genes[:, 1] = np.where(first["genes"].asstr()[:, 1] == "val", "train", "val")
        file["genes"][:] = genes
    with pytest.raises(InputError, match=r"\(head head_b\) has no training windows outside the held-out windows of the run"):
        batches_by_head({"head": dataset, "head_b": other}, PARAMS, fold=0, seed=3)


def test_data_sets_have_as_many_folds_or_none(dataset, other):
    with h5py.File(other, "r+") as file:
        file.attrs["n_folds"] = 4
        file["windows/fold"][:] = np.arange(48) % 4
    assert batches_by_head({"head": dataset, "head_b": other}, PARAMS, fold=0, seed=3)
    folds = dataset.with_name("folds.h5")
    folds.write_bytes(dataset.read_bytes())
    with h5py.File(folds, "r+") as file:
        file.attrs["n_folds"] = 3
        file["windows/fold"][:] = np.arange(48) % 3
    with h5py.File(other, "r+") as file:
        file.attrs["n_folds"] = 1
        genes = file["genes"].asstr()[:]
        genes[:, 1] = np.where(np.arange(48) % 3 == 2, "train", "val")
        file["genes"][:] = genes
    # Fold 1 holds out folds 1 and 2, and these are all that the head would train on.
    with pytest.raises(InputError, match="no training windows outside the held-out windows of the run in fold 1: train"):
        batches_by_head({"head": folds, "head_b": other}, PARAMS, fold=0, seed=3)
    with h5py.File(other, "r+") as file:
        file.attrs["n_folds"] = 4
    with pytest.raises(InputError, match=r"\(head head_b\) has 4 folds, but the data set of the run has 3: use as many"):
        batches_by_head({"head": folds, "head_b": other}, PARAMS, fold=0, seed=3)
