"""Predictions of windows outside a run."""

import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from cisnake.data.dataset import model_input
from cisnake.data.windows import GivenWindow
from cisnake.errors import InputError
from cisnake.model import WindowViews, layer_model, write_window_predictions

LENGTH = 12


def network(seed, depth=4, positions=False):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((LENGTH, depth))
    x = keras.layers.Conv1D(5, 3, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(2)(x if positions else keras.layers.Flatten()(x)))


@pytest.fixture
def windows():
    rng = np.random.default_rng(3)
    return [GivenWindow(f"w{i}", rng.integers(0, 5, LENGTH).astype(np.int8)) for i in range(7)]


def inputs(windows, depth=4, start=0):
    codes = np.stack([window.codes for window in windows])
    return model_input(codes, np.full(len(codes), start), np.full(len(codes), LENGTH), depth)


def test_predictions_are_the_mean_over_networks_and_strands(windows, tmp_path):
    models = [network(1), network(2)]
    n = write_window_predictions(
        iter(windows), models, ["a", "b"], tmp_path / "p.tsv", WindowViews(reverse_complement=True), batch_size=3
    )
    assert n == 7
    x = inputs(windows)
    turned = x[:, ::-1, ::-1]
    expected = np.mean([model(view) for model in models for view in (x, turned)], axis=0)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    assert list(table["name"]) == [window.name for window in windows] and list(table.columns) == ["name", "a", "b"]
    np.testing.assert_allclose(table[["a", "b"]], expected, rtol=1e-5, atol=1e-6)


def test_positions_are_stored_in_hdf5_and_summed_in_tables(windows, tmp_path):
    model = network(1, positions=True)
    for name in ("p.h5", "p.tsv"):
        write_window_predictions(iter(windows), [model], ["a", "b"], tmp_path / name, batch_size=3)
    expected = np.asarray(model(inputs(windows)))
    with h5py.File(tmp_path / "p.h5") as file:
        assert list(file["names"].asstr()) == [window.name for window in windows] and list(file["tasks"].asstr()) == ["a", "b"]
        np.testing.assert_allclose(file["predictions"][:], expected, rtol=1e-5, atol=1e-6)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    np.testing.assert_allclose(table[["a", "b"]], expected.sum(axis=1), rtol=1e-5, atol=1e-5)


def test_the_gene_body_begins_where_it_is_said(windows, tmp_path):
    model = network(1, depth=5)
    write_window_predictions(iter(windows), [model], ["a", "b"], tmp_path / "p.tsv", gene_start=4)
    table = pd.read_csv(tmp_path / "p.tsv", sep="\t")
    np.testing.assert_allclose(table[["a", "b"]], model(inputs(windows, 5, 4)), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("depth", "changes", "message"),
    [
        (5, {}, r"give the base of the window at which it begins \(--gene-start\)"),
        (4, {"gene_start": 3}, "do not read the gene body: remove --gene-start"),
        (5, {"gene_start": LENGTH}, "begins at base 12, outside windows of 12 bases"),
        (4, {"tasks": ["a"]}, "there are names for 1 tasks, but the networks predict 2"),
        (4, {"output": "p.csv"}, r"p\.csv must end in \.tsv, \.h5 or \.h5ad"),
    ],
)
def test_contradictions_are_refused_and_nothing_is_written(depth, changes, message, windows, tmp_path):
    asked = {"tasks": ["a", "b"], "output": "p.tsv"} | changes
    with pytest.raises(InputError, match=message):
        write_window_predictions(iter(windows), [network(1, depth)], **asked | {"output": tmp_path / asked["output"]})
    assert not list(tmp_path.iterdir())


def run(folder, *options):
    program = Path(__file__).resolve().parents[2] / "scripts" / "predict.py"
    return subprocess.run([sys.executable, program, *options], cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_program_predicts_sequences_and_regions_alike(tmp_path, tiny):
    network(1).save(tmp_path / "a.keras")
    whole = tiny.chromosomes["chr1"]
    (tmp_path / "a.fa").write_text(f">x\n{whole[94:106]}\n>y\n{whole[194:206]}\n")
    (tmp_path / "a.bed").write_text("chr1\t100\t101\nchr1\t200\t201\n")
    (tmp_path / "tasks.tsv").write_text("task\tgroup\nheat\tg\ncold\tg\n")
    shared = ["--networks", "a.keras", "--tasks", "tasks.tsv"]
    found = {}
    for name, options in {"s": ["--sequences", "a.fa"], "r": ["--regions", "a.bed", "--genome", tiny.fasta]}.items():
        done = run(tmp_path, *shared, *options, "--output", f"{name}.tsv")
        assert done.returncode == 0, done.stderr
        found[name] = pd.read_csv(tmp_path / f"{name}.tsv", sep="\t")
    assert list(found["r"]["name"]) == ["chr1:100-101", "chr1:200-201"]
    np.testing.assert_allclose(found["s"][["heat", "cold"]], found["r"][["heat", "cold"]], rtol=1e-6)
    assert found["s"]["heat"].nunique() == 2


def test_a_sequence_that_is_too_long_leaves_no_file(tmp_path):
    network(1).save(tmp_path / "a.keras")
    (tmp_path / "a.fa").write_text(">x\nACGT\n>y\nACGTACGTACGTA\n")
    done = run(tmp_path, "--networks", "a.keras", "--sequences", "a.fa", "--batch-size", "1", "--output", "p.tsv")
    assert done.returncode == 1
    assert "error: a.fa: the sequence of y has 13 bases, but the network reads 12: shorten it." in done.stderr
    assert not list(tmp_path.glob("p*"))


@pytest.mark.parametrize("option", ["--sequences", "--regions"])
@pytest.mark.parametrize("name", ["a.vcf", "a.VCF.gz", "a.vcf.bgz", "a.bcf"])
def test_a_vcf_is_left_to_the_program_for_variants(option, name, tmp_path):
    done = run(tmp_path, "--networks", "a.keras", option, name, "--output", "p.tsv")
    assert done.returncode == 1
    assert f"error: {name} is a VCF: use score_vcf.py, which predicts variants with either allele" in done.stderr


def test_tables_and_h5ad_have_the_same_values(windows, tmp_path):
    for name in ("p.h5ad", "p.tsv"):
        write_window_predictions(iter(windows), [network(1, positions=True)], ["a", "b"], tmp_path / name, batch_size=3)
    table, made = pd.read_csv(tmp_path / "p.tsv", sep="\t"), anndata.read_h5ad(tmp_path / "p.h5ad")
    assert list(made.obs_names) == ["a", "b"] and list(made.var_names) == list(table["name"])
    np.testing.assert_allclose(made.X.T, table[["a", "b"]], rtol=1e-5)


def test_no_windows_give_an_empty_file(tmp_path):
    for name in ("p.h5ad", "p.h5"):
        assert write_window_predictions(iter([]), [network(1)], ["a", "b"], tmp_path / name) == 0
    assert anndata.read_h5ad(tmp_path / "p.h5ad").shape == (2, 0)


@pytest.mark.parametrize("name", ["conv1d", "flatten"])
def test_embeddings_are_what_a_layer_computes(name, windows):
    model = network(1)
    layers = {layer.name.rstrip("_0123456789"): layer for layer in model.layers}
    kernel, bias = layers["conv"].get_weights() if "conv" in layers else model.layers[1].get_weights()
    codes = inputs(windows)
    convolved = np.stack([np.einsum("nkc,kcf->nf", codes[:, i : i + 3], kernel) for i in range(LENGTH - 2)], axis=1)
    expected = np.maximum(convolved + bias, 0)
    chosen = next(layer.name for layer in model.layers if layer.name.startswith(name))
    found = np.asarray(layer_model(model, chosen)(codes))
    np.testing.assert_allclose(found, expected.reshape(found.shape), rtol=1e-5, atol=1e-6)


def test_an_unknown_layer_is_refused_with_the_names():
    with pytest.raises(InputError, match=r"no layer pool: its layers are .*conv1d.*dense"):
        layer_model(network(1), "pool")


def test_the_program_writes_embeddings_of_one_network(tmp_path):
    model = network(1)
    model.save(tmp_path / "a.keras")
    (tmp_path / "a.fa").write_text(">x\nACGTACGTACGT\n>y\nTTGTACGTACGA\n")
    layer = model.layers[1].name
    options = ["--networks", "a.keras", "--sequences", "a.fa", "--layer", layer]
    done = run(tmp_path, *options, "--output", "e.h5")
    assert done.returncode == 0, done.stderr
    with h5py.File(tmp_path / "e.h5") as file:
        assert file["predictions"].shape == (2, LENGTH - 2, 5)
    done = run(tmp_path, *options, "--reverse-complement", "--output", "f.h5")
    assert done.returncode == 1 and "--layer is for one network and one view" in done.stderr
