"""Completion of a configuration: defaults from the schema, and resolved paths."""

from __future__ import annotations

import copy
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from cisnake.configuration.keys import DATABASE, EACH_GROUP, GENES, ROOT, SOURCES, listed
from cisnake.configuration.network import unmeasured
from cisnake.configuration.schema import Place, fill_defaults, load_schema
from cisnake.configuration.soundness import Unsound, sound_part
from cisnake.configuration.task_table import forget_tracks, known_tasks
from cisnake.data.matrix import market_file
from cisnake.errors import InputError
from cisnake.interpret import each_group
from cisnake.model import read_registry


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the schema's defaults filled in and paths resolved.

    `each_group` is replaced by one contrast per group, if the groups are known. Relative paths of input files refer to
    `run.data_dir`. The parameter file is searched for in the working folder, then in the folder of the workflow, so that
    `config/models/...` works from any folder.

    Parameters
    ----------
    config: dict
        The configuration, as read from YAML. Empty sections are allowed.

    Raises
    ------
    InputError
        Lists every key that is unknown, missing or invalid, and every environment variable that is not set.
    """
    completed, problems = complete_soundly(config)
    if problems:
        raise InputError(listed(problems))
    return completed


def complete_soundly(config: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a completed configuration as `complete` does, and a list of problems.

    If there are problems, the returned configuration raises `Unsound` on access to unreliable keys, so that the rest can be
    checked.
    """
    forget_tracks()
    config = copy.deepcopy(config)
    asked = (config.get("train") or {}).get("replicates") if isinstance(config.get("train"), dict) else None
    if _lacks_measurements(config):
        config.setdefault("splits", {"unmeasured": True})
    problems, unsound = fill_defaults(config, load_schema())
    _resolve_paths(config, problems, unsound)
    if unsound:
        config = sound_part(config, unsound)
    with suppress(Unsound):
        problems += _find_named_networks(config["model"])
    with suppress(Unsound):
        problems += _count_given_networks(config, asked)
    with suppress(Unsound):
        if unmeasured(config):
            config["evaluate"]["splits"] = ["test"]
    try:
        table = known_tasks(config) if config["attribution"]["contrasts"] == EACH_GROUP else None
    except (InputError, OSError, Unsound):
        # `check` reads the table again and reports the error with all other problems.
        table = None
    if table is not None:
        try:
            config["attribution"]["contrasts"] = each_group(table)
        except InputError as error:
            problems.append(str(error))
    return config, problems


def _lacks_measurements(config: dict[str, Any]) -> bool:
    """Return whether a configuration without defaults names trained networks, but neither a matrix nor tracks."""
    sections = {name: config.get(name) for name in ("model", "targets", "genome")}
    model, targets, genome = ({**section} if isinstance(section, dict) else {} for section in sections.values())
    measured = {"matrix", "cells", "tracks"} & targets.keys() or targets.get("kind") == "coverage" or "simulate" in genome
    return bool(model.get("trained")) and not measured


def _expanded(path: str) -> tuple[str, list[str]]:
    """Return a path with its variables expanded, and problems with them."""
    unset = [name for name in re.findall(r"\$\{?(\w+)", path) if name not in os.environ]
    problems = [f"the path {path} uses the environment variable {name}, which is not set: set it" for name in unset]
    return os.path.expanduser(os.path.expandvars(path)), problems


def _find_named_networks(model: dict[str, Any]) -> list[str]:
    """Replace names of registered networks by their files, take over what their cards say, and return problems. In place."""
    if not model["trained"] or not os.path.isfile(model["registry"]):
        return []
    try:
        cards = read_registry(model["registry"])
    except InputError:
        # `check` reads the registry again and reports the error with all other problems.
        return []
    named = [cards[name] for name in model["trained"] if name in cards]
    model["trained"] = [
        str(Path(model["folder"], cards[name].network.file)) if name in cards else name for name in model["trained"]
    ]
    problems = []
    for key, values in {
        "params": {str(Path(model["folder"], card.params.file)) for card in named if card.params},
        "head": {card.head for card in named if card.head},
    }.items():
        if len(values) > 1:
            problems.append(f"the networks in model.trained have different {key}: use one kind of network in a run")
        elif values and not model.get(key):
            model[key] = values.pop()
    if not model["trained_on"]:
        model["trained_on"] = sorted({region for card in named for region in card.trained_on})
    return problems


def _count_given_networks(config: dict[str, Any], asked: Any) -> list[str]:
    """Set the number of replicates to that of the networks in `model.trained`, and return problems with it."""
    given = len(config["model"]["trained"]) // config["splits"].get("folds", 1)
    if not given:
        return []
    if asked not in (None, given):
        return [f"train.replicates is {asked}, but model.trained lists {given} networks per fold: remove train.replicates"]
    config["train"]["replicates"] = given
    return []


def _resolve_paths(config: dict[str, Any], problems: list[str], unsound: set[Place]) -> None:
    """Expand variables in paths; resolve inputs in `run.data_dir`, parameter files in the workflow's folder. In place."""
    targets = config["targets"]
    inputs = [(section, key) for section, key in SOURCES if isinstance(config[section].get(key), str)]
    if not config["motifs"]["source"].startswith(DATABASE):
        inputs.append(("motifs", "source"))
    if config["attribution"]["genes"] not in GENES:
        inputs.append(("attribution", "genes"))
    others = [("model", "params"), ("model", "registry"), ("model", "folder"), ("targets", "tracks"), ("run", "data_dir")]
    for section, key in [*inputs, *(place for place in others if place[1] in config[place[0]])]:
        config[section][key], unset = _expanded(config[section][key])
        problems += unset
        unsound |= {(section, key)} if unset else set()
    if ("model", "trained") not in unsound:
        expanded = [_expanded(path) for path in config["model"]["trained"]]
        config["model"]["trained"] = [path for path, _ in expanded]
        for _, unset in expanded:
            problems += unset
            unsound |= {("model", "trained")} if unset else set()
    if ("train", "heads") not in unsound:
        for head in config["train"]["heads"]:
            head["dataset"], unset = _expanded(head["dataset"])
            problems += unset
            unsound |= {("train", "heads")} if unset else set()
    data_dir = Path(config["run"].get("data_dir", "."))
    if ("run", "data_dir") in unsound:
        relative = {(section, key) for section, key in inputs if not os.path.isabs(config[section][key])}
        unsound |= relative | ({("targets", "tracks")} if "tracks" in targets else set())
    for section, key in inputs:
        config[section][key] = str(data_dir / config[section][key])
    for key in ("matrix", "cells"):
        if ("targets", key) not in unsound and isinstance(targets.get(key), str) and os.path.isdir(targets[key]):
            try:
                targets[key] = str(market_file(targets[key]))
            except InputError as error:
                problems.append(str(error))
                unsound.add(("targets", key))
    for section, key, folder in (("model", "params", Path()), ("model", "registry", Path()), ("targets", "tracks", data_dir)):
        for path in (folder / config[section].get(key, ""), ROOT / config[section].get(key, "")):
            if os.path.isfile(path):
                config[section][key] = os.path.normpath(path)
                break
