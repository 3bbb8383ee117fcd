"""Runs that train further heads on other data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from cisnake.configuration import checks, completion
from cisnake.configuration.heads import HeadShape, read_head_shape
from cisnake.data.dataset import writer
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError

LENGTH = 200


def write_data(path: Path, length: int = LENGTH, bins: int = 0, tasks: int = 2) -> None:
    fasta = path.with_suffix(".fa")
    fasta.write_text(f">chr1\n{'ACGT' * 200}\n")
    windows = pd.DataFrame(
        {
            "gene_id": ["a", "b"], "chrom": "chr1", "strand": ["+", "-"], "window_start": [0, 300],
            "window_end": [length, 300 + length], "mask_start": 0, "mask_end": 0, "split": ["train", "val"], "fold": 0,
        }
    )  # fmt: skip
    labels = writer.Labels(np.zeros((2, tasks, length // bins if bins else 1), np.float32), [f"t{i}" for i in range(tasks)])
    writer.write_dataset(path, windows, labels, Genome(fasta), writer.Layout(0, bins), {"n_folds": 1})


def write_folder(folder: Path, **sizes: int) -> None:
    (folder / "tfrecords").mkdir(parents=True)
    (folder / "sequences.bed").touch()
    statistics = {"seq_length": LENGTH, "target_length": 9, "pool_width": 20, "num_targets": 5} | sizes
    (folder / "statistics.json").write_text(json.dumps(statistics))


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    write_data(Path("genes.h5"))
    write_data(Path("bins.h5"), bins=20)
    write_data(Path("long.h5"), length=LENGTH + 10)
    write_folder(Path("mouse"))
    Path("bad.h5").touch()
    Path("empty").mkdir()
    Path("a.keras").touch()
    write_params()
    return {
        "run": {"name": "try"},
        "genome": {"simulate": {}},
        "windows": {"upstream": 150, "downstream": 50},
        "splits": {"val": ["chr1"], "test": ["chr2"]},
        "model": {"params": "params.yaml"},
        "attribution": {"contrasts": {"any": {"on_tasks": ["liver"]}}},
    }


def write_params(**heads: Any) -> None:
    model = {"trunk": [{"name": "flatten"}], **(heads or {"head": {"name": "final"}})}
    Path("params.yaml").write_text(yaml.safe_dump({"model": model, "train": {"loss": "mse"}}))


def with_heads(config: dict[str, Any], **heads: str) -> dict[str, Any]:
    return config | {"train": {"heads": [{"name": name, "dataset": path} for name, path in heads.items()]}}


def refusal(config: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        checks.prepare(config)
    return str(caught.value)


def test_data_sets_may_be_files_and_folders(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADS", str(tmp_path))
    write_params(head_human={"name": "final"}, head_mouse={"name": "final", "units": 5})
    config = with_heads(config, head_mouse="$HEADS/mouse", head_b="genes.h5")
    prepared = checks.prepare(config)
    assert prepared["train"]["heads"] == [
        {"name": "head_mouse", "dataset": f"{tmp_path}/mouse"},
        {"name": "head_b", "dataset": "genes.h5"},
    ]
    # A stored configuration is completed again by every program.
    assert completion.complete(prepared) == prepared


def test_the_shape_of_labels_is_read_from_either(config: dict[str, Any]) -> None:
    assert read_head_shape("mouse") == HeadShape(LENGTH, 20, 10, 9, 5) and read_head_shape("mouse").labels == (9, 5)
    assert read_head_shape("bins.h5") == HeadShape(LENGTH, 20, 0, 10, 2)
    assert read_head_shape("genes.h5") == HeadShape(LENGTH, 0, 0, 1, 2) and read_head_shape("genes.h5").labels == (2,)


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (
            {"head_b": "no.h5"},
            "train.heads: no.h5, the data set of head_b, does not exist: relative paths refer to the working",
        ),
        ({"head_b": "bad.h5"}, "train.heads: bad.h5 cannot be read as a data set"),
        ({"head_b": "empty"}, "train.heads: empty has no statistics.json"),
        ({"head_b": "long.h5"}, "train.heads: long.h5 has windows of 210 bases, but those of the run have 200"),
        (
            {"head_b": "bins.h5"},
            "bins.h5 has bins of 20 bp and a crop of 0 bp, but the run has one label per window: add head_b",
        ),
        ({"head_b": "$NO_SUCH/a.h5"}, "the path $NO_SUCH/a.h5 uses the environment variable NO_SUCH, which is not set: set it"),
        ({"mouse": "genes.h5"}, "train.heads.0.name: 'mouse' does not match"),
        ({"head": "genes.h5"}, "train.heads.0.name: 'head' does not match"),
    ],
)
def test_data_sets_that_do_not_fit_are_refused(config: dict[str, Any], heads: dict[str, str], message: str) -> None:
    found = refusal(with_heads(config, **heads))
    assert message in found and "problems" not in found


def test_all_problems_of_heads_are_reported_together(config: dict[str, Any]) -> None:
    found = refusal(with_heads(config, head_b="no.h5", head_c="bad.h5", head_d="long.h5"))
    assert found.startswith("3 problems") and "no.h5" in found and "bad.h5" in found and "long.h5" in found


def test_heads_have_different_names(config: dict[str, Any]) -> None:
    twice = [{"name": "head_b", "dataset": "genes.h5"}] * 2
    assert refusal(config | {"train": {"heads": twice}}) == (
        "train.heads lists head_b more than once: give each head its own name"
    )


def test_heads_of_the_file_without_data_are_refused(config: dict[str, Any]) -> None:
    write_params(head_a={"name": "final"}, head_b={"name": "final"})
    assert "has the heads head_a, head_b, but the run has a data set for only one of them: name those of" in refusal(config)
    assert checks.prepare(with_heads(config, head_b="genes.h5"))


def test_units_of_the_file_are_the_tasks_of_the_data_set(config: dict[str, Any]) -> None:
    write_params(head={"name": "final"}, head_b=[{"name": "dense", "units": 9}, {"name": "final", "units": 3}])
    assert "params.yaml: head_b has 3 units, but genes.h5 has 2 tasks: change units" in refusal(
        with_heads(config, head_b="genes.h5")
    )


def test_networks_that_are_not_trained_have_no_further_data(config: dict[str, Any]) -> None:
    config = with_heads(config, head_b="genes.h5") | {"model": {"trained": ["a.keras"]}}
    assert refusal(config) == "train.heads is set, but the networks in model.trained are not trained: remove one of them"
    # Of several heads of their parameter file, model.head names one.
    write_params(head_a={"name": "final"}, head_b={"name": "final"})
    del config["train"]
    assert checks.prepare(config | {"model": {"trained": ["a.keras"], "params": "params.yaml", "head": "head_a"}})


def test_a_broken_parameter_file_is_reported_once(config: dict[str, Any]) -> None:
    Path("params.yaml").write_text("{model: {trunk: []}, train: {los: mse}}")
    found = refusal(with_heads(config, head_b="genes.h5"))
    assert "los" in found and "problems" not in found
