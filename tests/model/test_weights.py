"""Loading of weights; `data/` has models saved by Basenji and Baskerville, and their predictions (`make_reference.py`)."""

from __future__ import annotations

import copy
import functools
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from cisnake.errors import InputError
from cisnake.model.network.adapters import insert_adapter
from cisnake.model.network.seqnn import build_model, head_model
from cisnake.model.weights import load_weights

DATA = Path(__file__).parent / "data"

# Folder, file, head, index of the output in the reference.
FILES = [
    ("basenji2", "model_best.h5", "head", 0),
    ("gene", "model_best.h5", "head", 0),
    ("enformer", "model_best.h5", "head_human", 0),
    ("borzoi", "model0_best.h5", "head_human", 0),
    ("borzoi", "model1_best.h5", "head_mouse", 1),
    ("borzoi", "weights0.h5", "head_human", 0),
    ("convnext", "model_best.h5", "head", 0),
    ("excite", "model_best.h5", "head", 0),
    ("unet", "model_best.h5", "head", 0),
    ("unet_concat", "model_best.h5", "head", 0),
    ("houlsby", "model_best.h5", "head_human", 0),
    ("houlsby_se", "model_best.h5", "head_human", 0),
]


def read_params(folder: str) -> dict[str, Any]:
    return json.loads((DATA / folder / "params.json").read_text())["model"]


@functools.cache
def _built(params: str) -> keras.Model:
    return build_model(json.loads(params))


def untouched(params: dict[str, Any]) -> keras.Model:
    """Return a model that stays unchanged, built once for all tests of rejected files."""
    return _built(json.dumps(params))


def with_block(folder: str, part: str, index: int, **changes: Any) -> dict[str, Any]:
    """Return the parameters of a reference with one block changed."""
    params = copy.deepcopy(read_params(folder))
    blocks = params[part] if isinstance(params[part], list) else [params[part]]
    blocks[index].update(changes)
    return params


def with_keys(params: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return parameters with only some of the heads."""
    return {key: value for key, value in params.items() if not key.startswith("head") or key in keys}


def read_reference(folder: str) -> tuple[np.ndarray, Any]:
    reference = np.load(DATA / folder / "reference.npz")
    return np.eye(5, dtype=np.float32)[reference["codes"]][..., :4], reference


def predict(model: keras.Model, x: np.ndarray) -> Any:
    return tf.nest.map_structure(np.asarray, model(x, training=False))


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def assert_refused(model: keras.Model, path: Path, match: str, **arguments: Any) -> None:
    """Assert that a file is rejected with an error that matches, and that the model's weights are unchanged."""
    before = model.get_weights()
    with pytest.raises(InputError, match=match):
        load_weights(model, path, **arguments)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def edited(path: Path, tmp_path: Path, change: Any) -> Path:
    """Return a copy of an HDF5 file with changes."""
    copied = tmp_path / f"edited-{path.name}"
    copied.write_bytes(path.read_bytes())
    with h5py.File(copied, "r+") as file:
        change(file)
    return copied


# Predictions of the originals


@pytest.mark.parametrize(("folder", "name", "head", "index"), FILES)
def test_predictions_are_those_of_the_original(folder, name, head, index, caplog):
    x, reference = read_reference(folder)
    model = build_model(with_keys(read_params(folder), head))
    untrained = predict(model, x)
    with caplog.at_level("WARNING", logger="cisnake"):
        report = load_weights(model, DATA / folder / name)
    assert not caplog.records
    expected = reference[f"outputs{index}"]
    assert distance(predict(model, x), expected) < 1e-5
    assert distance(untrained, expected) > 0.01
    assert sum(size for *_, size in report.matched) == model.count_params()
    assert report.left_in_file == report.left_in_model == ()


def test_gradients_are_those_of_the_original():
    saved = np.load(DATA / "borzoi" / "gradients.npz")
    model = build_model(with_keys(read_params("borzoi"), "head_human"))
    load_weights(model, DATA / "borzoi" / "model0_best.h5")
    x = tf.constant(np.eye(5, dtype=np.float32)[saved["codes"]][..., :4])
    for target, expected in enumerate(saved["plain"]):
        with tf.GradientTape() as tape:
            tape.watch(x)
            score = tf.reduce_sum(model(x, training=False)[..., target], axis=1)
        assert distance(tape.gradient(score, x).numpy(), expected) < 1e-4


def test_each_head_is_loaded_into_its_part_of_the_model():
    x, reference = read_reference("borzoi")
    model = build_model(read_params("borzoi"))
    for index, head in enumerate(("head_human", "head_mouse")):
        load_weights(head_model(model, head), DATA / "borzoi" / f"model{index}_best.h5")
    found = predict(model, x)
    assert distance(found["head_human"], reference["outputs0"]) < 1e-5
    assert distance(found["head_mouse"], reference["outputs1"]) < 1e-5


def test_the_file_of_one_head_does_not_fill_a_model_of_two():
    model = untouched(read_params("borzoi"))
    assert_refused(model, DATA / "borzoi" / "model0_best.h5", r"head_mouse_2_final_dense_1 .*no partner, with 9 dense")


# Adapters that cannot be merged


@pytest.mark.parametrize("folder", ["houlsby", "houlsby_se"])
def test_adapters_inserted_by_hand_use_another_gelu(folder, caplog):
    params = read_params(folder)
    names = {"adapter_latent": "latent", "conv_select": "conv_select", "se_rank": "conv_latent"}
    settings = {names[key]: params.pop(key) for key in names if key in params}
    model = insert_adapter(build_model(params | {"adapter": None}), params["adapter"], **settings)[0]
    with caplog.at_level("WARNING", logger="cisnake"):
        report = load_weights(model, DATA / folder / "model_best.h5")
    assert "model_best.h5: the saved network uses exact gelu" in caplog.text
    x, reference = read_reference(folder)
    assert 1e-5 < distance(predict(model, x), reference["outputs0"]) < 1e-3
    pairs = {source: target for source, target, _ in report.matched}
    assert pairs["adapter_houlsby_1" if folder == "houlsby" else "adapter_houlsby_5"] == (
        "trunk_3_transformer_tower_add_2_adapter"
    )
    if folder == "houlsby_se":
        assert pairs["squeeze_excite_3"] == "trunk_6_conv_nac_conv1d_1_adapter"


def test_the_trunk_with_its_adapters_is_loaded_for_another_head():
    params = read_params("houlsby") | {"strand_pair": [], "head_human": {"name": "final", "units": 5}}
    report = load_weights(build_model(params), DATA / "houlsby" / "model_best.h5", trunk_only=True)
    assert report.left_in_file == ("dense_6",) and report.left_in_model == ("head_human_1_final_dense_1",)


@pytest.mark.parametrize("trunk_only", [False, True])
def test_missing_adapters_are_reported(trunk_only):
    plain = {key: value for key, value in read_params("houlsby").items() if not key.startswith("adapter")}
    match = r"adapter_houlsby \(.*\) of the file has no partner, with 0 adapter_houlsby layers in the model and 4 in the file"
    assert_refused(untouched(plain), DATA / "houlsby" / "model_best.h5", match, trunk_only=trunk_only)
    wider = read_params("houlsby") | {"adapter_latent": 3}
    match = r"adapter_houlsby \(adapter_down/kernel 10×2, .*of the file differs from trunk_3_transformer_tower_add_1_adapter"
    assert_refused(untouched(wider), DATA / "houlsby" / "model_best.h5", match, trunk_only=trunk_only)


@pytest.mark.parametrize("name", ["adapter_houlsby_5", "squeeze_excite_1"])
def test_swapped_adapters_are_detected(tmp_path, name):
    kind, number = name.rsplit("_", 1)
    path = edited(DATA / "houlsby_se" / "model_best.h5", tmp_path, lambda file: swap(file, name, f"{kind}_{int(number) + 1}"))
    assert_refused(untouched(read_params("houlsby_se")), path, f"{name} of the file")


# Matching of layers


def test_layers_are_matched_in_order_of_creation():
    model = build_model(read_params("basenji2"))
    report = load_weights(model, DATA / "basenji2" / "model_best.h5")
    pairs = {source: target for source, target, _ in report.matched}
    assert pairs["conv1d"] == "trunk_1_conv_block_conv1d_1"
    # Alphabetically conv1d_10 comes before conv1d_9.
    assert pairs["conv1d_9"] == "trunk_3_dilated_residual_conv1d_6"
    assert pairs["conv1d_10"] == "trunk_3_dilated_residual_conv1d_7"
    assert pairs["dense"] == "head_1_final_dense_1"
    kernel = model.get_layer("trunk_3_dilated_residual_conv1d_7").kernel.numpy()
    with h5py.File(DATA / "basenji2" / "model_best.h5") as file:
        np.testing.assert_array_equal(kernel, file["model_weights/conv1d_10/conv1d_10/kernel:0"])


@pytest.mark.parametrize(("folder", "kind"), [("basenji2", "batch_normalization"), ("gene", "sync_batch_normalization")])
def test_statistics_of_batch_normalization_are_loaded(folder, kind):
    model = build_model(read_params(folder))
    report = load_weights(model, DATA / folder / "model_best.h5")
    pairs = [(source, target) for source, target, _ in report.matched if source.startswith(kind)]
    assert len(pairs) == sum(isinstance(layer, keras.layers.BatchNormalization) for layer in model.layers) > 5
    with h5py.File(DATA / folder / "model_best.h5") as file:
        for source, target in pairs:
            layer, group = model.get_layer(target), file["model_weights"][source][source]
            for name in ("gamma", "beta", "moving_mean", "moving_variance"):
                np.testing.assert_array_equal(getattr(layer, name).numpy(), group[f"{name}:0"])


def test_weights_of_attention_are_paired_by_name_whatever_their_order_in_the_file(tmp_path):
    def reverse(file):
        group = file["model_weights"]["multihead_attention_2"]
        names = list(group.attrs["weight_names"])
        group.attrs["weight_names"] = names[::-1]

    x, reference = read_reference("borzoi")
    model = build_model(with_keys(read_params("borzoi"), "head_human"))
    load_weights(model, edited(DATA / "borzoi" / "model0_best.h5", tmp_path, reverse))
    assert distance(predict(model, x), reference["outputs0"]) < 1e-5


def test_weight_names_with_suffixes_from_repeated_saving_are_matched(tmp_path):
    """In a model saved, loaded and saved again, weights are named multihead_attention/r_w_bias:0:0."""

    def rename(file):
        group = file["model_weights"]["multihead_attention_2"]
        names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
        for name in names:
            group.move(name, f"{name}:0")
        group.attrs["weight_names"] = [f"{name}:0" for name in names]

    model = build_model(with_keys(read_params("borzoi"), "head_human"))
    load_weights(model, edited(DATA / "borzoi" / "model0_best.h5", tmp_path, rename))
    x, reference = read_reference("borzoi")
    assert distance(predict(model, x), reference["outputs0"]) < 1e-5


def test_the_matrix_of_factor_inverse_stays(tmp_path):
    np.save(tmp_path / "components.npy", np.arange(6.0, dtype=np.float32).reshape(2, 3))
    params = read_params("unet")
    params["head"] = [params["head"], {"name": "factor_inverse", "components_file": str(tmp_path / "components.npy")}]
    model = build_model(params)
    report = load_weights(model, DATA / "unet" / "model_best.h5")
    assert len(report.left_in_model) == 1 and report.left_in_model[0].startswith("head_2_factor_inverse_")
    x, reference = read_reference("unet")
    expected = reference["outputs0"] @ np.arange(6.0, dtype=np.float32).reshape(2, 3)
    assert distance(predict(model, x), expected) < 1e-5


# Loading only the trunk


@pytest.mark.parametrize("name", ["trunk.h5", "model0_best.h5"])
def test_the_trunk_alone_is_loaded_for_another_head(name):
    params = with_keys(read_params("borzoi"), "head_mouse")
    model = build_model(params)
    head = {layer.name: layer.get_weights() for layer in model.layers if layer.name.startswith("head")}
    report = load_weights(model, DATA / "borzoi" / name, trunk_only=True)
    for layer_name, old in head.items():
        for before, now in zip(old, model.get_layer(layer_name).get_weights(), strict=True):
            np.testing.assert_array_equal(before, now)
    assert report.left_in_model == tuple(
        f"head_mouse_{layer}" for layer in ("1_conv_nac_batch_normalization_1", "1_conv_nac_conv1d_1", "2_final_dense_1")
    )
    assert report.left_in_file == (() if name == "trunk.h5" else ("dense_17",))
    assert all(target.startswith("trunk_") for _, target, _ in report.matched)
    # With the original head, the trunk yields the original predictions.
    full = build_model(params)
    load_weights(full, DATA / "borzoi" / "model1_best.h5")
    for layer in full.layers:
        if layer.name.startswith("head"):
            model.get_layer(layer.name).set_weights(layer.get_weights())
    x, reference = read_reference("borzoi")
    assert distance(predict(model, x), reference["outputs1"]) < 1e-5


def test_a_trunk_does_not_fill_a_whole_model():
    model = untouched(with_keys(read_params("borzoi"), "head_human"))
    assert_refused(model, DATA / "borzoi" / "trunk.h5", r"head_human_1_final_dense_1 \(kernel 12×3, bias 3\) of the model")


def test_a_trunk_that_lacks_layers_is_refused():
    params = with_block("borzoi", "trunk", 1, repeat=5, filters_end=20)
    assert_refused(untouched(params), DATA / "borzoi" / "trunk.h5", "does not match the model", trunk_only=True)


# Files that do not match


def test_shapes_must_be_the_same():
    model = untouched(with_block("basenji2", "trunk", 0, filters=10))
    match = r"conv1d \(kernel 15×4×8\) of the file differs from trunk_1_conv_block_conv1d_1 \(kernel 15×4×10\) of the model"
    assert_refused(model, DATA / "basenji2" / "model_best.h5", match)


def test_units_of_the_head_must_be_the_same():
    model = untouched(with_block("basenji2", "head", 0, units=4))
    assert_refused(
        model,
        DATA / "basenji2" / "model_best.h5",
        r"dense \(kernel 12×3, bias 3\) of the file differs from head_1_final_dense_1",
    )


@pytest.mark.parametrize(
    ("repeat", "match"),
    [
        (3, r"conv1d_11 \(kernel 1×6×12\) of the file has no partner, with 11 conv1d layers in the model and 13 in the file"),
        (5, r"trunk_3_dilated_residual_conv1d_10 \(kernel 1×6×12\) of the model has no partner, with 15 conv1d layers in the"),
    ],
)
def test_numbers_of_layers_must_be_the_same(repeat, match):
    model = untouched(with_block("basenji2", "trunk", 2, repeat=repeat))
    assert_refused(model, DATA / "basenji2" / "model_best.h5", match)


def test_different_wiring_of_the_same_layers_is_detected():
    """Without the residual connection, types and shapes of all layers are unchanged."""
    params = with_block("convnext", "trunk", 3, residual=False)
    match = r"dense_\d+ of the file reads from .*, but head_1_final_dense_1 of the model would require separable"
    assert_refused(untouched(params), DATA / "convnext" / "model_best.h5", match)


def swap(file: h5py.File, one: str, other: str) -> None:
    """Swap the names of two layers, as if they had been created in the opposite order."""
    group = file.get("model_weights", file)
    names = {one: other, other: one}

    def renamed(text: Any) -> str:
        parts = (text.decode() if isinstance(text, bytes) else text).split("/")
        return "/".join(names.get(part, part) for part in parts)

    group.attrs["layer_names"] = [renamed(name) for name in group.attrs["layer_names"]]
    for name in names:
        group.move(name, f"{name}-moving")
    for name, new in names.items():
        group.move(f"{name}-moving", new)
        group.move(f"{new}/{name}", f"{new}/{new}")
        group[new].attrs["weight_names"] = [renamed(text) for text in group[new].attrs["weight_names"]]
    if "model_config" in file.attrs:
        quoted = {f'"{name}"': f'"{new}"' for name, new in names.items()}
        config = file.attrs["model_config"]
        for name, new in quoted.items():
            config = config.replace(name, new.replace('"', "'", 1))
        file.attrs["model_config"] = config.replace("'", '"')


@pytest.mark.parametrize(
    ("name", "match"),
    [("model0_best.h5", "({0}|{1}) of the file reads from"), ("weights0.h5", "comes before .*{0}.* in the file")],
)
@pytest.mark.parametrize(
    ("one", "other"), [("multihead_attention_2", "multihead_attention_3"), ("layer_normalization_5", "layer_normalization_6")]
)
def test_swapped_layers_are_detected(name, match, one, other, tmp_path):
    model = untouched(with_keys(read_params("borzoi"), "head_human"))
    path = edited(DATA / "borzoi" / name, tmp_path, lambda file: swap(file, one, other))
    assert_refused(model, path, match.format(one, other))


def test_swapped_layers_in_parallel_branches_are_detected(tmp_path):
    """The two normalisations of a U-net block are parallel, so that only the wiring distinguishes them."""
    path = DATA / "borzoi" / "model0_best.h5"
    changed = edited(path, tmp_path, lambda file: swap(file, "batch_normalization_25", "batch_normalization_26"))
    assert_refused(untouched(with_keys(read_params("borzoi"), "head_human")), changed, "batch_normalization_25 of the file")


def test_parts_of_a_layer_must_be_the_same():
    params = with_block("excite", "trunk", 1, norm_type=None)
    assert_refused(
        untouched(params), DATA / "excite" / "model_best.h5", r"squeeze_excite_2 \(.*moving_variance 16\) of the file"
    )


def test_a_missing_file_is_refused(tmp_path):
    model = untouched(read_params("gene"))
    assert_refused(model, tmp_path / "none.h5", "none.h5 does not exist")
    assert_refused(model, tmp_path, "does not exist")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.3, 0.99])
def test_a_truncated_file_is_refused(tmp_path, share):
    whole = (DATA / "gene" / "model_best.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: int(share * len(whole))])
    assert_refused(untouched(read_params("gene")), tmp_path / "cut.h5", "cannot be read as weights")


def test_a_file_without_listed_weights_is_rejected(tmp_path):
    def remove(file):
        del file["model_weights/dense_4/dense_4/bias:0"]

    path = edited(DATA / "gene" / "model_best.h5", tmp_path, remove)
    assert_refused(untouched(read_params("gene")), path, "cannot be read as weights")


def test_foreign_files_are_rejected(tmp_path):
    model = untouched(read_params("gene"))
    (tmp_path / "text.h5").write_text("no weights\n")
    assert_refused(model, tmp_path / "text.h5", "cannot be read as weights")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["sequences"] = np.zeros(3)
    assert_refused(model, tmp_path / "data.h5", "not a network saved by Keras")
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("a", "b")
    assert_refused(model, tmp_path / "other.keras", "cannot be read as a Keras model")


# Files of Cisnake


def save(model: keras.Model, path: Path) -> Path:
    (model.save_weights if path.name.endswith(".weights.h5") else model.save)(path)
    return path


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_own_files_are_read_back(tmp_path, suffix):
    x, reference = read_reference("unet_concat")
    model = build_model(read_params("unet_concat"))
    load_weights(model, DATA / "unet_concat" / "model_best.h5")
    other = build_model(read_params("unet_concat"))
    report = load_weights(other, save(model, tmp_path / f"model{suffix}"))
    assert sum(size for *_, size in report.matched) == model.count_params()
    assert all(source == target for source, target, _ in report.matched)
    assert distance(predict(other, x), reference["outputs0"]) < 1e-5


# Keras warns of the deliberate mismatch.
@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_own_files_of_other_networks_are_refused(tmp_path, suffix):
    model = build_model(read_params("gene"))
    load_weights(model, DATA / "gene" / "model_best.h5")
    path = save(model, tmp_path / f"model{suffix}")
    wider = untouched(with_block("gene", "head", 1, units=6))
    assert_refused(wider, path, "does not match the model")
    longer = copy.deepcopy(read_params("gene"))
    longer["head"].append({"name": "Dense", "units": 5})
    match = r"head_3_Dense_dense_1.* of the {} is not in the {}"
    assert_refused(untouched(longer), path, match.format("model", "file"))
    assert_refused(model, save(untouched(longer), tmp_path / f"longer{suffix}"), match.format("file", "model"))


def test_the_trunk_of_an_own_file_is_loaded_for_another_head(tmp_path):
    model = build_model(read_params("gene"))
    model.save(tmp_path / "model.keras")
    other = build_model(with_block("gene", "head", 1, units=9))
    report = load_weights(other, tmp_path / "model.keras", trunk_only=True)
    assert report.left_in_file == report.left_in_model == ("head_1_dense_block_dense_1", "head_2_Dense_dense_1")
    for layer in model.layers:
        if layer.name.startswith("trunk_"):
            for one, two in zip(layer.get_weights(), other.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(one, two)


def test_the_trunk_of_a_file_of_numbered_weights_is_refused(tmp_path):
    model = untouched(read_params("gene"))
    model.save_weights(tmp_path / "model.weights.h5")
    assert_refused(model, tmp_path / "model.weights.h5", "use a .keras file", trunk_only=True)


def test_layers_without_weights_need_no_partner(tmp_path):
    model = build_model(with_block("gene", "trunk", 0, dropout=0.1))
    model.save_weights(tmp_path / "model.weights.h5")
    report = load_weights(build_model(read_params("gene")), tmp_path / "model.weights.h5")
    assert sum(size for *_, size in report.matched) == model.count_params()


# Report


def test_the_report_reads_well():
    model = build_model(with_keys(read_params("borzoi"), "head_mouse"))
    report = load_weights(model, DATA / "borzoi" / "model0_best.h5", trunk_only=True)
    lines = str(report).splitlines()
    total = sum(
        int(np.prod(weight.shape)) for layer in model.layers if layer.name.startswith("trunk") for weight in layer.weights
    )
    assert lines[0] == f"{report.path}: loaded {total:,} weights of {len(report.matched)} layers."
    assert lines[1] == "Not loaded from the file: dense_17."
    assert lines[2].startswith("Unchanged in the model: head_mouse_1_conv_nac_batch_normalization_1, head_mouse_1_")
    assert lines[3].split() == ["conv1d_26", "->", "trunk_1_conv_dna_conv1d_1", "(360)"]
    assert len(lines) == 3 + len(report.matched)
