"""Requirements for every rule, tested on the jobs that Snakemake plans."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.api import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings, SnakemakeApi
from snakemake.io import is_flagged
from snakemake.jobs import Job
from snakemake.rules import Rule
from snakemake.settings.enums import Quietness

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]


def planned(
    folder: Path, snakefile: Path = ROOT / "Snakefile", targets: frozenset[str] = frozenset({"all", "scout"})
) -> tuple[list[Job], list[Rule]]:
    """All planned jobs of a run, with those that have to be asked for, and all rules."""
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=[folder / "config.yaml"]),
            snakefile=snakefile,
            workdir=folder,
        )
        workflow.dag(DAGSettings(targets=targets, forceall=True)).execute_workflow(executor="dryrun")
        return list(workflow._workflow.dag.jobs), list(workflow._workflow.rules)


def remote(name: str) -> dict[str, str]:
    return {"url": f"https://data.example/{name}", "sha256": "0" * 64}


def of_files(targets: dict[str, Any]) -> dict[str, Any]:
    return {
        "run": {"name": "try"},
        "genome": {"fasta": "genome.fa"},
        "annotation": {"gtf": "genes.gtf", "tss_bed": "tss.bed"},
        "targets": targets,
        "splits": {"val": ["chr1"], "test": ["chr2"]},
        "model": {"params": "config/models/small.yaml"},
        "attribution": {"contrasts": {"c00": {"on_tasks": ["t00"]}}},
        "variants": {"vcf": remote("variants.vcf")},
    }


def simulated(many: int) -> dict[str, Any]:
    """Return an expression run with a given number of tasks, contrasts, shards and replicates, with patterns."""
    contrasts = {f"c{i:02d}": {"on_tasks": [f"root_{i + 1}"]} for i in range(many)}
    return {
        "run": {"name": "try"},
        "genome": {"simulate": {"groups": [{"name": name, "n_tasks": many, "activators": []} for name in ("root", "leaf")]}},
        "targets": {},
        "splits": {"val": ["chr3"], "test": ["chr4"]},
        "model": {"params": "config/models/small.yaml"},
        "train": {"replicates": many},
        "attribution": {"contrasts": contrasts, "n_shards": many, "hypothetical": True},
        "motifs": {"patterns": {"discover": True}},
        "report": {"all_genes": True},
    }


def coverage(many: int) -> dict[str, Any]:
    """Return a coverage run with a given number of tracks of either kind, contrasts, shards and replicates."""
    config = of_files({"kind": "coverage", "tracks": "tracks.tsv", "blacklist": "black.bed", "unmappable": "unmappable.bed"})
    contrasts = {f"c{i:02d}": {"on_tasks": [f"t{i:02d}"]} for i in range(many)}
    return config | {
        "attribution": {"contrasts": contrasts, "n_shards": many},
        "windows": {"upstream": 1024, "downstream": 1024},
        "model": {"params": "config/models/small.yaml", "overrides": {"model.seq_depth": 4}},
        "tiles": {"gaps": "gaps.bed", "limit": "limit.bed"},
        "train": {"replicates": many},
        "splits": {"regions": "regions.tsv"},
    }


Planned = tuple[list[Job], list[Rule]]


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, Any]], Planned]:
    """A function that plans a configuration in a folder with all input files of this module."""
    monkeypatch.chdir(tmp_path)
    names = [
        "genome.fa",
        "genes.gtf",
        "tss.bed",
        "black.bed",
        "unmappable.bed",
        "gaps.bed",
        "limit.bed",
        "regions.tsv",
        "genes.txt",
        "reads.bed",
        "signal.bw",
        "mouse/sequences.bed",
        "first.keras",
        "second.keras",
    ]
    (tmp_path / "mouse" / "tfrecords").mkdir(parents=True)
    for name in names:
        (tmp_path / name).touch()
    sizes = {"seq_length": 2048, "target_length": 64, "pool_width": 32, "num_targets": 1}
    (tmp_path / "mouse" / "statistics.json").write_text(json.dumps(sizes))

    def write(config: dict[str, Any]) -> Planned:
        many = len(config["attribution"]["contrasts"])
        rows = [f"t{i:02d}\t{name}\n" for i, name in enumerate(["reads.bed", "signal.bw"] * many)]
        (tmp_path / "tracks.tsv").write_text("identifier\tfile\n" + "".join(rows))
        (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
        return planned(tmp_path)

    return write


KINDS = {
    "simulated": simulated(2),
    "coverage": coverage(2),
    "matrix": of_files({"matrix": remote("matrix.h5ad"), "tasks": remote("tasks.tsv")}),
    "cells": of_files({"cells": remote("cells.h5ad"), "cell_table": remote("cells.tsv"), "pseudobulks": {"by": ["type"]}})
    | {"splits": {"regions": remote("regions.tsv")}},
    "trained networks": simulated(2) | {"model": {"trained": ["first.keras", "second.keras"]}, "train": {}},
    "trained coverage networks": coverage(2) | {"model": {"trained": ["first.keras", "second.keras"]}, "train": {}},
    "regions": of_files({"matrix": remote("matrix.h5ad"), "tasks": remote("tasks.tsv")})
    | {"annotation": {}, "regions": {"file": remote("peaks.narrowPeak"), "negatives": 1}},
    "unmeasured": of_files({"tasks": remote("tasks.tsv")})
    | {"model": {"trained": ["first.keras"]}, "splits": {"unmeasured": True}},
    "heads of other data sets": coverage(2)
    | {"train": {"replicates": 2, "heads": [{"name": "head_mouse", "dataset": "mouse"}]}},
    "list of genes": simulated(2) | {"attribution": simulated(2)["attribution"] | {"genes": "genes.txt"}},
}


def made_and_ancient(jobs: list[Job], rules: list[Rule]) -> list[str]:
    """Inputs that are flagged `ancient` though a rule makes them, each with the rule that takes it.

    Snakemake asks of such a file whether it is there, so that a plan ends at it: what is after it is not made again in the
    same run.
    """
    flagged = [(job.rule.name, file) for job in jobs for file in job.input if is_flagged(file, "ancient")]
    return [f"{name}: {file}" for name, file in flagged if any(rule.is_producer(file) for rule in rules)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_output_of_a_rule_is_an_ancient_input(kind: str, plan: Callable[[dict[str, Any]], Planned]) -> None:
    jobs, rules = plan(KINDS[kind])
    assert {rule.name for rule in rules} == {job.rule.name for job in jobs}, "no rule is left out"
    assert made_and_ancient(jobs, rules) == []


def test_every_rule_is_tested(plan: Callable[[dict[str, Any]], Planned]) -> None:
    looked_at = {rule.name for config in KINDS.values() for rule in plan(config)[1]}
    written = "".join(path.read_text() for path in [ROOT / "Snakefile", *(ROOT / "workflow" / "rules").glob("*.smk")])
    assert looked_at == {line.split()[1].rstrip(":") for line in written.splitlines() if line.lstrip().startswith("rule ")}


def test_an_ancient_input_made_by_a_rule_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text("{}\n")
    (tmp_path / "given.txt").touch()
    (tmp_path / "Snakefile").write_text(
        "def chosen(wildcards):\n    return ancient('made.txt')\n"
        "rule all:\n    input: chosen, ancient('given.txt')\n"
        "rule make:\n    output: 'made.txt'\n    shell: 'touch {output}'\n"
    )
    assert made_and_ancient(*planned(tmp_path, tmp_path / "Snakefile", frozenset())) == ["all: made.txt"]


@pytest.mark.parametrize("sized", [simulated, coverage])
def test_no_command_grows_with_the_size_of_a_run(
    sized: Callable[[int], dict[str, Any]], plan: Callable[[dict[str, Any]], Planned]
) -> None:
    # The kernel allows 128 KiB per argument and a few megabytes in total. Numbered names have the same length in both runs.
    longest: list[dict[str, int]] = []
    for many in (1, 4):
        lengths: dict[str, int] = defaultdict(int)
        for job in plan(sized(many))[0]:
            lengths[job.rule.name] = max(lengths[job.rule.name], len(job.shellcmd or ""))
        longest.append(lengths)
    assert longest[0].keys() == longest[1].keys() and len(longest[0]) > 15
    assert longest[0] == longest[1]


@pytest.mark.parametrize("name", ["hg38.fa", "hg38.fasta", "hg38.fna", "hg38.fa.gz", "hg38.fna.gz"])
def test_a_genome_with_any_name_needs_no_extra_memory_or_time(plan: Callable[[dict[str, Any]], Planned], name: str) -> None:
    # Genomes are read by region. If their size counted, 3 GB would request 17 GB of memory and 1,000 minutes.
    with open(name, "wb") as file:
        file.truncate(3_100_000_000)
    config = of_files({"matrix": remote("matrix.h5ad"), "tasks": remote("tasks.tsv")})
    config["genome"]["fasta"] = name
    jobs, _ = plan(config)
    reading = [job for job in jobs if job.rule.name in ("select_genes", "write_dataset", "write_browser_files")]
    assert len(reading) == 3
    for job in reading:
        assert job.resources["mem_mb"] <= 2100 and job.resources["runtime"] <= 40, job.rule.name
