"""Attribution of many genes: a shard of them in each job, every contrast in one pass."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data import hdf5
from cisnake.data.datasets import model_input
from cisnake.data.matrix import read_tasks_table
from cisnake.errors import InputError, unknown_name
from cisnake.files import file_sha256
from cisnake.interpret.attribution import attribute, gradient_function
from cisnake.interpret.attribution_file import write_attributions
from cisnake.interpret.contrasts import Contrast, resolve_contrast
from cisnake.model.ensemble import load_model, models_by_fold
from cisnake.program import Progress

METHOD = "input_x_gradient"


def attribute_shard(
    dataset: Path,
    models: list[Path],
    tasks_table: Path,
    contrasts: dict[str, dict[str, Any]],
    which: str,
    shard: tuple[int, int],
    batch_size: int,
    outputs: list[Path],
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
    """
    folds = models_by_fold(models)
    with hdf5.open_dataset(dataset) as file, ExitStack() as stack:
        windows, tasks = hdf5.read_windows(file), hdf5.read_tasks(file)
        groups = list(read_tasks_table(tasks_table, tasks)["group"])
        resolved = [resolve_contrast(name, section, tasks, groups) for name, section in contrasts.items()]
        rows = np.array_split(choose_genes(windows, which), shard[1])[shard[0]]
        # Genes of one fold together: only its models are in memory.
        rows = rows[np.argsort(windows["fold"].to_numpy()[rows], kind="stable")]
        labels = hdf5.read_labels(file)[rows]
        pad, length = int(file["pad"][()]), int(file["seq_len"][()])
        writers = [
            stack.enter_context(
                write_attributions(
                    output,
                    windows.iloc[rows].assign(measured=contrast.measured(labels, tasks)),
                    length,
                    _attrs(contrast, models, len(next(iter(folds.values())))),
                )
            )
            for contrast, output in zip(resolved, outputs, strict=True)
        ]
        weights = np.stack([contrast.weights(tasks) for contrast in resolved])
        progress = Progress(f"genes attributed in shard {shard[0]}", len(rows))
        for fold, of_fold in windows.iloc[rows].assign(row=rows).groupby("fold"):
            if fold not in folds:
                raise InputError(f"genes of fold {fold} are to be attributed, but none of the models is of fold_{fold}.")
            loaded = [load_model(path) for path in folds[fold]]
            functions = [gradient_function(model, weights) for model in loaded]
            depth = loaded[0].input_shape[-1]
            for first in range(0, len(of_fold), batch_size):
                batch = of_fold.iloc[first : first + batch_size]
                codes = hdf5.read_codes(file, batch["row"].to_numpy(), pad, pad + length)
                inputs = model_input(codes, batch["mask_start"].to_numpy(), batch["mask_end"].to_numpy(), depth)
                attributions, scores = attribute(functions, inputs, min(batch_size, len(of_fold)))
                spread = scores.std(axis=0, ddof=1) if len(loaded) > 1 else np.full(scores.shape[1:], np.nan)
                for i, append in enumerate(writers):
                    append(attributions[i], codes, scores.mean(axis=0)[i], spread[i])
                progress.advance(len(batch))


def choose_genes(windows: pd.DataFrame, which: str) -> np.ndarray:
    """Return the rows of the genes to attribute: "all", "held_out", or those listed in a file; shape=(n,), dtype=int64.

    Raises
    ------
    InputError
        The file is missing or empty, or has a gene that the data set lacks.
    """
    if which == "all":
        return np.arange(len(windows))
    if which == "held_out":
        return np.flatnonzero(windows["split"] == "test")
    path = Path(which)
    if not path.is_file():
        raise InputError(f"attribution.genes is {which}: it is all, held_out, or a file with a gene id a line.")
    row_of = {gene: row for row, gene in enumerate(windows["gene_id"])}
    wanted = {line.strip() for line in path.read_text().splitlines()} - {""}
    if not wanted:
        raise InputError(f"attribution.genes is {which}, a file without a gene id.")
    for gene in sorted(wanted):
        if gene not in row_of:
            raise unknown_name(f"gene in {path}", gene, row_of)
    return np.array(sorted(row_of[gene] for gene in wanted), dtype=np.int64)


def _attrs(contrast: Contrast, models: list[Path], replicates: int) -> dict[str, Any]:
    return {
        "contrast": contrast.name,
        "score": contrast.score,
        "on_tasks": list(contrast.on_tasks),
        "off_tasks": list(contrast.off_tasks),
        "method": METHOD,
        "models": [file_sha256(path) for path in sorted(models)],
        "replicates": replicates,
    }
