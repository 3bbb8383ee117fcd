"""Names of tensors in Borzoi networks of PyTorch, by their places in the architecture."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

GRELU_STEM = "embedding.conv_tower.blocks.0.conv"
BORZOI_STEM = "conv_dna.conv_layer"


@dataclasses.dataclass(frozen=True)
class TensorPlaces:
    """Names of the tensors in the places of the architecture, without `.weight` and so on.

    Attributes
    ----------
    stem: str
    tower: list of (str, str)
        Normalisation and convolution of each block.
    transformers, unets: list of dict of str to str
        Names of the parts of each block.
    last: (str, str)
        Normalisation and convolution before the head.
    heads: dict of str to str
    """

    stem: str
    tower: list[tuple[str, str]]
    transformers: list[dict[str, str]]
    unets: list[dict[str, str]]
    last: tuple[str, str]
    heads: dict[str, str]


def places_in_grelu(tensors: Mapping[str, Any]) -> TensorPlaces:
    """Return the places of tensors in networks of Decima and gReLU."""
    trunk = "embedding"
    tower, transformer, unet = (f"{trunk}.{name}_tower.blocks" for name in ("conv", "transformer", "unet"))
    return TensorPlaces(
        stem=GRELU_STEM,
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


def places_in_borzoi(tensors: Mapping[str, Any]) -> TensorPlaces:
    """Return the places of tensors in networks of borzoi-pytorch."""
    tower = [f"res_tower.{i}" for i in _numbers(tensors, "res_tower")] + ["unet1.1"]
    return TensorPlaces(
        stem=BORZOI_STEM,
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


def _numbers(tensors: Mapping[str, Any], prefix: str) -> list[int]:
    found = (re.match(rf"{re.escape(prefix)}\.(\d+)\.", name) for name in tensors)
    return sorted({int(match[1]) for match in found if match})
