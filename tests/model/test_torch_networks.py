"""Networks of PyTorch, compared with the predictions of Decima's, gReLU's and borzoi-pytorch's own classes."""

import io
import json
import pickle
import shutil
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cisnake.errors import InputError
from cisnake.model import is_torch_file, read_network
from cisnake.model.torch_files import read_torch_file
from cisnake.model.torch_networks import read_torch_network, torch_description

FOLDER = Path(__file__).parent / "data" / "torch"
LENGTH, GENE_START = 1024, 300


@pytest.fixture(scope="module")
def reference():
    with np.load(FOLDER / "reference.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def bases(reference):
    return np.eye(4, dtype=np.float32)[reference["sequences"]]


def with_body(bases):
    body = np.zeros((*bases.shape[:2], 1), np.float32)
    body[:, GENE_START:] = 1
    return np.concatenate([bases, body], axis=2)


def assert_close(predicted, expected):
    """Compare within 1e-5 of the largest value; the expected values themselves differ by far more."""
    assert np.std(expected) > 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(predicted, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def test_decima(reference, bases):
    model = read_network(FOLDER / "decima.safetensors", length=LENGTH)
    assert_close(model(with_body(bases)), reference["decima"])


def test_checkpoint_of_grelu(reference, bases):
    model = read_network(FOLDER / "grelu.ckpt", length=LENGTH)
    assert_close(model(bases), reference["grelu"])


@pytest.mark.parametrize("head", ["human", "mouse"])
def test_borzoi_pytorch(head, reference, bases):
    model = read_network(FOLDER / "borzoi" / "model.safetensors", length=LENGTH, head=f"head_{head}")
    assert_close(model(bases), reference[head])


def test_a_network_is_saved_and_read_again_unchanged(tmp_path, bases):
    model = read_torch_network(FOLDER / "grelu.ckpt", LENGTH)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(read_network(tmp_path / "model.keras")(bases), model(bases))


def test_one_of_two_heads_must_be_chosen():
    path = FOLDER / "borzoi" / "model.safetensors"
    with pytest.raises(InputError, match=r"has the heads head_human, head_mouse: set model\.head"):
        read_network(path, length=LENGTH)
    with pytest.raises(InputError, match=r"unknown model\.head 'head_rat'"):
        read_network(path, length=LENGTH, head="head_rat")


def test_names_of_a_checkpoint():
    assert torch_description(FOLDER / "grelu.ckpt") == {"tasks": ["liver", "brain", "T cell"]}
    assert torch_description(FOLDER / "decima.safetensors") == {"name": "v1_tiny"}


def test_cropping_needs_a_window_that_is_long_enough(tmp_path):
    tensors = load_file(FOLDER / "decima.safetensors")
    save_file(tensors, tmp_path / "bare.safetensors")
    with pytest.raises(InputError, match="crops 5120 positions on either side, but a window of 1024 bases has only 512"):
        read_torch_network(tmp_path / "bare.safetensors", LENGTH)
    shutil.copy(FOLDER / "borzoi" / "model.safetensors", tmp_path)
    with pytest.raises(InputError, match="predicts the middle 6144 positions, but a window has only 32"):
        read_torch_network(tmp_path / "model.safetensors", LENGTH, "head_human")


def changed(tmp_path, change, name="grelu.ckpt"):
    """Write the tensors of a network as safetensors, after a change."""
    file = read_torch_file(FOLDER / name)
    tensors = dict(file.tensors)
    change(tensors)
    metadata = {key: json.dumps(value) for key, value in file.settings.items()}
    save_file(
        {name: np.ascontiguousarray(value) for name, value in tensors.items()}, tmp_path / "changed.safetensors", metadata
    )
    return tmp_path / "changed.safetensors"


def test_no_tensor_may_be_missing_or_left_over(tmp_path):
    lost = "embedding.transformer_tower.blocks.1.mha.to_v.weight"
    with pytest.raises(InputError, match=lost.replace(".", r"\.")):
        read_torch_network(changed(tmp_path, lambda tensors: tensors.pop(lost)), LENGTH)
    extra = {"embedding.unknown.weight": np.ones(3, np.float32)}
    with pytest.raises(InputError, match=r"does not match Borzoi's architecture: no place for embedding\.unknown\.weight"):
        read_torch_network(changed(tmp_path, lambda tensors: tensors.update(extra)), LENGTH)
    wrong = {"embedding.pointwise_conv.norm.layer.bias": np.ones(3, np.float32)}
    with pytest.raises(InputError, match=r"pointwise_conv\.norm\.layer\.bias has shape \(3,\), but .* has \(32,\)"):
        read_torch_network(changed(tmp_path, lambda tensors: tensors.update(wrong)), LENGTH)


def test_settings_that_cannot_be_followed_are_refused_by_name(tmp_path):
    tensors, settings = load_file(FOLDER / "decima.safetensors"), {"model_params": {"mask": True, "borzoi_kwargs": {}}}

    def written(**borzoi):
        settings["model_params"]["borzoi_kwargs"] = borzoi
        save_file(tensors, tmp_path / "a.safetensors", {key: json.dumps(value) for key, value in settings.items()})
        return tmp_path / "a.safetensors"

    with pytest.raises(InputError, match=r"crop_len of .*a\.safetensors is 'auto': only a number of positions"):
        read_torch_network(written(crop_len="auto"), LENGTH)
    with pytest.raises(InputError, match=r"unknown act_func of .* 'gelu_borzo': did you mean gelu_borzoi"):
        read_torch_network(written(crop_len=16, act_func="gelu_borzo"), LENGTH)
    shutil.copy(FOLDER / "borzoi" / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text("{bins: 3")
    with pytest.raises(InputError, match=r"config\.json cannot be read as JSON"):
        read_torch_network(tmp_path / "model.safetensors", LENGTH, "head_human")


@pytest.mark.parametrize("name", ["transformer.0.0.fn.1.mha.Wqkv.weight", "model.embedding.x.mha.qkv.weight"])
def test_flashzoi_is_refused_by_name(name, tmp_path):
    save_file({name: np.ones(3, np.float32)}, tmp_path / "flash.safetensors")
    with pytest.raises(InputError, match=r"has the attention of Flashzoi \(rotary positions\), which is not supported"):
        read_torch_network(tmp_path / "flash.safetensors", LENGTH)


def test_other_networks_are_refused(tmp_path):
    save_file({"layer.weight": np.ones(3, np.float32)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"is not a network of Decima, gReLU's Borzoi or borzoi-pytorch"):
        read_torch_network(tmp_path / "other.safetensors", LENGTH)


# Archives of torch.save, written by hand


class Hostile:
    def __init__(self, call, *arguments):
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


def archive(path, contents, **storages):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("net/data.pkl", contents if isinstance(contents, bytes) else pickle.dumps(contents, protocol=2))
        for key, values in storages.items():
            file.writestr(f"net/data/{key}", values)
    return path


def with_tensor(storage, offset, shape, strides, key="k0", size=6):
    """Return a pickle of {"w": tensor}, as torch.save writes it."""

    class Pickler(pickle.Pickler):
        def persistent_id(self, item):
            return item[1:] if isinstance(item, tuple) and item[:1] == ("persistent",) else None

    class Name:
        """Stands for a global of PyTorch, which is not installed."""

        def __init__(self, module, name):
            self.module, self.name = module, name

    def text(item):
        buffer = io.BytesIO()
        Pickler(buffer, protocol=2).dump(item)
        return buffer.getvalue()[2:-1]

    def name(item):
        return f"c{item.module}\n{item.name}\n".encode()

    storage_id = b"(" + text("storage") + name(Name("torch", storage)) + text(key) + text("cpu") + text(size) + b"tQ"
    arguments = b"(" + storage_id + text(offset) + text(shape) + text(strides) + b"\x89" + text(OrderedDict()) + b"t"
    tensor = name(Name("torch._utils", "_rebuild_tensor_v2")) + arguments + b"R"
    return b"\x80\x02}" + text("w") + tensor + b"s."


def test_tensors_of_an_archive_have_their_offset_and_strides(tmp_path):
    values = np.arange(6, dtype="<f4")
    path = archive(tmp_path / "a.pt", with_tensor("FloatStorage", 1, (2, 2), (1, 2)), k0=values.tobytes())
    np.testing.assert_array_equal(read_torch_file(path).tensors["w"], [[1, 3], [2, 4]])
    half = archive(tmp_path / "b.pt", with_tensor("HalfStorage", 0, (3,), (2,)), k0=values.astype("<f2").tobytes())
    tensor = read_torch_file(half).tensors["w"]
    np.testing.assert_array_equal(tensor, [0, 2, 4])
    assert tensor.dtype == np.float32


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    stored = b"".join(struct.pack("<f", value)[2:] for value in (1.0, -2.5, 0.0, 3.0, 256.0, -0.125))
    path = archive(tmp_path / "a.pt", with_tensor("BFloat16Storage", 0, (6,), (1,)), k0=stored)
    np.testing.assert_array_equal(read_torch_file(path).tensors["w"], [1, -2.5, 0, 3, 256, -0.125])


def test_bfloat16_of_safetensors_becomes_float32(tmp_path):
    values = np.array([[1.0, -2.5], [256.0, -0.125]], ml_dtypes.bfloat16)
    save_file({"w": values}, tmp_path / "a.safetensors")
    tensor = read_torch_file(tmp_path / "a.safetensors").tensors["w"]
    assert tensor.dtype == np.float32
    np.testing.assert_array_equal(tensor, values.astype(np.float32))


@pytest.mark.parametrize("name", ["grelu.ckpt", "decima.safetensors"])
def test_settings_can_be_read_without_tensors(name):
    alone = read_torch_file(FOLDER / name, with_tensors=False)
    assert alone.tensors == {} and alone.settings == read_torch_file(FOLDER / name).settings != {}


@pytest.mark.parametrize(
    ("offset", "shape", "strides"), [(5, (2,), (1,)), (0, (2, 3), (4, 1)), (-1, (2,), (1,)), (0, (3,), (-1,)), (0, (7,), (1,))]
)
def test_tensors_outside_their_storage_are_refused(offset, shape, strides, tmp_path):
    path = archive(tmp_path / "a.pt", with_tensor("FloatStorage", offset, shape, strides), k0=np.zeros(6, "<f4").tobytes())
    with pytest.raises(InputError, match="lies outside the stored values"):
        read_torch_file(path)


@pytest.mark.parametrize("call", [eval, print, getattr, __import__, io.open])
def test_a_hostile_file_is_refused_before_anything_runs(call, tmp_path, capsys):
    target = tmp_path / "harmed"
    arguments = {eval: (f"open({str(target)!r}, 'w')",), io.open: (str(target), "w"), getattr: ({}, "keys")}
    path = archive(tmp_path / "a.ckpt", {"state_dict": {}, "x": Hostile(call, *arguments.get(call, ("os",)))})
    with pytest.raises(InputError, match=r"it asks for \w+\.\w+, which is not read because it could run code"):
        read_torch_file(path)
    assert not target.exists()
    assert capsys.readouterr().out == ""


def test_names_beside_the_allowed_ones_are_refused(tmp_path):
    path = archive(tmp_path / "a.pt", b"ctorch._utils\n_rebuild_tensor\n(tR.")
    with pytest.raises(InputError, match=r"it asks for torch\._utils\._rebuild_tensor,"):
        read_torch_file(path)
    # Attributes of allowed names cannot be reached either.
    dotted = archive(tmp_path / "b.pt", b"\x80\x04\x8c\x0bcollections\x8c\x1aOrderedDict.__subclasses__\x93.")
    with pytest.raises(InputError, match=r"it asks for collections\.OrderedDict\.__subclasses__"):
        read_torch_file(dotted)


def test_damaged_and_old_files_are_refused(tmp_path):
    whole = (FOLDER / "grelu.ckpt").read_bytes()
    (tmp_path / "cut.ckpt").write_bytes(whole[:-5000])
    with pytest.raises(InputError, match=r"is damaged, or was written by PyTorch before 1\.6"):
        read_torch_file(tmp_path / "cut.ckpt")
    (tmp_path / "cut.safetensors").write_bytes((FOLDER / "decima.safetensors").read_bytes()[:-100])
    with pytest.raises(InputError, match="cannot be read as a safetensors file"):
        read_torch_file(tmp_path / "cut.safetensors")
    with pytest.raises(InputError, match="contains no tensors"):
        read_torch_file(archive(tmp_path / "empty.pt", {"state_dict": {}}))
    with pytest.raises(InputError, match="it is not a dictionary"):
        read_torch_file(archive(tmp_path / "list.pt", [1, 2]))
    with pytest.raises(InputError, match="does not exist"):
        read_torch_file(tmp_path / "missing.pt")


def test_files_are_recognised_by_their_contents(tmp_path):
    # gReLU's Borzoi has the extension .h5.
    shutil.copy(FOLDER / "grelu.ckpt", tmp_path / "state.h5")
    assert is_torch_file(tmp_path / "state.h5")
    with zipfile.ZipFile(tmp_path / "a.keras", "w") as file:
        file.writestr("config.json", "{}")
    assert not is_torch_file(tmp_path / "a.keras")
    assert not is_torch_file(tmp_path / "missing.h5")
