"""Training on several devices and nodes must give the same results as on one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model import devices
from cisnake.model.params import TRAIN_DEFAULTS
from cisnake.model.training.trainer import Trainer

from .array_batches import ArrayBatches

ROOT = Path(__file__).parents[3]
CONV = {"name": "conv_block", "filters": 5}
MODEL = {
    "seq_length": 16,
    "norm_type": "batch-sync",
    "bn_momentum": 0.9,
    "trunk": [{"name": "conv_block", "filters": 6, "kernel_size": 3, "pool_size": 2}, CONV],
    "head": [{"name": "global_pool"}, {"name": "final"}],
}
# 21 examples in batches of 8: shares of 4 and 4, and of 2 and 3 in the last batch.
TRAIN = {
    **{"batch_size": 8, "train_epochs_max": 3, "loss": "mse", "optimizer": "adam", "learning_rate": 0.01},
    **{"global_clipnorm": 0.05, "warmup_steps": 2},
}


def train(folder, strategy=None, model=MODEL, examples=21, **changes):
    rng = np.random.default_rng(0)
    inputs = np.eye(4, dtype="f4")[rng.integers(0, 4, (34, 16))]
    labels = np.stack([inputs[..., 1].mean(axis=1), rng.normal(size=34)], axis=1).astype("f4")
    labels[2, 1] = labels[29, 0] = np.nan
    params = {"model": model, "train": TRAIN_DEFAULTS | TRAIN | changes}
    data = ArrayBatches(inputs[:examples], labels[:examples], 8, seed=5), ArrayBatches(inputs[21:], labels[21:], 8)
    models, history = Trainer(params, *data, 5, folder, strategy=strategy).fit()
    return models["head"], history


NUMBERS = ["loss", "pearsonr", "r2", "val_loss", "val_pearsonr", "val_r2", "learning_rate"]


def assert_alike(history, expected):
    assert len(history) == len(expected) > 1
    np.testing.assert_allclose(history[NUMBERS], expected[NUMBERS], rtol=1e-5, atol=1e-5)
    assert history["loss"].iloc[-1] < history["loss"].iloc[0]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return train(tmp_path_factory.mktemp("alone"))[1]


def test_two_devices_follow_the_curve_of_one(tmp_path, mirrored, alone):
    model, history = train(tmp_path, mirrored)
    assert_alike(history, alone)
    assert devices.is_chief_worker(mirrored) and list(devices.local_shares(mirrored)) == [0, 1]
    # The result is an ordinary model for one device.
    assert isinstance(model.weights[0].value, tf.Variable) and not hasattr(model.weights[0].value, "values")


def test_ordinary_normalisation_differs_on_two_devices(tmp_path, mirrored):
    """Each device normalises by its own share, unlike with batch-sync."""
    plain = MODEL | {"norm_type": "batch"}
    one, two = train(tmp_path / "one", model=plain)[1], train(tmp_path / "two", mirrored, model=plain)[1]
    assert np.abs(one["loss"] - two["loss"]).max() > 1e-3


@pytest.mark.parametrize("norm", ["batch", "batch-sync", "layer"])
def test_an_empty_share_in_the_last_batch_is_harmless(tmp_path, mirrored, empty_batches, norm):
    """17 examples in batches of 8: one example for two devices in the last batch."""
    model, history = train(tmp_path, mirrored, MODEL | {"norm_type": norm}, examples=17)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert np.isfinite(history[NUMBERS]).all(axis=None) and len(history) == 3
    if norm != "batch":
        assert_alike(history, train(tmp_path / "alone", model=MODEL | {"norm_type": norm}, examples=17)[1])


def test_xla_gives_no_gradient_for_an_empty_share(tmp_path, mirrored, empty_batches):
    model, history = train(tmp_path, mirrored, MODEL | {"norm_type": "batch", "trunk": [CONV]}, examples=17, jit_compile=True)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())
    assert len(history) == 3


def test_pieces_on_two_devices_follow_the_curve_of_one_with_a_penalty(tmp_path, mirrored, empty_batches):
    model = MODEL | {"norm_type": None, "l2_scale": 0.1}
    pieces = train(tmp_path / "two", mirrored, model, examples=17, gradient_accumulation=2)[1]
    assert_alike(pieces, train(tmp_path / "one", model=model, examples=17)[1])


def test_training_resumes_with_another_number_of_devices(tmp_path, mirrored, alone):
    train(tmp_path, mirrored, train_epochs_max=2)
    assert_alike(train(tmp_path)[1], alone)


@pytest.mark.parametrize(("key", "value"), [("gradient_accumulation", 2), ("jit_compile", True)])
def test_settings_incompatible_with_synchronised_normalisation_are_rejected(tmp_path, mirrored, key, value):
    with pytest.raises(InputError, match=f"train.{key} is {value}, which norm_type batch-sync does not support"):
        train(tmp_path, mirrored, **{key: value})


WORKER = f"""
import sys
sys.path[:0] = [{str(ROOT / "scripts")!r}, {str(ROOT)!r}]
from cisnake.model import devices
devices.configure_devices(1)
strategy = devices.distribution_strategy()
from tests.model.training.test_distribution import train
model, history = train(sys.argv[1], strategy, train_epochs_max=int(sys.argv[3]))
history.to_csv(sys.argv[2], sep="\\t", index=False, float_format="%.17g")
"""


def start(tmp_path, epochs=3, shared=True):
    """Start two processes that train together, and return them with the paths of their tables."""
    ports = []
    for _ in range(2):
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    workers, tables = [], []
    for index in range(2):
        task = {"cluster": {"worker": [f"127.0.0.1:{port}" for port in ports]}, "task": {"type": "worker", "index": index}}
        environment = os.environ | {"TF_CONFIG": json.dumps(task), "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        folder, table = tmp_path / ("shared" if shared else str(index)), tmp_path / f"{index}.tsv"
        with open(tmp_path / f"{index}.log", "w") as log:
            command = [sys.executable, "-c", WORKER, folder, table, str(epochs)]
            workers.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
        tables.append(table)
    return workers, tables


def finish(workers, tmp_path):
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=300) == 0, (tmp_path / f"{index}.log").read_text()[-3000:]


@pytest.mark.slow
def test_two_nodes_follow_the_curve_of_one_and_survive_a_kill(tmp_path, alone):
    workers, tables = start(tmp_path, epochs=40)
    state = tmp_path / "shared" / "state.npz"
    deadline = time.monotonic() + 200
    while not state.exists():
        assert time.monotonic() < deadline and all(worker.poll() is None for worker in workers)
        time.sleep(0.05)
    for worker in workers:
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert not any(table.exists() for table in tables)
    with np.load(state) as saved:
        done = len(json.loads(str(saved["history"])))
    workers, tables = start(tmp_path, epochs=done + 2)
    finish(workers, tmp_path)
    histories = [pd.read_csv(table, sep="\t") for table in tables]
    expected = train(tmp_path / "alone", train_epochs_max=done + 2)[1]
    for history in histories:
        assert_alike(history, expected)
        assert len(history) == done + 2


@pytest.mark.slow
def test_nodes_without_a_shared_folder_are_rejected(tmp_path):
    train(tmp_path / "0", train_epochs_max=2)
    workers, _ = start(tmp_path, epochs=3, shared=False)
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=300) != 0
        assert "use a folder that is shared by" in (tmp_path / f"{index}.log").read_text()
