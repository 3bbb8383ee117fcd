import gzip
import math
import sqlite3

import numpy as np
import pytest

from cisnake.data.motif_database import Motif, fetch_jaspar, load_motifs, read_meme, write_meme
from cisnake.errors import InputError

HEAD = "MEME version 4\n\nALPHABET= ACGT\n\nstrands: + -\n\n"
ONE = "MOTIF M1 REB1\nletter-probability matrix: alength= 4 w= 2 nsites= 20 E= 0\n0.5 0.25 0.25 0\n0 0 0 1\n"


def meme(tmp_path, text):
    path = tmp_path / "motifs.meme"
    path.write_text(text)
    return path


def test_reads_ids_names_sites_and_probabilities(tmp_path):
    other = "\nMOTIF M2\nletter-probability matrix:\n 1.0\t0 0  0 \nURL http://example.org/0\n"
    first, second = read_meme(meme(tmp_path, HEAD + ONE + other))
    assert (first.id, first.name, first.n_sites, len(first)) == ("M1", "REB1", 20, 2)
    np.testing.assert_array_equal(first.probabilities, [[0.5, 0.25, 0.25, 0], [0, 0, 0, 1]])
    assert (second.id, second.name, second.n_sites, len(second)) == ("M2", "M2", 0, 1)


def test_output_of_the_program_meme_is_read(tmp_path):
    heading = "MOTIF GATTA MEME-1\twidth =   2  sites =  20  llr = 40  E-value = 1.0e-005\n"
    odds = "log-odds matrix: alength= 4 w= 2 n= 100 bayes= 6 E= 1e-5\n   100  -20  -20 -1000\n -1000 -1000 -1000 200\n---\n"
    for order in (odds + ONE.split("\n", 1)[1], ONE.split("\n", 1)[1] + odds):
        (motif,) = read_meme(meme(tmp_path, HEAD + heading + order))
        assert (motif.id, motif.name, motif.n_sites, len(motif)) == ("GATTA", "MEME-1", 20, 2)
        np.testing.assert_array_equal(motif.probabilities[0], [0.5, 0.25, 0.25, 0])


@pytest.mark.parametrize(
    "change", [("\n", "\r\n"), ("\n", "\r"), ("MEME v", "\ufeffMEME v"), ("MEME version", "MEME\tversion")]
)
def test_line_ends_and_byte_order_marks_are_ignored(tmp_path, change):
    path = tmp_path / "changed.meme"
    path.write_bytes((HEAD + ONE).replace(*change).encode())
    (motif,) = read_meme(path)
    assert (motif.id, motif.name, len(motif)) == ("M1", "REB1", 2)


def test_information_follows_its_definition():
    motif = Motif("m", "m", np.array([[0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25], [0, 0, 0, 1]]))
    np.testing.assert_allclose(motif.information, [1, 0, 2])


def test_a_missing_last_newline_and_gzip_change_nothing(tmp_path):
    plain = meme(tmp_path, (HEAD + ONE).rstrip("\n"))
    packed = tmp_path / "motifs.meme.gz"
    packed.write_bytes(gzip.compress((HEAD + ONE).encode()))
    for path in (plain, packed):
        np.testing.assert_array_equal(read_meme(path)[0].probabilities[1], [0, 0, 0, 1])


def test_rounded_rows_are_scaled_to_sum_to_one(tmp_path):
    (motif,) = read_meme(meme(tmp_path, HEAD + "MOTIF a\nletter-probability matrix: w= 1\n0.33 0.33 0.33 0.0\n"))
    assert math.isclose(motif.probabilities.sum(), 1, abs_tol=1e-15)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("MOTIF M1\n", 1, "MEME version"),
        (HEAD.replace("ACGT", "ACDEFGHIKLMNPQRSTVWY") + ONE, 3, "alphabet"),
        (HEAD + "MOTIF\n" + ONE, 7, "MOTIF <id>"),
        (HEAD + ONE.replace("REB1", "RE\0B1"), 7, "printable"),
        (HEAD + ONE.replace("nsites= 20", "nsites= -20"), 8, "must be numbers"),
        (HEAD + "a line\x0bno end\n" + ONE + ONE, 12, "twice"),
        (HEAD + ONE + ONE, 11, "twice"),
        (HEAD + "MOTIF M0 x\n" + ONE, 7, "no 'letter-probability matrix:'"),
        (HEAD + ONE + "MOTIF M9", 11, "no 'letter-probability matrix:'"),
        (HEAD + ONE.replace("w= 2", "w= 3"), 10, "2 rows"),
        (HEAD + ONE.replace("w= 2", "w= 1"), 10, "2 rows"),
        (HEAD + ONE.replace("w= 2", "w= two"), 8, "must be numbers"),
        (HEAD + ONE.replace("alength= 4", "alength= 20"), 8, "alength= 20"),
        (HEAD + ONE.replace("0 0 0 1", "0 0 1"), 10, "this row has 3"),
        (HEAD + ONE.replace("0 0 0 1", "0 0 0.5 0"), 10, "sum to 1"),
        (HEAD + ONE.replace("0 0 0 1", "0 -1 1 1"), 10, "sum to 1"),
        (HEAD + ONE.replace("0 0 0 1", "0 0 0 nan"), 10, "sum to 1"),
        (HEAD + ONE.replace("0 0 0 1", "0 0 0 x"), 9, "1 rows"),
        (HEAD + ONE.replace("0 0 0 1\n", "0 0 0 1\nURL x\n0 0 0 1\n"), 12, "outside the matrix"),
        (HEAD + ONE.split("MOTIF M1 REB1\n")[1], 7, "this matrix has no MOTIF line"),
        (HEAD + ONE + ONE.split("MOTIF M1 REB1\n")[1], 11, "this matrix has no MOTIF line"),
    ],
)
def test_errors_of_malformed_files_name_the_line(tmp_path, text, line, words):
    path = meme(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_meme(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert words in str(error.value)


@pytest.mark.parametrize("text", ["", HEAD, "\n\n"])
def test_file_without_motifs_is_an_error(tmp_path, text):
    with pytest.raises(InputError, match="has no motifs"):
        read_meme(meme(tmp_path, text))


def test_missing_or_binary_file_is_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_meme(tmp_path / "none.meme")
    (tmp_path / "x.meme").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(InputError, match="not text"):
        read_meme(tmp_path / "x.meme")
    (tmp_path / "x.meme.gz").write_bytes(gzip.compress(HEAD.encode() * 50)[:40])
    with pytest.raises(InputError, match="cannot be read"):
        read_meme(tmp_path / "x.meme.gz")


def test_written_motifs_are_read_back(tmp_path):
    rng = np.random.default_rng(0)
    motifs = [Motif(f"M{i}.1", f"name {i}", rng.dirichlet(np.ones(4), 5 + i), 7 * i) for i in range(4)]
    write_meme(motifs, tmp_path / "sub" / "motifs.meme")
    for before, after in zip(motifs, read_meme(tmp_path / "sub" / "motifs.meme"), strict=True):
        assert (before.id, before.name, before.n_sites) == (after.id, after.name, after.n_sites)
        np.testing.assert_allclose(after.probabilities, before.probabilities, atol=2e-6)


def test_jaspar_has_the_latest_versions_with_normalised_counts():
    import pyjaspar

    motifs = {motif.id: motif for motif in load_motifs("jaspar:2026/fungi")}
    assert len(motifs) == 193
    assert list(motifs) == sorted(motifs)
    assert len({motif_id.split(".")[0] for motif_id in motifs}) == 193
    database = sqlite3.connect(pyjaspar.utils.get_jaspardb_path("JASPAR2026.sqlite"))
    rows = database.execute(
        "SELECT col, row, d.val FROM MATRIX m JOIN MATRIX_DATA d ON m.ID = d.ID "
        "WHERE m.BASE_ID = 'MA0265' AND m.VERSION = 3 AND m.COLLECTION = 'CORE'"
    ).fetchall()
    counts = np.zeros((14, 4))
    for col, row, value in rows:
        counts[col - 1, "ACGT".index(row)] = value
    reb1 = motifs["MA0265.3"]
    assert (reb1.name, reb1.n_sites) == ("ABF1", 427)
    np.testing.assert_allclose(reb1.probabilities, counts / counts.sum(axis=1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("jaspar:2025/fungi", "unknown JASPAR release '2025': did you mean 202"),
        ("jaspar:2026/fungus", "did you mean fungi"),
        ("jaspar:2026", "jaspar:<release>/<taxonomic group>"),
        ("jaspar:/fungi", "jaspar:<release>/<taxonomic group>"),
    ],
)
def test_unknown_collections_suggest_the_nearest_name(source, words):
    with pytest.raises(InputError, match=words):
        load_motifs(source)


def test_every_release_can_be_read():
    assert len(fetch_jaspar("2024", "fungi")) == 178
