"""Trained models as a set: which gene they may be asked about, and their predictions."""

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
from cisnake.model.network import build_model, insert_adapter  # noqa: F401
from cisnake.model.prediction import Predictor, predict_batches

# From what a model predicts for some genes, and their rows in the data set, to one value for each gene and task, (n, tasks).
Readout = Callable[[np.ndarray, np.ndarray], np.ndarray]


def models_by_fold(paths: list[Path]) -> dict[int, list[Path]]:
    """Group model files `.../fold_<i>/replicate_<j>/model.keras` by the number of their fold, replicates in order of theirs."""
    numbered = []
    for path in paths:
        numbers = re.search(r"(?:^|/)fold_(\d+)/replicate_(\d+)$", path.parent.as_posix())
        if not numbers:
            raise InputError(f"{path} is not in a folder fold_<number>/replicate_<number>, which says what it was trained on.")
        numbered.append((int(numbers[1]), int(numbers[2]), path))
    folds: dict[int, list[Path]] = {}
    for fold, _, path in sorted(numbered):
        folds.setdefault(fold, []).append(path)
    return folds


def load_model(path: str | Path) -> keras.Model:
    """Load a `.keras` file for predicting.

    Raises
    ------
    InputError
        The file is missing or not a model.
    """
    try:
        return keras.saving.load_model(path, compile=False)
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"{path} cannot be loaded as a model ({reason}): train it again.") from error


def gene_readout(file: h5py.File) -> Readout | None:
    """Return how predictions for genes of a data set become one value for each gene and task; None if they are that.

    What a model of coverage predicts is summed over the bins of the gene, see `gene_bins.gene_values`.

    Parameters
    ----------
    file: h5py.File
        From `open_dataset`, open as long as the readout is used; genes.h5 in a coverage run.
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
    """Return the predictions of one model for genes.

    Parameters
    ----------
    model: keras.Model
        Of a window as long as the sequences.
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        Gene-oriented windows.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body in the window, half-open.
    rows: numpy.ndarray, shape=(n,), dtype=int, optional
        Rows of the genes in the data set, for the readout.
    readout: callable, optional
        From `gene_readout`. Default None, predictions as they are.
    batch_size: int
        Windows in one pass. Default 64.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks) or, of a model with positions and no readout, (n, positions, tasks), dtype=float32

    Raises
    ------
    InputError
        The sequences are not as long as the model's window, or it has several heads.
    """
    length, depth = model.input_shape[1:]
    if codes.shape[1] != length:
        raise InputError(f"the model was trained on windows of {length} bases and cannot be asked about {codes.shape[1]}.")
    parts = [slice(first, first + batch_size) for first in range(0, max(len(codes), 1), batch_size)]
    inputs = (model_input(codes[part], mask_start[part], mask_end[part], depth) for part in parts)
    predicted = predict_batches([model], inputs, batch_size)
    if readout is None or rows is None:
        return np.concatenate(list(predicted))
    return np.concatenate([readout(of_part, rows[part]) for part, of_part in zip(parts, predicted, strict=True)])


def predictors_by_fold(
    paths: list[Path], readout: Readout | None = None, batch_size: int = 64
) -> dict[int, dict[str, Predictor]]:
    """Return what predicts genes, by fold and name of the replicate.

    A model is loaded when its predictor is first called, and stays in memory.
    """
    load = functools.cache(load_model)

    def predictor(path: Path) -> Predictor:
        return lambda codes, mask_start, mask_end, rows: predict_with_model(
            load(path), codes, mask_start, mask_end, rows, readout, batch_size
        )

    return {fold: {path.parent.name: predictor(path) for path in of_fold} for fold, of_fold in models_by_fold(paths).items()}
