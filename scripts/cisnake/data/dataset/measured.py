"""Measured values of genes, one per task."""

from __future__ import annotations

import h5py
import numpy as np

from cisnake.data.coverage import TargetTransform, gene_values
from cisnake.data.dataset import layout
from cisnake.data.dataset.fold_labels import labels_for_fold

# Number of values held in memory at once.
_BLOCK_NUMBERS = 1 << 22


def measured_values(file: h5py.File, rows: np.ndarray | None = None, fold: int | None = None) -> np.ndarray:
    """Return the measured value of each gene and task; for coverage bins, the value computed by `gene_values`.

    Parameters
    ----------
    file: h5py.File
        Opened by `open_dataset`; genes.h5 in a coverage run.
    rows: numpy.ndarray, shape=(n,), dtype=int, optional
        Rows of the genes. Default: all.
    fold: int, optional
        The fold with whose models the values are compared, see `labels_for_fold`. Default: the fold of each gene itself.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float32
        NaN for missing values.
    """
    rows = np.arange(len(file["labels"])) if rows is None else rows
    if "gene_bins" not in file:
        return labels_for_fold(file, rows, fold)
    transform = TargetTransform.from_dict(layout.read_transform(file))
    tasks, bins = file["labels"].shape[1:]
    values = np.empty((len(rows), tasks), np.float32)
    step = max(1, _BLOCK_NUMBERS // (tasks * bins))
    for first in range(0, len(rows), step):
        block = slice(first, first + step)
        coverage = layout.read_label_rows(file, rows[block]).transpose(0, 2, 1)
        values[block] = gene_values(coverage, layout.read_codes(file, rows[block], 0, bins, "gene_bins"), transform)
    return values
