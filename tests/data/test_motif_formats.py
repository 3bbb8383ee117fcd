"""The same motif in every format gives the same probabilities; malformed files name the line."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from cisnake.data import load_motifs, read_motifs, write_meme
from cisnake.errors import InputError

# Positions by A C G T.
FIRST = np.array([[0, 94, 1, 5], [3, 75, 0, 22], [79, 4, 3, 14], [40, 3, 4, 53], [25, 25, 25, 25], [1, 0, 99, 0]])
SECOND = np.array([[10, 0, 0, 0], [0, 10, 0, 0], [1, 2, 3, 4], [4, 3, 2, 1]])
IDS = ["MA0001.1", "MA0002.2"]
NAMES = ["AGL3", "RUNX1 (long form)"]


def jaspar(letters="ACGT", brackets=True, tab="\t") -> str:
    text = ""
    for motif_id, name, counts in zip(IDS, NAMES, (FIRST, SECOND), strict=True):
        text += f">{motif_id}{tab}{name}\n"
        for base in letters:
            row = "  ".join(map(str, counts[:, "ACGT".index(base)]))
            text += f"{base}  [ {row} ]\n" if brackets else f"{base} {row}\n"
    return text


def pfm() -> str:
    return "".join(
        f">{motif_id} {name}\n" + "".join(" ".join(map(str, row)) + "\n" for row in counts.T)
        for motif_id, name, counts in zip(IDS, NAMES, (FIRST, SECOND), strict=True)
    )


def transfac(order="ACGT", key="PO", consensus="", head="VV  TRANSFAC MATRIX TABLE\nXX\n//\n") -> str:
    text = head
    for motif_id, name, counts in zip(IDS, NAMES, (FIRST, SECOND), strict=True):
        text += f"AC  {motif_id}\nXX\nID  V$X_{motif_id[2:6]}\nNA  {name}\nDE  about\n{key}  {'  '.join(order)}\n"
        for i, row in enumerate(counts, 1):
            text += f"{i:02d}\t" + "\t".join(str(row["ACGT".index(base)]) for base in order) + f"{consensus}\n"
        text += "XX\nBA  100 sites\nCC  a comment\n//\n"
    return text


def homer() -> str:
    return "".join(
        f">CCAT\t{motif_id}\t8.06\t-23791.5\t0\tT:17311.0(44.36%),B:2181.5(5.80%),P:1e-10317\n"
        + "".join("\t".join(f"{value / row.sum():.6f}" for value in row) + "\n" for row in counts)
        for motif_id, counts in zip(IDS, (FIRST, SECOND), strict=True)
    )


def meme(folder: Path) -> str:
    (folder / "from.jaspar").write_text(jaspar())
    write_meme(read_motifs(folder / "from.jaspar"), folder / "made.meme")
    return (folder / "made.meme").read_text()


FORMATS = {
    "JASPAR": jaspar(),
    "JASPAR, other order": jaspar("TGCA"),
    "JASPAR, plain": jaspar(brackets=False, tab=" "),
    "PFM": pfm(),
    "TRANSFAC": transfac(),
    "TRANSFAC, other order": transfac("TGCA", "P0", "\tN", ""),
    "TRANSFAC, tabs": transfac().replace("  ", "\t").removesuffix("//\n"),
    "HOMER": homer(),
    "MEME": "",
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("change", [("\n", "\n"), ("\n", "\r\n"), ("\n", "\n\n"), ("", "\ufeff")])
def test_the_same_motifs_in_every_format_have_the_same_probabilities(tmp_path, form, change):
    path = tmp_path / "motifs.txt"
    text = FORMATS[form] or meme(tmp_path)
    path.write_bytes((change[1] + text if change[0] == "" else text.replace(*change)).encode())
    packed = tmp_path / "motifs.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for source in (path, packed):
        motifs = load_motifs(source)
        assert [motif.id for motif in motifs] == IDS
        for motif, counts in zip(motifs, (FIRST, SECOND), strict=True):
            expected = counts / counts.sum(axis=1, keepdims=True)
            rounded = 1e-6 if form in ("HOMER", "MEME") else 1e-15
            np.testing.assert_allclose(motif.probabilities, expected, atol=rounded)
            np.testing.assert_allclose(motif.probabilities.sum(axis=1), 1, atol=1e-15)
            assert motif.n_sites == (0 if form == "HOMER" else counts[0].sum())
        assert [motif.name for motif in motifs] == (IDS if form == "HOMER" else NAMES)


def test_names_of_homer_keep_what_tells_motifs_apart(tmp_path):
    path = tmp_path / "known.motifs"
    rows = "0.97\t0.01\t0.01\t0.01\n" * 4
    path.write_text(f">AGAGGAAGTG\tPU.1(ETS)/ThioMac-PU.1-ChIP-Seq(GSE21512)/Homer\t7.2\t0\n{rows}>NN\t2-GATA x\t6\n{rows}")
    first, second = read_motifs(path)
    assert (first.id, first.name) == ("PU.1(ETS)/ThioMac-PU.1-ChIP-Seq(GSE21512)/Homer", "PU.1(ETS)")
    assert (second.id, second.name) == ("2-GATA_x", "2-GATA x")
    write_meme([first, second], tmp_path / "again.meme")
    assert [motif.id for motif in read_motifs(tmp_path / "again.meme")] == [first.id, second.id]
    # Four rows are positions under HOMER's heading, and bases under JASPAR's.
    assert (first.probabilities[:, 0] == 0.97).all()


def test_a_matrix_without_a_heading_is_named_after_the_file(tmp_path):
    for text in ("1 2 3\n1 0 0\n1 0 0\n1 0 1\n", "A [1 2 3]\nC [1 0 0]\nG [1 0 0]\nT [1 0 1]\n"):
        path = tmp_path / "MYB.pfm"
        path.write_text(text)
        (motif,) = read_motifs(path)
        assert (motif.id, motif.name, len(motif)) == ("MYB", "MYB", 3)
        np.testing.assert_array_equal(motif.probabilities[2], [0.75, 0, 0, 0.25])


def test_rows_per_position_are_seen_without_homers_heading(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text(">a\n0.7 0.1 0.1 0.1\n0 0 0 1\n>b\n0.7 0.1 0.1 0.1\n1 0 0 0\n1 0 0 0\n0 1 0 0\n")
    first, second = read_motifs(path)
    np.testing.assert_allclose(first.probabilities, [[0.7, 0.1, 0.1, 0.1], [0, 0, 0, 1]])
    np.testing.assert_allclose(second.probabilities[[0, 3]], [[0.7, 0.1, 0.1, 0.1], [0, 1, 0, 0]])


def test_probabilities_and_fractions_of_counts_are_told_apart(tmp_path):
    path = tmp_path / "m.txt"
    path.write_text(">a\nA 0.33 2.5\nC 0.33 2.5\nG 0.33 2.5\nT 0 2.5\n>b\nA 0.33 0.5\nC 0.33 0.5\nG 0.33 0\nT 0 0\n")
    counts, probabilities = read_motifs(path)
    np.testing.assert_allclose(counts.probabilities, [[1 / 3] * 3 + [0], [0.25] * 4])
    np.testing.assert_allclose(probabilities.probabilities, [[1 / 3] * 3 + [0], [0.5, 0.5, 0, 0]])
    assert (counts.n_sites, probabilities.n_sites) == (1, 0)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (">a\nA 1 2\nC 1 2\nG 1 2\n", 2, "must have four rows"),
        (">a\nA 1 2\nC 1 2\nG 1 2\nG 1 2\n", 2, "must have four rows"),
        (">a\nA 1 2\nC 1 2\nG 1 2\nT 1\n", 5, "1 numbers in this row, but 2 in the first"),
        (">a\nA 1 2\nC 1 x\nG 1 2\nT 1 2\n", 3, "'C 1 x' is not a row of counts"),
        (">a\nA 1 2\nC 1 -2\nG 1 2\nT 1 2\n", 3, "is not a row of counts"),
        (">a\nA 1 0\nC 1 0\nG 1 0\nT 1 0\n", 2, "position 2 of motif 'a' has no counts"),
        (">a\nA .3 .5\nC .3 .5\nG .3 .5\nT .1 .5\n", 2, "position 2 of motif 'a' has probabilities that sum to 2, not 1"),
        (">a\n>b\nA 1\nC 1\nG 1\nT 1\n", 1, "motif 'a' has no matrix"),
        (">a\nA 1\nC 1\nG 1\nT 1\n>\nA 1\nC 1\nG 1\nT 1\n", 6, "'>id name'"),
        (">a\nA 1\nC 1\nG 1\nT 1\n>a\nA 1\nC 1\nG 1\nT 1\n", 6, "'a' occurs twice"),
        (">AC\ta\t5\n0.5\t0.5\t0\t0\n0.5\t0\t0\t0.1\n", 3, "position 2 of motif 'a' has probabilities that sum to 0.6"),
        (">AC\ta\t5\n0.5\t0.5\t0\n", 2, "must have four numbers"),
        ("AC a\nP0 A C G\n01 1 2 3 4\n//\n", 2, "one line P0 with the bases"),
        ("AC a\n01 1 2 3 4\n//\n", 2, "before the line P0"),
        ("AC a\nPO A C G T\n01 1 2 3\n//\n", 3, "this row has 3 numbers"),
        ("AC a\nPO A C G T\n01 1 2 N 3\n//\n", 3, "not a row of counts"),
        ("XX\nPO A C G T\n01 1 2 3 4\n//\n", 3, "has no id"),
        ("AC a\nPO A C G T\n//\n", 1, "has no matrix"),
        ("AC a\nPO A C G T\n01 0 0 0 0\n//\n", 3, "position 1 of motif 'a' has no counts"),
        ("AC a\nPO A C G T\n01 1 0 0 0\n//\nAC a\nPO A C G T\n01 1 0 0 0\n//\n", 5, "'a' occurs twice"),
        ("motif a\n1 0 0 0\n", 1, "formats are MEME, JASPAR, TRANSFAC, HOMER"),
    ],
)
def test_malformed_files_name_the_line(tmp_path, text, line, words):
    path = tmp_path / "motifs.txt"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_motifs(path)
    assert str(error.value).startswith(f"{path}, line {line}: ")
    assert words in str(error.value)
