"""Networks that were trained elsewhere: read them, select a head, and check that they fit the windows and tasks of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
from keras import layers

from cisnake.errors import InputError
from cisnake.model.ensemble import load_model
from cisnake.model.network import build_model, choose_head, head_model, head_names
from cisnake.model.torch_files import is_torch_file
from cisnake.model.torch_networks import read_torch_network
from cisnake.model.weights import load_weights


def read_network(
    path: str | Path,
    params: dict[str, Any] | None = None,
    head: str | None = None,
    length: int | None = None,
    tasks: int | None = None,
) -> keras.Model:
    """Read a trained network.

    Parameters
    ----------
    path: str or Path
        A `.keras` file of Cisnake; an `.h5` file of Basenji or Baskerville, with weights or a complete network; or a file of
        PyTorch with a network of Decima, gReLU or borzoi-pytorch (`read_torch_network`).
    params: dict, optional
        From `read_params`; required for `.h5` files of Basenji and Baskerville.
    head: str, optional
        Key of the head to use, if the network has several. A Baskerville file holds the trunk and one head.
    length, tasks: int, optional
        Bases in a window and number of tasks, if the parameters of an `.h5` file do not set them.

    Returns
    -------
    keras.Model
        With one head.

    Raises
    ------
    InputError
        The file or the parameters are missing or do not match, or the head is not named or does not exist.
    """
    path = Path(path)
    if path.suffix == ".keras":
        model = load_model(path)
        return head_model(model, choose_head(head, list(model.output), path)) if isinstance(model.output, dict) else model
    if is_torch_file(path):
        return read_torch_network(path, length, head)
    if params is None:
        raise InputError(f"{path} is not a .keras file: set model.params to the parameter file of its network.")
    section = ({"seq_length": length} if length else {}) | _with_one_head(params["model"], head, path)
    model = build_model(section, tasks)
    load_weights(model, path)
    return model


def read_given(
    path: str | Path, params: dict[str, Any] | None, length: int, shape: tuple[int, ...], head: str | None = None
) -> keras.Model:
    """Read a trained network as `read_network` does, and check that it fits a run.

    Parameters
    ----------
    path, params, head
        See `read_network`.
    length: int
        Bases in a window of the run.
    shape: tuple of int
        Predictions per window: (tasks,), or (bins, tasks). A network that predicts (1, tasks) also fits (tasks,).

    Returns
    -------
    keras.Model

    Raises
    ------
    InputError
        As `read_network`, or the network has another input or output than the run.
    """
    model = read_network(path, params, head, length, shape[-1])
    bases, channels = model.input_shape[1:]
    if bases != length:
        raise InputError(
            f"{path} reads windows of {bases} bases, but those of the run have {length}: change the section windows."
        )
    if channels not in (4, 5):
        raise InputError(f"{path} reads {channels} channels per base: it must be 4, or 5 with the gene body.")
    predicted = tuple(model.output_shape[1:])
    if predicted == (1, *shape):
        flat = layers.Reshape(shape, name="one_position")(model.output)
        return keras.Model(model.input, flat, name=model.name)
    if predicted != shape:
        raise InputError(f"{path} predicts {_words(predicted)} per window, but the run has {_words(shape)}.")
    return model


def _with_one_head(section: dict[str, Any], head: str | None, path: Path) -> dict[str, Any]:
    heads = head_names(section)
    if len(heads) == 1:
        return section
    kept = choose_head(head, heads, path)
    pairs = section.get("strand_pair")
    chosen = {key: value for key, value in section.items() if key == kept or key not in heads}
    return chosen | ({"strand_pair": [pairs[heads.index(kept)]]} if pairs else {})


def _words(shape: tuple[int, ...]) -> str:
    return f"{shape[-1]} tasks" if len(shape) == 1 else f"{shape[0]} positions of {shape[-1]} tasks"
