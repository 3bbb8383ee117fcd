"""Basenji's training loop, data reader and network: one epoch per request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from .architecture import LENGTH, LOSS, OPTIMIZER, TASKS, one_hot, probe, random_data
from .basenji_network import build_network
from .keras_weights import parameter_counts
from .worker import Line, connect

# Sequences per file, as in Basenji.
RECORDS = 256


class _Pass:
    """Batches that call a function when a pass over them begins."""

    def __init__(self, batches: tf.data.Dataset, on_begin: Callable[[], None]) -> None:
        self.batches, self.on_begin = batches, on_begin

    def __iter__(self) -> Iterator[Any]:
        self.on_begin()
        return iter(self.batches)


def write_records(folder: Path, split: str, examples: int) -> None:
    """Write a split as Basenji's TFRecords: base indices as bytes and float16 targets."""
    codes, labels = random_data(examples)
    options = tf.io.TFRecordOptions(compression_type="ZLIB")
    for first in range(0, examples, RECORDS):
        with tf.io.TFRecordWriter(str(folder / f"tfrecords/{split}-{first // RECORDS}.tfr"), options) as writer:
            for sequence, target in zip(codes[first : first + RECORDS], labels[first : first + RECORDS]):
                parts = {"sequence": sequence.astype("uint8").tobytes(), "target": target.astype("float16").tobytes()}
                feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[part])) for name, part in parts.items()}
                writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())


def basenji_training_worker(line: Line) -> None:
    """Run Basenji's `Trainer.fit_tape` without a stopping condition.

    Each pass over the training set waits for a request and starts the timer; the following pass over the validation set stops
    it. The timer therefore covers Basenji's training epoch, but neither validation nor checkpoints.
    """
    settings = line.settings
    network = build_network(settings["basenji"])
    from basenji.dataset import SeqDataset
    from basenji.trainer import Trainer

    folder, batch = Path(settings["folder"]) / "basenji", settings["batch_size"]
    (folder / "tfrecords").mkdir(parents=True)
    sizes = {"train": batch * settings["steps"], "valid": batch}
    statistics = {"seq_length": LENGTH, "seq_1hot": True, "target_length": 1, "num_targets": TASKS, "pool_width": LENGTH}
    (folder / "statistics.json").write_text(json.dumps(statistics | {f"{split}_seqs": n for split, n in sizes.items()}))
    for split, examples in sizes.items():
        write_records(folder, split, examples)
    train = SeqDataset(str(folder), "train", batch, mode="train")
    valid = SeqDataset(str(folder), "valid", batch, mode="eval")
    begin = 0.0

    def start() -> None:
        nonlocal begin
        if next(line.requests, None) is None:
            raise SystemExit
        begin = time.perf_counter()

    def stop() -> None:
        line.answer({"count": sizes["train"], "seconds": time.perf_counter() - begin})

    train.dataset, valid.dataset = _Pass(train.dataset, start), _Pass(valid.dataset, stop)
    line.answer(
        {
            "versions": {"tensorflow": tf.__version__},
            "parameters": parameter_counts(network.model),
            "predictions": network.model(one_hot(probe()), training=False).numpy().reshape(-1).tolist(),
        }
    )
    endless = {"patience": 10**9, "train_epochs_max": 10**9}
    Trainer({"loss": LOSS, **OPTIMIZER, **endless}, train, valid, str(folder)).fit_tape(network)


if __name__ == "__main__":
    basenji_training_worker(connect())
