"""Batches of windows and labels for Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import tensorflow as tf

from cisnake.data import augment
from cisnake.data.genome import one_hot
from cisnake.data.hdf5 import open_dataset, read_codes, read_labels
from cisnake.errors import InputError

_MEMORY_BYTES = 2 << 30


def model_input(codes: np.ndarray, mask_start: np.ndarray, mask_end: np.ndarray, depth: int) -> np.ndarray:
    """Return what the model sees of windows.

    Parameters
    ----------
    codes: numpy.ndarray, shape=(n, length), dtype=int8
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body in the window, half-open; used at depth 5.
    depth: int
        4 (bases) or 5 (bases and gene body).

    Returns
    -------
    numpy.ndarray, shape=(n, length, depth), dtype=float32
    """
    position = np.arange(codes.shape[1])
    mask = (position >= np.asarray(mask_start)[:, None]) & (position < np.asarray(mask_end)[:, None])
    return stack_input(codes, mask, depth)


def stack_input(codes: np.ndarray, masks: np.ndarray, depth: int) -> np.ndarray:
    """Return one-hot codes with, at depth 5, the mask as a fifth channel; shape=(n, length, depth), dtype=float32."""
    if depth == 4:
        return one_hot(codes)
    return np.concatenate([one_hot(codes), masks[..., None].astype(np.float32)], axis=-1)


class GeneBatches:
    """Batches of a split's genes, each epoch in an order and with shifts of its own.

    The draws of an epoch follow from the seed and the number of the epoch alone, so that a resumed training sees what an
    uninterrupted one would have seen.

    Parameters
    ----------
    h5_file: str or Path
        A data set.
    rows: numpy.ndarray, shape=(n,), dtype=int
        The genes.
    batch_size: int
        Genes in a batch; the last batch of an epoch may be smaller.
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
        self.path, self.rows, self.batch_size, self.depth = Path(h5_file), np.asarray(rows), batch_size, depth
        self.max_shift, self.seed, self.epoch = max_shift, seed, 0
        with open_dataset(h5_file) as file:
            self.pad = int(file["pad"][()])
            self.seq_len = int(file["seq_len"][()])
            if max_shift > self.pad:
                raise InputError(f"{h5_file} has {self.pad} bases beside each window, too few for max_shift {max_shift}.")
            self.labels = read_labels(file)[self.rows]
            self._in_memory = None
            if 2 * len(self.rows) * (self.seq_len + 2 * self.pad) <= _MEMORY_BYTES:
                self._in_memory = self._read(file, self.rows)
        self._file: h5py.File | None = None

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the batches of the current `epoch`: input (b, length, depth) float32 and labels (b, tasks) float32."""
        order = np.arange(len(self.rows))
        shift = np.zeros(len(order), dtype=np.int64)
        if self.seed is not None:
            rng = np.random.default_rng([self.seed, self.epoch])
            order = rng.permutation(order)
            shift = augment.shifts(len(order), self.max_shift, rng)
        for first in range(0, len(order), self.batch_size):
            chosen = order[first : first + self.batch_size]
            codes, masks = self._padded(chosen)
            moved = shift[first : first + self.batch_size]
            yield (
                stack_input(augment.crop(codes, self.pad, moved), augment.crop(masks, self.pad, moved), self.depth),
                self.labels[chosen],
            )

    def _padded(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._in_memory is not None:
            return self._in_memory[0][chosen], self._in_memory[1][chosen]
        if self._file is None:
            self._file = h5py.File(self.path, "r")
        return self._read(self._file, self.rows[chosen])

    def _read(self, file: h5py.File, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        padded = self.seq_len + 2 * self.pad
        return read_codes(file, rows, 0, padded), read_codes(file, rows, 0, padded, "masks")

    def to_tensorflow(self) -> tf.data.Dataset:
        """Return the batches as a `tf.data.Dataset`; every pass over it is the epoch that `epoch` names when it starts."""
        tasks = self.labels.shape[1]
        signature = (
            tf.TensorSpec((None, self.seq_len, self.depth), tf.float32),
            tf.TensorSpec((None, tasks), tf.float32),
        )
        data = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=signature)
        data = data.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(2)
        options = tf.data.Options()
        # With autotuning, short epochs were seen to hang for 5, 10 or 20 seconds with the process idle.
        options.autotune.enabled = False
        return data.with_options(options)
