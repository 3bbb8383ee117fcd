"""What runs again when a key of the configuration changes: of every key, exactly what it concerns."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import write_reruns


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str] | None]]:
    """Of each kind of run, the rules that a key concerns."""
    folder = tmp_path_factory.mktemp("runs")
    write_reruns.write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return {kind: dict(write_reruns.changed_rules(kind, folder)) for kind in ("expression", "coverage")}


def test_the_page_says_what_the_rules_do(rules: dict[str, dict[str, list[str] | None]]) -> None:
    assert write_reruns.PAGE.read_text(encoding="utf-8") == write_reruns.page(rules), "write it anew: make docs"


def test_only_how_a_job_runs_is_no_reason_to_run_it_again(rules: dict[str, dict[str, list[str] | None]]) -> None:
    for kind, other in (("expression", ("targets.", "tiles.")), ("coverage", ("targets.", "tiles."))):
        # Keys of the other kind of run, which this one does not read.
        idle = {key for key, names in rules[kind].items() if names == [] and not key.startswith(other)}
        assert idle == {"train.trackers", *(key for key in rules[kind] if key.startswith("resources."))}
    # Every key concerns something in one kind of run at least.
    for key in rules["expression"]:
        assert rules["expression"][key] or rules["coverage"][key] or key.startswith(("resources.", "train.t", "targets.kind"))


def test_what_is_trained_depends_on_nothing_that_comes_after(rules: dict[str, dict[str, list[str] | None]]) -> None:
    later = ("evaluate.", "attribution.", "peaks.", "motifs.", "report.", "resources.", "train.", "genome.assembly")
    before = {"select_genes", "write_dataset", "make_tiles", "select_covered_genes", "write_coverage", "train_model"}
    for kind in rules:
        for key, names in rules[kind].items():
            if key.startswith(later):
                assert not before & set(names or ()), (kind, key)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {name: config[name] for name in reversed(config)},
        lambda config: config | {"windows": {"max_shift": 0, "anchor": "tss", "downstream": 400.0, "upstream": 400}},
        lambda config: config | {"evaluate": {"baseline": {"k": 3, "upstream": 100, "alpha": 10000}}},
    ],
    ids=["order", "defaults written out", "numbers written otherwise"],
)
def test_the_same_configuration_written_otherwise_is_the_same(change, tmp_path: Path) -> None:
    write_reruns.write_inputs(tmp_path)
    for kind in ("expression", "coverage"):
        config = write_reruns.RUNS[kind]
        assert write_reruns.signatures(change(config), tmp_path) == write_reruns.signatures(config, tmp_path)


def test_the_network_is_its_parameters_and_not_their_file(tmp_path: Path) -> None:
    write_reruns.write_inputs(tmp_path)
    config = write_reruns.RUNS["expression"]
    before = write_reruns.signatures(config, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    # The same as JSON, in another place and with defaults written out.
    moved = tmp_path / "elsewhere" / "params.json"
    moved.write_text('{"train": {"batch_size": 64}, "model": {"trunk": [{"filters": 4, "name": "conv_block"}]}}')
    assert write_reruns.signatures(config | {"model": {"params": str(moved)}}, tmp_path) == before
    moved.write_text(moved.read_text().replace('"filters": 4', '"filters": 5'))
    after = write_reruns.signatures(config | {"model": {"params": str(moved)}}, tmp_path)
    assert [rule for rule in before if before[rule] != after[rule]] == ["train_model"]
