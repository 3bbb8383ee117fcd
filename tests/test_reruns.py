"""Reruns after a change of each configuration key: exactly the rules that it affects."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import write_reruns


@pytest.fixture(scope="module")
def rules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str] | None]]:
    """The rules that each key affects, for each kind of run."""
    folder = tmp_path_factory.mktemp("runs")
    write_reruns.write_inputs(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        return {kind: dict(write_reruns.changed_rules(kind, folder)) for kind in ("expression", "coverage")}


def test_the_page_is_up_to_date(rules: dict[str, dict[str, list[str] | None]]) -> None:
    assert write_reruns.PAGE.read_text(encoding="utf-8") == write_reruns.page(rules), "regenerate it with make docs"


def test_only_resources_and_similar_keys_trigger_no_rerun(rules: dict[str, dict[str, list[str] | None]]) -> None:
    for kind, other in (("expression", ("targets.", "tiles.")), ("coverage", ("targets.", "tiles."))):
        # Keys that only the other kind of run reads.
        idle = {key for key, names in rules[kind].items() if names == [] and not key.startswith(other)}
        idle -= {"train.words"} if kind == "coverage" else set()
        # Names of networks are replaced by paths, which the workflow compares.
        assert idle == {
            "model.folder",
            "model.registry",
            "train.trackers",
            *(key for key in rules[kind] if key.startswith("resources.")),
        }
    # Every key has an effect in at least one kind of run; `splits.unmeasured` is of runs of neither kind.
    for key in rules["expression"]:
        assert (
            rules["expression"][key]
            or rules["coverage"][key]
            or key.startswith(("resources.", "train.t", "targets.kind", "splits.unmeasured", "model.folder", "model.registry"))
        )


def test_training_does_not_depend_on_later_steps(rules: dict[str, dict[str, list[str] | None]]) -> None:
    later = ("evaluate.", "attribution.", "peaks.", "motifs.", "report.", "resources.", "train.", "genome.assembly")
    before = {"select_genes", "write_dataset", "make_tiles", "select_covered_genes", "write_coverage", "train_model"}
    for kind in rules:
        for key, names in rules[kind].items():
            if key.startswith(later) and key not in ("train.words", "train.contrasts", "train.heads"):
                assert not before & set(names or ()), (kind, key)


@pytest.mark.parametrize(
    "change",
    [
        lambda config: {name: config[name] for name in reversed(config)},
        lambda config: config | {"windows": {"max_shift": 0, "anchor": "tss", "downstream": 400.0, "upstream": 400}},
        lambda config: config | {"evaluate": {"baseline": {"k": "3"}}},
    ],
    ids=["order", "defaults written out", "numbers written otherwise"],
)
def test_equivalent_configurations_trigger_no_rerun(change, tmp_path: Path) -> None:
    write_reruns.write_inputs(tmp_path)
    for kind in ("expression", "coverage"):
        config = write_reruns.RUNS[kind]
        assert write_reruns.signatures(change(config), tmp_path) == write_reruns.signatures(config, tmp_path)


def test_the_network_is_compared_by_parameters_and_not_by_path(tmp_path: Path) -> None:
    write_reruns.write_inputs(tmp_path)
    config = write_reruns.RUNS["expression"]
    before = write_reruns.signatures(config, tmp_path)
    (tmp_path / "elsewhere").mkdir()
    # The same parameters as JSON, at another path and with explicit defaults.
    moved = tmp_path / "elsewhere" / "params.json"
    moved.write_text('{"train": {"batch_size": 64, "loss": "mse"}, "model": {"trunk": [{"filters": 4, "name": "conv_block"}]}}')
    assert write_reruns.signatures(config | {"model": {"params": str(moved)}}, tmp_path) == before
    moved.write_text(moved.read_text().replace('"filters": 4', '"filters": 5'))
    after = write_reruns.signatures(config | {"model": {"params": str(moved)}}, tmp_path)
    assert [rule for rule in before if before[rule] != after[rule]] == ["scout", "train_model"]
