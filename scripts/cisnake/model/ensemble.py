"""Trained models as a set: which gene they may be asked about, and their predictions."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import keras
import numpy as np

from cisnake.data.datasets import model_input
from cisnake.errors import InputError

# Custom layers, losses and metrics register themselves with Keras on import.
from cisnake.model import Predictor, adapters, losses, metrics, seqnn  # noqa: F401
from cisnake.model.prediction import predict_batches


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


def predict(
    model: keras.Model, codes: np.ndarray, mask_start: np.ndarray, mask_end: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Return the predictions of one model.

    Parameters
    ----------
    model: keras.Model
        Of a window as long as the sequences.
    codes: numpy.ndarray, shape=(n, length), dtype=int8
        Gene-oriented windows.
    mask_start, mask_end: numpy.ndarray, shape=(n,), dtype=int
        The gene body in the window, half-open.
    batch_size: int
        Windows in one pass. Default 64.

    Returns
    -------
    numpy.ndarray, shape=(n, tasks) or (n, positions, tasks), dtype=float32

    Raises
    ------
    InputError
        The sequences are not as long as the model's window, or it has several heads.
    """
    length, depth = model.input_shape[1:]
    if codes.shape[1] != length:
        raise InputError(f"the model was trained on windows of {length} bases and cannot be asked about {codes.shape[1]}.")
    starts = range(0, max(len(codes), 1), batch_size)
    parts = (slice(first, first + batch_size) for first in starts)
    inputs = (model_input(codes[rows], mask_start[rows], mask_end[rows], depth) for rows in parts)
    return np.concatenate(list(predict_batches([model], inputs, batch_size)))


def predictors(paths: list[Path], batch_size: int = 64) -> dict[int, dict[str, Predictor]]:
    """Return functions from (codes, mask_start, mask_end) to predictions, by fold and name of the replicate.

    A model is loaded when its function is first called, and stays in memory.
    """
    load = functools.cache(load_model)

    def predictor(path: Path) -> Predictor:
        return lambda codes, mask_start, mask_end: predict(load(path), codes, mask_start, mask_end, batch_size)

    return {fold: {path.parent.name: predictor(path) for path in of_fold} for fold, of_fold in models_by_fold(paths).items()}
