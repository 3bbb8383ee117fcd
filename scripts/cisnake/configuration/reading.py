"""How a program reads what it needs of the configuration: from a file, key by key, or the schema's defaults."""

from __future__ import annotations

import argparse
import dataclasses
import textwrap
import typing
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from cisnake.configuration.programs import PROGRAMS
from cisnake.configuration.schema import apply_schema, load_schema, resolve
from cisnake.errors import InputError, unknown_name
from cisnake.sections import Sections, as_section

_WIDTH = 110


def add_options(parser: argparse.ArgumentParser, program: str) -> None:
    """Add `--config` and `--set` to a program, and to its help the keys of the configuration that it reads.

    Parameters
    ----------
    parser: argparse.ArgumentParser
    program: str
        A key of `PROGRAMS`.
    """
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="a run's configuration; without it every key has its default"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one key of the configuration; may be given again"
    )
    parser.epilog = "\n".join(["keys of the configuration:", *_described(load_schema(), "", PROGRAMS[program].all)])


def read(args: argparse.Namespace, program: str) -> Sections:
    """Return what a program reads of the configuration.

    Parameters
    ----------
    args: argparse.Namespace
        With what `add_options` adds.
    program: str
        A key of `PROGRAMS`. Only the keys of its row are attributes of what is returned.

    Raises
    ------
    InputError
        The file cannot be read, or a key is unknown, missing or wrong.
    """
    keys = PROGRAMS[program].all
    # What is only looked at when it is there is not asked for.
    optional = [key for key in PROGRAMS[program].other if "." in key]
    schema = _part(load_schema(), keys, optional)
    values = _only(read_file(args.config), schema) if args.config else {}
    for text in args.set:
        _set(values, schema, text)
    apply_schema(values, schema)
    return as_section(Sections, values, keys)


def section(name: str, **values: Any) -> Any:
    """Return a section of the configuration as its type, with the schema's defaults for keys that are left out.

    Parameters
    ----------
    name: str
        Dotted, as "windows" or "evaluate.baseline".
    **values
        Keys of the section, as in YAML.

    Returns
    -------
    dataclass
        The type that `cisnake.sections` has for the section.

    Raises
    ------
    InputError
        A key is unknown, missing or wrong.

    Examples
    --------
    >>> section("windows", upstream=500).downstream
    1000
    """
    schema: Mapping[str, Any] = load_schema()
    kind: Any = Sections
    part: Mapping[str, Any] = schema
    for key in name.split("."):
        part, hint = part["properties"][key], typing.get_type_hints(kind)[key]
        kind = next(choice for choice in (hint, *typing.get_args(hint)) if dataclasses.is_dataclass(choice))
    nested = {"properties": {name: part}, "required": [name], "$defs": schema["$defs"], "type": "object"}
    config = {name: values}
    apply_schema(config, nested)
    return as_section(kind, config[name])


def read_file(path: Path) -> dict[str, Any]:
    """Return a whole configuration as its file has it, such as one that the workflow stored.

    Raises
    ------
    InputError
        The file cannot be read, or is no YAML with sections.
    """
    if not path.exists():
        # A job that waited in a queue reads what the run's configuration is by then.
        raise InputError(
            f"{path} is not there: a run stores its configuration when it starts. If yours was changed since, start the run "
            "again."
        )
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a configuration in YAML: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} has no sections: a configuration starts with sections such as run and peaks.")
    return values


def _part(schema: Mapping[str, Any], keys: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Return the part of a schema that has some keys alone, of which some may be missing; what they may refer to stays."""
    properties = {}
    for name, part in schema["properties"].items():
        inner, free = ([key.partition(".")[2] for key in names if key.startswith(f"{name}.")] for names in (keys, optional))
        if name in keys:
            # A section that is read without a file has its defaults, whether the whole configuration must have it or not.
            absent = bool(part.get("properties")) and name not in schema.get("required", [])
            properties[name] = {"default": {}, **part} if absent else part
        elif inner:
            properties[name] = {**_part(part, inner, free), "default": {}}
    asked = [name for name in schema.get("required", []) if name in properties and name not in optional]
    required = [name for name in asked if "default" not in properties[name]]
    # Rules over several keys, such as those of splits, hold where all of them are read.
    whole = {key: value for key, value in schema.items() if key != "oneOf"}
    return whole | {"properties": properties, "required": required}


def _only(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values that a part of the schema has: others are for other programs."""
    picked = {}
    for name, part in schema["properties"].items():
        if name in values:
            nested = isinstance(values[name], Mapping) and part.get("properties")
            picked[name] = _only(values[name], part) if nested else values[name]
    return picked


def _set(values: dict[str, Any], schema: Mapping[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: write it as section.key=value.")
    *sections, last = key.split(".")
    known = [name for name, _ in _leaves(schema, "")]
    nested = any(name.startswith(f"{key}.") or key.startswith(f"{name}.") for name in known)
    if key not in known and not nested:
        raise unknown_name("key of the configuration that this program reads", key, known)
    for section in sections:
        values = values.setdefault(section, {})
    try:
        values[last] = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise InputError(f"--set {text}: the value cannot be read as YAML: {error}") from error


def _leaves(schema: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, part in schema["properties"].items():
        if part.get("properties"):
            yield from _leaves(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def _described(schema: Mapping[str, Any], prefix: str, keys: Collection[str]) -> Iterator[str]:
    for name, leaf in _leaves(_part(schema, keys), prefix):
        part = resolve(leaf, schema)
        kind = " or ".join(map(str, part["enum"])) if "enum" in part else part.get("type", "path")
        kind = " or ".join(kind) if isinstance(kind, list) else kind
        default = (
            f"; default {yaml.safe_dump(part['default'], default_flow_style=True).splitlines()[0]}" if "default" in part else ""
        )
        yield f"  {name} ({kind}{default})"
        yield textwrap.indent(textwrap.fill(part.get("description", ""), _WIDTH), "      ")
