"""Cisnake's trainer, data file and network: one epoch per request."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from cisnake.data.dataset import Labels, Layout, write_dataset
from cisnake.data.genome import Genome, decode
from cisnake.model import TRAIN_DEFAULTS
from cisnake.model.training import GeneBatches, Trainer

from .architecture import LENGTH, LOSS, OPTIMIZER, TASKS, one_hot, probe, random_data
from .cisnake_network import MODEL
from .keras_weights import parameter_counts, set_weights
from .worker import Line, connect


class _Passes(GeneBatches):
    """Batches that call a function when a pass over them begins."""

    on_begin: Callable[[], None]

    def to_tensorflow(self, *args: Any, **kwargs: Any) -> tf.data.Dataset:
        self.on_begin()
        return super().to_tensorflow(*args, **kwargs)


def write_random_dataset(folder: Path, train: int, val: int) -> Path:
    """Write a data set of random genes, one after another on a chromosome, and return its path."""
    parts = [random_data(train), random_data(val)]
    codes, labels = (np.concatenate(part) for part in zip(*parts))
    fasta = folder / "genome.fa"
    fasta.write_text(f">chr1\n{decode(codes.reshape(-1))}\n")
    start = LENGTH * np.arange(len(codes))
    genes = pd.DataFrame(
        {
            "gene_id": [f"gene{i}" for i in range(len(codes))],
            "split": ["train"] * train + ["val"] * val,
            "chrom": "chr1",
            "strand": "+",
            "start": start,
            "end": start + LENGTH,
            "window_start": start,
            "window_end": start + LENGTH,
            "mask_start": 0,
            "mask_end": LENGTH,
            "fold": 0,
        }
    )
    path = folder / "dataset.h5"
    measured = Labels(labels, [f"task{i}" for i in range(TASKS)])
    write_dataset(path, genes, measured, Genome(fasta), Layout(), {"n_folds": 1})
    return path


def our_training_worker(line: Line) -> None:
    """Run `Trainer.fit` without a stopping condition.

    Each pass over the training genes waits for a request and starts the timer; the following pass over the validation genes
    stops it. The timer therefore covers a training epoch, but neither validation nor checkpoints.
    """
    settings = line.settings
    folder, batch = Path(settings["folder"]), settings["batch_size"]
    examples = batch * settings["steps"]
    dataset = write_random_dataset(folder, examples, batch)
    train = _Passes(dataset, np.arange(examples), batch, depth=4, seed=0)
    val = _Passes(dataset, np.arange(examples, examples + batch), batch, depth=4)
    endless = {"patience": 10**9, "train_epochs_max": 10**9}
    params = {"model": MODEL, "train": TRAIN_DEFAULTS | {"batch_size": batch, "loss": LOSS, **OPTIMIZER, **endless}}
    trainer = Trainer(params, train, val, seed=0, checkpoint_dir=folder / "checkpoint")
    set_weights(trainer.model)
    begin = 0.0

    def start() -> None:
        nonlocal begin
        if next(line.requests, None) is None:
            raise SystemExit
        begin = time.perf_counter()

    def stop() -> None:
        line.answer({"count": examples, "seconds": time.perf_counter() - begin})

    train.on_begin, val.on_begin = start, stop
    line.answer(
        {
            "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
            "parameters": parameter_counts(trainer.model),
            "predictions": trainer.model(one_hot(probe()), training=False).numpy().reshape(-1).tolist(),
        }
    )
    trainer.fit()


if __name__ == "__main__":
    our_training_worker(connect())
