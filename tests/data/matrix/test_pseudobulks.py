"""Pseudobulks are the sums of their cells, for every format and order of cells."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse

import aggregate_cells as program
from cisnake.data.matrix import h5ad, market
from cisnake.data.matrix.measurements import read_matrix, read_tasks_table
from cisnake.data.matrix.pseudobulks import aggregate_cells, write_pseudobulks
from cisnake.errors import InputError
from cisnake.files import read_table

N_CELLS, N_GENES, BY = 60, 12, ["cell_type", "donor"]
FORMATS = ("dense", "csr", "csc", "market")


@pytest.fixture
def counts() -> np.ndarray:
    """Counts with an all-zero gene and cell, and a gene whose sums exceed the exact integers of single precision."""
    counts = np.random.default_rng(0).poisson(0.5, (N_CELLS, N_GENES)).astype(np.float64)
    counts[:, 3] = counts[7] = 0
    counts[:, 5] = 2**24 / 4 + np.arange(N_CELLS)
    return counts


@pytest.fixture
def obs() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    names = pd.Index([f"cell{i}" for i in range(N_CELLS)])
    obs = pd.DataFrame({"cell_type": rng.choice(["T cell", "B", "NK"], N_CELLS), "donor": rng.choice([1, 2], N_CELLS)}, names)
    obs.loc["cell5", "cell_type"] = np.nan
    obs["cell_type"] = obs["cell_type"].astype("category")
    return obs


def write(folder: Path, counts: np.ndarray, obs: pd.DataFrame, form: str) -> tuple[Path, Path | None]:
    """Write cells as AnnData, or as Matrix Market with a cell table in a different order and with an additional cell."""
    genes = [f"g{i}" for i in range(counts.shape[1])]
    if form != "market":
        kind = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}[form]
        anndata.AnnData(kind(counts), obs=obs, var=pd.DataFrame(index=genes)).write_h5ad(folder / "cells.h5ad")
        return folder / "cells.h5ad", None
    (folder / "features.tsv").write_text("".join(f"{gene}\t{gene}\tGene Expression\n" for gene in genes))
    (folder / "barcodes.tsv").write_text("".join(f"{cell}\n" for cell in obs.index))
    entries = scipy.sparse.coo_matrix(counts.T)
    order = np.random.default_rng(2).permutation(entries.nnz)
    entries = scipy.sparse.coo_matrix((entries.data[order], (entries.row[order], entries.col[order])), entries.shape)
    scipy.io.mmwrite(folder / "matrix.mtx", entries, field="real", precision=17, symmetry="general")
    table = obs.iloc[::-1].reset_index(names="cell").astype(str).replace("nan", "")
    table.loc[len(table)] = ["another cell", "B", "1"]
    table.to_csv(folder / "cells.tsv", sep="\t", index=False)
    return folder / "matrix.mtx", folder / "cells.tsv"


def plain(counts: np.ndarray, obs: pd.DataFrame, min_cells: int = 1) -> dict[str, np.ndarray]:
    groups: dict[str, list[np.ndarray]] = {}
    for row, (kind, donor) in zip(counts, obs[BY].itertuples(index=False)):
        if isinstance(kind, str):
            groups.setdefault(f"{kind}|{donor}", []).append(row)
    return {name: np.sum(rows, axis=0) for name, rows in sorted(groups.items()) if len(rows) >= min_cells}


@pytest.mark.parametrize("block", [1, 50, 10**6])
@pytest.mark.parametrize("form", FORMATS)
def test_pseudobulks_are_sums_of_their_cells(tmp_path, monkeypatch, counts, obs, form, block):
    monkeypatch.setattr(h5ad, "_BLOCK_VALUES", block)
    monkeypatch.setattr(market, "_BLOCK_ENTRIES", block)
    path, table = write(tmp_path, counts, obs, form)
    expected = plain(counts, obs, min_cells=9)
    found, dropped = aggregate_cells(path, BY, table, min_cells=9)
    assert list(found.obs_names) == list(expected)
    assert 0 < len(expected) < len(plain(counts, obs))
    sums = np.stack(list(expected.values()))
    np.testing.assert_array_equal(found.X.toarray(), sums.astype(np.float32))
    np.testing.assert_array_equal(found.obs["n_counts"], sums.sum(axis=1))
    np.testing.assert_array_equal(found.obs["n_genes"], (sums > 0).sum(axis=1))
    sizes = obs.dropna().groupby(BY, observed=True).size()
    names = [f"{kind}|{donor}" for kind, donor in sizes.index]
    assert found.obs["n_cells"].to_dict() == {n: size for n, size in zip(names, sizes) if size >= 9}
    assert dict(zip(dropped["task"], dropped["n_cells"])) == {n: size for n, size in zip(names, sizes) if size < 9}
    assert set(dropped["reason"]) == {"few_cells"}
    # Pseudobulks can be read like any matrix, with their task table.
    write_pseudobulks(found, tmp_path / "p.h5ad")
    _, tasks, values = read_matrix(tmp_path / "p.h5ad")
    np.testing.assert_array_equal(values, sums.T.astype(np.float32))
    described = read_tasks_table(tmp_path / "p.h5ad", tasks, {"group": "cell_type"})
    assert described["group"].tolist() == [task.split("|")[0] for task in tasks]
    assert described["n_cells"].astype(int).tolist() == found.obs["n_cells"].tolist()


def test_counts_that_are_of_no_gene_are_not_summed(tmp_path, counts, obs):
    path, _ = write(tmp_path, counts, obs, "csr")
    cells = anndata.read_h5ad(path)
    expected = aggregate_cells(path, BY)[0]
    more = np.column_stack([counts, np.full((len(counts), 2), 1000, counts.dtype)])
    var = pd.DataFrame(index=[*cells.var_names, "__no_feature", "N_unmapped"])
    anndata.AnnData(more, obs=cells.obs, var=var).write_h5ad(path)
    found = aggregate_cells(path, BY)[0]
    pd.testing.assert_frame_equal(found.obs, expected.obs)
    assert list(found.var_names) == list(expected.var_names)
    np.testing.assert_array_equal(found.X.toarray(), expected.X.toarray())


def test_program_writes_kept_and_dropped_pseudobulks(tmp_path, counts, obs):
    path, table = write(tmp_path, counts, obs, "market")
    options = [f"--cells={path}", f"--table={table}", f"--set=targets.pseudobulks.by={BY}"]
    options += [
        "--set=targets.pseudobulks.min_cells=9",
        f"--output={tmp_path / 'p.h5ad'}",
        f"--output-dropped={tmp_path / 'd.tsv'}",
    ]
    program.main(program.parser().parse_args(options))
    expected = plain(counts, obs, 9)
    assert list(anndata.read_h5ad(tmp_path / "p.h5ad").obs_names) == list(expected)
    assert set(read_table(tmp_path / "d.tsv")["task"]) == set(plain(counts, obs)) - set(expected)


def test_invalid_cells_are_errors(tmp_path, counts, obs):
    path, _ = write(tmp_path, counts, obs, "csr")
    with pytest.raises(InputError, match=r"annotation of the cells .* 'donors': did you mean donor"):
        aggregate_cells(path, ["donors"])
    with pytest.raises(InputError, match="none of 6 groups has at least 99 cells"):
        aggregate_cells(path, BY, min_cells=99)
    for value, text in ((-1.0, "-1"), (np.nan, "nan")):
        invalid = counts.copy()
        invalid[9, 4] = value
        with pytest.raises(InputError, match=f"cell cell9, gene g4 is {text}, but only counts can be summed"):
            aggregate_cells(write(tmp_path, invalid, obs, "csc")[0], BY)
    with pytest.raises(InputError, match=r"two groups of cells are named a\|b\|c"):
        unclear = pd.DataFrame({"x": ["a|b", "a"], "y": ["c", "b|c"]}, index=["1", "2"])
        aggregate_cells(write(tmp_path, counts[:2], unclear, "dense")[0], ["x", "y"])


@pytest.mark.parametrize("form", ["csr", "market"])
def test_cells_with_missing_annotations_are_left_out(tmp_path, counts, obs, form, caplog, monkeypatch):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    caplog.set_level("INFO")
    obs["cell_type"] = obs["cell_type"].astype(object)
    lacking = np.arange(N_CELLS) < 11
    expected = plain(counts, obs.assign(cell_type=obs["cell_type"].where(~lacking)))
    obs.loc[lacking, "cell_type"] = np.resize(["NA", "nan", "NaN", "N/A", ""], 11)
    path, table = write(tmp_path, counts, obs, form)
    found, _ = aggregate_cells(path, BY, table)
    assert list(found.obs_names) == list(expected) and found.obs["n_cells"].sum() == N_CELLS - 11
    assert "11 cells lack an annotation" in caplog.text


@pytest.mark.parametrize("name", ["task", "n_cells"])
def test_annotations_named_like_columns_of_pseudobulks_are_errors(tmp_path, counts, obs, name):
    path, _ = write(tmp_path, counts, obs.rename(columns={"donor": name}), "csr")
    with pytest.raises(InputError, match=rf"annotation {name} of .*cells\.h5ad .* rename it"):
        aggregate_cells(path, ["cell_type", name])


@pytest.mark.parametrize("name", ["none.mtx", "none.h5ad"])
def test_missing_file_of_cells_is_an_error(tmp_path, name):
    with pytest.raises(InputError, match=r"none\.\w+ does not exist: check targets\.cells"):
        aggregate_cells(tmp_path / name, BY)


def test_invalid_tables_of_cells_are_errors(tmp_path, counts, obs):
    path, table = write(tmp_path, counts, obs, "market")
    with pytest.raises(InputError, match="has no annotations of cells"):
        aggregate_cells(path, BY)
    text = table.read_text()
    for changed, message in (
        (text.replace("cell\t", "barcode\t", 1), "has no column cell"),
        (text + text.splitlines()[1] + "\n", "has the cell cell59 twice"),
        (
            text.replace("\ncell", "\nkell"),
            "has none of the cells of the matrix: the matrix has cell0, cell1, cell2 and 57 more",
        ),
    ):
        table.write_text(changed)
        with pytest.raises(InputError, match=message):
            aggregate_cells(path, BY, table)


def test_normalised_values_are_summed_with_a_warning(tmp_path, counts, obs, caplog, monkeypatch):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    monkeypatch.setattr(h5ad, "_BLOCK_VALUES", 1)
    halved = counts.copy()
    halved[1, 1] = 0.5
    aggregate_cells(write(tmp_path, halved, obs, "csr")[0], BY)
    assert "non-integer values" in caplog.text
    caplog.clear()
    aggregate_cells(write(tmp_path, counts, obs, "csr")[0], BY)
    assert "non-integer values" not in caplog.text
