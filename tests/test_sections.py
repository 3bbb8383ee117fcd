"""The dataclasses of configuration sections match the schema."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

import pytest
import yaml

from cisnake import configuration, sections
from cisnake.sections import Sections, as_section

SCHEMA = yaml.safe_load(configuration.SCHEMA.read_text(encoding="utf-8"))
PYTHON = {"string": str, "integer": int, "number": float, "boolean": bool}


def members(hint: Any) -> list[Any]:
    return list(typing.get_args(hint)) if typing.get_origin(hint) in (types.UnionType, typing.Union) else [hint]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    return part if "$ref" not in part else {**SCHEMA["$defs"][part["$ref"].rpartition("/")[2]], **part}


def differences(place: str, hint: Any, part: dict[str, Any], optional: bool) -> list[str]:
    """Yield the differences between a dataclass and its part of the schema."""
    part = resolved(part)
    kinds = [kind for kind in members(hint) if kind is not type(None)]
    found = []
    if optional != (type(None) in members(hint)):
        found.append(f"{place}: may be left out without default: {optional}, but the type is {hint}")
    if "oneOf" in part and place.count("."):
        return found if set(kinds) == {str, dict[str, str]} else [*found, f"{place}: {hint} is no path or address"]
    if "enum" in part:
        return found if kinds == [type(part["enum"][0])] else [*found, f"{place}: {hint}, but one of {part['enum']}"]
    declared = part["type"] if isinstance(part["type"], list) else [part["type"]]
    if len(kinds) != len(declared):
        return [*found, f"{place}: {hint}, but {declared}"]
    for name in declared:
        inner = [kind for kind in kinds if typing.get_origin(kind) is {"array": tuple, "object": dict}.get(name, ...)]
        if name == "array":
            found += differences(f"{place}[]", typing.get_args(inner[0])[0], part["items"], False) if inner else [place]
        elif name == "object" and part.get("properties"):
            classes = [kind for kind in kinds if dataclasses.is_dataclass(kind)]
            found += of_class(place, classes[0], part) if classes else [f"{place}: {hint} is no section"]
        elif name == "object":
            values = part.get("additionalProperties", {})
            found += differences(f"{place}.*", typing.get_args(inner[0])[1], values, False) if values else []
        elif PYTHON[name] not in kinds:
            found.append(f"{place}: {hint}, but {name}")
    return found


def of_class(place: str, kind: type, part: dict[str, Any]) -> list[str]:
    hints = typing.get_type_hints(kind)
    if set(hints) != set(part["properties"]):
        return [f"{place}: {sorted(set(hints) ^ set(part['properties']))} are in one of type and schema only"]
    required = part.get("required", [])
    return [
        problem
        for name, inner in part["properties"].items()
        for problem in differences(
            f"{place}.{name}".lstrip("."), hints[name], inner, name not in required and "default" not in resolved(inner)
        )
    ]


def test_dataclasses_match_the_schema() -> None:
    # Optional sections are filled with their defaults and therefore always present.
    assert [text for text in of_class("", Sections, SCHEMA) if "may be left out" not in text or "." in text.split(":")[0]] == []


def test_no_default_is_defined_twice() -> None:
    for kind in vars(sections).values():
        if dataclasses.is_dataclass(kind):
            assert all(
                field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
                for field in dataclasses.fields(kind)
            )


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"report": {"top_genes": {"type": "string", "default": "3"}}}, "report.top_genes"),
        ({"report": {"other": {"type": "string", "default": "3"}}}, "other"),
        ({"report": {"top_motifs": {"type": "integer"}}}, "report.top_motifs"),
        ({"peaks": {"method": {"enum": [1, 2], "default": 1}}}, "peaks.method"),
        ({"attribution": {"shifts": {"type": "array", "items": {"type": "string"}, "default": []}}}, "attribution.shifts"),
    ],
)
def test_a_difference_is_detected(change: dict[str, Any], problem: str) -> None:
    ((section, properties),) = change.items()
    part = SCHEMA["properties"][section]
    changed = {**part, "properties": {**part["properties"], **properties}}
    found = differences(section, typing.get_type_hints(Sections)[section], changed, False)
    assert len(found) == 1 and problem in found[0]


def test_a_key_that_was_not_requested_is_missing() -> None:
    windows = {"anchor": "tss", "upstream": 5, "downstream": 6, "max_shift": 1, "max_n_fraction": 0}
    some = as_section(Sections, {"windows": windows, "run": {"name": "a", "seed": 3}}, ["windows.upstream", "run.seed"])
    assert (some.windows.upstream, some.run.seed) == (5, 3)
    for read in (lambda: some.windows.downstream, lambda: some.run.name, lambda: some.peaks):
        with pytest.raises(AttributeError):
            read()
    whole = as_section(sections.WindowsSection, windows)
    assert whole == sections.WindowsSection("tss", 5, 6, 1, 0.0) and isinstance(whole.max_n_fraction, float)
