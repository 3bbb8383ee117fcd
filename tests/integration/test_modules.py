"""The workflow as a module of another one, which uses and modifies its rules and continues from its results."""

from __future__ import annotations

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., str]
Jobs = Callable[[str], dict[str, int]]

ONE = """
module cisnake:
    snakefile: "{root}/Snakefile"
    config: config

use rule * from cisnake as cis_*

use rule call_peaks from cisnake as cis_call_peaks with:
    threads: 2
    resources:
        mem_mb=1234
    params:
        scripts="/programs of mine"

rule count_genes:
    input: rules.cis_select_genes.output.genes
    output: "n_genes.txt"
    shell: "wc -l < {{input}} > {{output}}"
"""

TWO = """
module small:
    snakefile: "{root}/Snakefile"
    config: config["small"]

use rule * from small as small_*

module other:
    snakefile: "{other}/Snakefile"
    config: config["other"]

use rule * from other as other_*

rule all:
    input: rules.small_all.input, rules.other_all.input

rule join:
    input: "results/small/genes.tsv", rules.other_select_genes.output.genes
    output: "joined.txt"
    shell: "cat {{input}} > {{output}}"
"""


def caller(folder: Path, text: str, other: Path = ROOT) -> Path:
    """A Snakefile that uses the rules of this workflow."""
    path = folder / "Snakefile"
    path.write_text(text.format(root=ROOT, other=other))
    return path


@pytest.fixture
def folder(small: Callable[..., Path]) -> Path:
    """A folder with a small run and the configurations of two runs."""
    folder = small()
    given = yaml.safe_load((folder / "config.yaml").read_text())
    other: dict[str, Any] = copy.deepcopy(given)
    other["run"] = {"name": "other"}
    other["genome"]["simulate"]["n_genes"] = 240
    other["attribution"]["contrasts"] = {"leaf": {"on_tasks": ["leaf"]}}
    (folder / "two.yaml").write_text(yaml.safe_dump({"small": given, "other": other}))
    return folder


def test_rules_can_be_renamed_and_modified(folder: Path, snakemake: Run, jobs: Jobs) -> None:
    plan = ["n_genes.txt", "cis_all", "--dry-run", "--printshellcmds", "--configfile", "config.yaml"]
    printed = snakemake(folder, *plan, snakefile=caller(folder, ONE))
    planned = jobs(printed)
    assert planned["count_genes"] == planned["cis_write_report"] == 1 and planned["cis_call_peaks"] == 2
    assert all(name.startswith("cis_") for name in planned.keys() - {"count_genes", "total"})
    changed = printed.partition("rule cis_call_peaks:")[2].partition("\n\n")[0]
    assert "threads: 2\n" in changed and "mem_mb=1234" in changed
    assert "'/programs of mine'/call_peaks.py --config results/small/config/" in changed
    other = printed.partition("rule cis_enrich_motifs:")[2].partition("\n\n")[0]
    assert f"{ROOT}/scripts/enrich_motifs.py" in other and "mem_mb=2000" in other and "runtime=30" in other


def test_two_runs_are_planned_side_by_side(folder: Path, snakemake: Run, jobs: Jobs) -> None:
    plan = ["all", "--dry-run", "--printshellcmds", "--configfile", "two.yaml"]
    printed = snakemake(folder, *plan, snakefile=caller(folder, TWO))
    planned = jobs(printed)
    assert (planned["small_call_peaks"], planned["other_call_peaks"]) == (2, 1)
    for command in re.findall(r"^Shell command: python .*$", printed, flags=re.MULTILINE):
        assert ("results/small/" in command) != ("results/other/" in command), command
    stored = {path.parts[-3]: yaml.safe_load(path.read_text()) for path in folder.glob("results/*/config/*.yaml")}
    assert stored["small"]["genome"]["simulate"]["n_genes"] == 400
    assert stored["other"]["genome"]["simulate"]["n_genes"] == 240


@pytest.mark.slow
def test_a_workflow_can_continue_from_the_results_of_two_runs(folder: Path, snakemake: Run) -> None:
    snakefile = caller(folder, TWO)
    asked = ["joined.txt", "results/other/inputs/motifs.meme", "--configfile", "two.yaml"]
    printed = snakemake(folder, *asked, snakefile=snakefile)
    assert printed.endswith("exit 0"), printed
    genes = [(folder / "results" / name / "genes.tsv").read_text() for name in ("small", "other")]
    assert (folder / "joined.txt").read_text() == "".join(genes)
    assert genes[0].count("\n") > genes[1].count("\n") > 100
    assert (folder / "results/other/inputs/motifs.meme").read_text().startswith("MEME version")
    assert "Nothing to be done" in snakemake(folder, *asked, snakefile=snakefile)


def test_lines_of_docs_print_steps_and_failures_of_a_module(folder: Path, snakemake: Run) -> None:
    page = (ROOT / "docs" / "modules.md").read_text()
    lines = next(block for block in page.split("```") if "terminal.follow" in block).replace("results/mine", "results/small")
    snakefile = caller(folder, ONE)
    snakefile.write_text(f"{snakefile.read_text()}\n{lines}")
    asked = ["results/small/inputs/motifs.meme", "--configfile", "config.yaml", "--quiet", "rules", "host"]
    printed = snakemake(folder, *asked, snakefile=snakefile)
    assert re.search(r"^\[1/1\] cis_fetch_motifs: \d+ s$", printed, flags=re.MULTILINE), printed
    assert "steps (" not in printed and printed.endswith("exit 0")
    (folder / "some.meme").write_text("MEME version 4\n")
    failed = snakemake(folder, *asked, snakefile=snakefile)
    explained = failed.partition("cis_fetch_motifs failed:\n")[2]
    assert "some.meme" in explained.splitlines()[0] and "log: results/small/logs/fetch_motifs.log" in explained, failed
    assert failed.endswith("exit 1") and "CalledProcessError" not in failed


def test_a_module_without_a_configuration_is_the_demo(tmp_path: Path, snakemake: Run, jobs: Jobs) -> None:
    snakefile = caller(tmp_path, ONE.partition("use rule call_peaks")[0].replace("    config: config\n", ""))
    printed = snakemake(tmp_path, "--dry-run", snakefile=snakefile)
    assert jobs(printed)["cis_simulate_inputs"] == 1 and "results/demo/report.html" in printed


def copied(folder: Path) -> Path:
    """A copy of the workflow in another folder."""
    for name in ("workflow", "scripts", "config", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    return folder


def test_two_copies_of_the_workflow_are_not_mixed(folder: Path, tmp_path: Path, snakemake: Run) -> None:
    copied(tmp_path)
    printed = snakemake(folder, "--dry-run", "--configfile", "two.yaml", snakefile=caller(folder, TWO, tmp_path))
    assert printed.endswith("exit 1")
    assert f"cisnake is already loaded from {ROOT}/scripts/cisnake" in printed
    assert "Traceback" not in printed and "rule small_" not in printed


@pytest.mark.parametrize("snakefile", ["Snakefile", "workflow/Snakefile"])
def test_both_snakefiles_make_everything_by_default(folder: Path, snakemake: Run, jobs: Jobs, snakefile: str) -> None:
    plan = ["--dry-run", "--configfile", "config.yaml"]
    assert jobs(snakemake(folder, *plan, snakefile=ROOT / snakefile))["all"] == 1
    text = ONE.replace("{root}/Snakefile", "{root}/" + snakefile)
    assert jobs(snakemake(folder, *plan, snakefile=caller(folder, text)))["cis_all"] == 1
    without = text.replace("use rule * from cisnake", "use rule * from cisnake exclude all")
    assert "rule cis_call_peaks" not in snakemake(folder, *plan, snakefile=caller(folder, without))


# As written by snakedeploy.
HOSTED = """
configfile: "config/config.yaml"

module cisnake:
    snakefile:
        github("someone/cisnake", path="workflow/Snakefile", tag="v1.0")
    config:
        config

use rule * from cisnake
"""


def test_a_module_from_a_remote_repository_runs(
    folder: Path, tmp_path: Path, snakemake: Run, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository, cache = tmp_path / "repository", tmp_path / "cache"
    # The clone that Snakemake caches for a known repository, so that nothing is downloaded.
    clone = cache / "snakemake/snakemake/source-cache/snakemake-git-cache/github.com/someone/cisnake"
    repository.mkdir()
    copied(repository)
    git = ["git", "-C", str(repository), "-c", "user.name=someone", "-c", "user.email=someone@example.org"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "All"], ["tag", "v1.0"]):
        subprocess.run([*git, *command], check=True)
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(clone)], check=True)
    shutil.rmtree(repository)
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    snakefile = caller(folder, HOSTED)
    planned = jobs(snakemake(folder, "--dry-run", "--configfile", "config.yaml", snakefile=snakefile))
    assert planned["all"] == planned["write_report"] == 1
    asked = ["results/small/inputs/motifs.meme", "--printshellcmds", "--configfile", "config.yaml"]
    printed = snakemake(folder, *asked, snakefile=snakefile)
    assert printed.endswith("exit 0"), printed
    (unpacked,) = clone.parent.glob("cisnake-*")
    assert f"{unpacked}/scripts/fetch_motifs.py" in printed
    assert not list(clone.parent.glob(".part-*"))
