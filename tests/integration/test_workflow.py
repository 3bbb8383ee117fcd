"""The whole workflow: planning, errors, results, and reruns."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pyBigWig
import pysam
import pytest
import yaml

from cisnake.configuration import completion
from cisnake.data.dataset import model_input, open_dataset
from cisnake.files import file_sha256, read_table
from cisnake.interpret.motifs.hits import read_hits
from cisnake.model import read_network, read_params
from cisnake.sections import ContrastSection
from cisnake.variants import read_explanations

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., str]
Jobs = Callable[[str], dict[str, int]]


# Plans


# The template has user files, which tests/configuration/test_configuration.py writes.
CONFIGS = [path for path in sorted((ROOT / "config").glob("*.yaml")) if path.stem != "template"]


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configurations_that_come_with_the_workflow_are_planned(
    path: Path, tmp_path: Path, snakemake: Run, jobs: Jobs, request: pytest.FixtureRequest
) -> None:
    if "$CISNAKE_DATA" in path.read_text():
        request.getfixturevalue("yeast")
    planned = jobs(snakemake(tmp_path, "--dry-run", "--configfile", path))
    assert planned["write_report"] == 1 and planned["train_model"] >= 2


def test_without_a_configuration_the_demo_is_planned_from_any_folder(tmp_path: Path, snakemake: Run, jobs: Jobs) -> None:
    printed = snakemake(tmp_path, "--dry-run")
    assert jobs(printed)["simulate_inputs"] == 1
    assert "results/demo/report.html" in printed


@pytest.fixture
def foreign(tiny: Any) -> dict[str, Any]:
    """The shortest possible configuration of a user."""
    return {
        "run": {"name": "foreign"},
        "genome": {"fasta": str(tiny.fasta)},
        "annotation": {"gtf": str(tiny.gtf)},
        "targets": {"matrix": str(tiny.matrix)},
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        "model": {"params": "config/models/small.yaml"},
        "attribution": {"contrasts": {"heat": {"on_tasks": ["heat"]}}},
    }


def written(config: dict[str, Any], folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def test_the_run_of_a_user_takes_nothing_from_the_demo(
    foreign: dict[str, Any], tmp_path: Path, snakemake: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As in a checkout, in which config/demo.yaml is in the working folder.
    (tmp_path / "config").mkdir()
    shutil.copy(ROOT / "config" / "demo.yaml", tmp_path / "config")
    printed = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--configfile", written(foreign, tmp_path))
    assert printed.endswith("exit 0"), printed
    monkeypatch.chdir(tmp_path)
    stored = re.search(r"write_report\.py --config (\S+) ", printed)
    assert stored is not None
    used = yaml.safe_load(Path(stored[1]).read_text())
    assert used == completion.complete(foreign)
    assert used["windows"]["upstream"] == 500 and used["evaluate"]["baseline"]["alpha"] == "auto"
    assert "simulate" not in used["genome"]
    assert list(used["attribution"]["contrasts"]) == ["heat"]
    assert "results/demo" not in printed and "demo.yaml" not in printed


def test_an_empty_configuration_is_not_the_demo(tmp_path: Path, snakemake: Run) -> None:
    (tmp_path / "config.yaml").write_text("{}\n")
    printed = snakemake(tmp_path, "--dry-run", "--configfile", "config.yaml")
    assert printed.endswith("exit 1")
    assert "is missing genome" in printed and "rule " not in printed


@pytest.mark.parametrize("of_cells", [False, True])
def test_name_files_of_a_matrix_are_inputs(foreign: dict[str, Any], tmp_path: Path, snakemake: Run, of_cells: bool) -> None:
    (tmp_path / "counts").mkdir()
    head = "%%MatrixMarket matrix coordinate integer general\n1 2 1\n1 1 5\n"
    for name, text in {
        "matrix.mtx": head,
        "features.tsv": "g\n",
        "barcodes.tsv": "heat\ncold\n",
        "cells.tsv": "cell\ttype\n",
    }.items():
        (tmp_path / "counts" / name).write_text(text)
    foreign["targets"] = {"matrix": str(tmp_path / "counts")}
    if of_cells:
        foreign["targets"] = {"cells": str(tmp_path / "counts"), "cell_table": str(tmp_path / "counts" / "cells.tsv")}
        foreign["targets"]["pseudobulks"] = {"by": ["type"]}
    printed = snakemake(tmp_path, "--dry-run", "--configfile", written(foreign, tmp_path))
    read = {rule: inputs for rule, inputs in re.findall(r"^(?:local)?rule (\w+):\n    input: (.*)$", printed, re.MULTILINE)}
    for rule in ["aggregate_cells"] if of_cells else ["select_genes", "write_dataset"]:
        for name in ("matrix.mtx", "features.tsv", "barcodes.tsv"):
            assert f"counts/{name}" in read[rule], (rule, printed)


def test_an_unknown_key_stops_the_run_before_any_job(foreign: dict[str, Any], tmp_path: Path, snakemake: Run) -> None:
    foreign["peaks"] = {"treshold": 0.1}
    printed = snakemake(tmp_path, "--configfile", written(foreign, tmp_path))
    assert printed.endswith("exit 1")
    assert "unknown key in peaks 'treshold': did you mean threshold" in printed
    assert not (tmp_path / "results").exists()


def test_missing_files_and_unknown_names_are_reported_together(foreign: dict[str, Any], tmp_path: Path, snakemake: Run) -> None:
    foreign["genome"]["fasta"] = "absent.fa"
    foreign["variants"] = {"vcf": "absent.vcf"}
    foreign["attribution"]["contrasts"]["heat"]["on_tasks"] = ["het"]
    printed = snakemake(tmp_path, "--configfile", written(foreign, tmp_path))
    assert printed.endswith("exit 1")
    for words in ("3 problems", "genome.fasta: absent.fa", "variants.vcf: absent.vcf", "'het': did you mean heat"):
        assert words in printed
    assert not (tmp_path / "results").exists()


def module(folder: Path) -> Path:
    """Another workflow that uses all rules of this one."""
    path = folder / "Snakefile"
    path.write_text(f'module cisnake:\n    snakefile: "{ROOT}/Snakefile"\n    config: config\n\nuse rule * from cisnake\n')
    return path


@pytest.mark.parametrize("imported", [False, True])
def test_an_invalid_configuration_is_rejected_without_a_traceback(
    foreign: dict[str, Any], tmp_path: Path, snakemake: Run, imported: bool
) -> None:
    foreign["peaks"] = {"treshold": 0.1}
    foreign["variants"] = {"vcf": "absent.vcf"}
    snakefile = module(tmp_path) if imported else ROOT / "Snakefile"
    printed = snakemake(tmp_path, "--dry-run", "--configfile", written(foreign, tmp_path), snakefile=snakefile)
    assert printed.endswith("exit 1")
    assert "configuration: 2 problems:\n  - unknown key in peaks 'treshold'" in printed
    assert not re.search(r"Traceback|Error|\bFile |\bline \d", printed), printed


def test_another_workflow_can_use_the_rules_of_this_one(
    foreign: dict[str, Any], tmp_path: Path, snakemake: Run, jobs: Jobs
) -> None:
    printed = snakemake(tmp_path, "--dry-run", "--configfile", written(foreign, tmp_path), snakefile=module(tmp_path))
    assert jobs(printed)["write_report"] == 1


def test_a_genome_of_twenty_thousand_genes_needs_few_jobs(
    foreign: dict[str, Any], tmp_path: Path, snakemake: Run, jobs: Jobs
) -> None:
    matrix = tmp_path / "matrix.tsv"
    tasks = [f"t{i}" for i in range(50)]
    row = "\t1" * len(tasks)
    matrix.write_text("\t".join(["gene", *tasks]) + "\n" + "".join(f"g{i}{row}\n" for i in range(20_000)))
    foreign |= {"targets": {"matrix": str(matrix)}, "splits": {"folds": 5}, "train": {"replicates": 4}}
    foreign["attribution"] = {"n_shards": 40, "contrasts": {name: {"on_tasks": [name]} for name in tasks}}
    planned = jobs(snakemake(tmp_path, "--dry-run", "--configfile", written(foreign, tmp_path)))
    assert planned["train_model"] == 20 and planned["attribute_genes"] == 40 and planned["call_peaks"] == 50
    assert planned["total"] < 500


# Runs


@pytest.fixture(scope="module")
def done(small: Callable[..., Path], snakemake: Run) -> Path:
    """Folder of a small run, from simulation to report."""
    folder = small()
    printed = snakemake(folder, "--configfile", "config.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    return folder


@pytest.fixture(scope="module")
def results(done: Path) -> Path:
    return done / "results" / "small"


@pytest.mark.slow
def test_all_results_of_a_run_exist_and_are_complete(results: Path) -> None:
    tables = [
        "genes.tsv",
        "genes_dropped.tsv",
        "inputs/truth.tsv",
        "variants/effects.tsv",
        "variants/motif_changes.tsv",
        "motifs/clusters.tsv",
    ]
    tables += [f"evaluation/{split}/{name}.tsv" for split in ("val", "test") for name in ("tasks", "genes")]
    for contrast in ("root", "both"):
        tables += [f"peaks/{contrast}.tsv", f"attributions/{contrast}.quality.tsv"]
        tables += [
            f"motifs/{contrast}/{name}.tsv" for name in ("hits", "tests", "enrichment", "effects", "site_effects", "pairs")
        ]
    for fold in ("models/fold_0/replicate_0", "models/fold_0/replicate_1"):
        tables.append(f"{fold}/history.tsv")
        assert yaml.safe_load((results / fold / "params.yaml").read_text())["train"]["learning_rate"] == 0.01
        assert (results / fold / "model.keras").stat().st_size > 10_000
    for name in tables:
        table = read_table(results / name)
        assert len(table) and not table.columns.duplicated().any(), name
    for name in ("peaks/root.bed", "motifs/root/hits.bed"):
        assert all(len(line.split("\t")) == 6 for line in (results / name).read_text().splitlines()), name
    n_genes = len(read_table(results / "genes.tsv"))
    for name in ("dataset.h5", "attributions/root.h5", "attributions/both.h5"):
        with h5py.File(results / name) as file:
            assert len(file["genes"]) == n_genes, name
    assert len(read_explanations(results / "variants/explanations.h5")) == 20
    peaks = read_table(results / "peaks" / "root.tsv", q_value="float")
    assert peaks["q_value"].between(0, 1).all() and peaks["q_value"].nunique() > 5
    checks = read_table(results / "attributions" / "root.quality.tsv")
    assert len(checks) == n_genes and (checks["ism"] != "").sum() == 2
    assert len(read_hits(results / "motifs" / "hits.h5")) > len(read_table(results / "motifs" / "root" / "hits.tsv"))
    for name in ("hub.txt", "genomes.txt", "trackDb.txt", "igv_session.xml", "genome.2bit", "root.peaks.bb", "root.hits.bb"):
        assert (results / "browser" / name).stat().st_size, name
    with pyBigWig.open(str(results / "attributions" / "root.bw")) as track:
        assert set(track.chroms()) == {"chr1", "chr2", "chr3", "chr4"}
        assert track.header()["nBasesCovered"] > 10_000
    predictions = anndata.read_h5ad(results / "evaluation" / "test" / "predictions.h5ad")
    assert predictions.shape[0] == 4 and predictions.layers["predicted"].shape == predictions.shape
    with pysam.VariantFile(str(results / "variants" / "effects.vcf.gz")) as vcf:
        assert sum(1 for _ in vcf) == len(set(read_table(results / "variants" / "effects.tsv")["variant_id"]))
    assert (results / "report.html").read_text().rstrip().endswith("</html>")
    for name in ("select_genes.log", "train_model/fold_0_replicate_1.log", "attribute_genes/0001.log"):
        assert (results / "logs" / name).is_file()
    assert not [path for path in results.rglob("*") if path.name.startswith(".part-")]


@pytest.mark.slow
def test_the_truth_of_an_easy_simulation_is_recovered(results: Path) -> None:
    found = json.loads((results / "recovery.json").read_text())
    # Measured: 0.86 of 0.95 possible, 4 of 4 motifs, 0.50, 0.87, 0.79.
    assert found["pearson_achieved"] > 0.7
    assert found["pearson_possible"] > found["pearson_achieved"]
    assert found["motifs_planted"] == 4 and found["motifs_recovered"] >= 3
    assert found["peak_precision"] > 0.35
    assert found["peak_recall"] > 0.7
    assert found["variant_effect_spearman"] > 0.6


@pytest.mark.slow
def test_the_summary_has_the_documented_keys(results: Path) -> None:
    scores = {"pearson_median", "pearson_max", "pearson_mean", "spearman_median", "r2_median"}
    genes = read_table(results / "genes.tsv")
    for split in ("val", "test"):
        summary = json.loads((results / "evaluation" / split / "summary.json").read_text())
        assert (summary["split"], summary["n_tasks"]) == (split, 4)
        assert summary["n_genes"] == (genes["split"] == split).sum()
        assert len(summary["replicates"]) == 2
        parts = [summary["model"], summary["baselines"]["train_mean"], summary["baselines"]["kmer_ridge"]]
        assert all(scores <= set(part) for part in parts + summary["replicates"])
        assert summary["baselines"]["train_mean"]["pearson_median"] is None
        assert summary["model"]["pearson_median"] <= summary["model"]["pearson_max"]


@pytest.mark.slow
def test_variants_that_cannot_be_scored_have_a_reason(results: Path) -> None:
    numbers = ["p_value", "q_value", "percentile"]
    effects = read_table(results / "variants" / "effects.tsv", **dict.fromkeys(["effect_mean", *numbers], "float"))
    status = effects.groupby("variant_id")["status"].first()
    with pysam.VariantFile(str(results / "inputs" / "variants.vcf")) as vcf:
        kinds = {record.id: record.info["KIND"] for record in vcf}
    assert set(status.index) == set(kinds), "every variant is there"
    bad = {"ref_mismatch": "mismatch", "unknown_chromosome": "unknown_chromosome", "far_from_genes": "outside"}
    for variant, kind in kinds.items():
        assert status[variant] == bad.get(kind, status[variant]), variant
        if kind not in bad:
            assert status[variant] == ("flipped" if kind == "swapped" else "ok"), variant
    assert {*bad, "swapped"} <= set(kinds.values())
    scored = effects["status"].isin(["ok", "flipped"])
    assert np.isfinite(effects["effect_mean"][scored]).all()
    assert (effects["gene_id"][~scored] == "").all()
    assert effects.loc[scored, ["p_value", "q_value"]].min(axis=None) >= 0.0196
    assert (effects["q_value"] >= effects["p_value"])[scored].all()
    assert effects.loc[scored, "percentile"].between(0, 100).all() and effects.loc[~scored, numbers].isna().all(axis=None)


@pytest.mark.slow
def test_the_report_works_offline(results: Path) -> None:
    html = (results / "report.html").read_text()
    assert not re.findall(r"""(?:src|href|action|data)\s*=\s*["']?\s*(?:https?:)?//""", html)
    assert not re.findall(r"@import|url\(\s*[\"']?(?:https?:)?//|\bfetch\(|XMLHttpRequest|<iframe|<link\b", html)


@pytest.mark.slow
def test_a_second_run_has_nothing_to_do(done: Path, snakemake: Run) -> None:
    assert "Nothing to be done" in snakemake(done, "--configfile", "config.yaml")


SAME: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "keys in another order": lambda config: {
        name: dict(reversed(part.items())) if isinstance(part, dict) else part for name, part in reversed(config.items())
    },
    "defaults written out": lambda config: (
        config
        | {
            "peaks": {"method": "recursive_seqlets", "threshold": 0.01},
            "attribution": config["attribution"] | {"shifts": [0], "genes": "all"},
            "windows": config["windows"] | {"anchor": "tss"},
        }
    ),
    "another tracker": lambda config: config | {"train": config["train"] | {"trackers": []}},
    "other resources": lambda config: config | {"resources": {"threads": 2, "mem_mb": 5000, "batch_size": 32}},
    "the parameter file elsewhere": lambda config: config | {"model": {"params": "elsewhere/network.json"}},
}


@pytest.mark.slow
@pytest.mark.parametrize("how", SAME)
def test_an_equivalent_run_has_nothing_to_do(done: Path, snakemake: Run, how: str) -> None:
    (done / "elsewhere").mkdir(exist_ok=True)
    (done / "elsewhere" / "network.json").write_text(json.dumps(yaml.safe_load((done / "network.yaml").read_text())))
    config = yaml.safe_load((done / "config.yaml").read_text())
    (done / "other.yaml").write_text(yaml.safe_dump(SAME[how](config), sort_keys=False))
    printed = snakemake(done, "--dry-run", "--configfile", "other.yaml")
    scores = printed.partition("Nothing to be done")[2]
    assert "Report: results/small/report.html" in scores and "Pearson r over held-out genes" in scores, printed


@pytest.mark.slow
def test_a_changed_value_reruns_only_what_depends_on_it(done: Path, snakemake: Run, jobs: Jobs) -> None:
    plan = ["--dry-run", "--configfile", "config.yaml", "--config"]
    peaks = jobs(snakemake(done, *plan, "peaks={threshold: 0.02}"))
    after = {
        "enrich_motifs",
        "cluster_motifs",
        "match_factors",
        "probe_motifs",
        "pair_motifs",
        "write_browser_files",
        "measure_recovery",
        "write_report",
    }
    # Explanations of variants have the verdicts of the probes.
    after |= {"explain_variants"}
    assert set(peaks) - {"all", "total"} == {"call_peaks"} | after
    network = jobs(snakemake(done, *plan, "model={overrides: {train.learning_rate: 0.02}}"))
    assert network["train_model"] == 2 and "write_dataset" not in network and "fetch_motifs" not in network
    shown = jobs(snakemake(done, *plan, "report={top_genes: 3}"))
    assert set(shown) - {"all", "total"} == {"write_report"}


@pytest.mark.slow
def test_comments_and_the_location_of_the_code_trigger_no_rerun(done: Path, tmp_path: Path, snakemake: Run) -> None:
    moved = tmp_path / "elsewhere"
    for name in ("workflow", "scripts", "config", "envs", "profiles"):
        shutil.copytree(ROOT / name, moved / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", moved)
    for name in ("call_peaks.py", "train_model.py", "cisnake/interpret/peaks/call.py"):
        with open(moved / "scripts" / name, "a") as file:
            file.write("# a comment\n")
    printed = snakemake(done, "--dry-run", "--configfile", "config.yaml", snakefile=moved / "Snakefile")
    assert "Nothing to be done" in printed, printed


@pytest.mark.slow
def test_trained_networks_are_used_as_they_are(done: Path, results: Path, snakemake: Run, jobs: Jobs) -> None:
    networks = [f"results/small/models/fold_0/replicate_{i}/model.keras" for i in (1, 0)]
    config = yaml.safe_load((done / "config.yaml").read_text())
    config["run"] |= {"name": "given"}
    # One of them by its path, the other by its name.
    mine = {"network": {"file": "fold_0/replicate_0/model.keras", "sha256": file_sha256(done / networks[1])}}
    mine |= {"licence": "for our eyes only", "trained_on": ["chr1", "chr4:1-20000"]}
    (done / "registry.yaml").write_text(yaml.safe_dump({"mine/0": mine}))
    config["model"] = {"registry": "registry.yaml", "folder": "results/small/models", "trained": [networks[0], "mine/0"]}
    config["train"] = {}
    few = {"n_shards": 1, "genes": "held_out", "null_windows": 20, "quality_genes": 1}
    config["attribution"] |= few | {"contrasts": {"root": {"on_tasks": ["root"]}}}
    config["motifs"] |= {"probe": {"top": 1, "sites": 2, "draws": 1, "backgrounds": 2}}
    (done / "given.yaml").write_text(yaml.safe_dump(config))
    planned = jobs(snakemake(done, "--dry-run", "--configfile", "given.yaml"))
    assert planned["import_model"] == 2 and not {"train_model", "fit_words"} & set(planned)
    printed = snakemake(done, "--configfile", "given.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    elsewhere = done / "results" / "given"
    summaries = {}
    for split in ("val", "test"):
        paths = (folder / "evaluation" / split / "predictions.h5ad" for folder in (results, elsewhere))
        own, given = map(anndata.read_h5ad, paths)
        np.testing.assert_allclose(given.layers["predicted"], own.layers["predicted"], rtol=1e-5, atol=1e-5)
        summaries[split] = json.loads((elsewhere / "evaluation" / split / "summary.json").read_text())
    attributions = {}
    for folder in (results, elsewhere):
        with h5py.File(folder / "attributions" / "root.h5") as file:
            values = file["attributions"][:] * file["scale"][:][:, None, None] if "scale" in file else file["attributions"][:]
            attributions[folder] = dict(zip(file["genes"].asstr(), values, strict=True))
    assert 0 < len(attributions[elsewhere]) < len(attributions[results])
    scale = max(np.abs(values).max() for values in attributions[results].values())
    for gene, values in attributions[elsewhere].items():
        np.testing.assert_allclose(values, attributions[results][gene], atol=1e-3 * scale)
    assert summaries["val"]["seen"] == {"n_seen": 0, "model": None, "kmer_ridge": None}
    n_seen, n_genes = summaries["test"]["seen"]["n_seen"], summaries["test"]["n_genes"]
    assert 0 < n_seen < n_genes
    report = (elsewhere / "report.html").read_text()
    assert f"The networks were trained on {n_seen} of the {n_genes} genes scored here" in report
    assert "Nothing was trained" in report and all(network in report for network in networks)
    assert "Licence: for our eyes only" in report
    (done / "registry.yaml").write_text(yaml.safe_dump({"mine/0": mine | {"network": mine["network"] | {"sha256": "0" * 64}}}))
    refused = snakemake(done, "--configfile", "given.yaml", "--forcerun", "import_model", "--until", "import_model")
    assert "not 0000" in refused and "download it again" in refused and not refused.endswith("exit 0")


@pytest.mark.parametrize(
    ("network", "params", "upstream", "downstream", "tasks"),
    [("gene/model_best.h5", "gene/params.json", 100, 156, 5), ("torch/decima.safetensors", "", 300, 724, 3)],
    ids=["basenji", "decima"],
)
def test_networks_of_other_programs_predict_genes_as_they_do_alone(
    network: str, params: str, upstream: int, downstream: int, tasks: int, done: Path, results: Path, snakemake: Run
) -> None:
    data = ROOT / "tests" / "model" / "data"
    name = Path(network).parent.name
    config = yaml.safe_load((done / "config.yaml").read_text())
    config["run"] |= {"name": name}
    config["genome"] = {"fasta": str(results / "inputs/genome.fa")}
    config["annotation"] = {"gtf": str(results / "inputs/genes.gtf")}
    (done / f"{name}.tsv").write_text("task\tgroup\n" + "".join(f"t{i}\tall\n" for i in range(tasks)))
    config["targets"] = {"tasks": f"{name}.tsv"}
    config["windows"] = {"upstream": upstream, "downstream": downstream}
    config["model"] = {"trained": [str(data / network)]} | ({"params": str(data / params)} if params else {})
    config["train"] = {}
    del config["splits"], config["evaluate"]
    config["attribution"]["contrasts"] = {"first": {"on_tasks": ["t0"], "off_tasks": ["t1"]}}
    (done / f"{name}.yaml").write_text(yaml.safe_dump(config))
    printed = snakemake(done, f"results/{name}/evaluation/test/summary.json", "--configfile", f"{name}.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    found = anndata.read_h5ad(done / f"results/{name}/evaluation/test/predictions.h5ad")
    model = read_network(data / network, read_params(data / params) if params else None, length=upstream + downstream)
    with open_dataset(done / f"results/{name}/dataset.h5") as file:
        genes = file["genes"][:40, 0].astype(str)
        windows = file["sequences"][:40], file["windows/mask_start"][:40], file["windows/mask_end"][:40]
    expected = model(model_input(*windows, model.input_shape[-1])).numpy()
    assert np.ptp(expected, axis=0).min() > 0.01 * np.abs(expected).max()
    np.testing.assert_allclose(found[:, genes].layers["predicted"].T, expected, rtol=1e-4, atol=1e-5)


def test_regions_around_the_starts_of_genes_are_predicted_as_the_genes(done: Path, results: Path, snakemake: Run) -> None:
    genes = read_table(results / "genes.tsv", tss="int64")
    inputs = results / "inputs"
    rows = [
        f"{gene.chrom}\t{gene.tss - 20}\t{gene.tss + 30}\tpeak of {gene.gene_id}\t0\t{gene.strand}\t{n}\t1\t1\t20\n"
        for n, gene in enumerate(genes.itertuples())
    ]
    (done / "peaks.narrowPeak").write_text("".join(rows))
    place = genes["chrom"] + "-" + (genes["tss"] - 20).astype(str) + "-" + (genes["tss"] + 30).astype(str)
    matrix = read_table(inputs / "expression.tsv")
    first = matrix.columns[0]
    matrix = matrix[matrix[first].isin(genes["matrix_id"])]
    matrix[first] = matrix[first].map(dict(zip(genes["matrix_id"], place, strict=True)))
    matrix.to_csv(done / "accessibility.tsv", sep="\t", index=False)
    config = yaml.safe_load((done / "config.yaml").read_text())
    config["run"] |= {"name": "regions"}
    config["genome"] = {"fasta": str(inputs / "genome.fa")}
    config["regions"] = {"file": "peaks.narrowPeak", "top": len(genes) - 10, "negatives": 1}
    config["targets"] |= {"matrix": "accessibility.tsv", "tasks": str(inputs / "tasks.tsv")}
    config["variants"] = {"vcf": str(inputs / "variants.vcf"), "controls": 50}
    config["model"] = {"trained": [f"results/small/models/fold_0/replicate_{i}/model.keras" for i in range(2)]}
    config["train"] = {}
    config["attribution"] |= {"n_shards": 1, "genes": "held_out", "null_windows": 20, "quality_genes": 1}
    config["attribution"]["contrasts"] = {"root": {"on_tasks": ["root"]}}
    config["motifs"] |= {"probe": {"top": 1, "sites": 2, "draws": 1, "backgrounds": 2}}
    (done / "regions.yaml").write_text(yaml.safe_dump(config))
    printed = snakemake(done, "--configfile", "regions.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    own, given = (anndata.read_h5ad(done / f"results/{name}/evaluation/test/predictions.h5ad") for name in ("small", "regions"))
    background = given.var_names.str.startswith("background:")
    # All are 0 before the transform.
    assert background.sum() > 10 and (np.ptp(given[:, background].X, axis=1) == 0).all()
    given = given[:, ~background].copy()
    given.var_names = given.var_names.str.removeprefix("peak of ")
    assert own.n_vars - 10 <= given.n_vars <= own.n_vars and given.n_vars > 50
    np.testing.assert_allclose(given.layers["predicted"], own[:, given.var_names].layers["predicted"], rtol=1e-4, atol=1e-4)
    regions = read_table(done / "results/regions/genes.tsv")
    assert set(regions["tss_source"]) == {"summit", "background"}
    summary = json.loads((done / "results/regions/evaluation/test/summary.json").read_text())
    assert summary["background"]["n_background"] == background.sum() and summary["n_genes"] == given.n_vars + background.sum()
    measured = [np.isfinite(row) for row in given.X]
    predicted = given.layers["predicted"]
    r = [np.corrcoef(given.X[i, known], predicted[i, known])[0, 1] for i, known in enumerate(measured)]
    assert summary["background"]["model"]["pearson_median"] == pytest.approx(np.median(r), abs=1e-4)
    with h5py.File(done / "results/regions/attributions/root.h5") as file:
        attributed = set(file["genes"].asstr()[:])
    assert attributed == {f"peak of {name}" for name in given.var_names}
    assert read_table(done / "results/regions/genes_dropped.tsv")["reason"].eq("below_top").sum() == 10
    effects = read_table(done / "results/regions/variants/effects.tsv")
    assert (effects["status"] == "ok").any() and effects.loc[effects["status"] == "ok", "gene_id"].str.startswith(
        "peak of "
    ).all()
    report = (done / "results/regions/report.html").read_text()
    assert "This run is about regions of the genome" in report and f"These include {background.sum()} background" in report
    assert "This run is about regions of the genome" not in (results / "report.html").read_text()


def test_trained_networks_predict_genes_that_nobody_measured(done: Path, results: Path, snakemake: Run, jobs: Jobs) -> None:
    own = anndata.read_h5ad(results / "evaluation/test/predictions.h5ad")
    (done / "few.txt").write_text("\n".join(own.var_names[:12]) + "\n")
    config = yaml.safe_load((done / "config.yaml").read_text())
    config["run"] |= {"name": "unmeasured"}
    config["genome"] = {"fasta": str(results / "inputs/genome.fa")}
    config["annotation"] = {"gtf": str(results / "inputs/genes.gtf")}
    config["targets"] = {"tasks": str(results / "inputs/tasks.tsv")}
    config["model"] = {"trained": [f"results/small/models/fold_0/replicate_{i}/model.keras" for i in range(2)]}
    config["train"] = {}
    del config["splits"], config["evaluate"]
    config["attribution"] |= {"n_shards": 1, "genes": "few.txt", "null_windows": 20, "quality_genes": 1}
    config["attribution"]["contrasts"] = {"root": {"on_tasks": ["root"]}}
    config["motifs"] |= {"probe": {"top": 1, "sites": 2, "draws": 1, "backgrounds": 2}}
    (done / "unmeasured.yaml").write_text(yaml.safe_dump(config))
    planned = jobs(snakemake(done, "--dry-run", "--configfile", "unmeasured.yaml"))
    assert not {"fit_baselines", "train_model", "fit_words"} & set(planned) and planned["evaluate_model"] == 1
    printed = snakemake(done, "--configfile", "unmeasured.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    folder = done / "results/unmeasured"
    found = anndata.read_h5ad(folder / "evaluation/test/predictions.h5ad")
    # Also the genes without labels, which the measured run drops.
    assert found.n_vars > 390 and np.isnan(found.X).all()
    np.testing.assert_allclose(found[:, own.var_names].layers["predicted"], own.layers["predicted"], rtol=1e-4, atol=1e-4)
    summary = json.loads((folder / "evaluation/test/summary.json").read_text())
    assert summary["measured"] is False and summary["model"]["pearson_median"] is None
    assert len(read_table(folder / "peaks/root.tsv")) > 0
    report = (folder / "report.html").read_text()
    assert "Nothing was measured in this run" in report and "Do not interpret" not in report
    assert "predicted, nothing measured" in printed


@pytest.mark.slow
def test_with_folds_every_gene_is_predicted_by_models_that_were_not_trained_on_it(
    small: Callable[..., Path], snakemake: Run
) -> None:
    sections: dict[str, Any] = {
        "splits": {"folds": 3},
        "train": {"replicates": 1},
        "attribution": {"n_shards": 1, "n_steps": 3, "contrasts": {"root": {"on_tasks": ["root"]}}},
        "model": {"params": "network.yaml", "overrides": {"train.train_epochs_max": 4}},
    }
    folder = small(**sections)
    R = "results/small"
    printed = snakemake(folder, f"{R}/attributions/root.h5", f"{R}/evaluation/test/genes.tsv", "--configfile", "config.yaml")
    assert printed.endswith("exit 0"), printed[-6000:]
    genes = read_table(folder / R / "genes.tsv")
    assert set(genes["fold"]) == {"0", "1", "2"}
    evaluated = read_table(folder / R / "evaluation" / "test" / "genes.tsv")
    assert sorted(evaluated["gene_id"]) == sorted(genes["gene_id"]), "each gene once"
    fold_of = genes.set_index("gene_id")["fold"]
    assert (evaluated.set_index("gene_id")["fold"] == fold_of.loc[evaluated["gene_id"]]).all()
    # Attributions of a gene by a single model match the file only for the model of the gene's fold.
    from cisnake.interpret.attribution import AttributionSettings, GeneShard, attribute_shard

    everything = [folder / R / "models" / f"fold_{i}" / "replicate_0" / "model.keras" for i in range(3)]
    wrong = [folder / "swapped" / f"fold_{i}" / "replicate_0" / "model.keras" for i in range(3)]
    for source, target in zip(everything, wrong[1:] + wrong[:1], strict=True):
        target.parent.mkdir(parents=True)
        shutil.copy(source, target)
    ids = folder / "ids.txt"
    chosen = [str(genes.loc[genes["fold"] == fold, "gene_id"].iloc[0]) for fold in "012"]
    ids.write_text("\n".join(chosen) + "\n")
    contrasts = {"root": ContrastSection(("root",), None, "specificity")}
    of_files = {}
    for name, models in (("own", everything), ("other", wrong)):
        attribute_shard(
            folder / R / "dataset.h5", models, folder / R / "tasks.tsv", contrasts, GeneShard(str(ids)),
            AttributionSettings("integrated_gradients", {"n_steps": 3}), 8, folder / name,
        )  # fmt: skip
    of_run = folder / R / "attributions" / "root.h5"
    for name, path in (
        ("run", of_run),
        ("own", folder / "own" / "root" / "0000.h5"),
        ("other", folder / "other" / "root" / "0000.h5"),
    ):
        with h5py.File(path) as file:
            row = {gene.decode(): i for i, gene in enumerate(file["genes"][:])}
            of_files[name] = np.stack([file["attributions"][row[gene]] for gene in chosen]).astype(float)
    scale = np.abs(of_files["run"]).max()
    np.testing.assert_allclose(of_files["own"], of_files["run"], atol=1e-3 * scale)
    assert (np.abs(of_files["other"] - of_files["run"]).max(axis=(1, 2)) > 0.01 * scale).all()


def test_a_remote_file_is_downloaded_and_checked(foreign: dict[str, Any], tiny: Any, tmp_path: Path, snakemake: Run) -> None:
    foreign |= {"windows": {"upstream": 40, "downstream": 20}}
    foreign["evaluate"] = {"baseline": {"k": 2, "upstream": 40, "downstream": 20}}
    right = hashlib.sha256(tiny.matrix.read_bytes()).hexdigest()
    fetched = tmp_path / "results" / "foreign" / "inputs" / "matrix" / tiny.matrix.name
    for checksum in ("0" * 64, right):
        foreign["targets"] = {"matrix": {"url": f"file://{tiny.matrix}", "sha256": checksum}}
        config = written(foreign, tmp_path)
        printed = snakemake(tmp_path, "results/foreign/genes.tsv", "--configfile", config)
        log = (tmp_path / "results" / "foreign" / "logs" / "fetch_input" / "matrix" / f"{tiny.matrix.name}.log").read_text()
        if checksum == right:
            assert printed.endswith("exit 0"), printed
            assert fetched.read_bytes() == tiny.matrix.read_bytes()
            assert (tmp_path / "results" / "foreign" / "genes.tsv").is_file()
        else:
            assert printed.endswith("exit 1")
            assert not fetched.exists()
            assert "has the SHA-256" in log.splitlines()[-1]
            assert log.splitlines()[-1].split("error: ")[1] in printed, "the terminal says it too"
    assert not [path for path in tmp_path.rglob(".part-*")]


def test_a_failed_job_leaves_no_output_and_reports_the_reason(
    foreign: dict[str, Any], tiny: Any, tmp_path: Path, snakemake: Run
) -> None:
    tiny.matrix.write_text(tiny.matrix.read_text() + "G9z\t1\toops\t2\n")
    printed = snakemake(tmp_path, "results/foreign/dataset.h5", "--configfile", written(foreign, tmp_path))
    assert printed.endswith("exit 1")
    results = tmp_path / "results" / "foreign"
    assert not [path.name for path in results.iterdir() if path.name not in ("logs", "benchmarks", "config", "inputs")]
    last = (results / "logs" / "select_genes.log").read_text().splitlines()[-1]
    assert "'oops'" in last and "G9z" in last
    reason, log, *_ = printed.partition("select_genes failed:\n")[2].splitlines()
    assert reason.strip() == last.split("error: ")[1] and log.strip() == "log: results/foreign/logs/select_genes.log"
    assert "CalledProcessError" not in printed and printed.count("log: ") == 1, "told once"
    assert "Traceback" not in printed.replace("Traceback (most recent call last) omitted", "")
    assert os.path.exists(tiny.matrix), "inputs stay"
