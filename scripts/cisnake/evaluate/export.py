"""Export predictions as layers of a copy of the user's AnnData file."""

from __future__ import annotations

import shutil
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd

from cisnake.data.matrix import read_annotations
from cisnake.errors import InputError, unknown_name
from cisnake.files import write_whole
from cisnake.joins import explain_mismatch

# Layers of predictions.h5ad and the layers to export them to. The second one exists only if labels were transformed.
LAYERS = {"predicted": "cisnake_predicted", "predicted_original": "cisnake_predicted_original"}
SPLIT = "cisnake_split"


def export_predictions(
    matrix: str | Path, predictions: list[Path], genes: pd.DataFrame, output: str | Path, gene_column: str | None = None
) -> int:
    """Copy an h5ad file and add predictions for its tasks and genes.

    The layer `cisnake_predicted` holds predictions on the scale of the labels. If labels were transformed, the layer
    `cisnake_predicted_original` holds them on the scale of the matrix. Both are NaN for tasks and genes without predictions.
    The var column `cisnake_split` holds the split of each gene, and is empty for genes without predictions. Everything else is
    copied unchanged. Only one layer is in memory at a time.

    Parameters
    ----------
    matrix: str or Path
        h5ad file, with tasks as obs and genes as var.
    predictions: list of Path
        predictions.h5ad files written by `write_evaluation`. If a gene is in several files, the first one wins: with folds,
        each gene is in the test split of one fold and in the val split of another.
    genes: pandas.DataFrame
        gene_id, matrix_id: the ids of each gene in the predictions and in the matrix.
    output: str or Path
        h5ad file to write.
    gene_column: str, optional
        Column of var with the gene ids. Default: the index of var.

    Returns
    -------
    int
        Number of genes with predictions.

    Raises
    ------
    InputError
        A task of the predictions is missing from the matrix, none of their genes is in the matrix, or `gene_column` does not
        exist.
    """
    matrix_id = genes.set_index("gene_id")["matrix_id"]
    with write_whole(output) as part:
        shutil.copyfile(matrix, part)
        part.chmod(0o644)
        with h5py.File(part, "r+") as file:
            obs, var = (read_annotations(file, name) for name in ("obs", "var"))
            if isinstance(file["obs"], h5py.Dataset):
                # AnnData would look for the categories of the new var in uns, as in old files.
                anndata.io.write_elem(file, "obs", obs)
            if gene_column is not None and gene_column not in var:
                raise unknown_name(f"column of var of {matrix}", gene_column, map(str, var.columns))
            ids = pd.Index((var.index if gene_column is None else var[gene_column]).astype(str))
            places = pd.Series(np.arange(len(ids)), index=ids)[~ids.duplicated(keep=False)]
            split = np.full(len(ids), "", object)
            if "layers" not in file:
                anndata.io.write_elem(file, "layers", {})
            for source, name in LAYERS.items():
                values = _collect(predictions, source, obs.index.astype(str), matrix_id, places, split, matrix)
                if values is not None:
                    anndata.io.write_elem(file["layers"], name, values, dataset_kwargs={"compression": "gzip"})
                elif name in file["layers"]:
                    del file["layers"][name]
            var[SPLIT] = split
            anndata.io.write_elem(file, "var", var)
    return int((split != "").sum())


def _collect(
    predictions: list[Path],
    source: str,
    tasks: pd.Index,
    matrix_id: pd.Series,
    places: pd.Series,
    split: np.ndarray,
    matrix: str | Path,
) -> np.ndarray | None:
    """Collect one layer from all files as shape=(tasks, genes), or None if no file has it; record splits in `split`."""
    out = None
    taken = np.zeros(len(split), bool)
    for path in predictions:
        with h5py.File(path, "r") as file:
            if f"layers/{source}" not in file:
                continue
            obs, var, uns = (anndata.io.read_elem(file[name]) for name in ("obs", "var", "uns"))
            rows = tasks.get_indexer(obs.index.astype(str))
            if (rows < 0).any():
                why = explain_mismatch("the file of predictions", obs.index.astype(str), "the matrix", tasks)
                raise InputError(f"{matrix} lacks {int((rows < 0).sum())} of the tasks of {path}: {why}.")
            wanted = pd.Series(var.index.astype(str))
            wanted = wanted.map(matrix_id).fillna(wanted)
            columns = wanted.map(places).to_numpy(np.float64)
            if np.isnan(columns).all():
                why = explain_mismatch("the file of predictions", wanted, "the matrix", places.index)
                raise InputError(f"{matrix} has none of the genes of {path}: {why}. Use files of the same run.")
            new = np.flatnonzero(~np.isnan(columns))
            new = new[~taken[columns[new].astype(int)]]
            at = columns[new].astype(int)
            if out is None:
                out = np.full((len(tasks), len(split)), np.nan, np.float32)
            out[np.ix_(rows, at)] = file[f"layers/{source}"][:][:, new]
        taken[at] = True
        split[at] = str(uns["split"])
    return out
