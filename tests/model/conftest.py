"""Small data sets and networks, and deterministic arithmetic."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from cisnake.data.dataset import writer
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.windows.gene_windows import place_windows

LENGTH, PAD = 40, 4


# Tests of training on several devices need two; they must be set up before any computation.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


@pytest.fixture(scope="session")
def mirrored() -> tf.distribute.Strategy:
    """Strategy of two devices, shared by all tests, because collective operations of two strategies would have equal names."""
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture
def empty_batches(request: pytest.FixtureRequest) -> None:
    """Let a test convolve empty batches, which TensorFlow cannot do with oneDNN on some CPUs: there, run it without oneDNN."""
    convolve = tf.function(lambda x: tf.nn.conv1d(x, tf.zeros((3, 4, 5)), 1, "VALID"))
    if convolve(tf.zeros((0, 12, 4))).shape == (0, 10, 5):
        return
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", request.node.nodeid]
    environment = os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"}
    done = subprocess.run(command, cwd=request.config.rootpath, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    pytest.skip("passed without oneDNN, whose convolutions of empty batches have a wrong shape on this CPU")


@pytest.fixture(autouse=True)
def repeatable() -> None:
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(1)


@pytest.fixture
def random_windows(tiny) -> Callable[..., pd.DataFrame]:
    """Return a function that draws genes of the tiny genome, with windows of 40 bases around their starts."""

    def draw(n: int, rng: np.random.Generator, split: str | list[str] = "train") -> pd.DataFrame:
        start = rng.integers(60, 480, n)
        genes = pd.DataFrame(
            {
                "gene_id": [f"g{i}" for i in range(n)], "chrom": rng.choice(list(tiny.chromosomes), n), "start": start,
                "end": start + rng.integers(10, 60, n), "strand": rng.choice(["+", "-"], n), "split": split, "fold": 0,
            }
        )  # fmt: skip
        genes["tss"] = np.where(genes["strand"] == "+", genes["start"], genes["end"] - 1)
        return place_windows(genes, "tss", 15, 25)

    return draw


@pytest.fixture(scope="session")
def write_dataset(tmp_path_factory) -> Callable[..., Path]:
    """Return a function that writes a data set of genes whose first task follows their G+C content."""

    def write(n: int = 48, tasks: int = 2, unmeasured_split: str | None = None) -> Path:
        folder = tmp_path_factory.mktemp("dataset")
        rng = np.random.default_rng(0)
        (folder / "genome.fa").write_text(f">chr1\n{decode(rng.integers(0, 4, n * 60 + 100).astype(np.int8))}\n")
        genome = Genome(folder / "genome.fa")
        start = 50 + 60 * np.arange(n)
        split = np.where(np.arange(n) % 4 == 0, "val", "train")
        strand = np.where(np.arange(n) % 3 == 0, "-", "+")
        tss = np.where(strand == "+", start + 20, start + LENGTH - 21)
        genes = pd.DataFrame(
            {
                "gene_id": [f"g{i}" for i in range(n)], "chrom": "chr1", "strand": strand, "tss": tss,
                "start": np.where(strand == "+", tss, start), "end": np.where(strand == "+", start + LENGTH, tss + 1),
                "window_start": start, "window_end": start + LENGTH, "mask_start": 20, "mask_end": LENGTH, "split": split,
                "fold": 0,
            }
        )  # fmt: skip
        codes = [genome.codes("chr1", at, at + LENGTH, strand) for at, strand in zip(start, strand)]
        labels = rng.normal(size=(n, tasks)).astype(np.float32) * 0.1
        labels[:, 0] += [np.isin(of_gene, (1, 2)).mean() * 4 for of_gene in codes]
        labels[1::5, -1] = np.nan
        if unmeasured_split:
            labels[split == unmeasured_split] = np.nan
        path = folder / "dataset.h5"
        measured = writer.Labels(labels, [f"task{i}" for i in range(tasks)])
        writer.write_dataset(path, genes, measured, genome, writer.Layout(PAD), {"n_folds": 1})
        return path

    return write


@pytest.fixture(scope="session")
def dataset(write_dataset) -> Path:
    return write_dataset()
