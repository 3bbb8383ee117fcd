"""Load weights from files of Basenji and Baskerville (Keras 2 `.h5`) and of Cisnake.

Basenji and Baskerville save either complete models (`model_best.h5`, `model0_best.h5`, or only the trunk) or only weights, in
the HDF5 layout of Keras 2. Each layer is a group named after its type and a counter (`conv1d_12`,
`sync_batch_normalization_3`), which contains the layer's weights by name (`conv1d_12/kernel:0`). The counters give the order in
which layers of a type were created. `build_model` creates layers in the same order, so they are matched as follows:

1. Layers are matched by type and order: the third Conv1D of the file to the third Conv1D of the model. Batch normalisation is
   one type, whether synchronised or not.
2. Weights within a layer are matched by name, for example `q_layer/kernel`. If the parts of a layer have no stable names in
   the file (the dense layers of squeeze-and-excite), parts are matched in the order in which Keras lists them.
3. Shapes must be equal, and every layer of the model and of the file must have a partner.
4. The wiring must agree: the inputs of a layer must be the partners of the inputs of its partner. This detects swapped layers
   of the same type and shape. Files with only weights do not store the wiring, but in them each layer comes after its inputs;
   this order is checked instead.

Networks with adapters that cannot be merged (Baskerville's `houlsby` and `houlsby_se`) contain a layer `adapter_houlsby` for
each `Bottleneck` and, for houlsby_se, a layer `squeeze_excite` for each `ChannelGate`. Adapters were created after all other
layers and are therefore the last of their type.

Weights are assigned only after all checks: a file that does not match leaves the model unchanged.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import re
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from cisnake.errors import InputError
from cisnake.files import open_hdf5
from cisnake.model.network import approximate_gelu
from cisnake.program import log

Key = tuple[str, ...]
Wiring = dict[str, set[str]]

_SAME_KIND = {"sync_batch_normalization": "batch_normalization"}
# A matrix provided by the user, which Basenji does not save as a weight.
_NOT_IN_FILE = "factor_inverse"
# Adapters: their layer type and weight names in Baskerville's files.
_ADAPTERS: dict[str, tuple[str, dict[str, Key]]] = {
    "bottleneck": (
        "adapter_houlsby",
        {f"{way}_{weight}": (f"adapter_{way}", weight) for way in ("down", "up") for weight in ("kernel", "bias")},
    ),
    "channel_gate": ("squeeze_excite", {"down_kernel": ("dense1", "kernel"), "up_kernel": ("dense2", "kernel")}),
}
_TRUNK = "trunk_"
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class LayerWeights:
    """The weights of one layer of a file or a model.

    Parameters
    ----------
    name: str
    kind: str
        Class of the layer in snake case: `conv1d`, `batch_normalization`.
    values: dict of tuple to array or Variable
        Weights by name within the layer, for example ("kernel",) or ("q_layer", "kernel"), in Keras's order.
    """

    name: str
    kind: str
    values: Mapping[Key, Any]

    def __str__(self) -> str:
        shapes = (f"{'/'.join(key)} {_times(value)}" for key, value in self.values.items())
        return f"{self.name} ({', '.join(shapes)})"


Pairs = list[tuple[LayerWeights, LayerWeights]]


@dataclasses.dataclass(frozen=True)
class WeightsReport:
    """Report of `load_weights`; its string has one line per layer.

    Parameters
    ----------
    path: Path
        The file.
    matched: tuple of (str, str, int)
        Layer of the file, layer of the model and number of weights, in the order of the file.
    left_in_file: tuple of str
        Layers of the file that were not loaded.
    left_in_model: tuple of str
        Layers of the model whose weights were not changed.
    """

    path: Path
    matched: tuple[tuple[str, str, int], ...]
    left_in_file: tuple[str, ...] = ()
    left_in_model: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = sum(size for *_, size in self.matched)
        lines = [f"{self.path}: loaded {total:,} weights of {len(self.matched)} layers."]
        for names, title in ((self.left_in_file, "Not loaded from the file"), (self.left_in_model, "Unchanged in the model")):
            if names:
                lines.append(f"{title}: {', '.join(names)}.")
        width = max(len(name) for name, *_ in self.matched)
        lines += [f"  {in_file:<{width}} -> {in_model} ({size:,})" for in_file, in_model, size in self.matched]
        return "\n".join(lines)


def load_weights(model: keras.Model, path: str | Path, trunk_only: bool = False) -> WeightsReport:
    """Load weights from a file of Basenji or Baskerville (`.h5`) or of Cisnake (`.keras`, `.weights.h5`) into a model.

    The docstring of the module describes how layers of Basenji and Baskerville are matched. Layers of Cisnake's files are
    matched by name. Moving statistics of batch normalisation are loaded like other weights; the optimizer state is not loaded.

    Basenji and Baskerville save a network with several heads as several files, each with the trunk and one head: load each
    into `head_model(model, key)`. Their trunks were saved at different epochs and differ: the last file loaded determines the
    trunk.

    Parameters
    ----------
    model: keras.Model
        From `build_model` or `head_model`.
    path: str or Path
        The file; its format is detected from its contents.
    trunk_only: bool
        Load only the trunk, and leave the heads unchanged, whatever else the file contains: for transfer to other tasks. Not
        supported for `.weights.h5`. Default False.

    Returns
    -------
    WeightsReport
        The matched layers, and those without a partner.

    Raises
    ------
    InputError
        The file has another format, is damaged, or does not match the model. The model is then unchanged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"weights file {path} does not exist.")
    targets = _layers_of_model(model)
    wanted = [target for target in targets if target.name.startswith(_TRUNK)] if trunk_only else targets
    if not wanted:
        raise InputError(
            f"cannot load weights from {path}: the model has no {'trunk ' if trunk_only else ''}layers with weights."
        )
    if zipfile.is_zipfile(path):
        sources = _read_keras(path)
        pairs = _pair_by_name(path, sources, wanted, trunk_only)
    elif _is_numbered(path):
        return _load_numbered(model, path, targets, trunk_only)
    else:
        sources, config = _read_keras2(path)
        pairs = _pair_by_order(path, sources, _as_in_keras2(wanted), trunk_only)
        _check_wiring(path, pairs, _wiring_as_in_keras2(model), None if config is None else _wiring(config))
        if config is not None and _has_exact_gelu(config) and any(map(_is_approximate_gelu, model.layers)):
            log.warning(
                "%s: the saved network uses exact gelu, as networks with Baskerville's adapters do, but the model uses the "
                "tanh approximation. For identical predictions, set the adapter in the model section.",
                path,
            )
    for variable, array in _pair_weights(path, pairs):
        variable.assign(array)
    loaded, assigned = {source.name for source, _ in pairs}, {target.name for _, target in pairs}
    return WeightsReport(
        path,
        tuple((source.name, target.name, _size(target)) for source, target in pairs),
        tuple(source.name for source in sources if source.name not in loaded),
        tuple(target.name for target in targets if target.name not in assigned),
    )


def _layers_of_model(model: keras.Model) -> list[LayerWeights]:
    """Return the layers with weights, in the order in which `build_model` created them: trunk first, then head by head."""
    weighted = []
    for layer in model.layers:
        values = {tuple(variable.path.split("/"))[1:]: variable for variable in layer.weights}
        if values:
            weighted.append(LayerWeights(layer.name, _snake_case(type(layer).__name__), values))
    return sorted(weighted, key=lambda layer: (not layer.name.startswith(_TRUNK), _natural(layer.name)))


# Files of Basenji and Baskerville


def _read_keras2(path: Path) -> tuple[list[LayerWeights], dict[str, Any] | None]:
    """Return the layers with weights in the order of the file, and the model's configuration (None if not in the file)."""
    with _open(path) as file:
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs:
            raise InputError(f"{path} is an HDF5 file, but not a network saved by Keras.")
        layers = []
        for name in _texts(group.attrs["layer_names"]):
            values = {}
            for weight in _texts(group[name].attrs["weight_names"]):
                # Names may start with the layer's name, and end with one ":0" for each time the model was saved and loaded.
                key = re.sub(r"(:\d+)+$", "", weight).split("/")
                while len(key) > 1 and key[0] == name:
                    del key[0]
                values[tuple(key)] = np.asarray(group[name][weight])
            if values:
                kind, _ = _split_counter(name)
                layers.append(LayerWeights(name, _SAME_KIND.get(kind, kind), values))
        config = file.attrs.get("model_config")
    return layers, None if config is None else json.loads(config)["config"]


def _has_exact_gelu(config: Mapping[str, Any]) -> bool:
    operations = [layer for layer in config["layers"] if layer["config"].get("function") == "nn.gelu"]
    return any('"approximate": true' not in json.dumps(layer["inbound_nodes"]) for layer in operations)


def _is_approximate_gelu(layer: Any) -> bool:
    return getattr(layer, "activation", None) is approximate_gelu


def _as_in_keras2(targets: list[LayerWeights]) -> list[LayerWeights]:
    """Return the layers of the model with adapters last, as created by Baskerville, and with its types and weight names."""
    renamed = []
    for target in (target for target in targets if target.kind in _ADAPTERS):
        kind, names = _ADAPTERS[target.kind]
        values = {names[key[-1]]: variable for key, variable in target.values.items()}
        renamed.append(LayerWeights(target.name, kind, values))
    return [*(target for target in targets if target.kind not in _ADAPTERS), *renamed]


def _wiring_as_in_keras2(model: keras.Model) -> Wiring:
    """Return the wiring of the model as in Baskerville, where gates return factors instead of the scaled input."""
    wiring = _wiring(model.get_config())
    gates = {layer.name for layer in model.layers if _snake_case(type(layer).__name__) == "channel_gate"}
    return {name: sources.union(*(wiring[gate] for gate in sources & gates)) for name, sources in wiring.items()}


def _pair_by_order(path: Path, sources: list[LayerWeights], wanted: list[LayerWeights], trunk_only: bool) -> Pairs:
    """Pair the n-th layer of each type in the file with the n-th layer of that type in the model, in order of creation."""
    in_file: dict[str, list[LayerWeights]] = collections.defaultdict(list)
    for source in sorted(sources, key=lambda source: _split_counter(source.name)[1]):
        in_file[source.kind].append(source)
    in_model: dict[str, list[LayerWeights]] = collections.defaultdict(list)
    for target in wanted:
        if target.kind != _NOT_IN_FILE:
            in_model[target.kind].append(target)
    partner: dict[str, LayerWeights] = {}
    problems = []
    for kind in sorted({*in_file, *in_model}):
        file_layers, model_layers = in_file[kind], in_model[kind]
        counts = f"with {len(model_layers)} {kind} layers in the model and {len(file_layers)} in the file"
        if len(model_layers) > len(file_layers):
            problems.append(f"{model_layers[len(file_layers)]} of the model has no partner, {counts}")
        # Adapters are part of the trunk: without them, its predictions would differ.
        elif len(file_layers) > len(model_layers) and (not trunk_only or kind == "adapter_houlsby"):
            problems.append(f"{file_layers[len(model_layers)]} of the file has no partner, {counts}")
        # The trunk is created before the heads: its layers are the first of their type.
        partner.update((source.name, target) for source, target in zip(file_layers, model_layers))
    _refuse(path, problems)
    return [(source, partner[source.name]) for source in sources if source.name in partner]


def _wiring(config: Mapping[str, Any]) -> Wiring:
    """Return the inputs of each layer from the configuration of a functional model (Keras 2 or 3)."""
    names = {layer["name"] for layer in config["layers"]}

    def inputs(node: Any) -> set[str]:
        if isinstance(node, dict):
            node = list(node.values())
        if not isinstance(node, (list, tuple)):
            return set()
        # Both versions write a tensor as [layer, call, output]. In Keras 2, further arguments (maybe tensors) follow.
        if len(node) >= 3 and isinstance(node[0], str) and node[0] in names and isinstance(node[1], int):
            return {node[0]}.union(*map(inputs, node[3:]))
        return set().union(*map(inputs, node))

    return {layer["name"]: inputs(layer["inbound_nodes"]) for layer in config["layers"]}


def _check_wiring(path: Path, pairs: Pairs, model_wiring: Wiring, file_wiring: Wiring | None) -> None:
    """Raise an error if the inputs of paired layers are not partners of each other."""
    source_of = {target.name: source.name for source, target in pairs}
    model_inputs = _weighted_inputs(model_wiring, set(source_of))
    file_inputs = None if file_wiring is None else _weighted_inputs(file_wiring, set(source_of.values()))
    problems = []
    before: set[str] = set()
    for source, target in pairs:
        expected = {source_of[name] for name in model_inputs[target.name]}
        if file_inputs is not None and file_inputs[source.name] != expected:
            problems.append(
                f"{source.name} of the file reads from {_listed(file_inputs[source.name])}, but {target.name} of the model "
                f"would require {_listed(expected)}"
            )
        if file_inputs is None and expected - before:
            problems.append(
                f"{source.name} comes before {_listed(expected - before)} in the file, but {target.name} of the model would "
                "require it to read from there"
            )
        before.add(source.name)
    _refuse(path, problems)


def _weighted_inputs(wiring: Wiring, weighted: set[str]) -> dict[str, set[str]]:
    """Return the nearest upstream layers with weights for each layer with weights, skipping layers in between."""
    nearest: dict[str, set[str]] = {}

    def before(name: str) -> set[str]:
        if name not in nearest:
            nearest[name] = set().union(*({source} if source in weighted else before(source) for source in wiring[name]))
        return nearest[name]

    return {name: before(name) for name in weighted}


# Files of Cisnake


def _read_keras(path: Path) -> list[LayerWeights]:
    try:
        return _layers_of_model(keras.saving.load_model(path, compile=False))
    except Exception as error:  # Keras raises many types of errors for damaged or foreign archives
        raise InputError(f"{path} cannot be read as a Keras model: {_first_line(error)}") from error


def _pair_by_name(path: Path, sources: list[LayerWeights], wanted: list[LayerWeights], trunk_only: bool) -> Pairs:
    by_name = {source.name: source for source in sources}
    names = {target.name for target in wanted}
    problems = [f"{target} of the model is not in the file" for target in wanted if target.name not in by_name]
    if not trunk_only:
        problems += [f"{source} of the file is not in the model" for source in sources if source.name not in names]
    _refuse(path, problems)
    return [(by_name[target.name], target) for target in wanted]


def _is_numbered(path: Path) -> bool:
    """Return whether a file is a `.weights.h5` of Keras 3, which numbers the weights of a layer instead of naming them."""
    with _open(path) as file:
        return "layers" in file and "layer_names" not in file.attrs


def _load_numbered(model: keras.Model, path: Path, targets: list[LayerWeights], trunk_only: bool) -> WeightsReport:
    """Load a `.weights.h5` with Keras, after checking layer names."""
    if trunk_only:
        raise InputError(
            f"{path} contains only weights, so its trunk cannot be identified: use a .keras file or a .h5 file of Basenji."
        )
    with _open(path) as file:
        names = {str(group["vars"].attrs.get("name", key)) for key, group in file["layers"].items() if _has_weights(group)}
    model_names = {target.name for target in targets}
    problems = [f"{name} of the model is not in the file" for name in sorted(model_names - names, key=_natural)]
    problems += [f"{name} of the file is not in the model" for name in sorted(names - model_names, key=_natural)]
    _refuse(path, problems)
    before = model.get_weights()
    try:
        model.load_weights(path)
    except Exception as error:
        model.set_weights(before)
        raise InputError(f"{path} does not match the model, which is unchanged: {_first_line(error)}") from error
    return WeightsReport(path, tuple((target.name, target.name, _size(target)) for target in targets))


def _has_weights(group: h5py.Group) -> bool:
    return bool(group.visititems(lambda _, item: True if isinstance(item, h5py.Dataset) else None))


# Shared by all formats


def _pair_weights(path: Path, pairs: Pairs) -> list[tuple[Any, Any]]:
    """Return (variable of the model, array of the file) for all weights of paired layers, after checking their shapes."""
    values, problems = [], []
    for source, target in pairs:
        keys = _pair_keys(source.values, target.values)
        shapes = [(source.values[in_file].shape, tuple(target.values[in_model].shape)) for in_file, in_model in keys]
        if not keys or any(file_shape != model_shape for file_shape, model_shape in shapes):
            problems.append(f"{source} of the file differs from {target} of the model")
        values += [(target.values[in_model], source.values[in_file]) for in_file, in_model in keys]
    _refuse(path, problems)
    return values


def _pair_keys(in_file: Iterable[Key], in_model: Iterable[Key]) -> list[tuple[Key, Key]]:
    """Pair the weights of two layers by name, or else part by part and by name within; empty if the names differ."""
    if set(in_file) == set(in_model):
        return [(key, key) for key in in_model]
    file_parts, model_parts = _parts(in_file), _parts(in_model)
    if [set(names) for names in file_parts.values()] != [set(names) for names in model_parts.values()]:
        return []
    return [((*a, name), (*b, name)) for (a, names), b in zip(file_parts.items(), model_parts) for name in names]


def _parts(keys: Iterable[Key]) -> dict[Key, list[str]]:
    parts: dict[Key, list[str]] = {}
    for *part, name in keys:
        parts.setdefault(tuple(part), []).append(name)
    return parts


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"{path} does not match the model, which is unchanged: {'; '.join(problems[:_SHOWN])}{more}. "
            "Build the model from the params.json of this file."
        )


_open = functools.partial(
    open_hdf5,
    what="weights",
    remedy="use a .h5 file of Basenji or Baskerville, or a .keras file of Cisnake",
    faults=(OSError, KeyError, RuntimeError, ValueError),
)


def _texts(values: Iterable[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _snake_case(name: str) -> str:
    """Convert a class name to snake case as Keras does: Conv1DTranspose to conv1d_transpose."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _split_counter(name: str) -> tuple[str, int]:
    """Split conv1d_12 into (conv1d, 12); the first layer of a type, conv1d, is number 0."""
    match = re.fullmatch(r"(.+?)_(\d+)", name)
    return (match[1], int(match[2])) if match else (name, 0)


def _natural(name: str) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _listed(names: set[str]) -> str:
    return ", ".join(sorted(names, key=_natural)) or "the sequence"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _size(layer: LayerWeights) -> int:
    return sum(int(np.prod(value.shape)) for value in layer.values.values())


def _times(value: Any) -> str:
    return "×".join(map(str, value.shape)) or "scalar"
