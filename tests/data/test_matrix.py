"""Measurements must be read as they stand, and what is no measurement must be named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.data import matrix
from cisnake.data.matrix import find_rows, read_matrix, read_tasks_table, transform_labels
from cisnake.errors import InputError

TEXT = "id\ta\tb\nNA\t1.5\t\n1e5\tNA\t-2\nnan\tNaN\t3e-2\n007\t0\t1\nNA\t9\t9\n"


def write(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("block_cells", [1, 7, 10**6])
@pytest.mark.parametrize("name", ["m.tsv", "m.tsv.gz", "m.csv", "m.csv.gz", "m.txt"])
def test_ids_stay_text_and_missing_stays_missing(tmp_path, monkeypatch, name, block_cells):
    monkeypatch.setattr(matrix, "_BLOCK_CELLS", block_cells)
    text = TEXT.replace("\t", ",") if ".csv" in name else TEXT
    genes, tasks, values = read_matrix(write(tmp_path / name, text))
    assert list(genes) == ["NA", "1e5", "nan", "007", "NA"] and tasks == ["a", "b"]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32([[1.5, np.nan], [np.nan, -2], [np.nan, 0.03], [0, 1], [9, 9]]))


@pytest.mark.parametrize("block_cells", [1, 10**6])
@pytest.mark.parametrize("cell", ["x", "inf", "-Infinity", "1e60", "<NA>", "1,5"])
def test_bad_cell_is_named_with_gene_task_and_line(tmp_path, monkeypatch, cell, block_cells):
    monkeypatch.setattr(matrix, "_BLOCK_CELLS", block_cells)
    # The blank line counts as a line of the file.
    path = write(tmp_path / "m.tsv", f"id\ta\tb\ng1\t1\t2\n\ng2\t3\t{cell}\n")
    with pytest.raises(InputError, match=rf"line 4: gene g2, task b is '{cell}'"):
        read_matrix(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\ta\ta\ng\t1\t2\n", "task a twice"),
        ("id\ta\t\ng\t1\t2\n", "column 3 has no name"),
        ("id\ta\n", "0 genes and 1 tasks"),
        ("id,a\ng,1\n", "1 genes and 0 tasks"),
        ("a\tb\ng1\t1\t2\ng2\t1\t2\n", "line 2 has more cells than the first line"),
        ("a\tb\ng1\t1\ng2\t1\t2\t3\t4\n", "cannot be read as a table"),
        ("", "cannot be read as a table"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_matrix(write(tmp_path / "m.tsv", text))


def test_missing_and_cut_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        read_matrix(tmp_path / "none.tsv")
    whole = gzip.compress(("id\ta\n" + "".join(f"g{i}\t{i * 0.37}\n" for i in range(2000))).encode())
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        read_matrix(tmp_path / "cut.tsv.gz")


def test_rows_are_found_although_other_ids_repeat():
    genes = pd.Index(["a", "twice", "b", "twice", "c"])
    assert find_rows(genes, pd.Series(["c", "a"])).tolist() == [4, 0]
    with pytest.raises(InputError, match="has several rows of twice"):
        find_rows(genes, pd.Series(["a", "twice"]))
    with pytest.raises(InputError, match="lacks z"):
        find_rows(genes, pd.Series(["a", "z"]))


def test_tasks_table_follows_the_matrix(tmp_path):
    path = write(tmp_path / "t.tsv", "task\tgroup\ttime\nb\theat\t5\na\tcold\t1e5\nc\tx\t1\n")
    table = read_tasks_table(path, ["a", "b"])
    assert table[["task", "group", "description", "time"]].values.tolist() == [["a", "cold", "", "1e5"], ["b", "heat", "", "5"]]
    assert read_tasks_table(None, ["a", "b"])["group"].tolist() == ["all", "all"]
    with pytest.raises(InputError, match="'d'"):
        read_tasks_table(path, ["a", "d"])
    with pytest.raises(InputError, match="twice"):
        read_tasks_table(write(tmp_path / "t.tsv", "task\na\na\n"), ["a"])
    with pytest.raises(InputError, match="no column task"):
        read_tasks_table(write(tmp_path / "t.tsv", "name\na\n"), ["a"])


def test_zscore_uses_training_genes_only():
    rng = np.random.default_rng(0)
    labels = rng.normal(5, 3, (50, 4)).astype(np.float32)
    labels[3, 1] = np.nan
    labels[:, 3] = 2.0
    train = np.arange(50) < 30
    scaled = transform_labels(labels, "zscore", train)
    of_train = labels[train].astype(float)
    expected = (labels - np.nanmean(of_train, axis=0)) / np.append(np.nanstd(of_train[:, :3], axis=0), 1.0)
    np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-6)
    changed = labels.copy()
    changed[~train] *= 100
    np.testing.assert_array_equal(transform_labels(changed, "zscore", train)[train], scaled[train])
    assert scaled.dtype == np.float32


def test_log1p_and_none():
    labels, train = np.float32([[0.0, np.nan], [3.0, 7.0]]), np.array([True, False])
    np.testing.assert_allclose(transform_labels(labels, "log1p", train), np.log1p(labels))
    np.testing.assert_array_equal(transform_labels(labels, "none", train), labels)
    with pytest.raises(InputError, match="log ratios"):
        transform_labels(np.float32([[-1.0]]), "log1p", train[:1])
    with pytest.raises(InputError, match="zscore"):
        transform_labels(labels, "zscores", train)
