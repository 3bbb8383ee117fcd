"""Predictions are exported to the right genes and tasks, and the rest of the file stays unchanged."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import export_predictions as program
from cisnake.errors import InputError
from cisnake.evaluate.export import export_predictions
from cisnake.files import write_table

TASKS = ["a", "b", "c", "d"]
GENES = pd.DataFrame({"gene_id": ["G1", "G2.7", "G3", "G4", "G5"], "matrix_id": ["g1", "G2", "g3", "g4", "twice"]})


# The matrix has a duplicate id on purpose; AnnData warns about it whenever the matrix is created or read.
pytestmark = pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")


@pytest.fixture
def matrix(tmp_path: Path) -> Path:
    values = scipy.sparse.random(4, 7, 0.5, "csr", rng=np.random.default_rng(0))
    var = pd.DataFrame({"symbol": list("tuvwxyz")}, ["g4", "twice", "G2", "other", "g1", "g3", "twice"])
    obs = pd.DataFrame({"organ": pd.Categorical(["x", "x", "y", "y"])}, TASKS)
    data = anndata.AnnData(values, obs=obs, var=var, layers={"counts": values * 2}, uns={"note": "kept"})
    data.write_h5ad(tmp_path / "matrix.h5ad")
    return tmp_path / "matrix.h5ad"


def predicted(path: Path, split: str, tasks: list[str], genes: list[str], first: float, original: bool) -> Path:
    values = first + np.arange(len(tasks) * len(genes), dtype=np.float32).reshape(len(tasks), -1)
    layers = {"predicted": values} | ({"predicted_original": values * 10} if original else {})
    obs, var = pd.DataFrame(index=tasks), pd.DataFrame(index=genes)
    anndata.AnnData(-values, obs=obs, var=var, layers=layers, uns={"split": split}).write_h5ad(path)
    return path


@pytest.mark.parametrize("original", [True, False])
def test_layers_hold_the_predictions_and_nan_elsewhere(matrix: Path, tmp_path: Path, original: bool) -> None:
    # Task c was filtered out, tasks are in another order, gene G3 is in both splits, and the id of G5 is ambiguous.
    test = predicted(tmp_path / "test.h5ad", "test", ["d", "a", "b"], ["G3", "G1"], 1, original)
    val = predicted(tmp_path / "val.h5ad", "val", ["d", "a", "b"], ["G2.7", "G3", "G5"], 100, original)
    write_table(GENES, tmp_path / "genes.tsv")
    options = [f"--matrix={matrix}", f"--genes={tmp_path / 'genes.tsv'}", f"--output={tmp_path / 'out.h5ad'}"]
    program.main(program.parser().parse_args([*options, "--predictions", str(test), str(val)]))
    before, after = anndata.read_h5ad(matrix), anndata.read_h5ad(tmp_path / "out.h5ad")
    nan = np.nan
    expected = np.array(
        [
            #  g4, twice, G2, other, g1, g3, twice
            [nan, nan, 103, nan, 4, 3, nan],
            [nan, nan, 106, nan, 6, 5, nan],
            [nan, nan, nan, nan, nan, nan, nan],
            [nan, nan, 100, nan, 2, 1, nan],
        ]
    )
    np.testing.assert_array_equal(after.layers["cisnake_predicted"], expected)
    assert list(after.var["cisnake_split"]) == ["", "", "val", "", "test", "test", ""]
    if original:
        np.testing.assert_array_equal(after.layers["cisnake_predicted_original"], expected * 10)
    assert ("cisnake_predicted_original" in after.layers) == original
    assert (after.X != before.X).nnz == 0 and (after.layers["counts"] != before.layers["counts"]).nnz == 0
    pd.testing.assert_frame_equal(after.obs, before.obs)
    pd.testing.assert_frame_equal(after.var.drop(columns="cisnake_split"), before.var)
    assert after.uns["note"] == "kept"
    # A second run replaces the layers of the first.
    again = predicted(tmp_path / "again.h5ad", "test", ["a"], ["G4"], 5, False)
    export_predictions(tmp_path / "out.h5ad", [again], GENES, tmp_path / "out2.h5ad")
    twice = anndata.read_h5ad(tmp_path / "out2.h5ad")
    assert np.isfinite(twice.layers["cisnake_predicted"]).sum() == 1 and twice.layers["cisnake_predicted"][0, 0] == 5
    assert "cisnake_predicted_original" not in twice.layers


def test_gene_ids_can_be_in_a_column_of_var(matrix: Path, tmp_path: Path) -> None:
    one = predicted(tmp_path / "test.h5ad", "test", ["c"], ["G1"], 3, False)
    genes = pd.DataFrame({"gene_id": ["G1"], "matrix_id": ["v"]})
    assert export_predictions(matrix, [one], genes, tmp_path / "out.h5ad", "symbol") == 1
    layer = anndata.read_h5ad(tmp_path / "out.h5ad").layers["cisnake_predicted"]
    assert np.argwhere(np.isfinite(layer)).tolist() == [[2, 2]]
    with pytest.raises(InputError, match="'symbl': did you mean symbol"):
        export_predictions(matrix, [one], genes, tmp_path / "out3.h5ad", "symbl")
    assert not (tmp_path / "out3.h5ad").exists()


def test_predictions_from_another_run_are_refused(matrix: Path, tmp_path: Path) -> None:
    one = predicted(tmp_path / "test.h5ad", "test", ["a", "aa"], ["G1"], 3, False)
    with pytest.raises(InputError, match=r"lacks 1 of the tasks of .*: the file of predictions has aa; the matrix has"):
        export_predictions(matrix, [one], GENES, tmp_path / "out.h5ad")
    one = predicted(tmp_path / "test.h5ad", "test", ["a"], ["X1"], 3, False)
    with pytest.raises(InputError, match=r"none of the genes of .*: the file of predictions has .*; the matrix has"):
        export_predictions(matrix, [one], GENES, tmp_path / "out.h5ad")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_files_of_old_versions_of_anndata_are_exported_too(tmp_path: Path) -> None:
    path = tmp_path / "old.h5ad"
    with h5py.File(path, "w") as file:
        file["obs"] = np.array([(b"b", 1), (b"a", 0)], [("index", "S1"), ("organ", "i1")])
        file["var"] = np.array([(b"g1", 1), (b"g3", 0), (b"g9", 1)], [("index", "S2"), ("kind", "i1")])
        file["uns/organ_categories"], file["uns/kind_categories"] = np.array([b"x", b"y"]), np.array([b"p", b"q"])
        file["X"] = np.arange(6, dtype=np.float32).reshape(2, 3)
    predictions = predicted(tmp_path / "p.h5ad", "test", ["a", "b"], ["G3", "G1"], 1, False)
    assert export_predictions(path, [predictions], GENES, tmp_path / "out.h5ad") == 2
    after = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(after.X, np.arange(6).reshape(2, 3))
    np.testing.assert_array_equal(after.layers["cisnake_predicted"], [[4, 3, np.nan], [2, 1, np.nan]])
    assert after.obs["organ"].tolist() == ["y", "x"] and after.var["kind"].tolist() == ["q", "p", "q"]
    assert after.var["cisnake_split"].tolist() == ["test", "test", ""]
