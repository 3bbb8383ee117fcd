"""Attribute the genes of one shard for all contrasts in one pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
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
from cisnake.interpret.attribution.ensemble import EnsembleAttribution, attribute_ensemble
from cisnake.interpret.attribution.file import QUALITY_NUMBERS, AttributionWriter, shard_file, write_attributions
from cisnake.interpret.attribution.job import (
    AttributionJob,
    AttributionSettings,
    deal_evenly,
    deal_genes,
    sampled_positions,
    shuffled_windows,
    with_strand_pair,
)
from cisnake.interpret.attribution.methods import attribute, project
from cisnake.interpret.attribution.quality import mutagenesis_agreement, random_agreement, random_network, strand_agreement
from cisnake.interpret.attribution.scored_model import ScoredModel
from cisnake.interpret.attribution.shared_words import scored_models
from cisnake.interpret.contrasts import Contrast, resolve_contrasts
from cisnake.model import load_model, models_by_fold
from cisnake.program import Progress, log
from cisnake.sections import ContrastSection

# Number of genes whose windows set the batch normalisation moments of networks with random weights.
_MOMENT_GENES = 32


@dataclass(frozen=True)
class GeneShard:
    """The selection of genes for one job.

    Attributes
    ----------
    which: str
        Genes of the run: "all", "held_out" (the test split), or a file with one gene id per line.
    number, count: int
        Index of the shard, from 0, and number of shards. Shards are consecutive blocks of genes of about equal size, and may be
        empty. Default: one shard.
    """

    which: str
    number: int = 0
    count: int = 1


def attribute_shard(
    dataset: Path,
    models: list[Path],
    tasks_table: Path,
    contrasts: Mapping[str, ContrastSection] | str,
    shard: GeneShard,
    settings: AttributionSettings,
    batch_size: int,
    folder: Path,
) -> None:
    """Write the attributions of one shard of genes, one file per contrast.

    Parameters
    ----------
    dataset: Path
    models: list of Path
        `.../fold_<i>/replicate_<j>/model.keras`. A gene is attributed by all replicates of its fold.
    tasks_table: Path
        Table of tasks with the groups that contrasts may use.
    contrasts: mapping of str to ContrastSection, or str
        By name; or "each_group" for each group of tasks against the rest.
    shard: GeneShard
    settings: AttributionSettings
        Pairs of tasks for the two strands are read from the data set. Shuffled windows and genes to check are spread evenly
        over the genes of all shards.
    batch_size: int
    folder: Path
        The file of a contrast is `<folder>/<contrast>/<shard number, four digits>.h5`.

    Raises
    ------
    InputError
        Settings or contrasts are invalid, or there is no model for the fold of a gene.
    """
    attrs, folds = settings.attrs, models_by_fold(models)
    with open_dataset(dataset) as file, ExitStack() as stack:
        tasks = read_tasks(file)
        table = read_tasks_table(tasks_table, tasks)
        resolved = resolve_contrasts(contrasts, table)
        weights = [contrast.weights(tasks) for contrast in resolved]
        job = AttributionJob(file, weights, with_strand_pair(settings, file), batch_size)
        windows = read_windows(file)
        run = deal_genes(windows, choose_genes(windows, shard.which), settings.extras)
        genes = _genes_of_shard(run, shard, folds)
        labels = measured_values(file, genes["row"].to_numpy())
        attrs = _model_attrs(models, folds) | attrs
        spread = max(map(len, folds.values())) > 1
        writers = []
        for contrast in resolved:
            output = shard_file(folder / contrast.name, shard.number)
            measured = genes.assign(measured=contrast.measured(labels, tasks))
            writers.append(stack.enter_context(_writer(job, measured, output, _contrast_attrs(contrast) | attrs, spread)))
        progress = Progress(f"windows attributed in shard {shard.number}", len(genes) + int(genes["shuffles"].sum()))
        quality = [_attribute_fold(job, folds[fold], run, part, writers, progress) for fold, part in genes.groupby("fold")]
        _write_quality(writers, quality)


def _genes_of_shard(run: pd.DataFrame, shard: GeneShard, folds: Mapping[int, Sequence[Path]]) -> pd.DataFrame:
    """Return the genes of a shard sorted by fold, so that only the models of one fold are in memory."""
    genes = run.iloc[np.array_split(np.arange(len(run)), shard.count)[shard.number]]
    genes = genes.sort_values("fold", kind="stable", ignore_index=True)
    for fold in genes["fold"].unique():
        if fold not in folds:
            raise InputError(
                f"cannot attribute the genes of fold {fold}: no model is in a folder fold_{fold}. Pass the models of all folds."
            )
    trained = int((genes["split"] == "train").sum())
    log.info("%d of %d genes were in the training set of their models", trained, len(genes))
    return genes


def _contrast_attrs(contrast: Contrast) -> dict[str, Any]:
    return {
        "contrast": contrast.name,
        "score": contrast.score,
        "on_tasks": list(contrast.on_tasks),
        "off_tasks": list(contrast.off_tasks),
    }


def _model_attrs(models: list[Path], folds: Mapping[int, Sequence[Path]]) -> dict[str, Any]:
    return {"models": [file_sha256(path) for path in sorted(models)], "replicates": len(next(iter(folds.values())))}


def _writer(
    job: AttributionJob, genes: pd.DataFrame, output: Path, attrs: Mapping[str, Any], spread: bool
) -> AbstractContextManager[AttributionWriter]:
    return write_attributions(
        output,
        genes,
        job.length,
        attrs,
        dtype=job.settings.extras.dtype,
        hypothetical=job.settings.extras.hypothetical,
        spread=spread,
        null_genes=genes["gene_id"].repeat(genes["shuffles"]).to_list(),
    )


def _write_quality(writers: Sequence[AttributionWriter], quality: Sequence[Mapping[str, np.ndarray]]) -> None:
    """Write the numbers of `QUALITY_NUMBERS`, each (contrasts, genes), concatenated over folds."""
    for i, append in enumerate(writers):
        columns = {
            name: np.concatenate([np.zeros(0, np.float32), *(fold[name][i] for fold in quality)]) for name in QUALITY_NUMBERS
        }
        append.quality(pd.DataFrame(columns))


def _attribute_fold(
    job: AttributionJob,
    models: Sequence[Path],
    run: pd.DataFrame,
    genes: pd.DataFrame,
    writers: Sequence[AttributionWriter],
    progress: Progress,
) -> dict[str, np.ndarray]:
    """Append the genes of one fold and their shuffles to each file, and return their quality; `run` has all genes of the run.

    Returns
    -------
    dict of str to numpy.ndarray, shape=(contrasts, genes), dtype=float32
        The numbers of `QUALITY_NUMBERS`; NaN if not computed.
    """
    loaded = [load_model(path) for path in models]
    size = job.settings.pass_size(job.step, len(genes))
    networks = scored_models(loaded, size, job.settings.method)
    measured, projected = _attribute_genes(job, networks, genes, writers, progress)
    _attribute_shuffles(job, networks, genes, writers, progress)
    quality = {name: np.full((len(writers), len(genes)), np.nan, np.float32) for name in QUALITY_NUMBERS} | measured
    checked = genes["checked"].to_numpy()
    if checked.any():
        seed = job.settings.extras.seed + int(genes["fold"].iloc[0])
        untrained = ScoredModel(random_network(loaded[0], seed, _moment_windows(job, run, loaded[0])), size)
        for name, values in _check(job, networks, untrained, genes[checked], projected).items():
            quality[name][:, checked] = values
    return quality


def _attribute_genes(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    genes: pd.DataFrame,
    writers: Sequence[AttributionWriter],
    progress: Progress,
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Append the genes of one fold to each file.

    Returns
    -------
    quality: dict of str to numpy.ndarray, shape=(contrasts, genes), dtype=float32
        Keys completeness and replicates.
    projected: numpy.ndarray, shape=(contrasts, checked genes, length), dtype=float32
        Attributions of the genes to check, summed over the four channels.
    """
    completeness, replicates = np.zeros((2, len(writers), len(genes)), np.float32)
    to_check = [np.zeros((len(writers), 0, job.length), np.float32)]
    done = 0
    for batch in job.batches(genes):
        rows = slice(done, done + len(batch))
        codes = job.codes(batch)
        ensemble = attribute_ensemble(
            networks,
            job.inputs(batch, codes, networks[0].model),
            job.scores(batch),
            job.settings.function,
            job.settings.views,
            job.settings.baseline,
        )
        _append(job, writers, codes, ensemble)
        completeness[:, rows], replicates[:, rows] = ensemble.completeness, ensemble.replicates
        to_check.append(ensemble.attributions[:, batch["checked"].to_numpy()].sum(axis=2))
        done += len(batch)
        progress.advance(len(batch))
    return {"completeness": completeness, "replicates": replicates}, np.concatenate(to_check, axis=1)


def _append(
    job: AttributionJob, writers: Sequence[AttributionWriter], codes: np.ndarray, ensemble: EnsembleAttribution
) -> None:
    predicted = ensemble.scores.mean(axis=0)
    several = len(ensemble.scores) > 1
    deviation = ensemble.scores.std(axis=0, ddof=1) if several else np.full(predicted.shape, np.nan)
    for i, append in enumerate(writers):
        append(
            ensemble.attributions[i],
            codes,
            predicted[i],
            deviation[i],
            hypothetical=ensemble.contributions[i].swapaxes(-1, -2) if job.settings.extras.hypothetical else None,
            spread=ensemble.spread[i] if append.has_spread else None,
        )


def _attribute_shuffles(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    genes: pd.DataFrame,
    writers: Sequence[AttributionWriter],
    progress: Progress,
) -> None:
    """Append the shuffled windows of genes of one fold to each file; only the order of the bases differs from the gene."""
    repeated = genes.loc[genes.index.repeat(genes["shuffles"])]
    repeated = repeated.assign(copy=repeated.groupby("row").cumcount())
    seed = job.settings.extras.seed
    for batch in job.batches(repeated):
        codes = shuffled_windows(job.codes(batch), batch["gene_id"].to_list(), batch["copy"].to_list(), seed)
        inputs = job.inputs(batch, codes, networks[0].model)
        contributions, _ = attribute(networks, inputs, job.scores(batch), job.settings.function, job.settings.views)
        for i, append in enumerate(writers):
            append.null(project(inputs, contributions[i]).sum(axis=1))
        progress.advance(len(batch))


def _moment_windows(job: AttributionJob, run: pd.DataFrame, model: keras.Model) -> np.ndarray:
    """Return windows spread over all genes of the run, so that the result does not depend on the shards."""
    genes = run[deal_evenly(min(_MOMENT_GENES, job.step, len(run)), len(run)) > 0]
    return job.inputs(genes, job.codes(genes), model)


def _check(
    job: AttributionJob,
    networks: Sequence[ScoredModel],
    untrained: ScoredModel,
    genes: pd.DataFrame,
    projected: np.ndarray,
) -> dict[str, np.ndarray]:
    """Compute the quality checks of genes of one fold, each (contrasts, genes); `projected` is (contrasts, genes, length)."""
    progress = Progress("genes whose attributions are checked", len(genes))
    method, views = job.settings.function, job.settings.views
    ism, strands, random_weights = np.zeros((3, *projected.shape[:2]))
    done = 0
    for batch in job.batches(genes):
        rows = slice(done, done + len(batch))
        codes, scores, attributed = job.codes(batch), job.scores(batch), projected[:, rows]
        inputs = job.inputs(batch, codes, networks[0].model)
        positions = sampled_positions(codes, batch["gene_id"].to_list(), job.settings.extras.seed)
        ism[:, rows] = mutagenesis_agreement(networks, inputs, scores, attributed, positions, views)
        strands[:, rows] = strand_agreement(networks, inputs, scores, attributed, method, views)
        random_weights[:, rows] = random_agreement(untrained, inputs, scores, attributed, method, views)
        done += len(batch)
        progress.advance(len(batch))
    return {"ism": ism, "strands": strands, "random_weights": random_weights}
