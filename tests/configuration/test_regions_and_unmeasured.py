"""Runs of regions instead of genes, and runs without measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cisnake.configuration import checks, completion, network, programs
from cisnake.errors import InputError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    for name in ("genes.gtf", "peaks.bed", "a.keras"):
        Path(name).touch()
    Path("genome.fa").write_text(">chr1\nACGT\n")
    Path("matrix.tsv").write_text("gene\tx\ty\na\t1\t2\n")
    Path("tasks.tsv").write_text("task\tgroup\nx\tfirst\ny\tsecond\n")
    return {
        "run": {"name": "try"},
        "genome": {"fasta": "genome.fa"},
        "regions": {"file": "peaks.bed"},
        "targets": {"tasks": "tasks.tsv"},
        "model": {"trained": ["a.keras"]},
        "attribution": {"contrasts": {"x": {"on_tasks": ["first"]}}},
    }


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        checks.prepare(config)
    return str(caught.value)


def test_without_measurements_every_gene_is_a_test_gene(config: dict[str, Any]) -> None:
    prepared = checks.prepare(config)
    assert network.unmeasured(prepared) and prepared["evaluate"]["splits"] == ["test"]
    assert completion.complete(prepared) == prepared
    config["attribution"]["contrasts"] = "each_group"
    assert set(checks.prepare(config)["attribution"]["contrasts"]) == {"first", "second"}


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("targets", {}, "targets is missing tasks"),
        (
            "targets",
            {"tasks": "tasks.tsv", "transform": "log1p"},
            "targets.transform and targets.filters require targets.matrix",
        ),
        ("targets", {"tasks": "tasks.tsv", "matrix": "matrix.tsv"}, "the configuration is missing splits"),
        ("model", {"params": "config/models/small.yaml"}, "the configuration is missing splits"),
        ("attribution", {"contrasts": {"x": {"on_tasks": ["third"]}}}, "third"),
        ("annotation", {"gtf": "genes.gtf"}, "annotation.gtf and regions.file are both set"),
        ("annotation", {"tss_bed": "peaks.bed"}, "annotation.tss_bed requires annotation.gtf"),
        ("annotation", {"biotypes": ["coding"]}, "annotation.biotypes requires annotation.gtf"),
        ("annotation", {"exclude": {"tag": ["basic"]}}, "annotation.exclude requires annotation.gtf"),
        ("annotation", {"feature": "CDS"}, "annotation.feature requires annotation.gtf"),
        ("annotation", {"match_by": "gene_name"}, "annotation.match_by requires annotation.gtf"),
        ("splits", {"val": ["chr1"], "test": ["chr1"]}, r"targets is missing matrix \(or, to predict without measurements"),
        ("regions", {}, r"annotation is missing gtf \(or, for regions instead of genes, regions is missing file\)"),
        ("regions", {"file": "no.bed"}, "regions.file: no.bed does not exist"),
        ("windows", {"anchor": "start"}, "windows.anchor requires genes"),
    ],
)
def test_contradictions_are_refused(config: dict[str, Any], section: str, value: dict[str, Any], message: str) -> None:
    config[section] = value
    with pytest.raises(InputError, match=message):
        checks.prepare(config)


def test_background_regions_need_regions_and_splits_by_place(config: dict[str, Any]) -> None:
    config["regions"]["negatives"] = 2
    assert checks.prepare(config)["regions"]["negatives"] == 2
    config["splits"], config["targets"]["matrix"] = {"genes": "splits.tsv"}, "matrix.tsv"
    assert "regions.negatives draws regions that splits.genes cannot list" in refusal(config)
    config["splits"] = {"val": ["chr2"], "test": ["chr3"]}
    config["annotation"], config["regions"] = {"gtf": "genes.gtf"}, {"negatives": 2}
    assert "regions.negatives requires regions.file" in refusal(config)


@pytest.mark.parametrize(("program", "negatives"), [("select_genes", 1), ("select_covered_genes", 1), ("select_genes", 0)])
def test_the_seed_decides_where_background_is_drawn(config: dict[str, Any], program: str, negatives: int) -> None:
    config["regions"]["negatives"] = negatives
    assert ("run" in programs.deciding(checks.prepare(config), program)) == bool(negatives)
    assert "negatives" not in programs.deciding(checks.prepare(config), "scout")["regions"]


def test_chromosomes_of_regions_can_be_excluded(config: dict[str, Any]) -> None:
    config["annotation"] = {"exclude_chromosomes": ["chrM"]}
    assert checks.prepare(config)["annotation"]["exclude_chromosomes"] == ["chrM"]


def test_unmeasured_is_no_way_around_held_out_genes(config: dict[str, Any]) -> None:
    config["splits"] = {"unmeasured": True}
    config["targets"]["matrix"] = "matrix.tsv"
    assert "splits.unmeasured is for runs without measurements: give val and test instead" in refusal(config)
    config |= {"model": {"params": "config/models/small.yaml"}, "targets": {"tasks": "tasks.tsv"}}
    assert "splits.unmeasured requires trained networks (model.trained)" in refusal(config)


def test_regions_of_tracks_are_scored_around_their_middle(config: dict[str, Any]) -> None:
    config["targets"] = {"kind": "coverage", "gene_score": {"region": "body"}}
    assert "targets.gene_score.region is body, but regions have only bases around their middle: set tss" in refusal(config)
