"""Fixtures for tests of the whole workflow: a runner, and a configuration that finishes in a minute."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from cisnake.data import motif_database

ROOT = Path(__file__).resolve().parents[2]

# Easy enough for a one-layer network to learn from 200 genes.
SMALL: dict[str, Any] = {
    "run": {"name": "small", "seed": 3},
    "genome": {
        "simulate": {
            "n_chromosomes": 4,
            "n_genes": 400,
            "upstream": 150,
            "downstream": 50,
            "plant_upstream": 140,
            "plant_downstream": 40,
            "groups": [
                {"name": "root", "n_tasks": 2, "activators": ["HNF4A"], "repressors": ["TBX21"]},
                {"name": "leaf", "n_tasks": 2, "activators": ["SPI1"]},
            ],
            "shared": ["NRF1"],
            "decoys": ["PAX6"],
            "sharpness": 3,
            "possible_r": 0.95,
            "n_variants": 60,
        }
    },
    "targets": {"transform": "zscore"},
    "windows": {"upstream": 150, "downstream": 50, "max_shift": 3},
    "splits": {"val": ["chr3"], "test": ["chr4"]},
    "model": {"params": "network.yaml"},
    "train": {"replicates": 2},
    "evaluate": {"baseline": {"k": 5, "upstream": 150, "downstream": 50, "alpha": 300}},
    "attribution": {
        "n_shards": 2,
        "n_steps": 3,
        "null_windows": 100,
        "quality_genes": 2,
        "contrasts": {"root": {"on_tasks": ["root"]}, "both": {"on_tasks": ["root", "leaf_1"], "score": "aggregate"}},
    },
    "motifs": {"source": "some.meme", "probe": {"top": 2, "sites": 5, "draws": 2, "backgrounds": 5}},
    "variants": {"controls": 50},
    "report": {"top_genes": 2, "top_motifs": 3},
    "resources": {"threads": 1},
}
NETWORK: dict[str, Any] = {
    "model": {
        "norm_type": None,
        "trunk": [
            {"name": "conv_motif", "filters": 32, "kernel_size": 15, "pool_size": 25},
            {"name": "global_pool", "pool_type": "avg"},
        ],
        "head": [{"name": "final"}],
    },
    "train": {
        "batch_size": 16,
        "loss": "mse",
        "optimizer": "adam",
        "learning_rate": 0.01,
        "clip_norm": 1.0,
        "train_epochs_max": 40,
    },
}


def start(directory: Path, *arguments: str | Path, snakefile: Path = ROOT / "Snakefile", timeout: int = 900) -> str:
    """Run Snakemake in a folder and return what it printed, with `exit <status>` as the last line."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--directory", directory, "--cores", "2"]
    # Rules call `python`, which must be the interpreter of the tests.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")} | {"PATH": path}
    # The profile hides the rules of a plan.
    shown = ["--quiet", "host"] if "--dry-run" in arguments else []
    done = subprocess.run(
        [*command, *arguments, *shown],
        cwd=directory,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    return f"{done.stdout}\nexit {done.returncode}"


def jobs_of(printed: str) -> dict[str, int]:
    """Return the number of jobs per rule in a dry run; empty if there is nothing to do."""
    assert printed.endswith("exit 0"), printed
    stats = printed.partition("Job stats:")[2].partition("\n\n")[0]
    return {name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", stats, flags=re.MULTILINE)}


@pytest.fixture(scope="session")
def snakemake() -> Callable[..., str]:
    return start


@pytest.fixture(scope="session")
def jobs() -> Callable[[str], dict[str, int]]:
    return jobs_of


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """A function that writes a small run (config.yaml, with some sections replaced) to a separate folder."""
    known = motif_database.load_motifs("jaspar:2026/vertebrates")
    planted = {"HNF4A", "TBX21", "SPI1", "NRF1", "PAX6"}
    some = [motif for i, motif in enumerate(known) if motif.name.upper() in planted or i % 40 == 0]

    def write(**sections: Any) -> Path:
        # A path with a space, which must work everywhere.
        folder = tmp_path_factory.mktemp("run") / "of mine"
        folder.mkdir()
        (folder / "config.yaml").write_text(yaml.safe_dump(SMALL | sections))
        (folder / "network.yaml").write_text(yaml.safe_dump(NETWORK))
        motif_database.write_meme(some, folder / "some.meme")
        return folder

    return write
