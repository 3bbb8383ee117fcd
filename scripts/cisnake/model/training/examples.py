"""Training and validation examples of one model, from a data set and the model's parameters."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from cisnake.data.dataset import open_dataset, overlaps_held_out, read_strand_pair, read_tasks, read_windows, row_blocks
from cisnake.data.windows import split_for_fold
from cisnake.errors import InputError
from cisnake.model.heads import add_heads
from cisnake.model.losses import check_labels
from cisnake.model.training.batches import GeneBatches
from cisnake.program import log


def complete_params(params: dict[str, Any], dataset: str | Path, heads: Collection[str] = ()) -> dict[str, Any]:
    """Return the parameters of a model, with window length, strand pairs and further heads filled in.

    Parameters
    ----------
    params: dict
        From `read_params`; not modified. Existing values take precedence.
    dataset: str or Path
        dataset.h5.
    heads: collection of str
        Keys of heads that learn other data sets, see `add_heads`. Default: the model has a single head.

    Returns
    -------
    dict
        With `model.seq_length` and, if tracks are stranded and there is a single head, `model.strand_pair`. `Trainer` adds the
        strand pairs of several heads.

    Raises
    ------
    InputError
        The file is not a data set, or the model has heads without a data set.
    """
    params = add_heads(params, heads)
    with open_dataset(dataset) as file:
        known: dict[str, Any] = {"seq_length": int(file["seq_len"][()])}
        strand_pair = read_strand_pair(file)
        if strand_pair is not None and not heads:
            known["strand_pair"] = [strand_pair.tolist()]
    model = params["model"]
    return params | {"model": model | {key: value for key, value in known.items() if key not in model}}


def training_batches(
    dataset: str | Path, params: dict[str, Any], fold: int, seed: int, excluded: np.ndarray | None = None
) -> dict[str, GeneBatches]:
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
    excluded: numpy.ndarray, shape=(n,), dtype=bool, optional
        Windows of the data set that are not trained on.

    Raises
    ------
    InputError
        The file is not a data set, or the loss is undefined for its labels.
    """
    model, train = params["model"], params["train"]
    with open_dataset(dataset) as file:
        tasks, pad = read_tasks(file), int(file["pad"][()])
        for block in row_blocks(file["labels"]):
            check_labels(train["loss"], file["labels"][block], tasks)
    depth, batch_size = model.get("seq_depth", 4), train["batch_size"]
    rows = _rows(dataset, fold, "train")
    if excluded is not None:
        rows = rows[~excluded[rows]]
    train_batches = GeneBatches(dataset, rows, batch_size, depth, pad, seed, fold)
    val_batches = split_batches(dataset, "val", depth, batch_size, fold)
    sizes = len(train_batches.rows), len(val_batches.rows)
    log.info("%s: %d training windows, %d validation windows", dataset, *sizes)
    return {"train": train_batches, "val": val_batches}


def batches_by_head(
    datasets: dict[str, Path], params: dict[str, Any], fold: int, seed: int
) -> tuple[dict[str, GeneBatches], dict[str, GeneBatches]]:
    """Return the training and validation batches of each head, from a data set of its own.

    Training windows that share a base with a held-out window of the first data set are left out, so that its validation and
    test scores are of unseen sequence (`overlaps_held_out`).

    Parameters
    ----------
    datasets: dict of str to Path
        Data sets by key of the head; first that of the main head.
    params, fold, seed
        As for `training_batches`, for all data sets; each head has a seed of its own.

    Returns
    -------
    train, val: dict of str to GeneBatches
        By key of the head.

    Raises
    ------
    InputError
        As `training_batches`; or data sets have another number of folds; or nothing is left to train a head on.
    """
    (main, first), *others = datasets.items()
    parts = {main: training_batches(first, params, fold, seed)}
    n_folds = _count_folds(first)
    for number, (head, dataset) in enumerate(others, start=1):
        found = _count_folds(dataset)
        if n_folds > 1 and found not in (1, n_folds):
            raise InputError(
                f"{dataset} (head {head}) has {found} folds, but the data set of the run has {n_folds}: use as many, or none."
            )
        # All folds are checked by the training of the first, before hours of it.
        shared = {i: overlaps_held_out(first, dataset, i) for i in range(n_folds)}
        for i, excluded in shared.items():
            if excluded[_rows(dataset, i, "train")].all():
                where = f" in fold {i}" if n_folds > 1 else ""
                raise InputError(
                    f"{dataset} (head {head}) has no training windows outside the held-out windows of the run{where}: train "
                    "the head on other parts of the genome, or remove it."
                )
        rows = _rows(dataset, fold, "train")
        if n := int(shared[fold][rows].sum()):
            log.info("%s: %d of %d training windows overlap held-out windows of the run and are left out", head, n, len(rows))
        parts[head] = training_batches(dataset, params, fold, seed + number, shared[fold])
    train, val = ({head: part[split] for head, part in parts.items()} for split in ("train", "val"))
    return train, val


def _count_folds(dataset: Path) -> int:
    with open_dataset(dataset) as file:
        return int(file.attrs["n_folds"])


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
