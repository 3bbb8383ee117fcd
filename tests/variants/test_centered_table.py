"""Tables and AnnData files of variants in centred windows."""

import tracemalloc

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control

from cisnake.errors import InputError
from cisnake.variants import write_centered
from cisnake.variants.controls import Controls

NAMES = ["rs1", "rs2", "rs2", "rs3", "rs4"]
STATUS = ["ok", "mismatch", "flipped", "ok", "too_long"]


@pytest.fixture
def variants():
    start = np.arange(5) * 10
    table = pd.DataFrame({"variant_id": NAMES, "chrom": "chr1", "start": start, "ref": "A", "alt": "C", "status": STATUS})
    return table.assign(record=[0, 1, 1, 2, 3])


@pytest.fixture
def values():
    values = np.random.default_rng(0).normal(size=(3, 3, 2))
    values[1, 1, 0] = np.nan
    return values


def blocks(values):
    yield np.array([0, 2]), values[:2]
    yield np.array([3]), values[2:]


@pytest.mark.parametrize("controlled", [False, True])
def test_tables_and_anndata_have_the_same_numbers(controlled, variants, values, tmp_path):
    null = np.sort(np.abs(np.random.default_rng(1).normal(size=(20, 4))), axis=0)
    controls = Controls(null, null[:0]) if controlled else None
    for name in ("e.tsv", "e.h5ad"):
        write_centered(variants, blocks(values), ["SUM", "REF", "D2"], ["a", "b"], tmp_path / name, controls)
    table, made = pd.read_csv(tmp_path / "e.tsv", sep="\t"), anndata.read_h5ad(tmp_path / "e.h5ad")
    columns = ["SUM", "REF", "D2"] + (["SUM_p", "D2_p", "SUM_q", "D2_q"] if controlled else [])
    assert list(table.columns) == ["variant_id", "chrom", "pos", "ref", "alt", "status", "task", *columns]
    assert made.shape == (5, 2) and list(made.var_names) == ["a", "b"] and sorted(made.layers) == sorted(columns)
    assert list(made.obs["variant_id"]) == NAMES and made.obs_names.is_unique and made.obs_names[0] == "rs1"
    assert list(made.obs["status"]) == STATUS and list(made.obs["pos"]) == [1, 11, 21, 31, 41]
    scored = table[table["task"].notna()]
    for column in columns:
        np.testing.assert_allclose(made.layers[column][[0, 2, 3]].ravel(), scored[column], rtol=1e-6)
        assert np.isnan(made.layers[column][[1, 4]]).all()
    np.testing.assert_allclose(made.layers["D2"][[0, 2, 3]], values[:, 2], rtol=1e-6)


def test_each_statistic_and_task_has_p_and_q_of_its_own_and_what_is_undefined_is_no_test(variants, values, tmp_path):
    values[1, 0, 0] = np.nan
    null = np.sort(np.abs(np.random.default_rng(1).normal(size=(20, 4))), axis=0)
    write_centered(variants, blocks(values), ["SUM", "REF", "D2"], ["a", "b"], tmp_path / "e.h5ad", Controls(null, null[:0]))
    layers = anndata.read_h5ad(tmp_path / "e.h5ad").layers
    for i, name in enumerate(("SUM", "D2")):
        for task in range(2):
            effects = values[:, (0, 2)[i], task]
            p, q = np.full((2, 3), np.nan)
            known = ~np.isnan(effects)
            p[known] = [(1 + (null[:, 2 * i + task] >= abs(x)).sum()) / 21 for x in effects[known]]
            q[known] = false_discovery_control(p[known])
            np.testing.assert_allclose(layers[f"{name}_p"][[0, 2, 3], task], p, rtol=1e-6)
            np.testing.assert_allclose(layers[f"{name}_q"][[0, 2, 3], task], q, rtol=1e-6)


@pytest.mark.parametrize("name", ["e.tsv", "e.h5ad"])
def test_without_variants_the_file_is_empty(name, variants, tmp_path):
    write_centered(variants.iloc[:0], iter([]), ["SUM"], ["a"], tmp_path / name)
    if name == "e.tsv":
        assert pd.read_csv(tmp_path / name, sep="\t").empty
    else:
        made = anndata.read_h5ad(tmp_path / name)
        assert made.shape == (0, 1) and list(made.layers) == ["SUM"]


def test_other_extensions_are_refused(variants, tmp_path):
    with pytest.raises(InputError, match=r"e\.csv must end in \.tsv or \.h5ad"):
        write_centered(variants, iter([]), ["SUM"], ["a"], tmp_path / "e.csv")
    assert not list(tmp_path.iterdir())


def test_memory_does_not_grow_with_the_layers(tmp_path):
    n, tasks, size = 600, 3000, 20
    start = np.arange(n)
    variants = pd.DataFrame({"variant_id": "v", "chrom": "c", "start": start, "ref": "A", "alt": "C", "status": "ok"})
    scores = ((start[first : first + size], np.full((size, 1, tasks), first, float)) for first in range(0, n, size))
    tracemalloc.start()
    write_centered(variants, scores, ["SUM"], [f"t{i}" for i in range(tasks)], tmp_path / "e.h5ad")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < n * tasks * 4 / 2
    np.testing.assert_array_equal(anndata.read_h5ad(tmp_path / "e.h5ad").layers["SUM"][:, -1], start // size * size)
