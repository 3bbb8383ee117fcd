"""Keras batches must be slices of the file, shifted and reverse-complemented as drawn, and identical in all workers."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest

from cisnake.data.dataset import augment, writer
from cisnake.data.genome.bases import one_hot
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.model import keras_dataset
from cisnake.model.keras_dataset import HDF5Dataset

N, PAD, LENGTH, BIN, CROP = 23, 4, 40, 4, 4
BINS = (LENGTH - 2 * CROP) // BIN
PAIR = [1, 0, 2]


@pytest.fixture
def write(tiny, random_windows, tmp_path: Path):
    """Return a function that writes an expression (no bins) or coverage data set; labels encode example, task and bin."""

    def write_file(bins: bool = False) -> Path:
        rng = np.random.default_rng(0)
        windows = random_windows(N, rng, ["val" if i % 5 == 1 else "train" for i in range(N)])
        number, task, place = np.meshgrid(np.arange(N), np.arange(3), np.arange(BINS if bins else 1), indexing="ij")
        labels = (number * 1000 + task * 100 + place).astype(np.float32)
        labels[3, 1] = np.nan
        path = tmp_path / ("coverage.h5" if bins else "expression.h5")
        writer.write_dataset(
            path,
            windows,
            writer.Labels(labels if bins else labels[:, :, 0], ["a", "b", "c"]),
            Genome(tiny.fasta),
            writer.Layout(PAD, BIN, CROP) if bins else writer.Layout(PAD),
            {"n_folds": 1},
        )
        return path

    return write_file


def stored(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    with h5py.File(path) as file:
        return file["sequences"][:], file["masks"][:], file["labels"][:]


def window(path: Path, row: int, shift: int = 0, length: int = LENGTH) -> np.ndarray:
    """Slice stored windows: base i of a window shifted by s is base i + s of the unshifted window."""
    sequences, masks, _ = stored(path)
    first = PAD + (LENGTH - length) // 2 + shift
    part = slice(first, first + length)
    return np.concatenate([one_hot(sequences[row, part]), masks[row, part, None]], axis=1).astype(np.float32)


def epoch(data: HDF5Dataset, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    data.epoch = number
    found = [data[i] for i in range(len(data))]
    return tuple(np.concatenate(part) for part in zip(*found))


@pytest.mark.parametrize("key", ["train", "val", None])
@pytest.mark.parametrize("batch_size", [1, 4, 100])
@pytest.mark.parametrize("length", [LENGTH, 7, LENGTH + 2 * PAD])
def test_without_augmentation_examples_keep_the_order_of_the_file(write, key, batch_size, length):
    path = write()
    data = HDF5Dataset(key, path, length, max_seq_shift=3, augment_mode=None, batch_size=batch_size)
    rows = [i for i in range(N) if key is None or (i % 5 == 1) == (key == "val")]
    assert data.gene_index.tolist() == rows and data.genes == [f"g{i}" for i in rows] and data.tasks == ["a", "b", "c"]
    assert (data.n_seqs, data.n_augmented, len(data)) == (len(rows), 1, -(-len(rows) // batch_size))
    x, y = epoch(data)
    assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(x, [window(path, row, length=length) for row in rows])
    np.testing.assert_array_equal(y, stored(path)[2][rows, :, 0])
    four = HDF5Dataset(key, path, length, augment_mode=None, batch_size=batch_size, depth=4)
    np.testing.assert_array_equal(epoch(four)[0], x[..., :4])


def test_serial_gives_all_shifts_of_an_example_before_the_next(write):
    path = write()
    data = HDF5Dataset("val", path, max_seq_shift=2, augment_mode="serial", batch_size=3)
    assert (data.n_seqs, data.n_augmented, len(data)) == (5, 5, 9)
    x, y = epoch(data)
    np.testing.assert_array_equal(x, [window(path, row, shift) for row in data.gene_index for shift in range(-2, 3)])
    np.testing.assert_array_equal(y, np.repeat(stored(path)[2][data.gene_index, :, 0], 5, axis=0))


def test_random_shifts_each_example_independently(write):
    path = write()
    data = HDF5Dataset("train", path, max_seq_shift=PAD, seed=3, batch_size=5)
    seen = []
    for number in range(4):
        x, _ = epoch(data, number)
        shifts = [
            [s for s in range(-PAD, PAD + 1) if np.array_equal(found, window(path, row, s))]
            for found, row in zip(x, data.gene_index)
        ]
        assert all(len(places) == 1 for places in shifts)
        seen.append([s for (s,) in shifts])
    assert len({tuple(shifts) for shifts in seen}) == 4
    assert {s for shifts in seen for s in shifts} == set(range(-PAD, PAD + 1))


def test_shifts_do_not_depend_on_order(write):
    path = write()
    data = {shuffle: HDF5Dataset("train", path, max_seq_shift=3, batch_size=5, shuffle=shuffle) for shuffle in (False, True)}
    x, y = epoch(data[False], 1)
    mixed, labels = epoch(data[True], 1)
    order = np.argsort(labels[:, 0])
    assert (order != np.arange(len(order))).any()
    np.testing.assert_array_equal(mixed[order], x)
    np.testing.assert_array_equal(labels[order], y)


def test_draws_are_uniform_and_depend_on_seed_and_epoch():
    draws = [augment.draw_epoch(4000, 3, 1, number) for number in range(3)]
    for shift, reverse, order in draws:
        counts = np.bincount(shift + 3, minlength=7)
        assert len(counts) == 7 and counts.min() > 480 and counts.max() < 670
        assert 1850 < reverse.sum() < 2150
        assert sorted(order) == list(range(4000)) and (order != np.arange(4000)).mean() > 0.9
        # Draws are independent.
        assert abs(np.corrcoef([shift, reverse, order])[np.triu_indices(3, 1)]).max() < 0.06
    again = augment.draw_epoch(4000, 3, 1, 1)
    assert all((one == other).all() for one, other in zip(again, draws[1]))
    for other in (draws[0], draws[2], augment.draw_epoch(4000, 3, 2, 1)):
        assert all(np.mean(one == drawn) < 0.6 for one, drawn in zip(other, again))


def test_shuffle_yields_every_example_once_with_its_label(write):
    path = write()
    data = HDF5Dataset("train", path, augment_mode=None, batch_size=4, shuffle=True)
    orders = []
    for number in (0, 1, 2):
        x, y = epoch(data, number)
        rows = (y[:, 0] // 1000).astype(int)
        assert sorted(rows) == data.gene_index.tolist()
        np.testing.assert_array_equal(x, [window(path, row) for row in rows])
        orders.append(rows.tolist())
    assert orders[0] != orders[1] != orders[2] != orders[0] and data.gene_index.tolist() not in orders


def turned(x: np.ndarray) -> np.ndarray:
    return x[::-1][:, [3, 2, 1, 0, 4]]


@pytest.mark.parametrize("pair", [None, PAIR])
def test_reverse_complement_applies_to_bases_body_and_tracks(write, pair):
    path = write(bins=True)
    data = HDF5Dataset(None, path, max_seq_shift=2, reverse_complement=True, strand_pair=pair, batch_size=6, seed=1)
    labels = stored(path)[2].swapaxes(1, 2)
    assert epoch(data)[1].shape == (N, BINS, 3)
    seen = set()
    for number in range(3):
        for row, (x, y) in enumerate(zip(*epoch(data, number))):
            found = [
                (s, rc)
                for s in range(-2, 3)
                for rc in (False, True)
                if np.array_equal(x, turned(window(path, row, s)) if rc else window(path, row, s))
            ]
            assert len(found) == 1
            expected = labels[row]
            if found[0][1]:
                expected = expected[::-1] if pair is None else expected[::-1][:, PAIR]
            np.testing.assert_array_equal(y, expected)
            seen.add(found[0])
    assert len(seen) == 10


def test_coverage_comes_as_bins_by_tasks_from_memory_and_from_disk(write, monkeypatch):
    path = write(bins=True)
    from_memory = HDF5Dataset("val", path, augment_mode=None, batch_size=2)
    monkeypatch.setattr(keras_dataset, "_LABEL_BYTES", 0)
    from_disk = HDF5Dataset("val", path, augment_mode=None, batch_size=2)
    assert from_memory._labels is not None and from_disk._labels is None
    for data in (from_memory, from_disk):
        np.testing.assert_array_equal(epoch(data)[1], stored(path)[2][data.gene_index].swapaxes(1, 2))


def all_batches(data: HDF5Dataset) -> list[tuple[np.ndarray, np.ndarray]]:
    return [data[i] for i in range(len(data))]


def assert_same(one, other) -> None:
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a[0], b[0])
        np.testing.assert_array_equal(a[1], b[1])


def test_threads_and_forked_processes_get_identical_batches(write):
    """The parent reads before and after forking, while its children read; two data sets use the same file."""
    path = write()
    arguments = {"max_seq_shift": 3, "seed": 5, "batch_size": 3, "shuffle": True}
    data, alone = HDF5Dataset("train", path, **arguments), HDF5Dataset("train", path, **arguments)
    data.epoch = alone.epoch = 2
    expected = all_batches(alone)
    data[0]
    for workers in (1, 3):
        with multiprocessing.get_context("fork").Pool(workers) as pool:
            found = pool.map_async(data.__getitem__, range(len(data)), chunksize=1)
            assert_same(all_batches(data), expected)
            assert_same(found.get(), expected)
    with ThreadPoolExecutor(4) as threads:
        # In reverse order: earlier reads must not matter.
        found = list(threads.map(data.__getitem__, reversed(range(len(data)))))
    assert_same(found[::-1], expected)


@pytest.mark.slow
def test_a_spawned_process_gets_identical_batches_without_write_permission(write, tmp_path: Path):
    data = HDF5Dataset("train", write(), max_seq_shift=3, batch_size=4, shuffle=True)
    data.epoch = 1
    expected = all_batches(data)
    data.h5_file.chmod(0o444)
    tmp_path.chmod(0o555)
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert_same(pool.map(data.__getitem__, range(len(data))), expected)
    finally:
        tmp_path.chmod(0o755)


@keras.saving.register_keras_serializable("test")
class Sums(keras.layers.Layer):
    """Sums of windows, weighted by position to detect changes of order and shift."""

    def call(self, x):
        weights = keras.ops.arange(1, x.shape[1] + 1, dtype="float32")[:, None] * keras.ops.array([1.0, 3.0, 5.0, 7.0, 11.0])
        return keras.ops.sum(x * weights, axis=(1, 2))[:, None]


@pytest.mark.parametrize(("workers", "processes"), [(1, False), (3, False), (2, True)])
def test_keras_uses_each_epoch_as_drawn(write, workers, processes):
    path = write()
    data = HDF5Dataset(
        "train", path, max_seq_shift=3, batch_size=4, shuffle=True, seed=8, workers=workers, use_multiprocessing=processes
    )
    seen: list[float] = []

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.sums = Sums()

        def call(self, x):
            return self.sums(x)

        def train_step(self, batch):
            seen.extend(self.sums(batch[0]).numpy()[:, 0])
            return {"loss": 0.0}

    model = Model()
    model.compile(loss="mse", run_eagerly=True)
    # In two parts, the second as in resumed training.
    model.fit(data, epochs=2, verbose=0, shuffle=False)
    data.epoch = 2
    model.fit(data, epochs=3, initial_epoch=2, verbose=0, shuffle=False)
    alone = HDF5Dataset("train", path, max_seq_shift=3, batch_size=4, shuffle=True, seed=8)
    expected = np.concatenate([Sums()(epoch(alone, number)[0])[:, 0] for number in (1, 2, 3)])
    np.testing.assert_allclose(seen, expected)
    still = HDF5Dataset("val", path, augment_mode=None, workers=workers, use_multiprocessing=processes)
    np.testing.assert_allclose(model.predict(still, verbose=0), Sums()(epoch(still)[0]))


def test_a_file_stays_open_to_others(write):
    path = write()
    with h5py.File(path, "r"):
        data = HDF5Dataset("train", path)
        data[0]
        with h5py.File(path, "r") as file:
            assert len(file["genes"]) == N
    with h5py.File(path, "a"):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": "valid"}, "unknown split 'valid': did you mean val"),
        ({"key": "test"}, "no windows in split 'test'"),
        ({"augment_mode": "all"}, "unknown augment_mode 'all'"),
        ({"max_seq_shift": PAD + 1}, "stores 48 bases per window, too few for windows of 40 bases shifted by up to 5"),
        ({"seq_len": 49}, "too few for windows of 49"),
        ({"seq_len": 0}, "too few for windows of 0"),
        ({"max_seq_shift": -1}, "by up to -1"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"depth": 3}, "depth is 3"),
        ({"reverse_complement": True}, "expression, measured in the gene's direction"),
        ({"bins": True, "reverse_complement": True, "augment_mode": "serial"}, "requires augment_mode 'random'"),
        ({"bins": True, "seq_len": 20}, "bins for windows of 40 bases: seq_len cannot be 20"),
        ({"bins": True, "strand_pair": [1, 0]}, "each of the 3 tasks"),
        ({"bins": True, "strand_pair": [1, 2, 0]}, "strand_pair of task 0 is 1, but that task is not paired with 0"),
        ({"bins": True, "strand_pair": [0, 1, 3]}, "strand_pair of task 2 is 3"),
    ],
)
def test_invalid_arguments_are_rejected(write, arguments, message):
    path = write(arguments.pop("bins", False))
    with pytest.raises(InputError, match=message):
        HDF5Dataset(**{"key": "train", "h5_file": path, **arguments})


def test_batches_end(write):
    data = HDF5Dataset("train", write(), batch_size=5)
    for wrong in (-1, len(data)):
        with pytest.raises(IndexError):
            data[wrong]
    assert data[len(data) - 1][0].shape[0] == 18 % 5
