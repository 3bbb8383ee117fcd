"""dataset.h5: sequences, masks and labels of genes, in a superset of Decima's layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, one_hot
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.program import Progress

SCHEMA_VERSION = 1
SPLITS = ("train", "val", "test")
WINDOW_COLUMNS = ("chrom", "start", "end", "strand", "mask_start", "mask_end", "fold")

_STRING = h5py.string_dtype("utf-8")
_CHUNK_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 24


def write_dataset(
    path: str | Path,
    genes: pd.DataFrame,
    labels: np.ndarray,
    tasks: list[str],
    genome: Genome,
    pad: int,
    attributes: Mapping[str, Any],
) -> None:
    """Write the windows, masks and labels of genes to an HDF5 file, in memory that does not grow with their number.

    Parameters
    ----------
    path: str or Path
        The file; it appears under this name when it is whole.
    genes: pandas.DataFrame, N rows
        Columns of genes.tsv; all windows are of one length.
    labels: numpy.ndarray, shape=(N, tasks), dtype=float32
        In the order of `genes`; NaN where not measured.
    tasks: list of str
        Names of the columns of `labels`.
    genome: Genome
        Where the sequences come from.
    pad: int
        Bases stored beyond each end of the window, so that training can shift it; N beyond chromosome ends.
    attributes: mapping
        Provenance, kept as attributes of the file.
    """
    n = len(genes)
    seq_len = int(genes["window_end"].iloc[0] - genes["window_start"].iloc[0])
    padded = seq_len + 2 * pad
    # Whole rows in a chunk: a window is read without touching its neighbours once it is longer than a chunk should be.
    rows = max(1, min(n, _CHUNK_BYTES // padded))
    storage: dict[str, Any] = {"chunks": (rows, padded), "compression": "gzip", "compression_opts": 4, "shuffle": False}
    with write_whole(path) as part, h5py.File(part, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in attributes.items():
            file.attrs[key] = value
        sequences = file.create_dataset("sequences", (n, padded), np.int8, **storage)
        masks = file.create_dataset("masks", (n, padded), np.uint8, **storage)
        file.create_dataset("labels", data=labels.astype(np.float32)[:, :, None])
        file.create_dataset("genes", data=genes[["gene_id", "split"]].to_numpy(object), dtype=_STRING)
        file.create_dataset("tasks", data=np.array(tasks, dtype=object), dtype=_STRING)
        for name, value in (("pad", pad), ("seq_len", seq_len), ("padded_seq_len", padded)):
            file.create_dataset(name, data=value)
        windows = genes.rename(columns={"start": "gene_start", "end": "gene_end"})
        windows = windows.rename(columns={"window_start": "start", "window_end": "end"})
        for column in WINDOW_COLUMNS:
            if column in ("chrom", "strand"):
                file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(object), dtype=_STRING)
            else:
                file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(np.int64))
        block = max(rows, _BLOCK_BYTES // padded // rows * rows)
        progress = Progress("genes written", n)
        places = list(windows[["chrom", "start", "end", "strand"]].itertuples(index=False, name=None))
        body_start, body_end = (windows[column].to_numpy(np.int64) for column in ("mask_start", "mask_end"))
        position = np.arange(padded) - pad
        for first in range(0, n, block):
            rows_of = slice(first, min(first + block, n))
            sequences[rows_of] = np.stack(
                [genome.codes(chrom, start - pad, end + pad, strand) for chrom, start, end, strand in places[rows_of]]
            )
            masks[rows_of] = (position >= body_start[rows_of, None]) & (position < body_end[rows_of, None])
            progress.advance(rows_of.stop - first)


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
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} cannot be read as HDF5 ({error}): it is missing or truncated; make it again.") from error
    with file:
        _check(file, path)
        yield file


def _check(file: h5py.File, path: str | Path) -> None:
    found = file.attrs.get("schema_version")
    if found != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {found}, this release reads {SCHEMA_VERSION}: write it again with write_dataset.py."
        )
    missing = [
        name
        for name in ("sequences", "masks", "labels", "genes", "tasks", "pad", "seq_len", "padded_seq_len")
        if name not in file
    ]
    missing += [f"windows/{column}" for column in WINDOW_COLUMNS if f"windows/{column}" not in file]
    if missing:
        raise InputError(f"{path} lacks the data set {missing[0]}: write it again with write_dataset.py.")
    n, tasks = len(file["genes"]), len(file["tasks"])
    pad, seq_len, padded = (int(file[name][()]) for name in ("pad", "seq_len", "padded_seq_len"))
    expected = {
        "sequences": (n, padded),
        "masks": (n, padded),
        "genes": (n, 2),
        **{f"windows/{column}": (n,) for column in WINDOW_COLUMNS},
    }
    for name, shape in expected.items():
        if file[name].shape != shape:
            raise InputError(f"{path}: {name} has shape {file[name].shape}, expected {shape}: the file is inconsistent.")
    if file["labels"].shape != (n, tasks, 1):
        raise InputError(
            f"{path}: labels has shape {file['labels'].shape}, expected ({n}, {tasks}, 1): the file is inconsistent."
        )
    if padded != seq_len + 2 * pad:
        raise InputError(f"{path}: padded_seq_len is {padded}, expected seq_len + 2 pad = {seq_len + 2 * pad}.")


def read_windows(file: h5py.File) -> pd.DataFrame:
    """Return one row a gene: gene_id, split, and the columns of `windows/`.

    start and end are the unpadded window on the genome; mask_start and mask_end the gene body, counted from the window's 5' end
    and not cut to it.
    """
    genes = file["genes"].asstr()[:]
    table = pd.DataFrame({"gene_id": genes[:, 0], "split": genes[:, 1]})
    for column in WINDOW_COLUMNS:
        values = file[f"windows/{column}"]
        table[column] = values.asstr()[:] if column in ("chrom", "strand") else values[:]
    return table


def read_tasks(file: h5py.File) -> list[str]:
    """Return the names of the tasks, in the order of the labels."""
    return list(file["tasks"].asstr()[:])


def read_labels(file: h5py.File) -> np.ndarray:
    """Return the labels of an expression data set, shape=(N, tasks), dtype=float32."""
    return file["labels"][:, :, 0]


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
    data = file[name]
    out = np.empty((len(rows), last - first), dtype=data.dtype)
    order = np.argsort(rows, kind="stable")
    ordered = np.asarray(rows)[order]
    for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(ordered) != 1) + 1):
        if len(run):
            out[order[run]] = data[ordered[run[0]] : ordered[run[-1]] + 1, first:last]
    return out


def count_genes(h5_file: str | Path, key: str | None = None) -> int:
    """Return how many genes the file has, or how many of split `key` ("train", "val", "test")."""
    return len(index_genes(h5_file, key))


def index_genes(h5_file: str | Path, key: str | None = None) -> np.ndarray:
    """Return the rows of all genes, or of those of split `key`; shape=(n,), dtype=int64."""
    with open_dataset(h5_file) as file:
        splits = file["genes"].asstr()[:, 1]
    if key is None:
        return np.arange(len(splits))
    if key not in SPLITS:
        raise unknown_name("split", key, SPLITS)
    return np.flatnonzero(splits == key)


def list_genes(h5_file: str | Path, key: str | None = None) -> list[str]:
    """Return the ids of all genes, or of those of split `key`, in the order of the file."""
    rows = index_genes(h5_file, key)
    with open_dataset(h5_file) as file:
        return list(file["genes"].asstr()[:, 0][rows])


def get_gene_idx(h5_file: str | Path, gene: str) -> int:
    """Return the row of a gene.

    Raises
    ------
    InputError
        The file does not have it; the message names the nearest ids.
    """
    genes = list_genes(h5_file)
    try:
        return genes.index(gene)
    except ValueError:
        raise unknown_name("gene", gene, genes) from None


def extract_gene_data(
    h5_file: str | Path, gene: str, seq_len: int | None = None, merge: bool = True
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Return a gene's one-hot sequence and mask, cropped around the centre of the padded window.

    Parameters
    ----------
    h5_file: str or Path
    gene: str
    seq_len: int, optional
        Length wanted. Default: the window without its pad.
    merge: bool
        Whether to give one array. Default True.

    Returns
    -------
    numpy.ndarray, shape=(5, seq_len), dtype=float32
        Rows A C G T mask; or, without `merge`, the pair of shapes (4, seq_len) and (1, seq_len).
    """
    row = np.array([get_gene_idx(h5_file, gene)])
    with open_dataset(h5_file) as file:
        padded = int(file["padded_seq_len"][()])
        length = int(file["seq_len"][()]) if seq_len is None else seq_len
        if not 0 < length <= padded:
            raise InputError(f"seq_len {length} is not between 1 and the stored length {padded} of {h5_file}.")
        first = (padded - length) // 2
        sequence = one_hot(read_codes(file, row, first, first + length)[0]).T
        mask = read_codes(file, row, first, first + length, "masks").astype(np.float32)
    return np.concatenate([sequence, mask]) if merge else (sequence, mask)
