"""Ensembles of trained models: grouping by fold, loading, and predictions per gene."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import keras
import numpy as np

from cisnake.data.coverage import TargetTransform, gene_values
from cisnake.data.dataset import model_input, read_codes, read_transform
from cisnake.errors import InputError

# Custom layers, losses and metrics register themselves with Keras when their modules are imported.
from cisnake.model import losses, metrics  # noqa: F401
from cisnake.model.network import build_model, in_label_units, insert_adapter  # noqa: F401
from cisnake.model.prediction import Predictor, predict_batches

# (predictions of a model for n genes, rows of these genes in the data set) -> one value per gene and task, shape (n, tasks).
Readout = Callable[[np.ndarray, np.ndarray], np.ndarray]


def models_by_fold(paths: list[Path]) -> dict[int, list[Path]]:
    """Group model files `.../fold_<i>/replicate_<j>/model.keras` by fold number, sorted by replicate number."""
    numbered = []
    for path in paths:
        numbers = re.search(r"(?:^|/)fold_(\d+)/replicate_(\d+)$", path.parent.as_posix())
        if not numbers:
            raise InputError(
                f"{path} is not in a folder fold_<number>/replicate_<number>: its held-out fold is therefore unknown."
            )
        numbered.append((int(numbers[1]), int(numbers[2]), path))
    folds: dict[int, list[Path]] = {}
    for fold, _, path in sorted(numbered):
        folds.setdefault(fold, []).append(path)
    return folds


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file for prediction.

    Raises
    ------
    InputError
        The file is missing or not a model.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be loaded as a model ({reason}): rerun its training.") from error


def gene_readout(file: h5py.File) -> Readout | None:
    """Return the function that reduces predictions to one value per gene and task; None if no reduction is needed.

    Predictions of coverage models are summed over the bins of the gene, see `gene_bins.gene_values`.

    Parameters
    ----------
    file: h5py.File
        From `open_dataset`; genes.h5 in a coverage run. It must stay open as long as the readout is used.
    """
    if "gene_bins" not in file:
        return None
    transform, bins = TargetTransform.from_dict(read_transform(file)), file["gene_bins"].shape[1]
    return lambda predictions, rows: gene_values(predictions, read_codes(file, rows, 0, bins, "gene_bins"), transform).astype(
        np.float32
    )


def predict_with_model(
    model: keras.Model,
    codes: np.ndarray,
    mask_start: np.ndarray,
    mask_end: np.ndarray,
    rows: np.ndarray | None = None,
    readout: Readout | None = None,
    batch_size: int = 64,
) -> np.ndarray:
    """Predict genes with one model.

    Parameters
    ----------
    model: keras.Model
        Its window must have the length of the sequences.
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        Gene-oriented windows.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body in window coordinates, half-open.
    rows: numpy.ndarray, shape=(n,), dtype=int, optional
        Rows of the genes in the data set, for the readout.
    readout: callable, optional
        From `gene_readout`. Default None: return the model's output.
    batch_size: int
        Windows per forward pass. Default 64.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks), or (n, positions, tasks) for a model with positions and no readout, dtype=float32

    Raises
    ------
    InputError
        The sequences and the model's window differ in length, or the model has several heads.
    """
    length, depth = model.input_shape[1:]
    if codes.shape[1] != length:
        raise InputError(f"the model requires windows of {length} bases, but these have {codes.shape[1]}.")
    parts = [slice(first, first + batch_size) for first in range(0, max(len(codes), 1), batch_size)]
    inputs = (model_input(codes[part], mask_start[part], mask_end[part], depth) for part in parts)
    predicted = predict_batches([model], inputs, batch_size)
    if readout is None or rows is None:
        return np.concatenate(list(predicted))
    return np.concatenate([readout(values, rows[part]) for part, values in zip(parts, predicted, strict=True)])


def predictors_by_fold(
    paths: list[Path], readout: Readout | None = None, batch_size: int = 64
) -> dict[int, dict[str, Predictor]]:
    """Return the predictors of all models, by fold and replicate name.

    A model is loaded when its predictor is first called, and stays in memory.
    """
    load = functools.cache(load_model)

    def predictor(path: Path) -> Predictor:
        return lambda codes, mask_start, mask_end, rows: predict_with_model(
            load(path), codes, mask_start, mask_end, rows, readout, batch_size
        )

    return {
        fold: {path.parent.name: predictor(path) for path in fold_paths} for fold, fold_paths in models_by_fold(paths).items()
    }
