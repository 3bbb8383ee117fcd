"""Runs with networks that were trained elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cisnake.configuration import checks, completion, network
from cisnake.errors import InputError


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    for name in ("a.keras", "b.keras", "c.weights.h5", "e.keras", "a.txt"):
        Path(name).touch()
    return {
        "run": {"name": "try"},
        "genome": {"simulate": {}},
        "splits": {"val": ["chr1"], "test": ["chr2"]},
        "model": {"trained": ["a.keras", "b.keras"]},
        "attribution": {"contrasts": {"any": {"on_tasks": ["liver"]}}},
    }


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        checks.prepare(config)
    return str(caught.value)


def test_given_networks_are_the_replicates_and_nothing_is_fitted(config: dict[str, Any]) -> None:
    prepared = checks.prepare(config)
    assert prepared["train"]["replicates"] == 2
    assert network.given_networks(prepared) == ["a.keras", "b.keras"]
    assert not network.uses_words(prepared) and checks.pretrained(prepared) == [] and network.network_digest(prepared) == ""
    # A stored configuration is completed again by every program.
    assert completion.complete(prepared) == prepared
    assert checks.prepare(config | {"train": {"replicates": 2}}) == prepared


def test_with_folds_networks_are_divided_among_them(config: dict[str, Any]) -> None:
    assert "lists 2 networks, which cannot be divided among 3 folds" in refusal(config | {"splits": {"folds": 3}})
    config["model"]["trained"].append("e.keras")
    assert checks.prepare(config | {"splits": {"folds": 3}})["train"]["replicates"] == 1


def test_variables_in_their_paths_are_expanded(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETWORKS", str(tmp_path))
    config["model"] = {"trained": ["$NETWORKS/a.keras"]}
    assert network.given_networks(checks.prepare(config)) == [str(tmp_path / "a.keras")]
    config["model"] = {"trained": ["$NO_SUCH_FOLDER/a.keras"]}
    assert refusal(config) == (
        "the path $NO_SUCH_FOLDER/a.keras uses the environment variable NO_SUCH_FOLDER, which is not set: set it"
    )


@pytest.mark.parametrize(
    ("model", "train", "message"),
    [
        ({"trained": ["d.keras"]}, {}, "model.trained: d.keras does not exist: relative paths refer to the working folder"),
        ({"trained": ["a.txt"]}, {}, "model.trained: a.txt is neither a .keras nor an .h5 file, nor a network of PyTorch"),
        ({"trained": ["c.weights.h5"]}, {}, "c.weights.h5 holds only weights: set model.params to the parameter file"),
        ({}, {}, "model needs params, the network to train, or trained, networks to use"),
        ({"params": "config/models/demo.yaml", "head": "head_human"}, {}, "model.head is only for networks in model.trained"),
        (
            {"trained": ["a.keras"]},
            {"replicates": 3},
            "train.replicates is 3, but model.trained lists 1 networks per fold: remove train.replicates",
        ),
        ({"trained": ["a.keras"]}, {"contrasts": ["any"]}, "train.contrasts is only for"),
        ({"trained": ["a.keras"], "trained_on": ["chr1", "chrQ"]}, {}, "unknown chromosome in model.trained_on 'chrQ'"),
        ({"params": "config/models/demo.yaml", "trained_on": ["chr1"]}, {}, "model.trained_on needs trained networks"),
    ],
)
def test_contradictions_are_refused(config: dict[str, Any], model: dict[str, Any], train: dict[str, Any], message: str) -> None:
    assert message in refusal(config | {"model": model, "train": train})


REGISTRY = """
lab/f0: {network: {file: lab/f0.keras, address: "https://example.org/f0.keras"}, head: head_human, trained_on: [chr1]}
lab/f1: {network: {file: lab/f1.keras}, head: head_human, trained_on: [chr1, chr2]}
old/f0: {network: {file: old/f0.h5}, params: {file: old/params.json, address: "https://example.org/params.json"}}
other: {network: {file: other.keras}, head: head_mouse}
"""


@pytest.fixture
def registered(config: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration whose networks are named in a registry."""
    Path("registry.yaml").write_text(REGISTRY)
    for name in ("lab/f0.keras", "lab/f1.keras", "old/f0.h5", "old/params.json", "other.keras"):
        Path("folder", name).parent.mkdir(parents=True, exist_ok=True)
        Path("folder", name).write_text('{"model": {}, "train": {}}' if name.endswith("json") else "")
    return config | {"model": {"registry": "registry.yaml", "folder": "folder"}}


def test_names_stand_for_files_and_what_their_cards_say(registered: dict[str, Any]) -> None:
    registered["model"]["trained"] = ["lab/f0", "lab/f1"]
    model = completion.complete(registered)["model"]
    assert model["trained"] == ["folder/lab/f0.keras", "folder/lab/f1.keras"]
    assert (model["head"], model["trained_on"], model["params"]) == ("head_human", ["chr1", "chr2"], "")
    assert completion.complete(completion.complete(registered)) == completion.complete(registered)
    registered["model"] |= {"trained": ["old/f0"], "trained_on": ["chr3"], "head": "mine"}
    model = completion.complete(registered)["model"]
    assert (model["head"], model["trained_on"], model["params"]) == ("mine", ["chr3"], "folder/old/params.json")


def test_named_networks_that_cannot_be_used_are_refused(registered: dict[str, Any]) -> None:
    registered["model"]["trained"] = ["lab/f2"]
    message = "unknown network in model.trained, neither a file nor a name in registry.yaml: 'lab/f2': did you mean lab/f1"
    assert refusal(registered).startswith(message)
    Path("registry.yaml").write_text("lab/f2: {}")
    assert refusal(registered) == "lab/f2 in registry.yaml lacks the key network, with the path of its file."
    Path("registry.yaml").write_text(REGISTRY)
    registered["model"]["trained"] = ["lab/f0", "other"]
    assert "the networks in model.trained have different head: use one kind of network in a run" in refusal(registered)
    registered["model"]["trained"] = ["old/f0"]
    Path("folder/old/params.json").unlink()
    assert refusal(registered) == (
        "model.params: folder/old/params.json does not exist: download it from https://example.org/params.json"
    )
    registered["model"] = {"trained": ["a.keras"], "registry": "nowhere.yaml"}
    assert refusal(registered).startswith("model.registry: nowhere.yaml does not exist")
    registered["model"] = {"registry": "registry.yaml", "folder": "folder", "trained": ["lab/f0"]}
    Path("folder/lab/f0.keras").unlink()
    assert "model.trained: folder/lab/f0.keras does not exist: download it from https://example.org/f0.keras" in refusal(
        registered
    )
