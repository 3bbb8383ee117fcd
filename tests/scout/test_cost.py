"""Multiply-adds of networks, compared with the layers that Keras builds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from cisnake import configuration
from cisnake.model import read_params
from cisnake.scout import estimate_training, network_cost

MODELS = sorted((configuration.ROOT / "config" / "models").glob("*.yaml"))
SHIPPED = ("small", "medium", "demo", "coverage_small")
LENGTHS = {"medium": 4096, "coverage_small": 2560}


def built(model: dict[str, Any], length: int, tasks: int) -> float:
    """Return the multiply-adds of the network that Keras builds, from the shapes of its layers and their weights."""
    from cisnake.model.network import build_model

    total = 0.0
    for layer in build_model(model | {"seq_length": length}, tasks).layers:
        shape, kind = getattr(layer.output, "shape", ()), type(layer).__name__
        if kind == "Conv1D":
            total += shape[1] * math.prod(layer.kernel.shape)
        elif kind == "StrandMaxConv1D":
            total += 2 * layer.input.shape[1] * math.prod(layer.kernel.shape)
        elif kind == "Dense":
            total += math.prod(shape[1:-1]) * math.prod(layer.kernel.shape)
        elif kind == "SeparableConv1D":
            total += shape[1] * sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) == 3)
        elif kind == "MultiheadAttention":
            positions, channels = layer.input.shape[1:]
            keys = layer.key_size * layer.heads
            for name in ("q_layer", "k_layer", "v_layer", "embedding_layer"):
                total += positions * math.prod(getattr(layer, name).kernel.shape)
            total += (2 * positions - 1) * math.prod(layer.r_k_layer.kernel.shape)
            # Content, relative positions before the shift, and the weighted sum of the values.
            total += positions**2 * keys + positions * (2 * positions - 1) * keys + positions**2 * channels
    return total


@pytest.mark.parametrize(
    "path", [path for path in MODELS if path.stem in ("small", "medium", "demo", "coverage_small")], ids=lambda p: p.stem
)
def test_shipped_networks_cost_what_keras_builds(path: Path) -> None:
    model, length = read_params(path)["model"], LENGTHS.get(path.stem, 1500)
    cost = network_cost(model, length, 7)
    assert cost is not None and cost.multiply_adds == pytest.approx(built(model, length, 7), rel=0.02)
    assert cost.per_gene == (path.stem != "coverage_small")


@pytest.mark.parametrize(
    "trunk",
    [
        [{"name": "conv_dna", "filters": 32, "kernel_size": 11, "residual": True, "pool_size": 2}, {"name": "flatten"}],
        [
            {"name": "conv_block", "filters": 16, "kernel_size": 9, "stride": 3},
            {"name": "conv_tower", "filters_init": 20, "filters_mult": 1.5, "kernel_size": 5, "pool_size": 3, "repeat": 2},
            {"name": "dilated_residual", "filters": 8, "rate_mult": 2, "repeat": 3},
            {"name": "global_pool"},
        ],
        [
            {"name": "conv_nac", "filters": 16, "kernel_size": 7, "conv_type": "separable"},
            {"name": "res_tower", "filters_init": 16, "filters_end": 32, "kernel_size": 5, "num_convs": 3, "repeat": 2},
            {"name": "Cropping1D", "cropping": 10},
            {"name": "convnext_tower", "filters_init": 24, "filters_end": 48, "kernel_size": 5, "repeat": 2},
            {"name": "dense_block", "units": 12, "flatten": True},
        ],
        [{"name": "Flatten"}, {"name": "dense_nac", "units": 9}],
    ],
)
def test_other_blocks_cost_what_keras_builds(trunk: list[dict[str, Any]]) -> None:
    model = {"trunk": trunk, "head": {"name": "final"}, "seq_depth": 5}
    cost = network_cost(model, 401, 3)
    assert cost is not None and cost.multiply_adds == pytest.approx(built(model, 401, 3), rel=0.02)
    assert cost.per_gene


def test_pooling_multiplies() -> None:
    small, medium = (network_cost(read_params(path)["model"], 1024, 2) for path in MODELS if path.stem in ("small", "medium"))
    assert sorted((small.divisor, medium.divisor)) == [40, 256]


def test_unknown_blocks_and_several_heads_have_no_estimate() -> None:
    assert network_cost({"trunk": [{"name": "unet_conv"}], "head": {"name": "final"}}, 100, 1) is None
    assert network_cost({"trunk": [], "head_a": {"name": "final"}, "head_b": {"name": "final"}}, 100, 1) is None


def test_only_files_that_fit_are_estimated() -> None:
    times = {time.name: time for time in estimate_training({path: {} for path in MODELS}, 1500, 173, 24_000, 5, 2)}
    assert sorted(times) == ["demo.yaml", "medium.yaml", "small.yaml"]
    for time in times.values():
        assert 0 < time.gpu < time.fastest < time.slowest
    again = estimate_training({MODELS[-1]: {}}, 1500, 173, 48_000, 5, 4)[0]
    assert again.slowest == pytest.approx(times[again.name].slowest)
