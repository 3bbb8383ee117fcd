"""The schema of the configuration: defaults from it, and sentences about what it does not allow."""

from __future__ import annotations

import copy
import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import yaml

from cisnake.configuration.keys import SCHEMA, listed
from cisnake.errors import InputError, unknown_name


@functools.cache
def load_schema() -> Mapping[str, Any]:
    """Return the schema; not to be changed."""
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), yaml.CSafeLoader)


def resolve(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the schema with what it refers to in place."""
    if "$ref" not in part:
        return part
    return {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part}


def apply_schema(config: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in defaults, and refuse what the schema does not allow."""
    _fill(config, schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    problems = list(dict.fromkeys(sentence for error in errors for sentence in _sentences(error)))
    if problems:
        raise InputError(listed(problems))


def _fill(value: dict[str, Any], schema: Mapping[str, Any]) -> None:
    for key, part in schema.get("properties", {}).items():
        if key in value and value[key] is None and part.get("type") == "object":
            value[key] = {}
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
        elif isinstance(value.get(key), str):
            value[key] = _typed(value[key], part.get("type"))
        if isinstance(value.get(key), dict):
            _fill(value[key], part)
            # Values of a free mapping (contrasts by name) share one schema.
            if isinstance(part.get("additionalProperties"), dict):
                for member in value[key].values():
                    if isinstance(member, dict):
                        _fill(member, part["additionalProperties"])


def _typed(text: str, kind: str | None) -> Any:
    """Return the number or truth value that a text stands for, where the schema asks for one.

    YAML reads 1e-4 as text, and Snakemake whatever stands inside the braces of `--config 'peaks={threshold: 0.02}'`.
    """
    try:
        if kind in ("integer", "number"):
            return int(text) if kind == "integer" else float(text)
    except ValueError:
        return text
    return {"true": True, "false": False}.get(text.lower(), text) if kind == "boolean" else text


def _sentences(error: jsonschema.ValidationError) -> Iterator[str]:
    place = ".".join(str(part) for part in error.absolute_path)
    value = error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in value:
            if key not in known:
                yield str(unknown_name(f"key in {place or 'the configuration'}", str(key), known))
    elif error.validator == "required":
        # There is one such error for each missing key, all alike.
        for key in error.validator_value:
            if key not in value:
                yield f"{place or 'the configuration'} lacks {key}"
    elif error.validator == "oneOf" and place == "splits":
        yield (
            "splits needs exactly one of: val and test (chromosomes), folds, val_fraction and test_fraction, or genes (a table)"
        )
    elif error.validator == "oneOf" and isinstance(value, dict):
        for part in error.context or []:
            if part.validator != "type" or part.absolute_path != error.absolute_path:
                yield from _sentences(part)
    elif error.validator == "oneOf":
        yield f"{place} must be a path, or url and sha256, not {value!r}"
    elif error.validator == "type" and error.validator_value == "string" and isinstance(value, (int, float)):
        yield f"{place}: {value!r} is read as a number or truth value: put it in quotes"
    else:
        yield f"{place or 'the configuration'}: {error.message}"
