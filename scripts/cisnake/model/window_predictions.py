"""Predict windows with an ensemble and write the predictions, in bounded memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import h5py
import keras
import numpy as np
import pandas as pd

from cisnake.data.dataset import model_input
from cisnake.data.windows import GivenWindow
from cisnake.errors import InputError
from cisnake.files import write_whole
from cisnake.model.prediction import ONE_VIEW, WindowViews, predict_batches

_STRING = h5py.string_dtype("utf-8")


def write_window_predictions(
    windows: Iterable[GivenWindow],
    models: Sequence[keras.Model],
    tasks: Sequence[str],
    output: str | Path,
    views: WindowViews = ONE_VIEW,
    gene_start: int | None = None,
    batch_size: int = 64,
) -> int:
    """Predict windows and write the mean over networks and views.

    Parameters
    ----------
    windows: iterable of GivenWindow
    models: sequence of keras.Model
        With the same input and output.
    tasks: sequence of str
        Names of the tasks.
    output: str or Path
        `.tsv`: one row per window, with the column `name` and one column per task; predictions with positions are summed over
        them. `.h5ad`: the same values, with the tasks as observations and the windows as variables. `.h5`: `names` (n,),
        `tasks` and `predictions`, float32, shape (n, tasks) or (n, positions, tasks), written batch by batch.
    views: WindowViews
        Shifts and strands to average over. Default: the window as it is.
    gene_start: int, optional
        First base of the gene body in windows without one, which reaches to their end; required if the networks read it.
    batch_size: int
        Windows per pass. Default 64.

    Returns
    -------
    int
        Number of windows.

    Raises
    ------
    InputError
        The number of tasks differs from the networks', `gene_start` is missing, not needed or outside the window, or the
        extension of `output` is unknown. No file is left.
    """
    output = Path(output)
    writers = {".tsv": _write_tsv, ".h5": _write_hdf5, ".h5ad": _write_h5ad}
    if output.suffix not in writers:
        raise InputError(f"{output} must end in .tsv, .h5 or .h5ad.")
    _, length, depth = models[0].input_shape
    if len(tasks) != models[0].output_shape[-1]:
        raise InputError(f"there are names for {len(tasks)} tasks, but the networks predict {models[0].output_shape[-1]}.")
    body = None
    if gene_start is not None:
        if depth != 5:
            raise InputError("the networks do not read the gene body: remove --gene-start.")
        if not 0 <= gene_start < length:
            raise InputError(f"the gene body begins at base {gene_start}, outside windows of {length} bases.")
        body = gene_start, length
    names: list[str] = []
    predicted = predict_batches(models, _inputs(iter(windows), names, depth, body, batch_size), batch_size, views)
    with write_whole(output) as part:
        writers[output.suffix](part, predicted, names, list(tasks), models[0].output_shape[1:])
    return len(names)


def _inputs(
    windows: Iterator[GivenWindow], names: list[str], depth: int, body: tuple[int, int] | None, batch_size: int
) -> Iterator[np.ndarray]:
    """Yield inputs in batches, and append the names of their windows to `names` before."""
    while batch := list(itertools.islice(windows, batch_size)):
        names.extend(window.name for window in batch)
        bodies = [window.body or body for window in batch]
        if depth == 5 and None in bodies:
            raise InputError("the networks read the gene body: give the base of the window at which it begins (--gene-start).")
        start, end = np.array([known or (0, 0) for known in bodies]).T
        yield model_input(np.stack([window.codes for window in batch]), start, end, depth)


def layer_model(model: keras.Model, name: str) -> keras.Model:
    """Return a model that ends at a layer of another one, for embeddings.

    Parameters
    ----------
    model: keras.Model
    name: str
        Name of a layer. Its output must have the shape (batch, channels) or (batch, positions, channels).

    Raises
    ------
    InputError
        The network has no such layer, or the output of the layer has another shape.
    """
    shapes = {layer.name: layer.output.shape for layer in model.layers if not isinstance(layer.output, (list, tuple, dict))}
    if name not in shapes:
        raise InputError(f"the network has no layer {name}: its layers are {', '.join(shapes)}.")
    if len(shapes[name]) not in (2, 3):
        raise InputError(
            f"the output of layer {name} has the shape {shapes[name]}: choose one with channels, or positions and channels."
        )
    return keras.Model(model.input, model.get_layer(name).output)


def _summed(batch: np.ndarray) -> np.ndarray:
    return batch if batch.ndim == 2 else batch.sum(axis=1, dtype=np.float64)


def _write_tsv(
    path: Path, predicted: Iterator[np.ndarray], names: list[str], tasks: list[str], _shape: tuple[int, ...]
) -> None:
    done = 0
    with open(path, "w", encoding="utf-8", newline="") as output:
        for batch in predicted:
            table = pd.DataFrame(_summed(batch), columns=tasks)
            table.insert(0, "name", names[done : done + len(batch)])
            table.to_csv(output, sep="\t", index=False, header=done == 0, float_format="%.7g")
            done += len(batch)


def _write_h5ad(
    path: Path, predicted: Iterator[np.ndarray], names: list[str], tasks: list[str], _shape: tuple[int, ...]
) -> None:
    # Takes half a second to import.
    from anndata import AnnData

    values = np.concatenate(
        [np.zeros((0, len(tasks)), np.float32), *(_summed(batch).astype(np.float32) for batch in predicted)]
    )
    AnnData(values.T, pd.DataFrame(index=tasks), pd.DataFrame(index=names)).write_h5ad(path)


def _write_hdf5(
    path: Path, predicted: Iterator[np.ndarray], names: list[str], tasks: list[str], shape: tuple[int, ...]
) -> None:
    with h5py.File(path, "w") as file:
        file["tasks"] = np.array(tasks, dtype=_STRING)
        stored = file.create_dataset("predictions", (0, *shape), np.float32, maxshape=(None, *shape), chunks=(1, *shape))
        for batch in predicted:
            stored.resize(len(stored) + len(batch), axis=0)
            stored[-len(batch) :] = batch
        file["names"] = np.array(names, dtype=_STRING)
