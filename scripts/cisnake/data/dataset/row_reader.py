"""Rows of an HDF5 data set by any number of threads and processes: read from the file itself and unpacked outside HDF5.

HDF5 lets one thread work at a time, decompression included, and an open handle must not be used on both sides of a fork. Where
the pieces of a data set lie is asked of HDF5 once; from then on a row costs one positioned read and one call of zlib, neither
of which holds Python's lock or shares a file position.
"""

from __future__ import annotations

import os
import zlib
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cisnake.data.dataset import scale_offset
from cisnake.errors import InputError

_GZIP, _SHUFFLE, _CHECKSUM = h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32
_SCALE_OFFSET = h5py.h5z.FILTER_SCALEOFFSET


class RowReader:
    """A data set of an HDF5 file, read by rows.

    It holds no handle of HDF5, can be pickled, and may be shared by threads and by processes, forked or spawned.

    Parameters
    ----------
    file: h5py.File
        Open; not needed afterwards.
    name: str
        The data set; of numbers, contiguous or in chunks, plain or with HDF5's own filters: gzip, shuffle, Fletcher's
        checksum, and scale-offset for integers of one byte.

    Attributes
    ----------
    shape: tuple of int
    dtype: numpy.dtype
        In the byte order of this machine.

    Raises
    ------
    InputError
        The data set has another filter. When reading: the file was changed since, or is damaged.
    """

    def __init__(self, file: h5py.File, name: str) -> None:
        data = file[name]
        self.path, self.name = Path(file.filename).resolve(), name
        self.shape, self.dtype = data.shape, data.dtype.newbyteorder("=")
        self._stored = data.dtype
        self._stamp = _stamp(os.stat(self.path))
        self._handle: FileIO | None = None
        self._chunks: tuple[int, ...] | None = data.chunks
        self._fill = data.fillvalue
        self._offset: int | None = None
        self._whole: np.ndarray | None = None
        if data.chunks:
            self._filters = _filters(data, f"{name} of {file.filename}")
            grid = tuple(-(-size // chunk) for size, chunk in zip(data.shape, data.chunks))
            # Where each chunk begins, its bytes, and which filters it was written without; 0 bytes where it was never written.
            self._places = np.zeros((*grid, 3), dtype=np.int64)
            data.id.chunk_iter(self._note)
        else:
            self._offset = data.id.get_offset()
            if self._offset is None:
                self._whole = data[()]

    def _note(self, chunk: Any) -> None:
        at = tuple(offset // size for offset, size in zip(chunk.chunk_offset, self._chunks or ()))
        self._places[at] = chunk.byte_offset, chunk.size, chunk.filter_mask

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def read(self, rows: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
        """Return some rows, or positions [first, last) of their second axis.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            In any order, with repetitions. A chunk that has several of them is unpacked once.
        first, last: int
            Default: the whole row.

        Returns
        -------
        numpy.ndarray, shape=(n, last - first, ...), of `dtype`
        """
        rows = np.asarray(rows, dtype=np.int64)
        if len(rows) and not 0 <= rows.min() <= rows.max() < self.shape[0]:
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {self.shape[0]}")
        last = self.shape[1] if last is None else last
        out = np.empty((len(rows), last - first, *self.shape[2:]), self.dtype)
        if self._whole is not None:
            out[:] = self._whole[rows, first:last]
            return out
        size = self._chunks[0] if self._chunks else 1
        order = np.argsort(rows // size, kind="stable")
        runs = np.split(order, np.flatnonzero(np.diff(rows[order] // size)) + 1) if len(rows) else []
        read = self._read_chunked if self._chunks else self._read_contiguous
        for run in runs:
            read(out, run, rows[run], first, last)
        return out

    def _read_contiguous(self, out: np.ndarray, run: np.ndarray, rows: np.ndarray, first: int, last: int) -> None:
        step = int(np.prod(self.shape[2:], dtype=np.int64)) * self._stored.itemsize
        begin = (self._offset or 0) + (int(rows[0]) * self.shape[1] + first) * step
        out[run] = np.frombuffer(self._bytes(begin, (last - first) * step), self._stored).reshape(out.shape[1:])

    def _read_chunked(self, out: np.ndarray, run: np.ndarray, rows: np.ndarray, first: int, last: int) -> None:
        assert self._chunks is not None
        height, width = self._chunks[:2]
        block = int(rows[0]) // height
        inside = (rows - block * height).tolist()
        needed = max(inside) + 1
        if self._places[0].size == 3 and self._chunks[2:] == self.shape[2:]:  # One chunk holds whole rows.
            part = self._unpack((block, *(0 for _ in self._chunks[1:])), needed)
            for place, row in zip(run.tolist(), inside):
                out[place] = part[row, first:last]
            return
        columns = range(first // width, -(-last // width)) if last > first else range(0)
        for at in product(columns, *(range(n) for n in self._places.shape[2:-1])):
            part = self._unpack((block, *at), needed)
            low, high = max(first, at[0] * width), min(last, (at[0] + 1) * width)
            spans = [slice(i * c, min((i + 1) * c, n)) for i, c, n in zip(at[1:], self._chunks[2:], self.shape[2:])]
            cut = (slice(low - at[0] * width, high - at[0] * width), *(slice(0, span.stop - span.start) for span in spans))
            # A loop, for indexing by an array and slices at once copies all rows first.
            for place, row in zip(run.tolist(), inside):
                out[(place, slice(low - first, high - first), *spans)] = part[(row, *cut)]

    def _unpack(self, at: tuple[int, ...], rows: int) -> np.ndarray:
        """Return at least the first `rows` rows of a chunk."""
        assert self._chunks is not None
        offset, size, skipped = (int(x) for x in self._places[at])
        if size == 0:
            return np.full(self._chunks, self._fill)
        values = int(np.prod(self._chunks))
        needed = values // self._chunks[0] * rows
        # Rows lie one after the other: what follows the last one needed stays packed, unless it was shuffled or packed twice.
        kinds = [kind for kind, _ in self._filters if kind != _CHECKSUM]
        raw: Any = self._bytes(offset, size)
        try:
            # Filters are undone from the last to the first.
            for number, (kind, parameters) in reversed(list(enumerate(self._filters))):
                if skipped >> number & 1:
                    continue
                if kind == _CHECKSUM:
                    raw = memoryview(raw)[:-4]
                elif kind == _SHUFFLE:
                    raw = np.frombuffer(raw, np.uint8).reshape(self._stored.itemsize, -1).T.tobytes()
                elif kind == _SCALE_OFFSET:
                    raw = scale_offset.unpack(raw, parameters, needed)
                elif kinds == [_GZIP]:
                    raw = zlib.decompressobj().decompress(raw, needed * self._stored.itemsize)
                else:
                    raw = zlib.decompress(raw)
        except (zlib.error, ValueError) as error:
            raise self._damaged(str(error)) from error
        if len(raw) < needed * self._stored.itemsize:
            raise self._damaged("a chunk is short")
        return np.frombuffer(raw, self._stored, needed).reshape(rows, *self._chunks[1:])

    def _bytes(self, begin: int, count: int) -> bytes:
        handle = self._handle
        if handle is None:
            handle = self._handle = self._open()
        raw = os.pread(handle.fileno(), count, begin)
        if len(raw) != count:
            raise self._damaged("it ends too early")
        return raw

    def _open(self) -> FileIO:
        try:
            handle = FileIO(self.path)
        except OSError as error:
            raise InputError(f"{self.path} cannot be opened ({error.strerror}): was it moved while it was read?") from error
        if _stamp(os.stat(handle.fileno())) != self._stamp:
            raise InputError(f"{self.path} was written anew while it was read: start again.")
        return handle

    def _damaged(self, reason: str) -> InputError:
        return InputError(f"{self.path}: {self.name} cannot be read ({reason}): the file is damaged; make it again.")


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _filters(data: h5py.Dataset, what: str) -> list[tuple[int, tuple[int, ...]]]:
    """Return the filters of a data set and their parameters, in the order in which they were applied."""
    plan = data.id.get_create_plist()
    filters = []
    for kind, _, parameters, name in (plan.get_filter(i) for i in range(plan.get_nfilters())):
        if kind not in (_GZIP, _SHUFFLE, _CHECKSUM) and not (kind == _SCALE_OFFSET and scale_offset.can_unpack(parameters)):
            raise InputError(
                f"{what} is packed with '{name.decode()}', which cannot be read here: write the file again, packed "
                "by gzip or not at all."
            )
        filters.append((kind, parameters))
    return filters
