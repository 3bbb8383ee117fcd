"""Training and validation examples of one model, from a data set and the model's parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cisnake.data.dataset import open_dataset, read_strand_pair, read_tasks, read_windows, row_blocks
from cisnake.data.windows import split_for_fold
from cisnake.model.losses import check_labels
from cisnake.model.network import check_single_head
from cisnake.model.training.batches import GeneBatches


def complete_params(params: dict[str, Any], dataset: str | Path) -> dict[str, Any]:
    """Return the parameters of a single-head model, with window length and strand pairs filled in from the data set.

    Parameters
    ----------
    params: dict
        From `read_params`; not modified. Existing values take precedence.
    dataset: str or Path
        dataset.h5.

    Returns
    -------
    dict
        With `model.seq_length` and, if tracks are stranded, `model.strand_pair`.

    Raises
    ------
    InputError
        The file is not a data set, or the model has several heads.
    """
    check_single_head(params["model"])
    with open_dataset(dataset) as file:
        known: dict[str, Any] = {"seq_length": int(file["seq_len"][()])}
        strand_pair = read_strand_pair(file)
        if strand_pair is not None:
            known["strand_pair"] = [strand_pair.tolist()]
    model = params["model"]
    return params | {"model": model | {key: value for key, value in known.items() if key not in model}}


def training_batches(dataset: str | Path, params: dict[str, Any], fold: int, seed: int) -> dict[str, GeneBatches]:
    """Return the batches of the splits `train` and `val`.

    Parameters
    ----------
    dataset: str or Path
        dataset.h5.
    params: dict
        From `read_params`; `model.seq_depth`, `train.batch_size` and `train.loss` are used.
    fold: int
        Held-out fold.
    seed: int
        Random seed of order and shifts of the training examples.

    Raises
    ------
    InputError
        The file is not a data set, or the loss is undefined for its labels.
    """
    model, train = params["model"], params["train"]
    with open_dataset(dataset) as file:
        tasks, pad = read_tasks(file), int(file["pad"][()])
        for rows in row_blocks(file["labels"]):
            check_labels(train["loss"], file["labels"][rows], tasks)
    depth, batch_size = model.get("seq_depth", 4), train["batch_size"]
    return {
        "train": GeneBatches(dataset, _rows(dataset, fold, "train"), batch_size, depth, pad, seed, fold),
        "val": split_batches(dataset, "val", depth, batch_size, fold),
    }


def split_batches(dataset: str | Path, split: str, depth: int, batch_size: int, fold: int = 0) -> GeneBatches:
    """Return the batches of a split, in the order of the data set, without shifts.

    Parameters
    ----------
    dataset: str or Path
        dataset.h5.
    split: str
        "train", "val" or "test".
    depth: int
        Channels of the network's input: 4, or 5 with the gene body.
    batch_size: int
    fold: int
        Held-out fold. Default 0.
    """
    return GeneBatches(dataset, _rows(dataset, fold, split), batch_size, depth, 0, None, fold)


def _rows(dataset: str | Path, fold: int, split: str) -> np.ndarray:
    with open_dataset(dataset) as file:
        role = split_for_fold(read_windows(file), fold, int(file.attrs["n_folds"]))
    return np.flatnonzero(role == split)
