"""Read rows of an HDF5 data set in parallel threads and processes, bypassing the HDF5 library.

HDF5 runs one thread at a time, even for decompression, and a handle must not be used on both sides of a fork. The reader
therefore gets the positions of all chunks from HDF5 once. After that, a row costs one positioned read and one call to zlib;
both release Python's global interpreter lock and share no file position.
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
    """Reader for rows of a data set in an HDF5 file.

    A reader holds no HDF5 handle. It can be pickled and shared by threads and by processes, forked or spawned.

    Parameters
    ----------
    file: h5py.File
        An open file; it may be closed afterwards.
    name: str
        A numeric data set, contiguous or chunked. The supported filters are gzip, shuffle, the Fletcher checksum, and
        scale-offset for one-byte integers.

    Attributes
    ----------
    shape: tuple of int
    dtype: numpy.dtype
        In the byte order of this machine.

    Raises
    ------
    InputError
        The data set has an unsupported filter. When reading: the file has changed since, or is damaged.
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
            # Offset, size in bytes, and mask of skipped filters for each chunk; the size is 0 if it was never written.
            self._places = np.zeros((*grid, 3), dtype=np.int64)
            data.id.chunk_iter(self._record_chunk)
        else:
            self._offset = data.id.get_offset()
            if self._offset is None:
                self._whole = data[()]

    def _record_chunk(self, chunk: Any) -> None:
        at = tuple(offset // size for offset, size in zip(chunk.chunk_offset, self._chunks or ()))
        self._places[at] = chunk.byte_offset, chunk.size, chunk.filter_mask

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None}

    def read(self, rows: np.ndarray, first: int = 0, last: int | None = None) -> np.ndarray:
        """Return rows, or positions [first, last) along their second axis.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            Row numbers in any order, repeats allowed. Each chunk is unpacked only once.
        first, last: int
            Span along the second axis. Default: all of it.

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
        if self._places[0].size == 3 and self._chunks[2:] == self.shape[2:]:  # A chunk contains complete rows.
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
            # Loop, because indexing by an array and slices together would first copy all rows.
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
        # Rows are stored in order, so unpacking can stop after the last one needed, unless other filters were applied as well.
        kinds = [kind for kind, _ in self._filters if kind != _CHECKSUM]
        raw: Any = self._bytes(offset, size)
        try:
            # Filters are undone in reverse order.
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
            raise self._damaged("a chunk is too short")
        return np.frombuffer(raw, self._stored, needed).reshape(rows, *self._chunks[1:])

    def _bytes(self, begin: int, count: int) -> bytes:
        handle = self._handle
        if handle is None:
            handle = self._handle = self._open()
        raw = os.pread(handle.fileno(), count, begin)
        if len(raw) != count:
            raise self._damaged("the file ends too early")
        return raw

    def _open(self) -> FileIO:
        try:
            handle = FileIO(self.path)
        except OSError as error:
            raise InputError(f"{self.path} cannot be opened ({error.strerror}): was it moved during reading?") from error
        if _stamp(os.stat(handle.fileno())) != self._stamp:
            raise InputError(f"{self.path} was rewritten during reading: start again.")
        return handle

    def _damaged(self, reason: str) -> InputError:
        return InputError(f"{self.path}: {self.name} cannot be read ({reason}): the file is damaged; regenerate it.")


def _stamp(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns


def _filters(data: h5py.Dataset, label: str) -> list[tuple[int, tuple[int, ...]]]:
    """Return the filters of a data set and their parameters, in the order of application."""
    plan = data.id.get_create_plist()
    filters = []
    for kind, _, parameters, name in (plan.get_filter(i) for i in range(plan.get_nfilters())):
        if kind not in (_GZIP, _SHUFFLE, _CHECKSUM) and not (kind == _SCALE_OFFSET and scale_offset.can_unpack(parameters)):
            raise InputError(
                f"{label} is compressed with '{name.decode()}', which is not supported: rewrite the file with gzip or without "
                "compression."
            )
        filters.append((kind, parameters))
    return filters
