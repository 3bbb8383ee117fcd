import pandas as pd
import pytest

import check_genes
from cisnake.data.windows.gene_choice import check_list, choose_genes
from cisnake.errors import InputError
from cisnake.files import write_table


def test_choice_of_genes(tmp_path):
    windows = pd.DataFrame({"gene_id": ["g1", "NA", "g3", "g4"], "split": ["train", "test", "val", "test"]})
    assert list(choose_genes(windows, "all")) == [0, 1, 2, 3]
    assert list(choose_genes(windows, "held_out")) == [1, 3]
    (tmp_path / "genes.txt").write_text("g4\n\n  NA \ng1\ng4\n")
    assert list(choose_genes(windows, str(tmp_path / "genes.txt"))) == [0, 1, 3]
    (tmp_path / "genes.txt").write_text("g4\ng33\n")
    with pytest.raises(InputError, match=r"unknown gene in .*'g33': did you mean g3"):
        choose_genes(windows, str(tmp_path / "genes.txt"))
    (tmp_path / "genes.txt").write_text("\n")
    with pytest.raises(InputError, match="contains no gene ids"):
        choose_genes(windows, str(tmp_path / "genes.txt"))
    with pytest.raises(InputError, match="it must be all, held_out, or a file"):
        choose_genes(windows, "heldout")


def test_background_is_chosen_only_by_name(tmp_path):
    ids = ["a", "background:chr1:0-9", "b", "background:chr1:20-29"]
    windows = pd.DataFrame({"gene_id": ids, "split": ["test", "test", "train", "val"], "background": [0, 1, 0, 1]})
    assert list(choose_genes(windows, "all")) == [0, 2] and list(choose_genes(windows, "held_out")) == [0]
    (tmp_path / "genes.txt").write_text("b\nbackground:chr1:0-9\n")
    assert list(choose_genes(windows, str(tmp_path / "genes.txt"))) == [1, 2]


GENES = pd.DataFrame({"gene_id": ["g1", "NA", "g3"], "gene_name": ["ONE", "TWO", "THREE"]})
DROPPED = pd.DataFrame(
    {"gene_id": ["d1", "d2", "d3", "d4", "g1"], "gene_name": list("abcde"), "reason": ["no_label", "few_tasks", "x", "y", "z"]}
)


@pytest.mark.parametrize(
    ("listed", "message"),
    [
        ("g1\ng9\ng8\n", "lists 2 of 3 genes .* annotation: the list has g9, g8; the annotation has NA, g3, d1 and 3"),
        ("G1\n", r"They differ in upper and lower case \(G1, g1\)"),
        ("g1\nONE\n", "The list has gene names: list gene ids"),
        ("d1\n", r"all 1 genes of .* were dropped: d1 \(no_label\)\. List other genes; docs/troubleshooting\.md explains"),
        ("d4\nd2\nd1\nd3\n", r"all 4 genes .* dropped: d4 \(y\), d2 \(few_tasks\), d1 \(no_label\), …\. List other"),
        ("\n", "contains no gene ids"),
    ],
)  # fmt: skip
def test_a_list_that_cannot_be_attributed_is_an_error(tmp_path, listed: str, message: str):
    (tmp_path / "genes.txt").write_text(listed)
    with pytest.raises(InputError, match=message):
        check_list(tmp_path / "genes.txt", GENES, DROPPED)


def test_dropped_genes_of_a_list_are_skipped_with_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    # An id with a dropped second copy is of a selected gene.
    (tmp_path / "genes.txt").write_text("g3\nd2\n NA\ng1\ng3\n")
    assert check_list(tmp_path / "genes.txt", GENES, DROPPED) == ["g3", "NA", "g1"]
    assert "1 of 4 genes" in caplog.text and "left out: d2 (few_tasks)" in caplog.text
    caplog.clear()
    (tmp_path / "genes.txt").write_text("g1\n")
    assert check_list(tmp_path / "genes.txt", GENES, DROPPED) == ["g1"] and not caplog.records


def test_the_program_writes_a_list_that_later_programs_read(tmp_path):
    for name, table in (("genes", GENES), ("dropped", DROPPED)):
        write_table(table, tmp_path / f"{name}.tsv")
    (tmp_path / "list.txt").write_text("NA\nd1\ng1\n")
    names = {"list": "list.txt", "genes": "genes.tsv", "dropped": "dropped.tsv", "output": "out.txt"}
    check_genes.main(check_genes.parser().parse_args([f"--{option}={tmp_path / name}" for option, name in names.items()]))
    assert list(choose_genes(GENES.assign(split="test"), str(tmp_path / "out.txt"))) == [0, 1]
