"""The schema of the configuration: defaults from it, and sentences about what it does not allow."""

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

# The name of a section, or of a section and a key in it; contrasts, which have names of their own, are a name deeper.
Place = tuple[str, ...]
_CONTRASTS = ("attribution", "contrasts")


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
    """Fill in defaults, give numbers the type that the schema asks for, and refuse what it does not allow."""
    problems, _ = mend(config, schema)
    if problems:
        raise InputError(listed(problems))


def mend(config: dict[str, Any], schema: Mapping[str, Any]) -> tuple[list[str], set[Place]]:
    """Fill in defaults, and put them in the place of what the schema does not allow.

    Parameters
    ----------
    config: dict
        It is changed. Afterwards every section of the schema is there, and nothing in it is of a wrong type.
    schema: mapping

    Returns
    -------
    problems: list of str
        What the schema does not allow.
    unsound: set of Place
        Keys whose values are not what the user meant: those that were wrong or missing, and those not given that an unknown
        key may have stood for.
    """
    given = copy.deepcopy(config)
    _fill(config, schema, schema)
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(config))
    unsound = {place for error in errors for place in _unsound(error, given)}
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


def _unsound(error: jsonschema.ValidationError, given: Any) -> Iterator[Place]:
    """Yield the keys that are not to be relied on after an error."""
    path: Place = tuple(map(str, error.absolute_path))
    names = [path]
    if error.validator == "additionalProperties":
        for step in error.absolute_path:
            given = given[step]
        known = error.schema["properties"]
        absent = [key for key in known if key not in given]
        names = [(*path, near) for key in given if key not in known for near in nearest(str(key), absent)]
    elif error.validator == "required":
        names = [(*path, key) for key in error.validator_value if key not in error.instance]
    elif error.validator == "oneOf" and path == ("splits",):
        # What is given there is right in itself.
        names = []
    yield from (name[: 3 if name[:2] == _CONTRASTS else 2] for name in names)


def _follows(error: jsonschema.ValidationError, unsound: set[Place]) -> bool:
    """Whether an error says of splits what another one has said: a choice among keys one of which is misnamed or wrong."""
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
    """Return a value of a part of the schema; what is inside a mapping is filled in where it stands."""
    part = resolve(part, schema)
    if isinstance(value, dict):
        _fill(value, part, schema)
    elif isinstance(value, list) and "items" in part:
        return [_filled(item, part["items"], schema) for item in value]
    return _typed(value, part.get("type"))


def _typed(value: Any, kind: Any) -> Any:
    """Return the number or truth value that a value stands for, where the schema asks for one.

    YAML reads 1e-4 as text, and Snakemake whatever stands inside the braces of `--config 'peaks={threshold: 0.02}'`. A number
    that is written in two ways, 300 and 300.0, is one value, and no reason to run a job again.
    """
    if kind == "boolean" and isinstance(value, str):
        return {"true": True, "false": False}.get(value.lower(), value)
    if kind not in ("integer", "number") or isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return value
    try:
        if kind == "number":
            # JSON has no others, and they pass every bound or none: as text they are refused.
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
        # Numbers stand here as they are kept, 3.0, and are named as they are written.
        whole = isinstance(value, float) and value.is_integer()
        message = error.message.replace(repr(value), f"{value:.16g}", 1) if whole else error.message
        yield f"{place or 'the configuration'}: {message}"
