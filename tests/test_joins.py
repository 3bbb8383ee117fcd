"""Explanations of failed joins: examples of either side, and the difference between the names."""

from __future__ import annotations

import pytest

from cisnake.errors import unknown_name
from cisnake.joins import alike, explain_mismatch


@pytest.mark.parametrize(
    ("ours", "theirs", "difference"),
    [
        (["Brca1", "Tp53"], ["TP53"], "They differ in upper and lower case (Tp53, TP53)"),
        (["ENSG01.5"], ["x", "ENSG01"], "They differ in the version suffix (ENSG01.5, ENSG01)"),
        (["ENSG01.5"], ["ENSG01.17"], "They differ in the version suffix (ENSG01.5, ENSG01.17)"),
        (["g1"], ["g1 "], "They differ in blanks or quotation marks (g1, 'g1 ')"),
        (['"g1"'], ["g1"], "They differ in blanks or quotation marks ('\"g1\"', g1)"),
        (["gene:AT1"], ["AT1"], "They differ in a prefix such as gene: or transcript: (gene:AT1, AT1)"),
        (["transcript:AT1"], ["AT1"], "a prefix such as gene: or transcript:"),
        (["rna-NM_1"], ["NM_1"], "a prefix such as gene: or transcript:"),
        (["1", "X"], ["chrX"], "They differ in the prefix chr (X, chrX)"),
        (["AAAC-1"], ["AAAC"], "They differ in a numeric suffix such as -1 (AAAC-1, AAAC)"),
        (
            ["gene:At1"],
            ["AT1"],
            "They differ in upper and lower case and a prefix such as gene: or transcript: (gene:At1, AT1)",
        ),
        (["Chr1"], ["1"], "the prefix chr (Chr1, 1)"),
    ],
)
def test_what_differs_is_named_from_either_side(ours: list[str], theirs: list[str], difference: str) -> None:
    assert difference in explain_mismatch("a", ours, "b", theirs)
    assert difference.partition(" (")[0] in explain_mismatch("b", theirs, "a", ours)


def test_unrelated_names_are_only_shown() -> None:
    text = explain_mismatch("the matrix", ["a", "b", "c", "d"], "the annotation", ["x", "y"])
    assert text == "the matrix has a, b, c and 1 more; the annotation has x, y"


def test_examples_are_names_without_a_match() -> None:
    text = explain_mismatch("one", ["same", "a"], "the other", ["b", "same", "c"])
    assert text == "one has a; the other has b, c"
    assert explain_mismatch("one", ["same"], "the other", ["same", "c"]) == "one has no others; the other has c"


def test_a_cause_is_named_only_if_its_names_meet() -> None:
    causes = {"it is transposed": (["t1"], ["t1", "t2"]), "they are symbols": (["s"], ["z"])}
    assert explain_mismatch("a", ["g1"], "b", ["G1"], causes) == "a has g1; b has G1. it is transposed"
    assert "upper and lower case" in explain_mismatch("a", ["g1"], "b", ["G1"], {"they are symbols": (["s"], ["z"])})


def test_empty_names_do_not_match_each_other() -> None:
    assert "They differ" not in explain_mismatch("a", [".1"], "b", ["gene:"])
    assert "a has ''" in explain_mismatch("a", [""], "b", ["x"])


def test_similar_spellings_are_suggested_first() -> None:
    assert alike("2", ["chr1", "chr2", "chr22"]) == ["chr2"]
    assert str(unknown_name("chromosome", "2", ["chr1", "chr2", "chr22"])) == "unknown chromosome '2': did you mean chr2?"
    assert "did you mean ENSG0001?" in str(unknown_name("gene", "gene:ENSG0001.7", ["ENSG0001", *map(str, range(20))]))
