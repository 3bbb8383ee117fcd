"""The report says what was not found, and what was not looked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake.report.page import findings
from cisnake.report.results import ContrastResults, VariantSummary, read_contrast


@pytest.fixture
def contrast(whole: Path) -> ContrastResults:
    return read_contrast(whole, "heat")


def changed(contrast: ContrastResults, **parts: pd.DataFrame | None) -> ContrastResults:
    return dataclasses.replace(contrast, **parts)


def test_motifs(contrast):
    table = contrast.enrichment.head(4).assign(q_value=[0.01, 0.05, 0.05, 0.06], odds_ratio=[2.0, 2.0, 1.0, 9.0])
    assert findings.found_motifs(changed(contrast, enrichment=table)) == "2 of 4 motifs are enriched in the peaks at q ≤ 0.05."
    none = changed(contrast, enrichment=table.assign(q_value=0.06))
    assert findings.found_motifs(none) == "None of 4 motifs is enriched in the peaks at q ≤ 0.05."
    assert findings.found_motifs(changed(none, peaks=contrast.peaks.head(0))).endswith("because there are no peaks.")
    assert findings.found_motifs(changed(contrast, enrichment=table.head(0))).endswith("the motif file is empty.")
    assert findings.found_motifs(changed(contrast, enrichment=None)) == "Motifs were not scanned for."


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["raises", "lowers", "inert"], "Of 3 motifs tested in silico, 2 act by themselves; 1 inert."),
        (["raises"], "Of 1 motif tested in silico, 1 acts by itself."),
        (
            ["sites_only", "inert", "inert", "no_sites"],
            "Of 4 motifs tested in silico, none acts by itself; 1 not by itself, 2 inert, 1 without sites in peaks.",
        ),
        ([], "Motifs were not tested in silico (motifs.probe.top is 0)."),
    ],
)
def test_probes(contrast, verdicts, expected):
    effects = contrast.effects.iloc[np.zeros(len(verdicts), int)].assign(verdict=verdicts)
    assert findings.found_probes(changed(contrast, effects=effects)) == expected


def test_pairs(contrast):
    none = contrast.pairs.assign(q_value=[0.06, np.nan], spacing_q_value=[np.nan, 0.9])
    assert findings.found_pairs(contrast).startswith("1 of 2 pairs of motifs is in the same genes more often than expected")
    assert findings.found_pairs(changed(contrast, pairs=none)).startswith("None of 2 pairs of motifs is in the same genes")
    untested = changed(contrast, pairs=none.assign(q_value=np.nan, spacing_q_value=np.nan))
    assert findings.found_pairs(untested) == "None of 2 pairs of motifs has enough sites to be tested."
    assert findings.found_pairs(changed(contrast, pairs=None)) == "Pairs of motifs were not tested."


def test_without_a_scan_there_is_one_sentence(contrast):
    none = changed(contrast, enrichment=None, effects=None, pairs=None, hits=None)
    assert (findings.found_probes(none), findings.found_pairs(none)) == ("", "")


def test_patterns_that_were_not_looked_for_differ_from_none():
    assert findings.found_patterns(None).startswith("Patterns without a database were not looked for")
    assert findings.found_patterns(0) == "TF-MoDISco found no pattern." and findings.found_patterns(3) == ""


def test_variants():
    top = pd.DataFrame({"variant_id": ["v"]})
    asked = VariantSummary({"ok": 5, "outside": 2}, 6, 0, top)
    assert findings.found_variants(None) == ["No variants were scored (variants.vcf is not set)."]
    assert findings.found_variants(asked) == [
        "None of 7 pairs of allele and gene has an effect with q ≤ 0.1 in at least one task.",
        "Variants were not explained (variants.explained is 0).",
    ]
    uncontrolled = dataclasses.replace(asked, significant=None)
    assert findings.found_variants(uncontrolled)[0].startswith("Whether effects exceed chance was not tested")
    unscored = dataclasses.replace(asked, top=top.head(0))
    assert findings.found_variants(unscored) == [
        "None of 7 pairs of allele and gene was scored; the statuses give the reasons."
    ]
    assert findings.found_variants(VariantSummary({}, 0, None, top.head(0))) == ["The VCF has no variants."]
