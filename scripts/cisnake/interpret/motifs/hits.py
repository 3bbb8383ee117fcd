"""Read and write motifs/hits.h5: all motif hits in the windows of a run, sorted by gene."""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data.dataset import RowReader
from cisnake.data.genome import reverse_complement, to_genome
from cisnake.errors import unknown_name
from cisnake.files import open_hdf5, write_whole
from cisnake.interpret.motifs.columns import Columns

HIT_COLUMNS = (
    "motif_id", "motif_name", "gene_id", "peak_id", "region", "chrom", "start", "end", "strand", "window_start",
    "window_end", "orientation", "from_tss", "score", "p_value", "q_value", "matched_seq", "site_attr_score",
    "motif_attr_score",
)  # fmt: skip
# Columns of a hit that do not depend on attributions.
SITE_COLUMNS = tuple(name for name in HIT_COLUMNS if name not in ("peak_id", "region", "site_attr_score", "motif_attr_score"))
SCANNED_WINDOW_COLUMNS = ("chrom", "start", "end", "strand", "mask_start", "gc_class")

HITS_SCHEMA_VERSION = 1
_BLOCK_HITS = 500_000
_CHUNK = 1 << 16
_STRING = h5py.string_dtype("utf-8")
_LETTERS = np.frombuffer(b"ACGTN", dtype=np.uint8)
_HIT_TYPES = {"motif": np.uint16, "start": np.uint32, "orientation": np.int8, "level": np.uint32}
_LEVEL_TYPES = {"motif": np.uint16, "gc_class": np.uint8, "score": np.float64, "p_value": np.float64, "q_value": np.float64}


@dataclass(frozen=True, eq=False)
class Hits(Columns):
    """Hits in selected genes, sorted by gene, start, motif and orientation (+ first).

    Attributes
    ----------
    row: numpy.ndarray, shape=(n,), dtype=int64
        Index among the selected genes.
    motif: numpy.ndarray, shape=(n,), dtype=int64
        Row of `HitFile.motifs`.
    start, end: numpy.ndarray, shape=(n,), dtype=int64
        Half-open, from the 5' end of the window.
    orientation: numpy.ndarray, shape=(n,), dtype=int8
        +1 if the motif has the orientation of the window, otherwise -1.
    level: numpy.ndarray, shape=(n,), dtype=int64
        Row of the score table, `HitFile.levels`.
    """

    row: np.ndarray
    motif: np.ndarray
    start: np.ndarray
    end: np.ndarray
    orientation: np.ndarray
    level: np.ndarray


class HitFile:
    """A file of motif hits, read gene by gene.

    Parameters
    ----------
    path: str or Path
        A file written by `write_hits`.

    Attributes
    ----------
    windows: pandas.DataFrame
        One row per gene, in file order: gene_id, the window on the genome (chrom, start, end, strand), mask_start (the TSS in
        the window) and gc_class.
    motifs: pandas.DataFrame
        motif_id, motif_name, width, and best_only: whether no site can reach the threshold, so that only the best words match.
    cuts: pandas.DataFrame
        One row per GC class and motif: gc_class, motif (row of `motifs`), score (threshold of a hit, in bits), and p_value of
        that score.
    background: numpy.ndarray, shape=(classes, 4), dtype=float64
        Base frequencies of each GC class.
    attrs: dict
        p_threshold, n_tests, n_hits.
    length: int
        Bases in a window.

    Raises
    ------
    InputError
        The file is missing, truncated, or not a file of motif hits.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with open_hdf5(path, "hits of motifs", faults=(OSError, KeyError)) as file:
            if file.attrs.get("schema_version") != HITS_SCHEMA_VERSION:
                raise KeyError(f"schema version {file.attrs.get('schema_version')}, expected {HITS_SCHEMA_VERSION}")
            self.windows = pd.DataFrame({"gene_id": file["genes"].asstr()[:]})
            for name in SCANNED_WINDOW_COLUMNS:
                values = file[f"windows/{name}"]
                self.windows[name] = values.asstr()[:] if name in ("chrom", "strand") else values[:].astype(np.int64)
            self.motifs = pd.DataFrame({f"motif_{name}": file[f"motifs/{name}"].asstr()[:] for name in ("id", "name")})
            self.motifs["width"], self.motifs["best_only"] = (file[f"motifs/{name}"][:] for name in ("width", "best_only"))
            self.cuts = pd.DataFrame({name: file[f"cuts/{name}"][:] for name in file["cuts"]})
            self.background: np.ndarray = file["background"][:]
            self.attrs: dict[str, Any] = dict(file.attrs)
            self.length: int = file["sequences"].shape[1]
            self._offsets = file["offsets"][:]
            self._sequences = RowReader(file, "sequences") if len(self.windows) else None
            if self._offsets[-1] != len(file["hits/level"]):
                raise KeyError("hits are missing")

    def __len__(self) -> int:
        return len(self.windows)

    def counts(self) -> np.ndarray:
        """Return the number of hits per gene, shape=(genes,), dtype=int64."""
        return np.diff(self._offsets)

    @functools.cached_property
    def levels(self) -> pd.DataFrame:
        """Score table of the hits: gc_class, motif (row of `motifs`), score (bits), p_value, q_value."""
        with h5py.File(self.path, "r") as file:
            return pd.DataFrame({name: file[f"levels/{name}"][:] for name in _LEVEL_TYPES})

    def sequences(self, rows: np.ndarray) -> np.ndarray:
        """Return the base codes of the windows of selected genes, shape=(n, length), dtype=int8."""
        return np.empty((0, self.length), np.int8) if self._sequences is None else self._sequences.read(rows)

    def read(self, rows: np.ndarray) -> Hits:
        """Return the hits in selected genes; `rows` are rows of the file, in any order."""
        rows = np.asarray(rows, dtype=np.int64)
        number = self.counts()[rows]
        parts: dict[str, np.ndarray] = {name: np.empty(number.sum(), kind) for name, kind in _HIT_TYPES.items()}
        ends = np.cumsum(number)
        with h5py.File(self.path, "r") as file:
            # Read adjacent genes together: one HDF5 call takes as long as reading about a hundred genes.
            for run in np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1):
                if len(run) and ends[run[-1]] > ends[run[0]] - number[run[0]]:
                    target = slice(ends[run[0]] - number[run[0]], ends[run[-1]])
                    stored = slice(self._offsets[rows[run[0]]], self._offsets[rows[run[-1]] + 1])
                    for name, values in parts.items():
                        values[target] = file[f"hits/{name}"][stored]
        motif, start = parts["motif"].astype(np.int64), parts["start"].astype(np.int64)
        end = start + self.motifs["width"].to_numpy(np.int64)[motif]
        row = np.repeat(np.arange(len(rows)), number)
        return Hits(row, motif, start, end, parts["orientation"], parts["level"].astype(np.int64))

    def tables(self, genes: Collection[str] | None = None, motifs: Collection[str] | None = None) -> Iterator[pd.DataFrame]:
        """Yield the hits in tables of a few hundred thousand rows, as `read_hits`; at least one table, which may be empty."""
        rows = _rows(self.windows["gene_id"], genes, f"gene in {self.path}")
        chosen = np.zeros(len(self.motifs), bool)
        chosen[_rows(self.motifs["motif_id"], motifs, f"motif in {self.path}")] = True
        block = np.cumsum(self.counts()[rows]) // _BLOCK_HITS
        for part in np.split(rows, np.flatnonzero(np.diff(block)) + 1):
            hits = self.read(part)
            hits = hits[np.flatnonzero(chosen[hits.motif])]
            yield site_table(hits, self.motifs, self.windows.iloc[part], self.levels, self.sequences(part))


def read_hits(path: str | Path, genes: Collection[str] | None = None, motifs: Collection[str] | None = None) -> pd.DataFrame:
    """Read all hits in whole windows, with genome coordinates and p-values.

    Parameters
    ----------
    path: str or Path
        hits.h5, written by scan_motifs.py.
    genes, motifs: collection of str, optional
        Ids of the genes and motifs to read. Default None: all. If the hits do not fit in memory, use `HitFile.tables`, which
        yields them in blocks.

    Returns
    -------
    pandas.DataFrame
        motif_id, motif_name, gene_id, chrom, start, end (half-open, 0-based), strand (of the motif), window_start, window_end
        (half-open, from the 5' end of the window), orientation ("+": the orientation of the window), from_tss (bases from the
        TSS to the middle of the site, positive downstream), score (bits), p_value, q_value, matched_seq (in the orientation of
        the motif). Sorted by gene, in file order, and start.

    Raises
    ------
    InputError
        The file is incomplete, or a gene or motif is missing.
    """
    tables = list(HitFile(path).tables(genes, motifs))
    # Drop empty tables: in pandas 3 their text columns have another dtype.
    return pd.concat([table for table in tables if len(table)] or tables[:1], ignore_index=True)


def site_table(
    hits: Hits, motifs: pd.DataFrame, windows: pd.DataFrame, levels: pd.DataFrame, codes: np.ndarray
) -> pd.DataFrame:
    """Return hits as a table with the columns of `SITE_COLUMNS`.

    Parameters
    ----------
    hits: Hits
    motifs, levels: pandas.DataFrame
        Tables of the `HitFile`.
    windows: pandas.DataFrame
        Windows of the selected genes, indexed by `hits.row`.
    codes: numpy.ndarray, shape=(genes, length), dtype=int8
        Base codes of the selected genes.
    """
    gene = {name: windows[name].to_numpy()[hits.row] for name in ("gene_id", "chrom", "start", "end", "strand", "mask_start")}
    start, end = to_genome(gene["start"], gene["end"], gene["strand"], hits.start, hits.end)
    along = hits.orientation > 0
    scores = {name: levels[name].to_numpy()[hits.level] for name in ("score", "p_value", "q_value")}
    columns = [
        motifs["motif_id"].to_numpy(object)[hits.motif], motifs["motif_name"].to_numpy(object)[hits.motif], gene["gene_id"],
        gene["chrom"], start, end, np.where((gene["strand"] == "+") == along, "+", "-"), hits.start, hits.end,
        np.where(along, "+", "-"), (hits.start + hits.end - 1) // 2 - gene["mask_start"].astype(np.int64),
        *scores.values(), _matched(hits, codes),
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(SITE_COLUMNS, columns, strict=True)))


def bed_table(table: pd.DataFrame) -> pd.DataFrame:
    """Convert hits to BED6: the name is that of the motif, the score -10 log10 p, at most 1000."""
    score = np.minimum(-10 * np.log10(np.maximum(table["p_value"], 1e-100)), 1000).round().astype(int)
    return table[["chrom", "start", "end", "motif_name"]].assign(score=score, strand=table["strand"])


def write_hits(
    path: str | Path,
    windows: pd.DataFrame,
    sequences: Iterator[np.ndarray],
    counts: np.ndarray,
    hits: Iterator[dict[str, np.ndarray]],
    tables: dict[str, dict[str, Any]],
    background: np.ndarray,
    length: int,
    attrs: dict[str, float | int],
) -> None:
    """Write a file of motif hits; the file appears once it is complete.

    Parameters
    ----------
    path: str or Path
    windows: pandas.DataFrame
        gene_id and the columns of `SCANNED_WINDOW_COLUMNS`.
    sequences: iterator of numpy.ndarray, shape=(n, length), dtype=int8
        Base codes of consecutive genes.
    counts: numpy.ndarray, shape=(genes,), dtype=int64
        Number of hits per gene.
    hits: iterator of dict
        motif, start, orientation and level (row of the level table) of consecutive hits, in file order.
    tables: dict of dict
        Columns of the tables motifs (id, name, width, best_only), cuts and levels.
    background: numpy.ndarray, shape=(classes, 4)
        Base frequencies of each GC class.
    length: int
        Bases in a window.
    attrs: dict
        p_threshold, n_tests.
    """
    with write_whole(path) as part, h5py.File(part, "w") as file:
        file.attrs.update({"schema_version": HITS_SCHEMA_VERSION, "n_hits": int(counts.sum()), **attrs})
        file.create_dataset("genes", data=windows["gene_id"].to_numpy(object), dtype=_STRING)
        for name in SCANNED_WINDOW_COLUMNS:
            text = name in ("chrom", "strand")
            values = windows[name].to_numpy(object if text else np.int64)
            file.create_dataset(f"windows/{name}", data=values, dtype=_STRING if text else np.int64)
        file["background"] = background
        file["offsets"] = np.concatenate([[0], np.cumsum(counts)])
        for table, columns in tables.items():
            for name, column in columns.items():
                text = name in ("id", "name")
                values = np.array(column, object) if text else np.asarray(column)
                file.create_dataset(f"{table}/{name}", data=values, dtype=_STRING if text else _LEVEL_TYPES.get(name))
        _write_sequences(file, sequences, (len(windows), length))
        _write_columns(file, hits, int(counts.sum()))


def _write_sequences(file: h5py.File, blocks: Iterator[np.ndarray], shape: tuple[int, int]) -> None:
    n, length = shape
    # The scale-offset filter of HDF5 packs bases losslessly into two bits, or three if there is an N.
    rows = max(1, min(n, _CHUNK // max(length, 1)))
    packed: dict[str, Any] = {"chunks": (rows, length), "scaleoffset": 0} if n and length else {}
    codes = file.create_dataset("sequences", shape, np.int8, **packed)
    done = 0
    for block in blocks:
        codes[done : done + len(block)] = block
        done += len(block)


def _write_columns(file: h5py.File, blocks: Iterator[dict[str, np.ndarray]], total: int) -> None:
    stored: dict[str, Any] = {"chunks": (min(total, _CHUNK),), "compression": "gzip", "compression_opts": 1} if total else {}
    columns = {
        name: file.create_dataset(f"hits/{name}", (total,), kind, shuffle=bool(total), **stored)
        for name, kind in _HIT_TYPES.items()
    }
    done = 0
    for block in blocks:
        last = done + len(block["start"])
        for name, column in columns.items():
            column[done:last] = block[name]
        done = last
    if done != total:
        raise ValueError(f"{done} hits were written, expected {total}")


def _rows(known: pd.Series, names: Collection[str] | None, kind: str) -> np.ndarray:
    """Return the rows of selected names, ascending; all rows if `names` is None."""
    if names is None:
        return np.arange(len(known))
    row_by_name = {name: row for row, name in enumerate(known)}
    for name in names:
        if name not in row_by_name:
            raise unknown_name(kind, name, row_by_name)
    return np.array(sorted(row_by_name[name] for name in set(names)), dtype=np.int64)


def _matched(hits: Hits, codes: np.ndarray) -> np.ndarray:
    """Return the sequences of sites in the orientation of the motif, shape=(hits,), dtype=str."""
    width = hits.end - hits.start
    widest = int(width.max(initial=1))
    letters = np.zeros((len(hits), widest), np.uint8)
    reverse = hits.orientation < 0
    for i in range(widest):
        longer = np.flatnonzero(width > i)
        turned = reverse[longer]
        at = np.where(turned, hits.end[longer] - 1 - i, hits.start[longer] + i)
        base = codes[hits.row[longer], at]
        letters[longer, i] = _LETTERS[np.where(turned, reverse_complement(base[:, None])[:, 0], base)]
    return letters.view(f"S{widest}")[:, 0].astype(str)
