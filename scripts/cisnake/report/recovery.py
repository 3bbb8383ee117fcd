"""How much of a simulated genome's truth a run found: expression, motifs, sites and the effects of variants."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pysam
from scipy.stats import spearmanr

from cisnake.errors import InputError, unknown_name
from cisnake.files import read_table

Q_VALUE = 0.05
"""A motif is called enriched up to this q-value."""

PEAK_Q = 0.1
"""A single peak is sure up to this q-value."""

OVERLAP = 0.5
"""Share of the shorter of a peak and a site that must lie in both."""

STRONG = 0.25
"""A planted site should be found if its effect in a contrast is at least this share of the strongest one's."""

NO_EFFECT = 1e-6
"""Effects smaller than this, in units of log expression, are the rounding of files."""


@dataclass(frozen=True, eq=False)
class Contrast:
    """What a run found for one contrast.

    Attributes
    ----------
    name, score: str
        score is `specificity` (mean over on_tasks minus mean over off_tasks) or `aggregate` (mean over on_tasks).
    on_tasks, off_tasks: list of str
    genes: list of str
        Genes that have an attribution.
    peaks: pandas.DataFrame
        gene_id, start, end, q_value (NaN where there is none), as in peaks/<contrast>.tsv.
    enrichment: pandas.DataFrame
        motif_id, cluster, odds_ratio, q_value, as in motifs/<contrast>/enrichment.tsv.
    """

    name: str
    score: str
    on_tasks: list[str]
    off_tasks: list[str]
    genes: list[str]
    peaks: pd.DataFrame
    enrichment: pd.DataFrame


def read_contrasts(attributions: Sequence[Path], peaks: Sequence[Path], enrichment: Sequence[Path]) -> list[Contrast]:
    """Read the files of all contrasts and pair them by the contrast's name.

    Parameters
    ----------
    attributions, peaks, enrichment: sequences of Path
        <contrast>.h5, <contrast>.tsv and <contrast>/enrichment.tsv, in any order.

    Raises
    ------
    InputError
        A contrast lacks one of its files.
    """
    by_peaks = {path.stem: path for path in peaks}
    by_enrichment = {path.parent.name: path for path in enrichment}
    contrasts = []
    for path in attributions:
        for what, known in (("peaks", by_peaks), ("enrichment", by_enrichment)):
            if path.stem not in known:
                raise unknown_name(f"contrast among the files of {what}", path.stem, known)
        with h5py.File(path, "r") as file:
            on, off = (json.loads(file.attrs[key]) for key in ("on_tasks", "off_tasks"))
            genes, score = list(file["genes"].asstr()[:]), str(file.attrs["score"])
        table = read_table(by_peaks[path.stem], start="int", end="int", q_value="float")
        enriched = read_table(by_enrichment[path.stem], odds_ratio="float", q_value="float")
        contrasts.append(Contrast(path.stem, score, on, off, genes, table, enriched))
    return contrasts


def contrast_effect(truth: pd.DataFrame, contrast: Contrast, group_of_task: dict[str, str]) -> np.ndarray:
    """Return the effect of each site on a contrast's score, shape=(sites,), in log expression.

    Parameters
    ----------
    truth: pandas.DataFrame
        With effect_<group> columns.
    contrast: Contrast
    group_of_task: dict of str to str

    Raises
    ------
    InputError
        A task of the contrast is not one of the simulation's.
    """

    def mean(tasks: list[str]) -> np.ndarray:
        for task in tasks:
            if task not in group_of_task:
                raise unknown_name(f"task of the contrast {contrast.name}", task, group_of_task)
        return np.mean([truth[f"effect_{group_of_task[task]}"].to_numpy() for task in tasks], axis=0)

    effect = mean(contrast.on_tasks)
    if contrast.score == "specificity" and contrast.off_tasks:
        effect = effect - mean(contrast.off_tasks)
    return np.where(np.abs(effect) < NO_EFFECT, 0.0, effect)


def measure_sites(truth: pd.DataFrame, effect: np.ndarray, contrast: Contrast) -> dict[str, Any]:
    """Compare peaks with sites.

    `peak_precision` is the share of peaks that overlap, by half of the shorter of both, a site of an active motif in the
    same gene, planted or there by chance, whose effect on the contrast is not zero. `peak_recall` is the share of the
    planted sites in attributed genes, with an effect of at least `STRONG` times the strongest one's, that a peak overlaps.

    Parameters
    ----------
    truth: pandas.DataFrame
        gene_id role origin start end.
    effect: numpy.ndarray, shape=(sites,)
        As `contrast_effect` returns it.
    contrast: Contrast

    Returns
    -------
    dict
        n_peaks n_peaks_on_site n_strong_sites n_strong_sites_found peak_precision peak_recall; the last two are NaN where
        there is nothing to count.
    """
    sites = truth.assign(effect=effect, site=np.arange(len(truth)))
    sites = sites[(sites["role"] != "decoy") & (sites["effect"] != 0) & sites["gene_id"].isin(set(contrast.genes))]
    planted = sites[sites["origin"] == "planted"]
    strong = planted[planted["effect"].abs() >= STRONG * planted["effect"].abs().max()]["site"]
    peaks = contrast.peaks[["gene_id", "start", "end"]].assign(peak=np.arange(len(contrast.peaks)))
    pairs = peaks.merge(sites[["gene_id", "start", "end", "site"]], on="gene_id", suffixes=("", "_site"))
    shared = np.minimum(pairs["end"], pairs["end_site"]) - np.maximum(pairs["start"], pairs["start_site"])
    shorter = np.minimum(pairs["end"] - pairs["start"], pairs["end_site"] - pairs["start_site"])
    pairs = pairs[(shared >= OVERLAP * shorter) & (shared > 0)]
    on_site, found = pairs["peak"].nunique(), int(strong.isin(set(pairs["site"])).sum())
    return {
        "n_peaks": len(peaks),
        "n_peaks_on_site": on_site,
        "n_strong_sites": len(strong),
        "n_strong_sites_found": found,
        "peak_precision": _share(on_site, len(peaks)),
        "peak_recall": _share(found, len(strong)),
    }


def measure_motifs(truth: pd.DataFrame, effect: np.ndarray, contrast: Contrast) -> dict[str, dict[str, str]]:
    """Say which motifs act on a contrast, and which of all planted ones were called enriched.

    A motif is enriched if its own q-value is at most `Q_VALUE` and its odds ratio above 1 (`itself`), or if that holds for
    another motif of its cluster (`cluster`).

    Returns
    -------
    dict
        By motif_id: motif_name, role, acts (yes or no), enriched (itself, cluster or no).
    """
    table = contrast.enrichment
    called = table[(table["q_value"] <= Q_VALUE) & (table["odds_ratio"] > 1)]
    own, clusters = set(called["motif_id"]), set(called["cluster"]) - {""}
    cluster_of = dict(zip(table["motif_id"], table["cluster"], strict=True))
    acting = set(truth["motif_id"][(effect != 0) & (truth["role"] != "decoy")])
    return {
        motif.motif_id: {
            "motif_name": motif.motif_name,
            "role": motif.role,
            "acts": "yes" if motif.motif_id in acting else "no",
            "enriched": "itself"
            if motif.motif_id in own
            else ("cluster" if cluster_of.get(motif.motif_id, "") in clusters else "no"),
        }
        for motif in truth[["motif_id", "motif_name", "role"]].drop_duplicates("motif_id").itertuples(index=False)
    }


def read_true_effects(vcf: Path, tasks: list[str]) -> pd.DataFrame:
    """Read the true effects of a simulated VCF.

    Returns
    -------
    pandas.DataFrame
        chrom start (0-based) ref alt gene_id task effect; variants without an effect are left out.

    Raises
    ------
    InputError
        A record has not one effect per task.
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
                    f"{len(record.alts or ())} alternatives; the VCF and tasks.tsv must be of one simulation."
                )
            place = (record.chrom, record.start, record.ref, record.alts[0], record.info["GENE"])
            rows += [(*place, task, float(effect)) for task, effect in zip(tasks, effects, strict=True)]
    return pd.DataFrame(rows, columns=["chrom", "start", "ref", "alt", "gene_id", "task", "effect"])


def measure_variants(predicted: pd.DataFrame, known: pd.DataFrame) -> dict[str, Any]:
    """Return the rank correlation of predicted with true effects.

    Parameters
    ----------
    predicted: pandas.DataFrame
        chrom start ref alt gene_id task effect_mean, as in variants/effects.tsv; NaN where not scored.
    known: pandas.DataFrame
        As `read_true_effects` returns it.

    Returns
    -------
    dict
        variant_effect_spearman over all scored pairs of variant and task with a known effect, and
        variant_effect_spearman_acting over those whose effect is not zero; n_variants_scored, n_variant_effects and
        n_variant_effects_acting are the counts behind them.
    """
    key = ["chrom", "start", "ref", "alt", "gene_id", "task"]
    pairs = known.merge(predicted[[*key, "effect_mean"]].dropna(subset="effect_mean"), on=key)
    # Where most variants do nothing at all, ranks among them are chance: the second number is about those that do.
    acting = pairs[pairs["effect"].abs() >= 0.01]
    return {
        "variant_effect_spearman": _spearman(pairs),
        "variant_effect_spearman_acting": _spearman(acting),
        "n_variants_scored": len(pairs[key[:4]].drop_duplicates()),
        "n_variant_effects": len(pairs),
        "n_variant_effects_acting": len(acting),
    }


def read_expression(path: Path) -> pd.DataFrame:
    """Read a simulated table of expression, indexed by gene_id; NA is NaN."""
    table = pd.read_csv(path, sep="\t", dtype={"gene_id": str}, keep_default_na=False, na_values=["NA"])
    return table.set_index("gene_id")


def possible_pearson(noiseless: pd.DataFrame, observed: pd.DataFrame, genes: Sequence[str]) -> float:
    """Return the median over tasks of Pearson r between noiseless and observed expression, over the genes given.

    Parameters
    ----------
    noiseless, observed: pandas.DataFrame
        A row per gene, indexed by gene_id; a column per task; NaN where not measured.
    genes: sequence of str
    """
    truth, seen = (table[table.index.isin(set(genes))].sort_index() for table in (noiseless, observed))
    return float(truth.corrwith(seen).median())


def measure(
    truth: pd.DataFrame,
    group_of_task: dict[str, str],
    contrasts: Sequence[Contrast],
    summary: dict[str, Any],
    possible: float,
    variants: dict[str, Any],
) -> dict[str, Any]:
    """Put all measures together, pooled over contrasts and by contrast.

    `motifs_planted` counts the active motifs that act on at least one contrast, `motifs_recovered` those of them that are
    enriched in at least one contrast on which they act, and `decoys_called` the decoys that are enriched by themselves in any.
    Precision and recall are pooled by summing counts over contrasts; `peak_precision_at_q` and `peak_recall_at_q` are those of
    the peaks with a q-value of at most `PEAK_Q`, NaN where no peak has.

    Parameters
    ----------
    truth: pandas.DataFrame
        truth.tsv.
    group_of_task: dict of str to str
    contrasts: sequence of Contrast
    summary: dict
        evaluation/<split>/summary.json.
    possible: float
        As `possible_pearson` returns it.
    variants: dict
        As `measure_variants` returns it, or empty.
    """
    by_contrast: dict[str, Any] = {}
    n_sure = n_sure_on_site = n_sure_found = 0
    for contrast in contrasts:
        effect = contrast_effect(truth, contrast, group_of_task)
        sure = measure_sites(truth, effect, replace(contrast, peaks=contrast.peaks[contrast.peaks["q_value"] <= PEAK_Q]))
        n_sure, n_sure_on_site = n_sure + sure["n_peaks"], n_sure_on_site + sure["n_peaks_on_site"]
        n_sure_found += sure["n_strong_sites_found"]
        by_contrast[contrast.name] = {
            **measure_sites(truth, effect, contrast),
            "motifs": measure_motifs(truth, effect, contrast),
        }
    counts = {
        key: sum(found[key] for found in by_contrast.values())
        for key in ("n_peaks", "n_peaks_on_site", "n_strong_sites", "n_strong_sites_found")
    }
    motifs = _pool_motifs(by_contrast)
    acting = [m for m in motifs.values() if m["acts"] == "yes"]
    decoys = [m for m in motifs.values() if m["role"] == "decoy"]
    return {
        "split": summary["split"],
        "n_genes": summary["n_genes"],
        "pearson_possible": possible,
        "pearson_achieved": summary["model"]["pearson_median"],
        "baseline_pearson": summary["baselines"].get("kmer_ridge", {}).get("pearson_median"),
        "motifs_planted": len(acting),
        "motifs_recovered": sum(m["enriched"] != "no" for m in acting),
        "motifs_recovered_by_cluster": sum(m["enriched"] == "cluster" for m in acting),
        "decoys_planted": len(decoys),
        "decoys_called": sum(m["enriched"] == "itself" for m in decoys),
        "peak_precision": _share(counts["n_peaks_on_site"], counts["n_peaks"]),
        "peak_recall": _share(counts["n_strong_sites_found"], counts["n_strong_sites"]),
        "peak_q": PEAK_Q,
        "peak_precision_at_q": _share(n_sure_on_site, n_sure),
        "peak_recall_at_q": _share(n_sure_found, counts["n_strong_sites"]) if n_sure else float("nan"),
        "n_peaks_at_q": n_sure,
        **counts,
        "strong_site_share": STRONG,
        **({"variant_effect_spearman": None} | variants),
        "motifs": motifs,
        "contrasts": by_contrast,
    }


def _pool_motifs(by_contrast: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Keep of each motif the best that any contrast says: for active ones, of those contrasts on which they act."""
    rank = {"no": 0, "cluster": 1, "itself": 2}
    pooled: dict[str, dict[str, str]] = {}
    for found in by_contrast.values():
        for motif_id, motif in found["motifs"].items():
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
