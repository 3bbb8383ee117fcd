"""Large runs: thousands of tasks, tracks and shards, and hundreds of contrasts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.integration

Run = Callable[..., str]
Jobs = Callable[[str], dict[str, int]]
# Maximum length of a command line; the kernel allows 128 KiB.
LONGEST = 2000


def commands(printed: str) -> list[str]:
    found = re.findall(r"python \S*/scripts/.*", printed)
    assert found
    return found


@pytest.fixture
def run(tiny: Any, tmp_path: Path) -> dict[str, Any]:
    """A run on the tiny genome, in a folder with an empty motif file."""
    (tmp_path / "motifs.meme").write_text("")
    return {
        "run": {"name": "large"},
        "genome": {"fasta": str(tiny.fasta)},
        "annotation": {"gtf": str(tiny.gtf)},
        "windows": {"upstream": 20, "downstream": 12},
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        "model": {"params": "config/models/small.yaml"},
        "evaluate": {"baseline": {"k": 3, "upstream": 10}},
        "motifs": {"source": "motifs.meme"},
    }


def test_each_of_two_hundred_groups_of_thousands_of_tasks(
    run: dict[str, Any], tiny: Any, tmp_path: Path, snakemake: Run, jobs: Jobs
) -> None:
    tasks = [f"a sample of a cell type with a rather long name, number {i}" for i in range(8856)]
    genes = [line.split("\t")[0] for line in tiny.matrix.read_text().splitlines()[1:]]
    rows = [f"{gene}\t" + "\t".join(str((i * j) % 7) for j in range(len(tasks))) for i, gene in enumerate(genes)]
    (tmp_path / "matrix.tsv").write_text("\n".join(["\t".join(["gene", *tasks]), *rows]) + "\n")
    lines = [f"{task}\tgroup {i % 200}" for i, task in enumerate(tasks)]
    (tmp_path / "tasks.tsv").write_text("\n".join(["task\tgroup", *lines]) + "\n")
    run |= {"targets": {"matrix": "matrix.tsv", "tasks": "tasks.tsv"}, "attribution": {"contrasts": "each_group"}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    plan = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--configfile", "config.yaml")
    assert jobs(plan)["call_peaks"] == 200
    assert max(map(len, commands(plan))) < LONGEST
    # The compared values are stored with every output file.
    settings = re.findall(r"(?:settings|params)[:=]\s*(\S+)", plan)
    assert all(len(text) < LONGEST for text in settings)
    done = snakemake(tmp_path, "results/large/genes.tsv", "--configfile", "config.yaml")
    assert done.endswith("exit 0"), done[-3000:]
    assert len((tmp_path / "results" / "large" / "tasks.tsv").read_text().splitlines()) == 8857


def test_thousands_of_tracks(run: dict[str, Any], tiny: Any, tmp_path: Path, snakemake: Run, jobs: Jobs) -> None:
    (tmp_path / "a.bw").write_text("")
    rows = "".join(f"CNhs{i}_plus\ta.bw\ta track of an experiment with a long description, {i}\n" for i in range(5313))
    (tmp_path / "tracks.tsv").write_text("identifier\tfile\tdescription\n" + rows)
    run["model"]["overrides"] = {"model.seq_depth": 4}
    run["targets"] = {"kind": "coverage", "tracks": "tracks.tsv", "bin_size": 4, "gene_score": {"upstream": 8, "downstream": 8}}
    run["attribution"] = {"contrasts": {"first": {"on_tasks": ["CNhs0_plus"]}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    plan = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--configfile", "config.yaml")
    assert jobs(plan)["write_coverage"] == 2
    assert max(map(len, commands(plan))) < LONGEST


@pytest.mark.slow
def test_the_maximum_number_of_shards(run: dict[str, Any], tiny: Any, tmp_path: Path, snakemake: Run, jobs: Jobs) -> None:
    run["targets"] = {"matrix": str(tiny.matrix)}
    run["attribution"] = {"contrasts": {"heat": {"on_tasks": ["heat"]}}, "n_shards": 9999}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(run))
    plan = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--configfile", "config.yaml")
    assert jobs(plan)["attribute_genes"] == 9999
    assert max(map(len, commands(plan))) < LONGEST
