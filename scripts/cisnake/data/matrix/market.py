"""Read counts in Matrix Market format as written by 10x Genomics: one row per gene, one column per cell or task."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.matrix.text import refusing_broken_files
from cisnake.errors import InputError, unknown_name
from cisnake.text_files import compression, open_text

_FEATURES = ("features.tsv", "genes.tsv")
_COLUMNS = ["id", "name", "type"]
_EXPRESSION = "Gene Expression"
_BLOCK_ENTRIES = 4_000_000


@dataclass(frozen=True)
class MarketMatrix:
    """A Matrix Market file with the names of its rows and columns.

    Attributes
    ----------
    path: Path
    genes: pandas.Index
        Gene ids; duplicates of the file are kept.
    is_gene: numpy.ndarray, shape=(rows of the file,), dtype=bool
        Which rows are genes. In files that also have antibodies or peaks, 10x labels genes "Gene Expression".
    columns: list of str
        Names of cells or tasks.
    n_entries: int
        Number of entries according to the header.
    first_line: int
        0-based line of the first entry.
    """

    path: Path
    genes: pd.Index
    is_gene: np.ndarray
    columns: list[str]
    n_entries: int
    first_line: int

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the entries of genes, a few million at a time: row in `genes`, column, value (float64).

        Entries with the same row and column must be summed. Values without an entry are 0.

        Raises
        ------
        InputError
            A line is not an entry, its row or column is out of range, or its value is not a finite number (the message names
            the line); or the file is truncated.
        """
        gene_rows = np.cumsum(self.is_gene) - 1
        n_read = 0
        try:
            with refusing_broken_files(self.path):
                dtypes = {0: np.int64, 1: np.int64, 2: np.float64}
                options: dict[str, Any] = {"sep": r"\s+", "header": None, "names": range(3), "index_col": False}
                options |= {"chunksize": _BLOCK_ENTRIES, "compression": compression(self.path)}
                for block in pd.read_csv(self.path, skiprows=self.first_line, dtype=dtypes, **options):
                    rows, columns, values = (block[i].to_numpy() for i in range(3))
                    with np.errstate(over="ignore"):
                        invalid = ~np.isfinite(values.astype(np.float32))
                    invalid |= (rows < 1) | (rows > len(gene_rows)) | (columns < 1) | (columns > len(self.columns))
                    if invalid.any():
                        raise ValueError("invalid entry")
                    n_read += len(block)
                    keep = self.is_gene[rows - 1]
                    yield gene_rows[rows - 1][keep], columns[keep] - 1, values[keep]
        except ValueError as error:
            raise self._bad_line() or InputError(f"matrix {self.path} cannot be read: {error}") from error
        if n_read != self.n_entries:
            raise InputError(
                f"matrix {self.path} has {n_read} entries, but its header lists {self.n_entries}: is it truncated?"
            )

    def _bad_line(self) -> InputError | None:
        with open_text(self.path) as file:
            for number, line in enumerate(file, start=1):
                if number <= self.first_line:
                    continue
                try:
                    row, column, value = line.split()
                    valid = 1 <= int(row) <= len(self.is_gene) and 1 <= int(column) <= len(self.columns)
                    valid &= bool(np.isfinite(np.float32(value)))
                except ValueError:
                    valid = False
                if not valid:
                    return InputError(
                        f"matrix {self.path}, line {number} is {line.strip()!r}: expected a row (1 to {len(self.is_gene)}), a "
                        f"column (1 to {len(self.columns)}) and a finite number."
                    )
        return None


def is_market(path: str | Path) -> bool:
    """Return whether a path is a Matrix Market file by its name, or a folder, which may contain one."""
    return Path(path).name.removesuffix(".gz").endswith(".mtx") or Path(path).is_dir()


def market_file(path: str | Path) -> Path:
    """Return the Matrix Market file in a folder; a path that is not a folder is returned unchanged.

    Raises
    ------
    InputError
        The folder has neither matrix.mtx nor matrix.mtx.gz.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    for name in ("matrix.mtx", "matrix.mtx.gz"):
        if (path / name).is_file():
            return path / name
    raise InputError(f"folder {path} has no matrix.mtx or matrix.mtx.gz: use the path of the matrix file.")


def market_files(path: str | Path) -> list[Path]:
    """Return a Matrix Market file (or the one in a folder), its file of row names and its file of column names.

    Raises
    ------
    InputError
        One of the three is missing.
    """
    path = market_file(path)
    prefix = path.name.removesuffix(".gz").removesuffix(".mtx").removesuffix("matrix")
    return [path, _companion(path, prefix, _FEATURES), _companion(path, prefix, ("barcodes.tsv",))]


def open_market(path: str | Path, gene_column: str | None = None) -> MarketMatrix:
    """Read the header and the names of a Matrix Market file.

    Parameters
    ----------
    path: str or Path
        The file or its folder. The same folder must contain features.tsv (id, name, type) or genes.tsv (id, name), and
        barcodes.tsv, plain or gzipped. If the matrix is named `<prefix>matrix.mtx`, these have the same prefix.
    gene_column: str, optional
        Column of the features file with the gene ids: "id" (default), "name" or "type".

    Raises
    ------
    InputError
        A file is missing or malformed, or the matrix does not have as many rows and columns as there are names.
    """
    path, features, barcodes = market_files(path)
    table, names = _names(features), _names(barcodes)
    table.columns = pd.Index([*_COLUMNS, *(f"column {i + 4}" for i in range(table.shape[1]))][: table.shape[1]])
    if gene_column is not None and gene_column not in table:
        raise unknown_name(f"column of {features} (targets.gene_column)", gene_column, table.columns)
    with refusing_broken_files(path), open_text(path) as file:
        words = file.readline().split()
        supported = len(words) == 5 and words[:3] == ["%%MatrixMarket", "matrix", "coordinate"] and words[4] == "general"
        if not supported or words[3] not in ("integer", "real"):
            raise InputError(
                f"matrix {path} begins with {' '.join(words)[:80]!r}: expected %%MatrixMarket matrix coordinate integer (or "
                "real) general."
            )
        first_line, line = 2, file.readline()
        while line.startswith("%"):
            first_line, line = first_line + 1, file.readline()
    sizes = [int(word) for word in line.split() if word.isdecimal()]
    if len(sizes) != 3:
        raise InputError(
            f"matrix {path}, line {first_line} is {line.strip()!r}: expected the numbers of rows, columns and entries."
        )
    if sizes[:2] != [len(table), len(names)]:
        hint = "; it seems to have one row per cell: transpose it" if sizes[:2] == [len(names), len(table)] else ""
        raise InputError(
            f"matrix {path} has {sizes[0]} rows and {sizes[1]} columns, but {features.name} has {len(table)} genes and "
            f"{barcodes.name} has {len(names)} columns{hint}."
        )
    is_gene = np.ones(len(table), bool)
    if "type" in table and (table["type"] == _EXPRESSION).any():
        is_gene = (table["type"] == _EXPRESSION).to_numpy()
    genes = pd.Index(table[gene_column or "id"][is_gene], dtype=object)
    return MarketMatrix(path, genes, is_gene, names[0].tolist(), sizes[2], first_line)


def read_market(path: str | Path, gene_column: str | None = None) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a Matrix Market file with tasks as columns.

    Parameters
    ----------
    path, gene_column:
        As for `open_market`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        Values without an entry are 0.

    Raises
    ------
    InputError
        As for `open_market` and `MarketMatrix.blocks`.
    """
    market = open_market(path, gene_column)
    values = np.zeros((len(market.genes), len(market.columns)), np.float32)
    for rows, columns, entries in market.blocks():
        np.add.at(values, (rows, columns), entries.astype(np.float32))
    return market.genes, market.columns, values


def _companion(path: Path, prefix: str, names: tuple[str, ...]) -> Path:
    for name in names:
        for ending in ("", ".gz"):
            candidate = path.with_name(f"{prefix}{name}{ending}")
            if candidate.is_file():
                return candidate
    raise InputError(
        f"{' or '.join(prefix + name for name in names)} is missing: add it, plain or gzipped, to the folder of {path}."
    )


def _names(path: Path) -> pd.DataFrame:
    """Read a table without header as text, with numbered columns."""
    with refusing_broken_files(path):
        return pd.read_csv(
            path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3, compression=compression(path)
        )
