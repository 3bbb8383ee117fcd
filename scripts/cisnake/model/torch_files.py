"""Read tensors and settings from files of PyTorch, without PyTorch and without running code from the file.

A file that `torch.save` writes is a pickle, which may call any function when it is read. Here, only the names that tensors and
plain containers need are known; a file that asks for any other name is refused. Files of safetensors hold no code.
"""

from __future__ import annotations

import dataclasses
import json
import pickle
import zipfile
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import safetensors

from cisnake.errors import InputError

# The upper halves of float32.
_BFLOAT16 = np.dtype([("bfloat16", np.uint16)])
_STORAGES: dict[str, Any] = {
    "DoubleStorage": np.float64,
    "FloatStorage": np.float32,
    "HalfStorage": np.float16,
    "BFloat16Storage": _BFLOAT16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


@dataclasses.dataclass(frozen=True)
class TorchFile:
    """Contents of a file of PyTorch.

    Parameters
    ----------
    tensors: dict of str to numpy.ndarray
        Weights by name, without the prefix `model.` of Lightning; floating-point numbers as float32.
    settings: dict
        Hyperparameters of a checkpoint, or the metadata of a safetensors file, whose JSON is decoded; empty if there are none.
    """

    tensors: dict[str, np.ndarray]
    settings: dict[str, Any]


def is_torch_file(path: str | Path) -> bool:
    """Return whether a file was written by safetensors or `torch.save`, judged by its contents.

    Parameters
    ----------
    path: str or Path

    Returns
    -------
    bool
    """
    path = Path(path)
    if path.suffix == ".safetensors":
        return True
    if not zipfile.is_zipfile(path):
        return path.suffix in (".pt", ".pth", ".ckpt", ".bin")
    with zipfile.ZipFile(path) as archive:
        return any(PurePosixPath(name).name == "data.pkl" for name in archive.namelist())


def read_torch_file(path: str | Path, with_tensors: bool = True) -> TorchFile:
    """Read a `.safetensors` file, or a checkpoint or state dict that `torch.save` wrote.

    Parameters
    ----------
    path: str or Path
    with_tensors: bool
        Default True. If False, only the settings are read.

    Returns
    -------
    TorchFile

    Raises
    ------
    InputError
        The file is missing, damaged, older than PyTorch 1.6, without tensors, or asks for a name that neither tensors nor plain
        containers need.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"network {path} does not exist.")
    read = _read_safetensors if path.suffix == ".safetensors" else _read_archive
    tensors, settings = read(path, with_tensors)
    if with_tensors and not tensors:
        raise InputError(f"{path} contains no tensors: give a state dict or a checkpoint of a network.")
    if all(name.startswith("model.") for name in tensors):
        tensors = {name.removeprefix("model."): tensor for name, tensor in tensors.items()}
    return TorchFile({name: _as_float32(tensor) for name, tensor in tensors.items()}, settings)


def _as_float32(tensor: np.ndarray) -> np.ndarray:
    return tensor if tensor.dtype.kind in "biu" else tensor.astype(np.float32)


def _read_safetensors(path: Path, with_tensors: bool) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    # Registers bfloat16 with NumPy; part of every installation of TensorFlow.
    import ml_dtypes  # noqa: F401

    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            names = file.keys() if with_tensors else []
            return {name: file.get_tensor(name) for name in names}, _decoded(file.metadata() or {})
    except (safetensors.SafetensorError, OSError, TypeError) as error:
        raise InputError(f"{path} cannot be read as a safetensors file: {error}") from error


def _decoded(metadata: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for key, text in metadata.items():
        try:
            settings[key] = json.loads(text)
        except json.JSONDecodeError:
            settings[key] = text
    return settings


# Archives of torch.save


@dataclasses.dataclass(frozen=True)
class _Storage:
    dtype: np.dtype
    key: str


@dataclasses.dataclass(frozen=True)
class _Tensor:
    """A tensor of an archive, which is only read if it is wanted: a checkpoint also holds the state of the optimizer."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any) -> _Tensor:
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


def _parameter(tensor: _Tensor, *_: Any) -> _Tensor:
    return tensor


def _size(values: Any = ()) -> tuple[int, ...]:
    return tuple(values)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("torch", "Size"): _size,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): np.dtype(dtype) for name, dtype in _STORAGES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which is not read because it could run code: save the state dict of the network "
                "with safetensors"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, identifier: Any) -> _Storage:
        kind, dtype, key, *_ = identifier
        if kind != "storage" or not isinstance(dtype, np.dtype):
            raise pickle.UnpicklingError("it contains something other than tensors")
        return _Storage(dtype, str(key))


def _read_archive(path: Path, with_tensors: bool) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path} is damaged, or was written by PyTorch before 1.6: save it again with a later version.")
    try:
        with zipfile.ZipFile(path) as archive:
            pickled = next(name for name in archive.namelist() if PurePosixPath(name).name == "data.pkl")
            folder = PurePosixPath(pickled).parent
            with archive.open(pickled) as file:
                contents = _Unpickler(file).load()
            if not isinstance(contents, dict):
                raise pickle.UnpicklingError("it is not a dictionary")
            settings = contents.get("hyper_parameters", {})
            weights = contents.get("state_dict", contents) if with_tensors else {}
            order = _byte_order(archive, folder)
            tensors = {
                str(name): _materialize(archive, folder, order, value)
                for name, value in weights.items()
                if isinstance(value, _Tensor)
            }
        return tensors, dict(settings) if isinstance(settings, dict) else {}
    # Damaged archives and pickles raise nearly any type of error.
    except Exception as error:
        raise InputError(f"{path} cannot be read as a file of PyTorch: {error or type(error).__name__}.") from error


def _byte_order(archive: zipfile.ZipFile, folder: PurePosixPath) -> Literal["<", ">"]:
    name = str(folder / "byteorder")
    return ">" if name in archive.namelist() and archive.read(name) == b"big" else "<"


def _materialize(archive: zipfile.ZipFile, folder: PurePosixPath, order: Literal["<", ">"], tensor: _Tensor) -> np.ndarray:
    values = np.frombuffer(archive.read(str(folder / "data" / tensor.storage.key)), tensor.storage.dtype.newbyteorder(order))
    last = tensor.offset + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True))
    if min((tensor.offset, *tensor.shape, *tensor.strides)) < 0 or (0 not in tensor.shape and last >= len(values)):
        raise ValueError(f"a tensor of shape {tensor.shape} lies outside the stored values")
    if tensor.storage.dtype == _BFLOAT16:
        values = (values["bfloat16"].astype(np.uint32) << 16).view(np.float32)
    bytes_apart = [stride * values.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(values[tensor.offset :], tensor.shape, bytes_apart).copy()
