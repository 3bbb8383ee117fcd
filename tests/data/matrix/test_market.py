"""Matrix Market files are read with their files of names; errors name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cisnake.data.matrix import market
from cisnake.data.matrix.market import open_market, read_market
from cisnake.errors import InputError

HEAD = "%%MatrixMarket matrix coordinate integer general\n%a comment\n%\n"
ENTRIES = "4 3 5\n1 1 7\n4 3 2\n3 1 1\n4 3 5\n2 2 0\n"
FEATURES = "ENSG1\tA\tGene Expression\nENSG2\tB\tGene Expression\nCD3\tCD3\tAntibody Capture\nENSG4\tA\tGene Expression\n"


def write(folder: Path, text: str = HEAD + ENTRIES, features: str = FEATURES, prefix: str = "", ending: str = "") -> Path:
    files = {"matrix.mtx": text, "features.tsv": features, "barcodes.tsv": "c1\nNA\nc3\n"}
    for name, content in files.items():
        with gzip.open(folder / f"{prefix}{name}.gz", "wt") if ending else open(folder / f"{prefix}{name}", "w") as file:
            file.write(content)
    return folder / f"{prefix}matrix.mtx{ending}"


@pytest.mark.parametrize("block", [1, 2, 10**6])
@pytest.mark.parametrize(("prefix", "ending"), [("", ""), ("", ".gz"), ("GSM1_lung_", ".gz")])
def test_entries_are_summed_and_only_genes_are_kept(tmp_path, monkeypatch, prefix, ending, block):
    monkeypatch.setattr(market, "_BLOCK_ENTRIES", block)
    path = write(tmp_path, prefix=prefix, ending=ending)
    genes, tasks, values = read_market(path)
    assert list(genes) == ["ENSG1", "ENSG2", "ENSG4"] and tasks == ["c1", "NA", "c3"]
    np.testing.assert_array_equal(values, np.float32([[7, 0, 0], [0, 0, 0], [0, 0, 7]]))
    assert list(read_market(path, "name")[0]) == ["A", "B", "A"]
    with pytest.raises(InputError, match="'names': did you mean name"):
        read_market(path, "names")


def test_matrix_is_found_in_a_folder(tmp_path):
    write(tmp_path)
    assert open_market(tmp_path).path == tmp_path / "matrix.mtx"
    (tmp_path / "barcodes.tsv").unlink()
    with pytest.raises(InputError, match=r"barcodes\.tsv is missing"):
        open_market(tmp_path)
    (tmp_path / "matrix.mtx").unlink()
    with pytest.raises(InputError, match=r"has no matrix\.mtx"):
        open_market(tmp_path)


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 1 1", "5 1 1", "line 7 is '5 1 1'"),
        ("3 1 1", "0 1 1", "line 7 is '0 1 1'"),
        ("3 1 1", "3 4 1", "line 7 is '3 4 1'"),
        ("3 1 1", "3 1 x", "line 7 is '3 1 x'"),
        ("3 1 1", "3 1 inf", "line 7 is '3 1 inf'"),
        ("3 1 1", "3 1 nan", "line 7 is '3 1 nan'"),
        ("3 1 1", "3 1", "line 7 is '3 1'"),
        ("3 1 1", "3.5 1 1", "line 7 is '3.5 1 1'"),
        ("2 2 0\n", "", "has 4 entries, but its header lists 5"),
        ("4 3 5\n1", "4 3\n1", "line 4 is '4 3'"),
        ("4 3 5\n1", "3 4 5\n1", "3 rows and 4 columns, but features.tsv has 4 genes and barcodes.tsv has 3 columns; it seems"),
        ("4 3 5\n1", "4 2 5\n1", "4 rows and 2 columns, but features.tsv has 4 genes and barcodes.tsv has 3 columns\\."),
        ("coordinate integer", "array integer", "begins with"),
        ("integer", "pattern", "begins with"),
        ("%%MatrixMarket", "%MatrixMarket", "begins with"),
    ],
)
def test_inconsistent_files_are_errors(tmp_path, monkeypatch, old, new, message, block):
    monkeypatch.setattr(market, "_BLOCK_ENTRIES", block)
    text = HEAD + ENTRIES
    assert old in text
    with pytest.raises(InputError, match=message):
        read_market(write(tmp_path, text.replace(old, new, 1)))


def test_truncated_files_are_errors(tmp_path):
    path = write(tmp_path, ending=".gz")
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InputError, match="cannot be read"):
        read_market(path)


def test_gzip_is_detected_from_contents(tmp_path):
    expected = read_market(write(tmp_path))
    for number, name in enumerate(("matrix.mtx", "features.tsv", "barcodes.tsv")):
        folder = tmp_path / str(number)
        folder.mkdir()
        write(folder)
        (folder / name).write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        found = read_market(folder)
        assert list(found[0]) == list(expected[0]) and found[1] == expected[1]
        np.testing.assert_array_equal(found[2], expected[2])
        (folder / name).rename(folder / f"{name}.gz")
        (folder / f"{name}.gz").write_bytes((tmp_path / name).read_bytes())
        np.testing.assert_array_equal(read_market(folder)[2], expected[2])
