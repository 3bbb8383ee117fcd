"""A run's configuration: completed from the schema, and checked as a whole before any job starts."""

from __future__ import annotations

import copy
import os
import re
from pathlib import Path
from typing import Any

from cisnake.configuration.keys import DATABASE, EACH_GROUP, GENES, ROOT, SOURCES, listed
from cisnake.configuration.schema import apply_schema, load_schema
from cisnake.configuration.task_table import known_tasks
from cisnake.data.matrix import market_file
from cisnake.errors import InputError
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
    apply_schema(config, load_schema())
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
