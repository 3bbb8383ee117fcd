"""Files of Decima read by us as by Decima, and ours by Decima, without Decima: its file and its answers are kept in `decima/`.

`benchmarks/compatibility.py --keep tests/data/dataset/decima` made them, with the real Decima 0.7.2.
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
    """Our file of the kept inputs, written now."""
    shutil.copy(KEPT / "genome.fa", tmp_path)
    cisnake_files.write(*cisnake_files.read_inputs(KEPT), Genome(tmp_path / "genome.fa"), tmp_path / "cisnake.h5")
    return tmp_path / "cisnake.h5"


def answers_of_decima(name: str) -> dict[str, np.ndarray]:
    with np.load(KEPT / f"decima_of_{name}.npz") as kept:
        return dict(kept)


@pytest.mark.parametrize("name", ["decima", "cisnake"])
def test_our_functions_give_the_answers_of_decima_to_the_last_bit(name):
    theirs = answers_of_decima(name)
    assert len(theirs) > 90
    assert cisnake_files.differences(cisnake_files.read(KEPT / f"{name}.h5"), theirs) == []


def test_decima_was_asked_what_can_go_wrong(tmp_path: Path):
    genes, labels = cisnake_files.read_inputs(KEPT)
    inside = cisnake_files.within_chromosomes(genes, Genome(shutil.copy(KEPT / "genome.fa", tmp_path)))
    assert genes["gene_id"][~inside].tolist() == ["start", "end"] and {"NA", "nan", "1e5", "007"} < set(genes["gene_id"])
    assert set(genes["strand"]) == {"+", "-"} and np.isnan(labels).any()
    with h5py.File(KEPT / "decima.h5") as file:
        assert not file.attrs and "windows" not in file
        assert file["masks"].dtype == np.float32 and (file["sequences"][:] == 4).any()
        assert list(file["genes"].asstr()[:, 0]) == genes["gene_id"][inside].tolist()


def test_our_writer_still_writes_what_decima_read(ours):
    with h5py.File(ours) as new, h5py.File(KEPT / "cisnake.h5") as kept:
        names: list[str] = []
        kept.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) == 16
        for name in names:
            assert new[name].dtype == kept[name].dtype, name
            np.testing.assert_array_equal(new[name][()], kept[name][()], err_msg=name)
        assert dict(new.attrs) == dict(kept.attrs)


def test_our_file_holds_what_decima_wrote(ours):
    assert compatibility.compare_files(ours, KEPT / "decima.h5") == []


@pytest.mark.parametrize(("name", "row"), [("sequences", 1), ("masks", 2), ("labels", 0), ("genes", 3)])
def test_comparison_of_files_sees_one_wrong_value(ours, name, row):
    with h5py.File(ours, "a") as file:
        values = file[name][row]
        values[..., -1] = b"val" if name == "genes" else values[..., -1] + 1
        file[name][row] = values
    assert compatibility.compare_files(ours, KEPT / "decima.h5") == [name]


def test_training_sees_what_decima_trains_on(ours):
    theirs = answers_of_decima("cisnake")
    for key in splits.SPLITS:
        ((x, y),) = GeneBatches(ours, decima.index_genes(ours, key), 10, depth=5)
        np.testing.assert_array_equal(x.swapaxes(1, 2), theirs[f"items/{key}/0"])
        np.testing.assert_array_equal(y, theirs[f"labels/{key}/0"][:, :, 0])


def test_a_file_of_decima_is_no_data_set_to_train_on():
    with (
        pytest.raises(InputError, match=r"is a Decima file, .* functions that support both .* or regenerate it"),
        layout.open_dataset(KEPT / "decima.h5"),
    ):
        pass


@pytest.mark.parametrize("name", ["genes", "masks", "seq_len", "tasks"])
def test_what_a_file_of_decima_lacks_is_named(tmp_path: Path, name):
    path = Path(shutil.copy(KEPT / "decima.h5", tmp_path))
    with h5py.File(path, "a") as file:
        del file[name]
    with pytest.raises(InputError, match=f"has no data set {name}"):
        decima.count_genes(path)


def test_splits_by_other_names_are_found_where_the_file_has_them(tmp_path: Path):
    path = Path(shutil.copy(KEPT / "decima.h5", tmp_path))
    with h5py.File(path, "a") as file:
        file["genes"][0] = ["plus", "held_out"]
    assert decima.list_genes(path, "held_out").tolist() == ["plus"]
    with pytest.raises(InputError, match="unknown split 'held'"):
        decima.list_genes(path, "held")
