"""A Keras data set that reads Cisnake's HDF5 files: `model.fit(HDF5Dataset("train", "dataset.h5", ...))`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cisnake.data.dataset import (
    Draws,
    RowReader,
    WindowReader,
    check_strand_pair,
    draw_epoch,
    fold_scale,
    open_dataset,
    read_strand_pair,
    read_tasks,
    read_windows,
    turn_labels,
)
from cisnake.data.windows import SPLITS, split_for_fold
from cisnake.errors import InputError, unknown_name

AUGMENT_MODES = ("random", "serial", None)

# The labels of a split are kept in memory up to this size; larger ones are read batch by batch.
_LABEL_BYTES = 1 << 30


class HDF5Dataset(keras.utils.PyDataset):
    """Batches of one split of dataset.h5 or genes.h5, for Keras's `fit`, `evaluate` and `predict`.

    A batch depends only on its index, on `epoch` and on the arguments. Keras therefore gets identical batches whether it
    uses several threads (`workers`) or processes (`use_multiprocessing`, forked or spawned). Threads are enough: reading,
    decompression and one-hot encoding release Python's global interpreter lock.

    Parameters
    ----------
    key: str or None
        "train", "val" or "test"; None for all. In a file with folds, whose genes are all stored as "test", see `fold`.
    h5_file: str or Path
    seq_len: int, optional
        Length of the windows in bases, centred in the stored windows. Coverage requires the stored length, because its bins
        cover that. Default: the stored window without its padding.
    max_seq_shift: int
        Largest shift of a window in either direction, in bases; the gene body shifts with it. Default 0.
    seed: int
        Random seed of shifts, reverse complements and order. Default 0.
    augment_mode: "random", "serial" or None
        "random": every example gets a new random shift in each epoch. "serial": every example is used with all
        2 max_seq_shift + 1 shifts, from -max_seq_shift to max_seq_shift, before the next example. None: no shifts.
        Default "random".
    batch_size: int
        Windows per batch; the last batch may be smaller. Default 4.
    depth: int
        4 (bases), or 5 with the gene body as a fifth channel. Default 5.
    shuffle: bool
        Whether examples are shuffled in every epoch, as needed for training. If False (default), they keep the order of the
        file. (`shuffle` of Keras's `fit` only changes the order of batches, and ignores `seed`.)
    reverse_complement: bool
        Whether, in "random" mode, each example is reverse-complemented with probability 1/2 and its tracks are reversed. Only
        for coverage, because expression follows the gene's direction. Default False.
    strand_pair: sequence of int, optional
        For each task, the index of the task that measures the opposite strand. Default: the pairs stored in the file.
    fold: int, optional
        In a file with folds, the fold f whose models are trained: test genes are those of fold f, validation genes those of
        fold f + 1 (wrapping round), training genes all others, and labels are standardised by the latter. Default: the splits
        and labels are those in the file.
    workers, use_multiprocessing, max_queue_size: int, bool, int
        Arguments of `keras.utils.PyDataset`: number of workers, processes instead of threads, and number of prefetched
        batches. Default: two threads and four batches.

    Attributes
    ----------
    epoch: int
        Current epoch. Keras's `fit` raises it by 1 before the first epoch and after every epoch, so a new training uses
        epochs 1, 2, …; to resume training, set it to the number of completed epochs.
    gene_index: numpy.ndarray, shape=(n_seqs,), dtype=int64
        Rows of the examples in the file.
    genes, tasks: list of str
    n_seqs, n_augmented: int
        Number of examples, and how often each is used per epoch.

    Raises
    ------
    InputError
        The file is not a data set, the split is empty, or the stored windows are too short for the arguments.

    Examples
    --------
    With an existing data set and model::

        train = HDF5Dataset("train", "dataset.h5", max_seq_shift=500, batch_size=32, shuffle=True)
        model.fit(train, validation_data=HDF5Dataset("val", "dataset.h5", augment_mode=None))
    """

    def __init__(
        self,
        key: str | None,
        h5_file: str | Path,
        seq_len: int | None = None,
        max_seq_shift: int = 0,
        seed: int = 0,
        augment_mode: str | None = "random",
        batch_size: int = 4,
        depth: int = 5,
        shuffle: bool = False,
        reverse_complement: bool = False,
        strand_pair: Sequence[int] | None = None,
        fold: int | None = None,
        workers: int = 2,
        use_multiprocessing: bool = False,
        max_queue_size: int = 4,
    ) -> None:
        super().__init__(workers=workers, use_multiprocessing=use_multiprocessing, max_queue_size=max_queue_size)
        _check_arguments(key, augment_mode, batch_size, reverse_complement)
        self.key, self.h5_file, self.seed, self.batch_size, self.depth = key, Path(h5_file), seed, batch_size, depth
        self.augment_mode, self.shuffle, self.reverse_complement = augment_mode, shuffle, reverse_complement
        self.max_seq_shift = 0 if augment_mode is None else max_seq_shift
        self.n_augmented = 2 * self.max_seq_shift + 1 if augment_mode == "serial" else 1
        self.epoch = 0
        self._drawn: tuple[int, Draws] | None = None
        self._windows = WindowReader(h5_file, seq_len, self.max_seq_shift, depth)
        self.seq_len = self._windows.seq_len
        self._open(strand_pair, fold)

    def _open(self, strand_pair: Sequence[int] | np.ndarray | None, fold: int | None) -> None:
        """Read the examples' genes and tasks, and their labels if these fit in memory."""
        with open_dataset(self.h5_file) as file:
            windows = read_windows(file)
            self._scale = fold_scale(file, fold)
            split = windows["split"] if fold is None else split_for_fold(windows, fold, int(file.attrs["n_folds"]))
            self.tasks = read_tasks(file)
            self._coverage = int(file.attrs.get("bin_size", 0)) > 0
            stored = int(file["seq_len"][()])
            self._label_reader = RowReader(file, "labels")
            if strand_pair is None:
                strand_pair = read_strand_pair(file)
        self.gene_index = np.arange(len(windows)) if self.key is None else np.flatnonzero(split == self.key)
        self.genes = windows["gene_id"].iloc[self.gene_index].tolist()
        self.n_seqs = len(self.gene_index)
        self._check_file(stored)
        self._strand_pair = None if strand_pair is None else check_strand_pair(strand_pair, len(self.tasks))
        size = int(np.prod(self._label_reader.shape[1:])) * self._label_reader.dtype.itemsize
        self._labels = self._label_reader.read(self.gene_index) if self.n_seqs * size <= _LABEL_BYTES else None

    def _check_file(self, stored: int) -> None:
        """Raise an error if the split is empty or the arguments do not suit the file; `stored` is the stored window length."""
        if not self.n_seqs:
            raise InputError(f"{self.h5_file} has no windows" + (f" in split '{self.key}'." if self.key else "."))
        if self._coverage and self.seq_len != stored:
            raise InputError(
                f"{self.h5_file} has coverage bins for windows of {stored} bases: seq_len cannot be {self.seq_len}."
            )
        if self.reverse_complement and not self._coverage:
            raise InputError(
                f"{self.h5_file} has expression, measured in the gene's direction: reverse_complement supports only coverage."
            )

    def __len__(self) -> int:
        """Return the number of batches."""
        return -(-self.n_seqs * self.n_augmented // self.batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch of the current epoch.

        Returns
        -------
        inputs: numpy.ndarray, shape=(b, seq_len, depth), dtype=float32
        labels: numpy.ndarray, shape=(b, tasks), or (b, bins, tasks) for coverage, dtype=float32
            Missing values are NaN.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        examples, shift, reverse = self._plan(index)
        inputs = self._windows.read(self.gene_index[examples], shift, reverse)
        labels = self._read_labels(examples)
        return inputs, labels if reverse is None else turn_labels(labels, reverse, self._strand_pair)

    def on_epoch_end(self) -> None:
        """Advance to the next epoch; called by Keras."""
        self.epoch += 1

    def __getstate__(self) -> dict[str, Any]:
        # A worker process reads the labels it needs itself.
        return {**self.__dict__, "_labels": None}

    def _plan(self, index: int) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None]:
        """Return the examples of a batch, their shifts, and whether each is reverse-complemented."""
        places = np.arange(index * self.batch_size, min((index + 1) * self.batch_size, self.n_seqs * self.n_augmented))
        draws = self._draws()
        if self.augment_mode == "serial":
            examples, shift_index = np.divmod(places, self.n_augmented)
            return draws.order[examples] if self.shuffle else examples, shift_index - self.max_seq_shift, None
        examples = draws.order[places] if self.shuffle else places
        if self.augment_mode is None:
            return examples, None, None
        return examples, draws.shift[examples], draws.reverse[examples] if self.reverse_complement else None

    def _draws(self) -> Draws:
        epoch, drawn = self.epoch, self._drawn
        if drawn is None or drawn[0] != epoch:
            drawn = self._drawn = (epoch, draw_epoch(self.n_seqs, self.max_seq_shift, self.seed, epoch))
        return drawn[1]

    def _read_labels(self, examples: np.ndarray) -> np.ndarray:
        if self._labels is not None:
            labels = self._labels[examples]
        else:
            labels = self._label_reader.read(self.gene_index[examples])
        if self._coverage:
            return np.ascontiguousarray(labels.swapaxes(1, 2))
        labels = labels[:, :, 0]
        return labels if self._scale is None else self._scale.convert(labels, self.gene_index[examples])


def _check_arguments(key: str | None, augment_mode: str | None, batch_size: int, reverse_complement: bool) -> None:
    if augment_mode not in AUGMENT_MODES:
        raise unknown_name("augment_mode", str(augment_mode), [str(mode) for mode in AUGMENT_MODES])
    if key is not None and key not in SPLITS:
        raise unknown_name("split", key, SPLITS)
    if batch_size < 1:
        raise InputError(f"batch_size is {batch_size}: it must be at least 1.")
    if reverse_complement and augment_mode != "random":
        raise InputError("reverse_complement requires augment_mode 'random', because it is drawn for each window.")
