"""Write docs/reruns.md: which rules run again when a key of the configuration changes.

The rules are those of the Snakefile, read by Snakemake itself with one configuration and with another, and what is compared is
what Snakemake compares: params that are no function of the output, inputs and outputs.
"""

from __future__ import annotations

import copy
import functools
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import snakemake
import yaml
from snakemake.api import (
    ConfigSettings,
    DeploymentSettings,
    OutputSettings,
    ResourceSettings,
    SnakemakeApi,
    StorageSettings,
    WorkflowSettings,
)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

from cisnake import configuration  # noqa: E402
from cisnake.errors import InputError  # noqa: E402

PAGE = ROOT / "docs" / "reruns.md"
SCHEMA = yaml.safe_load(configuration.SCHEMA.read_text(encoding="utf-8"))
# Of these Snakemake compares the files.
PATHS = {".".join(source) for source in configuration.SOURCES} | {"targets.tracks", "run.data_dir", "model.params"}
# Options of a method decide something where it is chosen.
METHODS = {
    "attribution": {
        "correct_mean": "saliency",
        "n_shuffles": "expected_integrated_gradients",
        "n_samples": "smoothgrad",
        "sample_prob": "smoothgrad",
        "seed": "smoothgrad",
    },
    "peaks": {
        "n": "find_attr_peaks",
        "min_dist": "find_attr_peaks",
        "height": "find_attr_peaks",
        "window": "tfmodisco_seqlets",
        "flank": "tfmodisco_seqlets",
        "precision": "tfmodisco_seqlets",
    },
}
# Values that the general way of making another one does not find.
OTHERS: dict[str, Any] = {
    "run.name": "other",
    "splits.val": ["chr4"],
    "splits.test": ["chr4"],
    "annotation.biotypes": ["coding"],
    "annotation.exclude": {"tag": ["x"]},
    "annotation.exclude_chromosomes": ["chrM"],
    "tiles.exclude_chromosomes": ["chrM"],
    "tiles.break_length": 5000,
    "targets.pseudobulks.by": ["tissue"],
    "targets.task_columns.task": "name",
    "targets.task_columns.group": "name",
    "targets.task_columns.description": "name",
    "targets.bin_size": 8,
    "targets.crop": 40,
    "windows.upstream": 432,
    "windows.downstream": 432,
    "model.overrides": {"train.learning_rate": 0.3},
    "train.trackers": [],
    "evaluate.splits": ["val"],
    "attribution.contrasts": {"heat": {"on_tasks": ["b"]}},
    "attribution.genes": "held_out",
    "attribution.shifts": [0, 1],
    "motifs.source": "jaspar:2026/fungi",
    "targets.count.shift": [4, -5],
    "targets.count.count": "ends",
    "genome.simulate.groups": [{"name": "root", "activators": ["HNF4A"]}],
    "genome.simulate.shared": ["HNF4A"],
    "genome.simulate.decoys": [],
    "genome.simulate.n_truncated": 1,
    "genome.simulate.plant_upstream": 300,
    "genome.simulate.plant_downstream": 50,
}

_COMMON: dict[str, Any] = {
    "run": {"name": "mine"},
    "genome": {"fasta": "genome.fa", "assembly": "hg38"},
    "annotation": {"gtf": "genes.gtf"},
    "windows": {"upstream": 400, "downstream": 400},
    "splits": {"val": ["chr2"], "test": ["chr3"]},
    "model": {"params": "params.yaml"},
    "evaluate": {"baseline": {"k": 3, "upstream": 100}},
    "attribution": {"contrasts": {"heat": {"on_tasks": ["a"]}}, "hypothetical": True},
    "motifs": {"source": "jaspar:2026/vertebrates", "patterns": {"discover": True}},
    "variants": {"vcf": "variants.vcf"},
}
EVERYTHING = {"all": {"on_tasks": "task != 'x'", "score": "aggregate"}}
RUNS: dict[str, dict[str, Any]] = {
    "expression": _COMMON | {"targets": {"matrix": "matrix.h5ad"}},
    "cells": _COMMON | {"targets": {"cells": "cells.h5ad", "pseudobulks": {"by": ["type"]}}},
    "simulated": {key: value for key, value in _COMMON.items() if key not in ("annotation", "variants", "attribution")}
    | {"genome": {"simulate": {}}, "targets": {}, "attribution": {"contrasts": EVERYTHING, "hypothetical": True}},
    "coverage": _COMMON | {"targets": {"kind": "coverage", "tracks": "tracks.tsv", "bin_size": 16, "crop": 8}},
}

_INTRODUCTION = """\
<!-- Written by `make docs` from the rules: change those, not this file. -->

# What runs again when something changes

A job runs again when its result would be another one, and only then. What decides a result stands in the `params:` of its rule,
with defaults filled in and keys in one order; Snakemake keeps it with every file that it makes. So nothing that exists is made
again when keys are written in another order, when a default is written out, when the repository is moved or cloned again, or
when only what a job may use changes. Files are compared by their paths, dates and, if small, content: another genome, matrix or
table of tracks makes anew whatever is read from it. Of a parameter file (`model.params`) only its parameters count, not
its name or place.

The table names the rules that a key concerns directly; whatever uses their results follows. A dash: nothing runs again. Where a
key is refused in one kind of run, its field is empty. Options of one method are shown where that method is chosen.

Programs read the configuration from `results/<run>/config/<checksum>.yaml`, which the workflow writes at its start; the file is
named by its content and never changed. To repeat a step by hand, paste its command from the log of Snakemake, or add
`--set section.key=value` to try another value.

| key | expression | coverage |
|---|---|---|
"""


def leaves(schema: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the dotted name of every key of the schema that is no section, and its part of the schema."""
    for name, part in schema["properties"].items():
        if "$ref" in part:
            part = {**SCHEMA["$defs"][part["$ref"].rpartition("/")[2]], **part}
        if part.get("properties"):
            yield from leaves(part, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", part


def other_value(key: str, part: dict[str, Any], value: Any) -> Any:
    """Return another value than the one that a key has."""
    if key in OTHERS:
        return OTHERS[key]
    if "enum" in part:
        return next(choice for choice in part["enum"] if choice != value)
    if part.get("type") == "boolean":
        return not value
    if part.get("type") == "number":
        changed = (value or 0) * 0.5 + 0.2
        return min(max(changed, part.get("minimum", changed)), part.get("maximum", changed))
    if part.get("type") == "integer":
        return value + 1 if value is not None else part.get("minimum", 0) + 1
    return "other"


def two_configurations(run: dict[str, Any], key: str, part: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a configuration in which a key decides something, and the same with another value of the key."""
    before = copy.deepcopy(run)
    section, _, last = key.partition(".")
    if last in METHODS.get(section, {}):
        before.setdefault(section, {})["method"] = METHODS[section][last]
    if key == "attribution.hypothetical":
        before["motifs"]["patterns"] = {"discover": False}
    if section == "splits" and last in ("folds", "val_fraction", "test_fraction"):
        before["splits"] = {"folds": 3} if last == "folds" else {"val_fraction": 0.1, "test_fraction": 0.1}
    after = copy.deepcopy(before)
    place, value = after, configuration.complete(before)
    *sections, name = key.split(".")
    for inner in sections:
        place, value = place.setdefault(inner, {}), value.get(inner, {})
    place[name] = other_value(key, part, value.get(name))
    return before, after


def write_inputs(folder: Path) -> None:
    """Write files of the names that the configurations have, as far as they are looked at before any job."""
    import anndata
    import numpy as np
    import pandas as pd

    for name in ("genome.fa", "genes.gtf", "variants.vcf", "a.bw", "reads.bam", "cells.h5ad"):
        (folder / name).write_bytes(b"")
    anndata.AnnData(np.ones((2, 1)), pd.DataFrame({"group": ["a", "b"], "name": ["a", "b"]}, ["a", "b"])).write_h5ad(
        folder / "matrix.h5ad"
    )
    (folder / "tracks.tsv").write_text("identifier\tfile\tformat\na\ta.bw\tbigwig\nb\treads.bam\tbam\n", encoding="utf-8")
    (folder / "params.yaml").write_text("model: {trunk: [{name: conv_block, filters: 4}]}\ntrain: {}\n", encoding="utf-8")
    # Several nodes are refused where there is no SLURM.
    (folder / "srun").write_text("#!/bin/sh\n", encoding="utf-8")
    (folder / "srun").chmod(0o755)


def signatures(config: dict[str, Any], folder: Path) -> dict[str, str]:
    """Return what Snakemake compares of each rule of the workflow, as text by the rule's name.

    Parameters
    ----------
    config: dict
        A run's configuration.
    folder: Path
        Where its files are, and what it is read in.
    """
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    with SnakemakeApi(OutputSettings(quiet={"all"})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[path]),
            storage_settings=StorageSettings(),
            workflow_settings=WorkflowSettings(),
            deployment_settings=DeploymentSettings(),
            snakefile=ROOT / "Snakefile",
            workdir=folder,
        )
        return {rule.name: _signature(rule) for rule in workflow._workflow.rules}


def _signature(rule: Any) -> str:
    values = [("params", name, value) for name, value in rule.params._allitems()]
    values += [("input", name, value) for name, value in rule.input._allitems()]
    values += [("output", name, value) for name, value in rule.output._allitems()]
    return json.dumps([[kind, name, *_compared(value)] for kind, name, value in values])


def _compared(value: Any) -> list[str]:
    """Return a value of a rule as text; of a function of wildcards alone, what it gives for some of them; else nothing."""
    if not callable(value):
        return [str(value)]
    if list(inspect.signature(value).parameters) != ["wildcards"]:
        return []
    return [str(value(_Wildcards(windows))) for windows in ("dataset", "genes")]


class _Wildcards:
    """Wildcards as rules that look at them may have."""

    track = "b"

    def __init__(self, windows: str) -> None:
        self.windows = windows


def changed_rules(kind: str, folder: Path) -> Iterator[tuple[str, list[str] | None]]:
    """Yield every key that is no path, and the rules that it concerns directly; None where it is refused.

    Parameters
    ----------
    kind: str
        "expression" (with simulated runs and those of cells, where these alone have the key) or "coverage".
    folder: Path
        With what `write_inputs` writes.
    """
    for key, part in leaves(SCHEMA):
        if key in PATHS:
            continue
        runs = [kind]
        if kind == "expression" and key.startswith("genome.simulate"):
            runs = ["simulated"]
        if kind == "expression" and key in ("targets.layer", "targets.gene_column"):
            runs = ["expression", "cells"]
        if kind == "expression" and key.startswith("targets.pseudobulks"):
            runs = ["cells"]
        found = [_changed(RUNS[run], key, part, folder) for run in runs]
        rules = [name for names in found if names is not None for name in names]
        yield key, None if all(names is None for names in found) else list(dict.fromkeys(rules))


def _changed(run: dict[str, Any], key: str, part: dict[str, Any], folder: Path) -> list[str] | None:
    here = os.getcwd()
    os.chdir(folder)
    try:
        before, after = two_configurations(run, key, part)
        for config in (before, after):
            configuration.prepare(config)
    except InputError:
        return None
    finally:
        os.chdir(here)
    first, second = (_cached_signatures(json.dumps(config), folder) for config in (before, after))
    return [name for name in dict(second, **first) if first.get(name) != second.get(name)]


@functools.lru_cache(maxsize=8)
def _cached_signatures(config: str, folder: Path) -> dict[str, str]:
    return signatures(json.loads(config), folder)


def page(rules: dict[str, dict[str, list[str] | None]]) -> str:
    """Return the text of the page, from what `changed_rules` says of the two kinds of run."""
    columns = [rules[kind] for kind in ("expression", "coverage")]
    known = [key for key in columns[0] if any(column[key] is not None for column in columns)]
    rows = [f"| `{key}` | {' | '.join(_cell(column[key]) for column in columns)} |\n" for key in known]
    return _INTRODUCTION + "".join(rows)


def _cell(rules: list[str] | None) -> str:
    if rules is None:
        return ""
    return ", ".join(f"`{rule}`" for rule in rules if rule != "all") or "–"


def _parse_once(path: Any, workflow: Any, linemap: dict[int, int], overwrite_shellcmd: Any = None, rulecount: int = 0) -> Any:
    """Parse a rule file once: it is the same for every configuration, and takes longer to parse than to run."""
    key = str(path.get_path_or_uri(secret_free=False)), rulecount
    if key not in _PARSED:
        lines: dict[int, int] = {}
        _PARSED[key] = _PARSE(path, workflow, lines, overwrite_shellcmd, rulecount), lines
    linemap.update(_PARSED[key][1])
    return _PARSED[key][0]


_PARSED: dict[tuple[str, int], Any] = {}
_PARSE = snakemake.workflow.parse
snakemake.workflow.parse = _parse_once


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        write_inputs(Path(name))
        os.environ["PATH"] = f"{name}{os.pathsep}{os.environ['PATH']}"
        found = {kind: dict(changed_rules(kind, Path(name))) for kind in ("expression", "coverage")}
        PAGE.write_text(page(found), encoding="utf-8")
