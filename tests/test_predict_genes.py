"""Genes that are predicted without a run have the predictions that they have in a run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

import select_genes
import write_dataset
from cisnake.data.dataset import open_dataset, read_codes, read_windows
from cisnake.model import predict_with_model

from .configured import configured

UPSTREAM, LENGTH = 20, 50


def network(depth: int) -> keras.Model:
    keras.utils.set_random_seed(depth)
    inputs = keras.Input((LENGTH, depth))
    hidden = keras.layers.Dense(8, "relu")(keras.layers.Flatten()(keras.layers.Conv1D(5, 3, activation="relu")(inputs)))
    return keras.Model(inputs, keras.layers.Dense(2)(hidden))


def predicted_in_a_run(tiny, folder: Path, model: keras.Model) -> pd.DataFrame:
    """Select genes, write the data set and predict, as a run does."""
    options = configured(folder, windows={"upstream": UPSTREAM, "downstream": LENGTH - UPSTREAM}, splits={"unmeasured": True})
    options += [f"--genome={tiny.fasta}", f"--gtf={tiny.gtf}", f"--matrix={tiny.matrix}"]
    for name in ("genes", "dropped", "tasks", "summary", "tasks-dropped"):
        options.append(f"--output-{name}={folder / name}")
    select_genes.main(select_genes.parser().parse_args(options))
    options = [f"--genes={folder / 'genes'}", f"--tasks={folder / 'tasks'}", f"--matrix={tiny.matrix}"]
    options += [f"--genome={tiny.fasta}", f"--output={folder / 'd.h5'}"]
    write_dataset.main(write_dataset.parser().parse_args(options))
    with open_dataset(folder / "d.h5") as file:
        windows = read_windows(file)
        codes = read_codes(file, np.arange(len(windows)), 0, LENGTH)
    masks = windows["mask_start"].to_numpy(), windows["mask_end"].to_numpy()
    predicted = predict_with_model(model, codes, *masks)
    return pd.DataFrame(predicted, windows["gene_id"], ["task_0", "task_1"]).assign(strand=windows["strand"].to_numpy())


def predict(folder: Path, *options: str | Path) -> subprocess.CompletedProcess[str]:
    program = Path(__file__).resolve().parents[1] / "scripts" / "predict.py"
    command = [sys.executable, program, "--networks", "a.keras", "--output", "p.tsv", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("depth", [4, 5])
def test_all_genes_of_an_annotation(depth: int, tiny, gene_row, tmp_path: Path) -> None:
    # Bodies that end inside and beyond the window, and windows that pass the ends of a chromosome.
    more = [(230, 245, "+", "short"), (265, 275, "-", "brief"), (5, 90, "+", "first"), (570, 590, "-", "last")]
    with tiny.gtf.open("a") as gtf:
        gtf.writelines(gene_row("chr2", start, end, strand, gene_id=name) for start, end, strand, name in more)
    with tiny.matrix.open("a") as matrix:
        matrix.writelines(f"{name}\t1\t1\t1\n" for *_, name in more)
    model = network(depth)
    model.save(tmp_path / "a.keras")
    expected = predicted_in_a_run(tiny, tmp_path, model)
    assert {"short", "brief"} <= set(expected.index) and set(expected["strand"]) == {"+", "-"}
    done = predict(tmp_path, "--annotation", tiny.gtf, "--genome", tiny.fasta, "--upstream", str(UPSTREAM))
    assert done.returncode == 0, done.stderr
    assert "14 genes kept, 2 dropped: {'near_chromosome_end': 2}" in done.stderr
    found = pd.read_csv(tmp_path / "p.tsv", sep="\t", index_col="name")
    assert list(found.index) == list(expected.index)
    tasks = ["task_0", "task_1"]
    np.testing.assert_allclose(found[tasks], expected[tasks], rtol=1e-5, atol=1e-6)


def test_listed_genes_and_contradictions(tiny, tmp_path: Path) -> None:
    network(5).save(tmp_path / "a.keras")
    (tmp_path / "ids.txt").write_text("G2b\nG1a\n")
    genes = ["--annotation", tiny.gtf, "--genome", tiny.fasta]
    done = predict(tmp_path, *genes, "--upstream", "20", "--genes", "ids.txt")
    assert done.returncode == 0, done.stderr
    assert list(pd.read_csv(tmp_path / "p.tsv", sep="\t")["name"]) == ["G2b", "G1a"]
    (tmp_path / "p.tsv").unlink()
    (tmp_path / "ids.txt").write_text("G2b\nG9x\nG9y\n")
    for options, message in (
        ([*genes, "--upstream", "20", "--genes", "ids.txt"], "ids.txt lists 2 of 3 genes that are not in the annotation"),
        ([*genes, "--upstream", "50"], "--upstream is 50: with windows of 50 bases, it must be from 1 to 49."),
        (genes, "--annotation needs --upstream"),
        (genes[:2], "--regions and --annotation need --genome."),
        ([*genes, "--upstream", "20", "--gene-start", "20"], "--gene-start is not for genes of an annotation"),
        (["--sequences", "a.fa", "--genes", "ids.txt"], "--upstream and --genes need --annotation."),
    ):
        done = predict(tmp_path, *options)
        assert done.returncode == 1 and message in done.stderr.splitlines()[-1], done.stderr
        assert not list(tmp_path.glob("*p.tsv"))
