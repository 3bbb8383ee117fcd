"""Completion and checks of a configuration, and their messages."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anndata
import jsonschema
import numpy as np
import pandas as pd
import pytest
import yaml

import write_config_docs
from cisnake.configuration import checks, completion, keys, programs, reading, stored, task_table
from cisnake.data.coverage.tracks import read_tracks
from cisnake.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
SCHEMA: dict[str, Any] = yaml.safe_load(keys.SCHEMA.read_text())
SIMULATED: dict[str, Any] = {
    "run": {"name": "try"},
    "genome": {"simulate": {}},
    "targets": {},
    "splits": {"val": ["chr1"], "test": ["chr2"]},
    "model": {"params": "config/models/demo.yaml"},
    "attribution": {"contrasts": {"any": {"on_tasks": ["liver"]}}},
}


def changed(config: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return a copy of a configuration with keys set by dotted name (dots as two underscores); None removes a key."""
    config = copy.deepcopy(config)
    for name, value in values.items():
        *parents, last = name.split("__")
        section = config
        for part in parents:
            section = section.setdefault(part, {})
        if value is None:
            section.pop(last, None)
        else:
            section[last] = value
    return config


def refusal(config: dict[str, Any]) -> str:
    """Return the error message for a configuration."""
    with pytest.raises(InputError) as caught:
        checks.prepare(config)
    return str(caught.value)


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """A configuration with input files, all of which exist."""
    files = {
        "genome.fa": ">chrA\nACGT\n>chrB\nACGT\n>chrC\nACGT\n",
        "genome.fa.fai": "chrA\t4\t6\t4\t5\nchrB\t4\t17\t4\t5\nchrC\t4\t28\t4\t5\n",
        "genes.gtf": "",
        "matrix.tsv": "gene\theat_1\theat_2\tcold\ng1\t1\t2\t3\n",
        "tasks.tsv": "task\tgroup\nheat_1\theat\nheat_2\theat\ncold\tcold\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return {
        "run": {"name": "given", "data_dir": str(tmp_path)},
        "genome": {"fasta": "genome.fa"},
        "annotation": {"gtf": "genes.gtf"},
        "targets": {"matrix": "matrix.tsv", "tasks": "tasks.tsv"},
        "splits": {"val": ["chrA"], "test": ["chrB"]},
        "model": {"params": "config/models/small.yaml"},
        "attribution": {"contrasts": {"heat": {"on_tasks": ["heat"]}}},
    }


def test_valid_configurations_pass(given: dict[str, Any]) -> None:
    for config in (given, SIMULATED, changed(SIMULATED, splits={"folds": 3})):
        checks.check(completion.complete(config))


@pytest.fixture
def covered(given: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    """The configuration of a coverage run with its table of tracks in the data folder."""
    (tmp_path / "a.bw").write_bytes(b"")
    (tmp_path / "tracks.tsv").write_text("identifier\tfile\tgroup\nheat\ta.bw\thot\ncold\ta.bw\tcold\n")
    return changed(
        given,
        targets={"kind": "coverage", "tracks": "tracks.tsv", "bin_size": 32, "crop": 64},
        windows={"upstream": 512, "downstream": 512},
        model={"params": "config/models/coverage_small.yaml"},
        attribution__contrasts={"heat": {"on_tasks": ["hot"]}},
    )


def test_a_coverage_run_is_checked_before_anything_starts(covered: dict[str, Any], tmp_path: Path) -> None:
    complete = completion.complete(covered)
    checks.check(complete)
    assert complete["targets"]["tracks"] == str(tmp_path / "tracks.tsv")
    for values, message in [
        ({"targets__crop": 60}, "windows of 1024 bp minus 60 bp at either end (targets.crop) are not a multiple of 32 bp"),
        ({"windows__max_shift": 17}, "windows.max_shift is 17, more than half of targets.bin_size (32)"),
        (
            {"targets__gene_score": {"downstream": 449}},
            "targets.gene_score.downstream is 449, but windows have bins only up to 448",
        ),
        ({"model__params": "config/models/small.yaml"}, "has seq_depth 5, but coverage runs have no gene-body channel"),
        ({"tiles": {"break_length": 1000}}, "tiles.break_length is 1000, shorter than the windows (1024 bp)"),
        ({"splits": {"val_fraction": 0.5, "test_fraction": 0.5}}, "leave nothing for training"),
        ({"targets__matrix": "matrix.tsv"}, "targets.matrix requires targets.kind expression"),
        ({"targets__transform": "log1p"}, "targets.transform requires targets.kind expression"),
        ({"targets__tracks": "trakcs.tsv"}, "trakcs.tsv does not exist"),
        ({"targets__tracks": None}, "targets is missing tracks"),
        ({"attribution__contrasts": {"x": {"on_tasks": ["hott"]}}}, "did you mean hot"),
        ({"genome": {"simulate": {}}}, "genome.simulate supports only expression, not coverage"),
    ]:
        assert message in refusal(changed(covered, **values))


def test_transforms_are_checked_before_anything_starts(given: dict[str, Any]) -> None:
    for transform in ("log2_cpm", ["log2_cpm", "zscore"], ["none"]):
        checks.check(completion.complete(changed(given, targets__transform=transform)))
    for transform, message in [
        ("zscor", "unknown targets.transform 'zscor': did you mean zscore"),
        (["zscore", "log1p"], "targets.transform has log1p after zscore: put zscore last"),
        ([], "targets.transform is an empty list"),
        ([1], "targets.transform.0: 1 is read as a number or boolean"),
    ]:
        assert message in refusal(changed(given, targets__transform=transform))


def test_count_settings_come_from_the_row_of_a_track_or_are_common(covered: dict[str, Any], tmp_path: Path) -> None:
    for name in ("r.bam", "f.tsv.gz", "p.bed"):
        (tmp_path / name).write_bytes(b"")
    rows = ["identifier\tfile\tcount\tstrand", "rna\tr.bam\treads\t+", "cuts\tf.tsv.gz\t\t", "peaks\tp.bed\t\t"]
    (tmp_path / "tracks.tsv").write_text("\n".join(rows) + "\n")
    config = completion.complete(
        changed(
            covered,
            targets__count={"count": "ends", "shift": [4, -5], "cpm": True},
            attribution__contrasts={"x": {"on_tasks": ["rna"]}},
        )
    )
    checks.check(config)
    table, common = read_tracks(config["targets"]["tracks"], tmp_path).set_index("identifier"), config["targets"]["count"]
    rna = checks.counting(table.loc["rna"], common)
    assert (rna["count"], rna["strand"], rna["cpm"]) == ("reads", "+", True) and "shift" not in rna
    assert checks.counting(table.loc["cuts"], common) == common
    assert checks.counting(table.loc["peaks"], common) == {}
    (tmp_path / "tracks.tsv").write_text("\n".join([rows[0], "cuts\tf.tsv.gz\treads\t"]) + "\n")
    assert "track cuts: " in refusal(changed(covered, attribution__contrasts={"x": {"on_tasks": ["cuts"]}}))


def test_coverage_keys_are_rejected_in_expression_runs(given: dict[str, Any]) -> None:
    assert "targets.blacklist requires targets.kind coverage" in refusal(changed(given, targets__blacklist="genes.gtf"))


# The schema


def parts(schema: dict[str, Any], name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every key of the schema and its part, including those of list items and free mappings."""
    for key, part in schema.get("properties", {}).items():
        yield f"{name}{key}", part
        for inner in (part, part.get("items"), part.get("additionalProperties")):
            if isinstance(inner, dict):
                yield from parts(inner, f"{name}{key}.")


def test_schema_is_a_schema_and_describes_every_key() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    names = dict(parts(SCHEMA))
    assert "genome.simulate.groups.n_tasks" in names and "attribution.contrasts.score" in names
    assert [name for name, part in names.items() if not part.get("description", "").strip()] == []
    # Every mapping rejects unknown keys, or defines the type of its values.
    free = [name for name, part in names.items() if part.get("type") == "object" and "additionalProperties" not in part]
    assert free == ["model.overrides"]


def test_defaults_of_the_schema_are_valid() -> None:
    for name, part in parts(SCHEMA):
        # Defaults of whole sections are completed before they are checked.
        if "default" in part and "properties" not in part:
            schema = part | {"$defs": SCHEMA["$defs"]}
            jsonschema.validate(part["default"], schema), name


# Completing


def test_defaults_are_filled_in_at_every_level() -> None:
    config = completion.complete(SIMULATED)
    assert config["evaluate"]["baseline"]["k"] == 6
    assert config["evaluate"]["splits"] == ["val", "test"]
    assert config["motifs"]["probe"]["draws"] == 5
    assert config["attribution"]["contrasts"]["any"]["score"] == "specificity"
    assert config["windows"]["upstream"] == 500
    assert "evaluate" not in SIMULATED, "the original configuration must not change"


def test_values_override_defaults() -> None:
    config = completion.complete(changed(SIMULATED, evaluate__baseline__k=3, peaks={"threshold": 0.5}))
    assert (config["evaluate"]["baseline"]["k"], config["evaluate"]["baseline"]["alpha"]) == (3, "auto")
    assert (config["peaks"]["threshold"], config["peaks"]["min_length"]) == (0.5, 4)


def test_an_empty_section_has_its_defaults() -> None:
    config = SIMULATED | {"peaks": None, "genome": {"simulate": None}}
    assert completion.complete(config) == completion.complete(SIMULATED)


def test_completing_twice_changes_nothing() -> None:
    once = completion.complete(SIMULATED)
    assert completion.complete(once) == once


def test_defaults_are_not_shared_between_runs() -> None:
    completion.complete(SIMULATED)["evaluate"]["splits"].append("test")
    assert completion.complete(SIMULATED)["evaluate"]["splits"] == ["val", "test"]


def test_numbers_read_as_text_are_converted() -> None:
    config = changed(SIMULATED, peaks={"threshold": "0.02", "n": "7"}, motifs={"p_threshold": "1e-5"})
    config = completion.complete(changed(config, splits__allow_overlap="True", run__name="12"))
    assert (config["peaks"]["threshold"], config["peaks"]["n"], config["motifs"]["p_threshold"]) == (0.02, 7, 1e-5)
    assert config["splits"]["allow_overlap"] is True
    assert config["run"]["name"] == "12"


def test_list_items_are_completed() -> None:
    config = completion.complete(
        changed(SIMULATED, genome__simulate={"groups": [{"name": "a", "n_tasks": "2"}, {"name": "b"}]})
    )
    assert config["genome"]["simulate"]["groups"] == [
        {"name": "a", "n_tasks": 2, "activators": [], "repressors": []},
        {"name": "b", "n_tasks": 3, "activators": [], "repressors": []},
    ]


def test_a_number_has_one_type_however_it_is_written() -> None:
    texts, places = set(), set()
    for alpha, seed, shift in ((300, 7, [4, -5]), (300.0, 7.0, [4.0, -5]), ("300", "7", ["4", "-5"])):
        config = changed(SIMULATED, evaluate__baseline={"alpha": alpha}, run__seed=seed, targets__count={"shift": shift})
        config = changed(config, genome__simulate={"groups": [{"name": "liver", "n_tasks": seed}]})
        completed = completion.complete(config)
        texts.add(programs.canonical(completed["evaluate"]) + programs.canonical(completed["genome"]))
        places.add(stored.config_path(completed, "."))
    assert len(texts) == len(places) == 1
    assert '"alpha":300.0' in texts.pop()
    assert json.dumps(completed["targets"]["count"]["shift"]) == "[4, -5]"


def test_a_default_and_the_same_explicit_value_are_identical() -> None:
    given = changed(SIMULATED, genome__simulate={"decay": 400}, tiles={"sample": 1})
    assert programs.canonical(completion.complete(given)) == programs.canonical(completion.complete(SIMULATED))


@pytest.mark.parametrize("value", [True, "many", 2.5, None, float("inf")])
def test_a_value_that_is_not_an_integer_is_quoted_as_written(value: Any) -> None:
    message = refusal(SIMULATED | {"report": {"top_genes": value}})
    assert message == f"report.top_genes: {value!r} is not of type 'integer'"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", 10**400])
def test_a_number_is_finite(value: Any) -> None:
    message = refusal(changed(SIMULATED, genome__simulate={"base": value}))
    assert message == f"genome.simulate.base: '{value}' is not of type 'number'"


def test_files_are_looked_for_in_data_dir(given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CISNAKE_TEST_DATA", str(tmp_path))
    remote = {"url": "https://example.org/tasks.tsv", "sha256": "0" * 64}
    config = changed(given, run__data_dir="${CISNAKE_TEST_DATA}/a", annotation__gtf="$CISNAKE_TEST_DATA/genes.gtf")
    config = changed(config, targets__tasks=remote, motifs__source="own.meme", attribution__genes="ids.txt")
    config = completion.complete(config)
    assert config["genome"]["fasta"] == f"{tmp_path}/a/genome.fa"
    assert config["annotation"]["gtf"] == f"{tmp_path}/genes.gtf", "absolute paths are unchanged"
    assert config["targets"]["tasks"] == remote
    assert config["motifs"]["source"] == f"{tmp_path}/a/own.meme"
    assert config["attribution"]["genes"] == f"{tmp_path}/a/ids.txt"
    home = completion.complete(changed(given, genome__fasta="~/genome.fa"))["genome"]["fasta"]
    assert home == str(Path.home() / "genome.fa")


def test_names_that_are_not_paths_are_unchanged(given: dict[str, Any]) -> None:
    config = completion.complete(changed(given, motifs={"source": "jaspar:2026/fungi"}, attribution__genes="held_out"))
    assert (config["motifs"]["source"], config["attribution"]["genes"]) == ("jaspar:2026/fungi", "held_out")


def test_unset_variables_are_all_named(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CISNAKE_NO_A", "CISNAKE_NO_B"):
        monkeypatch.delenv(name, raising=False)
    message = refusal(changed(given, run__data_dir="$CISNAKE_NO_A/x", targets__matrix="${CISNAKE_NO_B}/m.tsv"))
    assert "uses the environment variable CISNAKE_NO_A, which is not set: set it" in message
    assert "uses the environment variable CISNAKE_NO_B, which is not set: set it" in message


def test_a_parameter_file_is_searched_for_in_the_working_folder_then_in_the_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert completion.complete(SIMULATED)["model"]["params"] == str(ROOT / "config/models/demo.yaml")
    (tmp_path / "config" / "models").mkdir(parents=True)
    (tmp_path / "config" / "models" / "demo.yaml").write_text("")
    assert completion.complete(SIMULATED)["model"]["params"] == "config/models/demo.yaml"
    nowhere = changed(SIMULATED, model__params="none.yaml")
    assert completion.complete(nowhere)["model"]["params"] == "none.yaml"
    assert "parameter file none.yaml does not exist" in refusal(nowhere)


# Violations of the schema


@pytest.mark.parametrize(
    ("key", "place", "nearest"),
    [
        ("atribution", "key in the configuration", "attribution"),
        ("run__seeds", "key in run", "seed"),
        ("evaluate__baseline__alfa", "key in evaluate.baseline", "alpha"),
        ("motifs__probe__sits", "key in motifs.probe", "sites"),
        ("genome__simulate__n_gene", "key in genome.simulate", "n_genes"),
        ("attribution__contrasts__any__off_task", "key in attribution.contrasts.any", "off_tasks"),
        ("targets__task_columns__tasks", "key in targets.task_columns", "task"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(key: str, place: str, nearest: str) -> None:
    message = refusal(changed(SIMULATED, **{key: "x"}))
    assert f"unknown {place} '{key.rsplit('__', 1)[-1]}': did you mean {nearest}" in message


def test_an_unknown_key_in_a_list_or_an_address_is_named_too() -> None:
    message = refusal(changed(SIMULATED, genome__simulate={"groups": [{"name": "a"}, {"name": "b", "activator": []}]}))
    assert "unknown key in genome.simulate.groups.1 'activator': did you mean activators" in message
    message = refusal(changed(SIMULATED, variants={"vcf": {"url": "https://a.org/v", "sha265": "0"}}))
    assert "unknown key in variants.vcf 'sha265': did you mean sha256" in message
    assert "variants.vcf is missing sha256" in message


def test_every_problem_is_reported_once() -> None:
    config = changed(
        SIMULATED, attribution=None, splits=None, run__name="a/b", peaks={"treshold": 1, "min_length": 0}, nonsense=1
    )
    message = refusal(config)
    assert message.startswith("6 problems:")
    assert len(message.splitlines()) == 7
    for words in (
        "is missing attribution",
        "is missing splits",
        "run.name: 'a/b'",
        "'treshold'",
        "peaks.min_length: 0",
        "'nonsense'",
    ):
        assert message.count(words) == 1, words


@pytest.mark.parametrize(
    ("splits", "right"),
    [
        ({"val": ["chr1"]}, False),
        ({"val": ["chr1"], "test": ["chr2"], "folds": 3}, False),
        ({}, False),
        ({"folds": 2}, False),
        ({"val": [], "test": ["chr2"]}, False),
        ({"folds": 3}, True),
        ({"val": ["chr1"], "test_fraction": 0.1}, True),
        ({"val_fraction": 0.1, "test": ["chr2:1-500000", "chr3"]}, True),
        ({"val_fraction": 0.1, "test_fraction": 0.1}, True),
        ({"regions": "regions.tsv"}, True),
        ({"val_fraction": 0.1}, False),
        ({"val": ["chr1"], "val_fraction": 0.1, "test": ["chr2"]}, False),
        ({"val": ["chr1"], "test": ["chr2"], "regions": "regions.tsv"}, False),
        ({"genes": "genes.tsv", "regions": "regions.tsv"}, False),
    ],
)
def test_splits_are_given_in_exactly_one_way(splits: dict[str, Any], right: bool) -> None:
    if right:
        completion.complete(SIMULATED | {"splits": splits})
    else:
        assert "splits" in refusal(SIMULATED | {"splits": splits})


def test_values_of_the_wrong_type_are_explained() -> None:
    assert "splits.val.0: 7 is read as a number or boolean: put it in quotes" in refusal(changed(SIMULATED, splits__val=[7]))
    assert "peaks.threshold: 'low' is not of type 'number'" in refusal(changed(SIMULATED, peaks={"threshold": "low"}))
    assert "variants.vcf must be a path, or a mapping with url and sha256, not 3" in refusal(
        changed(SIMULATED, variants={"vcf": 3})
    )
    assert "peaks: [] is not of type 'object'" in refusal(SIMULATED | {"peaks": []})


# Several problems at once


def test_problems_of_schema_and_files_are_reported_together(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CISNAKE_NO_A", raising=False)
    config = changed(given, splits={"val": ["chrA"], "test": ["chrD"], "alow_overlap": True}, peaks={"treshold": 1, "n": "x"})
    config = changed(config, annotation__tss_bed="$CISNAKE_NO_A/tss.bed", variants={"vcf": "absent.vcf"}, atribution={})
    config = changed(config, attribution__contrasts={"a": {"on_tasks": ["haet"]}, "b": {"on_task": ["heat"]}})
    message = refusal(config)
    for words in (
        "unknown key in splits 'alow_overlap': did you mean allow_overlap",
        "unknown chromosome in splits.test 'chrD'",
        "unknown key in peaks 'treshold'",
        "peaks.n: 'x' is not of type 'integer'",
        "uses the environment variable CISNAKE_NO_A",
        "variants.vcf: ",
        "unknown key in the configuration 'atribution'",
        "contrast a 'haet': did you mean heat",
        "unknown key in attribution.contrasts.b 'on_task'",
        "attribution.contrasts.b is missing on_tasks",
    ):
        assert message.count(words) == 1, words
    assert message.startswith("10 problems:") and len(message.splitlines()) == 11


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"annotation": {"gft": "genes.gtf"}}, "unknown key in annotation 'gft': did you mean gtf?"),
        ({"genome": {"fata": "genome.fa"}}, "unknown key in genome 'fata': did you mean fasta?"),
        ({"genome": {"fasta": 3}}, "genome.fasta must be a path, or a mapping with url and sha256, not 3"),
        ({"genome": None}, "the configuration is missing genome"),
        ({"genome": "genome.fa"}, "genome: 'genome.fa' is not of type 'object'"),
        ({"splits": {"vall": ["chrA"], "test": ["chrB"]}}, "unknown key in splits 'vall': did you mean val?"),
        ({"splits": []}, "splits: [] is not of type 'object'"),
        ({"targets": {"matrx": "matrix.tsv", "tasks": "tasks.tsv"}}, "unknown key in targets 'matrx': did you mean matrix?"),
        ({"targets__knd": "coverage"}, "unknown key in targets 'knd': did you mean kind?"),
        (
            {"run__data_dir": "$CISNAKE_NO_A"},
            "the path $CISNAKE_NO_A uses the environment variable CISNAKE_NO_A, which is not set: set it",
        ),
        (
            {"genome__fasta": "$CISNAKE_NO_A"},
            "the path $CISNAKE_NO_A uses the environment variable CISNAKE_NO_A, which is not set: set it",
        ),
        ({"attribution__contrasts": 3}, "attribution.contrasts: 3 is not of type 'object', 'string'"),
        ({"targets__matrix": "."}, "has no matrix.mtx or matrix.mtx.gz: use the path of the matrix file."),
        ({"attribution__contrasts": "each_group", "targets__tasks": "genes.gtf"}, "genes.gtf cannot be read as a table"),
    ],
)
def test_one_mistake_gives_one_message(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, values: dict[str, Any], problem: str
) -> None:
    monkeypatch.delenv("CISNAKE_NO_A", raising=False)
    message = refusal(changed(given, **values))
    assert problem in message and "\n" not in message


def test_a_simulation_with_an_unknown_key_is_not_checked_further() -> None:
    config = changed(SIMULATED, genome__simulate={"n_chromosome": 20}, splits={"val": ["chr19"], "test": ["chr19"]})
    message = refusal(changed(config, attribution__contrasts={"x": {"on_tasks": ["a group that does not exist"]}}))
    assert "n_chromosome" in message and "splits.val and splits.test both contain chr19" in message
    assert message.startswith("2 problems")


def test_an_unreadable_file_is_reported_with_the_other_problems(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise PermissionError(13, "Permission denied", "genome.fa.fai")

    monkeypatch.setattr(checks, "fits", refuse)
    message = refusal(changed(given, peaks={"min_length": 30}))
    assert "genome.fa.fai cannot be read: Permission denied" in message and "peaks.min_length" in message


def test_prepare_and_complete_give_the_same_result(given: dict[str, Any]) -> None:
    assert type(checks.prepare(given)) is dict and checks.prepare(given) == completion.complete(given)


# Problems that depend on files


def test_a_genome_is_either_read_or_simulated(given: dict[str, Any]) -> None:
    words = "genome needs exactly one of fasta and simulate"
    assert words in refusal(changed(given, genome__simulate={}))
    assert words in refusal(changed(given, genome={}))


def test_a_simulated_run_refuses_files(given: dict[str, Any]) -> None:
    config = SIMULATED | {"annotation": given["annotation"], "targets": given["targets"], "variants": {"vcf": "v.vcf"}}
    message = refusal(config)
    for name in ("annotation.gtf", "targets.matrix", "targets.tasks", "variants.vcf"):
        assert f"{name} is set, but genome.simulate generates this input" in message


def test_a_run_without_simulation_needs_annotation_and_matrix(given: dict[str, Any]) -> None:
    message = refusal(changed(given, annotation={}, targets={}))
    assert "annotation is missing gtf" in message and "targets is missing matrix" in message


def test_missing_files_are_all_listed(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "genome.fa").unlink()
    (tmp_path / "matrix.tsv").unlink()
    config = changed(given, annotation__tss_bed="tss.bed", variants={"vcf": "v.vcf"}, motifs={"source": "m.meme"})
    message = refusal(changed(config, attribution__genes="all_of_them.txt", model__params="m.yaml", splits={"genes": "s.tsv"}))
    for words in ("genome.fasta: ", "annotation.tss_bed: ", "targets.matrix: ", "variants.vcf: ", "motifs.source: "):
        assert words in message
    for name in ("all_of_them.txt", "m.yaml", "s.tsv"):
        assert name in message
    assert message.startswith("8 problems")


def test_chromosomes_of_splits_are_those_of_the_genome(given: dict[str, Any], tmp_path: Path) -> None:
    message = refusal(changed(given, splits={"val": ["chra"], "test": ["chrD"]}))
    assert "unknown chromosome in splits.val 'chra': did you mean" in message
    assert "unknown chromosome in splits.test 'chrD'" in message
    assert "'chr9': did you mean" in refusal(changed(SIMULATED, splits__test=["chr9"]))
    checks.check(completion.complete(changed(SIMULATED, splits__test=["chr8"])))
    # Without an index, the chromosomes are checked by the job that reads the genome.
    (tmp_path / "genome.fa.fai").unlink()
    checks.check(completion.complete(changed(given, splits={"val": ["chra"], "test": ["chrD"]})))


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"val": ["chrA:1-5"], "test": ["chrB"]}, "splits.val: chrA:1-5 extends beyond the end of chrA, which has 4 bp"),
        ({"val": ["chrA:0-2"], "test": ["chrB"]}, "positions count from 1"),
        ({"val": ["chrA:2"], "test": ["chrB"]}, "chrA:2 is not a region"),
        ({"val": ["chrD:1-2"], "test": ["chrB"]}, "unknown chromosome in splits.val 'chrD'"),
        ({"val": ["chrB"], "test": ["chrB:3-4"]}, "splits.val and splits.test both contain chrB:3-4"),
        ({"val": ["chrA:1-2"], "test": ["chrA:2-4"]}, "splits.val and splits.test both contain chrA:2-2"),
        ({"val_fraction": 0.6, "test_fraction": 0.4}, "sum to 1 or more"),
        ({"folds": 3, "val": ["chrA"]}, "splits.val cannot be combined with splits.folds: remove one of them"),
        ({"regions": "s.tsv", "test_fraction": 0.1}, "splits.test_fraction cannot be combined with splits.regions"),
        ({"regions": "s.tsv"}, "splits.regions: "),
    ],
)
def test_splits_are_checked_before_anything_starts(given: dict[str, Any], splits: dict[str, Any], message: str) -> None:
    assert message in refusal(changed(given, splits=splits))


def test_shared_regions_are_found_without_an_index(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "genome.fa.fai").unlink()
    shared = {"val": ["chrA:1-2,000"], "test": ["chrB", "chrA"]}
    assert "splits.val and splits.test both contain chrA:1-2000" in refusal(changed(given, splits=shared))
    checks.check(completion.complete(changed(given, splits={"val": ["chrA:1-2000"], "test": ["chrA:2001-3000"]})))


def test_a_table_of_regions_is_checked_against_the_index(given: dict[str, Any], tmp_path: Path) -> None:
    given = changed(given, splits={"regions": "regions.tsv"})
    rows = ["chrom\tstart\tend\tsplit", "chrA\t0\t2\ttrain", "chrA\t2\t4\tval", "chrB\t0\t4\ttest"]
    (tmp_path / "regions.tsv").write_text("\n".join(rows) + "\n")
    checks.check(completion.complete(given))
    (tmp_path / "regions.tsv").write_text("\n".join(rows).replace("2\t4", "1\t5") + "\n")
    assert "line 3: 1-5 extends beyond the end of chrA, which has 4 bp" in refusal(given)
    (tmp_path / "regions.tsv").write_text("\n".join(rows).replace("2\t4", "1\t4") + "\n")
    assert "assigns chrA:2-2 to both train and val" in refusal(given)


def test_commas_in_a_region_need_quotes(given: dict[str, Any]) -> None:
    # So YAML reads `val: [chrA:1-4,000]`.
    message = refusal(changed(given, splits__val=["chrA:1-4", 0]))
    assert "splits.val.1: 0 is read as a number or boolean: put it in quotes; if it is part of a region, quote all" in message


def test_an_index_of_another_genome_does_not_count(given: dict[str, Any], tmp_path: Path) -> None:
    index = tmp_path / "genome.fa.fai"
    index.write_text("other\t4\t6\t4\t5\n")
    assert "'chrA'" in refusal(given)
    for text, time in (("other\t4\t6\t4\t5\n", 1_000_000_000), ("other\n", None)):
        index.write_text(text)
        os.utime(index, None if time is None else (time, time))
        checks.check(completion.complete(given))


def test_options_without_effect_are_refused(given: dict[str, Any], tmp_path: Path) -> None:
    given = changed(given, attribution__contrasts={"any": {"on_tasks": ["heat_1"]}})
    columns = {"targets__task_columns": {"group": "organ"}}
    assert "targets.task_columns is set, but there is no task table" in refusal(changed(given, targets__tasks=None, **columns))
    assert "only .h5ad files have layers" in refusal(changed(given, targets__layer="counts"))
    assert "only .h5ad files have layers" in refusal(changed(SIMULATED, targets__layer="counts"))
    for name in ("matrix.mtx", "features.tsv", "barcodes.tsv", "cells.tsv", "cells.h5ad"):
        (tmp_path / name).touch()
    cells = {
        "cells": "matrix.mtx",
        "cell_table": "cells.tsv",
        "pseudobulks": {"by": ["type"]},
        "task_columns": {"group": "type"},
    }
    checks.check(completion.complete(given | {"targets": cells}))
    assert "only .h5ad files have layers" in refusal(given | {"targets": cells | {"layer": "counts"}})
    checks.check(completion.complete(given | {"targets": cells | {"cells": "cells.h5ad", "layer": "counts"}}))
    remote = {"url": "https://example.org/x.h5ad?download=1", "sha256": "0" * 64}
    checks.check(completion.complete(given | {"targets": {"matrix": remote, "layer": "counts"}}))
    (tmp_path / "barcodes.tsv").unlink()
    assert "barcodes.tsv is missing" in refusal(given | {"targets": cells})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layer", "counts"),
        ("gene_column", "name"),
        ("cells", "matrix.tsv"),
        ("cell_table", "tasks.tsv"),
        ("task_columns", {"group": "organ"}),
        ("pseudobulks", {"by": ["type"]}),
        ("filters", {"genes": {"min_tasks": 0}}),
    ],
)
def test_options_of_expression_are_refused_for_coverage(given: dict[str, Any], tmp_path: Path, key: str, value: Any) -> None:
    (tmp_path / "tracks.tsv").write_text("identifier\tfile\n")
    targets = {"kind": "coverage", "tracks": str(tmp_path / "tracks.tsv")}
    sentence = f"targets.{key} requires targets.kind expression"
    assert sentence not in refusal(changed(given, targets=targets, windows__upstream=7))
    assert sentence in refusal(changed(given, targets=targets | {key: value}, windows__upstream=7))


def test_a_chromosome_is_in_one_split_only(given: dict[str, Any]) -> None:
    assert "splits.val and splits.test both contain chrB" in refusal(changed(given, splits__val=["chrA", "chrB"]))


def test_tasks_of_contrasts_are_those_of_the_matrix(given: dict[str, Any], tmp_path: Path) -> None:
    contrasts = {
        "one": {"on_tasks": ["heat_1"]},
        "two": {"on_tasks": ["haet"]},
        "three": {"on_tasks": ["cold"], "off_tasks": ["x"]},
    }
    message = refusal(changed(given, attribution__contrasts=contrasts))
    assert "'haet': did you mean heat" in message and "contrast three 'x'" in message and "contrast one" not in message
    # Groups are defined only in the task table.
    assert "'heat'" in refusal(changed(given, targets__tasks=None))
    (tmp_path / "tasks.tsv").write_text("task\tgroup\nheat_1\theat\n")
    assert "heat_2" in refusal(given)
    assert "contrast any 'liverr': did you mean liver" in refusal(
        changed(SIMULATED, attribution__contrasts__any__on_tasks=["liverr"])
    )


def test_contrasts_by_query_are_checked_against_the_table_of_tasks(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "tasks.tsv").write_text("task\tgroup\tminutes\nheat_1\theat\t5\nheat_2\theat\t20\ncold\tcold\t\n")
    ask = "attribution__contrasts__heat__on_tasks"
    checks.check(completion.complete(changed(given, **{ask: "group == 'heat' and minutes > 10"})))
    assert "no task matches the query on_tasks: 'minutes > 100'" in refusal(changed(given, **{ask: "minutes > 100"}))
    assert "failed (name 'minuets' is not defined)" in refusal(changed(given, **{ask: "minuets > 10"}))


def test_each_group_gives_one_contrast_per_group(given: dict[str, Any], tmp_path: Path) -> None:
    ask = "attribution__contrasts"
    (tmp_path / "tasks.tsv").write_text("task\tgroup\nheat_1\theat shock\nheat_2\theat shock\ncold\tcold\n")
    config = completion.complete(changed(given, **{ask: "each_group"}))
    checks.check(config)
    assert config["attribution"]["contrasts"] == {
        "heat_shock": {"on_tasks": ["heat_1", "heat_2"], "score": "specificity"},
        "cold": {"on_tasks": ["cold"], "score": "specificity"},
    }
    simulated = completion.complete(changed(SIMULATED, **{ask: "each_group"}))["attribution"]["contrasts"]
    assert list(simulated) == ["liver", "neuron", "blood"] and "liver_1" in simulated["liver"]["on_tasks"]
    remote = {"url": "https://example.org/x.gz", "sha256": "0" * 64}
    assert "groups of tasks are not known before the run" in refusal(
        changed(given, targets={"matrix": remote}, **{ask: "each_group"})
    )
    assert "requires at least two groups" in refusal(changed(given, targets__tasks=None, **{ask: "each_group"}))
    assert "'each_groop' does not match" in refusal(changed(given, **{ask: "each_groop"}))


def test_quoted_headers_of_a_csv_are_read(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "matrix.csv").write_text('"","heat_1","heat_2","cold"\n"g1",1,2,3\n')
    checks.check(completion.complete(changed(given, targets__matrix="matrix.csv")))


def test_tasks_are_known_from_a_matrix_of_any_format(given: dict[str, Any], tmp_path: Path) -> None:
    obs = pd.DataFrame({"organ": ["heat", "heat", "cold"]}, ["a", "b", "c"])
    anndata.AnnData(np.ones((3, 2), np.float32), obs=obs).write_h5ad(tmp_path / "m.h5ad")
    targets = {"matrix": "m.h5ad", "task_columns": {"group": "organ"}}
    checks.check(completion.complete(given | {"targets": targets}))
    assert "'heat'" in refusal(given | {"targets": {"matrix": "m.h5ad"}})
    assert "'organ_': did you mean organ" in refusal(given | {"targets": targets | {"task_columns": {"group": "organ_"}}})
    (tmp_path / "counts").mkdir()
    for name, text in {"matrix.mtx": "", "features.tsv": "g1\n", "barcodes.tsv": "heat\ncold\n"}.items():
        (tmp_path / "counts" / name).write_text(text)
    (tmp_path / "counts" / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n1 2 0\n")
    config = completion.complete(given | {"targets": {"matrix": "counts"}})
    assert config["targets"]["matrix"] == str(tmp_path / "counts" / "matrix.mtx")
    checks.check(config)
    remote = {"url": "https://example.org/matrix.mtx.gz", "sha256": "0" * 64}
    assert "needs two more files" in refusal(given | {"targets": {"matrix": remote}})


def test_cells_are_summed_by_annotations(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "cells.h5ad").touch()
    cells = {"cells": "cells.h5ad", "pseudobulks": {"by": ["cell_type"]}}
    config = completion.complete(given | {"targets": cells})
    checks.check(config)
    assert config["targets"]["pseudobulks"]["min_cells"] == 50
    assert "set targets.pseudobulks.by to the annotations to group by" in refusal(given | {"targets": {"cells": "cells.h5ad"}})
    assert "targets.cells: " in refusal(given | {"targets": cells | {"cells": "none.h5ad"}})
    assert "exactly one of matrix and cells" in refusal(given | {"targets": cells | {"matrix": "matrix.tsv"}})
    assert "require targets.cells: set it" in refusal(changed(given, targets__pseudobulks={"by": ["cell_type"]}))
    assert "'max_mising': did you mean max_missing" in refusal(changed(given, targets__filters={"genes": {"max_mising": 0.3}}))


def test_remote_files_are_not_looked_for(given: dict[str, Any]) -> None:
    remote = {"url": "https://example.org/x.gz", "sha256": "0" * 64}
    config = changed(given, genome__fasta=remote, annotation__gtf=remote, targets={"matrix": remote, "tasks": remote})
    checks.check(completion.complete(changed(config, attribution__contrasts__heat__on_tasks=["who knows"])))


def test_the_baseline_stays_inside_the_window() -> None:
    windows = {"upstream": 300, "downstream": 50}
    assert "upstream" not in completion.complete(changed(SIMULATED, windows=windows))["evaluate"]["baseline"]
    message = refusal(changed(SIMULATED, windows=windows, evaluate__baseline={"upstream": 500, "downstream": 51}))
    assert "evaluate.baseline.upstream is 500, more than windows.upstream (300)" in message
    assert "evaluate.baseline.downstream is 51, more than windows.downstream (50)" in message
    message = refusal(changed(SIMULATED, evaluate__baseline={"upstream": 2, "downstream": 1}))
    assert "its window of 3 bp is shorter than k (6)" in message
    message = refusal(changed(SIMULATED, windows={"upstream": 5, "downstream": 50}, evaluate__baseline={"window": "promoter"}))
    assert "its window of 5 bp is shorter than k (6)" in message
    message = refusal(changed(SIMULATED, evaluate__baseline={"window": "whole", "upstream": 300}))
    assert "has a window, and upstream or downstream: remove one of them" in message


@pytest.mark.parametrize("alpha", ["best", -1, 0, "nan"])
def test_the_penalty_is_a_number_above_zero_or_auto(alpha: Any) -> None:
    assert "evaluate.baseline.alpha" in refusal(changed(SIMULATED, evaluate__baseline={"alpha": alpha}))


def test_peaks_have_a_range_of_lengths() -> None:
    assert "peaks.min_length is greater than peaks.max_length" in refusal(changed(SIMULATED, peaks={"min_length": 30}))


def test_seq_length_of_the_network_is_that_of_the_windows() -> None:
    config = changed(SIMULATED, windows={"upstream": 600, "downstream": 100})
    checks.check(completion.complete(changed(config, model__overrides={"model.seq_length": 700})))
    message = refusal(changed(config, model__overrides={"model.seq_length": 512}))
    assert "has seq_length 512, but windows have 700 bases" in message


def test_weights_to_start_from_must_exist(tmp_path: Path) -> None:
    weights = tmp_path / "old.keras"
    config = changed(SIMULATED, model__overrides={"transfer.weights": str(weights)})
    assert f"is {weights}, which does not exist" in refusal(config)
    weights.touch()
    complete = completion.complete(config)
    checks.check(complete)
    assert checks.pretrained(complete) == [str(weights)]
    assert checks.pretrained(completion.complete(SIMULATED)) == []


def test_several_nodes_need_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(SIMULATED, resources={"nodes": 2})
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert "resources.nodes is 2, but srun was not found" in refusal(config)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    checks.check(completion.complete(config))


def test_problems_of_parameters_and_of_a_simulation_are_reported_with_the_others() -> None:
    config = changed(SIMULATED, genome__simulate={"n_chromosomes": 2, "n_truncated": 3}, peaks={"min_length": 30})
    message = refusal(changed(config, model__overrides={"train.learning_rat": 1}))
    for words in ("did you mean learning_rate", "n_truncated is 3", "peaks.min_length"):
        assert words in message


# Cost of starting the workflow, which every cluster job pays


# The same steps as in the Snakefile.
START = """
import sys, yaml
from cisnake import configuration
from cisnake.configuration import known_tracks
from cisnake.data.matrix import matrix_files
config = configuration.prepare(yaml.safe_load(open(sys.argv[1])))
configuration.config_path(config, "."), configuration.pretrained(config), matrix_files("matrix.tsv")
heavy = {"anndata", "zarr", "h5py", "scipy", "tensorflow", "keras", "matplotlib", "pysam", "requests"}
print(*sorted(heavy & set(sys.modules)))
"""


def test_no_heavy_package_is_imported_to_plan_a_run(given: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(given))
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts")}
    for path in (ROOT / "config" / "demo.yaml", tmp_path / "config.yaml"):
        command = [sys.executable, "-c", START, str(path)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.split() == []


def test_a_table_of_tracks_is_read_once_in_a_start(
    covered: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    monkeypatch.setattr(task_table, "read_tracks", lambda *args: read.append(args[0]) or read_tracks(*args))
    config = checks.prepare(changed(covered, attribution__contrasts="each_group"))
    table = task_table.known_tracks(config["targets"]["tracks"], config["run"]["data_dir"])
    assert read == [str(tmp_path / "tracks.tsv")]
    table["file"] = "changed"
    assert task_table.known_tracks(*read, config["run"]["data_dir"])["file"].tolist() == [str(tmp_path / "a.bw")] * 2
    # The files are checked again when the workflow starts again.
    (tmp_path / "a.bw").unlink()
    assert "a.bw, does not exist" in refusal(covered)
    with pytest.raises(InputError, match=r"a\.bw, does not exist"):
        checks.check(config)


# Documentation and template


def test_the_description_of_all_keys_is_up_to_date() -> None:
    written = (ROOT / "config" / "README.md").read_text()
    assert written == write_config_docs.page(), "run make docs"
    for name, _ in parts(SCHEMA):
        assert f"## {name}" in written or f"{name.rsplit('.', 1)[-1]}`" in written
    for block in ("conv_motif", "dilated_residual", "final"):
        assert f"- `{block}`" in written


def test_the_description_of_parameter_files_is_what_the_code_has() -> None:
    from cisnake.model.network import blocks
    from cisnake.model.params import TRAIN_SETTINGS, TRANSFER_SETTINGS

    written = write_config_docs.page()
    for key, setting in (TRAIN_SETTINGS | TRANSFER_SETTINGS).items():
        assert f"| `{key}` | `{json.dumps(setting.default)}` | {setting.about} |" in written
    for name in blocks.BLOCKS:
        assert f"- `{name}`" in written
    for name in (*blocks.PLAIN, *blocks.KERAS_LAYERS):
        assert f"`{name}`" in written


def test_the_template_runs_with_files_of_the_names_it_has(tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "config" / "template.yaml").read_text())
    simulate = [sys.executable, ROOT / "scripts" / "simulate_inputs.py", "--set", "genome.simulate.n_genes=40"]
    subprocess.run([*simulate, "--outdir", tmp_path / config["run"]["data_dir"]], check=True, capture_output=True)
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "--cores", "2"]
    command += ["--dry-run", "--configfile", ROOT / "config" / "template.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^write_report +1$", done.stdout, flags=re.MULTILINE)


def test_the_optional_part_of_the_template_is_right() -> None:
    text = (ROOT / "config" / "template.yaml").read_text().split("Optional from here on")[1]
    lines = [line.removeprefix("# ") for line in text.splitlines()[1:]]
    optional = yaml.safe_load("\n".join(lines))
    assert set(optional) >= {"annotation", "targets", "train", "motifs", "variants", "resources"}
    essential = yaml.safe_load((ROOT / "config" / "template.yaml").read_text())
    merged = {key: essential.get(key, {}) | optional.get(key, {}) for key in {**essential, **optional}}
    filled = completion.complete(merged)
    plain = completion.complete(essential)
    for section, key in [
        ("train", "replicates"),
        ("windows", "max_shift"),
        ("attribution", "n_shards"),
        ("targets", "transform"),
    ]:
        assert filled[section][key] == plain[section][key], "comments show the default"
    assert filled["motifs"]["source"] == plain["motifs"]["source"]
    assert filled["resources"] == plain["resources"]


@pytest.mark.parametrize("indent", ["\t", "  "])
def test_configurations_in_json_are_read_whatever_their_indentation(tmp_path: Path, indent: str) -> None:
    path = tmp_path / "mine.json"
    values = {"run": {"name": "mine"}, "evaluate": {"baseline": {"k": 4}}}
    path.write_text(json.dumps(values, indent=indent), encoding="utf-8")
    assert reading.read_file(path) == values
    path.write_text('{\n\t"run": {"name": "mine" "seed": 1}\n}')
    with pytest.raises(InputError, match=r"cannot be read as a configuration in YAML or JSON: .*line 2 column 25"):
        reading.read_file(path)
