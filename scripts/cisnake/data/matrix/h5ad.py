"""Matrices of measurements as AnnData: one row (obs) a task or a cell, one column (var) a gene."""

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

# What scanpy keeps beside a matrix that it has normalised or cut to fewer genes.
RAW = "raw"
_BLOCK_VALUES = 4_000_000


@dataclass(frozen=True)
class OpenAnnData:
    """An h5ad file of which only names and annotations are in memory.

    Attributes
    ----------
    path: Path
    obs: pandas.DataFrame
        Annotations of tasks or cells; the index has their names.
    genes: pandas.Index
        Ids, repeated if the file repeats them.
    matrix: h5py.Dataset or an on-disk sparse matrix, shape=(obs, genes)
    n_stored: int
        How many values it stores, fewer than it has if it is sparse.
    """

    path: Path
    obs: pd.DataFrame
    genes: pd.Index
    matrix: Any
    n_stored: int

    def blocks(self) -> Iterator[tuple[slice, slice, Any]]:
        """Yield the matrix piece by piece: rows, columns, and what stands there, dense or sparse as in the file.

        Dense matrices and CSR come in whole rows, CSC in whole columns, some 4 million stored values at a time.

        Raises
        ------
        InputError
            A value is infinite, or the sparse matrix is inconsistent.
        """
        n, m = self.matrix.shape
        by_column = getattr(self.matrix, "format", "") == "csc"
        size, across = (m, n) if by_column else (n, m)
        step = max(1, _BLOCK_VALUES * size // max(1, self.n_stored))
        # A chunk of the file that is cut by two pieces would be read and unpacked twice.
        if isinstance(self.matrix, h5py.Dataset) and self.matrix.chunks:
            step = max(1, step // self.matrix.chunks[0]) * self.matrix.chunks[0]
        for first in range(0, size, step):
            part, whole = slice(first, min(first + step, size)), slice(0, across)
            rows, columns = (whole, part) if by_column else (part, whole)
            try:
                block = self.matrix[:, part] if by_column else self.matrix[part]
                if scipy.sparse.issparse(block):
                    block.check_format(full_check=True)
                    block.sum_duplicates()
            except (OSError, ValueError, IndexError) as error:
                raise InputError(f"{self.path}: its matrix cannot be read ({error}): the file is damaged.") from error
            self._check_finite(block, rows, columns)
            yield rows, columns, block

    def _check_finite(self, block: Any, rows: slice, columns: slice) -> None:
        values = block.data if scipy.sparse.issparse(block) else block
        with np.errstate(over="ignore"):
            bad = np.isinf(values.astype(np.float32, copy=False))
        if bad.any():
            if scipy.sparse.issparse(block):
                block = block.tocoo()
                at = np.flatnonzero(bad)[0]
                row, column, value = block.row[at], block.col[at], block.data[at]
            else:
                row, column = np.argwhere(bad)[0]
                value = block[row, column]
            raise InputError(
                f"{self.path}: obs {self.obs.index[rows.start + row]}, gene {self.genes[columns.start + column]} is {value}, "
                "not a finite 32-bit number; NaN stands for what was not measured."
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
        Column of var that has the gene ids. Default: its index.

    Raises
    ------
    InputError
        The file is no h5ad, lacks the layer or the column, or has no numbers there.
    """
    with _open(path) as file:
        places = {str(name): f"layers/{name}" for name in file.get("layers", ())}
        places |= {RAW: "raw/X"} if "raw/X" in file and RAW not in places else {}
        if layer is None and "X" not in file:
            raise InputError(f"{path} has no X: name another matrix of it by targets.layer ({', '.join(places) or 'none'}).")
        if layer is not None and layer not in places:
            raise unknown_name(f"layer of {path} (targets.layer)", layer, places)
        place = "X" if layer is None else places[layer]
        obs, var = _frame(file, "obs"), _frame(file, "raw/var" if place == "raw/X" else "var")
        if gene_column is not None and gene_column not in var:
            raise unknown_name(f"column of var of {path} (targets.gene_column)", gene_column, map(str, var.columns))
        genes = pd.Index((var.index if gene_column is None else var[gene_column]).astype(str), dtype=object)
        found = file[place]
        matrix = anndata.io.sparse_dataset(found) if isinstance(found, h5py.Group) else found
        if matrix.dtype.kind not in "fiub" or matrix.shape != (len(obs), len(genes)):
            raise InputError(
                f"{path}: {place} has {matrix.dtype} values of shape {matrix.shape}, not numbers of {len(obs)} obs by "
                f"{len(genes)} genes."
            )
        n_stored = found["data"].size if isinstance(found, h5py.Group) else found.size
        yield OpenAnnData(Path(path), obs, genes, matrix, n_stored)


@contextmanager
def _open(path: str | Path) -> Iterator[h5py.File]:
    with open_hdf5(path, "AnnData", "give a whole .h5ad file") as file:
        for name in ("obs", "var"):
            if name not in file:
                raise InputError(f"{path} has no {name}: it is no h5ad file.")
        yield file


def _frame(file: h5py.File, place: str) -> pd.DataFrame:
    """Return annotations, with names that are text."""
    frame = anndata.io.read_elem(file[place])
    frame.index = pd.Index(frame.index.astype(str), dtype=object)
    return frame


def read_anndata(
    path: str | Path, layer: str | None = None, gene_column: str | None = None
) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read an h5ad file whose obs are tasks and whose var are genes.

    Parameters
    ----------
    path, layer, gene_column:
        As of `open_anndata`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        What a sparse matrix does not store is 0; NaN is what was not measured.

    Raises
    ------
    InputError
        As `open_anndata` and `OpenAnnData.blocks`.
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
    """Refuse ids that `.raw` has and var has not: predictions go back to the genes of var, by these ids."""
    with _open(path) as file:
        var = _frame(file, "var")
    if gene_column not in var:
        what = f"column of var of {path} (targets.gene_column), which predictions need beside that of .raw,"
        raise unknown_name(what, gene_column, map(str, var.columns))


def read_obs(path: str | Path) -> pd.DataFrame:
    """Return the annotations of the obs of an h5ad file as text, their names in the column `task`; empty where missing."""
    with _open(path) as file:
        obs = _frame(file, "obs")
    columns = {str(name): obs[name].astype(object).where(obs[name].notna(), "").map(str).to_numpy() for name in obs}
    return pd.DataFrame({**columns, "task": obs.index.to_numpy()})
