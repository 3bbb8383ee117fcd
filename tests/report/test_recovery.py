"""Measures of recovery equal counts made by hand."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.simulation.files import write_inputs
from cisnake.data.simulation.genome import simulate
from cisnake.errors import InputError
from cisnake.interpret.attribution.file import write_attributions
from cisnake.interpret.contrasts import Contrast
from cisnake.report import recovery
from cisnake.report.recovery import ContrastFindings

GROUP_OF_TASK = {"a_1": "a", "a_2": "a", "b_1": "b"}

TRUTH = pd.DataFrame(
    [
        ("g1", "M1", "ONE", "activator", "planted", 100, 110, 1.0, 0.0),
        ("g1", "M1", "ONE", "activator", "chance", 200, 210, 0.5, 0.0),
        ("g1", "M2", "TWO", "shared", "planted", 300, 310, 0.8, 0.8),
        ("g2", "M1", "ONE", "activator", "planted", 100, 110, 0.2, 0.0),
        ("g2", "M1", "ONE", "activator", "planted", 400, 410, 0.6, 0.0),
        ("g2", "M3", "THREE", "decoy", "planted", 500, 510, 0.0, 0.0),
        ("g2", "M4", "FOUR", "repressor", "planted", 600, 610, 0.0, -0.9),
        ("g3", "M1", "ONE", "activator", "planted", 100, 110, 0.9, 0.0),
    ],
    columns=["gene_id", "motif_id", "motif_name", "role", "origin", "start", "end", "effect_a", "effect_b"],
)


SPECIFIC = Contrast("a_b", ("a_1", "a_2"), ("b_1",), "specificity")
ALONE = Contrast("a", ("a_1", "a_2"), (), "aggregate")


def findings(**changes) -> ContrastFindings:
    peaks = pd.DataFrame(
        [
            ("g1", 95, 105),  # half of both overlap: on the planted site of M1
            ("g1", 203, 240),  # most of the shorter overlaps: on the site of M1 that occurs by chance
            ("g1", 305, 310),  # M2 is shared, so it has no effect on a against b
            ("g1", 106, 130),  # less than half of the site
            ("g2", 500, 510),  # a decoy
            ("g2", 600, 610),  # M4 acts in b
            ("g3", 400, 410),  # a site, but in another gene
        ],
        columns=["gene_id", "start", "end"],
    ).assign(q_value=[0.1, 0.2, 0.03, 0.01, np.nan, 0.1, 0.11])
    enrichment = pd.DataFrame(
        [
            ("M1", "1", 3.0, 0.9),
            ("M9", "1", 3.0, 0.01),
            ("M2", "2", 5.0, 0.001),
            ("M3", "3", 2.0, 0.05),
            ("M4", "4", 0.2, 0.001),
        ],
        columns=["motif_id", "cluster", "odds_ratio", "q_value"],
    )
    return dataclasses.replace(ContrastFindings(SPECIFIC, ["g1", "g2"], peaks, enrichment), **changes)


def measured(*contrasts: ContrastFindings) -> dict:
    scores = {"pearson_median": 0.8}
    summary = {"split": "test", "n_genes": 3, "model": scores, "baselines": {"kmer_ridge": {"pearson_median": 0.5}}}
    return recovery.measure_recovery(TRUTH, GROUP_OF_TASK, contrasts, summary, 0.9, {})


def test_effect_of_a_site_on_a_contrast() -> None:
    specific = recovery.contrast_effect(TRUTH, SPECIFIC, GROUP_OF_TASK)
    np.testing.assert_allclose(specific, [1.0, 0.5, 0, 0.2, 0.6, 0, 0.9, 0.9])
    aggregate = recovery.contrast_effect(TRUTH, ALONE, GROUP_OF_TASK)
    np.testing.assert_allclose(aggregate, [1.0, 0.5, 0.8, 0.2, 0.6, 0, 0, 0.9])
    mixed = recovery.contrast_effect(TRUTH, Contrast("mixed", ("a_1", "b_1"), (), "aggregate"), GROUP_OF_TASK)
    np.testing.assert_allclose(mixed[[0, 2, 6]], [0.5, 0.8, -0.45])
    with pytest.raises(InputError, match="did you mean a_1"):
        recovery.contrast_effect(TRUTH, dataclasses.replace(SPECIFIC, on_tasks=("a_11",)), GROUP_OF_TASK)


def test_peaks_and_sites_are_counted_by_overlap_in_the_same_gene() -> None:
    found = recovery.measure_sites(TRUTH, recovery.contrast_effect(TRUTH, SPECIFIC, GROUP_OF_TASK), findings())
    # Peaks on a site: M1 planted, M1 by chance, M4. Strong planted sites (at least 0.25) of g1 and g2: M1 twice, M4.
    # The gene g3 has no attribution, and the site of M1 with 0.2 is too weak.
    assert (found["n_peaks"], found["n_peaks_on_site"]) == (7, 3)
    assert (found["n_strong_sites"], found["n_strong_sites_found"]) == (3, 2)
    assert found["peak_precision"] == pytest.approx(3 / 7) and found["peak_recall"] == pytest.approx(2 / 3)


def test_without_peaks_precision_is_undefined_and_recall_is_zero() -> None:
    empty = findings(peaks=findings().peaks.iloc[:0])
    found = recovery.measure_sites(TRUTH, recovery.contrast_effect(TRUTH, SPECIFIC, GROUP_OF_TASK), empty)
    assert math.isnan(found["peak_precision"]) and found["peak_recall"] == 0


def test_motifs_are_counted_in_contrasts_on_which_they_act() -> None:
    found = measured(findings())
    # M2 is enriched but has no effect on a against b; M4 has an effect but is depleted.
    assert (found["motifs_planted"], found["motifs_recovered"], found["motifs_recovered_by_cluster"]) == (2, 1, 1)
    assert (found["decoys_planted"], found["decoys_called"]) == (1, 1)
    assert found["motifs"]["M1"]["enriched"] == "cluster" and found["motifs"]["M2"]["acts"] == "no"
    both = measured(findings(), findings(contrast=ALONE))
    assert (both["motifs_planted"], both["motifs_recovered"], both["motifs_recovered_by_cluster"]) == (3, 2, 1)
    assert set(both["contrasts"]) == {"a_b", "a"} and both["n_peaks"] == 14
    assert both["peak_precision"] == pytest.approx((3 + 3) / 14)
    assert (both["pearson_possible"], both["pearson_achieved"], both["baseline_pearson"]) == (0.9, 0.8, 0.5)


def test_confident_peaks_are_measured_separately() -> None:
    found = measured(findings(), findings(contrast=ALONE))
    # Of the four peaks with q at most 0.1, two are on sites in either contrast: M1 and M4 in a against b, M1 and M2 in a.
    assert found["n_peaks_at_q"] == 8 and found["peak_precision_at_q"] == pytest.approx((2 + 2) / 8)
    strong = {name: part["n_strong_sites"] for name, part in found["contrasts"].items()}
    assert found["peak_recall_at_q"] == pytest.approx((2 + 2) / sum(strong.values()))
    without_q = measured(findings(peaks=findings().peaks.assign(q_value=np.nan)))
    assert (
        without_q["n_peaks"] == 7 and math.isnan(without_q["peak_precision_at_q"]) and math.isnan(without_q["peak_recall_at_q"])
    )


def test_a_run_without_contrasts_has_only_scores() -> None:
    found = measured()
    assert found["motifs_planted"] == 0 and found["pearson_achieved"] == 0.8 and found["variant_effect_spearman"] is None


def test_variant_effects_are_correlated_over_scored_pairs() -> None:
    key = ["chrom", "start", "ref", "alt", "gene_id", "task"]
    known = pd.DataFrame(
        [
            ("1", 5, "A", "C", "g1", "t", 0.0),
            ("1", 6, "A", "C", "g1", "t", 1.0),
            ("1", 7, "AT", "A", "g1", "t", 2.0),
            ("1", 8, "A", "C", "g1", "t", -1.0),
            ("1", 9, "A", "C", "g1", "t", 5.0),
        ],
        columns=[*key, "effect"],
    )
    predicted = known[key].assign(effect_mean=[0.3, 0.2, 0.9, -0.5, np.nan])
    stray = predicted.assign(gene_id="g2", effect_mean=9.0)
    found = recovery.measure_variants(pd.concat([predicted, stray]), known)
    # Ranks 2 3 4 1 and 3 2 4 1: 1 - 6 * 2 / (4 * 15). Without the first pair the order is the same.
    assert found["variant_effect_spearman"] == pytest.approx(0.8)
    assert found["variant_effect_spearman_acting"] == pytest.approx(1.0)
    assert (found["n_variants_scored"], found["n_variant_effects"], found["n_variant_effects_acting"]) == (4, 4, 3)


def test_possible_pearson_is_the_median_over_tasks_for_the_given_genes() -> None:
    noiseless = pd.DataFrame(
        {"t": [1.0, 2.0, 3.0, 9.0], "u": [1.0, 2.0, 3.0, 9.0], "v": [1.0, 3.0, 2.0, 0.0]}, index=list("abcd")
    )
    observed = pd.DataFrame({"t": [1.0, 2.0, 3.0], "u": [3.0, 2.0, 1.0], "v": [1.0, 2.0, np.nan]}, index=list("abc"))
    assert recovery.possible_pearson(noiseless, observed, ["a", "b", "c"]) == pytest.approx(1.0)
    observed.loc["d"] = [0.0, 0.0, 0.0]
    assert recovery.possible_pearson(noiseless, observed, ["a", "b", "c"]) == pytest.approx(1.0)
    assert recovery.possible_pearson(noiseless[["u"]], observed[["u"]], ["a", "b", "c"]) == pytest.approx(-1.0)


def test_a_perfect_run_recovers_everything(tmp_path: Path) -> None:
    """The program reaches the best value of every measure with files created from the truth."""
    made = simulate(
        configuration.section("genome.simulate", n_chromosomes=2, n_genes=60, n_variants=40, n_unlabelled=2, n_truncated=1),
        seed=1,
    )
    inputs = tmp_path / "inputs"
    write_inputs(made, inputs)
    truth = pd.read_csv(inputs / "truth.tsv", sep="\t", dtype={"gene_id": str})
    acting = truth[(truth["role"] != "decoy") & (truth["effect_liver"] != 0)]
    paths = {name: tmp_path / name / "liver" for name in ("attributions", "peaks", "motifs")}
    for path in paths.values():
        path.mkdir(parents=True)
    windows = made.genes[["gene_id", "chrom", "start", "end", "strand"]].assign(
        mask_start=0, mask_end=1, fold=0, split="test", measured=0.0
    )
    attrs = {"contrast": "liver", "score": "aggregate", "on_tasks": ["liver_1"], "off_tasks": []}
    n = len(windows)
    with write_attributions(tmp_path / "attributions" / "liver.h5", windows, 5, attrs) as append:
        append(np.zeros((n, 4, 5)), np.zeros((n, 5)), np.zeros(n), np.zeros(n))
    acting[["gene_id", "start", "end"]].assign(q_value=0.05).to_csv(tmp_path / "peaks" / "liver.tsv", sep="\t", index=False)
    motifs = acting[["motif_id", "motif_name"]].drop_duplicates().assign(cluster="", odds_ratio=9.0, q_value=1e-9)
    motifs.to_csv(tmp_path / "motifs" / "liver" / "enrichment.tsv", sep="\t", index=False)
    known = recovery.read_true_effects(inputs / "variants.vcf", list(made.tasks["task"]))
    known.rename(columns={"effect": "effect_mean"}).to_csv(tmp_path / "effects.tsv", sep="\t", index=False)
    pd.DataFrame({"gene_id": made.genes["gene_id"], "split": "test"}).to_csv(tmp_path / "genes.tsv", sep="\t", index=False)
    summary = {"split": "test", "n_genes": 60, "model": {"pearson_median": 0.9}, "baselines": {}}
    (tmp_path / "summary.json").write_text(json.dumps(summary))

    program = importlib.import_module("measure_recovery")
    options = {
        "truth": inputs / "truth.tsv",
        "simulation": inputs,
        "genes": tmp_path / "genes.tsv",
        "evaluation": tmp_path / "summary.json",
        "set": "attribution.contrasts={liver: {on_tasks: [liver]}}",
        "results": tmp_path,
        "variants": tmp_path / "effects.tsv",
        "output": tmp_path / "recovery.json",
    }
    program.main(program.parser().parse_args([str(part) for k, v in options.items() for part in (f"--{k}", v)]))
    found = json.loads((tmp_path / "recovery.json").read_text())
    assert found["peak_precision"] == found["peak_recall"] == 1
    assert found["motifs_recovered"] == found["motifs_planted"] == 4 and found["decoys_called"] == 0
    assert found["variant_effect_spearman"] == pytest.approx(1)
    assert found["n_variants_scored"] > 20 and found["baseline_pearson"] is None
    assert 0.6 < found["pearson_possible"] < 1
