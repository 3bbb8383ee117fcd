"""Compatibility with Decima in both directions, without Decima: its file and its answers are stored in `decima/`.

They were written by `benchmarks/compatibility.py --keep tests/data/dataset/decima` with Decima 0.7.2.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cisnake.data.dataset import decima, layout
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows import splits
from cisnake.errors import InputError
from cisnake.model.training.batches import GeneBatches

BENCHMARKS = Path(__file__).resolve().parents[3] / "benchmarks"
sys.path.append(str(BENCHMARKS))

import compatibility  # noqa: E402
from peers import cisnake_files  # noqa: E402

KEPT = Path(__file__).resolve().parent / "decima"


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    """A Cisnake file written from the stored inputs."""
    shutil.copy(KEPT / "genome.fa", tmp_path)
    cisnake_files.write(*cisnake_files.read_inputs(KEPT), Genome(tmp_path / "genome.fa"), tmp_path / "cisnake.h5")
    return tmp_path / "cisnake.h5"


def answers_of_decima(name: str) -> dict[str, np.ndarray]:
    with np.load(KEPT / f"decima_of_{name}.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize("name", ["decima", "cisnake"])
def test_functions_match_decima_exactly(name):
    theirs = answers_of_decima(name)
    assert len(theirs) > 90
    assert cisnake_files.differences(cisnake_files.read(KEPT / f"{name}.h5"), theirs) == []


def test_stored_answers_cover_errors(tmp_path: Path):
    genes, labels = cisnake_files.read_inputs(KEPT)
    inside = cisnake_files.within_chromosomes(genes, Genome(shutil.copy(KEPT / "genome.fa", tmp_path)))
    assert genes["gene_id"][~inside].tolist() == ["start", "end"] and {"NA", "nan", "1e5", "007"} < set(genes["gene_id"])
    assert set(genes["strand"]) == {"+", "-"} and np.isnan(labels).any()
    with h5py.File(KEPT / "decima.h5") as file:
        assert not file.attrs and "windows" not in file
        assert file["masks"].dtype == np.float32 and (file["sequences"][:] == 4).any()
        assert list(file["genes"].asstr()[:, 0]) == genes["gene_id"][inside].tolist()


def test_writer_reproduces_the_stored_file(ours):
    with h5py.File(ours) as new, h5py.File(KEPT / "cisnake.h5") as kept:
        names: list[str] = []
        kept.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) == 16
        for name in names:
            assert new[name].dtype == kept[name].dtype, name
            np.testing.assert_array_equal(new[name][()], kept[name][()], err_msg=name)
        assert dict(new.attrs) == dict(kept.attrs)


def test_written_file_matches_that_of_decima(ours):
    assert compatibility.compare_files(ours, KEPT / "decima.h5") == []


@pytest.mark.parametrize(("name", "row"), [("sequences", 1), ("masks", 2), ("labels", 0), ("genes", 3)])
def test_file_comparison_detects_a_single_wrong_value(ours, name, row):
    with h5py.File(ours, "a") as file:
        values = file[name][row]
        values[..., -1] = b"val" if name == "genes" else values[..., -1] + 1
        file[name][row] = values
    assert compatibility.compare_files(ours, KEPT / "decima.h5") == [name]


def test_training_input_matches_decima(ours):
    theirs = answers_of_decima("cisnake")
    for key in splits.SPLITS:
        ((x, y),) = GeneBatches(ours, decima.index_genes(ours, key), 10, depth=5)
        np.testing.assert_array_equal(x.swapaxes(1, 2), theirs[f"items/{key}/0"])
        np.testing.assert_array_equal(y, theirs[f"labels/{key}/0"][:, :, 0])


def test_decima_file_is_refused_for_training():
    with (
        pytest.raises(InputError, match=r"is a Decima file, .* functions that support both .* or regenerate it"),
        layout.open_dataset(KEPT / "decima.h5"),
    ):
        pass


@pytest.mark.parametrize("name", ["genes", "masks", "seq_len", "tasks"])
def test_missing_data_set_of_decima_file_is_named(tmp_path: Path, name):
    path = Path(shutil.copy(KEPT / "decima.h5", tmp_path))
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(InputError, match=f"has no data set {name}"):
        decima.count_genes(path)


def test_other_split_names_are_supported_if_the_file_has_them(tmp_path: Path):
    path = Path(shutil.copy(KEPT / "decima.h5", tmp_path))
    with h5py.File(path, "a") as file:
        file["genes"][0] = ["plus", "held_out"]
    assert decima.list_genes(path, "held_out").tolist() == ["plus"]
    with pytest.raises(InputError, match="unknown split 'held'"):
        decima.list_genes(path, "held")
