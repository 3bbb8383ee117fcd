"""Names and strand pairs of the tasks of a network."""

from pathlib import Path

import pytest

from cisnake.data.coverage.tracks import read_network_tasks
from cisnake.errors import InputError


def test_without_a_table_tasks_are_numbered() -> None:
    assert read_network_tasks(None, 2) == (["task_0", "task_1"], None)


@pytest.mark.parametrize(
    ("text", "names", "pairs"),
    [
        ("task\tgroup\nheat\ta\ncold\tb\n", ["heat", "cold"], None),
        # Basenji's table of targets, with the numbers of its first column.
        ("\tidentifier\tstrand_pair\n5\tplus\t6\n6\tminus\t5\n7\tATAC\t7\n", ["plus", "minus", "ATAC"], [1, 0, 2]),
        ("identifier\tstrand_pair\nplus\tminus\nminus\tplus\n", ["plus", "minus"], [1, 0]),
    ],
)
def test_names_and_partners_are_those_of_the_table(
    text: str, names: list[str], pairs: list[int] | None, tmp_path: Path
) -> None:
    (tmp_path / "a.tsv").write_text(text)
    assert read_network_tasks(tmp_path / "a.tsv", len(names)) == (names, pairs)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name\na\nb\n", "has no column task or identifier: its columns are name"),
        ("task\na\n", "names 1 tasks, but the network predicts 2"),
        ("identifier\tstrand_pair\nplus\tminus\nminus\tminus\n", "must name each other"),
    ],
)
def test_other_tables_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_network_tasks(tmp_path / "a.tsv", 2)
