"""dataset.h5: sequences, masks and labels of genes, in a superset of Decima's layout."""

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

# What a file of Decima has; the rest is ours.
_DECIMA = ("sequences", "masks", "labels", "genes", "tasks", "pad", "seq_len", "padded_seq_len")
_DTYPES = {"sequences": np.dtype(np.int8), "masks": np.dtype(np.uint8), "labels": np.dtype(np.float32)}


@contextmanager
def open_dataset(path: str | Path) -> Iterator[h5py.File]:
    """Open a data set for reading, refusing a file that is truncated, inconsistent, or of another schema.

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
        Says which data set of the file is wrong.
    """
    with open_hdf5(path, "a data set") as file:
        found = file.attrs.get("schema_version")
        if found is None and all(name in file for name in _DECIMA):
            raise InputError(
                f"{path} is a file of Decima, which says nothing of the genome: read it with the functions that read both "
                "(docs/dataset.md), or write it again from its genome with write_dataset.py."
            )
        if found != DATASET_SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {found}, this release reads {DATASET_SCHEMA_VERSION}: write it again with "
                "write_dataset.py."
            )
        _check_names(file, [*_DECIMA, "target_transform", *(f"windows/{column}" for column in DATASET_WINDOW_COLUMNS)])
        _check_shapes(file, _target_length(file))
        n = len(file["genes"])
        for column in DATASET_WINDOW_COLUMNS:
            _check_shape(file, f"windows/{column}", (n,))
        if "gene_bins" in file:
            _check_shape(file, "gene_bins", (n, file["labels"].shape[2]))
        for name, dtype in _DTYPES.items():
            if file[name].dtype != dtype:
                raise InputError(f"{path}: {name} has type {file[name].dtype}, expected {dtype}: the file is inconsistent.")
        yield file


@contextmanager
def open_decima(path: str | Path) -> Iterator[h5py.File]:
    """Open a file that Decima or `write_dataset` wrote, checking what both have.

    Parameters
    ----------
    path: str or Path

    Yields
    ------
    h5py.File
        With `genes`, `tasks`, `sequences`, `labels`, `pad`, `seq_len`, `padded_seq_len`, and `masks`, which are float32 where
        Decima wrote them.

    Raises
    ------
    InputError
        Says which data set of the file is wrong.
    """
    with open_hdf5(path, "a data set") as file:
        _check_names(file, _DECIMA)
        _check_shapes(file, _target_length(file))
        yield file


def _check_names(file: h5py.File, names: Iterable[str]) -> None:
    for name in names:
        if not isinstance(file.get(name), h5py.Dataset):
            raise InputError(f"{file.filename} lacks the data set {name}: write it again with write_dataset.py.")


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
        raise InputError(f"{file.filename}: padded_seq_len is {padded}, expected seq_len + 2 pad = {seq_len + 2 * pad}.")


def _check_shape(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    if file[name].shape != shape:
        raise InputError(f"{file.filename}: {name} has shape {file[name].shape}, expected {shape}: the file is inconsistent.")


def _target_length(file: h5py.File) -> int:
    """Return the number of bins that a window must have: 1 in an expression data set, whose bin_size is 0."""
    bin_size, crop, seq_len = int(file.attrs.get("bin_size", 0)), int(file.attrs.get("crop", 0)), int(file["seq_len"][()])
    return target_length(seq_len, bin_size, crop, file.filename)


def target_length(seq_len: int, bin_size: int, crop: int, path: str | Path) -> int:
    """Return the number of labels per window and task.

    Parameters
    ----------
    seq_len: int
        Length of a window, bp.
    bin_size: int
        bp; 0 in an expression data set, which has one label.
    crop: int
        Bases at either end of the window that have no bins.
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
        raise InputError(f"{path}: bins of {bin_size} bp do not fill a window of {seq_len} bp less {crop} bp at either end.")
    return bins


def read_windows(file: h5py.File) -> pd.DataFrame:
    """Return one row a gene: gene_id, split, and the columns of `windows/`.

    start and end are the unpadded window on the genome; mask_start and mask_end the gene body, counted from the window's 5' end
    and not cut to it.
    """
    genes = file["genes"].asstr()[:]
    table = pd.DataFrame({"gene_id": genes[:, 0], "split": genes[:, 1]})
    for column in DATASET_WINDOW_COLUMNS:
        values = file[f"windows/{column}"]
        table[column] = values.asstr()[:] if column in ("chrom", "strand") else values[:]
    return table


def read_tasks(file: h5py.File) -> list[str]:
    """Return the names of the tasks, in the order of the labels."""
    return list(file["tasks"].asstr()[:])


def read_strand_pair(file: h5py.File) -> np.ndarray | None:
    """Return for each task the number of the task of the other strand; None where the file says nothing of strands.

    Returns
    -------
    numpy.ndarray, shape=(tasks,), dtype=int32
        A task without another strand has its own number.
    """
    if "strand_pair" in file:
        return file["strand_pair"][:]
    # Where older files have it; an attribute has no room for more than 16,000 tasks.
    return file.attrs.get("strand_pair")


def read_transform(file: h5py.File) -> dict[str, Any]:
    """Return what was done to the measurements to make labels of them: `kind`, and the numbers that undo it.

    The kinds are "none", "log1p", "zscore", "cpm" and "log1p_cpm" (see `ExpressionTransform`), and "coverage" (see
    `TargetTransform`).
    """
    text = file["target_transform"].asstr()[()]
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = None
    if not isinstance(found, dict) or "kind" not in found:
        raise InputError(f"{file.filename}: target_transform is no JSON with a key 'kind': {text[:80]}")
    return found


def read_labels(file: h5py.File) -> np.ndarray:
    """Return the labels of an expression data set, shape=(N, tasks), dtype=float32.

    Raises
    ------
    InputError
        The labels are bins of coverage, which `read_label_rows` reads.
    """
    if file["labels"].shape[2] != 1:
        raise InputError(
            f"{file.filename} has {file['labels'].shape[2]} bins a window, where one number a gene is expected: give the data "
            "set of an expression run."
        )
    return file["labels"][:, :, 0]


def read_label_rows(file: h5py.File, rows: np.ndarray) -> np.ndarray:
    """Return the labels of some rows, in any order; shape=(n, tasks, bins), dtype=float32."""
    return _read_rows(file["labels"], rows)


def row_blocks(data: h5py.Dataset, numbers: int = 1 << 24) -> Iterator[slice]:
    """Yield runs of rows of a data set, one after the other, of at most about so many numbers each."""
    step = max(1, numbers // max(1, math.prod(data.shape[1:])))
    for first in range(0, len(data), step):
        yield slice(first, min(first + step, len(data)))


def read_codes(file: h5py.File, rows: np.ndarray, first: int, last: int, name: str = "sequences") -> np.ndarray:
    """Return columns [first, last) of some rows of `sequences` or `masks`.

    Reads runs of neighbouring rows in one piece: h5py's own fancy indexing costs more than a millisecond a row.

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
