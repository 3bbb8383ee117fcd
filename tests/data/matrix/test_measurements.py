"""All formats of a matrix give the same values, and the task table has one row per task."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from cisnake.data.matrix import h5ad, market
from cisnake.data.matrix import text as text_matrix
from cisnake.data.matrix.measurements import find_rows, matrix_files, read_matrix, read_task_names, read_tasks_table
from cisnake.errors import InputError

GENES = ["NA", "1e5", "g3", "007", "g3", "g 6", "True"]
TASKS = ["t.1", "2", "T cell|x", "nan", "e"]


def write(path: Path, text: str) -> Path:
    with gzip.open(path, "wt") if path.suffix == ".gz" else open(path, "w") as file:
        file.write(text)
    return path


def write_text(path: Path, genes, tasks, values) -> Path:
    """Write a matrix as TSV, CSV or GCT, with enough digits to restore each number."""
    separator = "," if ".csv" in path.name else "\t"
    lines = [
        ["id", *tasks],
        *([gene, *("" if np.isnan(x) else repr(float(x)) for x in row)] for gene, row in zip(genes, values)),
    ]
    if ".gct" in path.name:
        lines = [["#1.2"], [str(n) for n in values.shape], *([line[0], "what", *line[1:]] for line in lines)]
    return write(path, "".join(separator.join(line) + "\n" for line in lines))


def write_anndata(path: Path, genes, tasks, values, kind=np.asarray) -> Path:
    obs, var = pd.DataFrame(index=pd.Index(tasks, dtype=object)), pd.DataFrame(index=pd.Index(genes, dtype=object))
    anndata.AnnData(kind(values.T), obs=obs, var=var).write_h5ad(path)
    return path


def write_market(folder: Path, genes, tasks, values, old: bool) -> Path:
    folder.mkdir()
    ending = "" if old else ".gz"
    write(folder / ("genes.tsv" if old else "features.tsv.gz"), "".join(f"{gene}\tname\n" for gene in genes))
    write(folder / f"barcodes.tsv{ending}", "".join(f"{task}\n" for task in tasks))
    scipy.io.mmwrite(folder / "matrix.mtx", scipy.sparse.coo_matrix(values), field="real", precision=9, symmetry="general")
    if not old:
        (folder / "matrix.mtx.gz").write_bytes(gzip.compress((folder / "matrix.mtx").read_bytes()))
        (folder / "matrix.mtx").unlink()
    return folder


def written(folder: Path, genes, tasks, values) -> list[Path]:
    """Write the same matrix in every format that can represent it."""
    paths = [write_text(folder / f"m{ending}", genes, tasks, values) for ending in (".tsv", ".csv.gz", ".gct", ".gct.gz")]
    kinds = {"dense": np.asarray, "csr": scipy.sparse.csr_matrix, "csc": scipy.sparse.csc_matrix}
    paths += [write_anndata(folder / f"{name}.h5ad", genes, tasks, values, kind) for name, kind in kinds.items()]
    # Matrix Market cannot represent missing values.
    if not np.isnan(values).any():
        paths += [write_market(folder / f"market_{old}", genes, tasks, values, old) for old in (True, False)]
    return paths


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    folders = (tmp_path_factory.mktemp("m") for _ in itertools.count())
    return lambda: next(folders)


@settings(max_examples=15, deadline=None, derandomize=True)
@pytest.mark.filterwarnings("ignore:Variable names are not unique:UserWarning")
@given(
    values=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.one_of(st.just(0.0), st.integers(-3, 10**7), st.floats(-(2.0**99), 2.0**99, width=32)),
    ),
    missing=st.booleans(),
    block=st.sampled_from([1, 3, 10**6]),
)
def test_every_format_gives_the_same_numbers(numbered, values, missing, block):
    if missing:
        values[0, -1] = np.nan
    genes, tasks = GENES[: len(values)], TASKS[: values.shape[1]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_matrix, "_BLOCK_CELLS", block)
        patch.setattr(h5ad, "_BLOCK_VALUES", block)
        patch.setattr(market, "_BLOCK_ENTRIES", block)
        for path in written(numbered(), genes, tasks, values):
            found_genes, found_tasks, found = read_matrix(path)
            assert (list(found_genes), found_tasks, found.dtype) == (genes, tasks, np.float32), path.name
            np.testing.assert_array_equal(found, values, err_msg=path.name)
            assert read_task_names(path) == tasks, path.name


@pytest.mark.filterwarnings("ignore:Observation names are not unique:UserWarning")
def test_duplicate_tasks_are_errors_in_every_format(tmp_path):
    for path in written(tmp_path, GENES[:2], ["a", "b", "a"], np.ones((2, 3), np.float32)):
        for read in (read_matrix, read_task_names):
            with pytest.raises(InputError, match="the task a twice"):
                read(path)


def test_layers_of_other_formats_and_empty_matrices_are_errors(tmp_path):
    for path in written(tmp_path, GENES[:2], TASKS[:2], np.ones((2, 2), np.float32)):
        if path.suffix != ".h5ad":
            with pytest.raises(InputError, match=r"only \.h5ad files have layers"):
                read_matrix(path, layer="counts")
    with pytest.raises(InputError, match="does not exist"):
        read_matrix(tmp_path / "none.tsv")
    with pytest.raises(InputError, match="0 genes and 2 tasks"):
        read_matrix(write_anndata(tmp_path / "empty.h5ad", [], ["a", "b"], np.ones((0, 2), np.float32)))


def test_files_of_a_matrix_include_its_names(tmp_path):
    folder = write_market(tmp_path / "new", GENES[:2], TASKS[:2], np.ones((2, 2), np.float32), old=False)
    assert {path.name for path in matrix_files(folder)} == {"matrix.mtx.gz", "features.tsv.gz", "barcodes.tsv.gz"}
    assert matrix_files(tmp_path / "m.tsv") == [tmp_path / "m.tsv"]


def test_rows_are_found_despite_other_duplicate_ids():
    genes = pd.Index(["a", "twice", "b", "twice", "c"])
    assert find_rows(genes, pd.Series(["c", "a"])).tolist() == [4, 0]
    with pytest.raises(InputError, match="has several rows for twice"):
        find_rows(genes, pd.Series(["a", "twice"]))
    with pytest.raises(InputError, match=r"lacks z .*genes.tsv has z; the matrix has twice, b, c"):
        find_rows(genes, pd.Series(["a", "z"]))


def test_tasks_table_follows_the_matrix(tmp_path):
    path = write(tmp_path / "t.tsv", "task\tgroup\ttime\nb\theat\t5\na\tcold\t1e5\nc\tx\t1\n")
    table = read_tasks_table(path, ["a", "b"])
    assert table[["task", "group", "description", "time"]].values.tolist() == [["a", "cold", "", "1e5"], ["b", "heat", "", "5"]]
    assert read_tasks_table(None, ["a", "b"])["group"].tolist() == ["all", "all"]
    assert read_tasks_table(path, None).equals(read_tasks_table(path, read_tasks_table(path, None)["task"].tolist()))
    with pytest.raises(InputError, match="neither a matrix nor a task table"):
        read_tasks_table(None, None)
    with pytest.raises(InputError, match="lacks 1 of 2 tasks of the matrix: the matrix has d; the table has b, c"):
        read_tasks_table(path, ["a", "d"])
    with pytest.raises(InputError, match=r"They differ in upper and lower case \(B, b\)"):
        read_tasks_table(path, ["a", "B"])
    with pytest.raises(InputError, match="The matrix is transposed, with tasks in rows"):
        read_tasks_table(path, ["g1", "g2"], genes=["a", "b", "c"])
    with pytest.raises(InputError, match="twice"):
        read_tasks_table(write(tmp_path / "t.tsv", "task\na\na\n"), ["a"])
    with pytest.raises(InputError, match="no column task"):
        read_tasks_table(write(tmp_path / "t.tsv", "name\na\n"), ["a"])


def test_a_matrix_may_hold_its_task_table(tmp_path):
    obs = pd.DataFrame(
        {"organ": pd.Categorical(["liver", None, "skin"]), "n": [3, 4, 5], "ok": [True, False, True], "task": "x"},
        index=["a", "b", "c"],
    )
    anndata.AnnData(np.ones((3, 2), np.float32), obs=obs).write_h5ad(tmp_path / "m.h5ad")
    table = read_tasks_table(tmp_path / "m.h5ad", ["b", "c", "a"], {"group": "organ"})
    assert table[["task", "group", "n", "ok", "description"]].values.tolist() == [
        ["b", "", "4", "False", ""],
        ["c", "skin", "5", "True", ""],
        ["a", "liver", "3", "True", ""],
    ]
    with pytest.raises(InputError, match="'organs': did you mean organ"):
        read_tasks_table(tmp_path / "m.h5ad", ["a"], {"group": "organs"})
    text = "#1.3\n1\t2\t0\t1\nid\ta\tb\ngroup\theat\tcold\ng\t1\t2\n"
    assert read_tasks_table(write(tmp_path / "m.gct", text), ["b", "a"])["group"].tolist() == ["cold", "heat"]


SUMMARIES = ["__no_feature", "__alignment_not_unique", "__other", "ambiguous", "no_feature", "too_low_aQual", "not_aligned"]
SUMMARIES += ["alignment_not_unique", "N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous"]


@pytest.mark.parametrize("at_the_end", [True, False])
def test_summary_rows_are_left_out_of_every_format(tmp_path, caplog, monkeypatch, at_the_end):
    monkeypatch.setattr("cisnake.program.log.propagate", True)
    caplog.set_level("INFO")
    # Names that only resemble summaries are genes.
    genes = ["a", "_b", "N_gene", "Ambiguous", "no_feature_1"]
    values = np.arange(2 * len(genes), dtype=np.float32).reshape(-1, 2)
    order = np.arange(len(genes + SUMMARIES)) if at_the_end else np.random.default_rng(0).permutation(len(genes + SUMMARIES))
    ids = np.array(genes + SUMMARIES, dtype=object)[order]
    both = np.vstack([values, np.full((len(SUMMARIES), 2), 1e6, np.float32)])[order]
    for path in written(tmp_path, ids, ["x", "y"], both):
        caplog.clear()
        found, _, numbers = read_matrix(path)
        assert sorted(found) == sorted(genes), path.name
        np.testing.assert_array_equal(numbers, values[[genes.index(gene) for gene in found]], err_msg=path.name)
        lines = [record.getMessage() for record in caplog.records if "not genes" in record.getMessage()]
        assert len(lines) == 1 and all(name in lines[0] for name in SUMMARIES)
    with pytest.raises(InputError, match="has 0 genes"):
        read_matrix(write_text(tmp_path / "only.tsv", SUMMARIES, ["x"], np.ones((len(SUMMARIES), 1), np.float32)))
