"""Reading of the keys that a program needs: from a file, from `--set`, or from the defaults of the schema."""

from __future__ import annotations

import argparse
import dataclasses
import json
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
from cisnake.text_files import parse_yaml

_WIDTH = 110


def add_options(parser: argparse.ArgumentParser, program: str) -> None:
    """Add `--config` and `--set` to a program, and list the keys that it reads in its help.

    Parameters
    ----------
    parser: argparse.ArgumentParser
        The parser to extend.
    program: str
        A key of `PROGRAMS`.
    """
    parser.add_argument(
        "--config", type=Path, metavar="YAML", help="configuration of the run; without it, every key has its default"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="set one key of the configuration; can be repeated"
    )
    parser.epilog = "\n".join(["configuration keys:", *_described(load_schema(), "", PROGRAMS[program].all)])


def read(args: argparse.Namespace, program: str) -> Sections:
    """Return the configuration keys of a program, completed and validated.

    Parameters
    ----------
    args: argparse.Namespace
        Parsed arguments, with the options of `add_options`.
    program: str
        A key of `PROGRAMS`. The result has only the keys in its row as attributes.

    Raises
    ------
    InputError
        The file cannot be read, or a key is unknown, missing or invalid.
    """
    keys = PROGRAMS[program].all
    # Keys that are only checked if present are not required.
    optional = [key for key in PROGRAMS[program].other if "." in key]
    schema = _part(load_schema(), keys, optional)
    values = _only(read_file(args.config), schema) if args.config else {}
    for text in args.set:
        _set(values, schema, text)
    apply_schema(values, schema)
    return as_section(Sections, values, keys)


def section(name: str, **values: Any) -> Any:
    """Return a section of the configuration as its dataclass, with defaults for missing keys.

    Parameters
    ----------
    name: str
        Dotted name, such as "windows" or "evaluate.baseline".
    **values
        Keys of the section, with values as in YAML.

    Returns
    -------
    dataclass
        The class in `cisnake.sections` for the section.

    Raises
    ------
    InputError
        A key is unknown, missing or invalid.

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
    """Read a configuration file, such as one stored by the workflow, without completing it.

    Raises
    ------
    InputError
        The file does not exist, cannot be read, or is not YAML or JSON with sections.
    """
    if not path.exists():
        # A job that waited in a queue reads the configuration that the run has by then.
        raise InputError(
            f"{path} does not exist: a run stores its configuration when it starts. If the configuration has changed since, "
            "restart the run."
        )
    try:
        values = parse_yaml(path.read_text(encoding="utf-8-sig"), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read as a configuration in YAML or JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} has no sections: a configuration starts with sections such as run and peaks.")
    return values


def _part(schema: Mapping[str, Any], keys: Collection[str], optional: Collection[str] = ()) -> dict[str, Any]:
    """Return the part of a schema with the given keys; those in `optional` are not required. `$defs` are kept."""
    properties = {}
    for name, part in schema["properties"].items():
        inner, free = ([key.partition(".")[2] for key in names if key.startswith(f"{name}.")] for names in (keys, optional))
        if name in keys:
            # Without a file, a section has its defaults, even if the full configuration requires it.
            absent = bool(part.get("properties")) and name not in schema.get("required", [])
            properties[name] = {"default": {}, **part} if absent else part
        elif inner:
            properties[name] = {**_part(part, inner, free), "default": {}}
    needed = [name for name in schema.get("required", []) if name in properties and name not in optional]
    required = [name for name in needed if "default" not in properties[name]]
    # Rules over several keys, such as those of splits, apply only to programs that read all of them.
    whole = {key: value for key, value in schema.items() if key != "oneOf"}
    return whole | {"properties": properties, "required": required}


def _only(values: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of the keys in a part of the schema; other keys belong to other programs."""
    picked = {}
    for name, part in schema["properties"].items():
        if name in values:
            nested = isinstance(values[name], Mapping) and part.get("properties")
            picked[name] = _only(values[name], part) if nested else values[name]
    return picked


def _set(values: dict[str, Any], schema: Mapping[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--set {text}: the format is --set section.key=value.")
    *sections, last = key.split(".")
    known = [name for name, _ in _leaves(schema, "")]
    nested = any(name.startswith(f"{key}.") or key.startswith(f"{name}.") for name in known)
    if key not in known and not nested:
        raise unknown_name("configuration key of this program", key, known)
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
