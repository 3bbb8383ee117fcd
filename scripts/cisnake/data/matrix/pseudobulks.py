"""Sum cells to pseudobulks: one task per combination of annotation values."""

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
from cisnake.data.matrix.summary_rows import drop_summary_rows
from cisnake.data.matrix.text import MISSING
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table, write_whole
from cisnake.joins import explain_mismatch
from cisnake.program import Progress, log
from cisnake.text_files import check_file

SEPARATOR = "|"
# Columns that pseudobulks have in addition to the annotations of their cells.
_RESERVED = ("task", "n_cells", "n_counts", "n_genes")

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
    """Sum the counts of the cells in each group.

    Cells are read a few million entries at a time, in any order. Sums are accumulated in double precision. Memory holds 8 bytes
    per gene and kept pseudobulk, 16 bytes per sum above 0, and a block of cells.

    Parameters
    ----------
    path: str or Path
        h5ad with one row per cell, or Matrix Market as written by 10x with one column per cell.
    by: list of str
        Annotations that define groups: cells with the same values in all of them form a group. Cells with a missing value
        (empty, NA, NaN, N/A) are left out.
    table: str or Path, optional
        TSV with the column `cell` and all annotations of `by`. It may lack cells of the matrix and have others. Default: obs
        of the h5ad.
    layer, gene_column: str, optional
        As for `matrix.read_matrix`.
    min_cells: int
        Minimum number of cells per pseudobulk. Default 1.

    Returns
    -------
    pseudobulks: anndata.AnnData
        X: the sums as float32 CSR. obs: named by annotation values joined with "|" and sorted by name, with the annotations,
        n_cells, n_counts (sum over all genes) and n_genes (number of genes with a sum above 0). var: the genes.
    dropped: pandas.DataFrame
        task, n_cells, reason ("few_cells") and detail of the groups with fewer than `min_cells` cells.

    Raises
    ------
    InputError
        The file or the table cannot be read or lacks an annotation, a count is negative or not a number, no group is left, or
        two groups have the same name.
    """
    path = check_file(market_file(path), "file of cells", "targets.cells")
    with _open_cells(path, layer, gene_column) as (cells, obs, genes, pieces):
        annotated = obs if table is None else _read_cell_table(table, cells)
        if annotated is None:
            raise InputError(f"{path} has no annotations of cells: set targets.cell_table to a table of them.")
        _check_annotations(by, annotated, table or path)
        group_of, groups = _group(annotated[by], path)
        enough = (groups["n_cells"] >= min_cells).to_numpy()
        if not enough.any():
            raise InputError(
                f"{path}: none of {len(groups)} groups has at least {min_cells} cells: lower targets.pseudobulks.min_cells."
            )
        log.info(
            "%d cells in %d pseudobulks; %d cells lack an annotation, %d pseudobulks are too small", (group_of >= 0).sum(),
            enough.sum(), (group_of < 0).sum(), (~enough).sum(),
        )  # fmt: skip
        # Row of each cell's group among the kept groups; cells of no kept group go to an extra last row.
        row = np.append(np.where(enough, np.cumsum(enough) - 1, enough.sum()), enough.sum())[group_of]
        sums = _sum_cells(pieces, row, int(enough.sum()) + 1, cells, genes, path)[:-1]
        genes, sums = drop_summary_rows(genes, sums, axis=1)
    few = groups.loc[~enough, "n_cells"]
    dropped = pd.DataFrame({"task": few.index, "n_cells": few.to_numpy(), "reason": "few_cells"})
    return _as_anndata(sums, groups[enough], genes), dropped.assign(detail=[f"{n} of at least {min_cells} cells" for n in few])


def _check_annotations(by: list[str], annotated: pd.DataFrame, source: str | Path) -> None:
    for name in by:
        if name not in annotated:
            raise unknown_name(f"annotation of the cells (targets.pseudobulks.by) in {source}", name, annotated)
        if name in _RESERVED:
            raise InputError(
                f"the annotation {name} of {source} (targets.pseudobulks.by) has the name of a column of pseudobulks: "
                "rename it."
            )


def _sum_cells(
    pieces: Iterator[Piece], group_rows: np.ndarray, n_rows: int, cells: pd.Index, genes: pd.Index, path: Path
) -> np.ndarray:
    """Return the sums of counts over the cells of each row; shape=(n_rows, genes), dtype=float64."""
    sums = np.zeros((n_rows, len(genes)))
    all_integer = True
    for rows, columns, values in pieces:
        invalid = np.isnan(values) | (values < 0)
        if invalid.any():
            entry = int(np.argmax(invalid))
            raise InputError(
                f"{path}: cell {cells[rows[entry]]}, gene {genes[columns[entry]]} is {values[entry]:g}, but only counts "
                "can be summed: set targets.layer to the matrix of counts."
            )
        all_integer = all_integer and bool((values == np.floor(values)).all())
        _add(sums, scipy.sparse.coo_matrix((values.astype(np.float64), (group_rows[rows], columns)), shape=sums.shape).tocsr())
    if not all_integer:
        log.warning("%s has non-integer values: sums of normalised values are not counts; see targets.layer.", path)
    return sums


def _as_anndata(sums: np.ndarray, groups: pd.DataFrame, genes: pd.Index) -> anndata.AnnData:
    annotations = groups.drop(columns="n_cells")
    obs = annotations.assign(n_cells=groups["n_cells"], n_counts=sums.sum(axis=1), n_genes=(sums > 0).sum(axis=1))
    # Row by row, which avoids a dense copy.
    sparse_rows = [scipy.sparse.csr_matrix(sums[i : i + 1].astype(np.float32)) for i in range(len(sums))]
    return anndata.AnnData(scipy.sparse.vstack(sparse_rows, "csr"), obs=obs, var=pd.DataFrame(index=genes))


def write_pseudobulks(pseudobulks: anndata.AnnData, path: str | Path) -> None:
    """Write pseudobulks as h5ad, in the form that `matrix.read_matrix` reads."""
    with write_whole(path) as part:
        pseudobulks.write_h5ad(part, compression="gzip")


def _add(sums: np.ndarray, part: scipy.sparse.csr_matrix) -> None:
    """Add a sparse matrix to a dense one in place, row by row, without a dense copy."""
    for row in np.flatnonzero(np.diff(part.indptr)):
        entries = slice(part.indptr[row], part.indptr[row + 1])
        sums[row, part.indices[entries]] += part.data[entries]


@contextmanager
def _open_cells(
    path: str | Path, layer: str | None, gene_column: str | None
) -> Iterator[tuple[pd.Index, pd.DataFrame | None, pd.Index, Iterator[Piece]]]:
    """Yield the names and annotations of cells, the genes, and the non-zero entries."""
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
        raise InputError(f"table of cells {path} has no column cell: its columns are {', '.join(table.columns)}.")
    if table["cell"].duplicated().any():
        raise InputError(
            f"table of cells {path} has the cell {table['cell'][table['cell'].duplicated()].iloc[0]} twice: remove one row."
        )
    table = table.set_index("cell")
    if not table.index.isin(cells).any():
        raise InputError(
            f"table of cells {path} has none of the cells of the matrix: "
            f"{explain_mismatch('the matrix', cells, 'the table', table.index)}."
        )
    return table.replace("", np.nan).reindex(cells)


def _group(annotations: pd.DataFrame, path: str | Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Return the group of each cell (-1: none), and a table of groups: annotations as text and n_cells, sorted by name."""
    texts = annotations.astype(object).where(annotations.notna(), "").map(str)
    complete = ~texts.isin(MISSING).any(axis=1).to_numpy()
    complete_texts = texts[complete]
    group_number = complete_texts.groupby(list(complete_texts), sort=True).ngroup().to_numpy()
    group_of = np.full(len(texts), -1)
    group_of[complete] = group_number
    groups = complete_texts.iloc[np.unique(group_number, return_index=True)[1]].copy()
    groups.index = pd.Index([SEPARATOR.join(row) for row in groups.itertuples(index=False)], name="task", dtype=object)
    if groups.index.has_duplicates:
        name = groups.index[groups.index.duplicated()][0]
        raise InputError(f"{path}: two groups of cells are named {name}: remove '{SEPARATOR}' from their annotations.")
    groups["n_cells"] = np.bincount(group_number, minlength=len(groups))
    return group_of, groups
