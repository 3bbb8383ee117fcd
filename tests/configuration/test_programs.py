"""The configuration keys that a program reads, and those that trigger a rerun."""

from __future__ import annotations

import argparse
import copy
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cisnake import configuration
from cisnake.configuration import PROGRAMS, canonical, deciding
from cisnake.configuration.schema import load_schema, resolve
from cisnake.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
DEMO = configuration.complete(yaml.safe_load((ROOT / "config" / "demo.yaml").read_text(encoding="utf-8")))

# Includes optional keys without a default.
BASE = copy.deepcopy(DEMO)
BASE["targets"] |= {"layer": "counts", "gene_column": "id"}


def arguments(program: str, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    configuration.add_options(parser, program)
    return parser.parse_args(words)


def keys(schema: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of the schema that is not a section, and its part."""
    for name, part in schema["properties"].items():
        part = resolve(part, load_schema())
        if part.get("properties"):
            yield from keys(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def other(part: Any, value: Any) -> Any:
    """Return a different valid value of a key."""
    if "enum" in part:
        return next(choice for choice in part["enum"] if choice != value)
    if part.get("type") == "array" and "required" in part["items"]:
        return [dict.fromkeys(part["items"]["required"], "other")]
    if part.get("type") == "boolean":
        return not value
    if part.get("type") in ("integer", "number"):
        return (value or 0) * 0.5 + 0.2 if part["type"] == "number" else (value or 0) + 1
    return "other"


def changed(key: str, part: Any) -> dict[str, Any]:
    config = copy.deepcopy(BASE)
    *sections, last = key.split(".")
    section = config
    for name in sections:
        section = section.setdefault(name, {})
    section[last] = other(part, section.get(last))
    return config


# Paths: the workflow compares the files.
PATHS = {".".join(source) for source in configuration.SOURCES}
# Options of methods and transforms that the demo does not use.
OTHER_METHODS = {f"peaks.{key}" for key in ("n", "min_dist", "height", "window", "flank", "precision")}
OTHER_METHODS |= {"targets.library"} | {
    f"attribution.{key}" for key in ("correct_mean", "n_shuffles", "n_samples", "sample_prob", "seed")
}


@pytest.mark.parametrize("key", [key for key, _ in keys(load_schema())])
def test_a_key_affects_only_the_programs_for_which_it_is_listed(key: str) -> None:
    config = changed(key, dict(keys(load_schema()))[key])
    for program, read in PROGRAMS.items():
        listed = any(key == name or key.startswith(f"{name}.") for name in read.deciding)
        if key == "targets.cells":
            # `layer` and `gene_column` then refer to the cells.
            listed = program in ("select_genes", "scout", "write_dataset", "export_predictions")
        decides = listed and key not in PATHS - {"targets.cells"} | OTHER_METHODS
        differs = canonical(deciding(config, program)) != canonical(deciding(BASE, program))
        assert differs == decides, (program, key)


@pytest.mark.parametrize("key", ["val_fraction", "test_fraction"])
def test_the_seed_decides_which_genes_are_held_out_only_with_fractions(key: str) -> None:
    config = copy.deepcopy(DEMO)
    config["run"]["seed"] += 1
    assert deciding(config, "select_genes") == deciding(DEMO, "select_genes")
    base = changed(f"splits.{key}", {"type": "number"})
    config = copy.deepcopy(base)
    config["run"]["seed"] += 1
    assert deciding(config, "select_genes") != deciding(base, "select_genes")


@pytest.mark.parametrize("method", ["recursive_seqlets", "find_attr_peaks", "tfmodisco_seqlets"])
def test_options_of_other_methods_have_no_effect(method: str) -> None:
    parts = dict(keys(load_schema()))
    options = {key for key in DEMO["peaks"] if parts[f"peaks.{key}"]["description"].startswith(f"{method}:")}
    base = changed("peaks.method", {"enum": [method]}) if method != "recursive_seqlets" else DEMO
    for key in set(DEMO["peaks"]) - {"method", "max_q"}:
        config = copy.deepcopy(base)
        config["peaks"][key] = other(parts[f"peaks.{key}"], config["peaks"][key])
        assert (deciding(config, "call_peaks") != deciding(base, "call_peaks")) == (key in options), key


def test_the_order_of_keys_and_the_path_of_a_gene_list_have_no_effect() -> None:
    shuffled = {name: dict(reversed(part.items())) if isinstance(part, dict) else part for name, part in reversed(DEMO.items())}
    listed = [copy.deepcopy(DEMO) for _ in range(2)]
    for folder, config in zip(("/here", "/there"), listed, strict=True):
        config["attribution"]["genes"] = f"{folder}/genes.txt"
    for program in PROGRAMS:
        assert canonical(deciding(shuffled, program)) == canonical(deciding(DEMO, program))
        assert canonical(deciding(listed[0], program)) == canonical(deciding(listed[1], program))
    assert configuration.config_path(shuffled, "c") == configuration.config_path(DEMO, "c")


@pytest.mark.parametrize("program", PROGRAMS)
def test_rules_and_scripts_name_their_program(program: str) -> None:
    rules = "".join(path.read_text() for path in (ROOT / "workflow" / "rules").glob("*.smk"))
    rule = re.search(rf"rule {program}:\n.*?shell:\n.*?(?=\n\S|\Z|\n\n)", rules, flags=re.DOTALL)
    assert rule is not None and "--config {params.config}" in rule[0]
    assert (f'settings("{program}")' in rule[0]) == bool(PROGRAMS[program].deciding)
    script = (ROOT / "scripts" / f"{program}.py").read_text()
    assert f'configuration.add_options(p, "{program}")' in script and f'configuration.read(args, "{program}")' in script
    # A setting is either a configuration key or an option, never both.
    read = [name for name, _ in keys(load_schema()) if any(f"{name}.".startswith(f"{key}.") for key in PROGRAMS[program].all)]
    names = {name.rpartition(".")[2].replace("_", "-") for name in read if name not in PATHS}
    parser = importlib.import_module(program).parser()
    options = {option for action in parser._actions for option in action.option_strings}
    assert not {f"--{name}" for name in names} & options
    assert all(key in parser.epilog for key in PROGRAMS[program].all)


def test_a_program_reads_a_stored_configuration(tmp_path: Path) -> None:
    path = configuration.store(DEMO, tmp_path / "config")
    assert path == configuration.config_path(DEMO, tmp_path / "config")
    assert configuration.complete(yaml.safe_load(path.read_text(encoding="utf-8"))) == DEMO
    before = path.stat().st_mtime_ns
    assert configuration.store(DEMO, tmp_path / "config") == path and path.stat().st_mtime_ns == before
    other_run = copy.deepcopy(DEMO)
    other_run["motifs"]["probe"]["sites"] = 7
    other_path = configuration.store(other_run, tmp_path / "config")
    assert other_path != path and sorted(path.parent.iterdir()) == sorted([path, other_path])
    read = configuration.read(arguments("probe_motifs", "--config", str(other_path)), "probe_motifs")
    assert (read.motifs.probe.sites, read.run.seed) == (7, DEMO["run"]["seed"])
    with pytest.raises(AttributeError):
        read.motifs.flank  # noqa: B018


def test_without_a_file_the_defaults_apply_and_single_keys_can_be_set() -> None:
    default = configuration.read(arguments("call_peaks"), "call_peaks").peaks
    properties = load_schema()["properties"]["peaks"]["properties"]
    assert vars(default) == {name: part["default"] for name, part in properties.items()}
    words = ("--set", "peaks.threshold=1e-3", "--set", "peaks.method=find_attr_peaks")
    peaks = configuration.read(arguments("call_peaks", *words), "call_peaks").peaks
    assert (peaks.threshold, peaks.method, peaks.n) == (0.001, "find_attr_peaks", default.n)


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("peaks.treshold=1", r"peaks.treshold.*did you mean peaks.threshold"),
        ("windows.upstream=1", "unknown configuration key of this program"),
        ("peaks", "the format is --set section.key=value"),
        ("peaks.threshold=[", "cannot be read as YAML"),
        ("peaks.threshold=3", "peaks.threshold: 3 is greater"),
        ("peaks.n=many", "peaks.n: 'many' is not of type 'integer'"),
    ],
)
def test_an_invalid_key_is_rejected_with_a_message(word: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        configuration.read(arguments("call_peaks", "--set", word), "call_peaks")


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "cannot be read"), ("- a", "has no sections"), (None, "does not exist: a run stores")]
)
def test_a_file_that_is_not_a_configuration_is_rejected(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        configuration.read(arguments("call_peaks", "--config", str(tmp_path / "c.yaml")), "call_peaks")
