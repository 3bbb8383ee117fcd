"""Batches of windows and labels for training and evaluation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from cisnake.data.dataset import (
    RowReader,
    WindowReader,
    crop,
    labels_for_fold,
    model_input,
    open_dataset,
    read_label_rows,
    read_strand_pair,
    read_tasks,
    read_windows,
    shifts,
)

_MEMORY_BYTES = 2 << 30


class Batches:
    """Batches of examples, in a new random order in each epoch.

    The random draws of an epoch depend only on the seed and the epoch. Resumed training therefore uses the same batches as
    uninterrupted training, and every process of distributed training can compute the batches of all processes.

    Parameters
    ----------
    labels: numpy.ndarray or StoredLabels, shape=(n, tasks) or (n, length, tasks), dtype=float32
        Missing values are NaN.
    names: sequence of str
        Names of the examples for messages, such as gene ids.
    tasks: sequence of str
        Names of the tasks for messages.
    source: str
        Source of the examples for messages.
    input_shape: pair of int
        Length and depth of an input.
    batch_size: int
        Examples per batch; the last batch of an epoch may be smaller.
    seed: int, optional
        Random seed of the order; None keeps the order of the labels.
    strand_pair: list of int, optional
        For each task, the index of the task that measures the opposite strand, or its own index if there is none. Default: no
        task is stranded.

    Attributes
    ----------
    epoch: int
        Epoch of the next iteration, from 0; set by the trainer.
    """

    def __init__(
        self,
        labels: np.ndarray | StoredLabels,
        names: Sequence[str],
        tasks: Sequence[str],
        source: str,
        input_shape: tuple[int, int],
        batch_size: int,
        seed: int | None = None,
        strand_pair: list[int] | None = None,
    ) -> None:
        self.labels, self.names, self.tasks, self.source, self.input_shape = labels, names, tasks, source, input_shape
        self.batch_size, self.seed, self.epoch, self.strand_pair = batch_size, seed, 0, strand_pair

    def __len__(self) -> int:
        return -(-len(self.labels) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches of the current `epoch`: inputs (b, length, depth) float32 and labels (b, ...) float32."""
        for inputs, labels, _ in self.deal():
            yield inputs, labels

    def deal(self, shares: Sequence[int] = (0,), of: int = 1) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the selected shares of every batch of the current `epoch`, one after another.

        Parameters
        ----------
        shares: sequence of int
            Indices of the shares to yield. Default: the whole batch as one share.
        of: int
            Number of shares of nearly equal size into which each batch is split.

        Yields
        ------
        inputs: numpy.ndarray, shape=(b, length, depth), dtype=float32
        labels: numpy.ndarray, shape=(b, ...), dtype=float32
        chosen: numpy.ndarray, shape=(b,), dtype=int64
            Indices of the examples.
        """
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.labels)) if rng is None else rng.permutation(len(self.labels))
        drawn = self.draw(rng)
        for first in range(0, len(order), self.batch_size):
            batch = order[first : first + self.batch_size]
            for share in shares:
                part = slice(len(batch) * share // of, len(batch) * (share + 1) // of)
                chosen = batch[part]
                yield self.read(chosen, drawn[first : first + self.batch_size][part]), self.labels[chosen], chosen

    def draw(self, rng: np.random.Generator | None) -> np.ndarray:
        """Return the random draws of an epoch for each position in the order, such as shifts; shape=(n,)."""
        return np.zeros(len(self.labels), dtype=np.int64)

    def read(self, chosen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the inputs of some examples, augmented as drawn; shape=(b, length, depth), dtype=float32."""
        raise NotImplementedError

    def to_tensorflow(self, shares: Sequence[int] = (0,), of: int = 1) -> tf.data.Dataset:
        """Return the output of `deal` as a `tf.data.Dataset`; each iteration uses the value of `epoch` when it starts."""
        signature = (
            tf.TensorSpec((None, *self.input_shape), tf.float32),
            tf.TensorSpec((None, *self.labels.shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(lambda: self.deal(shares, of), output_signature=signature)
        data = data.apply(tf.data.experimental.assert_cardinality(len(self) * len(shares))).prefetch(2 * len(shares))
        options = tf.data.Options()
        # With autotuning, short epochs sometimes hung for 5, 10 or 20 seconds with the process idle.
        options.autotune.enabled = False
        return data.with_options(options)


class StoredLabels:
    """Labels per bin of some rows of a data set, read on access.

    Parameters
    ----------
    reader: RowReader
        Reader of `labels`, shape (N, tasks, bins).
    rows: numpy.ndarray, shape=(n,), dtype=int

    Attributes
    ----------
    shape: tuple of int
        (n, bins, tasks).
    """

    def __init__(self, reader: RowReader, rows: np.ndarray) -> None:
        self._reader, self._rows = reader, rows
        _, tasks, bins = reader.shape
        self.shape = (len(rows), bins, tasks)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, chosen: np.ndarray) -> np.ndarray:
        """Return labels by index into `rows`; shape=(b, bins, tasks), dtype=float32."""
        return self._reader.read(self._rows[chosen]).transpose(0, 2, 1)


class GeneBatches(Batches):
    """Batches of genes or genome tiles of a data set, with a new random order and new shifts in each epoch.

    Parameters
    ----------
    h5_file: str or Path
        A data set.
    rows: numpy.ndarray, shape=(n,), dtype=int
        Rows of the genes or tiles.
    batch_size: int
        Examples per batch; the last batch of an epoch may be smaller.
    depth: int
        4, or 5 with the gene body as a fifth channel.
    max_shift: int
        Largest shift of a window in bases, at most the file's padding. Default 0, for evaluation.
    seed: int, optional
        Random seed of order and shifts; None keeps the order of `rows`, without shifts.
    fold: int, optional
        The fold whose models see the labels, see `labels_for_fold`. Default: the labels are used as they are stored.
    """

    def __init__(
        self,
        h5_file: str | Path,
        rows: np.ndarray,
        batch_size: int,
        depth: int,
        max_shift: int = 0,
        seed: int | None = None,
        fold: int | None = None,
    ) -> None:
        self.rows, self.max_shift = np.asarray(rows), max_shift
        self._windows = WindowReader(h5_file, max_shift=max_shift, depth=depth)
        with open_dataset(h5_file) as file:
            names = list(read_windows(file)["gene_id"].iloc[self.rows])
            labels, in_memory = self._read_labels(file, fold)
            pair = read_strand_pair(file)
            strand_pair = None if pair is None else pair.tolist()
            shape = self._windows.seq_len, depth
            super().__init__(labels, names, read_tasks(file), str(h5_file), shape, batch_size, seed, strand_pair)
        self._codes = self._windows.codes(self.rows, max_shift, max_shift) if in_memory else None

    def _read_labels(self, file: h5py.File, fold: int | None) -> tuple[np.ndarray | StoredLabels, bool]:
        """Return the labels, and whether all windows fit in memory."""
        tasks, bins = file["labels"].shape[1:]
        windows = len(self.rows) * (self._windows.seq_len + 2 * self.max_shift)
        if not file.attrs["bin_size"]:
            return labels_for_fold(file, self.rows, fold), windows <= _MEMORY_BYTES
        if windows + 4 * len(self.rows) * tasks * bins <= _MEMORY_BYTES:
            return np.ascontiguousarray(read_label_rows(file, self.rows).transpose(0, 2, 1)), True
        return StoredLabels(RowReader(file, "labels"), self.rows), False

    def draw(self, rng: np.random.Generator | None) -> np.ndarray:
        if rng is None:
            return super().draw(rng)
        return shifts(len(self.rows), self.max_shift, rng)

    def read(self, chosen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        if self._codes is None:
            return self._windows.read(self.rows[chosen], drawn)
        codes = crop(self._codes[chosen], self.max_shift, drawn)
        starts, ends = (ends[self.rows[chosen]] - drawn for ends in (self._windows.mask_start, self._windows.mask_end))
        return model_input(codes, starts, ends, self._windows.depth)
