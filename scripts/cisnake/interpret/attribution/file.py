"""Read and write attributions/<contrast>.h5: the attributions of every gene's window for one contrast, with quality checks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.files import open_hdf5, write_whole
from cisnake.interpret.contrasts import Contrast

ATTRIBUTION_SCHEMA_VERSION = 2
DTYPES = ("float32", "float16")

ATTRIBUTED_WINDOW_COLUMNS = ("chrom", "start", "end", "strand", "mask_start", "mask_end", "fold", "split")
SCORE_COLUMNS = ("predicted", "measured", "predicted_sd")
# Columns of `quality` besides gene_id: the class of the prediction, and numbers that are NaN if not computed.
QUALITY_NUMBERS = ("completeness", "replicates", "ism", "strands", "random_weights")
QUALITY_COLUMNS = ("prediction", *QUALITY_NUMBERS)

_STRING = h5py.string_dtype("utf-8")
_TEXT = ("chrom", "strand", "split")
_JSON = ("on_tasks", "off_tasks", "models", "method_options", "reverse_complement", "shifts")
_SCALES = {
    "attributions": "scale",
    "hypothetical": "hypothetical_scale",
    "spread": "spread_scale",
    "null/attributions": "null/scale",
}


def shard_file(folder: Path, number: int) -> Path:
    """Return the path of one shard in the folder of a contrast."""
    return folder / f"{number:04d}.h5"


class AttributionFile:
    """An attribution file, read in blocks of genes.

    Parameters
    ----------
    path: str or Path
        A file written by `write_attributions`.

    Attributes
    ----------
    windows: pandas.DataFrame
        One row per gene: gene_id, the window on the genome (chrom, start, end, strand), mask_start and mask_end in the
        window, fold, split, and the score of the contrast: predicted (mean over replicates), predicted_sd and measured.
    quality: pandas.DataFrame
        One row per gene: gene_id, prediction ("correct", "poor" or "not_measured"), and the numbers of `QUALITY_NUMBERS`,
        float32, NaN if not computed.
    attrs: dict
        contrast, score, on_tasks, off_tasks; method, method_options (a dict), reverse_complement, shifts; models (digests),
        replicates.
    length: int
        Bases in a window.
    dtype: str
        Data type of the stored attributions, one of `DTYPES`.
    n_null: int
        Number of shuffled windows that were also attributed.
    has_hypothetical, has_spread: bool
        Whether the file has hypothetical contributions, and the spread between replicates.

    Raises
    ------
    InputError
        The file is missing, truncated, not an attribution file, or has another schema version.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open_hdf5(path, "attributions", faults=(OSError, KeyError)) as file:
            version = file.attrs.get("schema_version")
            if "attributions" in file and version != ATTRIBUTION_SCHEMA_VERSION:
                described = "no schema version" if version is None else f"schema version {version}"
                raise InputError(
                    f"{path} has {described}, but this release requires version {ATTRIBUTION_SCHEMA_VERSION}: rerun "
                    "attribute_genes and collect_attributions."
                )
            self.windows = pd.DataFrame({"gene_id": file["genes"].asstr()[:]})
            for column in ATTRIBUTED_WINDOW_COLUMNS:
                values = file[f"windows/{column}"]
                self.windows[column] = values.asstr()[:] if column in _TEXT else values[:]
            for column in SCORE_COLUMNS:
                self.windows[column] = file[column][:]
            self.quality = _read_quality(file, self.windows["gene_id"])
            self.attrs: dict[str, Any] = {
                key: json.loads(value) if key in _JSON else value
                for key, value in file.attrs.items()
                if key != "schema_version"
            }
            self.length: int = file["attributions"].shape[2]
            self.dtype: str = file["attributions"].dtype.name
            self.has_hypothetical, self.has_spread = "hypothetical" in file, "spread" in file
            self.n_null: int = len(file["null/genes"])

    @property
    def contrast(self) -> Contrast:
        """The contrast whose score is explained."""
        attrs = self.attrs
        return Contrast(attrs["contrast"], tuple(attrs["on_tasks"]), tuple(attrs["off_tasks"]), attrs["score"])

    @property
    def genes(self) -> list[str]:
        """Gene ids, in file order."""
        return list(self.windows["gene_id"])

    @property
    def null_genes(self) -> list[str]:
        """Gene id of each shuffled window, one per row of `null_blocks`; a gene may occur several times."""
        with h5py.File(self.path, "r") as file:
            return list(file["null/genes"].asstr()[:])

    def __len__(self) -> int:
        return len(self.windows)

    def read_block(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Read genes in rows [first, last).

        Returns
        -------
        attributions: numpy.ndarray, shape=(n, 4, length), dtype=float32
            Zero except at the base present in the sequence; positive if that base raises the score.
        sequences: numpy.ndarray, shape=(n, length), dtype=int8
            Base codes, in the orientation of the gene.
        """
        with h5py.File(self.path, "r") as file:
            return _read_scaled(file, "attributions", first, last), file["sequences"][first:last]

    def blocks(self, megabytes: int = 64) -> Iterator[tuple[slice, np.ndarray, np.ndarray]]:
        """Yield (rows, attributions, sequences) over the whole file, in blocks of about `megabytes` MB."""
        step = max(1, megabytes * 1_000_000 // (16 * self.length))
        for first in range(0, len(self), step):
            attributions, sequences = self.read_block(first, first + step)
            yield slice(first, first + len(sequences)), attributions, sequences

    def projected(self, rows: Iterable[int]) -> Iterator[np.ndarray]:
        """Yield the projected attribution of one window at a time: the sum over the four channels; shape=(length,), float32."""
        with h5py.File(self.path, "r") as file:
            attributions, scales = file["attributions"], file["scale"][:] if "scale" in file else np.ones(len(self), np.float32)
            for row in rows:
                yield attributions[row].sum(axis=0, dtype=np.float32) * scales[row]

    def read_spread(self, first: int, last: int) -> np.ndarray | None:
        """Read the standard deviation (ddof 1) between replicates of the attribution of each base, for rows [first, last).

        Returns
        -------
        numpy.ndarray, shape=(n, length), dtype=float32, or None
            None if there is only one replicate.
        """
        return self._read_optional("spread", first, last)

    def read_hypothetical(self, first: int, last: int) -> np.ndarray | None:
        """Read hypothetical contributions, those of all four bases at every position, for rows [first, last).

        Returns
        -------
        numpy.ndarray, shape=(n, 4, length), dtype=float32, or None
            None if the file has none.
        """
        return self._read_optional("hypothetical", first, last)

    def null_blocks(self, megabytes: int = 64) -> Iterator[np.ndarray]:
        """Yield attributions of shuffled windows, summed over the four channels, in blocks of about `megabytes` MB.

        Yields
        ------
        numpy.ndarray, shape=(m, length), dtype=float32
        """
        step = max(1, megabytes * 1_000_000 // (4 * self.length))
        for first in range(0, self.n_null, step):
            with h5py.File(self.path, "r") as file:
                yield _read_scaled(file, "null/attributions", first, first + step)

    def _read_optional(self, name: str, first: int, last: int) -> np.ndarray | None:
        with h5py.File(self.path, "r") as file:
            return _read_scaled(file, name, first, last) if name in file else None


def _read_scaled(file: h5py.File, name: str, first: int, last: int) -> np.ndarray:
    values = file[name][first:last].astype(np.float32, copy=False)
    if _SCALES[name] in file:
        values *= _per_gene(file[_SCALES[name]][first:last], values.ndim)
    return values


def _per_gene(scale: np.ndarray, dimensions: int) -> np.ndarray:
    return scale.reshape(-1, *(1,) * (dimensions - 1))


def _read_quality(file: h5py.File, genes: pd.Series) -> pd.DataFrame:
    table = pd.DataFrame({"gene_id": genes})
    for column in QUALITY_COLUMNS:
        name = f"quality/{column}"
        if column == "prediction":
            table[column] = file[name].asstr()[:] if name in file else "not_measured"
        else:
            table[column] = file[name][:] if name in file else np.full(len(genes), np.nan, np.float32)
    return table


class AttributionWriter:
    """Append attributions to a file; returned by `write_attributions`. Call it with the attributions of the next genes.

    Parameters
    ----------
    file: h5py.File
    n, n_null: int
        Expected number of genes and of shuffled windows.
    """

    def __init__(self, file: h5py.File, n: int, n_null: int) -> None:
        self._file, self.n, self.n_null = file, n, n_null
        self.has_spread = "spread" in file
        self.done = self.done_null = 0

    def __call__(
        self,
        attributions: np.ndarray,
        sequences: np.ndarray,
        predicted: np.ndarray,
        predicted_sd: np.ndarray,
        *,
        hypothetical: np.ndarray | None = None,
        spread: np.ndarray | None = None,
    ) -> None:
        """Append the next genes.

        Parameters
        ----------
        attributions: numpy.ndarray, shape=(n, 4, length)
        sequences: numpy.ndarray, shape=(n, length)
        predicted, predicted_sd: numpy.ndarray, shape=(n,)
        hypothetical: numpy.ndarray, shape=(n, 4, length), optional
            Required if the file was created with `hypothetical`.
        spread: numpy.ndarray, shape=(n, length), optional
            Required if the file was created with `spread`.

        Raises
        ------
        ValueError
            `hypothetical` or `spread` does not match the data sets of the file.
        """
        rows = slice(self.done, self.done + len(sequences))
        parts = {"attributions": attributions, "hypothetical": hypothetical, "spread": spread}
        for name, values in parts.items():
            if (values is not None) != (name in self._file):
                raise ValueError(f"{name} is {'not a data set of the file' if values is not None else 'missing'}")
            if values is not None:
                self._put(name, rows, values)
        self._file["sequences"][rows] = sequences
        self._file["predicted"][rows], self._file["predicted_sd"][rows] = predicted, predicted_sd
        self.done += len(sequences)

    def null(self, attributions: np.ndarray) -> None:
        """Append the attributions of the next shuffled windows, shape (m, length), summed over the four channels."""
        self._put("null/attributions", slice(self.done_null, self.done_null + len(attributions)), attributions)
        self.done_null += len(attributions)

    def quality(self, table: pd.DataFrame) -> None:
        """Write quality columns of all genes, one row per gene in file order; columns that are left out read as missing."""
        if len(table) != self.n:
            raise ValueError(f"the quality table has {len(table)} rows, expected {self.n}")
        for column in table.columns.drop("gene_id", errors="ignore"):
            if column not in QUALITY_COLUMNS:
                raise unknown_name("attribution quality column", column, QUALITY_COLUMNS)
            text = column == "prediction"
            values = table[column].to_numpy(object if text else np.float32)
            self._file.create_dataset(f"quality/{column}", data=values, dtype=_STRING if text else np.float32)

    def copy(self, path: str | Path) -> None:
        """Append all genes and shuffled windows of a file with the same data sets, data types and window length.

        Each row is one compressed chunk, so rows are copied without decompression. Quality columns are not copied.
        """
        with h5py.File(path, "r") as file:
            n, n_null = len(file["genes"]), len(file["null/genes"])
            for group, count, done in ((file, n, self.done), (file["null"], n_null, self.done_null)):
                for name in ("attributions", "sequences", "hypothetical", "spread"):
                    if name in group and count:
                        _copy_rows(group[name], self._file[group[name].name], done)
                for name in ("predicted", "predicted_sd", "scale", "hypothetical_scale", "spread_scale"):
                    if name in group:
                        self._file[group[name].name][done : done + count] = group[name][:]
            self.done, self.done_null = self.done + n, self.done_null + n_null

    def finish(self) -> None:
        """Raise ValueError unless all genes and all shuffled windows were appended."""
        if self.done != self.n:
            raise ValueError(f"attributions of {self.done} genes were appended, expected {self.n}")
        if self.done_null != self.n_null:
            raise ValueError(f"attributions of {self.done_null} shuffled windows were appended, expected {self.n_null}")

    def _put(self, name: str, rows: slice, values: np.ndarray) -> None:
        if _SCALES[name] in self._file:
            values = np.asarray(values, np.float32)
            scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), initial=0)
            scale[scale == 0] = 1
            values = values / _per_gene(scale, values.ndim)
            self._file[_SCALES[name]][rows] = scale
        self._file[name][rows] = values


def _copy_rows(source: h5py.Dataset, target: h5py.Dataset, done: int) -> None:
    zeros = (0,) * (source.ndim - 1)
    for row in range(len(source)):
        mask, chunk = source.id.read_direct_chunk((row, *zeros))
        target.id.write_direct_chunk((done + row, *zeros), chunk, mask)


@contextmanager
def write_attributions(
    path: str | Path,
    windows: pd.DataFrame,
    length: int,
    attrs: Mapping[str, Any],
    *,
    dtype: str = "float32",
    hypothetical: bool = False,
    spread: bool = False,
    null_genes: Sequence[str] = (),
) -> Iterator[AttributionWriter]:
    """Context manager that writes an attribution file gene by gene; the file appears once it is complete.

    Parameters
    ----------
    path: str or Path
    windows: pandas.DataFrame
        As `AttributionFile.windows`, without predicted and predicted_sd; may be empty.
    length: int
        Bases in a window.
    attrs: mapping
        As `AttributionFile.attrs`; values other than text and numbers are stored as JSON.
    dtype: str
        "float32" (default), or "float16", which takes half the space. For float16 the values of each gene are divided by
        their greatest absolute value, which is stored as well, so that genes with small attributions keep their precision.
    hypothetical, spread: bool
        Whether to store these; if so, they are required in each call. Default False.
    null_genes: sequence of str
        Gene id of each shuffled window; append their attributions with `AttributionWriter.null`. Default: none.

    Yields
    ------
    AttributionWriter
        Call it with attributions (n, 4, length), sequences (n, length), predicted (n,) and predicted_sd (n,) of the next n
        genes.

    Raises
    ------
    InputError
        The data type is unknown.
    ValueError
        The number of appended genes differs from the rows of `windows`, or that of shuffled windows from `null_genes`.
    """
    if dtype not in DTYPES:
        raise unknown_name("data type of attributions", dtype, DTYPES)
    n, n_null = len(windows), len(null_genes)
    with write_whole(path) as part, h5py.File(part, "w") as file:
        _write_attrs(file, attrs)
        _write_windows(file, windows)
        for name in ("predicted", "predicted_sd"):
            file.create_dataset(name, (n,), np.float32)
        _create_rows(file, "sequences", (n, length), np.int8)
        _create_rows(file, "attributions", (n, 4, length), dtype)
        if hypothetical:
            _create_rows(file, "hypothetical", (n, 4, length), dtype)
        if spread:
            _create_rows(file, "spread", (n, length), dtype)
        _create_rows(file, "null/attributions", (n_null, length), dtype)
        file.create_dataset("null/genes", data=np.array(null_genes, object), dtype=_STRING)
        writer = AttributionWriter(file, n, n_null)
        yield writer
        writer.finish()


def _write_attrs(file: h5py.File, attrs: Mapping[str, Any]) -> None:
    file.attrs["schema_version"] = ATTRIBUTION_SCHEMA_VERSION
    for key, value in attrs.items():
        file.attrs[key] = json.dumps(value) if key in _JSON else value


def _write_windows(file: h5py.File, windows: pd.DataFrame) -> None:
    file.create_dataset("genes", data=windows["gene_id"].to_numpy(object), dtype=_STRING)
    for column in ATTRIBUTED_WINDOW_COLUMNS:
        if column in _TEXT:
            file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(object), dtype=_STRING)
        else:
            file.create_dataset(f"windows/{column}", data=windows[column].to_numpy(np.int64))
    file.create_dataset("measured", data=windows["measured"].to_numpy(np.float32))


def _create_rows(file: h5py.File, name: str, shape: tuple[int, ...], dtype: Any) -> None:
    """Create a data set with one compressed chunk per row."""
    dense = name not in ("sequences", "attributions")
    # Three of four projected attributions are zero and compress well; byte shuffling would make them larger.
    storage: dict[str, Any] = {"chunks": (1, *shape[1:]), "compression": "gzip", "compression_opts": 4, "shuffle": dense}
    file.create_dataset(name, shape, dtype, **(storage if shape[0] else {}))
    if dtype == "float16":
        file.create_dataset(_SCALES[name], (shape[0],), np.float32)
