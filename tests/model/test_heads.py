"""Heads of a parameter file that learn data sets of their own."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from cisnake.errors import InputError
from cisnake.model.heads import add_heads, own_head

FINAL = {"name": "final", "units": 7, "activation": "softplus"}


def params(**heads: Any) -> dict[str, Any]:
    return {"model": {"trunk": [], "seq_length": 64, **heads}, "train": {}}


def test_heads_of_the_file_are_used_as_they_are() -> None:
    # As in a params.json of Baskerville.
    given = params(head_human=FINAL, head_mouse=FINAL | {"units": 3})
    before = copy.deepcopy(given)
    assert own_head(given["model"], ["head_mouse"]) == "head_human" and own_head(given["model"], ["head_human"]) == "head_mouse"
    assert add_heads(given, ["head_mouse"]) == before and given == before


def test_other_heads_are_copies_of_the_own_one_with_tasks_of_their_own() -> None:
    given = params(head=[{"name": "dense", "units": 9}, FINAL])
    before = copy.deepcopy(given)
    added = add_heads(given, ["head_a", "head_b"])["model"]
    copied = [{"name": "dense", "units": 9}, {"name": "final", "activation": "softplus"}]
    assert added["head_a"] == added["head_b"] == copied and added["head"] == given["model"]["head"]
    assert list(added) == ["trunk", "seq_length", "head", "head_a", "head_b"] and given == before


def test_if_all_heads_of_the_file_have_data_the_run_has_one_more() -> None:
    given = params(head_human=FINAL, head_mouse=FINAL | {"units": 3})
    names = ["head_human", "head_mouse"]
    assert own_head(given["model"], names) == "head"
    assert add_heads(given, names)["model"]["head"] == [{"name": "final", "activation": "softplus"}]


@pytest.mark.parametrize(
    ("heads", "names", "message"),
    [
        ({"head_a": FINAL, "head_b": FINAL}, [], "has the heads head_a, head_b, but the run has a data set for only one"),
        ({"head_a": FINAL, "head_b": FINAL}, ["head_c"], "name those of the others in train.heads, or remove these heads"),
        ({"head": FINAL}, ["head"], "train.heads includes head, the head of the run itself: give it another name"),
    ],
)
def test_heads_without_data_are_named(heads: dict[str, Any], names: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        add_heads(params(**heads), names)
