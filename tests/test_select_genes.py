"""From inputs to the data set by the programs themselves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import select_genes
import write_dataset
from cisnake.data import hdf5
from cisnake.errors import InputError
from cisnake.files import read_table

ANNOTATION = {"feature": "gene", "tss_max_distance": 1000, "biotypes": [], "exclude": {}, "exclude_chromosomes": []}
WINDOWS = {"anchor": "tss", "upstream": 20, "downstream": 30, "max_shift": 4, "max_n_fraction": 0.05}


@pytest.fixture
def select(tiny, tmp_path: Path):
    def run(splits: dict, **windows) -> Path:
        sections = {"annotation": ANNOTATION, "windows": WINDOWS | windows, "splits": {"allow_overlap": False} | splits}
        options = [f"--genome={tiny.fasta}", f"--gtf={tiny.gtf}", f"--matrix={tiny.matrix}"]
        options += [f"--{name}={json.dumps(section)}" for name, section in sections.items()]
        # Every table that the program has an option for.
        outputs = [
            action.option_strings[0] for action in select_genes.parser()._actions if "--output" in str(action.option_strings)
        ]
        options += [f"{option}={tmp_path / option.removeprefix('--output-')}" for option in outputs]
        select_genes.main(select_genes.parser().parse_args(options))
        return tmp_path

    return run


def write(tiny, folder: Path, *options: str) -> Path:
    given = [f"--genes={folder / 'genes'}", f"--genome={tiny.fasta}", f"--matrix={tiny.matrix}", f"--output={folder / 'd.h5'}"]
    write_dataset.main(write_dataset.parser().parse_args([*given, *options]))
    return folder / "d.h5"


def test_labels_are_those_of_the_gene_although_the_matrix_repeats_another(tiny, select):
    lines = tiny.matrix.read_text().splitlines()
    tiny.matrix.write_text("\n".join([lines[0], *reversed(lines[1:]), lines[2]]) + "\n")
    folder = select({"val": ["chr2"], "test": ["chr3"]})
    dropped = read_table(folder / "dropped")
    assert dropped[["gene_id", "reason"]].values.tolist() == [["G1b", "duplicate_id"]]
    summary = json.loads((folder / "summary").read_text())
    assert (summary["n_kept"], summary["n_dropped"], summary["n_tasks"]) == (11, 1, 3)
    assert summary["split"] == {"train": 3, "val": 4, "test": 4}
    with hdf5.open_dataset(write(tiny, folder, "--max-shift=4")) as file:
        windows, labels = hdf5.read_windows(file), hdf5.read_labels(file)
        assert file["pad"][()] == 4 and hdf5.read_tasks(file) == ["heat", "cold", "acid"]
    expected = pd.read_csv(tiny.matrix, sep="\t", index_col=0)
    np.testing.assert_allclose(labels, expected.loc[windows["gene_id"]], rtol=1e-6)
    assert windows["split"].tolist() == [{"chr1": "train", "chr2": "val", "chr3": "test"}[c] for c in windows["chrom"]]


def test_zscores_are_of_training_genes(tiny, select):
    folder = select({"val": ["chr2"], "test": ["chr3"]})
    with hdf5.open_dataset(write(tiny, folder, "--transform=zscore")) as file:
        windows, labels = hdf5.read_windows(file), hdf5.read_labels(file)
        assert file.attrs["target_transform"] == "zscore"
    train = labels[windows["split"] == "train"][:, :2]
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-6)
    assert abs(labels[windows["split"] != "train"][:, 0].mean()) > 1e-3


def test_splits_that_share_bases_are_refused_unless_allowed(select, tmp_path: Path):
    parts = {"a": "train", "b": "test", "c": "train", "d": "val"}
    table = "".join(f"G{i}{letter}\t{part}\n" for i in (1, 2, 3) for letter, part in parts.items())
    (tmp_path / "splits.tsv").write_text("gene_id\tsplit\n" + table)
    splits = {"genes": str(tmp_path / "splits.tsv")}
    # Test windows end at 350, training windows begin at 320.
    with pytest.raises(InputError, match=r"training gene G1c .*test gene G1b"):
        select(splits)
    assert not (tmp_path / "genes").exists()
    select(splits | {"allow_overlap": True})
    assert len(read_table(tmp_path / "genes")) == 12
    # Windows that are 6 bases apart.
    select(splits, upstream=2, downstream=3, max_shift=6)
    with pytest.raises(InputError, match="moved by up to 7 bases"):
        select(splits, upstream=2, downstream=3, max_shift=7)


def test_folds_hold_out_every_gene(select):
    folder = select({"folds": 3})
    genes = read_table(folder / "genes")
    assert sorted(genes["fold"].unique()) == ["0", "1", "2"] and set(genes["split"]) == {"test"}
    assert genes.groupby("chrom")["fold"].nunique().tolist() == [1, 1, 1]
