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
    model_input,
    open_dataset,
    read_label_rows,
    read_labels,
    read_tasks,
    read_windows,
    shifts,
)

_MEMORY_BYTES = 2 << 30


class Batches:
    """Examples dealt to batches, each epoch in an order of its own.

    The draws of an epoch follow from the seed and the number of the epoch alone, so that a resumed training sees what an
    uninterrupted one would have seen, and every process of a distributed one knows the batches of all.

    Parameters
    ----------
    labels: numpy.ndarray or StoredLabels, shape=(n, tasks) or (n, length, tasks), dtype=float32
        NaN where not measured.
    names: sequence of str
        What the examples are called in messages: gene ids.
    tasks: sequence of str
        Likewise.
    source: str
        Where they are from, for messages.
    input_shape: pair of int
        Length and depth of an input.
    batch_size: int
        Examples in a batch; the last batch of an epoch may be smaller.
    seed: int, optional
        Seed of the order; None keeps that of the labels.
    strand_pair: list of int, optional
        For each task, the task that measures the other strand, itself if none does. Default: every task its own.

    Attributes
    ----------
    epoch: int
        Which epoch is dealt next, from 0; set by who trains.
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
        """Yield, for every batch of the current `epoch`, the asked shares one after another.

        Parameters
        ----------
        shares: sequence of int
            Which of the `of` about equal runs that a batch is cut into. Default: the whole batch as one.
        of: int
            Into how many each batch is cut.

        Yields
        ------
        inputs: numpy.ndarray, shape=(b, length, depth), dtype=float32
        labels: numpy.ndarray, shape=(b, ...), dtype=float32
        chosen: numpy.ndarray, shape=(b,), dtype=int64
            Which examples these are.
        """
        rng = None if self.seed is None else np.random.default_rng([self.seed, self.epoch])
        order = np.arange(len(self.labels)) if rng is None else rng.permutation(len(self.labels))
        place = self.draw(rng)
        for first in range(0, len(order), self.batch_size):
            batch = order[first : first + self.batch_size]
            for share in shares:
                part = slice(len(batch) * share // of, len(batch) * (share + 1) // of)
                chosen = batch[part]
                yield self.read(chosen, place[first : first + self.batch_size][part]), self.labels[chosen], chosen

    def draw(self, rng: np.random.Generator | None) -> np.ndarray:
        """Return what an epoch draws for each example beside its place in the order; shape=(n,)."""
        return np.zeros(len(self.labels), dtype=np.int64)

    def read(self, chosen: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Return the inputs of some examples, changed as drawn; shape=(b, length, depth), dtype=float32."""
        raise NotImplementedError

    def to_tensorflow(self, shares: Sequence[int] = (0,), of: int = 1) -> tf.data.Dataset:
        """Return what `deal` yields as a `tf.data.Dataset`; every pass is the epoch that `epoch` names when it starts."""
        signature = (
            tf.TensorSpec((None, *self.input_shape), tf.float32),
            tf.TensorSpec((None, *self.labels.shape[1:]), tf.float32),
            tf.TensorSpec((None,), tf.int64),
        )
        data = tf.data.Dataset.from_generator(lambda: self.deal(shares, of), output_signature=signature)
        data = data.apply(tf.data.experimental.assert_cardinality(len(self) * len(shares))).prefetch(2 * len(shares))
        options = tf.data.Options()
        # With autotuning, short epochs were seen to hang for 5, 10 or 20 seconds with the process idle.
        options.autotune.enabled = False
        return data.with_options(options)


class StoredLabels:
    """Labels by bin of some rows of a data set, which are read when they are asked for.

    Parameters
    ----------
    reader: RowReader
        Of `labels`, shape (N, tasks, bins).
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
        """Return labels of some of the rows, by their place among them; shape=(b, bins, tasks), dtype=float32."""
        return self._reader.read(self._rows[chosen]).transpose(0, 2, 1)


class GeneBatches(Batches):
    """Batches of a split's genes, or of its tiles of the genome, each epoch in an order and with shifts of its own.

    Parameters
    ----------
    h5_file: str or Path
        A data set.
    rows: numpy.ndarray, shape=(n,), dtype=int
        The genes or tiles.
    batch_size: int
        Examples in a batch; the last batch of an epoch may be smaller.
    depth: int
        4, or 5 with the gene body as a fifth channel.
    max_shift: int
        Windows move by up to this many bases in training; 0 for evaluation. At most the file's pad.
    seed: int, optional
        Seed of order and shifts; None keeps the order of `rows`, unshifted.
    """

    def __init__(
        self, h5_file: str | Path, rows: np.ndarray, batch_size: int, depth: int, max_shift: int = 0, seed: int | None = None
    ) -> None:
        self.rows, self.max_shift = np.asarray(rows), max_shift
        self._windows = WindowReader(h5_file, max_shift=max_shift, depth=depth)
        with open_dataset(h5_file) as file:
            names = list(read_windows(file)["gene_id"].iloc[self.rows])
            labels, in_memory = self._read_labels(file)
            pair = file.attrs["strand_pair"].tolist() if "strand_pair" in file.attrs else None
            shape = self._windows.seq_len, depth
            super().__init__(labels, names, read_tasks(file), str(h5_file), shape, batch_size, seed, pair)
        self._codes = self._windows.codes(self.rows, max_shift, max_shift) if in_memory else None

    def _read_labels(self, file: h5py.File) -> tuple[np.ndarray | StoredLabels, bool]:
        """Return the labels, and whether there is room in memory for all windows."""
        tasks, bins = file["labels"].shape[1:]
        windows = len(self.rows) * (self._windows.seq_len + 2 * self.max_shift)
        if not file.attrs["bin_size"]:
            return read_labels(file)[self.rows], windows <= _MEMORY_BYTES
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
