"""Write the rows of a data set in pieces, small files that survive an interrupted run."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from cisnake.data.coverage import Rows
from cisnake.data.genome import Genome
from cisnake.files import write_whole
from cisnake.processes import map_apart

_DTYPES: dict[str, np.dtype] = {
    "sequences": np.dtype(np.int8),
    "masks": np.dtype(np.uint8),
    "labels": np.dtype(np.float32),
    "gene_bins": np.dtype(np.float32),
}
_CHUNK_BYTES = 1 << 16
_PIECE_BYTES = 1 << 26
_PIECES = 16


@dataclass(frozen=True)
class PiecePlan:
    """The division of a data set into pieces, and everything that determines the content of a piece.

    Parameters
    ----------
    windows: pandas.DataFrame, N rows
        Columns chrom, start, end, strand, mask_start, mask_end.
    genome: Path
        The FASTA file.
    pad: int
        Bases stored beyond each end of a window.
    shapes: dict
        Shape of one row of each data set.
    contiguous: tuple of str
        Data sets stored without chunks or compression.
    sources: dict
        Functions that return the values of further data sets (labels, gene_bins) for a slice of rows.

    Attributes
    ----------
    chunk_rows: int
        Rows per chunk, the same in all data sets: a power of two, or 1 if a row exceeds the target chunk size.
    """

    windows: pd.DataFrame
    genome: Path
    pad: int
    shapes: dict[str, tuple[int, ...]]
    contiguous: tuple[str, ...]
    sources: dict[str, Rows]
    chunk_rows: int = field(init=False)

    def __post_init__(self) -> None:
        longest = max(self._row_bytes(name) for name in self.shapes if name not in self.contiguous)
        object.__setattr__(self, "chunk_rows", 1 << max(0, (_CHUNK_BYTES // longest).bit_length() - 1))

    def _row_bytes(self, name: str) -> int:
        return math.prod(self.shapes[name]) * _DTYPES[name].itemsize

    def create(self, file: h5py.File, name: str, n: int | None = None) -> h5py.Dataset:
        """Create a data set for all rows or, in a piece, for `n` of them, rounded up to whole chunks."""
        total = len(self.windows)
        if name in self.contiguous:
            return file.create_dataset(name, (n or total, *self.shapes[name]), _DTYPES[name])
        rows = min(total, self.chunk_rows)
        shape = (total if n is None else -(-n // rows) * rows, *self.shapes[name])
        # Sequence has too few repeats for gzip. Packed into two bits per base, or three with N, it takes less space and a tenth
        # of the time to unpack. The filter is built into HDF5 and lossless for integers.
        packed = {"scaleoffset": 0} if name == "sequences" else {"compression": "gzip", "compression_opts": 1}
        return file.create_dataset(name, shape, _DTYPES[name], chunks=(rows, *self.shapes[name]), **packed)

    def cut(self) -> list[slice]:
        """Return the rows of every piece.

        A piece has at most 64 MB before compression and at most about a sixteenth of the rows. It ends at a chunk boundary, so
        that compressed chunks can be copied from it.
        """
        total, step = len(self.windows), self.chunk_rows
        row_bytes = sum(self._row_bytes(name) for name in ("sequences", "masks", *self.sources))
        rows = step * max(1, min(_PIECE_BYTES // row_bytes, -(-total // _PIECES)) // step)
        return [slice(first, min(first + rows, total)) for first in range(0, total, rows)]


def piece_path(folder: Path, rows: slice) -> Path:
    """Return the path of the piece with the given rows."""
    return folder / f"{rows.start:09d}.h5"


def is_made(folder: Path, rows: slice) -> bool:
    """Return whether a piece exists and is complete."""
    try:
        with h5py.File(piece_path(folder, rows), "r"):
            return True
    except OSError:
        return False


def make_pieces(plan: PiecePlan, genome: Genome, folder: Path, pieces: list[slice], processes: int) -> Iterator[slice]:
    """Write pieces, and yield the rows of each once it is complete.

    Parameters
    ----------
    plan: PiecePlan
    genome: Genome
        Read by this process; worker processes open the file themselves.
    folder: Path
        Folder of the pieces.
    pieces: list of slice
        Rows of the pieces to write.
    processes: int
        Number of processes; 1 means this process only.

    Raises
    ------
    InputError
        A process was killed. Errors of worker processes are raised again in this one.
    """
    if processes == 1 or len(pieces) < 2:
        yield from (_make_piece(plan, genome, folder, rows) for rows in pieces)
        return
    work = f"made {folder} (finished pieces are kept there)"
    yield from map_apart(_make_piece_apart, _Maker(plan, folder), pieces, processes, work)


@dataclass(frozen=True)
class _Maker:
    """State with which a worker process writes any piece; the genome is opened in the worker."""

    plan: PiecePlan
    folder: Path

    @cached_property
    def genome(self) -> Genome:
        return Genome(self.plan.genome)


def _make_piece_apart(maker: _Maker, rows: slice) -> slice:
    return _make_piece(maker.plan, maker.genome, maker.folder, rows)


def _make_piece(plan: PiecePlan, genome: Genome, folder: Path, rows: slice) -> slice:
    windows, n = plan.windows.iloc[rows], rows.stop - rows.start
    with write_whole(piece_path(folder, rows)) as part, h5py.File(part, "w") as file:
        plan.create(file, "sequences", n)[:n] = _read_sequences(windows, genome, plan.pad)
        position = np.arange(plan.shapes["masks"][0], dtype=np.int32) - plan.pad
        start, end = (windows[column].to_numpy(np.int32)[:, None] for column in ("mask_start", "mask_end"))
        plan.create(file, "masks", n)[:n] = (position >= start) & (position < end)
        for name, source in plan.sources.items():
            values = source(rows)
            if values.shape != (n, *plan.shapes[name]):
                raise ValueError(f"{name} of {n} rows has shape {values.shape}; expected {(n, *plan.shapes[name])}")
            plan.create(file, name, n)[:n] = values
    return rows


def _read_sequences(windows: pd.DataFrame, genome: Genome, pad: int) -> np.ndarray:
    places = windows[["chrom", "start", "end", "strand"]].itertuples(index=False, name=None)
    return np.stack([genome.codes(chrom, start - pad, end + pad, strand) for chrom, start, end, strand in places])


def copy_piece(folder: Path, rows: slice, whole: h5py.File) -> None:
    """Copy a piece to its rows in the output file, without unpacking compressed chunks."""
    with h5py.File(piece_path(folder, rows), "r") as piece:
        for name, part in piece.items():
            data = whole[name]
            if data.chunks is None:
                data[rows] = part[:]
                continue
            origin = (0,) * (len(data.shape) - 1)
            for first in range(0, len(part), data.chunks[0]):
                filters, chunk = part.id.read_direct_chunk((first, *origin))
                data.id.write_direct_chunk((rows.start + first, *origin), chunk, filters)
