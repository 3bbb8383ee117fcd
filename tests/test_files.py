"""Atomic file writing, and round trips of tables."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fetch_input
from cisnake import files
from cisnake.errors import InputError
from cisnake.files import digest, file_sha256, read_chunks, read_table, write_json, write_table, write_whole


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_file_appears_when_the_block_ends(tmp_path: Path):
    path = tmp_path / "new" / "a.tsv.gz"
    with write_whole(path) as part:
        assert part.parent == path.parent and part.name.endswith(".tsv.gz")
        part.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and listing(tmp_path) == ["a.tsv.gz"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_after_an_error_only_the_old_file_remains(tmp_path: Path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), write_whole(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and listing(tmp_path) == ["a.txt"]
    with pytest.raises(error), write_whole(tmp_path / "b.txt"):
        raise error
    assert listing(tmp_path) == ["a.txt"]


def test_folders_are_written_atomically(tmp_path: Path):
    with pytest.raises(ValueError), write_whole(tmp_path / "folder") as part:
        part.mkdir()
        (part / "a").write_text("half")
        raise ValueError
    assert list(tmp_path.iterdir()) == []
    with write_whole(tmp_path / "folder") as part:
        part.mkdir()
        (part / "a").write_text("whole")
    assert (tmp_path / "folder" / "a").read_text() == "whole"


@pytest.mark.parametrize("name", ["t.tsv", "t.tsv.gz"])
def test_table_round_trip(tmp_path: Path, name):
    table = pd.DataFrame(
        {
            "id": ["NA", "1e5", "nan", "007", "", 'a "b"\tc'],
            "flag": [True, False, True, False, True, True],
            "value": [1.5, np.nan, -1e-30, 1e30, np.inf, 123456.7],
            "count": np.array([1, 2**53 + 1, 3, 4, 5, -6]),
        }
    )
    write_table(table, tmp_path / name)
    again = read_table(tmp_path / name, flag="bool", value="float", count="int64", absent="float")
    assert again["id"].tolist() == table["id"].tolist() and again["count"].tolist() == table["count"].tolist()
    assert again["flag"].dtype == bool and again["flag"].tolist() == table["flag"].tolist()
    np.testing.assert_allclose(again["value"], table["value"], rtol=1e-6)
    assert again["value"].dtype == np.float64
    assert read_table(tmp_path / name)["value"].tolist()[:2] == ["1.5", ""]


def test_empty_table_round_trip(tmp_path: Path):
    write_table(pd.DataFrame({"a": [], "b": []}), tmp_path / "t.tsv")
    again = read_table(tmp_path / "t.tsv", b="float")
    assert list(again) == ["a", "b"] and again.empty


def test_column_of_empty_cells_is_nan(tmp_path: Path):
    write_table(pd.DataFrame({"b": [np.nan, np.nan]}), tmp_path / "t.tsv")
    assert read_table(tmp_path / "t.tsv", b="float")["b"].isna().tolist() == [True, True]


def test_json_is_plain(tmp_path: Path):
    value = {1: np.float64("nan"), "b": [np.int64(3), (np.float32(0.5), None)], "c": {"d": float("nan"), "e": np.bool_(True)}}
    write_json(value, tmp_path / "a.json")
    expected = {"1": None, "b": [3, [0.5, None]], "c": {"d": None, "e": True}}
    assert json.loads((tmp_path / "a.json").read_text()) == expected
    with pytest.raises(TypeError):
        write_json({"a": object()}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == expected and listing(tmp_path) == ["a.json"]


def test_digest_depends_on_contents_and_order(tmp_path: Path):
    path = tmp_path / "a"
    path.write_bytes(b"x" * 3_000_000)
    assert file_sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
    found = digest("a", path, "b")
    assert found == digest("a", path, "b")
    assert len({found, digest("b", path, "a"), digest("ab", path, ""), digest("a", str(path), "b")}) == 4
    path.write_bytes(b"y")
    assert digest("a", path, "b") != found


def fetch(url: str, sha256: str, output: Path) -> None:
    fetch_input.main(fetch_input.parser().parse_args(["--url", url, "--sha256", sha256, "--output", str(output)]))


def test_fetched_file_is_kept_only_with_its_checksum(tmp_path: Path):
    source, output = tmp_path / "source.bin", tmp_path / "out" / "copy.bin"
    source.write_bytes(bytes(range(256)) * 9000)
    right = file_sha256(source)
    fetch(source.as_uri(), right, output)
    assert output.read_bytes() == source.read_bytes()
    for url, sha256, message in [
        (source.as_uri(), "0" * 64, f"has the SHA-256 {right}"),
        ((tmp_path / "none").as_uri(), right, "could not be downloaded"),
    ]:
        output.unlink(missing_ok=True)
        with pytest.raises(InputError, match=message):
            fetch(url, sha256, output)
        assert listing(output.parent) == []


def test_chunks_have_the_requested_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_ROWS", 3)
    table = pd.DataFrame({"a": ["x", "", "NA", "z"], "b": [1, 2, 3, 4], "c": [0.5, 1e-300, 3, -1], "d": 0})
    write_table(table, tmp_path / "t.tsv")
    pieces = list(read_chunks(tmp_path / "t.tsv", {"c": float, "a": str, "b": int}))
    assert [len(piece) for piece in pieces] == [3, 1]
    pd.testing.assert_frame_equal(pd.concat(pieces)[["a", "b", "c"]], table[["a", "b", "c"]])


@pytest.mark.parametrize("text", [None, "", "a\tb\nx\n", "a\tc\nx\t1\n", "a\tb\nx\tmany\n", "\x00\xff"])
def test_a_file_that_is_not_a_table_with_these_columns_is_rejected(tmp_path, text):
    if text is not None:
        (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(InputError, match=r"t\.tsv cannot be read as a table"):
        list(read_chunks(tmp_path / "t.tsv", {"a": str, "b": int}))


def test_files_left_by_a_killed_process_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "a.tsv"
    script = "import os, signal, sys\nfrom cisnake.files import write_whole\nwith write_whole(sys.argv[1]) as part:\n"
    script += "    part.write_text('half')\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    library = str(Path(files.__file__).parents[1])
    subprocess.run([sys.executable, "-c", script, target], env={**os.environ, "PYTHONPATH": library})
    left = next(tmp_path.iterdir())
    assert left.name.startswith(".part-")
    os.utime(left, (0, 0))
    others = [tmp_path / name for name in (".part-1-b-a.tsv", ".part-x-a.tsv", ".part-2-a.tsv.gz", ".part-3-a.tsv")]
    for other in others:
        other.write_text("of another file, or being written now")
    for other in others[:3]:
        os.utime(other, (0, 0))
    with write_whole(target) as part:
        part.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([target, *others])


def test_json_has_null_for_nan_and_infinity(tmp_path: Path) -> None:
    write_json({"a": [math.nan, math.inf, -math.inf, 1.5], "b": np.float32("inf")}, tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [None, None, None, 1.5], "b": None}


def test_an_unmatched_quotation_mark_in_a_users_table_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text('task\tdescription\nx\t"5 prime\ny\tb"\n')
    with pytest.raises(InputError, match=r"a.tsv, row 1, column description: a quotation mark"):
        files.read_user_table(tmp_path / "a.tsv")
    (tmp_path / "b.tsv").write_text('task\tdescription\nx\t"5"" prime"\ny\t5" b\n')
    assert files.read_user_table(tmp_path / "b.tsv")["description"].tolist() == ['5" prime', '5" b']
