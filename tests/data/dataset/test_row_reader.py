"""Rows are identical to those read by h5py, for any layout and order and with concurrent readers."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import pytest

from cisnake.data.dataset.row_reader import RowReader
from cisnake.errors import InputError

SHAPE = (23, 31, 3)
LAYOUTS = {
    "contiguous": {},
    "plain chunks": {"chunks": (4, 31, 3)},
    "gzip": {"chunks": (1, 31, 3), "compression": "gzip"},
    "several rows": {"chunks": (5, 31, 3), "compression": "gzip", "compression_opts": 9},
    "cut along all axes": {"chunks": (3, 7, 2), "compression": "gzip"},
    "all filters": {"chunks": (4, 16, 3), "compression": "gzip", "shuffle": True, "fletcher32": True},
    "shuffle alone": {"chunks": (4, 31, 1), "shuffle": True},
}


def write(path: Path, dtype: str = "<f4", **layout) -> np.ndarray:
    values = np.random.default_rng(0).integers(-100, 100, SHAPE).astype(dtype)
    with h5py.File(path, "w") as file:
        file.create_dataset("before", data=np.arange(1000))
        file.create_dataset("x", data=values, **layout)
    return values


def reader(path: Path, name: str = "x") -> RowReader:
    with h5py.File(path) as file:
        return RowReader(file, name)


PACKED = {
    "scale-offset": {"chunks": (1, 31, 3), "scaleoffset": 0},
    "scale-offset, several rows": {"chunks": (5, 31, 3), "scaleoffset": 0},
    "scale-offset and others": {"chunks": (4, 16, 3), "scaleoffset": 0, "compression": "gzip"},
}


@pytest.mark.parametrize("layout", PACKED)
@pytest.mark.parametrize("dtype", ["i1", "u1"])
@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 2), (0, 4), (0, 5), (3, 11), (1, 31), (50, 110)])
@pytest.mark.parametrize("fill", [None, 3])
def test_small_integers_packed_by_hdf5(tmp_path: Path, layout, dtype, low, high, fill):
    values = np.random.default_rng(0).integers(low, high, SHAPE).astype(dtype)
    # Chunks with a single value, and with a single value plus the fill value.
    values[0], values[5] = values[0, 0, 0], 3
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=values, fillvalue=fill, **PACKED[layout])
        np.testing.assert_array_equal(file["x"][:], values)
    rows, order = reader(tmp_path / "x.h5"), np.random.default_rng(1).permutation(SHAPE[0])
    for first, last in ((0, None), (5, 19)):
        found = rows.read(order, first, last)
        assert found.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(found, values[order, first:last])


@pytest.mark.parametrize("length", [1, 2, 3, 5, 8, 9, 1001])
def test_any_set_of_bases_packed_by_hdf5(tmp_path: Path, length):
    rng = np.random.default_rng(length)
    sets = [[base for base in range(5) if number >> base & 1] for number in range(1, 32)]
    codes = np.array([rng.choice(bases, length) for bases in sets], dtype=np.int8)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=codes, chunks=(1, length), scaleoffset=0)
        np.testing.assert_array_equal(file["x"][:], codes)
    np.testing.assert_array_equal(reader(tmp_path / "x.h5").read(np.arange(31)[::-1]), codes[::-1])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["i1", "<f4", ">f4", "<i8"])
def test_rows_are_those_of_h5py(tmp_path: Path, layout, dtype):
    values = write(tmp_path / "x.h5", dtype, **LAYOUTS[layout])
    rows = reader(tmp_path / "x.h5")
    assert rows.shape == SHAPE and rows.dtype == np.dtype(dtype).newbyteorder("=")
    for wanted in ([], [22], [0, 1, 2], [22, 0, 22, 7, 21, 8, 0], range(23), np.random.default_rng(1).permutation(23)):
        wanted = np.array(wanted, dtype=int)
        for first, last in ((0, None), (0, 31), (6, 8), (13, 30), (30, 31), (4, 4)):
            found = rows.read(wanted, first, last)
            assert found.dtype == rows.dtype
            np.testing.assert_array_equal(found, values[wanted, first:last])


def test_chunks_never_written_have_the_fill_value(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (9, 5), "i4", chunks=(2, 3), compression="gzip", fillvalue=7)
        data[4] = 1
        file.create_dataset("late", (3, 2), "f4")
        expected = data[:]
    np.testing.assert_array_equal(reader(tmp_path / "x.h5").read(np.arange(9)), expected)
    np.testing.assert_array_equal(reader(tmp_path / "x.h5", "late").read(np.array([2, 0])), np.zeros((2, 2)))


def test_chunk_with_a_skipped_filter_is_read(tmp_path: Path):
    """HDF5 records the skipped filters of each chunk."""
    values = np.arange(12, dtype="<i4").reshape(2, 6)
    with h5py.File(tmp_path / "x.h5", "w") as file:
        data = file.create_dataset("x", (2, 6), "<i4", chunks=(1, 6), compression="gzip")
        data[0] = values[0]
        data.id.write_direct_chunk((1, 0), values[1].tobytes(), filter_mask=1)
    np.testing.assert_array_equal(reader(tmp_path / "x.h5").read(np.array([1, 0])), values[::-1])


def test_a_file_with_a_user_block_is_read(tmp_path: Path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=1024) as file:
        file["plain"] = np.arange(20).reshape(4, 5)
        file.create_dataset("packed", data=np.arange(20).reshape(4, 5), chunks=(1, 5), compression="gzip")
    for name in ("plain", "packed"):
        np.testing.assert_array_equal(reader(tmp_path / "x.h5", name).read(np.array([3])), [[15, 16, 17, 18, 19]])


def test_rows_out_of_range_are_refused(tmp_path: Path):
    write(tmp_path / "x.h5")
    for wrong in (23, -1):
        with pytest.raises(IndexError):
            reader(tmp_path / "x.h5").read(np.array([0, wrong]))


def test_unsupported_filters_are_named(tmp_path: Path):
    write(tmp_path / "x.h5", chunks=(1, 31, 3), compression="lzf")
    with pytest.raises(InputError, match=r"x of .*x\.h5 is compressed with 'lzf', which is not supported"):
        reader(tmp_path / "x.h5")
    write(tmp_path / "y.h5", "<i8", chunks=(1, 31, 3), scaleoffset=0)
    with pytest.raises(InputError, match="is compressed with 'scaleoffset'"):
        reader(tmp_path / "y.h5")


def test_damaged_and_changed_files_are_refused(tmp_path: Path):
    path = tmp_path / "x.h5"
    write(path, **LAYOUTS["gzip"])
    rows, other = reader(path), reader(path)
    rows.read(np.array([0]))
    offset, size, _ = rows._places[5, 0, 0]
    content = bytearray(path.read_bytes())
    content[offset : offset + size] = b"\xff" * size
    status = os.stat(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match="rewritten during reading"):
        other.read(np.array([0]))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(InputError, match=r"x cannot be read .* damaged"):
        reader(path).read(np.array([5]))
    path.unlink()
    with pytest.raises(InputError, match="No such file"):
        other.read(np.array([0]))


def _read(rows: RowReader, seed: int) -> np.ndarray:
    return rows.read(np.random.default_rng(seed).integers(0, SHAPE[0], 50))


@pytest.mark.parametrize("layout", ["contiguous", "several rows"])
def test_concurrent_processes_and_threads(tmp_path: Path, layout):
    """The parent reads before it forks, so that children inherit its open file."""
    values = write(tmp_path / "x.h5", **LAYOUTS[layout])
    rows = reader(tmp_path / "x.h5")
    expected = [values[np.random.default_rng(seed).integers(0, SHAPE[0], 50)] for seed in range(40)]
    _read(rows, 0)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = [pool.apply_async(_read, (rows, seed)) for seed in range(40)]
        for seed in range(40):
            np.testing.assert_array_equal(_read(rows, seed), expected[seed])
        np.testing.assert_array_equal([x.get() for x in found], expected)
    with ThreadPoolExecutor(8) as threads:
        fresh = reader(tmp_path / "x.h5")
        np.testing.assert_array_equal(list(threads.map(lambda seed: _read(fresh, seed), range(40))), expected)


def test_forked_child_does_not_share_the_file_position(tmp_path: Path):
    """If reads used the file position, two processes with one handle would disturb each other."""
    values = write(tmp_path / "x.h5")
    rows = reader(tmp_path / "x.h5")
    rows.read(np.array([0]))
    child = multiprocessing.get_context("fork").Process(target=lambda: [_read(rows, seed) for seed in range(300)])
    child.start()
    for seed in range(300):
        np.testing.assert_array_equal(_read(rows, seed), values[np.random.default_rng(seed).integers(0, SHAPE[0], 50)])
    child.join()
    assert child.exitcode == 0


def test_reader_works_in_a_spawned_process(tmp_path: Path):
    values = write(tmp_path / "x.h5", **LAYOUTS["cut along all axes"])
    rows = reader(tmp_path / "x.h5")
    rows.read(np.array([0]))
    (tmp_path / "reader").write_bytes(pickle.dumps(rows))
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).read([5, 3]).sum())"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    shown = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "reader"], env=environment, check=True, capture_output=True, text=True
    )
    assert float(shown.stdout) == values[[5, 3]].sum()


def test_folder_without_write_permission_and_hdf5_locks_do_not_matter(tmp_path: Path):
    values = write(tmp_path / "x.h5", **LAYOUTS["gzip"])
    rows = reader(tmp_path / "x.h5")
    (tmp_path / "x.h5").chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with h5py.File(tmp_path / "x.h5"):
            np.testing.assert_array_equal(rows.read(np.array([9])), values[[9]])
    finally:
        tmp_path.chmod(0o755)
