"""Multiply-adds of a network, computed from its parameter file without building it, and the time that training takes."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cisnake.errors import InputError
from cisnake.model import count_epochs, read_params
from cisnake.model.network import dilations, tower_filters

CPU_SPEED = (25e9, 200e9)
"""Floating-point operations per second and thread: slow and fast."""

GPU_SPEED = 5e12
"""Floating-point operations per second of a GPU, as small networks reach them."""

# A multiply-add is two operations, and training computes about three times as much as a prediction.
_OPERATIONS = 6


@dataclass
class _Shape:
    """Output of the blocks so far: positions (None after flatten or global pooling), channels, and what they took.

    `divisor` is the number of bases per position.
    """

    length: int | None
    channels: int
    multiply_adds: float = 0.0
    divisor: int = 1

    def convolve(self, filters: int | None, width: int, stride: int = 1, conv_type: str = "standard", strands: int = 1) -> None:
        filters, length = filters or self.channels, self.positions
        self._shorten(stride)
        per_position = (
            width * self.channels + self.channels * filters if conv_type == "separable" else width * self.channels * filters
        )
        self.multiply_adds += math.ceil(length / stride) * per_position * strands
        self.channels = filters

    def pool(self, size: int) -> None:
        self._shorten(size)

    def dense(self, units: int | None, flatten: bool = False) -> None:
        if flatten and self.length is not None:
            self.flatten()
            self.length = 1
        units = units or self.channels
        self.multiply_adds += self.positions * self.channels * units
        self.channels = units

    def flatten(self) -> None:
        self.channels, self.length = self.channels * self.positions, None

    @property
    def positions(self) -> int:
        return 1 if self.length is None else self.length

    def _shorten(self, factor: int) -> None:
        if self.length is not None:
            self.length, self.divisor = math.ceil(self.length / factor), self.divisor * factor


def _conv_motif(x: _Shape, filters: int, kernel_size: int = 15, pool_size: int = 1) -> None:
    x.convolve(filters, kernel_size, strands=2)
    x.pool(pool_size)


def _conv(
    x: _Shape,
    filters: int | None = None,
    kernel_size: int = 1,
    stride: int = 1,
    conv_type: str = "standard",
    pool_size: int = 1,
    se: bool = False,
) -> None:
    x.convolve(filters, kernel_size, stride, conv_type)
    x.multiply_adds += 2 * x.channels * (x.channels // 8) * se
    x.pool(pool_size)


def _conv_dna(
    x: _Shape, filters: int | None = None, kernel_size: int = 15, residual: bool = False, pool_size: int = 1, **options: Any
) -> None:
    _conv(x, filters, kernel_size, **options)
    if residual:
        _conv(x, **{name: options[name] for name in ("conv_type", "se") if name in options})
    x.pool(pool_size)


def _conv_next(
    x: _Shape, filters: int | None = None, kernel_size: int = 7, dense_expansion: float = 2.0, pool_size: int = 1
) -> None:
    filters = filters or x.channels
    x.convolve(filters, kernel_size, conv_type="separable")
    x.dense(int(dense_expansion) * filters)
    x.dense(filters)
    x.pool(pool_size)


def _tower(step: Callable[..., None]) -> Callable[..., None]:
    def tower(
        x: _Shape,
        filters_init: int,
        filters_end: int | None = None,
        filters_mult: float | None = None,
        divisible_by: int = 1,
        repeat: int = 1,
        **options: Any,
    ) -> None:
        for filters in tower_filters(filters_init, filters_end, filters_mult, divisible_by, repeat):
            step(x, filters, **options)

    return tower


def _res_step(x: _Shape, filters: int, kernel_size: int = 1, pool_size: int = 2, num_convs: int = 2, **options: Any) -> None:
    _conv(x, filters, kernel_size, **options)
    for _ in range(1, num_convs):
        _conv(x, filters, **options)
    x.pool(pool_size)


def _next_step(x: _Shape, filters: int, kernel_size: int = 1, pool_size: int = 2, num_convs: int = 2, **options: Any) -> None:
    for _ in range(num_convs):
        _conv_next(x, filters, kernel_size, **options)
    x.pool(pool_size)


def _dilated(
    x: _Shape, filters: int, kernel_size: int = 3, rate_mult: float = 2, repeat: int = 1, round: bool = False, **options: Any
) -> None:
    channels = x.channels
    for _ in dilations(rate_mult, repeat, round):
        _conv(x, filters, kernel_size, **options)
        x.convolve(channels, 1)


def _transformer(
    x: _Shape,
    key_size: int,
    heads: int = 1,
    dense_expansion: float = 2.0,
    num_position_features: int | None = None,
    repeat: int = 1,
) -> None:
    length, channels, keys = x.positions, x.channels, key_size * heads
    features = channels // heads // 2 * 2 if num_position_features is None else num_position_features
    projections = length * channels * (2 * keys + 2 * channels)
    positions = (2 * length - 1) * (features * keys + length * keys) if features else 0
    attention = length**2 * (keys + channels)
    x.multiply_adds += repeat * (projections + positions + attention + 2 * length * channels * int(dense_expansion * channels))


def _global_pool(x: _Shape) -> None:
    x.length = None


def _squeeze_excite(x: _Shape, bottleneck_ratio: int = 8) -> None:
    x.multiply_adds += 2 * x.channels * (x.channels // bottleneck_ratio)


def _center(x: _Shape, center: int) -> None:
    x.length = center


def _crop(x: _Shape, cropping: int | list[int]) -> None:
    x.length = x.positions - (sum(cropping) if isinstance(cropping, list) else 2 * cropping)


_BLOCKS: dict[str, Callable[..., None]] = {
    "conv_motif": _conv_motif,
    "conv_block": _conv,
    "conv_nac": _conv,
    "conv_dna": _conv_dna,
    "conv_next": _conv_next,
    "conv_tower": _tower(_conv),
    "conv_tower_nac": _tower(_conv),
    "res_tower": _tower(_res_step),
    "convnext_tower": _tower(_next_step),
    "dilated_residual": _dilated,
    "dilated_residual_nac": _dilated,
    "transformer": _transformer,
    "transformer_tower": lambda x, repeat=2, **options: _transformer(x, repeat=repeat, **options),
    "squeeze_excite": _squeeze_excite,
    "center_slice": _center,
    "center_average": lambda x: _center(x, 1),
    "average_pooling": lambda x, pool_size=2: x.pool(pool_size),
    "flatten": lambda x: x.flatten(),
    "global_pool": _global_pool,
    "dense_block": lambda x, units=None, flatten=False: x.dense(units, flatten),
    "dense_nac": lambda x, units=None, flatten=False: x.dense(units, flatten),
    "dense": lambda x, units: x.dense(units),
    "final": lambda x, units, flatten=False: x.dense(units, flatten),
    "Flatten": lambda x: x.flatten(),
    "Dense": lambda x, units: x.dense(units),
    "MaxPooling1D": lambda x, pool_size=2: x.pool(pool_size),
    "AveragePooling1D": lambda x, pool_size=2: x.pool(pool_size),
    "SoftmaxPool1D": lambda x, pool_size=2: x.pool(pool_size),
    "Cropping1D": _crop,
}
# Options without effect on the size of a layer are ignored by the functions above.
_STEPS: dict[str, Callable[..., None]] = {
    "conv_tower": _conv,
    "conv_tower_nac": _conv,
    "res_tower": _res_step,
    "convnext_tower": _next_step,
}
_INNER: dict[Callable[..., None], Callable[..., None]] = {
    _res_step: _conv,
    _next_step: _conv_next,
    _dilated: _conv,
    _conv_dna: _conv,
}


@dataclass(frozen=True)
class NetworkCost:
    """Size of the computation of a network.

    Attributes
    ----------
    multiply_adds: float
        For the prediction of one window.
    divisor: int
        Bases per position after all pooling: windows should be a multiple of it.
    per_gene: bool
        Whether the network predicts one value per task and window, as expression runs need.
    """

    multiply_adds: float
    divisor: int
    per_gene: bool


def network_cost(model: Mapping[str, Any], length: int, tasks: int) -> NetworkCost | None:
    """Compute the cost of a network from the `model` section of its parameter file.

    Parameters
    ----------
    model: mapping
        As for `model.network.build_model`, with one head.
    length: int
        Window length, bp.
    tasks: int

    Returns
    -------
    NetworkCost or None
        None if the network has several heads or a block whose cost is not known here.

    Examples
    --------
    A convolution of 10 kernels of 3 bases at 100 positions, and a layer from 10 channels to 2 tasks.

    >>> from cisnake.scout import network_cost
    >>> trunk = [{"name": "conv_nac", "filters": 10, "kernel_size": 3, "pool_size": 4}, {"name": "global_pool"}]
    >>> network_cost({"trunk": trunk, "head": {"name": "final"}}, 100, 2)
    NetworkCost(multiply_adds=12020.0, divisor=4, per_gene=True)
    """
    heads = [blocks for key, blocks in model.items() if key.startswith("head")]
    if len(heads) != 1:
        return None
    head = [heads[0]] if isinstance(heads[0], Mapping) else heads[0]
    x = _Shape(length, model.get("seq_depth", 4))
    for block in (*model["trunk"], *head):
        options = dict(block)
        name = options.pop("name")
        if name not in _BLOCKS:
            return None
        if name in ("final", "dense", "Dense"):
            options.setdefault("units", tasks)
        _BLOCKS[name](x, **{key: value for key, value in options.items() if key in _sizes(name)})
    return NetworkCost(float(x.multiply_adds), x.divisor, x.length is None or x.length == 1)


def _sizes(name: str) -> set[str]:
    """Return the options of a block on which its cost depends."""
    if name == "transformer_tower":
        return {*inspect.signature(_transformer).parameters}
    functions = {_BLOCKS[name], *([_STEPS[name]] if name in _STEPS else [])}
    functions |= {_INNER[function] for function in functions if function in _INNER}
    return {key for function in functions for key in inspect.signature(function).parameters} - {"x", "options"}


@dataclass(frozen=True)
class TrainingTime:
    """Estimate of how long training takes.

    Attributes
    ----------
    name: str
        Parameter file.
    multiply_adds: float
        For one window.
    epochs: int
        The largest number of epochs.
    fastest, slowest: float
        Seconds of all models together, on CPU threads.
    gpu: float
        Seconds on one GPU.
    """

    name: str
    multiply_adds: float
    epochs: int
    fastest: float
    slowest: float
    gpu: float


def estimate_training(
    files: Mapping[Path, Mapping[str, Any]], length: int, tasks: int, genes: int, models: int, threads: int
) -> list[TrainingTime]:
    """Estimate how long training takes with each parameter file that predicts one value per gene and task.

    Parameters
    ----------
    files: mapping of Path to mapping
        Parameter files, each with its overrides.
    length: int
        Window length, bp.
    tasks, genes, models: int
        Number of tasks, of training genes, and of models to train.
    threads: int
        CPU threads.

    Returns
    -------
    list of TrainingTime
        Files that do not fit windows of this length or expression, or cannot be read, are left out.
    """
    times = []
    for file, overrides in files.items():
        try:
            params = read_params(file, dict(overrides))
        except InputError:
            continue
        cost = network_cost(params["model"], length, tasks)
        if cost is None or not cost.per_gene or params["model"].get("seq_length", length) != length:
            continue
        epochs = count_epochs(params["train"], -(-genes // params["train"]["batch_size"]))
        operations = _OPERATIONS * cost.multiply_adds * genes * epochs * models
        slowest, fastest = (operations / (speed * threads) for speed in CPU_SPEED)
        times.append(TrainingTime(file.name, cost.multiply_adds, epochs, fastest, slowest, operations / GPU_SPEED))
    return times
