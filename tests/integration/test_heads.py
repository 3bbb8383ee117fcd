"""Runs whose networks learn further data sets, each with a head of its own."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from cisnake.data.dataset import open_dataset, read_codes, read_labels
from cisnake.data.genome import one_hot, reverse_complement
from cisnake.data.motif_database import load_motifs
from cisnake.files import read_table
from cisnake.model import read_network

from .conftest import NETWORK, SMALL
from .test_coverage_workflow import NETWORK as COVERAGE_NETWORK
from .test_coverage_workflow import write_inputs

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., str]
Jobs = Callable[[str], dict[str, int]]
MODEL = "models/fold_0/replicate_0"


def test_two_genomes_are_learned_together(small: Callable[..., Path], snakemake: Run, jobs: Jobs) -> None:
    folder = small()
    other = SMALL | {"run": {"name": "other", "seed": 8}, "targets": {"transform": "log1p"}}
    config = SMALL | {"train": {"replicates": 1, "heads": [{"name": "head_other", "dataset": "results/other/dataset.h5"}]}}
    network = copy.deepcopy(NETWORK)
    network["train"] |= {"train_epochs_max": 12}
    (folder / "network.yaml").write_text(yaml.safe_dump(network))
    for name, sections in (("other", other), ("config", config)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(sections))
    targets = [
        f"results/small/{name}" for name in (f"{MODEL}/model.keras", "evaluation/test/summary.json", "variants/effects.tsv")
    ]

    refused = snakemake(folder, *targets, "--configfile", "config.yaml")
    assert "results/other/dataset.h5, the data set of head_other, does not exist: relative paths refer to" in refused
    assert snakemake(folder, "results/other/dataset.h5", "--configfile", "other.yaml").endswith("exit 0")
    printed = snakemake(folder, *targets, "--configfile", "config.yaml")
    assert printed.endswith("exit 0"), printed
    assert "Nothing to be done" in snakemake(folder, *targets, "--configfile", "config.yaml")

    results = folder / "results/small"
    history = read_table(results / MODEL / "history.tsv", best="bool")
    assert list(history["head"].iloc[:2]) == ["head", "head_other"] and set(history["head"]) == {"head", "head_other"}
    own = history[history["head"] == "head"]
    assert own[own["best"]].iloc[-1]["val_score"] == own["val_score"].max()
    kept = yaml.safe_load((results / MODEL / "params.yaml").read_text())
    assert kept["heads"] == {"head_other": "results/other/dataset.h5"} and "head_other" in kept["model"]

    # The own head of the network with all heads is the network to which words were added.
    with open_dataset(folder / "results/other/dataset.h5") as file:
        test = np.flatnonzero(file["genes"].asstr()[:, 1] == "test")
        pad, length = int(file["pad"][()]), int(file["seq_len"][()])
        windows, labels = one_hot(read_codes(file, test, pad, pad + length)), read_labels(file)[test]
    heads = results / MODEL / "heads.keras"
    before_words = read_network(results / "networks/fold_0/replicate_0/model.keras")
    np.testing.assert_allclose(read_network(heads, head="head")(windows), before_words(windows), rtol=1e-4, atol=1e-5)
    # Genes of the other genome that nobody trained on, in the unit of its own labels.
    predicted = np.asarray(read_network(heads, head="head_other")(windows))
    known = np.isfinite(labels)
    assert np.corrcoef(predicted[known], labels[known])[0, 1] > 0.3
    assert abs(predicted[known].mean() - labels[known].mean()) < 0.2 * labels[known].mean()

    (folder / "designs.fa").write_text(f">a\n{'ACGTT' * 40}\n")
    command = [sys.executable, ROOT / "scripts/predict.py", "--networks", heads, "--head", "head_other"]
    command += ["--sequences", "designs.fa", "--output", "designs.tsv"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert read_table(folder / "designs.tsv").shape == (1, 5)

    config["train"]["heads"][0]["name"] = "head_b"
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert jobs(snakemake(folder, "--dry-run", targets[0], "--configfile", "config.yaml"))["train_model"] == 1


def field(number: int, value: bytes) -> bytes:
    """Return a field of a protobuf message, of strings."""
    length, size = b"", len(value)
    while size > 127:
        length, size = length + bytes([size & 127 | 128]), size >> 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


def write_folder(folder: Path, n_tasks: int) -> None:
    """Write a data folder as Baskerville does: coverage around the motif of the run, in another genome."""
    rng = np.random.default_rng(5)
    motif = next(motif for motif in load_motifs("jaspar:2026/vertebrates") if motif.name.upper() == "CTCF")
    site = motif.probabilities.argmax(axis=1).astype(np.int8)
    (folder / "tfrecords").mkdir(parents=True)
    rows = []
    for label, n in (("train", 48), ("valid", 16), ("test", 16)):
        packed = b""
        for number in range(n):
            codes, start = rng.integers(0, 4, 400).astype(np.int8), int(rng.integers(60, 320))
            codes[start : start + len(site)] = site if number % 2 else reverse_complement(site)
            centre = (start + len(site) // 2 - 40) // 20
            targets = np.full((16, n_tasks), 0.5, "<f2")
            targets[max(centre - 1, 0) : centre + 2] = 20
            features = {"sequence": codes.tobytes(), "target": targets.tobytes()}
            entries = [
                field(1, field(1, key.encode()) + field(2, field(1, field(1, value)))) for key, value in features.items()
            ]
            message = field(1, b"".join(entries))
            packed += len(message).to_bytes(8, "little") + bytes(4) + message + bytes(4)
            rows.append(f"chr1\t{len(rows) * 400 + 40}\t{len(rows) * 400 + 360}\t{label}\n")
        (folder / "tfrecords" / f"{label}-0.tfr").write_bytes(zlib.compress(packed))
    (folder / "sequences.bed").write_text("".join(rows))
    sizes = {"seq_length": 400, "target_length": 16, "pool_width": 20, "num_targets": n_tasks, "crop_bp": 40}
    (folder / "statistics.json").write_text(json.dumps(sizes))
    names = "".join(f"{i}\tm{i}\tm{i}.w5\t384\tsum\tMouse {i}\n" for i in range(n_tasks))
    (folder / "targets.txt").write_text("\tidentifier\tfile\tclip\tsum_stat\tdescription\n" + names)


def test_a_folder_of_baskerville_and_its_parameter_file_are_used_as_they_are(
    tmp_path: Path, snakemake: Run, jobs: Jobs
) -> None:
    folder = tmp_path / "of mine"
    folder.mkdir()
    write_inputs(folder)
    write_folder(folder / "mouse data", 3)
    final = COVERAGE_NETWORK["model"]["head"]
    model = {key: value for key, value in COVERAGE_NETWORK["model"].items() if key != "head"}
    model |= {"head_human": final | {"units": 2}, "head_mouse": final | {"units": 3}}
    params = {"model": model, "train": COVERAGE_NETWORK["train"] | {"train_epochs_max": 6}}
    (folder / "params.json").write_text(json.dumps(params))
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["model"] = {"params": "params.json"}
    config["train"] = {"replicates": 1, "heads": [{"name": "head_mouse", "dataset": "mouse data"}]}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    targets = [f"results/open/{MODEL}/heads.keras", "results/open/evaluation/test/bins.json"]
    printed = snakemake(folder, *targets, "--configfile", "config.yaml")
    assert printed.endswith("exit 0"), printed

    heads = folder / targets[0]
    assert read_network(heads, head="head_human").output_shape == (None, 16, 2)
    with open_dataset(folder / "results/open/heads/head_mouse.h5") as file:
        test = np.flatnonzero(file["genes"].asstr()[:, 1] == "test")
        windows, labels = one_hot(read_codes(file, test, 0, 400)), file["labels"][:][test].swapaxes(1, 2)
    predicted = np.asarray(read_network(heads, head="head_mouse")(windows))
    assert predicted.shape == labels.shape == (16, 16, 3)
    assert np.corrcoef(predicted.ravel(), labels.ravel())[0, 1] > 0.3
    np.testing.assert_allclose(
        read_network(heads, head="head_human")(windows), read_network(heads.with_name("model.keras"))(windows), rtol=1e-4
    )

    # A folder that is written again is converted again.
    statistics = folder / "mouse data/statistics.json"
    statistics.write_text(statistics.read_text().replace("}", ', "note": "again"}'))
    planned = jobs(snakemake(folder, "--dry-run", *targets, "--configfile", "config.yaml"))
    assert planned["import_tfrecords"] == planned["train_model"] == 1
