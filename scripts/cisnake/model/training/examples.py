"""What one model is trained on and chosen by, from a data set and the parameters of the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from cisnake.data.dataset import open_dataset, read_tasks, read_windows, row_blocks
from cisnake.data.windows import split_for_fold
from cisnake.model.losses import check_labels
from cisnake.model.training.batches import GeneBatches


def training_data(dataset: str | Path, params: dict[str, Any], fold: int, seed: int) -> dict[str, GeneBatches]:
    """Return the batches of the splits `train` and `val`, and complete the parameters with what the data set knows.

    Parameters
    ----------
    dataset: str or Path
    params: dict
        As `read_params` gives them. `model.seq_length` and, of stranded tracks, `model.strand_pair` are set where they are not.
    fold: int
        The fold that is held out.
    seed: int
        Of order and shifts of the training examples.

    Raises
    ------
    InputError
        The loss is not defined for the labels.
    """
    model, train = params["model"], params["train"]
    with open_dataset(dataset) as file:
        role = split_for_fold(read_windows(file), fold, int(file.attrs["n_folds"]))
        tasks, pad = read_tasks(file), int(file["pad"][()])
        for rows in row_blocks(file["labels"]):
            check_labels(train["loss"], file["labels"][rows], tasks)
        model.setdefault("seq_length", int(file["seq_len"][()]))
        if "strand_pair" in file.attrs:
            model.setdefault("strand_pair", [file.attrs["strand_pair"].tolist()])
    depth, batch_size = model.get("seq_depth", 4), train["batch_size"]
    augmented = {"train": (pad, seed), "val": ()}
    return {
        split: GeneBatches(dataset, np.flatnonzero(role == split), batch_size, depth, *options)
        for split, options in augmented.items()
    }
