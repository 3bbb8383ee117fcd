"""The shared network in plain PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from .architecture import BN_MOMENTUM, RESIDUAL, STEM, TASKS, TOWER, layer_weights, tower_filters


def _normalization(channels: int) -> nn.BatchNorm1d:
    # Keras's epsilon and definition of momentum.
    return nn.BatchNorm1d(channels, eps=1e-3, momentum=1 - BN_MOMENTUM)


def _convolution(channels: int, filters: int, kernel_size: int, dilation: int = 1) -> nn.Conv1d:
    return nn.Conv1d(channels, filters, kernel_size, padding="same", dilation=dilation, bias=False)


class _Residual(nn.Module):
    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        filters = RESIDUAL["filters"]
        self.unit = nn.Sequential(
            nn.ReLU(),
            _convolution(channels, filters, RESIDUAL["kernel_size"], dilation),
            _normalization(filters),
            nn.ReLU(),
            _convolution(filters, channels, 1),
            _normalization(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.unit(x)


class Network(nn.Module):
    """Map one-hot sequences (batch, 4, length) to predictions (batch, tasks)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            _convolution(4, STEM["filters"], STEM["kernel_size"]),
            _normalization(STEM["filters"]),
            nn.ReLU(),
            nn.MaxPool1d(STEM["pool_size"]),
        ]
        channels = STEM["filters"]
        for filters in tower_filters():
            layers += [
                nn.ReLU(),
                _convolution(channels, filters, TOWER["kernel_size"]),
                _normalization(filters),
                nn.MaxPool1d(TOWER["pool_size"]),
            ]
            channels = filters
        layers += [_Residual(channels, RESIDUAL["rate_mult"] ** i) for i in range(RESIDUAL["repeat"])]
        self.trunk = nn.Sequential(*layers, nn.ReLU())
        self.final = nn.Linear(channels, TASKS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.softplus(self.final(self.trunk(x).mean(dim=2)))


def build_network() -> Network:
    """Return the network with the weights that all peers share."""
    network, rng = Network(), np.random.default_rng(1)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d):
            parts = [layer.weight, layer.bias, layer.running_mean, layer.running_var]
        elif isinstance(layer, nn.Conv1d | nn.Linear):
            parts = [layer.weight] + ([] if layer.bias is None else [layer.bias])
        else:
            continue
        # Keras stores kernel axes in reverse order.
        values = layer_weights([tuple(part.shape)[::-1] for part in parts], rng)
        with torch.no_grad():
            for part, value in zip(parts, values):
                part.copy_(torch.from_numpy(value.T))
    return network


def parameter_counts(network: nn.Module) -> dict[str, int]:
    """Return the numbers of trainable and other parameters."""
    moving = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
    return {"trainable": sum(p.numel() for p in network.parameters()), "other": sum(b.numel() for b in moving)}
