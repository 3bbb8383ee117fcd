"""Counts in the Matrix Market format, as 10x Genomics writes them: one row a gene, one column a cell or task."""

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
    """A Matrix Market file and the names of its rows and columns.

    Attributes
    ----------
    path: Path
    genes: pandas.Index
        Ids, repeated if the file repeats them.
    is_gene: numpy.ndarray, shape=(rows of the file,), dtype=bool
        Rows that are genes: with antibodies or peaks beside them, 10x calls them "Gene Expression".
    columns: list of str
    n_entries: int
    first_line: int
        The line, counted from 0, of the first entry.
    """

    path: Path
    genes: pd.Index
    is_gene: np.ndarray
    columns: list[str]
    n_entries: int
    first_line: int

    def blocks(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """Yield the entries of genes, a few million at a time: row among `genes`, column, value (float64).

        Several entries of one place are to be summed; what has none is 0.

        Raises
        ------
        InputError
            A line is no entry, is of a row or column that the file does not have, or is not a finite number (the message has
            the line); or the file is cut.
        """
        place = np.cumsum(self.is_gene) - 1
        n_read = 0
        try:
            with refusing_broken_files(self.path):
                kinds = {0: np.int64, 1: np.int64, 2: np.float64}
                form: dict[str, Any] = {"sep": r"\s+", "header": None, "names": range(3), "index_col": False}
                form |= {"chunksize": _BLOCK_ENTRIES, "compression": compression(self.path)}
                for block in pd.read_csv(self.path, skiprows=self.first_line, dtype=kinds, **form):
                    rows, columns, values = (block[i].to_numpy() for i in range(3))
                    with np.errstate(over="ignore"):
                        wrong = ~np.isfinite(values.astype(np.float32))
                    wrong |= (rows < 1) | (rows > len(place)) | (columns < 1) | (columns > len(self.columns))
                    if wrong.any():
                        raise ValueError("no entry")
                    n_read += len(block)
                    keep = self.is_gene[rows - 1]
                    yield place[rows - 1][keep], columns[keep] - 1, values[keep]
        except ValueError as error:
            raise self._bad_line() or InputError(f"matrix {self.path} cannot be read: {error}") from error
        if n_read != self.n_entries:
            raise InputError(f"matrix {self.path} has {n_read} entries, but says that it has {self.n_entries}: is it cut?")

    def _bad_line(self) -> InputError | None:
        with open_text(self.path) as file:
            for number, line in enumerate(file, start=1):
                if number <= self.first_line:
                    continue
                try:
                    row, column, value = line.split()
                    right = 1 <= int(row) <= len(self.is_gene) and 1 <= int(column) <= len(self.columns)
                    right &= bool(np.isfinite(np.float32(value)))
                except ValueError:
                    right = False
                if not right:
                    return InputError(
                        f"matrix {self.path}, line {number} is {line.strip()!r}, not a row (1 to {len(self.is_gene)}), a "
                        f"column (1 to {len(self.columns)}) and a finite number."
                    )
        return None


def is_market(path: str | Path) -> bool:
    """Whether a path is named as a Matrix Market file is, or is a folder, in which one may be."""
    return Path(path).name.removesuffix(".gz").endswith(".mtx") or Path(path).is_dir()


def market_file(path: str | Path) -> Path:
    """Return the Matrix Market file of a folder, or the file that is given.

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
    raise InputError(f"folder {path} has no matrix.mtx or matrix.mtx.gz: name the file of the matrix.")


def market_files(path: str | Path) -> list[Path]:
    """Return a Matrix Market file, or that of a folder, and the files of the names of its rows and of its columns.

    Raises
    ------
    InputError
        One of the three is missing.
    """
    path = market_file(path)
    prefix = path.name.removesuffix(".gz").removesuffix(".mtx").removesuffix("matrix")
    return [path, _companion(path, prefix, _FEATURES), _companion(path, prefix, ("barcodes.tsv",))]


def open_market(path: str | Path, gene_column: str | None = None) -> MarketMatrix:
    """Read the head and the names of a Matrix Market file.

    Parameters
    ----------
    path: str or Path
        The file, or its folder. Beside it stand features.tsv (id, name, type) or genes.tsv (id, name), and barcodes.tsv, plain
        or gzipped, with whatever its own name has before "matrix.mtx" before theirs.
    gene_column: str, optional
        "id" (default), "name" or "type".

    Raises
    ------
    InputError
        A file is missing or not of the format, or the numbers of rows and names differ.
    """
    path, features, barcodes = market_files(path)
    table, names = _names(features), _names(barcodes)
    table.columns = pd.Index([*_COLUMNS, *(f"column {i + 4}" for i in range(table.shape[1]))][: table.shape[1]])
    if gene_column is not None and gene_column not in table:
        raise unknown_name(f"column of {features} (targets.gene_column)", gene_column, table.columns)
    with refusing_broken_files(path), open_text(path) as file:
        words = file.readline().split()
        known = len(words) == 5 and words[:3] == ["%%MatrixMarket", "matrix", "coordinate"] and words[4] == "general"
        if not known or words[3] not in ("integer", "real"):
            raise InputError(
                f"matrix {path} begins with {' '.join(words)[:80]!r}; it must be %%MatrixMarket matrix coordinate integer (or "
                "real) general."
            )
        first_line, line = 2, file.readline()
        while line.startswith("%"):
            first_line, line = first_line + 1, file.readline()
    sizes = [int(word) for word in line.split() if word.isdecimal()]
    if len(sizes) != 3:
        raise InputError(f"matrix {path}, line {first_line} is {line.strip()!r}, not numbers of rows, columns and entries.")
    if sizes[:2] != [len(table), len(names)]:
        turned = "; it seems to have a row a cell: turn it" if sizes[:2] == [len(names), len(table)] else ""
        raise InputError(
            f"matrix {path} has {sizes[0]} rows and {sizes[1]} columns, but {features.name} {len(table)} genes and "
            f"{barcodes.name} {len(names)} columns{turned}."
        )
    is_gene = np.ones(len(table), bool)
    if "type" in table and (table["type"] == _EXPRESSION).any():
        is_gene = (table["type"] == _EXPRESSION).to_numpy()
    genes = pd.Index(table[gene_column or "id"][is_gene], dtype=object)
    return MarketMatrix(path, genes, is_gene, names[0].tolist(), sizes[2], first_line)


def read_market(path: str | Path, gene_column: str | None = None) -> tuple[pd.Index, list[str], np.ndarray]:
    """Read a Matrix Market file whose columns are tasks.

    Parameters
    ----------
    path, gene_column:
        As of `open_market`.

    Returns
    -------
    genes: pandas.Index
    tasks: list of str
    values: numpy.ndarray, shape=(genes, tasks), dtype=float32
        0 where the file has no entry.

    Raises
    ------
    InputError
        As `open_market` and `MarketMatrix.blocks`.
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
    raise InputError(f"beside {path} there is no {' or '.join(prefix + name for name in names)}, plain or gzipped.")


def _names(path: Path) -> pd.DataFrame:
    """Return a table without header as text, its columns numbered."""
    with refusing_broken_files(path):
        return pd.read_csv(
            path, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3, compression=compression(path)
        )
