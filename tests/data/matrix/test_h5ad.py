"""The selected matrix of an AnnData file is read; errors name the problem."""

from __future__ import annotations

from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from cisnake.data.matrix import h5ad
from cisnake.data.matrix.h5ad import open_anndata, read_anndata
from cisnake.data.matrix.pseudobulks import aggregate_cells
from cisnake.errors import InputError

KINDS = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}


def write(path: Path, values: np.ndarray, kind=np.asarray, **layers: np.ndarray) -> Path:
    """Write obs o0, o1, … by genes g0, g1, …; one gene symbol is duplicated."""
    obs = pd.DataFrame(index=[f"o{i}" for i in range(len(values))])
    symbols = ["S", "S", *(f"T{i}" for i in range(values.shape[1] - 2))]
    var = pd.DataFrame({"symbol": pd.Categorical(symbols)}, index=[f"g{i}" for i in range(values.shape[1])])
    found = anndata.AnnData(kind(values), obs=obs, var=var, layers={name: kind(layer) for name, layer in layers.items()})
    found.write_h5ad(path)
    return path


@pytest.fixture
def counts() -> np.ndarray:
    return np.random.default_rng(0).poisson(0.4, (6, 9)).astype(np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_layers_and_raw_are_chosen_by_name(tmp_path, counts, kind):
    path = write(tmp_path / "m.h5ad", counts, KINDS[kind], halves=counts / 2)
    found = anndata.read_h5ad(path)
    found.raw = found
    found = found[:, [4, 2]].copy()
    found.X = KINDS[kind](counts[:, [4, 2]] * 10)
    found.write_h5ad(path)
    genes, tasks, values = read_anndata(path)
    assert (list(genes), tasks) == (["g4", "g2"], [f"o{i}" for i in range(6)])
    np.testing.assert_array_equal(values, 10 * counts[:, [4, 2]].T)
    np.testing.assert_array_equal(read_anndata(path, "halves")[2], counts[:, [4, 2]].T / 2)
    genes, _, values = read_anndata(path, "raw")
    assert list(genes) == [f"g{i}" for i in range(9)], "raw has its own genes"
    np.testing.assert_array_equal(values, counts.T)
    with pytest.raises(InputError, match=r"layer of .* 'halve': did you mean halves"):
        read_anndata(path, "halve")


def test_var_must_have_the_ids_of_raw_for_predictions(tmp_path, counts):
    found = anndata.AnnData(counts, var=pd.DataFrame({"ensembl": [f"e{i}" for i in range(9)]}, [f"g{i}" for i in range(9)]))
    found.raw = found
    found.write_h5ad(tmp_path / "both.h5ad")
    assert list(read_anndata(tmp_path / "both.h5ad", "raw", "ensembl")[0]) == [f"e{i}" for i in range(9)]
    found.var = found.var.rename(columns={"ensembl": "ensembl_id"})
    found.write_h5ad(tmp_path / "one.h5ad")
    with pytest.raises(InputError, match=r"column of var .* predictions need it .* 'ensembl': did you mean ensembl_id"):
        read_anndata(tmp_path / "one.h5ad", "raw", "ensembl")
    # Cells need no ids in var: they are summed, and predictions are for the sums.
    with h5ad.open_anndata(tmp_path / "one.h5ad", "raw", "ensembl") as file:
        assert list(file.genes) == [f"e{i}" for i in range(9)]


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.float64, bool])
def test_values_of_any_dtype_are_read(tmp_path, counts, kind):
    values = read_anndata(write(tmp_path / "m.h5ad", counts.astype(kind)))[2]
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, counts.astype(kind).T)


@pytest.mark.parametrize("kind", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix])
def test_duplicate_entries_of_a_sparse_matrix_are_summed(tmp_path, counts, kind):
    path = write(tmp_path / "m.h5ad", counts, kind)
    whole = kind(counts)
    whole.data /= 2
    with h5py.File(path, "r+") as file:
        for name, twice in (("data", whole.data), ("indices", whole.indices)):
            del file[f"X/{name}"]
            file[f"X/{name}"] = np.repeat(twice, 2)
        file["X/indptr"][:] = 2 * whole.indptr
    np.testing.assert_array_equal(read_anndata(path)[2], counts.T)


def test_gene_ids_may_be_in_a_column(tmp_path, counts):
    path = write(tmp_path / "m.h5ad", counts)
    assert list(read_anndata(path, gene_column="symbol")[0][:3]) == ["S", "S", "T0"]
    with pytest.raises(InputError, match="'symbols': did you mean symbol"):
        read_anndata(path, gene_column="symbols")


@pytest.mark.parametrize("block", [1, 10, 10**6])
@pytest.mark.parametrize("kind", KINDS)
def test_non_finite_values_are_named(tmp_path, monkeypatch, counts, kind, block):
    monkeypatch.setattr(h5ad, "_BLOCK_VALUES", block)
    counts[4, 7] = 1e300
    with pytest.raises(InputError, match=r"obs o4, gene g7 is 1e\+300"):
        read_anndata(write(tmp_path / "m.h5ad", counts, KINDS[kind]))
    counts[4, 7] = np.nan
    assert np.argwhere(np.isnan(read_anndata(write(tmp_path / "m.h5ad", counts, KINDS[kind]))[2])).tolist() == [[7, 4]]


def test_blocks_are_small_and_cover_the_matrix_once(tmp_path, monkeypatch, counts):
    monkeypatch.setattr(h5ad, "_BLOCK_VALUES", 10)
    for name, kind in KINDS.items():
        covered = np.zeros(counts.shape, int)
        with open_anndata(write(tmp_path / "m.h5ad", counts, kind)) as file:
            pieces = list(file.blocks())
        for rows, columns, block in pieces:
            covered[rows, columns] += 1
            assert block.shape == covered[rows, columns].shape
        assert (covered == 1).all() and len(pieces) > 1, name


def test_files_that_are_not_anndata_are_errors(tmp_path, counts):
    path = write(tmp_path / "m.h5ad", counts, scipy.sparse.csr_matrix)
    whole = path.read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5ad").write_text("id\ta\n")
    for name in ("cut.h5ad", "text.h5ad"):
        with pytest.raises(InputError, match="cannot be read as AnnData"):
            read_anndata(tmp_path / name)
    with h5py.File(tmp_path / "other.h5ad", "w") as file:
        file["X"] = counts
    with pytest.raises(InputError, match="has no obs"):
        read_anndata(tmp_path / "other.h5ad")
    with h5py.File(path, "r+") as file:
        file["X/indices"][3] = 99
    with pytest.raises(InputError, match="the matrix cannot be read"):
        read_anndata(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X"] = counts[:, :4]
    with pytest.raises(InputError, match=r"shape \(6, 4\), but it must be numeric with 6 obs by 9 genes"):
        read_anndata(path)
    with h5py.File(path, "r+") as file:
        del file["X"]
    with pytest.raises(InputError, match="has no X"):
        read_anndata(path)


def compound(index: list[str], **columns) -> np.ndarray:
    """Return a table as AnnData stored it before version 0.7: one record per row, text in bytes."""
    columns = {"index": np.array(index, "S"), **{name: np.asarray(column) for name, column in columns.items()}}
    table = np.zeros(len(index), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        table[name] = column
    return table


def write_old(path: Path, values: np.ndarray, form: str) -> Path:
    """Write a file of AnnData 0.6: compound tables, codes of categories with the names in uns, raw beside X."""
    n, m = values.shape
    obs = compound(
        [f"o{i}" for i in range(n)], batch=(np.arange(n) % 3).astype("i1"), n_genes=np.arange(n), tissue=np.array([b"x"] * n)
    )
    var = compound([f"g{i}" for i in range(m)], ensembl=np.array([f"e{i}" for i in range(m)], "S"))
    with h5py.File(path, "w") as file:
        file["obs"], file["var"], file["raw.var"] = obs, var, var[::-1]
        file["uns/batch_categories"] = np.array([b"liver", b"skin", b"brain"])
        # Of a column of var in another file; too short for these numbers, so not the categories of n_genes.
        file["uns/n_genes_categories"] = np.array([b"a"])
        file["raw.X"] = values[:, ::-1] * 2
        if form == "dense":
            file["X"] = values
            return path
        sparse = KINDS[form](values)
        group = file.create_group("X")
        group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = form, np.array(values.shape)
        for name in ("data", "indices", "indptr"):
            group[name] = getattr(sparse, name)
    return path


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("form", KINDS)
def test_tables_in_compound_arrays_are_read_as_anndata_reads_them(tmp_path, counts, form):
    path = write_old(tmp_path / "old.h5ad", counts, form)
    expected = anndata.read_h5ad(path)
    genes, tasks, values = read_anndata(path)
    assert (list(genes), tasks) == (list(expected.var_names), list(expected.obs_names))
    np.testing.assert_array_equal(values, counts.T)
    assert list(read_anndata(path, gene_column="ensembl")[0]) == [f"e{i}" for i in range(9)]
    genes, _, values = read_anndata(path, "raw")
    assert list(genes) == [f"g{i}" for i in range(8, -1, -1)]
    np.testing.assert_array_equal(values, 2 * counts[:, ::-1].T)
    obs = h5ad.read_obs(path)
    assert obs["batch"].tolist() == ["liver", "skin", "brain"] * 2 == expected.obs["batch"].tolist()
    assert obs["n_genes"].tolist() == list("012345") and obs["tissue"].tolist() == ["x"] * 6
    pseudobulks, _ = aggregate_cells(path, ["batch", "tissue"])
    np.testing.assert_array_equal(pseudobulks.X.toarray(), [counts[[i, i + 3]].sum(axis=0) for i in (2, 0, 1)])


def test_categories_beside_the_columns_are_read(tmp_path, counts):
    """AnnData 0.7 stored a categorical column as codes that refer to an array in `__categories`."""
    path = write(tmp_path / "m.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["obs"]
        obs = file.create_group("obs")
        obs.attrs.update({"encoding-type": "dataframe", "encoding-version": "0.1.0", "_index": "index"})
        obs.attrs["column-order"] = np.array(["batch"], h5py.string_dtype())
        obs.create_dataset("index", data=[f"o{i}" for i in range(6)], dtype=h5py.string_dtype())
        obs["batch"] = np.array([0, 1, -1, 0, 1, 0], "i1")
        obs.create_dataset("__categories/batch", data=["liver", "skin"], dtype=h5py.string_dtype())
        obs["batch"].attrs["categories"] = obs["__categories/batch"].ref
    assert h5ad.read_obs(path)["batch"].tolist() == ["liver", "skin", "", "liver", "skin", "liver"]
    assert read_anndata(path)[1] == [f"o{i}" for i in range(6)]


def test_a_group_of_columns_without_a_format_is_a_table(tmp_path, counts):
    path = write(tmp_path / "m.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["obs"]
        file["obs/obs_names"], file["obs/n"] = np.array([f"o{i}" for i in range(6)], "O"), np.arange(6)
    assert read_anndata(path)[1] == [f"o{i}" for i in range(6)] and h5ad.read_obs(path)["n"].tolist() == list("012345")


@pytest.mark.parametrize("obs", [3.0, np.zeros((6, 2)), {"a": np.zeros((2, 2))}])
def test_what_is_no_table_is_named(tmp_path, counts, obs):
    path = write(tmp_path / "m.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["obs"]
        for name, column in obs.items() if isinstance(obs, dict) else [("", obs)]:
            file[f"obs/{name}".rstrip("/")] = column
    with pytest.raises(InputError, match=r"m.h5ad: obs cannot be read as a table of annotations \(.+\): write the file again"):
        read_anndata(path)
    with pytest.raises(InputError, match="obs cannot be read"):
        h5ad.read_obs(path)


def test_what_is_no_sparse_matrix_is_named(tmp_path, counts):
    path = write(tmp_path / "m.h5ad", counts)
    with h5py.File(path, "r+") as file:
        del file["X"]
        file["X/data"] = np.zeros(3)
    with pytest.raises(InputError, match=r"X cannot be read as a sparse matrix \(.+\): write the file again"):
        read_anndata(path)
