"""Validation against the configuration schema: defaults, and readable messages for violations."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema
import yaml

from cisnake.configuration.keys import SCHEMA, listed
from cisnake.errors import InputError, nearest, unknown_name

# Path of a section or of a key in a section. Contrasts, which are named by the user, have one level more.
Place = tuple[str, ...]
_CONTRASTS = ("attribution", "contrasts")


@functools.cache
def load_schema() -> Mapping[str, Any]:
    """Return the schema. It is cached: do not modify it."""
    return yaml.load(SCHEMA.read_text(encoding="utf-8"), yaml.CSafeLoader)


def resolve(part: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a part of the schema with its `$ref` resolved."""
    if "$ref" not in part:
        return part
    return {**schema["$defs"][part["$ref"].rpartition("/")[2]], **part}


def apply_schema(config: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill in defaults, convert numbers to the types of the schema, and raise InputError for violations; in place."""
    problems, _ = fill_defaults(config, schema)
    if problems:
        raise InputError(listed(problems))


def fill_defaults(config: dict[str, Any], schema: Mapping[str, Any]) -> tuple[list[str], set[Place]]:
    """Fill in defaults, and replace values that violate the schema with their defaults, in place.

    Parameters
    ----------
    config: dict
        The configuration. It is modified: afterwards it has every section of the schema, and no value has a wrong type.
    schema: mapping
        The schema.

    Returns
    -------
    problems: list of str
        One message per violation.
    unsound: set of Place
        Keys whose values are unreliable: those that were invalid or missing, and absent keys that an unknown key may be
        meant for.
    """
    original = copy.deepcopy(config)
    _fill(config, schema, schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(config))
    unsound = {place for error in errors for place in _unsound(error, original)}
    problems = [sentence for error in errors if not _follows(error, unsound) for sentence in _sentences(error)]
    for *parents, last in sorted(unsound):
        section = functools.reduce(lambda part, name: part.get(name, {}), parents, config)
        if parents:
            section.pop(last, None)
        elif last in schema["properties"]:
            section[last] = {}
    if unsound:
        _fill(config, schema, schema)
    return list(dict.fromkeys(problems)), unsound


def _unsound(error: jsonschema.ValidationError, section: Any) -> Iterator[Place]:
    """Yield the keys whose values are unreliable after an error; `section` is the configuration as the user wrote it."""
    path: Place = tuple(map(str, error.absolute_path))
    names = [path]
    if error.validator == "additionalProperties":
        for step in error.absolute_path:
            section = section[step]
        known = error.schema["properties"]
        absent = [key for key in known if key not in section]
        names = [(*path, near) for key in section if key not in known for near in nearest(str(key), absent)]
    elif error.validator == "required":
        names = [(*path, key) for key in error.validator_value if key not in error.instance]
    elif error.validator == "oneOf" and path == ("splits",):
        # The keys of splits are valid individually; only their combination is not.
        names = []
    yield from (name[: 3 if name[:2] == _CONTRASTS else 2] for name in names)


def _follows(error: jsonschema.ValidationError, unsound: set[Place]) -> bool:
    """Whether an error about the choice of keys in splits only follows from a misspelt or invalid key."""
    if error.validator != "oneOf" or list(error.absolute_path) != ["splits"]:
        return False
    keys = {key for choice in error.validator_value for key in choice["required"]}
    return ("splits",) in unsound or any(("splits", key) in unsound for key in keys)


def _fill(section: dict[str, Any], part: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    for key, inner in part.get("properties", {}).items():
        if key in section and section[key] is None and inner.get("type") == "object":
            section[key] = {}
        if key not in section and "default" in inner:
            section[key] = copy.deepcopy(inner["default"])
        if key in section:
            section[key] = _filled(section[key], inner, schema)
    # Values of a free mapping (contrasts by name) share one part.
    if isinstance(part.get("additionalProperties"), dict):
        for key in section.keys() - part.get("properties", {}).keys():
            section[key] = _filled(section[key], part["additionalProperties"], schema)


def _filled(value: Any, part: Mapping[str, Any], schema: Mapping[str, Any]) -> Any:
    """Return a value with defaults and types of its part of the schema; mappings are modified in place."""
    part = resolve(part, schema)
    if isinstance(value, dict):
        _fill(value, part, schema)
    elif isinstance(value, list) and "items" in part:
        return [_filled(item, part["items"], schema) for item in value]
    return _typed(value, part.get("type"))


def _typed(value: Any, kind: Any) -> Any:
    """Convert text to a number or boolean where the schema requires one.

    YAML reads 1e-4 as text, and Snakemake reads everything inside the braces of `--config 'peaks={threshold: 0.02}'` as text.
    Numbers are normalised, so that a change from 300 to 300.0 does not trigger a rerun.
    """
    if kind == ["number", "string"]:
        kind = "number"
    if kind == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    if kind not in ("integer", "number") or isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    try:
        if kind == "number":
            # NaN and infinity are not JSON and compare inconsistently with bounds: as text they are rejected.
            return float(value) if math.isfinite(float(value)) else str(value)
        return int(value) if not isinstance(value, float) or value.is_integer() else value
    except ValueError:
        return value
    except OverflowError:
        return str(value)


def _sentences(error: jsonschema.ValidationError) -> Iterator[str]:
    place = ".".join(str(part) for part in error.absolute_path)
    value = error.instance
    if error.validator == "additionalProperties":
        known = list(error.schema["properties"])
        for key in value:
            if key not in known:
                yield str(unknown_name(f"key in {place or 'the configuration'}", str(key), known))
    elif error.validator == "required":
        # jsonschema raises one identical error per missing key.
        for key in error.validator_value:
            if key not in value:
                yield f"{place or 'the configuration'} is missing {key}"
    elif error.validator == "oneOf" and place == "splits":
        yield (
            "splits needs exactly one of: validation and test (val or val_fraction, and test or test_fraction), folds, genes "
            "(a table), or regions (a table)"
        )
    elif error.validator == "oneOf" and isinstance(value, dict):
        for part in error.context or []:
            if part.validator != "type" or part.absolute_path != error.absolute_path:
                yield from _sentences(part)
    elif error.validator == "oneOf":
        yield f"{place} must be a path, or a mapping with url and sha256, not {value!r}"
    elif error.validator == "type" and error.validator_value == "string" and isinstance(value, (int, float)):
        # In `[chr2:1-500,000]`, YAML reads the comma as the end of an entry.
        region = "; if it is part of a region, quote all of it" if place.startswith(("splits.val", "splits.test")) else ""
        yield f"{place}: {value!r} is read as a number or boolean: put it in quotes{region}"
    else:
        # Numbers are stored as floats: print 3.0 as 3, as the user wrote it.
        whole = isinstance(value, float) and value.is_integer()
        message = error.message.replace(repr(value), f"{value:.16g}", 1) if whole else error.message
        yield f"{place or 'the configuration'}: {message}"
