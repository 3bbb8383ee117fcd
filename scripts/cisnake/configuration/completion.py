"""A run's configuration: completed from the schema, and checked as a whole before any job starts."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cisnake.configuration.keys import DATABASE, EACH_GROUP, GENES, ROOT, SCHEMA, SOURCES, listed
from cisnake.configuration.task_table import known_tasks
from cisnake.data.matrix import market_file
from cisnake.errors import InputError, unknown_name
from cisnake.interpret import each_group


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the schema's defaults filled in and paths resolved.

    Contrasts of `each_group` are listed, where the groups are known. Input files are looked for in `run.data_dir`; the
    parameter file where Snakemake was started, else beside the workflow, so that `config/models/...` names the ones that come
    with it from any folder.

    Parameters
    ----------
    config: dict
        As read from YAML. A section with nothing in it counts as left out.

    Raises
    ------
    InputError
        Lists every key that is unknown, missing, or has a wrong value, and every environment variable that is not set.
    """
    config = copy.deepcopy(config)
    _apply_schema(config, yaml.safe_load(SCHEMA.read_text()))
    config["evaluate"]["baseline"].setdefault("upstream", min(500, config["windows"]["upstream"]))
    _resolve_paths(config)
    if config["attribution"]["contrasts"] == EACH_GROUP:
        try:
            table = known_tasks(config)
        except InputError:
            # `check` reads it again, and reports this with everything else.
            table = None
        if table is not None:
            config["attribution"]["contrasts"] = each_group(table)
    return config


def _apply_schema(config: dict[str, Any], schema: dict[str, Any]) -> None:
    """Fill in defaults, and refuse what the schema does not allow."""
    _fill(config, schema)
    errors = jsonschema.Draft202012Validator(schema).iter_errors(config)
    problems = list(dict.fromkeys(sentence for error in errors for sentence in _sentences(error)))
    if problems:
        raise InputError(listed(problems))


def _resolve_paths(config: dict[str, Any]) -> None:
    """Replace variables in paths, look for inputs in `run.data_dir`, and for what comes with the workflow beside it."""
    targets = config["targets"]
    inputs = [
        (config[section], key) for section, key in SOURCES if section in config and isinstance(config[section].get(key), str)
    ]
    if not config["motifs"]["source"].startswith(DATABASE):
        inputs.append((config["motifs"], "source"))
    if config["attribution"]["genes"] not in GENES:
        inputs.append((config["attribution"], "genes"))
    others = [(config["model"], "params"), (targets, "tracks"), (config["run"], "data_dir")]
    _expand_variables([*inputs, *((section, key) for section, key in others if key in section)])
    data_dir = Path(config["run"].get("data_dir", "."))
    for section, key in inputs:
        section[key] = str(data_dir / section[key])
    for key in ("matrix", "cells"):
        if isinstance(targets.get(key), str) and Path(targets[key]).is_dir():
            targets[key] = str(market_file(targets[key]))
    for section, key, folder in ((config["model"], "params", Path()), (targets, "tracks", data_dir)):
        for path in (folder / section.get(key, ""), ROOT / section.get(key, "")):
            if path.is_file():
                section[key] = os.path.normpath(path)
                break


def _expand_variables(paths: list[tuple[dict[str, Any], str]]) -> None:
    problems = []
    for section, key in paths:
        unset = [name for name in re.findall(r"\$\{?(\w+)", section[key]) if name not in os.environ]
        problems += [f"the path {section[key]} needs the environment variable {name}: set it" for name in unset]
        section[key] = os.path.expanduser(os.path.expandvars(section[key]))
    if problems:
        raise InputError(listed(problems))


def _fill(value: dict[str, Any], schema: dict[str, Any]) -> None:
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
