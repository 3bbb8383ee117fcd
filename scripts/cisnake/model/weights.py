"""Weights from files: those of Basenji and Baskerville (Keras 2 `.h5`), and our own.

Basenji and Baskerville save a network as a whole model (`model_best.h5`, `model0_best.h5`, the trunk alone) or as weights
alone, in the HDF5 layout of Keras 2: a group a layer, named after the kind of layer and a counter (`conv1d_12`,
`sync_batch_normalization_3`), and in it the weights by name (`conv1d_12/kernel:0`). The counters say in which order layers of
a kind were made, and `build_model` makes them in the same order, so that layers are paired like this:

1. By kind and order: the third Conv1D made is the third Conv1D made. Batch normalisation is one kind, synchronised or not.
2. Within a layer by name, `q_layer/kernel` with `q_layer/kernel`; where a part of a layer has no name of its own in the file
   (the dense layers of squeeze-and-excite), part by part, in the order in which Keras lists them.
3. Every shape must be the same, every layer of the model must have a partner, and every layer of the file too.
4. The wiring must agree: a layer must read from the partners of the layers that its partner reads from. So two layers of the
   same kind and shape in another order are noticed. A file of weights alone does not know the wiring, only an order in which
   each layer comes after those that it reads from: that order is what is checked then.

Networks with adapters that stay in them, Baskerville's `houlsby` and `houlsby_se`, are saved with a layer `adapter_houlsby` for
each `Bottleneck` and, where the adapter is one, a `squeeze_excite` for each `ChannelGate`. Adapters were made after all else,
and so are the last of their kind.

Only then is anything assigned: a file that does not fit leaves the model as it was.
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
# A matrix that the user gives: to Basenji no weight, and not in its files.
_NOT_IN_FILE = "factor_inverse"
# Adapters: their kind and the names of their weights in files of Baskerville.
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
    """The weights of one layer, of a file or of a model.

    Parameters
    ----------
    name: str
    kind: str
        Class of the layer in snake case: `conv1d`, `batch_normalization`.
    values: dict of tuple to array or Variable
        By name within the layer, ("kernel",) or ("q_layer", "kernel"), in the order in which Keras lists them.
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
    """What `load_weights` did; as text, a line a layer.

    Parameters
    ----------
    path: Path
        The file.
    matched: tuple of (str, str, int)
        Layer of the file, layer of the model, and how many numbers it has, in the order of the file.
    left_in_file: tuple of str
        Layers of the file that were not read.
    left_in_model: tuple of str
        Layers of the model that keep the weights that they had.
    """

    path: Path
    matched: tuple[tuple[str, str, int], ...]
    left_in_file: tuple[str, ...] = ()
    left_in_model: tuple[str, ...] = ()

    def __str__(self) -> str:
        total = sum(size for *_, size in self.matched)
        lines = [f"{self.path}: {total:,} weights of {len(self.matched)} layers loaded."]
        for left, where in ((self.left_in_file, "Left in the file"), (self.left_in_model, "Left as they were in the model")):
            if left:
                lines.append(f"{where}: {', '.join(left)}.")
        width = max(len(name) for name, *_ in self.matched)
        lines += [f"  {in_file:<{width}} -> {in_model} ({size:,})" for in_file, in_model, size in self.matched]
        return "\n".join(lines)


def load_weights(model: keras.Model, path: str | Path, trunk_only: bool = False) -> WeightsReport:
    """Load weights from a file of Basenji or Baskerville (`.h5`), or of ours (`.keras`, `.weights.h5`), into a model.

    The module's docstring says how layers of Basenji and Baskerville find their partners. In our own files they are known by
    name. Moving statistics of batch normalisation are weights like the others; the state of an optimizer is not read.

    A network of several heads is several files to Basenji and Baskerville, each of the trunk and one head: load each into
    `head_model(model, key)`. The trunks were saved at different epochs and differ: the file loaded last gives the trunk.

    Parameters
    ----------
    model: keras.Model
        From `build_model`, or the part of it that `head_model` gives.
    path: str or Path
        The file; what it is, its contents say.
    trunk_only: bool
        Load the trunk and leave the head, or heads, as they are, whatever the file has beside a trunk: for transfer to other
        tasks. Not for `.weights.h5`. Default False.

    Returns
    -------
    WeightsReport
        Which layer went where, and what was left out.

    Raises
    ------
    InputError
        The file is none of these, is damaged, or does not fit the model. The model is then unchanged.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"there is no file of weights {path}.")
    targets = _layers_of_model(model)
    wanted = [target for target in targets if target.name.startswith(_TRUNK)] if trunk_only else targets
    if not wanted:
        raise InputError(f"the model has no layers {'of a trunk ' if trunk_only else ''}with weights to load from {path}.")
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
                "%s: this network computes gelu exactly, as those into which Baskerville put adapters, and the model by tanh; "
                "to predict the same, build it with the adapter in its model section.",
                path,
            )
    for variable, array in _pair_weights(path, pairs):
        variable.assign(array)
    read, given = {source.name for source, _ in pairs}, {target.name for _, target in pairs}
    return WeightsReport(
        path,
        tuple((source.name, target.name, _size(target)) for source, target in pairs),
        tuple(source.name for source in sources if source.name not in read),
        tuple(target.name for target in targets if target.name not in given),
    )


def _layers_of_model(model: keras.Model) -> list[LayerWeights]:
    """Return the layers that have weights, in the order in which `build_model` made them: trunk first, then head by head."""
    found = []
    for layer in model.layers:
        values = {tuple(variable.path.split("/"))[1:]: variable for variable in layer.weights}
        if values:
            found.append(LayerWeights(layer.name, _snake_case(type(layer).__name__), values))
    return sorted(found, key=lambda layer: (not layer.name.startswith(_TRUNK), _natural(layer.name)))


# Files of Basenji and Baskerville


def _read_keras2(path: Path) -> tuple[list[LayerWeights], dict[str, Any] | None]:
    """Return the layers of a file that have weights, in its order, and the configuration, which one of weights alone lacks."""
    with _open(path) as file:
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs:
            raise InputError(f"{path} is an HDF5 file, but no network that Keras saved.")
        found = []
        for name in _texts(group.attrs["layer_names"]):
            values = {}
            for weight in _texts(group[name].attrs["weight_names"]):
                # Names may begin with the layer's, and end with as many ":0" as the model was saved and read.
                key = re.sub(r"(:\d+)+$", "", weight).split("/")
                while len(key) > 1 and key[0] == name:
                    del key[0]
                values[tuple(key)] = np.asarray(group[name][weight])
            if values:
                kind, _ = _split_counter(name)
                found.append(LayerWeights(name, _SAME_KIND.get(kind, kind), values))
        config = file.attrs.get("model_config")
    return found, None if config is None else json.loads(config)["config"]


def _has_exact_gelu(config: Mapping[str, Any]) -> bool:
    operations = [layer for layer in config["layers"] if layer["config"].get("function") == "nn.gelu"]
    return any('"approximate": true' not in json.dumps(layer["inbound_nodes"]) for layer in operations)


def _is_approximate_gelu(layer: Any) -> bool:
    return getattr(layer, "activation", None) is approximate_gelu


def _as_in_keras2(targets: list[LayerWeights]) -> list[LayerWeights]:
    """Return layers of the model with adapters last, as Baskerville makes them, of its kind and with its names of weights."""
    renamed = []
    for target in (target for target in targets if target.kind in _ADAPTERS):
        kind, names = _ADAPTERS[target.kind]
        values = {names[key[-1]]: variable for key, variable in target.values.items()}
        renamed.append(LayerWeights(target.name, kind, values))
    return [*(target for target in targets if target.kind not in _ADAPTERS), *renamed]


def _wiring_as_in_keras2(model: keras.Model) -> Wiring:
    """Return the wiring of the model as if gates gave factors, as they do in Baskerville, and not what they scale."""
    wiring = _wiring(model.get_config())
    gates = {layer.name for layer in model.layers if _snake_case(type(layer).__name__) == "channel_gate"}
    return {name: sources.union(*(wiring[gate] for gate in sources & gates)) for name, sources in wiring.items()}


def _pair_by_order(path: Path, sources: list[LayerWeights], wanted: list[LayerWeights], trunk_only: bool) -> Pairs:
    """Pair the n-th layer of a kind that was made with the n-th layer of that kind."""
    made: dict[str, list[LayerWeights]] = collections.defaultdict(list)
    for source in sorted(sources, key=lambda source: _split_counter(source.name)[1]):
        made[source.kind].append(source)
    needed: dict[str, list[LayerWeights]] = collections.defaultdict(list)
    for target in wanted:
        if target.kind != _NOT_IN_FILE:
            needed[target.kind].append(target)
    partner: dict[str, LayerWeights] = {}
    problems = []
    for kind in sorted({*made, *needed}):
        there, here = made[kind], needed[kind]
        counts = f"with {len(here)} {kind} layers in the model and {len(there)} in the file"
        if len(here) > len(there):
            problems.append(f"{here[len(there)]} of the model has no partner, {counts}")
        # Adapters belong to the trunk, which without them is another.
        elif len(there) > len(here) and (not trunk_only or kind == "adapter_houlsby"):
            problems.append(f"{there[len(here)]} of the file has no partner, {counts}")
        # The trunk is made before the heads: its layers are the first of their kind.
        partner.update((source.name, target) for source, target in zip(there, here))
    _refuse(path, problems)
    return [(source, partner[source.name]) for source in sources if source.name in partner]


def _wiring(config: Mapping[str, Any]) -> Wiring:
    """Return, for each layer of a functional model's configuration (of Keras 2 or 3), the layers that it is called on."""
    names = {layer["name"] for layer in config["layers"]}

    def called_on(node: Any) -> set[str]:
        if isinstance(node, dict):
            node = list(node.values())
        if not isinstance(node, (list, tuple)):
            return set()
        # Both write a tensor as [layer, call, output]; Keras 2 puts the call's further arguments, perhaps tensors too, behind.
        if len(node) >= 3 and isinstance(node[0], str) and node[0] in names and isinstance(node[1], int):
            return {node[0]}.union(*map(called_on, node[3:]))
        return set().union(*map(called_on, node))

    return {layer["name"]: called_on(layer["inbound_nodes"]) for layer in config["layers"]}


def _check_wiring(path: Path, pairs: Pairs, here: Wiring, there: Wiring | None) -> None:
    """Refuse pairs of which one reads from layers that are not the partners of those that the other reads from."""
    source_of = {target.name: source.name for source, target in pairs}
    reads_here = _reads_from(here, set(source_of))
    reads_there = None if there is None else _reads_from(there, set(source_of.values()))
    problems = []
    before: set[str] = set()
    for source, target in pairs:
        expected = {source_of[name] for name in reads_here[target.name]}
        if reads_there is not None and reads_there[source.name] != expected:
            problems.append(
                f"{source.name} of the file reads from {_listed(reads_there[source.name])}, but to be {target.name} of the "
                f"model it should read from {_listed(expected)}"
            )
        if reads_there is None and expected - before:
            problems.append(
                f"{source.name} comes before {_listed(expected - before)} in the file, but to be {target.name} of the model it "
                "should read from there"
            )
        before.add(source.name)
    _refuse(path, problems)


def _reads_from(wiring: Wiring, weighted: set[str]) -> dict[str, set[str]]:
    """Return, for each of some layers, which of them are the nearest before it, whatever stands between."""
    nearest: dict[str, set[str]] = {}

    def before(name: str) -> set[str]:
        if name not in nearest:
            nearest[name] = set().union(*({source} if source in weighted else before(source) for source in wiring[name]))
        return nearest[name]

    return {name: before(name) for name in weighted}


# Files of ours


def _read_keras(path: Path) -> list[LayerWeights]:
    try:
        return _layers_of_model(keras.saving.load_model(path, compile=False))
    except Exception as error:  # a damaged or foreign archive makes Keras stumble in many ways
        raise InputError(f"{path} cannot be read as a model of Keras: {_first_line(error)}") from error


def _pair_by_name(path: Path, sources: list[LayerWeights], wanted: list[LayerWeights], trunk_only: bool) -> Pairs:
    by_name = {source.name: source for source in sources}
    names = {target.name for target in wanted}
    problems = [f"{target} of the model is not in the file" for target in wanted if target.name not in by_name]
    if not trunk_only:
        problems += [f"{source} of the file is not in the model" for source in sources if source.name not in names]
    _refuse(path, problems)
    return [(by_name[target.name], target) for target in wanted]


def _is_numbered(path: Path) -> bool:
    """Tell whether a file is a `.weights.h5` of Keras 3, which numbers the weights of a layer and does not name them."""
    with _open(path) as file:
        return "layers" in file and "layer_names" not in file.attrs


def _load_numbered(model: keras.Model, path: Path, targets: list[LayerWeights], trunk_only: bool) -> WeightsReport:
    """Let Keras load what only Keras can read, once the names of layers agree."""
    if trunk_only:
        raise InputError(f"{path} has weights only, from which no trunk can be told: give a .keras file or Basenji's .h5.")
    with _open(path) as file:
        names = {str(group["vars"].attrs.get("name", key)) for key, group in file["layers"].items() if _has_weights(group)}
    mine = {target.name for target in targets}
    problems = [f"{name} of the model is not in the file" for name in sorted(mine - names, key=_natural)]
    problems += [f"{name} of the file is not in the model" for name in sorted(names - mine, key=_natural)]
    _refuse(path, problems)
    before = model.get_weights()
    try:
        model.load_weights(path)
    except Exception as error:
        model.set_weights(before)
        raise InputError(f"{path} does not fit the model, which is left as it was: {_first_line(error)}") from error
    return WeightsReport(path, tuple((target.name, target.name, _size(target)) for target in targets))


def _has_weights(group: h5py.Group) -> bool:
    return bool(group.visititems(lambda _, item: True if isinstance(item, h5py.Dataset) else None))


# What both need


def _pair_weights(path: Path, pairs: Pairs) -> list[tuple[Any, Any]]:
    """Return (variable of the model, array of the file) for all weights of paired layers, which must be of the same shapes."""
    values, problems = [], []
    for source, target in pairs:
        keys = _pair_keys(source.values, target.values)
        shapes = [(source.values[there].shape, tuple(target.values[here].shape)) for there, here in keys]
        if not keys or any(there != here for there, here in shapes):
            problems.append(f"{source} of the file, {target} of the model")
        values += [(target.values[here], source.values[there]) for there, here in keys]
    _refuse(path, problems)
    return values


def _pair_keys(there: Iterable[Key], here: Iterable[Key]) -> list[tuple[Key, Key]]:
    """Pair the weights of two layers by name, or else part by part and by name within; empty if they are not the same."""
    if set(there) == set(here):
        return [(key, key) for key in here]
    parts_there, parts_here = _parts(there), _parts(here)
    if [set(names) for names in parts_there.values()] != [set(names) for names in parts_here.values()]:
        return []
    return [((*a, name), (*b, name)) for (a, names), b in zip(parts_there.items(), parts_here) for name in names]


def _parts(keys: Iterable[Key]) -> dict[Key, list[str]]:
    parts: dict[Key, list[str]] = {}
    for *part, name in keys:
        parts.setdefault(tuple(part), []).append(name)
    return parts


def _refuse(path: Path, problems: list[str]) -> None:
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise InputError(
            f"{path} does not fit the model, which is left as it was: {'; '.join(problems[:_SHOWN])}{more}. "
            "Build the model from the params.json that belongs to the file."
        )


_open = functools.partial(
    open_hdf5,
    what="weights",
    remedy="give the .h5 that Basenji or Baskerville saved, or a .keras file of ours",
    faults=(OSError, KeyError, RuntimeError, ValueError),
)


def _texts(values: Iterable[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else str(value) for value in values]


def _snake_case(name: str) -> str:
    """Name a class as Keras names its layers: Conv1DTranspose is conv1d_transpose."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)).lower()


def _split_counter(name: str) -> tuple[str, int]:
    """Split conv1d_12 into (conv1d, 12); the first of a kind, conv1d, is number 0."""
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
