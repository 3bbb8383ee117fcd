"""A run's configuration: completed from the schema, and checked as a whole before any job starts."""

from __future__ import annotations

import copy
import gzip
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from cisnake.data import matrix
from cisnake.data.simulation_settings import read_settings
from cisnake.errors import InputError, unknown_name
from cisnake.interpret.contrasts import resolve_contrast
from cisnake.model.params import read_params

SCHEMA = Path(__file__).parents[2] / "workflow" / "schemas" / "config.schema.yaml"

# Keys that name an input file, by section.
SOURCES = (
    ("genome", "fasta"),
    ("annotation", "gtf"),
    ("annotation", "tss_bed"),
    ("targets", "matrix"),
    ("targets", "tasks"),
    ("splits", "genes"),
    ("variants", "vcf"),
)


def complete(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration with the schema's defaults filled in and paths resolved.

    Parameters
    ----------
    config: dict
        As read from YAML.

    Raises
    ------
    InputError
        Lists every key that is unknown, missing, or has a wrong value.
    """
    schema = yaml.safe_load(SCHEMA.read_text())
    config = copy.deepcopy(config)
    _fill(config, schema)
    problems = [_sentence(error) for error in jsonschema.Draft202012Validator(schema).iter_errors(config)]
    if problems:
        raise InputError(_listed(problems))
    folder = Path(_expand(config["run"]["data_dir"])) if "data_dir" in config["run"] else Path()
    for section, key in SOURCES:
        value = config.get(section, {}).get(key)
        if isinstance(value, str):
            config[section][key] = str(folder / _expand(value))
    if not _names_database(config["motifs"]["source"]):
        config["motifs"]["source"] = str(folder / _expand(config["motifs"]["source"]))
    if config["attribution"]["genes"] not in ("all", "held_out"):
        config["attribution"]["genes"] = str(folder / _expand(config["attribution"]["genes"]))
    return config


def _fill(value: dict[str, Any], schema: dict[str, Any]) -> None:
    for key, part in schema.get("properties", {}).items():
        if key not in value and "default" in part:
            value[key] = copy.deepcopy(part["default"])
        if isinstance(value.get(key), dict):
            _fill(value[key], part)
            # Values of a free mapping (contrasts by name) share one schema.
            if isinstance(part.get("additionalProperties"), dict):
                for member in value[key].values():
                    if isinstance(member, dict):
                        _fill(member, part["additionalProperties"])


def _expand(path: str) -> str:
    names = [name for pair in re.findall(r"\$(?:\{(\w+)\}|(\w+))", path) for name in pair if name]
    for name in names:
        if name not in os.environ:
            raise InputError(f"the path {path} needs the environment variable {name}: set it, or write the path out.")
    return os.path.expanduser(os.path.expandvars(path))


def _names_database(source: str) -> bool:
    return source.startswith("jaspar:")


def _sentence(error: jsonschema.ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema["properties"])
        wrong = [key for key in error.instance if key not in known]
        return "; ".join(str(unknown_name(f"key in {place or 'the configuration'}", str(key), known)) for key in wrong)
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return f"{place or 'the configuration'} lacks {', '.join(missing)}"
    if error.validator == "oneOf" and place == "splits":
        return "splits needs exactly one of: val and test (chromosomes), folds, or genes (a table)"
    if error.validator == "oneOf":
        return f"{place} must be a path, or url and sha256"
    return f"{place}: {error.message}"


def _listed(problems: list[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} things to mend:", *(f"  - {problem}" for problem in problems)])


def check(config: dict[str, Any]) -> None:
    """Check what the schema cannot say, as far as it can be known before any job runs.

    Parameters
    ----------
    config: dict
        As `complete` returns it.

    Raises
    ------
    InputError
        Lists every problem found.
    """
    problems = list(_problems(config))
    if problems:
        raise InputError(_listed(problems))


def _problems(config: dict[str, Any]) -> Iterator[str]:
    simulated = "simulate" in config["genome"]
    if simulated == ("fasta" in config["genome"]):
        yield "genome needs exactly one of fasta and simulate"
        return
    if simulated:
        for section, key in SOURCES:
            if key in config[section] and (section, key) != ("splits", "genes"):
                yield f"{section}.{key} is given, but genome.simulate makes its own: remove one of them"
    else:
        for section, key in (("annotation", "gtf"), ("targets", "matrix")):
            if key not in config[section]:
                yield f"{section} lacks {key}"
    for section, key in SOURCES:
        value = config[section].get(key)
        if isinstance(value, str) and not Path(value).is_file():
            yield f"{section}.{key}: {value} is not there"
    source = config["motifs"]["source"]
    if not _names_database(source) and not Path(source).is_file():
        yield f"motifs.source: {source} is not there"
    windows, baseline = config["windows"], config["evaluate"]["baseline"]
    for side in ("upstream", "downstream"):
        if baseline[side] > windows[side]:
            yield f"evaluate.baseline.{side} is {baseline[side]}, more than windows.{side}, {windows[side]}"
    if baseline["upstream"] + baseline["downstream"] < baseline["k"]:
        yield "evaluate.baseline: upstream and downstream leave no room for a word of k bases"
    if config["peaks"]["min_length"] > config["peaks"]["max_length"]:
        yield "peaks.min_length is above peaks.max_length"
    yield from _problems_of_model(config)
    yield from _problems_of_names(config, simulated)


def _problems_of_model(config: dict[str, Any]) -> Iterator[str]:
    try:
        params = read_params(config["model"]["params"], config["model"]["overrides"])
    except InputError as error:
        yield f"model.params: {error}"
        return
    length = config["windows"]["upstream"] + config["windows"]["downstream"]
    asked = params["model"].get("seq_length", length)
    if asked != length:
        yield f"{config['model']['params']} has seq_length {asked}, but windows have {length} bases: change one of them"


def _problems_of_names(config: dict[str, Any], simulated: bool) -> Iterator[str]:
    """Names of chromosomes and tasks, where the files that have them are there already."""
    chromosomes: list[str] = []
    if simulated:
        try:
            settings = read_settings(config["genome"]["simulate"])
        except InputError as error:
            yield str(error)
            return
        chromosomes = [f"chr{i}" for i in range(1, settings.n_chromosomes + 1)]
        tasks = [f"{group.name}_{i}" for group in settings.groups for i in range(1, group.n_tasks + 1)]
        groups = [group.name for group in settings.groups for _ in range(group.n_tasks)]
    else:
        index = Path(f"{config['genome']['fasta']}.fai")
        if index.is_file():
            chromosomes = [line.split("\t")[0] for line in index.read_text().splitlines()]
        found, table = config["targets"].get("matrix"), config["targets"].get("tasks")
        tasks = []
        # A remote file is not here yet; one that is missing has been reported.
        if all(path is None or (isinstance(path, str) and Path(path).is_file()) for path in (found, table)) and found:
            try:
                tasks = _header(Path(found))
                groups = list(matrix.read_tasks_table(table, tasks, config["targets"]["task_columns"])["group"])
            except InputError as error:
                yield str(error)
                tasks = []
    for key in ("val", "test"):
        for chrom in config["splits"].get(key, []) if chromosomes else []:
            if chrom not in chromosomes:
                yield str(unknown_name(f"chromosome in splits.{key}", chrom, chromosomes))
    both = set(config["splits"].get("val", [])) & set(config["splits"].get("test", []))
    if both:
        yield f"splits.val and splits.test both have {sorted(both)[0]}"
    for name, section in config["attribution"]["contrasts"].items() if tasks else ():
        try:
            resolve_contrast(name, section, tasks, groups)
        except InputError as error:
            yield str(error)


def _header(path: Path) -> list[str]:
    with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as handle:
        line = handle.readline().rstrip("\r\n")
    return line.split("," if path.name.removesuffix(".gz").endswith(".csv") else "\t")[1:]
