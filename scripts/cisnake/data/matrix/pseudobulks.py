"""Cells summed to pseudobulks: one task for all cells that are alike in some of their annotations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import scipy.sparse

from cisnake.data.matrix.h5ad import open_anndata
from cisnake.data.matrix.market import is_market, market_file, open_market
from cisnake.data.matrix.text import MISSING
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table, write_whole
from cisnake.program import Progress, log
from cisnake.text_files import check_file

SEPARATOR = "|"
# What pseudobulks have beside the annotations of their cells.
_OWN = ("task", "n_cells", "n_counts", "n_genes")

# Rows, columns and values of a piece of a matrix of cells by genes.
Piece = tuple[np.ndarray, np.ndarray, np.ndarray]


def aggregate_cells(
    path: str | Path,
    by: list[str],
    table: str | Path | None = None,
    layer: str | None = None,
    gene_column: str | None = None,
    min_cells: int = 1,
) -> tuple[anndata.AnnData, pd.DataFrame]:
    """Sum the counts of the cells of each group.

    Cells are read a few million entries at a time, in whatever order they stand. The sums are kept in double precision: memory
    is 8 bytes for each gene of each pseudobulk that is kept, twice that for each sum above 0, and a block of cells.

    Parameters
    ----------
    path: str or Path
        h5ad, one row a cell; or Matrix Market as 10x writes it, one column a cell.
    by: list of str
        Annotations whose values, taken together, make a group. A cell that lacks one (empty, NA, NaN, N/A) is left out.
    table: str or Path, optional
        TSV with the column `cell` and annotations; it has to have every annotation asked for, need not have every cell, and may
        have others. Default: obs of the h5ad.
    layer, gene_column: str, optional
        As of `matrix.read_matrix`.
    min_cells: int
        The fewest cells of a pseudobulk. Default 1.

    Returns
    -------
    pseudobulks: anndata.AnnData
        X the sums as float32 CSR; obs named by the values joined with "|", with those annotations, n_cells, n_counts (the sum
        over all genes) and n_genes (those with a sum above 0), in the order of the names; var the genes.
    dropped: pandas.DataFrame
        task, n_cells, reason ("few_cells"), detail of the groups with fewer cells.

    Raises
    ------
    InputError
        The file or the table cannot be read or lacks an annotation, a count is negative or not a number, no group is left, or
        two groups have one name.
    """
    path = check_file(market_file(path), "file of cells", "targets.cells")
    with _open_cells(path, layer, gene_column) as (cells, obs, genes, pieces):
        annotated = obs if table is None else _read_cell_table(table, cells)
        if annotated is None:
            raise InputError(f"{path} says nothing of its cells: name a table of them by targets.cell_table.")
        _check_annotations(by, annotated, table or path)
        group_of, groups = _group(annotated[by], path)
        enough = (groups["n_cells"] >= min_cells).to_numpy()
        if not enough.any():
            raise InputError(
                f"{path}: none of {len(groups)} groups of cells has {min_cells} cells (targets.pseudobulks.min_cells)."
            )
        log.info(
            "%d cells in %d pseudobulks; %d cells lack an annotation, %d pseudobulks are too small", (group_of >= 0).sum(),
            enough.sum(), (group_of < 0).sum(), (~enough).sum(),
        )  # fmt: skip
        # The row of a cell's group among those that are kept; one past them for all other cells.
        row = np.append(np.where(enough, np.cumsum(enough) - 1, enough.sum()), enough.sum())[group_of]
        sums = _sum_cells(pieces, row, int(enough.sum()) + 1, cells, genes, path)[:-1]
    few = groups.loc[~enough, "n_cells"]
    dropped = pd.DataFrame({"task": few.index, "n_cells": few.to_numpy(), "reason": "few_cells"})
    return _as_anndata(sums, groups[enough], genes), dropped.assign(detail=[f"{n} of at least {min_cells} cells" for n in few])


def _check_annotations(by: list[str], annotated: pd.DataFrame, source: str | Path) -> None:
    for name in by:
        if name not in annotated:
            raise unknown_name(f"annotation of the cells (targets.pseudobulks.by) in {source}", name, annotated)
        if name in _OWN:
            raise InputError(
                f"the annotation {name} of {source} (targets.pseudobulks.by) has the name of a column that pseudobulks get: "
                "give it another."
            )


def _sum_cells(
    pieces: Iterator[Piece], row: np.ndarray, n_rows: int, cells: pd.Index, genes: pd.Index, path: Path
) -> np.ndarray:
    """Return the sums of counts over the cells of each row; shape=(n_rows, genes), dtype=float64."""
    sums = np.zeros((n_rows, len(genes)))
    whole = True
    for rows, columns, values in pieces:
        wrong = np.isnan(values) | (values < 0)
        if wrong.any():
            at = int(np.argmax(wrong))
            raise InputError(
                f"{path}: cell {cells[rows[at]]}, gene {genes[columns[at]]} is {values[at]:g}; only counts can be summed: "
                "name the matrix that has them by targets.layer."
            )
        whole = whole and bool((values == np.floor(values)).all())
        _add(sums, scipy.sparse.coo_matrix((values.astype(np.float64), (row[rows], columns)), shape=sums.shape).tocsr())
    if not whole:
        log.warning(
            "%s has values that are no whole numbers: sums of normalised values are no counts; see targets.layer.", path
        )
    return sums


def _as_anndata(sums: np.ndarray, groups: pd.DataFrame, genes: pd.Index) -> anndata.AnnData:
    annotations = groups.drop(columns="n_cells")
    obs = annotations.assign(n_cells=groups["n_cells"], n_counts=sums.sum(axis=1), n_genes=(sums > 0).sum(axis=1))
    # Row by row, so that there is no dense copy.
    sparse_rows = [scipy.sparse.csr_matrix(sums[i : i + 1].astype(np.float32)) for i in range(len(sums))]
    return anndata.AnnData(scipy.sparse.vstack(sparse_rows, "csr"), obs=obs, var=pd.DataFrame(index=genes))


def write_pseudobulks(pseudobulks: anndata.AnnData, path: str | Path) -> None:
    """Write pseudobulks as h5ad, which `matrix.read_matrix` reads."""
    with write_whole(path) as part:
        pseudobulks.write_h5ad(part, compression="gzip")


def _add(sums: np.ndarray, part: scipy.sparse.csr_matrix) -> None:
    """Add a sparse matrix to a dense one, row by row, without a dense copy of it."""
    for row in np.flatnonzero(np.diff(part.indptr)):
        entries = slice(part.indptr[row], part.indptr[row + 1])
        sums[row, part.indices[entries]] += part.data[entries]


@contextmanager
def _open_cells(
    path: str | Path, layer: str | None, gene_column: str | None
) -> Iterator[tuple[pd.Index, pd.DataFrame | None, pd.Index, Iterator[Piece]]]:
    """Give names and annotations of cells, the genes, and the entries that are not 0."""
    if is_market(path):
        market = open_market(path, gene_column)
        cells = pd.Index(market.columns, dtype=object)
        progress = Progress("entries summed", market.n_entries)
        yield cells, None, market.genes, _market_pieces(market.blocks(), progress)
        return
    with open_anndata(path, layer, gene_column) as file:
        progress = Progress("values of cells summed", len(file.obs) * len(file.genes))
        yield file.obs.index, file.obs, file.genes, _anndata_pieces(file.blocks(), progress)


def _market_pieces(blocks: Iterator[Piece], progress: Progress) -> Iterator[Piece]:
    for genes, cells, values in blocks:
        yield cells, genes, values
        progress.advance(len(values))


def _anndata_pieces(blocks: Iterator, progress: Progress) -> Iterator[Piece]:
    for rows, columns, block in blocks:
        entries = scipy.sparse.coo_matrix(block)
        yield entries.row + rows.start, entries.col + columns.start, entries.data
        progress.advance(block.shape[0] * block.shape[1])


def _read_cell_table(path: str | Path, cells: pd.Index) -> pd.DataFrame:
    table = read_user_table(path)
    if "cell" not in table:
        raise InputError(f"table of cells {path} has no column cell: it has {', '.join(table.columns)}.")
    if table["cell"].duplicated().any():
        raise InputError(f"table of cells {path} has the cell {table['cell'][table['cell'].duplicated()].iloc[0]} twice.")
    table = table.set_index("cell")
    if not table.index.isin(cells).any():
        raise InputError(f"table of cells {path} has none of the cells of the matrix, such as {cells[0]}: are names alike?")
    return table.replace("", np.nan).reindex(cells)


def _group(annotations: pd.DataFrame, path: str | Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Return each cell's group (-1: none), and a row a group: its annotations as text and n_cells, sorted by name."""
    texts = annotations.astype(object).where(annotations.notna(), "").map(str)
    complete = ~texts.isin(MISSING).any(axis=1).to_numpy()
    chosen = texts[complete]
    number = chosen.groupby(list(chosen), sort=True).ngroup().to_numpy()
    group_of = np.full(len(texts), -1)
    group_of[complete] = number
    first = chosen.iloc[np.unique(number, return_index=True)[1]].copy()
    first.index = pd.Index([SEPARATOR.join(row) for row in first.itertuples(index=False)], name="task", dtype=object)
    if first.index.has_duplicates:
        name = first.index[first.index.duplicated()][0]
        raise InputError(f"{path}: two groups of cells are called {name}: take '{SEPARATOR}' out of their annotations.")
    first["n_cells"] = np.bincount(number, minlength=len(first))
    return group_of, first
