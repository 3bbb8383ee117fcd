"""Training of several heads on data folders of Basenji, without a run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from cisnake.data.dataset import open_dataset, read_codes
from cisnake.data.genome import one_hot
from cisnake.model import read_network

ROOT = Path(__file__).resolve().parents[2]
TRUNK = [{"name": "conv_dna", "filters": 4, "kernel_size": 5, "pool_size": 8}, {"name": "Cropping1D", "cropping": 1}]
HEAD = {"name": "final", "units": 3, "activation": "softplus"}
PARAMS = {
    "model": {"seq_length": 64, "norm_type": "batch", "trunk": TRUNK, "head_human": HEAD, "head_mouse": HEAD | {"units": 2}},
    "train": {"batch_size": 2, "optimizer": "adam", "loss": "poisson", "train_epochs_max": 2},
}


def run(program, folder, *options):
    command = [sys.executable, ROOT / "scripts" / f"{program}.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("heads")
    done = run("import_tfrecords", folder, "--folder", ROOT / "tests/data/basenji", "--output", "a.h5")
    assert done.returncode == 0, done.stderr
    # Another data set, with the first two tasks.
    shutil.copy(folder / "a.h5", folder / "b.h5")
    with h5py.File(folder / "b.h5", "a") as file:
        for name, kept in (("labels", np.s_[:, :2]), ("tasks", np.s_[:2]), ("strand_pair", np.s_[:2])):
            values, attributes = file[name][kept], dict(file[name].attrs)
            kind = file[name].dtype
            del file[name]
            file.create_dataset(name, data=values, dtype=kind).attrs.update(attributes)
    (folder / "params.json").write_text(json.dumps(PARAMS))
    (folder / "one.json").write_text(
        json.dumps(PARAMS | {"model": {k: v for k, v in PARAMS["model"].items() if k != "head_mouse"}})
    )
    return folder


def inputs(folder):
    with open_dataset(folder / "a.h5") as file:
        return one_hot(read_codes(file, np.arange(4), 0, 64))


def test_each_head_is_trained_on_its_data_and_written(folder):
    options = ("--params", "params.json", "--datasets", "head_mouse=b.h5", "head_human=a.h5", "--output", "out")
    done = run("train_heads", folder, *options)
    assert done.returncode == 0, done.stderr
    history = pd.read_csv(folder / "out/history.tsv", sep="\t")
    assert list(history["head"]) == ["head_human", "head_mouse"] * 2
    human, mouse = (read_network(folder / f"out/head_{name}/model.keras") for name in ("human", "mouse"))
    assert human.output_shape == (None, 6, 3) and mouse.output_shape == (None, 6, 2)
    assert np.abs(human(inputs(folder))[..., :2] - mouse(inputs(folder))).max() > 1e-3
    kept = yaml.safe_load((folder / "out/params.yaml").read_text())
    assert kept["datasets"] == {"head_human": "a.h5", "head_mouse": "b.h5"} and kept["train"]["batch_size"] == 2
    assert not list((folder / "out/checkpoints").glob("*/*"))
    scored = run(
        "evaluate_dataset", folder, "--networks", "out/head_human/model.keras", "--dataset", "a.h5", "--loss", "poisson",
        "--split", "train", "--output", "scores.tsv",
    )  # fmt: skip
    assert scored.returncode == 0, scored.stderr
    assert len(pd.read_csv(folder / "scores.tsv", sep="\t")) == 3


def test_a_single_head_needs_no_name(folder):
    done = run("train_heads", folder, "--params", "one.json", "--datasets", "a.h5", "--output", "one")
    assert done.returncode == 0, done.stderr
    assert read_network(folder / "one/head_human/model.keras").output_shape == (None, 6, 3)


@pytest.mark.parametrize(
    ("datasets", "message"),
    [
        (["a.h5"], "--datasets needs one data set for each of head_human, head_mouse, such as head_human=data.h5."),
        (["head_human=a.h5"], "--datasets needs one data set for each of head_human, head_mouse, such as head_human=data.h5."),
        (["head_human=a.h5", "head_rat=a.h5"], "unknown head in --datasets 'head_rat'"),
        (["head_human=a.h5", "head_mouse=a.h5", "head_human=b.h5"], "--datasets needs one data set for each of"),
        (["head_human=a.h5", "head_mouse=missing.h5"], "missing.h5"),
    ],
)
def test_heads_and_data_sets_must_correspond(datasets, message, folder):
    done = run("train_heads", folder, "--params", "params.json", "--datasets", *datasets, "--output", "refused")
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr
    assert not (folder / "refused").exists()
