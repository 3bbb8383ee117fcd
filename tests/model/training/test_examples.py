"""Training examples come from the data set; the caller's parameters are not modified."""

from __future__ import annotations

import copy

import h5py
import numpy as np
import pytest

from cisnake.errors import InputError
from cisnake.model.training.examples import complete_params, training_batches

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
    with pytest.raises(InputError, match="has the heads head_human, head_mouse, but there are data for only one: remove"):
        complete_params(PARAMS | {"model": model}, dataset)


def test_splits_are_dealt_by_their_genes(dataset):
    batches = training_batches(dataset, PARAMS, fold=0, seed=3)
    assert sorted(np.concatenate([batches["train"].rows, batches["val"].rows])) == list(range(48))
    assert (batches["train"].seed, batches["train"].max_shift) == (3, 4)
    assert (batches["val"].seed, batches["val"].max_shift) == (None, 0)


def test_labels_for_which_the_loss_is_not_defined_are_refused(dataset):
    with pytest.raises(InputError, match="poisson"):
        training_batches(dataset, PARAMS | {"train": {"batch_size": 5, "loss": "poisson"}}, fold=0, seed=0)
