"""What the first screen says: what the run is about, how sure it is, and what to distrust; and the methods."""

from __future__ import annotations

import copy
import json
import re

import numpy as np
import pytest

from cisnake.configuration import complete
from cisnake.report.page import about, cautions, methods
from cisnake.report.page.contrasts import show_contrasts
from cisnake.report.results import read_results
from cisnake.report.units import label_unit

CONFIG = complete(
    {
        "run": {"name": "a", "seed": 7},
        "genome": {"fasta": "in/hg38.fa.gz", "assembly": "hg38", "organism": "Homo sapiens"},
        "annotation": {"gtf": {"url": "https://x.example/genes.gtf.gz", "sha256": "0" * 64}},
        "targets": {"matrix": "in/tpm.tsv", "unit": "TPM", "transform": "log1p"},
        "windows": {"upstream": 300, "downstream": 100},
        "splits": {"val": ["chrV"], "test": ["chrX"]},
        "model": {"params": "config/models/demo.yaml"},
        "attribution": {"contrasts": {name: {"on_tasks": [name]} for name in ("acid", "heat")}},
    }
)


@pytest.fixture
def run(results):
    return read_results(results)


def changed(**sections):
    config = copy.deepcopy(CONFIG)
    for name, keys in sections.items():
        config[name] = {**config[name], **keys}
    return config


def test_a_run_says_what_it_is_about(run):
    rows = dict(about.describe_run(run, CONFIG, "2026-05-06"))
    assert rows["Genome"] == "Homo sapiens, hg38.fa.gz (hg38)"
    assert rows["Genes"] == f"{len(run.genes)} of genes.gtf.gz"
    assert rows["Measurements"] == "7 tasks in 3 groups of tpm.tsv, as ln(1 + TPM)"
    assert rows["Window"] == "400 bp: 300 upstream and 100 downstream of the TSS"
    n = run.genes["split"].value_counts()
    assert rows["Splits"] == f"{n['train']} training, {n['val']} validation (chrV), {n['test']} test (chrX)"
    assert rows["Networks"] == "3 networks, demo.yaml, each with a linear model of words (k-mers)"
    assert rows["Contrasts"] == "acid, heat"
    assert "seed 7" in rows["Made by"] and rows["Made by"].endswith("report of 2026-05-06")


def test_what_is_not_known_is_not_said(run):
    rows = dict(about.describe_run(run, None, None))
    assert set(rows) == {"Splits", "Networks", "Contrasts", "Made by"} and "report of" not in rows["Made by"]


@pytest.mark.parametrize(
    ("targets", "unit"),
    [
        ({"transform": "none"}, "TPM"),
        ({"transform": "zscore"}, "standard deviations of TPM over genes"),
        ({"transform": ["log2_cpm", "zscore"]}, "standard deviations of log2(1 + counts per million) over genes"),
        ({"transform": "log1p", "unit": None}, "ln(1 + the measurement)"),
        ({"transform": "none", "unit": None}, ""),
        ({"kind": "coverage"}, "log2(1 + coverage)"),
    ],
)
def test_the_unit_follows_from_the_transform(targets, unit):
    assert label_unit(changed(targets=targets)) == unit


def quality(run, **numbers):
    """Return the data of the contrasts, with other medians of the checks in the first one."""
    contrasts = show_contrasts(run, {}, 3)
    good = {"replicates": 0.9, "ism": 0.9, "strands": 1.0, "random_weights": 0.0, "completeness": 0.01}
    for contrast in contrasts:
        contrast["quality"] |= good | {"n_correct": 90, "n_measured": 100, "by_chance": 1 / 3}
        contrast |= {"n_peaks": 100, "n_sure": 90, "verdict": "well above the baseline", "n_enriched": 3}
        contrast["attrs"] = contrast["attrs"] | {"off_tasks": []}
    for name, value in numbers.items():
        (contrasts[0]["quality"] if name in contrasts[0]["quality"] else contrasts[0])[name] = value
    return contrasts


def test_good_results_have_no_cautions(run):
    run.evaluations[0].summary |= {"verdict": "well above the baseline", "ceiling": 0.9}
    run.variants.significant = 3
    assert cautions.list_cautions(run, quality(run)) == []


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ({"replicates": 0.49}, "The contrast acid is attributed differently by each replicate"),
        ({"random_weights": 0.31}, "The contrast acid is attributed much as by random weights"),
        ({"completeness": 0.11}, "The contrast acid is attributed incompletely"),
        ({"n_correct": 33}, "The contrast acid is predicted correctly in no more genes than by chance"),
        ({"n_sure": 10}, "The contrast acid is explained by few sure peaks"),
        ({"n_enriched": 0}, "The contrast acid is without any enriched motif"),
        ({"verdict": "at the baseline"}, "The contrast acid is predicted as well by words without places"),
        ({"attrs": {"off_tasks": ["t"]}}, "moves from either side"),
    ],
)
def test_each_caution_follows_from_its_rule(run, numbers, said):
    run.evaluations[0].summary |= {"verdict": "well above the baseline", "ceiling": 0.9}
    run.variants.significant = 3
    found = cautions.list_cautions(run, quality(run, **numbers))
    assert len(found) == 1 and said in found[0]


def test_checks_that_were_not_made_are_no_cautions_but_missing_ones_are_said(run):
    run.evaluations[0].summary |= {"verdict": "at the baseline", "ceiling": "unknown"}
    run.variants.significant = None
    run.trainings = run.trainings[:1]
    contrasts = quality(run)
    for contrast in contrasts:
        contrast["quality"] |= dict.fromkeys(("replicates", "ism", "random_weights", "completeness"), np.nan)
        contrast["n_sure"] = None
    found = " ".join(cautions.list_cautions(run, contrasts))
    for words in (
        "no better than words",
        "no q-values, because no shuffled",
        "no replicates of",
        "one network",
        "no control variants",
    ):
        assert words in found
    assert "attributed" not in found.replace("shuffled windows were attributed", "")
    assert cautions.describe_certainty(contrasts) == ""


def test_certainty_is_told_in_numbers(run):
    said = cautions.describe_certainty(quality(run))
    assert said.startswith("Attributions correlate 0.90 between replicates of the network, 0.90 with the effects")
    assert "random weights" in said and "miss 1.0% of" in said and "Of 200 peaks, 180 have q ≤ 0.1" in said


def test_the_methods_cite_each_work_once_in_order(run):
    text, works = methods.write_methods(run, CONFIG)
    cited = [int(number) for group in re.findall(r"\[([\d, ]+)\]", text) for number in group.split(", ")]
    assert list(dict.fromkeys(cited)) == list(range(1, len(works) + 1)) and len(set(works)) == len(works)
    assert set(works) <= set(methods.WORKS.values())
    for part in (
        "7 tasks, as ln(1 + TPM),",
        "400 bp (300 bp upstream and 100 bp downstream of the TSS)",
        "integrated gradients",
    ):
        assert part in text
    assert "jaspar:2026/vertebrates" in text and "  " not in text
    assert "weighted sum" in text, "each network of the run has a linear model of words"
    run.evaluations[0].summary.pop("parts")
    assert "weighted sum" not in methods.write_methods(run, CONFIG)[0]


def test_the_methods_name_further_data_sets_of_the_training(run):
    assert "other data set" not in methods.write_methods(run, CONFIG)[0]
    heads = [{"name": f"head_{name}", "dataset": f"{name}.h5"} for name in ("mouse", "rat")]
    one, two = (methods.write_methods(run, changed(train={"heads": heads[:n]}))[0] for n in (1, 2))
    assert "a further head of the networks learned another data set (mouse), whose batches" in one
    assert "further heads of the networks learned other data sets (mouse, rat), whose batches" in two


@pytest.mark.parametrize("method", ["input_x_gradient", "saliency", "smoothgrad", "in_silico_mutagenesis"])
def test_the_methods_name_what_was_used(run, method):
    config = changed(attribution={"method": method, "null_windows": 0}, peaks={"method": "tfmodisco_seqlets"})
    text, works = methods.write_methods(run, config)
    assert methods.WORKS[method] in works and methods.WORKS["correct_mean"] in works and methods.WORKS["tfmodisco"] in works
    assert methods.WORKS["integrated_gradients"] not in works and methods.WORKS["shuffle"] not in works
    assert json.dumps(text) and methods.write_methods(run, None) == ("", [])
