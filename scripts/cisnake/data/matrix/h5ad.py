"""Read AnnData matrices: one row (obs) per task or cell, one column (var) per gene."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import scipy.sparse

from cisnake.errors import InputError, unknown_name
from cisnake.files import open_hdf5

# Scanpy keeps the original matrix in .raw when it normalises a matrix or selects genes.
RAW = "raw"
# Versions before 0.7 stored it beside X.
_RAW_KEYS = ("raw.X", "raw/X")
# Names under which AnnData looks for the index of a table that does not name it.
_INDEX_COLUMNS = ("_index", "index", "obs_names", "var_names", "row_names", "col_names")
_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class OpenAnnData:
    """An open h5ad file with only names and annotations in memory.

    Attributes
    ----------
    path: Path
    obs: pandas.DataFrame
        Annotations of tasks or cells; the index holds their names.
    genes: pandas.Index
        Gene ids; duplicates of the file are kept.
    matrix: h5py.Dataset or an on-disk sparse matrix, shape=(obs, genes)
    n_stored: int
        Number of stored values; a sparse matrix does not store zeros.
    """

    path: Path
    obs: pd.DataFrame
    genes: pd.Index
    matrix: Any
    n_stored: int

    def blocks(self) -> Iterator[tuple[slice, slice, Any]]:
        """Yield the matrix in blocks: rows, columns and their values, dense or sparse as in the file.

        Dense and CSR matrices are read by rows, CSC matrices by columns, about 4 million stored values at a time.

        Raises
        ------
        InputError
            A value is infinite, or the sparse matrix is inconsistent.
        """
        n, m = self.matrix.shape
        by_column = getattr(self.matrix, "format", "") == "csc"
        length, other_length = (m, n) if by_column else (n, m)
        step = max(1, _BLOCK_VALUES * length // max(1, self.n_stored))
        # Align blocks with the chunks of the file: a chunk in two blocks would be read and decompressed twice.
        if isinstance(self.matrix, h5py.Dataset) and self.matrix.chunks:
            step = max(1, step // self.matrix.chunks[0]) * self.matrix.chunks[0]
        for first in range(0, length, step):
            part, everything = slice(first, min(first + step, length)), slice(0, other_length)
            rows, columns = (everything, part) if by_column else (part, everything)
            try:
                block = self.matrix[:, part] if by_column else self.matrix[part]
                if scipy.sparse.issparse(block):
                    block.check_format(full_check=True)
                    block.sum_duplicates()
            except (OSError, ValueError, IndexError) as error:
                raise InputError(f"{self.path}: the matrix cannot be read ({error}): the file is damaged.") from error
            self._check_finite(block, rows, columns)
            yield rows, columns, block

    def _check_finite(self, block: Any, rows: slice, columns: slice) -> None:
        values = block.data if scipy.sparse.issparse(block) else block
        with np.errstate(over="ignore"):
            bad = np.isinf(values.astype(np.float32, copy=False))
        if bad.any():
            if scipy.sparse.issparse(block):
                block = block.tocoo()
                entry = np.flatnonzero(bad)[0]
                row, column, value = block.row[entry], block.col[entry], block.data[entry]
            else:
                row, column = np.argwhere(bad)[0]
                value = block[row, column]
            raise InputError(
                f"{self.path}: obs {self.obs.index[rows.start + row]}, gene {self.genes[columns.start + column]} is {value}, "
                "not a finite 32-bit number: use NaN for missing values."
            )


@contextmanager
def open_anndata(path: str | Path, layer: str | None = None, gene_column: str | None = None) -> Iterator[OpenAnnData]:
    """Open an h5ad file without reading its matrix.

    Parameters
    ----------
    path: str or Path
    layer: str, optional
        Name of a layer, or "raw" for the matrix of `.raw`. Default: X.
    gene_column: str, optional
        Column of var with the gene ids. Default: the index of var.

    Raises
    ------
    InputError
        The file is not an h5ad, lacks the layer or the column, or the matrix is not numeric.
    """
    with _open(path) as file:
        matrices = {str(name): f"layers/{name}" for name in file.get("layers", ())}
        for key in _RAW_KEYS:
            if key in file and RAW not in file.get("layers", ()):
                matrices[RAW] = key
        if layer is None and "X" not in file:
            raise InputError(f"{path} has no X: set targets.layer to one of its matrices ({', '.join(matrices) or 'none'}).")
        if layer is not None and layer not in matrices:
            raise unknown_name(f"layer of {path} (targets.layer)", layer, matrices)
        key = "X" if layer is None else matrices[layer]
        obs, var = read_annotations(file, "obs"), read_annotations(file, key.replace("X", "var") if key in _RAW_KEYS else "var")
        if gene_column is not None and gene_column not in var:
            raise unknown_name(f"column of var of {path} (targets.gene_column)", gene_column, map(str, var.columns))
        genes = pd.Index((var.index if gene_column is None else var[gene_column]).astype(str), dtype=object)
        stored = file[key]
        matrix = _sparse(stored, path) if isinstance(stored, h5py.Group) else stored
        if matrix.dtype.kind not in "fiub" or matrix.shape != (len(obs), len(genes)):
            raise InputError(
                f"{path}: {key} has {matrix.dtype} values of shape {matrix.shape}, but it must be numeric with {len(obs)} "
                f"obs by {len(genes)} genes."
            )
        n_stored = stored["data"].size if isinstance(stored, h5py.Group) else stored.size
        yield OpenAnnData(Path(path), obs, genes, matrix, n_stored)


def _sparse(stored: h5py.Group, path: str | Path) -> Any:
    try:
        return anndata.io.sparse_dataset(stored)
    except Exception as error:  # as for annotations
        raise _unreadable(path, f"{stored.name[1:]} cannot be read as a sparse matrix", error) from error


def _unreadable(path: str | Path, what: str, error: Exception) -> InputError:
    reason = str(error).split("\n")[0] or type(error).__name__
    return InputError(f"{path}: {what} ({reason}): write the file again with a current version of anndata.")


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with open_hdf5(path, "AnnData", "use a complete .h5ad file") as file:
        for name in ("obs", "var"):
            if name not in file:
                raise InputError(f"{path} has no {name}: it is not an h5ad file.")
        yield file


def read_annotations(file: h5py.File, key: str) -> pd.DataFrame:
    """Return obs or var of an open h5ad file, in the format of any version of AnnData.

    Old versions stored a table as one compound array, and the categories of a column in uns.

    Parameters
    ----------
    file: h5py.File
    key: str
        "obs", "var", or the key of another table.

    Returns
    -------
    pandas.DataFrame
        The index is text.

    Raises
    ------
    InputError
        The table cannot be read.
    """
    try:
        found = anndata.io.read_elem(file[key])
        frame = found if isinstance(found, pd.DataFrame) else _old_frame(found)
        if isinstance(file[key], h5py.Dataset):
            _restore_categories(frame, file)
    except Exception as error:  # reading a table that another program wrote can raise anything
        raise _unreadable(file.filename, f"{key} cannot be read as a table of annotations", error) from error
    frame.index = pd.Index(frame.index.astype(str), dtype=object)
    return frame


def _old_frame(found: Any) -> pd.DataFrame:
    """Return a table that was stored as a compound array, whose first column is the index, or as columns without index."""
    if isinstance(found, np.ndarray) and found.dtype.names:
        columns = {
            name: found[name].astype(str) if found[name].dtype.kind in "SU" else found[name] for name in found.dtype.names
        }
        return pd.DataFrame(columns).set_index(found.dtype.names[0])
    if not isinstance(found, dict):
        raise ValueError("it is not a table")
    frame = pd.DataFrame(found)
    names = [name for name in _INDEX_COLUMNS if name in frame]
    return frame.set_index(names[0]) if names else frame


def _restore_categories(frame: pd.DataFrame, file: h5py.File) -> None:
    """Replace codes by the categories that are stored as `uns/<column>_categories`; in place."""
    for name in frame.select_dtypes("integer"):
        key = f"uns/{name}_categories"
        if key not in file:
            continue
        categories = np.atleast_1d(anndata.io.read_elem(file[key]))
        categories = categories.astype(str) if categories.dtype.kind in "SU" else categories
        # Columns of obs and var with the same name share the entry, which then belongs to only one of them.
        if frame[name].max() < len(categories):
            frame[name] = pd.Categorical.from_codes(frame[name], categories)


def read_anndata(
    path: str | Path, layer: str | None = None, gene_column: str | None = None
) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read an h5ad file with tasks as obs and genes as var.

    Parameters
    ----------
    path, layer, gene_column:
        As for `open_anndata`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Entries that a sparse matrix does not store are 0; NaN marks missing values.

    Raises
    ------
    InputError
        As for `open_anndata` and `OpenAnnData.blocks`.
    """
    if layer == RAW and gene_column is not None:
        _check_column_of_var(path, gene_column)
    with open_anndata(path, layer, gene_column) as file:
        values = np.zeros((len(file.genes), len(file.obs)), np.float32)
        for rows, columns, block in file.blocks():
            if scipy.sparse.issparse(block):
                entries = block.tocoo()
                values[entries.col + columns.start, entries.row + rows.start] = entries.data
            else:
                values[columns, rows] = block.T
        return file.genes, list(file.obs.index), values


def _check_column_of_var(path: str | Path, gene_column: str) -> None:
    """Check that var has the id column too, not only `.raw`: predictions are matched to the genes of var by these ids."""
    with _open(path) as file:
        var = read_annotations(file, "var")
    if gene_column not in var:
        what = f"column of var of {path} (targets.gene_column; predictions need it in addition to that of .raw),"
        raise unknown_name(what, gene_column, map(str, var.columns))


def read_obs(path: str | Path) -> pd.DataFrame:
    """Return the obs annotations of an h5ad file as text, with names in the column `task`; missing values are empty."""
    with _open(path) as file:
        obs = read_annotations(file, "obs")
    columns = {str(name): obs[name].astype(object).where(obs[name].notna(), "").map(str).to_numpy() for name in obs}
    return pd.DataFrame({**columns, "task": obs.index.to_numpy()})
