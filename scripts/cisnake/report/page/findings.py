"""Sentences on what was found, on what was looked for without being found, and on what was not looked for."""

from __future__ import annotations

import pandas as pd

from cisnake.report.effect_map import ACTING
from cisnake.report.results import ContrastResults, VariantSummary
from cisnake.report.thresholds import ENRICHED_Q
from cisnake.report.words import count

_VERDICTS = {
    "sites_only": "not by itself",
    "inert": "inert",
    "no_sites": "without sites in peaks",
    "no_controls": "without enough controls",
}


def enriched_motifs(enrichment: pd.DataFrame) -> pd.Series:
    """Return which motifs of enrichment.tsv are enriched: q at most `ENRICHED_Q` and odds ratio above 1."""
    return (enrichment["q_value"] <= ENRICHED_Q) & (enrichment["odds_ratio"] > 1)


def found_motifs(contrast: ContrastResults) -> str:
    """Return how many motifs are enriched in the peaks of a contrast."""
    if contrast.enrichment is None:
        return "Motifs were not scanned for."
    if not len(contrast.enrichment):
        return "No motif was tested: the motif file is empty."
    if not len(contrast.peaks):
        return "No motif was tested for enrichment, because there are no peaks."
    n_enriched = int(enriched_motifs(contrast.enrichment).sum())
    return (
        f"{count(n_enriched) if n_enriched else 'None'} of {count(len(contrast.enrichment))} motifs "
        f"{'are' if n_enriched > 1 else 'is'} enriched in the peaks at q ≤ {ENRICHED_Q}."
    )


def found_probes(contrast: ContrastResults) -> str:
    """Return how many of the probed motifs of a contrast act by themselves, and what the others do; empty without motifs."""
    if contrast.enrichment is None or contrast.enrichment.empty:
        return ""
    if contrast.effects is None:
        return "Motifs were not tested in silico."
    if contrast.effects.empty:
        return "Motifs were not tested in silico (motifs.probe.top is 0)."
    verdicts = contrast.effects["verdict"].value_counts()
    n_acting, n = int(verdicts.reindex(list(ACTING)).fillna(0).sum()), len(contrast.effects)
    others = [f"{count(verdicts[name])} {words}" for name, words in _VERDICTS.items() if name in verdicts]
    acting = f"{count(n_acting)} act by themselves" if n_acting > 1 else f"{n_acting or 'none'} acts by itself"
    rest = f"; {', '.join(others)}" if others else ""
    return f"Of {count(n)} motif{'s' if n > 1 else ''} tested in silico, {acting}{rest}."


def found_pairs(contrast: ContrastResults) -> str:
    """Return how many pairs of motif clusters share genes or keep a distance; empty without motifs."""
    if contrast.enrichment is None or contrast.enrichment.empty:
        return ""
    if contrast.pairs is None:
        return "Pairs of motifs were not tested."
    table = contrast.pairs
    q_values = table[["q_value", "spacing_q_value"]]
    n_tested, n_found = int(q_values.notna().any(axis=1).sum()), int((q_values.min(axis=1) <= ENRICHED_Q).sum())
    if not n_tested:
        return f"None of {count(len(table))} pairs of motifs has enough sites to be tested."
    return (
        f"{count(n_found) if n_found else 'None'} of {count(n_tested)} pairs of motifs "
        f"{'are' if n_found > 1 else 'is'} in the same genes more often than expected, or at a preferred distance "
        f"(q ≤ {ENRICHED_Q})."
    )


def found_patterns(n_patterns: int | None) -> str:
    """Return how many patterns were found without a database; None: they were not looked for."""
    if n_patterns is None:
        return "Patterns without a database were not looked for (motifs.patterns.discover is false)."
    return "TF-MoDISco found no pattern." if not n_patterns else ""


def found_variants(variants: VariantSummary | None) -> list[str]:
    """Return sentences on the scored variants, on their significance and on their explanation."""
    if variants is None:
        return ["No variants were scored (variants.vcf is not set)."]
    n_pairs = sum(variants.status.values())
    if not variants.n_variants:
        return ["The VCF has no variants."]
    if not len(variants.top):
        return [f"None of {count(n_pairs)} pairs of allele and gene was scored; the statuses give the reasons."]
    sentences = []
    if variants.significant is None:
        sentences.append("Whether effects exceed chance was not tested (variants.controls is 0).")
    else:
        n = variants.significant
        sentences.append(
            f"{count(n) if n else 'None'} of {count(n_pairs)} pairs of allele and gene {'have' if n > 1 else 'has'} an effect "
            "with q ≤ 0.1 in at least one task."
        )
    if variants.explanations is None:
        sentences.append("Variants were not explained (variants.explained is 0).")
    elif not len(variants.explanations):
        sentences.append("No variant could be explained.")
    return sentences
