"""Import Borzoi networks from PyTorch: those of Decima, gReLU and borzoi-pytorch.

All three have Borzoi's architecture, so a network is built from the shapes of its tensors, and each tensor becomes a weight of
the Keras layer in its place. What the shapes do not tell comes from the settings in the file, or else from the published
networks:

- **Decima**: exact GELU, variances + 1e-5, 5,120 positions cropped on either side, the exponential of the mean logit.
- **gReLU**: GELU by tanh, variances + 1e-3, 5,120 positions cropped, softplus. A checkpoint has settings of its own.
- **borzoi-pytorch**: as gReLU; the middle 6,144 positions are predicted, and relative positions are those of 4,096 positions in
  training. A file `config.json` beside the network has settings of its own.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cisnake.errors import InputError, unknown_name
from cisnake.model.network import build_model, choose_head
from cisnake.model.torch_files import TorchFile, read_torch_file
from cisnake.model.torch_layouts import BORZOI_STEM, GRELU_STEM, TensorPlaces, places_in_borzoi, places_in_grelu

Weights = dict[str, np.ndarray]

_FLASH = re.compile(r"\.(mha\.Wqkv|mha\.qkv)\.")
_GELU = {"gelu_borzoi": "gelu", "gelu": "gelu_exact", "relu": "relu", "softplus": "softplus"}
_OUTPUT = {None: "linear", "exp": "exponential", "softplus": "softplus", "relu": "relu"}
_SHOWN = 3
_PUBLISHED_LENGTH = 524_288


@dataclasses.dataclass(frozen=True)
class _Settings:
    """What the shapes of the tensors do not tell."""

    activation: str
    epsilon: float
    crop: int
    output: str
    pool: str | None = None
    head_activation: str = "linear"
    length_trained: int | None = None


def read_torch_network(path: str | Path, length: int | None = None, head: str | None = None) -> keras.Model:
    """Read a Borzoi network from a file of PyTorch.

    Parameters
    ----------
    path: str or Path
        `.safetensors`, or what `torch.save` wrote (`.pt`, `.ckpt`, ...): weights of Decima, gReLU or borzoi-pytorch.
    length: int, optional
        Bases in a window. Default: 524,288, as published.
    head: str, optional
        head_human or head_mouse, if the network has both.

    Returns
    -------
    keras.Model
        From (batch, length, 4), or 5 with the gene body, to (batch, positions, tasks), or (batch, tasks) with a pooled head.

    Raises
    ------
    InputError
        The file cannot be read (`read_torch_file`), is not a Borzoi network, has Flashzoi's attention, or does not match the
        architecture.
    """
    file = read_torch_file(path)
    tensors = {name: tensor for name, tensor in file.tensors.items() if not name.endswith("num_batches_tracked")}
    if any(map(_FLASH.search, tensors)):
        raise InputError(
            f"{path} has the attention of Flashzoi (rotary positions), which is not supported: use a Borzoi network instead."
        )
    length = length or _PUBLISHED_LENGTH
    if f"{GRELU_STEM}.weight" in tensors:
        places = places_in_grelu(tensors)
        settings = _settings_of_grelu(path, file)
    elif f"{BORZOI_STEM}.weight" in tensors:
        places = places_in_borzoi(tensors)
        settings = _settings_of_borzoi(Path(path), length >> len(places.tower) + 1 << len(places.unets))
    else:
        raise InputError(f"{path} is not a network of Decima, gReLU's Borzoi or borzoi-pytorch; others are not supported.")
    positions = length >> len(places.tower) + 1 << len(places.unets)
    if 2 * settings.crop >= positions:
        raise InputError(
            f"{path} crops {settings.crop} positions on either side, but a window of {length} bases has only {positions}: "
            "lengthen the windows."
        )
    kept = choose_head(head, list(places.heads), path)
    try:
        section, weights = _translate(tensors, places, settings, length, kept)
    except (KeyError, IndexError, ValueError) as error:
        raise InputError(f"{path} is not a complete Borzoi network: tensor {error} is missing or has another shape.") from error
    unused = {key for key in tensors if key.rpartition(".")[0] in set(places.heads.values()) - {places.heads[kept]}}
    model = build_model(section)
    _assign(path, model, weights, set(tensors) - unused)
    return model


def torch_description(path: str | Path) -> dict[str, Any]:
    """Return what a file of PyTorch says of itself: `name` and `tasks` (names), where given.

    Parameters
    ----------
    path: str or Path

    Raises
    ------
    InputError
        As `read_torch_file`.
    """
    settings = read_torch_file(path, with_tensors=False).settings
    tasks = (settings.get("data_params") or {}).get("tasks") or {}
    names = tasks.get("name") if isinstance(tasks, dict) else None
    told = {"name": settings.get("name"), "tasks": [str(name) for name in names] if names else None}
    return {key: value for key, value in told.items() if value}


# Settings


def _settings_of_grelu(path: str | Path, file: TorchFile) -> _Settings:
    given = file.settings.get("model_params") or {}
    kind = given.get("model_type", "")
    decima = "borzoi_kwargs" in given or "mask" in given or (not given and file.tensors[f"{GRELU_STEM}.weight"].shape[1] == 5)
    if decima:
        given = {"crop_len": 5120, "act_func": "gelu", "norm_kwargs": {"eps": 1e-5}} | (given.get("borzoi_kwargs") or {})
        return _Settings(*_trunk_settings(path, given), output="exponential", pool="avg")
    if not given:
        return _Settings("gelu", 1e-3, 5120, "softplus")
    if kind not in ("BorzoiModel", "BorzoiPretrainedModel"):
        raise InputError(f"{path} is a {kind or 'network without model_type'}: only gReLU's BorzoiModel and "
                         "BorzoiPretrainedModel are supported.")  # fmt: skip
    given = {"crop_len": 0 if kind == "BorzoiPretrainedModel" else 16, "final_pool_func": "avg"} | given
    head_activation = _known(path, "final_act_func", given.get("final_act_func"), _OUTPUT)
    return _Settings(
        *_trunk_settings(path, given), _output_of_grelu(path, file.settings), given["final_pool_func"], head_activation
    )


def _trunk_settings(path: str | Path, given: Mapping[str, Any]) -> tuple[str, float, int]:
    activation = _known(path, "act_func", given.get("act_func", "gelu_borzoi"), _GELU)
    crop = given["crop_len"]
    if not isinstance(crop, int):
        raise InputError(f"crop_len of {path} is {crop!r}: only a number of positions is supported.")
    return activation, float((given.get("norm_kwargs") or {}).get("eps", 1e-3)), crop


def _output_of_grelu(path: str | Path, settings: Mapping[str, Any]) -> str:
    train = settings.get("train_params") or {}
    task, loss = train.get("task"), str(train.get("loss"))
    if task == "binary":
        return "sigmoid"
    if task == "regression":
        return "exponential" if "poisson" in loss.lower() else "linear"
    raise InputError(f"{path} was trained for the task {task}: only regression and binary are supported.")


def _known(path: str | Path, key: str, value: Any, known: Mapping[Any, str]) -> str:
    if value not in known:
        raise unknown_name(f"{key} of {path}", str(value), [str(name) for name in known])
    return known[value]


def _settings_of_borzoi(path: Path, positions: int) -> _Settings:
    beside = path.parent / "config.json"
    try:
        given = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except (OSError, ValueError) as error:
        raise InputError(f"{beside} cannot be read as JSON: {error}") from error
    kept = given.get("bins_to_return", 6144) if given.get("return_center_bins_only", True) else 16_384 - 32
    if kept == -1:
        kept = positions
    if kept > positions:
        raise InputError(
            f"{path} predicts the middle {kept} positions, but a window has only {positions}: lengthen the windows, or set "
            f"bins_to_return in {beside}."
        )
    return _Settings("gelu", 1e-3, (positions - kept) // 2, "softplus", length_trained=4096)


# From PyTorch to Keras


class _Translation:
    """Collects, for each weight of a Keras model, the name of its tensor and its value in the order of Keras."""

    def __init__(self, tensors: Weights) -> None:
        self.tensors = tensors
        self.weights: dict[str, tuple[str, np.ndarray]] = {}

    def put(self, weight: str, name: str, *axes: int) -> None:
        self.weights[weight] = name, self.tensors[name].transpose(axes) if axes else self.tensors[name]

    def convolution(self, layer: str, name: str) -> None:
        self.put(f"{layer}/kernel", f"{name}.weight", 2, 1, 0)
        self.put(f"{layer}/bias", f"{name}.bias")

    def dense(self, layer: str, name: str, bias: bool = True) -> None:
        """Take over a linear layer, or a convolution of width 1."""
        kernel = self.tensors[f"{name}.weight"]
        self.weights[f"{layer}/kernel"] = f"{name}.weight", kernel.reshape(kernel.shape[:2]).T
        if bias:
            self.put(f"{layer}/bias", f"{name}.bias")

    def normalization(self, layer: str, name: str, moving: bool = True) -> None:
        parts = {"gamma": "weight", "beta": "bias"}
        if moving:
            parts |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
        for ours, theirs in parts.items():
            self.put(f"{layer}/{ours}", f"{name}.{theirs}")

    def transformer(self, block: str, number: int, place: Mapping[str, str]) -> None:
        attention, layer = place["attention"], f"{block}_multihead_attention_{number + 1}"
        self.normalization(f"{block}_layer_normalization_{2 * number + 1}", place["norm"], moving=False)
        self.put(f"{layer}/r_w_bias", f"{attention}.rel_content_bias")
        self.put(f"{layer}/r_r_bias", f"{attention}.rel_pos_bias")
        for ours, theirs in {"q": "to_q", "k": "to_k", "v": "to_v", "r_k": place["positions"]}.items():
            self.dense(f"{layer}/{ours}_layer", f"{attention}.{theirs}", bias=False)
        self.dense(f"{layer}/embedding_layer", f"{attention}.to_out")
        self.normalization(f"{block}_layer_normalization_{2 * number + 2}", place["dense_norm"], moving=False)
        self.dense(f"{block}_dense_{2 * number + 1}", place["dense_1"])
        self.dense(f"{block}_dense_{2 * number + 2}", place["dense_2"])

    def unet(self, block: str, place: Mapping[str, str]) -> None:
        self.normalization(f"{block}_batch_normalization_1", place["norm"])
        self.normalization(f"{block}_batch_normalization_2", place["earlier_norm"])
        self.dense(f"{block}_dense_1", place["dense"])
        self.dense(f"{block}_dense_2", place["earlier_dense"])
        layer = f"{block}_separable_conv1d_1"
        self.put(f"{layer}/depthwise_kernel", f"{place['depthwise']}.weight", 2, 0, 1)
        self.put(f"{layer}/pointwise_kernel", f"{place['pointwise']}.weight", 2, 1, 0)
        self.put(f"{layer}/bias", f"{place['pointwise']}.bias")


def _translate(
    tensors: Weights, places: TensorPlaces, settings: _Settings, length: int, head: str
) -> tuple[dict[str, Any], dict[str, tuple[str, np.ndarray]]]:
    """Return the model section, and for each weight of the Keras model its tensor's name and value."""
    found = _Translation(tensors)
    stem = tensors[f"{places.stem}.weight"]
    first = {"name": "conv_dna", "filters": stem.shape[0], "kernel_size": stem.shape[2], "pool_size": 2}
    trunk: list[dict[str, Any]] = [first | {"norm_type": None, "activation": "linear"}]
    found.convolution("trunk_1_conv_dna_conv1d_1", places.stem)
    for norm, conv in places.tower:
        filters, _, width = tensors[f"{conv}.weight"].shape
        trunk.append({"name": "res_tower", "filters_init": filters, "filters_mult": 1, "kernel_size": width, "num_convs": 1})
        block = f"trunk_{len(trunk)}_res_tower"
        found.normalization(f"{block}_batch_normalization_1", norm)
        found.convolution(f"{block}_conv1d_1", conv)
    if places.transformers:
        trunk.append(_transformer_block(tensors, places.transformers, settings.length_trained))
    for number, place in enumerate(places.transformers):
        found.transformer(f"trunk_{len(trunk)}_transformer_tower", number, place)
    for place in places.unets:
        width = tensors[f"{place['depthwise']}.weight"].shape[2]
        trunk.append({"name": "unet_conv", "kernel_size": width, "upsample_conv": True})
        found.unet(f"trunk_{len(trunk)}_unet_conv", place)
    if settings.crop:
        trunk.append({"name": "Cropping1D", "cropping": settings.crop})
    norm, conv = places.last
    trunk.append({"name": "conv_nac", "filters": tensors[f"{conv}.weight"].shape[0], "dropout": 0.1})
    block = f"trunk_{len(trunk)}_conv_nac"
    found.normalization(f"{block}_batch_normalization_1", norm)
    found.convolution(f"{block}_conv1d_1", conv)
    final, blocks = _head_blocks(settings, tensors[f"{places.heads[head]}.weight"].shape[0])
    found.dense(f"{head}_{final}_final_dense_1", places.heads[head])
    section = {
        "seq_length": length, "seq_depth": stem.shape[1], "activation": settings.activation, "norm_type": "batch",
        "bn_momentum": 0.9, "norm_epsilon": settings.epsilon, "trunk": trunk, head: blocks,
    }  # fmt: skip
    return section, found.weights


def _transformer_block(tensors: Weights, transformers: list[dict[str, str]], length_trained: int | None) -> dict[str, Any]:
    attention = transformers[0]["attention"]
    _, heads, _, key_size = tensors[f"{attention}.rel_content_bias"].shape
    wide, channels = tensors[f"{transformers[0]['dense_1']}.weight"].shape
    return {
        "name": "transformer_tower",
        "repeat": len(transformers),
        "heads": heads,
        "key_size": key_size,
        "num_position_features": tensors[f"{attention}.{transformers[0]['positions']}.weight"].shape[1],
        "dense_expansion": wide / channels,
        "dropout": 0.2,
        "seqlen_train": length_trained,
    }


def _head_blocks(settings: _Settings, tasks: int) -> tuple[int, list[dict[str, Any]]]:
    """Return the place of the dense layer in the head, and the head's blocks.

    Without an activation in between, the mean of positions is taken before the dense layer, which is the same and much faster.
    """
    final = {"name": "final", "units": tasks}
    if settings.pool is None:
        if settings.head_activation != "linear":
            raise InputError("a network with two activations after its last layer is not supported.")
        return 1, [final | {"activation": settings.output}]
    pool = {"name": "global_pool", "pool_type": settings.pool}
    if settings.pool == "avg" and settings.head_activation == "linear":
        return 2, [pool, final | {"activation": settings.output}]
    if settings.output != "linear":
        raise InputError("a network with an activation before and after its pooled head is not supported.")
    return 1, [final | {"activation": settings.head_activation}, pool]


def _assign(path: str | Path, model: keras.Model, weights: dict[str, tuple[str, np.ndarray]], expected: set[str]) -> None:
    """Set all weights of a model, after checking that names and shapes match."""
    variables = {variable.path: variable for variable in model.weights if "seed_generator" not in variable.path}
    problems = [f"no tensor for {name}" for name in variables if name not in weights]
    problems += [f"no place for {name}" for name in sorted(expected - {name for name, _ in weights.values()})]
    problems += [
        f"{name} has shape {value.shape}, but {variables[key].path} has {tuple(variables[key].shape)}"
        for key, (name, value) in weights.items()
        if key in variables and tuple(variables[key].shape) != value.shape
    ]
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(f"{path} does not match Borzoi's architecture: {'; '.join(problems[:_SHOWN])}{more}.")
    for key, variable in variables.items():
        variable.assign(weights[key][1])
