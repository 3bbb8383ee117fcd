"""Labels on the scale of one fold's models.

With folds, z-scores are relative to the training genes of a fold. The stored label of a gene has the scale of the fold in which
the gene is a test gene, whose models never saw it. For the models of other folds, labels are converted.
"""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from cisnake.data.dataset import layout
from cisnake.data.matrix import ExpressionTransform
from cisnake.errors import InputError

# Number of values held in double precision at once.
_BLOCK_NUMBERS = 1 << 22


@dataclass(frozen=True, eq=False)
class FoldScale:
    """Conversion of stored labels to the scale of one fold.

    Attributes
    ----------
    factor, offset: numpy.ndarray, shape=(folds, tasks), dtype=float64
        A label stored on the scale of fold g becomes label * factor[g] + offset[g].
    folds: numpy.ndarray, shape=(N,), dtype=int
        The fold of each row of the data set.
    """

    factor: np.ndarray
    offset: np.ndarray
    folds: np.ndarray

    def convert(self, labels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Return stored labels of some rows, shape=(n, tasks), on the scale of the fold; dtype=float32."""
        converted = np.empty_like(labels)
        step = max(1, _BLOCK_NUMBERS // max(1, labels.shape[1]))
        for first in range(0, len(labels), step):
            block = slice(first, first + step)
            folds = self.folds[rows[block]]
            converted[block] = labels[block].astype(np.float64) * self.factor[folds] + self.offset[folds]
        return converted


def fold_scale(file: h5py.File, fold: int | None) -> FoldScale | None:
    """Return the conversion of stored labels to the scale of one fold; None if they need none.

    Parameters
    ----------
    file: h5py.File
        Opened by `open_dataset`.
    fold: int, optional
        The fold whose models see the labels. None: the labels are used as they are stored.

    Raises
    ------
    InputError
        The file has no such fold.
    """
    stored = layout.read_transform(file)
    if fold is None or stored["kind"] == "coverage":
        return None
    transform = ExpressionTransform.from_dict(stored)
    if transform.n_folds == 1:
        return None
    if not 0 <= fold < transform.n_folds:
        raise InputError(f"{file.filename} has no fold {fold}: its folds are 0 to {transform.n_folds - 1}.")
    mean, sd = np.asarray(transform.mean, np.float64), np.asarray(transform.sd, np.float64)
    return FoldScale(sd / sd[fold], (mean - mean[fold]) / sd[fold], file["windows/fold"][:])


def labels_for_fold(file: h5py.File, rows: np.ndarray, fold: int | None) -> np.ndarray:
    """Return the labels of genes as the models of one fold see them.

    Without folds, or without z-scores, these are the stored labels. Otherwise they are standardised by the training genes of
    the fold; the labels of its test genes are then the stored ones.

    Parameters
    ----------
    file: h5py.File
        An expression data set, opened by `open_dataset`.
    rows: numpy.ndarray, shape=(n,), dtype=int
        Rows of the genes.
    fold: int, optional
        None: the stored labels.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), dtype=float32
        NaN for missing values.

    Raises
    ------
    InputError
        The labels are coverage bins, or the file has no such fold.
    """
    labels, scale = layout.read_labels(file)[rows], fold_scale(file, fold)
    return labels if scale is None else scale.convert(labels, np.asarray(rows))
