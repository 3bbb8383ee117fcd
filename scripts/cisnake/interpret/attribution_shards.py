"""Attribution of many genes: a shard of them in each job, every contrast in one pass."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from cisnake.data import hdf5
from cisnake.data.gene_bins import measured_values
from cisnake.data.gene_choice import choose_genes
from cisnake.data.matrix import read_tasks_table
from cisnake.data.model_inputs import model_input
from cisnake.data.target_transform import TargetTransform
from cisnake.errors import InputError
from cisnake.files import file_sha256
from cisnake.interpret.attribution import METHODS, attribute, method_options, project
from cisnake.interpret.attribution_file import write_attributions
from cisnake.interpret.contrasts import Contrast, resolve_contrast
from cisnake.interpret.scored_model import ScoredModel
from cisnake.interpret.target_scores import Score
from cisnake.model.ensemble import load_model, models_by_fold
from cisnake.model.prediction import ONE_VIEW, Views
from cisnake.program import Progress

# These ask each window once: a batch need not be larger than there are genes.
_SINGLE_PASS = ("gradient", "input_x_gradient", "saliency")


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
        One of `attribution.METHODS`. Default "input_x_gradient".
    options: mapping, optional
        Of the method; those that it does not take are left aside. Default None, its defaults.
    views: Views
        Shifts and strands that each model is asked with; which tasks are of two strands is read from the data set. Default:
        windows as they are.
    """
    options = method_options(method, options or {})
    ask = functools.partial(METHODS[method], **options)
    asked: dict[str, Any] = {"method": method, "method_options": options}
    asked |= {"reverse_complement": views.reverse_complement, "shifts": list(views.shifts)}
    folds = models_by_fold(models)
    with hdf5.open_dataset(dataset) as file, ExitStack() as stack:
        windows, tasks = hdf5.read_windows(file), hdf5.read_tasks(file)
        if "strand_pair" in file.attrs:
            views = dataclasses.replace(views, strand_pair=file.attrs["strand_pair"].tolist())
        described = read_tasks_table(tasks_table, tasks)
        resolved = [resolve_contrast(name, section, described) for name, section in contrasts.items()]
        rows = np.array_split(choose_genes(windows, which), shard[1])[shard[0]]
        # Genes of one fold together: only its models are in memory.
        rows = rows[np.argsort(windows["fold"].to_numpy()[rows], kind="stable")]
        labels = measured_values(file, rows)
        pad, length = int(file["pad"][()]), int(file["seq_len"][()])
        writers = [
            stack.enter_context(
                write_attributions(
                    output,
                    windows.iloc[rows].assign(measured=contrast.measured(labels, tasks)),
                    length,
                    _attrs(contrast, models, len(next(iter(folds.values())))) | asked,
                )
            )
            for contrast, output in zip(resolved, outputs, strict=True)
        ]
        weights = [contrast.weights(tasks) for contrast in resolved]
        progress = Progress(f"genes attributed in shard {shard[0]}", len(rows))
        for fold, of_fold in windows.iloc[rows].assign(row=rows).groupby("fold"):
            if fold not in folds:
                raise InputError(f"genes of fold {fold} are to be attributed, but none of the models is of fold_{fold}.")
            loaded = [load_model(path) for path in folds[fold]]
            size = min(batch_size, len(of_fold)) if method in _SINGLE_PASS else batch_size
            networks = [ScoredModel(model, size) for model in loaded]
            depth = loaded[0].input_shape[-1]
            for first in range(0, len(of_fold), batch_size):
                batch = of_fold.iloc[first : first + batch_size]
                codes = hdf5.read_codes(file, batch["row"].to_numpy(), pad, pad + length)
                inputs = model_input(codes, batch["mask_start"].to_numpy(), batch["mask_end"].to_numpy(), depth)
                questions = [_question(file, of_tasks, batch["row"].to_numpy()) for of_tasks in weights]
                contributions, scores = attribute(networks, inputs, questions, ask, views)
                attributions = project(inputs, contributions)
                spread = scores.std(axis=0, ddof=1) if len(loaded) > 1 else np.full(scores.shape[1:], np.nan)
                for i, append in enumerate(writers):
                    append(attributions[i], codes, scores.mean(axis=0)[i], spread[i])
                progress.advance(len(batch))


def _question(file: h5py.File, tasks: np.ndarray, rows: np.ndarray) -> Score:
    """Return the score of some genes: the contrast of what the readout of the ensemble gives for each task."""
    if "gene_bins" not in file:
        return Score(tasks)
    bins = hdf5.read_codes(file, rows, 0, file["gene_bins"].shape[1], "gene_bins")
    return Score(tasks, bins, link="gene", transform=TargetTransform.from_dict(hdf5.read_transform(file)))


def _attrs(contrast: Contrast, models: list[Path], replicates: int) -> dict[str, Any]:
    return {
        "contrast": contrast.name,
        "score": contrast.score,
        "on_tasks": list(contrast.on_tasks),
        "off_tasks": list(contrast.off_tasks),
        "models": [file_sha256(path) for path in sorted(models)],
        "replicates": replicates,
    }
