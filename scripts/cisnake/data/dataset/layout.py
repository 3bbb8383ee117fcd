"""The layout of dataset.h5: sequences, masks and labels of genes, a superset of Decima's layout."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.files import open_hdf5

DATASET_SCHEMA_VERSION = 2
DATASET_WINDOW_COLUMNS = ("chrom", "start", "end", "strand", "mask_start", "mask_end", "fold")

# Data sets of a Decima file; all others are specific to Cisnake.
_DECIMA = ("sequences", "masks", "labels", "genes", "tasks", "pad", "seq_len", "padded_seq_len")
_DTYPES = {"sequences": np.dtype(np.int8), "masks": np.dtype(np.uint8), "labels": np.dtype(np.float32)}


@contextmanager
def open_dataset(path: str | Path) -> Iterator[h5py.File]:
    """Open a data set for reading, and check that it is complete, consistent and of the current schema.

    Parameters
    ----------
    path: str or Path
        A file written by `write_dataset`.

    Yields
    ------
    h5py.File

    Raises
    ------
    InputError
        The file is truncated, inconsistent, or has another schema version. The message names the HDF5 data set at fault.
    """
    with open_hdf5(path, "a data set") as file:
        version = file.attrs.get("schema_version")
        if version is None and all(name in file for name in _DECIMA):
            raise InputError(
                f"{path} is a Decima file, which does not record genome positions: read it with the functions that support "
                "both formats (docs/dataset.md), or regenerate it from the genome with write_dataset.py."
            )
        if version != DATASET_SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}; this release reads version {DATASET_SCHEMA_VERSION}: regenerate it with "
                "write_dataset.py."
            )
        _check_names(file, [*_DECIMA, "target_transform", *(f"windows/{column}" for column in DATASET_WINDOW_COLUMNS)])
        _check_shapes(file, _target_length(file))
        n = len(file["genes"])
        for column in DATASET_WINDOW_COLUMNS:
            _check_shape(file, f"windows/{column}", (n,))
        if "windows/background" in file:
            _check_shape(file, "windows/background", (n,))
        if "gene_bins" in file:
            _check_shape(file, "gene_bins", (n, file["labels"].shape[2]))
        for name, dtype in _DTYPES.items():
            if file[name].dtype != dtype:
                raise InputError(f"{path}: {name} has type {file[name].dtype}; expected {dtype}: the file is inconsistent.")
        yield file


@contextmanager
def open_decima(path: str | Path) -> Iterator[h5py.File]:
    """Open a file written by Decima or by `write_dataset`, and check the data sets that both contain.

    Parameters
    ----------
    path: str or Path

    Yields
    ------
    h5py.File
        With `genes`, `tasks`, `sequences`, `labels`, `pad`, `seq_len`, `padded_seq_len`, and `masks`, which are float32 in
        Decima files.

    Raises
    ------
    InputError
        A data set of the file is missing or inconsistent. The message names it.
    """
    with open_hdf5(path, "a data set") as file:
        _check_names(file, _DECIMA)
        _check_shapes(file, _target_length(file))
        yield file


def _check_names(file: h5py.File, names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(file.get(name), h5py.Dataset):
            raise InputError(f"{file.filename} has no data set {name}: regenerate it with write_dataset.py.")


def _check_shapes(file: h5py.File, bins: int) -> None:
    n, tasks = len(file["genes"]), len(file["tasks"])
    pad, seq_len, padded = (int(file[name][()]) for name in ("pad", "seq_len", "padded_seq_len"))
    for name, shape in {
        "sequences": (n, padded),
        "masks": (n, padded),
        "labels": (n, tasks, bins),
        "genes": (n, 2),
    }.items():
        _check_shape(file, name, shape)
    if padded != seq_len + 2 * pad:
        raise InputError(f"{file.filename}: padded_seq_len is {padded}; expected seq_len + 2 pad = {seq_len + 2 * pad}.")


def _check_shape(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    if file[name].shape != shape:
        raise InputError(f"{file.filename}: {name} has shape {file[name].shape}; expected {shape}: the file is inconsistent.")


def _target_length(file: h5py.File) -> int:
    """Return the number of bins per window: 1 in an expression data set, whose bin_size is 0."""
    bin_size, crop, seq_len = int(file.attrs.get("bin_size", 0)), int(file.attrs.get("crop", 0)), int(file["seq_len"][()])
    return target_length(seq_len, bin_size, crop, file.filename)


def target_length(seq_len: int, bin_size: int, crop: int, path: str | Path) -> int:
    """Return the number of labels per window and task.

    Parameters
    ----------
    seq_len: int
        Length of a window, bp.
    bin_size: int
        Length of a bin, bp; 0 in an expression data set, which has one label per window and task.
    crop: int
        Bases without bins at each end of the window.
    path: str or Path
        The file, for the error message.

    Raises
    ------
    InputError
        Bins do not fill the window.

    Examples
    --------
    >>> from cisnake.data.dataset import target_length
    >>> target_length(1000, bin_size=32, crop=20, path="dataset.h5"), target_length(1000, 0, 0, "dataset.h5")
    (30, 1)
    """
    if bin_size == 0:
        return 1
    bins, rest = divmod(seq_len - 2 * crop, bin_size)
    if rest or bins < 1:
        raise InputError(f"{path}: bins of {bin_size} bp do not fill a window of {seq_len} bp minus {crop} bp at each end.")
    return bins


def read_windows(file: h5py.File) -> pd.DataFrame:
    """Return one row per gene: gene_id, split, and the columns of `windows/`.

    start and end are the unpadded window on the genome. mask_start and mask_end are the gene body, counted from the 5' end of
    the window and not clipped to it. If there are background regions, `background` is 1 for these and 0 for others.
    """
    genes = file["genes"].asstr()[:]
    table = pd.DataFrame({"gene_id": genes[:, 0], "split": genes[:, 1]})
    for column in DATASET_WINDOW_COLUMNS:
        values = file[f"windows/{column}"]
        table[column] = values.asstr()[:] if column in ("chrom", "strand") else values[:]
    if "windows/background" in file:
        table["background"] = file["windows/background"][:]
    return table


def read_tasks(file: h5py.File) -> list[str]:
    """Return the names of the tasks, in the order of the labels."""
    return list(file["tasks"].asstr()[:])


def read_strand_pair(file: h5py.File) -> np.ndarray | None:
    """Return, for each task, the index of the task that measures the opposite strand; None if the file has no strand pairs.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=int32
        An unstranded task has its own index.
    """
    if "strand_pair" in file:
        return file["strand_pair"][:]
    # Older files store it as an attribute, which is limited to about 16,000 tasks.
    return file.attrs.get("strand_pair")


def read_transform(file: h5py.File) -> dict[str, Any]:
    """Return the transform that turned measurements into labels: `kind`, and the parameters needed to invert it.

    The kind is "coverage" (see `TargetTransform`), one of those of `ExpressionTransform`, or a list of these.
    """
    text = file["target_transform"].asstr()[()]
    try:
        transform = json.loads(text)
    except json.JSONDecodeError:
        transform = None
    if not isinstance(transform, dict) or "kind" not in transform:
        raise InputError(f"{file.filename}: target_transform is not a JSON object with a key 'kind': {text[:80]}")
    return transform


def read_labels(file: h5py.File) -> np.ndarray:
    """Return the labels of an expression data set, shape=(N, tasks), dtype=float32.

    Raises
    ------
    InputError
        The labels are coverage bins; use `read_label_rows` instead.
    """
    if file["labels"].shape[2] != 1:
        raise InputError(
            f"{file.filename} has {file['labels'].shape[2]} bins per window; expected one label per gene: use the data set "
            "of an expression run."
        )
    return file["labels"][:, :, 0]


def read_label_rows(file: h5py.File, rows: np.ndarray) -> np.ndarray:
    """Return the labels of the given rows, which may be in any order; shape=(n, tasks, bins), dtype=float32."""
    return _read_rows(file["labels"], rows)


def row_blocks(data: h5py.Dataset, numbers: int = 1 << 24) -> Iterator[slice]:
    """Yield consecutive slices of rows that cover a data set, each with at most about `numbers` values."""
    step = max(1, numbers // max(1, math.prod(data.shape[1:])))
    for first in range(0, len(data), step):
        yield slice(first, min(first + step, len(data)))


def read_codes(file: h5py.File, rows: np.ndarray, first: int, last: int, name: str = "sequences") -> np.ndarray:
    """Return columns [first, last) of the given rows of `sequences` or `masks`.

    Runs of consecutive rows are read at once, because h5py's fancy indexing takes more than a millisecond per row.

    Parameters
    ----------
    file: h5py.File
    rows: numpy.ndarray, shape=(n,), dtype=int
        In any order.
    first, last: int
        Positions in the padded window.
    name: str
        "sequences" or "masks".

    Returns
    -------
    numpy.ndarray, shape=(n, last - first), dtype of the data set
    """
    return _read_rows(file[name], rows, slice(first, last))


def _read_rows(data: h5py.Dataset, rows: np.ndarray, columns: slice = slice(None)) -> np.ndarray:
    out = np.empty((len(rows), len(range(*columns.indices(data.shape[1]))), *data.shape[2:]), dtype=data.dtype)
    order = np.argsort(rows, kind="stable")
    ordered = np.asarray(rows)[order]
    for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(ordered) != 1) + 1):
        if len(run):
            out[order[run]] = data[ordered[run[0]] : ordered[run[-1]] + 1, columns]
    return out
