"""Scores of networks on a data folder of Basenji, without a run."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from cisnake.data.dataset import open_dataset, read_codes, read_windows
from cisnake.data.genome import one_hot

ROOT = Path(__file__).resolve().parents[2]
PENALTY = 0.01


def run(program, folder, *options):
    command = [sys.executable, ROOT / "scripts" / f"{program}.py", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("basenji")
    done = run("import_tfrecords", folder, "--folder", ROOT / "tests/data/basenji", "--output", "data.h5")
    assert done.returncode == 0, done.stderr
    keras.utils.set_random_seed(0)
    inputs = keras.Input((64, 4))
    x = keras.layers.Cropping1D(8)(inputs)
    dense = keras.layers.Conv1D(3, 8, strides=8, activation="softplus", kernel_regularizer=keras.regularizers.L2(PENALTY))
    keras.Model(inputs, dense(x)).save(folder / "a.keras")
    return folder


def test_scores_are_those_of_the_examples_of_the_split(folder):
    done = run(
        "evaluate_dataset", folder, "--networks", "a.keras", "--dataset", "data.h5", "--split", "train",
        "--loss", "poisson", "--batch-size", "2", "--output", "scores.tsv",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    model = keras.saving.load_model(folder / "a.keras", compile=False)
    with open_dataset(folder / "data.h5") as file:
        rows = np.flatnonzero(read_windows(file)["split"] == "train")
        codes, labels = read_codes(file, rows, 0, 64), file["labels"][:][rows].transpose(0, 2, 1)
    predicted = np.asarray(model(one_hot(codes)))
    table = pd.read_csv(folder / "scores.tsv", sep="\t")
    assert len(table) == 3 and (table["n"] == 7 * 6).all()
    for i, row in table.iterrows():
        t, p = labels[..., i].ravel().astype(float), predicted[..., i].ravel().astype(float)
        np.testing.assert_allclose(row["pearsonr"], np.corrcoef(t, p)[0, 1], atol=1e-4)
        np.testing.assert_allclose(row["spearmanr"], spearmanr(t, p).statistic, atol=5e-3)
    poisson = np.mean(predicted - labels * np.log(predicted))
    loss, whole = (float(part.split()[-1]) for part in done.stderr.rsplit("loss ", 1)[1].split(", with penalties"))
    np.testing.assert_allclose(loss, poisson, rtol=1e-3)
    np.testing.assert_allclose(whole - loss, PENALTY * (np.asarray(model.layers[-1].kernel) ** 2).sum(), rtol=1e-2)


def test_a_network_without_parameters_needs_a_loss(folder):
    done = run("evaluate_dataset", folder, "--networks", "a.keras", "--dataset", "data.h5", "--output", "x.tsv")
    assert done.returncode == 1 and "add --loss" in done.stderr and not (folder / "x.tsv").exists()
