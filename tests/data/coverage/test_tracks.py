"""Tables of tracks, including those of Basenji, are read; an error lists all problems with their lines."""

from __future__ import annotations

import numpy as np
import pytest

from cisnake.data.coverage.tracks import as_bigwigs, read_tracks
from cisnake.errors import InputError

FILES = ("a.bw", "b.bigWig", "c.BAM", "d.narrowPeak.gz", "e.tsv.gz", "f.bed3", "g.data")


@pytest.fixture
def table(tmp_path):
    (tmp_path / "data").mkdir()
    for name in FILES:
        (tmp_path / "data" / name).touch()

    def read(*rows):
        path = tmp_path / "tracks.tsv"
        path.write_text("".join(row.replace(" ", "\t") + "\n" for row in rows))
        return read_tracks(path, tmp_path / "data")

    return read


def test_minimal_table_has_defaults(table, tmp_path):
    tracks = table("file identifier", "a.bw x", "b.bigWig NA")
    assert tracks["identifier"].tolist() == ["x", "NA"]
    assert tracks["file"].tolist() == [str(tmp_path / "data" / name) for name in FILES[:2]]
    assert (tracks["format"] == "bigwig").all()
    assert np.isposinf(tracks[["clip", "clip_soft"]]).all(axis=None)
    assert (tracks[["scale", "sum_stat", "group", "description"]] == [1.0, "sum", "all", ""]).all(axis=None)
    assert tracks["strand_pair"].tolist() == [0, 1]


@pytest.mark.parametrize("index", [("index ", ""), (" ", ""), ("", "")], ids=["index", "unnamed", "rownames"])
def test_tables_of_basenji_and_baskerville(table, index):
    # Rows selected from a larger table: strand_pair has the row numbers of that table.
    tracks = table(
        index[0] + "identifier file clip clip_soft scale sum_stat strand_pair genome description",
        "34 n+ a.bw 384 64 0.3 sum_sqrt 35 0 RNA:liver",
        "35 n- b.bigWig 384 64 0.3 sum_sqrt 34 0 RNA:liver",
        "40 n c.BAM 32  2 mean 40 0 DNASE:liver",
    )
    assert tracks["strand_pair"].tolist() == [1, 0, 2]
    assert tracks["clip"].tolist() == [384, 384, 32]
    assert tracks["clip_soft"].tolist() == [64, 64, np.inf]
    assert tracks["scale"].tolist() == [0.3, 0.3, 2]
    assert tracks["sum_stat"].tolist() == ["sum_sqrt", "sum_sqrt", "mean"]
    assert tracks["description"].tolist() == ["RNA:liver", "RNA:liver", "DNASE:liver"]
    assert tracks["format"].tolist() == ["bigwig", "bigwig", "bam"]


def test_partners_by_row_and_by_identifier(table):
    assert table("identifier file strand_pair", "x a.bw 2", "y b.bigWig ", "z a.bw 0")["strand_pair"].tolist() == [2, 1, 0]
    assert table("identifier file strand_pair", "x a.bw z", "y b.bigWig y", "z a.bw x")["strand_pair"].tolist() == [2, 1, 0]


def test_formats(table):
    rows = [f"{name[0]} {name} " for name in FILES[:-1]]
    tracks = table("identifier file format", *rows, "g g.data bed", "h f.bed3 bed")
    assert tracks["format"].tolist() == ["bigwig", "bigwig", "bam", "bed", "fragments", "fragments", "bed", "bed"]
    made = as_bigwigs(tracks, "/made")
    assert (made["format"] == "bigwig").all()
    assert made["file"].tolist() == [*tracks["file"][:2], *(f"/made/{name}.bw" for name in "cdefgh")]
    assert tracks["format"][2] == "bam", "the input table is unchanged"


def test_what_make_track_counts(table):
    tracks = table("identifier file count strand", "x c.BAM ends +", "y c.BAM  ")
    assert tracks["count"].tolist() == ["ends", ""]
    assert tracks["strand"].tolist() == ["+", ""]


def test_paths_are_expanded(table, tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKS", str(tmp_path / "data"))
    monkeypatch.setenv("HOME", str(tmp_path))
    tracks = table("identifier file", "x $TRACKS/a.bw", "y ~/data/a.bw", f"z {tmp_path}/data/a.bw", "w ./a.bw")
    assert set(tracks["file"]) == {str(tmp_path / "data" / "a.bw")}
    (tmp_path / "other").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "other")
    (tmp_path / "b.bw").touch()
    # The parent of a link is the parent of its target.
    assert table("identifier file", "x link/.././b.bw")["file"].tolist() == [f"{tmp_path}/data/link/../b.bw"]
    with pytest.raises(InputError, match=r"~nobody-of-this-name/a\.bw, does not exist"):
        table("identifier file", "x ~nobody-of-this-name/a.bw")


def test_all_problems_are_listed_with_their_lines(table):
    with pytest.raises(InputError) as raised:
        table(
            "identifier file clip scale sum_stat strand_pair format strand",
            "x a.bw 3 1 sum 1  ",
            "y b.bigWig 3 1 sum 2  ",
            "x a.bw -3 1 sum   ",
            "z none.bw x 1 sum   ",
            "u g.data  inf sum   ",
            "v a.bw  0 sun q  ",
            "v/w a.bw   sum  bw ",
            "k c.BAM   sum   minus",
            " a.bw   sum   ",
            "m{1} a.bw   sum   ",
        )
    text = str(raised.value)
    for part in (
        "line 2: strand_pair of x is y, but that of y is x",
        "line 3: strand_pair of y is x, but that of x is x",
        "line 4: clip is '-3'",
        "line 4: the identifier x is not unique",
        "line 5: clip is 'x'",
        "none.bw, does not exist",
        "line 6: scale is 'inf'",
        "line 6: the suffix of g.data is not known",
        "line 7: scale is '0'",
        "line 7: unknown sum_stat 'sun': did you mean sum",
        "line 7: strand_pair is 'q'",
        "line 8: the identifier is 'v/w'",
        "line 9: unknown strand 'minus'",
        "line 10: the identifier is ''",
        "line 11: the identifier is 'm{1}': remove the braces",
    ):
        assert part in text, part
    with pytest.raises(InputError, match=r"line 2: unknown format 'bw'"):
        table("identifier file format", "x a.bw bw")


def test_partners_must_have_identical_settings(table):
    with pytest.raises(InputError, match=r"line 2: scale of x is 1.0, but 2.0 in its strand_pair y"):
        table("identifier file scale strand_pair", "x a.bw 1 y", "y b.bigWig 2 x")
    with pytest.raises(InputError, match=r"line 2: count of x is ends, but empty in its strand_pair y"):
        table("identifier file count strand strand_pair", "x c.BAM ends + y", "y c.BAM  - x")
    assert table("identifier file count strand strand_pair", "x c.BAM ends + y", "y c.BAM ends - x")["strand_pair"][0] == 1


def test_scale_may_be_negative(table):
    tracks = table("identifier file scale strand_pair", "x a.bw 0.5 y", "y b.bigWig -0.5 x")
    assert tracks["scale"].tolist() == [0.5, -0.5]
    with pytest.raises(InputError, match=r"line 2: scale is '0': it must be a number other than 0"):
        table("identifier file scale", "x a.bw 0")
    with pytest.raises(InputError, match=r"line 2: clip is '-1': it must be a number above 0"):
        table("identifier file clip", "x a.bw -1")


def test_columns(table, tmp_path):
    with pytest.raises(InputError, match=r"has no column file: its columns are identifier, path"):
        table("identifier path", "x a.bw")
    with pytest.raises(InputError, match=r"unknown column of .* 'clipsoft': did you mean clip_soft"):
        table("identifier file clipsoft", "x a.bw 3")
    with pytest.raises(InputError, match="has no rows"):
        table("identifier file")
    with pytest.raises(InputError, match=r"nothing.tsv does not exist"):
        read_tracks(tmp_path / "nothing.tsv")
