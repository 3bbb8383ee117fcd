"""Compare a run with the truth of its simulated genome: expression, motifs, binding sites and variant effects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pysam
from scipy.stats import spearmanr

from cisnake.errors import InputError, unknown_name
from cisnake.files import read_table
from cisnake.interpret import Contrast
from cisnake.interpret.attribution import AttributionFile
from cisnake.report.thresholds import ENRICHED_Q, SURE_Q

OVERLAP = 0.5
"""A peak overlaps a site if they share at least this fraction of the shorter one."""

STRONG = 0.25
"""A planted site is strong if its effect in a contrast is at least this fraction of the strongest effect."""

NO_EFFECT = 1e-6
"""Effects below this, in log expression, are rounding errors of the files."""


@dataclass(frozen=True, eq=False)
class ContrastFindings:
    """Attributed genes, peaks and enriched motifs of one contrast.

    Attributes
    ----------
    contrast: Contrast
    genes: list of str
        Genes with attributions.
    peaks: pandas.DataFrame
        gene_id, start, end, q_value (NaN if missing), as in peaks/<contrast>.tsv.
    enrichment: pandas.DataFrame
        motif_id, cluster, odds_ratio, q_value, as in motifs/<contrast>/enrichment.tsv.
    """

    contrast: Contrast
    genes: list[str]
    peaks: pd.DataFrame
    enrichment: pd.DataFrame


def read_findings(results: Path, contrasts: Sequence[str]) -> list[ContrastFindings]:
    """Read the attributed genes, peaks and enriched motifs of each contrast.

    Parameters
    ----------
    results: Path
        Results folder, with attributions/<contrast>.h5, peaks/<contrast>.tsv and motifs/<contrast>/enrichment.tsv.
    contrasts: sequence of str

    Raises
    ------
    InputError
        A file of a contrast is missing or cannot be read.
    """
    findings = []
    for name in contrasts:
        file = AttributionFile(results / "attributions" / f"{name}.h5")
        called = read_table(results / "peaks" / f"{name}.tsv", start="int", end="int", q_value="float")
        enriched = read_table(results / "motifs" / name / "enrichment.tsv", odds_ratio="float", q_value="float")
        findings.append(ContrastFindings(file.contrast, file.genes, called, enriched))
    return findings


def contrast_effect(truth: pd.DataFrame, contrast: Contrast, group_of_task: dict[str, str]) -> np.ndarray:
    """Return the effect of each site on the score of a contrast, in log expression; shape=(sites,).

    Parameters
    ----------
    truth: pandas.DataFrame
        One row per site, with columns effect_<group>.
    contrast: Contrast
    group_of_task: dict of str to str

    Raises
    ------
    InputError
        A task of the contrast is not part of the simulation.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret import Contrast
    >>> truth = pd.DataFrame({"effect_liver": [0.5, 0.3], "effect_brain": [0.25, 0.3]})
    >>> contrast = Contrast("liver", ("liver_1",), ("brain_1",), "specificity")
    >>> contrast_effect(truth, contrast, {"liver_1": "liver", "brain_1": "brain"}).tolist()
    [0.25, 0.0]
    """

    def mean(tasks: Sequence[str]) -> np.ndarray:
        for task in tasks:
            if task not in group_of_task:
                raise unknown_name(f"task of the contrast {contrast.name}", task, group_of_task)
        return np.mean([truth[f"effect_{group_of_task[task]}"].to_numpy() for task in tasks], axis=0)

    effect = mean(contrast.on_tasks)
    if contrast.score == "specificity" and contrast.off_tasks:
        effect = effect - mean(contrast.off_tasks)
    return np.where(np.abs(effect) < NO_EFFECT, 0.0, effect)


def measure_sites(truth: pd.DataFrame, effect: np.ndarray, findings: ContrastFindings) -> dict[str, Any]:
    """Compare peaks with the true binding sites.

    `peak_precision` is the fraction of peaks that overlap a site of an active motif in the same gene, planted or occurring by
    chance, with a non-zero effect on the contrast. `peak_recall` is the fraction of strong planted sites in attributed genes
    that a peak overlaps. `OVERLAP` defines an overlap; `STRONG` defines a strong site.

    Parameters
    ----------
    truth: pandas.DataFrame
        gene_id, role, origin, start, end.
    effect: numpy.ndarray, shape=(sites,)
        As returned by `contrast_effect`.
    findings: ContrastFindings
        Those of the same contrast.

    Returns
    -------
    dict
        n_peaks, n_peaks_on_site, n_strong_sites, n_strong_sites_found, peak_precision and peak_recall. The last two are NaN
        without peaks or strong sites, respectively.
    """
    sites = truth.assign(effect=effect, site=np.arange(len(truth)))
    sites = sites[(sites["role"] != "decoy") & (sites["effect"] != 0) & sites["gene_id"].isin(set(findings.genes))]
    planted = sites[sites["origin"] == "planted"]
    strong = planted[planted["effect"].abs() >= STRONG * planted["effect"].abs().max()]["site"]
    peaks = findings.peaks[["gene_id", "start", "end"]].assign(peak=np.arange(len(findings.peaks)))
    pairs = peaks.merge(sites[["gene_id", "start", "end", "site"]], on="gene_id", suffixes=("", "_site"))
    shared = np.minimum(pairs["end"], pairs["end_site"]) - np.maximum(pairs["start"], pairs["start_site"])
    shorter = np.minimum(pairs["end"] - pairs["start"], pairs["end_site"] - pairs["start_site"])
    pairs = pairs[(shared >= OVERLAP * shorter) & (shared > 0)]
    on_site, strong_found = pairs["peak"].nunique(), int(strong.isin(set(pairs["site"])).sum())
    return {
        "n_peaks": len(peaks),
        "n_peaks_on_site": on_site,
        "n_strong_sites": len(strong),
        "n_strong_sites_found": strong_found,
        "peak_precision": _share(on_site, len(peaks)),
        "peak_recall": _share(strong_found, len(strong)),
    }


def measure_motifs(truth: pd.DataFrame, effect: np.ndarray, enrichment: pd.DataFrame) -> dict[str, dict[str, str]]:
    """Return which simulated motifs act on a contrast, and which were called enriched.

    A motif is enriched `itself` if its q-value is at most `ENRICHED_Q` and its odds ratio is above 1. It is enriched by
    `cluster` if this holds only for another motif of its cluster.

    Parameters
    ----------
    truth: pandas.DataFrame
        motif_id, motif_name, role.
    effect: numpy.ndarray, shape=(sites,)
        As returned by `contrast_effect`.
    enrichment: pandas.DataFrame
        motif_id, cluster, odds_ratio, q_value.

    Returns
    -------
    dict
        motif_name, role, acts ("yes" or "no") and enriched ("itself", "cluster" or "no") by motif_id.
    """
    called = enrichment[(enrichment["q_value"] <= ENRICHED_Q) & (enrichment["odds_ratio"] > 1)]
    called_ids, clusters = set(called["motif_id"]), set(called["cluster"]) - {""}
    cluster_of = dict(zip(enrichment["motif_id"], enrichment["cluster"], strict=True))
    acting = set(truth["motif_id"][(effect != 0) & (truth["role"] != "decoy")])

    def enriched(motif_id: str) -> str:
        if motif_id in called_ids:
            return "itself"
        return "cluster" if cluster_of.get(motif_id, "") in clusters else "no"

    return {
        motif.motif_id: {
            "motif_name": motif.motif_name,
            "role": motif.role,
            "acts": "yes" if motif.motif_id in acting else "no",
            "enriched": enriched(motif.motif_id),
        }
        for motif in truth[["motif_id", "motif_name", "role"]].drop_duplicates("motif_id").itertuples(index=False)
    }


def read_true_effects(vcf: Path, tasks: list[str]) -> pd.DataFrame:
    """Read the true variant effects from a simulated VCF.

    Returns
    -------
    pandas.DataFrame
        chrom, start (0-based), ref, alt, gene_id, task, effect; variants without an effect are left out.

    Raises
    ------
    InputError
        A record does not have one alternative allele and one effect per task.
    """
    rows = []
    with pysam.VariantFile(str(vcf)) as file:
        for record in file:
            if "EFFECT" not in record.info:
                continue
            effects = record.info["EFFECT"]
            if len(effects) != len(tasks) or len(record.alts or ()) != 1:
                raise InputError(
                    f"{vcf}: {record.chrom}:{record.pos} has {len(effects)} effects for {len(tasks)} tasks and "
                    f"{len(record.alts or ())} alternative alleles: use the VCF and tasks.tsv of the same simulation."
                )
            variant = (record.chrom, record.start, record.ref, record.alts[0], record.info["GENE"])
            rows += [(*variant, task, float(effect)) for task, effect in zip(tasks, effects, strict=True)]
    return pd.DataFrame(rows, columns=["chrom", "start", "ref", "alt", "gene_id", "task", "effect"])


def measure_variants(predicted: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """Return the rank correlation of predicted and true variant effects.

    Parameters
    ----------
    predicted: pandas.DataFrame
        chrom, start, ref, alt, gene_id, task, effect_mean, as in variants/effects.tsv; NaN for pairs that were not scored.
    known: pandas.DataFrame
        As returned by `read_true_effects`.

    Returns
    -------
    dict
        variant_effect_spearman is computed over all scored pairs of a variant and a task with a known effect,
        variant_effect_spearman_acting over the pairs with an effect of at least 0.01 in size. n_variants_scored,
        n_variant_effects and n_variant_effects_acting are the numbers of variants and pairs.
    """
    key = ["chrom", "start", "ref", "alt", "gene_id", "task"]
    pairs = known.merge(predicted[[*key, "effect_mean"]].dropna(subset="effect_mean"), on=key)
    # Most variants can have no effect, and their ranks are noise. The second correlation leaves them out.
    acting = pairs[pairs["effect"].abs() >= 0.01]
    return {
        "variant_effect_spearman": _spearman(pairs),
        "variant_effect_spearman_acting": _spearman(acting),
        "n_variants_scored": len(pairs[key[:4]].drop_duplicates()),
        "n_variant_effects": len(pairs),
        "n_variant_effects_acting": len(acting),
    }


def read_expression(path: Path) -> pd.DataFrame:
    """Read a simulated expression table, indexed by gene_id, with NaN for NA."""
    table = pd.read_csv(path, sep="\t", dtype={"gene_id": str}, keep_default_na=False, na_values=["NA"])
    return table.set_index("gene_id")


def possible_pearson(noiseless: pd.DataFrame, observed: pd.DataFrame, genes: Sequence[str]) -> float:
    """Return the highest Pearson r that noise allows: the median over tasks of r between noiseless and observed expression.

    Parameters
    ----------
    noiseless, observed: pandas.DataFrame
        One row per gene, indexed by gene_id; one column per task; NaN for missing values.
    genes: sequence of str
        Genes over which r is computed.

    Examples
    --------
    >>> import pandas as pd
    >>> noiseless = pd.DataFrame({"task": [1.0, 2.0, 3.0, 4.0]}, index=["g1", "g2", "g3", "g4"])
    >>> observed = pd.DataFrame({"task": [1.5, 1.5, 3.0, 0.0]}, index=["g1", "g2", "g3", "g4"])
    >>> round(possible_pearson(noiseless, observed, ["g1", "g2", "g3"]), 3)
    0.866
    """
    true, measured = (table[table.index.isin(set(genes))].sort_index() for table in (noiseless, observed))
    return float(true.corrwith(measured).median())


def measure_recovery(
    truth: pd.DataFrame,
    group_of_task: dict[str, str],
    contrasts: Sequence[ContrastFindings],
    summary: dict[str, Any],
    possible: float,
    variants: dict[str, Any],
) -> dict[str, Any]:
    """Collect all measures of recovery, pooled over contrasts and per contrast.

    `motifs_planted` counts the motifs that act on at least one contrast. `motifs_recovered` counts those that are enriched in
    at least one contrast on which they act. `decoys_called` counts the decoys that are enriched themselves, not only by
    cluster, in at least one contrast. Precision and recall are pooled by summing counts over contrasts. `peak_precision_at_q`
    and `peak_recall_at_q` include only peaks with a q-value of at most `SURE_Q`, and are NaN without such peaks.

    Parameters
    ----------
    truth: pandas.DataFrame
        The content of truth.tsv.
    group_of_task: dict of str to str
    contrasts: sequence of ContrastFindings
    summary: dict
        The content of evaluation/<split>/summary.json.
    possible: float
        As returned by `possible_pearson`.
    variants: dict
        As returned by `measure_variants`, or empty if no variants were scored.

    Returns
    -------
    dict
        The content of recovery.json.
    """
    by_contrast, confident = {}, []
    for findings in contrasts:
        effect, peaks = contrast_effect(truth, findings.contrast, group_of_task), findings.peaks
        motifs = measure_motifs(truth, effect, findings.enrichment)
        by_contrast[findings.contrast.name] = {**measure_sites(truth, effect, findings), "motifs": motifs}
        confident.append(measure_sites(truth, effect, replace(findings, peaks=peaks[peaks["q_value"] <= SURE_Q])))
    pooled = _pool_motifs(by_contrast)
    return {
        "split": summary["split"],
        "n_genes": summary["n_genes"],
        "pearson_possible": possible,
        "pearson_achieved": summary["model"]["pearson_median"],
        "baseline_pearson": summary["baselines"].get("kmer_ridge", {}).get("pearson_median"),
        **_count_motifs(pooled),
        **_pool_sites(list(by_contrast.values()), confident),
        "strong_site_share": STRONG,
        **({"variant_effect_spearman": None} | variants),
        "motifs": pooled,
        "contrasts": by_contrast,
    }


def _count_motifs(motifs: dict[str, dict[str, str]]) -> dict[str, int]:
    acting = [motif for motif in motifs.values() if motif["acts"] == "yes"]
    decoys = [motif for motif in motifs.values() if motif["role"] == "decoy"]
    return {
        "motifs_planted": len(acting),
        "motifs_recovered": sum(motif["enriched"] != "no" for motif in acting),
        "motifs_recovered_by_cluster": sum(motif["enriched"] == "cluster" for motif in acting),
        "decoys_planted": len(decoys),
        "decoys_called": sum(motif["enriched"] == "itself" for motif in decoys),
    }


def _pool_sites(contrasts: Sequence[dict[str, Any]], confident: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Pool precision and recall over contrasts, for all peaks and for confident peaks."""

    def total(sites: Sequence[dict[str, Any]], key: str) -> int:
        return sum(contrast[key] for contrast in sites)

    counts = {key: total(contrasts, key) for key in ("n_peaks", "n_peaks_on_site", "n_strong_sites", "n_strong_sites_found")}
    n_confident, n_strong = total(confident, "n_peaks"), counts["n_strong_sites"]
    return {
        "peak_precision": _share(counts["n_peaks_on_site"], counts["n_peaks"]),
        "peak_recall": _share(counts["n_strong_sites_found"], n_strong),
        "peak_q": SURE_Q,
        "peak_precision_at_q": _share(total(confident, "n_peaks_on_site"), n_confident),
        "peak_recall_at_q": _share(total(confident, "n_strong_sites_found"), n_strong) if n_confident else float("nan"),
        "n_peaks_at_q": n_confident,
        **counts,
    }


def _pool_motifs(by_contrast: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return the best result of each motif over contrasts; for active motifs, over the contrasts on which they act."""
    rank = {"no": 0, "cluster": 1, "itself": 2}
    pooled: dict[str, dict[str, str]] = {}
    for measures in by_contrast.values():
        for motif_id, motif in measures["motifs"].items():
            best = pooled.setdefault(motif_id, {**motif, "acts": "no", "enriched": "no"})
            if motif["acts"] == "yes":
                best["acts"] = "yes"
            counts = motif["acts"] == "yes" or motif["role"] == "decoy"
            if counts and rank[motif["enriched"]] > rank[best["enriched"]]:
                best["enriched"] = motif["enriched"]
    return pooled


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")


def _spearman(pairs: pd.DataFrame) -> float:
    if len(pairs) < 3 or pairs["effect"].nunique() < 2 or pairs["effect_mean"].nunique() < 2:
        return float("nan")
    return float(spearmanr(pairs["effect"], pairs["effect_mean"]).statistic)
