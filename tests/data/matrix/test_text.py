"""Text matrices are read without changing ids; errors name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cisnake.data.matrix import text as text_matrix
from cisnake.data.matrix.text import read_layout, read_text_matrix
from cisnake.errors import InputError

TEXT = "id\ta\tb\nNA\t1.5\t\n1e5\tNA\t-2\nnan\tNaN\t3e-2\n007\t0\t1\nNA\t9\t9\n"
GCT_2 = "#1.2\n2\t3\nName\tDescription\ta\tb\tc\nx1\tNA\t1\t2\tNA\ng2\tname two\t-3\t4e1\t\n"
GCT_3 = (
    "#1.3\n2\t3\t2\t1\nid\tsymbol\tlength\ta\tb\tc\ngroup\tna\tna\theat\theat\tcold\n"
    "x1\tNA\t5\t1\t2\tNA\ng2\tS2\t6\t-3\t4e1\t\n"
)


def write(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as file:
        file.write(text)
    return path


@pytest.mark.parametrize("block_cells", [1, 7, 10**6])
@pytest.mark.parametrize("name", ["m.tsv", "m.tsv.gz", "m.csv", "m.csv.gz", "m.txt"])
def test_ids_stay_text_and_missing_stays_missing(tmp_path, monkeypatch, name, block_cells):
    monkeypatch.setattr(text_matrix, "_BLOCK_CELLS", block_cells)
    text = TEXT.replace("\t", ",") if ".csv" in name else TEXT
    genes, tasks, values = read_text_matrix(write(tmp_path / name, text))
    assert list(genes) == ["NA", "1e5", "nan", "007", "NA"] and tasks == ["a", "b"]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.float32([[1.5, np.nan], [np.nan, -2], [np.nan, 0.03], [0, 1], [9, 9]]))


def test_one_task_is_enough(tmp_path):
    _, tasks, values = read_text_matrix(write(tmp_path / "m.tsv", "id\ta\ng1\t1\ng2\t\ng3\t-2.5\n"))
    assert tasks == ["a"]
    np.testing.assert_array_equal(values, np.float32([[1], [np.nan], [-2.5]]))


@pytest.mark.parametrize("text", [GCT_2, GCT_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("name", ["m.gct", "m.gct.gz"])
def test_gct_is_read_after_its_header(tmp_path, name, text):
    path = write(tmp_path / name, text)
    genes, tasks, values = read_text_matrix(path)
    assert list(genes) == ["x1", "g2"] and tasks == ["a", "b", "c"]
    np.testing.assert_array_equal(values, np.float32([[1, 2, np.nan], [-3, 40, np.nan]]))
    column = "Description" if text is GCT_2 else "symbol"
    assert list(read_text_matrix(path, column)[0]) == (["NA", "name two"] if text is GCT_2 else ["NA", "S2"])
    about = read_layout(path).about_tasks
    assert list(about["task"]) == tasks
    assert list(about.columns) == (["task"] if text is GCT_2 else ["task", "group"])
    if text is GCT_3:
        assert list(about["group"]) == ["heat", "heat", "cold"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("#1.3", "#1.1", "not a GCT file"),
        ("2\t3\t2\t1", "2\t3", "not a GCT file"),
        ("2\t3\t2\t1", "2\t4\t2\t1", "line 3 names 3 value columns, but according to line 2 there are 4"),
        ("2\t3\t2\t1", "2\t3\t1\t1", "line 3 names 4 value columns, but according to line 2 there are 3"),
        ("2\t3\t2\t1", "3\t3\t2\t1", "has 2 genes, but according to line 2 it has 3"),
        ("heat\theat\tcold", "heat\tcold", "line 4 has 5 cells, but line 3 has 6"),
        ("-3\t4e1", "-3\tx", "line 6: gene g2, task b is 'x'"),
        ("4e1\t\n", "4e1\n", "line 6 has fewer cells"),
    ],
)
def test_inconsistent_gct_is_an_error(tmp_path, old, new, message):
    with pytest.raises(InputError, match=message):
        read_text_matrix(write(tmp_path / "m.gct", GCT_3.replace(old, new)))


def test_gene_column_is_supported_for_gct_only(tmp_path):
    with pytest.raises(InputError, match="'symbl': did you mean symbol"):
        read_text_matrix(write(tmp_path / "m.gct", GCT_3), "symbl")
    with pytest.raises(InputError, match="always in the first column"):
        read_text_matrix(write(tmp_path / "m.tsv", TEXT), "id")


@pytest.mark.parametrize("block_cells", [1, 10**6])
@pytest.mark.parametrize("cell", ["x", "inf", "-Infinity", "1e60", "<NA>", "1,5", "null"])
@pytest.mark.parametrize("column", [0, 1])
def test_bad_cell_is_named_with_gene_task_and_line(tmp_path, monkeypatch, cell, block_cells, column):
    monkeypatch.setattr(text_matrix, "_BLOCK_CELLS", block_cells)
    cells = ["3", "4"]
    cells[column] = cell
    # The blank line counts as a line of the file.
    path = write(tmp_path / "m.tsv", "id\ta\tb\ng1\t1\t2\n\ng2\t" + "\t".join(cells) + "\n")
    with pytest.raises(InputError, match=rf"line 4: gene g2, task {'ab'[column]} is '{cell}'"):
        read_text_matrix(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id\ta\t\ng\t1\t2\n", "column 3 has no name"),
        ("id\ta\n", "0 genes and 1 tasks"),
        ("id,a\ng,1\n", "0 genes and 0 tasks: is the separator"),
        ("a\tb\ng1\t1\t2\ng2\t1\t2\n", "line 2 has more cells than the header"),
        ("a\tb\ng1\t1\ng2\t1\t2\t3\t4\n", "cannot be read as a table"),
        ("id\ta\tb\ng1\t1\t2\ng2\t1\n", "line 3 has fewer cells"),
        ("", r"m\.tsv is empty"),
        ("\n\n", r"m\.tsv is empty"),
    ],
)
def test_malformed_tables_are_errors(tmp_path, text, message):
    with pytest.raises(InputError, match=message):
        read_text_matrix(write(tmp_path / "m.tsv", text))


def test_truncated_and_binary_files_are_errors(tmp_path):
    whole = gzip.compress(("id\ta\n" + "".join(f"g{i}\t{i * 0.37}\n" for i in range(2000))).encode())
    (tmp_path / "cut.tsv.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "bad.tsv.gz").write_bytes(whole[:200] + b"\0" * 200 + whole[400:])
    (tmp_path / "binary.tsv").write_bytes(b"\xff\xfe\x00\x01" * 100)
    for name in ("cut.tsv.gz", "bad.tsv.gz", "binary.tsv"):
        with pytest.raises(InputError, match="cannot be read"):
            read_text_matrix(tmp_path / name)


@pytest.mark.parametrize("name", ["m.tsv", "m.gct"])
def test_gzip_is_detected_from_contents(tmp_path, name):
    text = GCT_2 if name == "m.gct" else TEXT
    expected = read_text_matrix(write(tmp_path / name, text))
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / name).write_bytes(gzip.compress(text.encode()))
    (tmp_path / f"{name}.gz").write_text(text)
    for path in (tmp_path / "packed" / name, tmp_path / f"{name}.gz"):
        genes, tasks, values = read_text_matrix(path)
        assert list(genes) == list(expected[0]) and tasks == expected[1]
        np.testing.assert_array_equal(values, expected[2])
