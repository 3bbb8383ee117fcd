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
from cisnake.model.network import build_model
from cisnake.model.torch_files import TorchFile, read_torch_file

Weights = dict[str, np.ndarray]

_STEM = "embedding.conv_tower.blocks.0.conv"
_STEM_OF_BORZOI = "conv_dna.conv_layer"
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


@dataclasses.dataclass(frozen=True)
class _Places:
    """Names of the tensors in the places of the architecture, without `.weight` and so on."""

    stem: str
    tower: list[tuple[str, str]]
    transformers: list[dict[str, str]]
    unets: list[dict[str, str]]
    last: tuple[str, str]
    heads: dict[str, str]


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
    if f"{_STEM}.weight" in tensors:
        places = _places_of_grelu(tensors)
        settings = _settings_of_grelu(path, file)
    elif f"{_STEM_OF_BORZOI}.weight" in tensors:
        places = _places_of_borzoi(tensors)
        settings = _settings_of_borzoi(Path(path), length >> len(places.tower) + 1 << len(places.unets))
    else:
        raise InputError(f"{path} is not a network of Decima, gReLU's Borzoi or borzoi-pytorch; others are not supported.")
    positions = length >> len(places.tower) + 1 << len(places.unets)
    if 2 * settings.crop >= positions:
        raise InputError(
            f"{path} crops {settings.crop} positions on either side, but a window of {length} bases has only {positions}: "
            "lengthen the windows."
        )
    kept = _chosen_head(path, places.heads, head)
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
    settings = read_torch_file(path).settings
    tasks = (settings.get("data_params") or {}).get("tasks") or {}
    names = tasks.get("name") if isinstance(tasks, dict) else None
    told = {"name": settings.get("name"), "tasks": [str(name) for name in names] if names else None}
    return {key: value for key, value in told.items() if value}


# Settings


def _settings_of_grelu(path: str | Path, file: TorchFile) -> _Settings:
    given = file.settings.get("model_params") or {}
    kind = given.get("model_type", "")
    decima = "borzoi_kwargs" in given or "mask" in given or (not given and file.tensors[f"{_STEM}.weight"].shape[1] == 5)
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
    return activation, float((given.get("norm_kwargs") or {}).get("eps", 1e-3)), int(given["crop_len"])


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
    given = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    kept = given.get("bins_to_return", 6144) if given.get("return_center_bins_only", True) else 16_384 - 32
    if kept == -1:
        kept = positions
    if kept > positions:
        raise InputError(
            f"{path} predicts the middle {kept} positions, but a window has only {positions}: lengthen the windows, or set "
            f"bins_to_return in {beside}."
        )
    return _Settings("gelu", 1e-3, (positions - kept) // 2, "softplus", length_trained=4096)


# Places of the tensors


def _places_of_grelu(tensors: Weights) -> _Places:
    trunk = "embedding"
    tower, transformer, unet = (f"{trunk}.{name}_tower.blocks" for name in ("conv", "transformer", "unet"))
    return _Places(
        stem=_STEM,
        tower=[(f"{tower}.{i}.norm.layer", f"{tower}.{i}.conv") for i in _numbers(tensors, tower) if i],
        transformers=[
            {
                "norm": f"{transformer}.{i}.norm.layer",
                "attention": f"{transformer}.{i}.mha",
                "positions": "to_pos_k",
                "dense_norm": f"{transformer}.{i}.ffn.dense1.norm.layer",
                "dense_1": f"{transformer}.{i}.ffn.dense1.linear",
                "dense_2": f"{transformer}.{i}.ffn.dense2.linear",
            }
            for i in _numbers(tensors, transformer)
        ],
        unets=[
            {
                "norm": f"{unet}.{i}.conv.norm.layer",
                "dense": f"{unet}.{i}.conv.conv",
                "earlier_norm": f"{unet}.{i}.channel_transform.norm.layer",
                "earlier_dense": f"{unet}.{i}.channel_transform.conv.layer",
                "depthwise": f"{unet}.{i}.sconv.depthwise",
                "pointwise": f"{unet}.{i}.sconv.pointwise",
            }
            for i in _numbers(tensors, unet)
        ],
        last=(f"{trunk}.pointwise_conv.norm.layer", f"{trunk}.pointwise_conv.conv"),
        heads={"head": "head.channel_transform.conv.layer"},
    )


def _places_of_borzoi(tensors: Weights) -> _Places:
    tower = [f"res_tower.{i}" for i in _numbers(tensors, "res_tower")] + ["unet1.1"]
    return _Places(
        stem=_STEM_OF_BORZOI,
        tower=[(f"{block}.norm", f"{block}.conv_layer") for block in tower],
        transformers=[
            {
                "norm": f"transformer.{i}.0.fn.0",
                "attention": f"transformer.{i}.0.fn.1",
                "positions": "to_rel_k",
                "dense_norm": f"transformer.{i}.1.fn.0",
                "dense_1": f"transformer.{i}.1.fn.1",
                "dense_2": f"transformer.{i}.1.fn.4",
            }
            for i in _numbers(tensors, "transformer")
        ],
        unets=[
            {
                "norm": f"upsampling_unet{i}.0.norm",
                "dense": f"upsampling_unet{i}.0.conv_layer",
                "earlier_norm": f"horizontal_conv{i}.norm",
                "earlier_dense": f"horizontal_conv{i}.conv_layer",
                "depthwise": f"separable{i}.conv_layer.0",
                "pointwise": f"separable{i}.conv_layer.1",
            }
            for i in (1, 0)
        ],
        last=("final_joined_convs.0.norm", "final_joined_convs.0.conv_layer"),
        heads={f"head_{name}": f"{name}_head" for name in ("human", "mouse") if f"{name}_head.weight" in tensors},
    )


def _numbers(tensors: Weights, prefix: str) -> list[int]:
    found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) for name in tensors)
    return sorted({int(match[1]) for match in found if match})


def _chosen_head(path: str | Path, heads: Mapping[str, str], head: str | None) -> str:
    if len(heads) == 1 and head in (None, *heads):
        return next(iter(heads))
    if head is None:
        raise InputError(f"the network in {path} has the heads {', '.join(heads)}: set model.head to one of them.")
    if head not in heads:
        raise unknown_name("model.head", head, heads)
    return head


# From PyTorch to Keras


def _translate(
    tensors: Weights, places: _Places, settings: _Settings, length: int, head: str
) -> tuple[dict[str, Any], dict[str, tuple[str, Any]]]:
    """Return the model section, and for each weight of the Keras model its tensor's name and value."""
    weights: dict[str, tuple[str, Any]] = {}

    def put(layer: str, parts: dict[str, tuple[str, Any]]) -> None:
        weights.update({f"{layer}/{part}": value for part, value in parts.items()})

    def tensor(name: str, *axes: int) -> tuple[str, Any]:
        value = tensors[name]
        return name, value.transpose(axes) if axes else value

    def convolution(name: str) -> dict[str, tuple[str, Any]]:
        return {"kernel": tensor(f"{name}.weight", 2, 1, 0), "bias": tensor(f"{name}.bias")}

    def dense(name: str) -> dict[str, tuple[str, Any]]:
        key = f"{name}.weight"
        return {"kernel": (key, tensors[key].reshape(tensors[key].shape[:2]).T), "bias": tensor(f"{name}.bias")}

    def normalization(name: str, moving: bool = True) -> dict[str, tuple[str, Any]]:
        parts = {"gamma": "weight", "beta": "bias"}
        if moving:
            parts |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
        return {part: tensor(f"{name}.{key}") for part, key in parts.items()}

    stem = tensors[f"{places.stem}.weight"]
    trunk: list[dict[str, Any]] = [
        {"name": "conv_dna", "filters": stem.shape[0], "kernel_size": stem.shape[2], "norm_type": None, "activation": "linear",
         "pool_size": 2}
    ]  # fmt: skip
    put("trunk_1_conv_dna_conv1d_1", convolution(places.stem))
    for norm, conv in places.tower:
        filters, _, width = tensors[f"{conv}.weight"].shape
        trunk.append({"name": "res_tower", "filters_init": filters, "filters_mult": 1, "kernel_size": width, "num_convs": 1})
        block = f"trunk_{len(trunk)}_res_tower"
        put(f"{block}_batch_normalization_1", normalization(norm))
        put(f"{block}_conv1d_1", convolution(conv))
    if places.transformers:
        trunk.append(_transformer_block(tensors, places.transformers, settings.length_trained))
    for i, place in enumerate(places.transformers):
        block, attention = f"trunk_{len(trunk)}_transformer_tower", place["attention"]
        put(f"{block}_layer_normalization_{2 * i + 1}", normalization(place["norm"], moving=False))
        layer = f"{block}_multihead_attention_{i + 1}"
        put(layer, {"r_w_bias": tensor(f"{attention}.rel_content_bias"), "r_r_bias": tensor(f"{attention}.rel_pos_bias")})
        for ours, theirs in {"q": "to_q", "k": "to_k", "v": "to_v", "r_k": place["positions"]}.items():
            put(f"{layer}/{ours}_layer", {"kernel": tensor(f"{attention}.{theirs}.weight", 1, 0)})
        put(f"{layer}/embedding_layer", dense(f"{attention}.to_out"))
        put(f"{block}_layer_normalization_{2 * i + 2}", normalization(place["dense_norm"], moving=False))
        put(f"{block}_dense_{2 * i + 1}", dense(place["dense_1"]))
        put(f"{block}_dense_{2 * i + 2}", dense(place["dense_2"]))
    for place in places.unets:
        depthwise = tensors[f"{place['depthwise']}.weight"]
        trunk.append({"name": "unet_conv", "kernel_size": depthwise.shape[2], "upsample_conv": True})
        block = f"trunk_{len(trunk)}_unet_conv"
        put(f"{block}_batch_normalization_1", normalization(place["norm"]))
        put(f"{block}_batch_normalization_2", normalization(place["earlier_norm"]))
        put(f"{block}_dense_1", dense(place["dense"]))
        put(f"{block}_dense_2", dense(place["earlier_dense"]))
        put(f"{block}_separable_conv1d_1", {
            "depthwise_kernel": tensor(f"{place['depthwise']}.weight", 2, 0, 1),
            "pointwise_kernel": tensor(f"{place['pointwise']}.weight", 2, 1, 0),
            "bias": tensor(f"{place['pointwise']}.bias"),
        })  # fmt: skip
    if settings.crop:
        trunk.append({"name": "Cropping1D", "cropping": settings.crop})
    norm, conv = places.last
    trunk.append({"name": "conv_nac", "filters": tensors[f"{conv}.weight"].shape[0], "dropout": 0.1})
    block = f"trunk_{len(trunk)}_conv_nac"
    put(f"{block}_batch_normalization_1", normalization(norm))
    put(f"{block}_conv1d_1", convolution(conv))

    final, blocks = _head_blocks(settings, tensors[f"{places.heads[head]}.weight"].shape[0])
    put(f"{head}_{final}_final_dense_1", dense(places.heads[head]))
    section = {
        "seq_length": length, "seq_depth": stem.shape[1], "activation": settings.activation, "norm_type": "batch",
        "bn_momentum": 0.9, "norm_epsilon": settings.epsilon, "trunk": trunk, head: blocks,
    }  # fmt: skip
    return section, weights


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


def _assign(path: str | Path, model: keras.Model, weights: dict[str, tuple[str, Any]], expected: set[str]) -> None:
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
