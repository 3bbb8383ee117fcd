"""The workflow on a cluster: jobs are submitted to SLURM, if it is available on this machine."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from cisnake.files import read_table

pytestmark = [pytest.mark.slurm, pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def partition() -> str:
    """A partition of the cluster; tests are skipped only if there is none."""
    for program in ("sbatch", "sinfo"):
        if shutil.which(program) is None:
            pytest.skip(f"this machine has no {program}")
    try:
        found = subprocess.run(["sinfo", "--noheader", "--format", "%R"], capture_output=True, text=True, timeout=30)
    except subprocess.TimeoutExpired:
        pytest.skip("no SLURM answers within half a minute")
    if found.returncode != 0 or not found.stdout.split():
        pytest.skip(f"no SLURM answers: {found.stderr.strip() or 'it has no partition'}")
    return found.stdout.split()[0]


def n_nodes() -> int:
    lines = subprocess.run(["sinfo", "--noheader", "--Node", "--format", "%N"], capture_output=True, text=True, timeout=30)
    return len(set(lines.stdout.split()))


def test_steps_of_a_run_are_jobs_of_the_cluster(
    partition: str, small: Callable[..., Path], snakemake: Callable[..., str]
) -> None:
    # Includes one training, a job with the memory and time of a network; on two nodes, if available.
    nodes = min(n_nodes(), 2)
    folder = small(
        train={"replicates": 1},
        model={"params": "network.yaml", "overrides": {"train.train_epochs_max": 2}},
        resources={"threads": 1, "nodes": nodes},
    )
    profile = yaml.safe_load((ROOT / "profiles" / "slurm" / "profile.v9+.yaml").read_text())
    # The values of the profile are kept, except cluster-specific ones and the delay before the first status check.
    profile["default-resources"] |= {"slurm_partition": partition}
    profile |= {"slurm-status-command": "squeue", "slurm-init-seconds-before-status-checks": 3, "latency-wait": 5}
    # If the limit of a partition is an hour, a job that requests more waits forever.
    profile["set-resources"] = {"train_model": {"runtime": 10}}
    (folder / "slurm").mkdir()
    (folder / "slurm" / "profile.v9+.yaml").write_text(yaml.safe_dump(profile))
    target = "results/small/models/fold_0/replicate_0/model.keras"
    printed = snakemake(folder, target, "--workflow-profile", "slurm", "--configfile", "config.yaml", timeout=400)
    assert printed.endswith("exit 0"), printed[-6000:]
    results = folder / "results" / "small"
    assert (folder / target).is_file()
    assert len(read_table(results / "models/fold_0/replicate_0/history.tsv")) == 2
    logs = results / "logs/train_model"
    assert (logs / "fold_0_replicate_0.1.log").exists() == (nodes == 2), "a log of the second node"
    assert ("on each of 2 nodes" in (logs / "fold_0_replicate_0.log").read_text()) == (nodes == 2)
    assert printed.count("submitted with SLURM jobid") == 4, "simulation, genes, data set and training"
