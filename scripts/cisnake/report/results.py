"""Read the results folder of a run for the report."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from anndata.io import read_elem

from cisnake.errors import InputError
from cisnake.files import CHUNK_ROWS, open_hdf5, read_chunks, read_table
from cisnake.interpret.attribution import AttributionFile
from cisnake.report.thresholds import SURE_Q
from cisnake.variants import Explanations, read_explanations

# Display order of splits. The headline reports the first one that was evaluated.
SPLIT_ORDER = ("test", "val", "train")
MOTIF_CHANGE_TEXT = (
    "variant_id", "chrom", "ref", "alt", "gene_id", "task", "motif_id", "motif_name", "change", "allele", "strand",
    "matched_seq", "verdict",
)  # fmt: skip
FACTOR_TEXT = ("motif_id", "motif_name", "factor", "gene_id", "gene_name", "contrast", "verdict")
EFFECT_TEXT = ("motif_id", "motif_name", "verdict", "moves", "representative")
ENRICHMENT_TEXT = ("motif_id", "motif_name", "cluster", "cluster_name", "representative", "cluster_orientation")
PAIR_TEXT = ("first_cluster", "first_name", "second_cluster", "second_name", "orientation")


@dataclass
class Training:
    """Training history (None if it was trained elsewhere) and parameters of one model; `name` is <fold>/<replicate>."""

    name: str
    fold: str
    replicate: str
    history: pd.DataFrame | None
    parameters: dict[str, Any]


@dataclass
class Evaluation:
    """Scores on one split; `predictions` is the path of predictions.h5ad, or None if the file does not exist."""

    split: str
    summary: dict[str, Any]
    tasks: pd.DataFrame
    contrasts: pd.DataFrame
    predictions: Path | None

    @property
    def measured(self) -> bool:
        """Whether there are measurements with which predictions were compared."""
        return bool(self.summary.get("measured", True))


@dataclass
class Coverage:
    """Scores over the bins of the tiles in one split, and measured and predicted coverage of example tiles."""

    split: str
    summary: dict[str, Any]
    tasks: pd.DataFrame
    examples: pd.DataFrame


@dataclass
class ContrastResults:
    """Results of one contrast; the attributes after `peaks` are None if their step did not run."""

    name: str
    attributions: AttributionFile
    peaks: pd.DataFrame
    hits: Path | None
    enrichment: pd.DataFrame | None
    effects: pd.DataFrame | None
    pairs: pd.DataFrame | None
    patterns: Path | None


@dataclass
class VariantSummary:
    """Counts of variant-gene pairs by status, and the pairs with the largest |effect|, each in its strongest task.

    `significant` is the number of pairs with q ≤ 0.1 in at least one task; None without controls. `explanations` and
    `motif_changes` are None if no variants were explained.
    """

    status: dict[str, int]
    n_variants: int
    significant: int | None
    top: pd.DataFrame
    explanations: Explanations | None = None
    motif_changes: pd.DataFrame | None = None


@dataclass
class Results:
    """All results of a run; `coverage` and `contrasts` can be empty, `variants`, `recovery` and `factors` can be None."""

    genes: pd.DataFrame
    dropped: pd.DataFrame
    summary: dict[str, Any]
    trainings: list[Training]
    evaluations: list[Evaluation]
    coverage: list[Coverage]
    contrasts: list[ContrastResults]
    variants: VariantSummary | None
    recovery: dict[str, Any] | None
    factors: pd.DataFrame | None = None


def read_results(folder: str | Path, config: Mapping[str, Any] | None = None, n_variants: int = 20) -> Results:
    """Read everything that the report shows, except for data that are read gene by gene.

    Parameters
    ----------
    folder: str or Path
        `results/<run>`.
    config: dict, optional
        Configuration of the run. Results that are not part of it (other splits, contrasts or replicates, or effects of
        variants that are no longer configured) are left over from an earlier configuration and are ignored. Default: read
        everything.
    n_variants: int
        Number of variants with the largest effects to keep. Default 20.

    Raises
    ------
    InputError
        A required file is missing, or only some of the files of a step exist.
    """
    folder = Path(folder)
    variants, recovery = folder / "variants" / "effects.tsv", folder / "recovery.json"
    factors = folder / "motifs" / "factors.tsv"
    simulated = config is None or "simulate" in config["genome"]
    with_variants = simulated or config is None or "vcf" in config["variants"]
    return Results(
        genes=read_run_genes(folder),
        dropped=read_table(_required(folder / "genes_dropped.tsv", "select_genes")),
        summary=_read_json(_required(folder / "genes_summary.json", "select_genes")),
        trainings=_trainings(folder, config),
        evaluations=read_evaluations(folder, config["evaluate"]["splits"] if config else SPLIT_ORDER),
        coverage=_coverage(folder, config),
        contrasts=[read_contrast(folder, path.stem, config) for path in _attributions(folder, config)],
        variants=_variants(variants, config, n_variants) if variants.is_file() and with_variants else None,
        recovery=_read_json(recovery) if recovery.is_file() and simulated else None,
        factors=_numbers(read_table(factors), FACTOR_TEXT) if factors.is_file() else None,
    )


def _variants(effects: Path, config: Mapping[str, Any] | None, n_top: int) -> VariantSummary:
    summary = summarise_variants(effects, n_top)
    explanations = effects.with_name("explanations.h5")
    if explanations.is_file() and (config is None or config["variants"].get("explained")):
        summary.explanations = read_explanations(explanations)
        changes = read_table(_required(effects.with_name("motif_changes.tsv"), "explain_variants"))
        summary.motif_changes = _numbers(changes, MOTIF_CHANGE_TEXT)
    return summary


def _attributions(folder: Path, config: Mapping[str, Any] | None) -> list[Path]:
    if config is None:
        return sorted((folder / "attributions").glob("*.h5"))
    return [_required(folder / "attributions" / f"{name}.h5", "attribute_genes") for name in config["attribution"]["contrasts"]]


def _required(path: Path, rule: str) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is missing; the report requires it: run the rule {rule} first.")
    return path


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise InputError(f"{path} is not valid JSON ({error}): delete it and rerun the workflow.") from error


def _numbers(table: pd.DataFrame, text: Collection[str]) -> pd.DataFrame:
    """Convert all columns except `text` to float64, with NaN for empty cells."""
    for column in table.columns.difference(list(text)):
        table[column] = pd.to_numeric(table[column], errors="coerce").astype(float)
    return table


def read_run_genes(folder: Path) -> pd.DataFrame:
    """Read the genes of a run, genes.tsv in its folder."""
    path = _required(folder / "genes.tsv", "select_genes")
    return read_table(path, start="int64", end="int64", tss="int64", window_start="int64", window_end="int64", fold="int64")


def _trainings(folder: Path, config: Mapping[str, Any] | None) -> list[Training]:
    paths = [model / "params.yaml" for model in sorted((folder / "models").glob("*/*/"))]
    if config is not None:
        folds, replicates = range(config["splits"].get("folds") or 1), range(config["train"]["replicates"])
        paths = [folder / f"models/fold_{i}/replicate_{j}/params.yaml" for i in folds for j in replicates]
    if not paths:
        raise InputError(f"the report requires {folder}/models/<fold>/<replicate>/params.yaml: run the rule train_model first.")
    trainings = []
    for path in paths:
        parameters = yaml.safe_load(_required(path, "train_model").read_text(encoding="utf-8")) or {}
        history = None
        if "trained_elsewhere" not in parameters:
            table = read_table(_required(path.with_name("history.tsv"), "train_model"), best="bool")
            history = _of_own_head(_numbers(table, ("best", "head")))
        fold, replicate = path.parts[-3:-1]
        trainings.append(Training(f"{fold}/{replicate}", fold, replicate, history, parameters))
    return trainings


def _of_own_head(history: pd.DataFrame) -> pd.DataFrame:
    """Return the epochs of the run's own head, which is the first in every epoch, with the time that all heads took."""
    own = history[history["head"] == history["head"].iloc[0]].reset_index(drop=True)
    return own.assign(seconds=history.groupby("epoch")["seconds"].max().to_numpy())


def read_evaluations(folder: Path, splits: Collection[str]) -> list[Evaluation]:
    """Read the scores of those splits that were evaluated, in the order of `SPLIT_ORDER`.

    Raises
    ------
    InputError
        No split was evaluated, or only some of the files of a split exist.
    """
    evaluations = []
    for split in SPLIT_ORDER:
        if split not in splits:
            continue
        path = folder / "evaluation" / split
        if not (path / "summary.json").is_file():
            continue
        tasks = _numbers(read_table(_required(path / "tasks.tsv", "evaluate_model")), ("task", "group", "description"))
        contrasts = _numbers(read_table(_required(path / "contrasts.tsv", "evaluate_model")), ("contrast", "verdict"))
        predictions = path / "predictions.h5ad"
        found = predictions if predictions.is_file() else None
        evaluations.append(Evaluation(split, _read_json(path / "summary.json"), tasks, contrasts, found))
    if not evaluations:
        raise InputError(f"the report requires {folder}/evaluation/<split>/summary.json: run the rule evaluate_model first.")
    return evaluations


def _coverage(folder: Path, config: Mapping[str, Any] | None) -> list[Coverage]:
    if config is not None and config.get("targets", {}).get("kind") != "coverage":
        return []
    coverage = []
    for split in SPLIT_ORDER if config is None else [split for split in SPLIT_ORDER if split in config["evaluate"]["splits"]]:
        path = folder / "evaluation" / split
        if (path / "bins.json").is_file():
            tasks = _numbers(read_table(_required(path / "bins.tsv", "evaluate_coverage")), ("task", "group", "description"))
            examples = read_table(_required(path / "examples.tsv", "evaluate_coverage"))
            coverage.append(
                Coverage(split, _read_json(path / "bins.json"), tasks, _numbers(examples, ("tile", "chrom", "task")))
            )
    return coverage


def read_contrast(folder: Path, name: str, config: Mapping[str, Any] | None = None) -> ContrastResults:
    """Read the results of a contrast; `config` as in `read_results`.

    Raises
    ------
    InputError
        A required file is missing.
    """
    discovered = config is None or config.get("motifs", {}).get("patterns", {}).get("discover", False)
    with_patterns = discovered and (folder / "patterns" / name / "patterns.tsv").is_file()
    motifs = folder / "motifs" / name
    peaks = read_table(_required(folder / "peaks" / f"{name}.tsv", "call_peaks"), window_start="int64", window_end="int64")
    hits, enrichment, effects, pairs = (motifs / f"{name}.tsv" for name in ("hits", "enrichment", "effects", "pairs"))
    scanned = hits.is_file() or enrichment.is_file()
    return ContrastResults(
        name,
        AttributionFile(_required(folder / "attributions" / f"{name}.h5", "attribute_genes")),
        _numbers(peaks, ("peak_id", "gene_id", "chrom", "strand", "window_start", "window_end")),
        _required(hits, "enrich_motifs") if scanned else None,
        _read_enrichment(enrichment) if scanned else None,
        _numbers(read_table(effects), EFFECT_TEXT) if effects.is_file() else None,
        _numbers(read_table(pairs), PAIR_TEXT) if pairs.is_file() else None,
        folder / "patterns" / name if with_patterns else None,
    )


def _read_enrichment(path: Path) -> pd.DataFrame:
    table = read_table(_required(path, "cluster_motifs"))
    if missing := [name for name in ENRICHMENT_TEXT if name not in table]:
        raise InputError(f"{path} has no column {missing[0]}: it is of an earlier version; rerun the workflow.")
    return _numbers(table, ENRICHMENT_TEXT)


def read_hits_of_genes(path: Path, genes: Collection[str]) -> pd.DataFrame:
    """Read the hits in peaks of some genes from hits.tsv, in chunks because the file can be large.

    Returns
    -------
    pandas.DataFrame
        motif_id, motif_name, gene_id, peak_id, orientation (text); window_start, window_end, p_value (float64).
    """
    text = ["motif_id", "motif_name", "gene_id", "peak_id", "orientation"]
    columns = [*text, "window_start", "window_end", "p_value"]
    chunks = read_chunks(path, dict.fromkeys(columns, str))
    kept = [chunk[chunk["gene_id"].isin(list(genes)) & (chunk["peak_id"] != "")] for chunk in chunks]
    return _numbers(pd.concat(kept, ignore_index=True)[columns], text)


def summarise_variants(path: Path, n_top: int) -> VariantSummary:
    """Count variant-gene pairs by status, and keep the `n_top` pairs with the largest |effect_mean|, in one pass.

    For each pair, only the task with the largest |effect_mean| is kept, so that one variant with effects in many similar
    tasks does not fill the table.
    """
    pairs: list[pd.DataFrame] = []
    significant: set[tuple[str, str]] | None = None
    top: list[pd.DataFrame] = []
    text = ("variant_id", "chrom", "ref", "alt", "gene_id", "status", "task")
    for chunk in pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, chunksize=CHUNK_ROWS):
        pairs.append(chunk[["variant_id", "gene_id", "status"]].drop_duplicates())
        chunk = _numbers(chunk, text)
        if "q_value" in chunk:
            called = chunk.loc[chunk["q_value"] <= SURE_Q, ["variant_id", "gene_id"]]
            significant = (significant or set()) | set(called.itertuples(index=False, name=None))
        chunk["size"] = chunk["effect_mean"].abs()
        top = [_largest(pd.concat([*top, chunk[chunk["size"].notna()]]), n_top)]
    all_pairs = pd.concat(pairs).drop_duplicates()
    return VariantSummary(
        dict(sorted(Counter(all_pairs["status"]).items(), key=lambda item: (-item[1], item[0]))),
        all_pairs["variant_id"].nunique(),
        None if significant is None else len(significant),
        top[0].drop(columns="size") if top else pd.DataFrame(),
    )


def _largest(table: pd.DataFrame, n: int) -> pd.DataFrame:
    table = table.sort_values(["size", "variant_id", "gene_id", "task"], ascending=[False, True, True, True])
    return table.drop_duplicates(["variant_id", "gene_id"]).head(n)


def read_predictions(path: Path, task: str) -> tuple[np.ndarray, np.ndarray]:
    """Return measured and predicted values of one task from predictions.h5ad.

    Only the row of the task is read, because with thousands of tasks the whole matrices may not fit into memory.

    Parameters
    ----------
    path: Path
        AnnData file with tasks as obs and genes as var: `X` is measured, and the layer `predicted` is the ensemble mean.
    task: str

    Returns
    -------
    measured, predicted: numpy.ndarray, shape=(n_genes,), dtype=float64
        NaN for missing values.

    Raises
    ------
    InputError
        The task or the layer is missing from the file.
    """
    remedy = "rerun the rule evaluate_model"
    with open_hdf5(path, f"predictions of task {task}", remedy, faults=(OSError, KeyError, ValueError)) as file:
        row = list(read_elem(file["obs"]).index).index(task)
        return file["X"][row].astype(float), file["layers/predicted"][row].astype(float)
