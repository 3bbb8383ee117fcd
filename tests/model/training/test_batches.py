"""Batches must contain every gene once, shifted as drawn, and depend only on the seed and the epoch."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import layout, writer
from cisnake.data.dataset.model_inputs import model_input
from cisnake.data.genome.bases import one_hot
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.model.training import batches as datasets
from cisnake.model.training.batches import GeneBatches

N, PAD = 23, 4


@pytest.fixture
def dataset(tiny, random_windows, tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    windows = random_windows(N, rng)
    # Labels identify the gene, and windows of 40 bases their position.
    labels = np.stack([np.arange(N), rng.normal(size=N)], axis=1).astype(np.float32)
    labels[3, 1] = np.nan
    writer.write_dataset(
        tmp_path / "d.h5",
        windows,
        writer.Labels(labels, ["number", "x"]),
        Genome(tiny.fasta),
        writer.Layout(PAD),
        {"n_folds": 1},
    )
    return tmp_path / "d.h5"


def epoch(batches: GeneBatches, number: int = 0) -> tuple[np.ndarray, np.ndarray]:
    batches.epoch = number
    found = list(batches)
    assert len(found) == len(batches)
    return tuple(np.concatenate(part) for part in zip(*found))


def test_tracks_of_two_strands_are_known(dataset):
    assert GeneBatches(dataset, np.arange(N), 4, 4).strand_pair is None
    with h5py.File(dataset, "r+") as file:
        file["strand_pair"] = np.array([1, 0])
    assert GeneBatches(dataset, np.arange(N), 4, 4).strand_pair == [1, 0]


@pytest.mark.parametrize("depth", [4, 5])
@pytest.mark.parametrize("batch_size", [1, 5, 23, 100])
def test_without_seed_windows_come_in_order_and_unmoved(dataset, depth, batch_size):
    rows = np.array([4, 2, 2, 22, 0])
    x, y = epoch(GeneBatches(dataset, rows, batch_size, depth, max_shift=3))
    with layout.open_dataset(dataset) as file:
        expected = one_hot(file["sequences"][:][rows, PAD:-PAD])
        masks = file["masks"][:][rows, PAD:-PAD]
        np.testing.assert_array_equal(y, layout.read_labels(file)[rows])
        windows = layout.read_windows(file).iloc[rows]
        np.testing.assert_array_equal(
            x, model_input(file["sequences"][:][rows, PAD:-PAD], windows["mask_start"], windows["mask_end"], depth)
        )
    assert x.dtype == np.float32 and x.shape == (5, 40, depth)
    np.testing.assert_array_equal(x[..., :4], expected)
    if depth == 5:
        np.testing.assert_array_equal(x[..., 4], masks)


def test_every_gene_once_an_epoch_and_epochs_differ(dataset):
    batches = GeneBatches(dataset, np.arange(N), 5, 4, max_shift=2, seed=1)
    orders = []
    for number in range(3):
        _, y = epoch(batches, number)
        assert sorted(y[:, 0]) == list(range(N))
        orders.append(y[:, 0].tolist())
    assert orders[0] != orders[1] != orders[2] != orders[0]


def test_draws_depend_only_on_seed_and_epoch(dataset):
    def first(seed: int, number: int, before: int = 0) -> np.ndarray:
        batches = GeneBatches(dataset, np.arange(N), 4, 5, max_shift=4, seed=seed)
        for other in range(before):
            epoch(batches, other)
        return epoch(batches, number)[0]

    np.testing.assert_array_equal(first(1, 3), first(1, 3, before=3))
    assert not np.array_equal(first(1, 3), first(2, 3))
    assert not np.array_equal(first(1, 3), first(1, 4))


def test_shift_moves_sequence_and_mask_together_and_stays_within_bounds(dataset):
    with layout.open_dataset(dataset) as file:
        sequences, masks = file["sequences"][:], file["masks"][:]
    batches = GeneBatches(dataset, np.arange(N), 6, 5, max_shift=3, seed=0)
    seen = set()
    for number in range(6):
        for window, label in zip(*epoch(batches, number)):
            gene = int(label[0])
            places = [
                shift
                for shift in range(-PAD, PAD + 1)
                if np.array_equal(window[:, :4], one_hot(sequences[gene, PAD + shift : PAD + shift + 40]))
            ]
            assert len(places) == 1
            seen.add(places[0])
            np.testing.assert_array_equal(window[:, 4], masks[gene, PAD + places[0] : PAD + places[0] + 40])
    assert seen == set(range(-3, 4))


def test_shift_beyond_the_pad_is_refused(dataset):
    GeneBatches(dataset, np.arange(N), 6, 5, max_shift=PAD, seed=0)
    with pytest.raises(InputError, match="too few for windows of 40 bases shifted by up to"):
        GeneBatches(dataset, np.arange(N), 6, 5, max_shift=PAD + 1, seed=0)


def test_from_disk_and_from_memory_are_equal(dataset, monkeypatch):
    rows = np.array([9, 1, 5, 3, 20, 21, 22])
    in_memory = GeneBatches(dataset, rows, 3, 5, max_shift=2, seed=4)
    monkeypatch.setattr(datasets, "_MEMORY_BYTES", 0)
    from_disk = GeneBatches(dataset, rows, 3, 5, max_shift=2, seed=4)
    assert in_memory._codes is not None and from_disk._codes is None
    for number in range(2):
        for one, other in zip(epoch(in_memory, number), epoch(from_disk, number)):
            np.testing.assert_array_equal(one, other)


def test_tensorflow_gets_the_same_batches(dataset):
    batches = GeneBatches(dataset, np.arange(N), 5, 5, max_shift=2, seed=3)
    data = batches.to_tensorflow()
    assert int(data.cardinality()) == len(batches) == 5
    for number in (0, 1):
        batches.epoch = number
        expected, found = list(batches), list(data.as_numpy_iterator())
        assert len(found) == len(expected) == 5
        for one, other in zip(expected, found):
            np.testing.assert_array_equal(one[0], other[0])
            np.testing.assert_array_equal(one[1], other[1])


@pytest.mark.parametrize("room", [0, 1 << 30])
def test_labels_by_bin_come_with_their_windows_whether_they_fit_in_memory_or_not(tiny, tmp_path, monkeypatch, room):
    monkeypatch.setattr(datasets, "_MEMORY_BYTES", room)
    rng, bins, tasks = np.random.default_rng(0), 5, 3
    start = 20 + 30 * np.arange(N)
    windows = pd.DataFrame(
        {
            "gene_id": [f"t{i}" for i in range(N)], "chrom": next(iter(tiny.chromosomes)), "strand": "+",
            "window_start": start % 300, "window_end": start % 300 + 26, "mask_start": 0, "mask_end": 0, "split": "train",
            "fold": 0,
        }
    )  # fmt: skip
    labels = rng.random((N, tasks, bins)).astype(np.float32)
    labels[:, 0, 0] = np.arange(N)
    writer.write_dataset(
        tmp_path / "t.h5",
        windows,
        writer.Labels(labels, ["a", "b", "c"]),
        Genome(tiny.fasta),
        writer.Layout(PAD, 4, 3),
        {"n_folds": 1},
    )
    rows = np.array([7, 1, 2, 3, 20])
    batches = GeneBatches(tmp_path / "t.h5", rows, 2, 4, max_shift=2, seed=3)
    assert isinstance(batches.labels, datasets.StoredLabels) == (room == 0)
    assert (len(batches.labels), batches.labels.shape) == (5, (5, bins, tasks))
    x, y = epoch(batches)
    which = y[:, 0, 0].astype(int)
    assert sorted(which) == sorted(rows)
    np.testing.assert_array_equal(y, labels[which].transpose(0, 2, 1))
    assert x.shape == (5, 26, 4)
    again, _ = epoch(GeneBatches(tmp_path / "t.h5", rows, 3, 4, max_shift=2, seed=3))
    np.testing.assert_array_equal(x, again)
