"""Attribution of many genes: a shard of them in each job, every contrast in one pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from cisnake.data.dataset import measured_values, open_dataset, read_tasks, read_windows
from cisnake.data.matrix import read_tasks_table
from cisnake.data.windows import choose_genes
from cisnake.errors import InputError
from cisnake.files import file_sha256
from cisnake.interpret.attribution.ensemble import attribute_ensemble
from cisnake.interpret.attribution.file import QUALITY_NUMBERS, AttributionWriter, write_attributions
from cisnake.interpret.attribution.job import NO_EXTRAS, AttributionJob, Extras, baseline_scores, batches, deal_genes
from cisnake.interpret.attribution.methods import ATTRIBUTION_METHODS, attribute, method_options, project
from cisnake.interpret.attribution.quality import mutagenesis_agreement, random_agreement, random_network, strand_agreement
from cisnake.interpret.attribution.sample import deal_evenly, sampled_positions, shuffled_windows
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.contrasts import Contrast, resolve_contrast
from cisnake.model import ONE_VIEW, Views, load_model, models_by_fold
from cisnake.program import Progress, log

# These ask each window once: a batch need not be larger than there are genes.
_SINGLE_PASS = ("gradient", "input_x_gradient", "saliency")
# Contributions of a batch, all scores together, take at most about so much memory.
_BATCH_BYTES = 1 << 28
# Genes whose windows set the batch normalisation of networks with random weights.
_MOMENT_GENES = 32


def attribute_shard(
    dataset: Path,
    models: list[Path],
    tasks_table: Path,
    contrasts: dict[str, dict[str, Any]],
    which: str,
    shard: tuple[int, int],
    batch_size: int,
    outputs: list[Path],
    method: str = "input_x_gradient",
    options: Mapping[str, Any] | None = None,
    views: Views = ONE_VIEW,
    extras: Extras = NO_EXTRAS,
) -> None:
    """Write the attributions of one shard of genes, a file for each contrast.

    Parameters
    ----------
    dataset: Path
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`; a gene is asked of all replicates of its fold.
    tasks_table: Path
        Groups that contrasts may name.
    contrasts: dict
        Sections by name, as in the configuration.
    which: str
        "all", "held_out" (genes of the test split), or a file with a gene id a line.
    shard: pair of int
        Number of the shard, from 0, and how many there are: runs of genes of about equal length, which may be empty.
    batch_size: int
    outputs: list of Path
        In the order of `contrasts`.
    method: str
        One of `attribution.ATTRIBUTION_METHODS`. Default "input_x_gradient".
    options: mapping, optional
        Of the method; those that it does not take are left aside. Default None, its defaults.
    views: Views
        Shifts and strands that each model is asked with; which tasks are of two strands is read from the data set. Default:
        windows as they are.
    extras: Extras
        Shuffled windows and genes to check are spread evenly over those of all shards, and dealt with them.
    """
    options = method_options(method, options or {})
    asked: dict[str, Any] = {"method": method, "method_options": options}
    asked |= {"reverse_complement": views.reverse_complement, "shifts": list(views.shifts)}
    asked |= {name: getattr(extras, name) for name in ("null_windows", "quality_genes", "seed")}
    folds = models_by_fold(models)
    with open_dataset(dataset) as file, ExitStack() as stack:
        windows, tasks = read_windows(file), read_tasks(file)
        if "strand_pair" in file.attrs:
            views = dataclasses.replace(views, strand_pair=file.attrs["strand_pair"].tolist())
        table = read_tasks_table(tasks_table, tasks)
        resolved = [resolve_contrast(name, section, table) for name, section in contrasts.items()]
        chosen = deal_genes(windows, choose_genes(windows, which), extras)
        genes = chosen.iloc[np.array_split(np.arange(len(chosen)), shard[1])[shard[0]]]
        # Genes of one fold together: only its models are in memory.
        genes = genes.sort_values("fold", kind="stable", ignore_index=True)
        for fold in genes["fold"].unique():
            if fold not in folds:
                raise InputError(f"genes of fold {fold} are to be attributed, but none of the models is of fold_{fold}.")
        trained = int((genes["split"] == "train").sum())
        log.info("the models that are asked were trained on %d of %d genes", trained, len(genes))
        job = AttributionJob(
            file,
            [contrast.weights(tasks) for contrast in resolved],
            functools.partial(ATTRIBUTION_METHODS[method], **options),
            baseline_scores(method, options),
            views,
            extras,
        )
        labels = measured_values(file, genes["row"].to_numpy())
        writers = [
            stack.enter_context(
                write_attributions(
                    output,
                    genes.assign(measured=contrast.measured(labels, tasks)),
                    job.length,
                    _attrs(contrast, models, len(next(iter(folds.values())))) | asked,
                    dtype=extras.dtype,
                    hypothetical=extras.hypothetical,
                    spread=max(len(paths) for paths in folds.values()) > 1,
                    null_genes=genes["gene_id"].repeat(genes["shuffles"]).to_list(),
                )
            )
            for contrast, output in zip(resolved, outputs, strict=True)
        ]
        quality = {name: np.full((len(writers), len(genes)), np.nan, np.float32) for name in QUALITY_NUMBERS}
        progress = Progress(f"windows attributed in shard {shard[0]}", len(genes) + int(genes["shuffles"].sum()))
        step = max(1, min(batch_size, _BATCH_BYTES // (16 * job.length * len(writers))))
        for fold, of_fold in genes.groupby("fold"):
            size = min(step, len(of_fold)) if method in _SINGLE_PASS else step
            _attribute_fold(job, folds[int(fold)], chosen, of_fold, step, size, writers, quality, progress)
        for i, append in enumerate(writers):
            append.quality(pd.DataFrame({name: values[i] for name, values in quality.items()}))


def _attribute_fold(
    job: AttributionJob,
    models: Sequence[Path],
    chosen: pd.DataFrame,
    genes: pd.DataFrame,
    step: int,
    size: int,
    writers: Sequence[AttributionWriter],
    quality: Mapping[str, np.ndarray],
    progress: Progress,
) -> None:
    """Append genes of one fold, of all that were chosen for the run, and their shuffles to each file, and set their quality.

    `step` windows are read at a time, and shown to the models in passes of `size`.
    """
    loaded = [load_model(path) for path in models]
    networks = [ScoredModel(model, size) for model in loaded]
    projected = _attribute_genes(job, networks, genes, step, writers, quality, progress)
    _attribute_shuffles(job, networks, genes, step, writers, progress)
    checked = genes[genes["checked"]]
    if len(checked):
        seed = job.extras.seed + int(genes["fold"].iloc[0])
        without = random_network(loaded[0], seed, _moment_windows(job, chosen, step, loaded[0]))
        _check(job, networks, ScoredModel(without, size), checked, step, projected, quality)


def _attribute_genes(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    genes: pd.DataFrame,
    step: int,
    writers: Sequence[AttributionWriter],
    quality: Mapping[str, np.ndarray],
    progress: Progress,
) -> np.ndarray:
    """Append genes of one fold to each file; return the projected attributions of those to check, (scores, n, length)."""
    to_check = [np.zeros((len(writers), 0, job.length), np.float32)]
    for batch in batches(genes, step):
        codes = job.codes(batch)
        inputs = job.inputs(batch, codes, networks[0].model)
        answer = attribute_ensemble(networks, inputs, job.questions(batch), job.method, job.views, job.baseline)
        predicted, count = answer.scores.mean(axis=0), len(networks)
        deviation = answer.scores.std(axis=0, ddof=1) if count > 1 else np.full(predicted.shape, np.nan)
        for i, append in enumerate(writers):
            append(
                answer.attributions[i],
                codes,
                predicted[i],
                deviation[i],
                hypothetical=answer.contributions[i].swapaxes(-1, -2) if job.extras.hypothetical else None,
                spread=answer.spread[i] if append.has_spread else None,
            )
        quality["completeness"][:, batch.index] = answer.completeness
        quality["replicates"][:, batch.index] = answer.replicates
        to_check.append(answer.attributions[:, batch["checked"].to_numpy()].sum(axis=2))
        progress.advance(len(batch))
    return np.concatenate(to_check, axis=1)


def _attribute_shuffles(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    genes: pd.DataFrame,
    step: int,
    writers: Sequence[AttributionWriter],
    progress: Progress,
) -> None:
    """Append shuffled windows of genes of one fold to each file: everything but the order of the bases is the gene's."""
    repeated = genes.loc[genes.index.repeat(genes["shuffles"])]
    repeated = repeated.assign(copy=repeated.groupby("row").cumcount())
    for batch in batches(repeated, step):
        codes = shuffled_windows(job.codes(batch), batch["gene_id"].to_list(), batch["copy"].to_list(), job.extras.seed)
        inputs = job.inputs(batch, codes, networks[0].model)
        contributions, _ = attribute(networks, inputs, job.questions(batch), job.method, job.views)
        for i, append in enumerate(writers):
            append.null(project(inputs, contributions[i]).sum(axis=1))
        progress.advance(len(batch))


def _moment_windows(job: AttributionJob, chosen: pd.DataFrame, step: int, model: keras.Model) -> np.ndarray:
    """Return windows that are spread over all genes of the run, so that shards make no difference."""
    genes = chosen[deal_evenly(min(_MOMENT_GENES, step, len(chosen)), len(chosen)) > 0]
    return job.inputs(genes, job.codes(genes), model)


def _check(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    without: ScoredModel,
    genes: pd.DataFrame,
    step: int,
    projected: np.ndarray,
    quality: Mapping[str, np.ndarray],
) -> None:
    """Set the checks of some genes of one fold, whose projected attributions (scores, n, length) are given in their order."""
    progress = Progress("genes whose attributions are checked", len(genes))
    for first, batch in zip(range(0, len(genes), step), batches(genes, step)):
        codes, questions, own = job.codes(batch), job.questions(batch), projected[:, first : first + step]
        inputs = job.inputs(batch, codes, networks[0].model)
        positions = sampled_positions(codes, batch["gene_id"].to_list(), job.extras.seed)
        found = {
            "ism": mutagenesis_agreement(networks, inputs, questions, own, positions, job.views),
            "strands": strand_agreement(networks, inputs, questions, own, job.method, job.views),
            "random_weights": random_agreement(without, inputs, questions, own, job.method, job.views),
        }
        for name, values in found.items():
            quality[name][:, batch.index] = values
        progress.advance(len(batch))


def _attrs(contrast: Contrast, models: list[Path], replicates: int) -> dict[str, Any]:
    return {
        "contrast": contrast.name,
        "score": contrast.score,
        "on_tasks": list(contrast.on_tasks),
        "off_tasks": list(contrast.off_tasks),
        "models": [file_sha256(path) for path in sorted(models)],
        "replicates": replicates,
    }
