"""Messages for unknown names, with suggestions."""

from __future__ import annotations

from cisnake.errors import InputError, unknown_name


def test_similar_names_are_suggested():
    error = unknown_name("task", "heet", ["heat", "cold", "acid"])
    assert isinstance(error, InputError)
    assert str(error) == "unknown task 'heet': did you mean heat?"
    message = str(unknown_name("task", "heat_", ["heat_1", "heat_2", "x"]))
    assert "did you mean" in message and "heat_1" in message and "heat_2" in message and "x" not in message.split()


def test_name_that_differs_by_case_alone():
    assert "did you mean HEAT?" in str(unknown_name("task", "heat", ["HEAT", "COLD"]))


def test_known_names_are_listed_or_counted():
    assert str(unknown_name("split", "zzz", ["train", "val"])) == "unknown split 'zzz': known names: train, val."
    assert "known names: none." in str(unknown_name("split", "zzz", []))
    message = str(unknown_name("gene", "zzz", (f"g{i}" for i in range(5000))))
    assert "there are 5000 known names" in message and len(message) < 120
