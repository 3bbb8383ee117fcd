"""From inputs to the data set, by the programs."""

from __future__ import annotations

import json
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest

import select_genes
import write_dataset
from cisnake.data.dataset import layout
from cisnake.data.matrix.transform import ExpressionTransform
from cisnake.errors import InputError
from cisnake.files import read_table

from .configured import configured

WINDOWS = {"upstream": 20, "downstream": 30, "max_shift": 4}


@pytest.fixture
def select(tiny, tmp_path: Path):
    def run(splits: dict, *more: str, matrix: Path = tiny.matrix, sections: dict | None = None, **windows) -> Path:
        options = configured(tmp_path, windows=WINDOWS | windows, splits=splits, **sections or {})
        options += [f"--genome={tiny.fasta}", f"--gtf={tiny.gtf}", f"--matrix={matrix}", *more]
        # All output tables of the program.
        outputs = [
            action.option_strings[0] for action in select_genes.parser()._actions if "--output" in str(action.option_strings)
        ]
        options += [f"{option}={tmp_path / option.removeprefix('--output-')}" for option in outputs]
        select_genes.main(select_genes.parser().parse_args(options))
        return tmp_path

    return run


def write(tiny, folder: Path, *options: str, matrix: Path | None = None) -> Path:
    given = [f"--genes={folder / 'genes'}", f"--genome={tiny.fasta}", f"--output={folder / 'd.h5'}"]
    given += [f"--matrix={matrix or tiny.matrix}", f"--tasks={folder / 'tasks'}"]
    write_dataset.main(write_dataset.parser().parse_args([*given, *options]))
    return folder / "d.h5"


def test_labels_are_correct_although_the_matrix_has_a_duplicate_gene(tiny, select):
    lines = tiny.matrix.read_text().splitlines()
    tiny.matrix.write_text("\n".join([lines[0], *reversed(lines[1:]), lines[2]]) + "\n")
    folder = select({"val": ["chr2"], "test": ["chr3"]})
    dropped = read_table(folder / "dropped")
    assert dropped[["gene_id", "reason"]].values.tolist() == [["G1b", "duplicate_id"]]
    summary = json.loads((folder / "summary").read_text())
    assert (summary["n_kept"], summary["n_dropped"], summary["n_tasks"]) == (11, 1, 3)
    assert summary["split"] == {"train": 3, "val": 4, "test": 4}
    with layout.open_dataset(write(tiny, folder, "--set=windows.max_shift=4")) as file:
        windows, labels = layout.read_windows(file), layout.read_labels(file)
        assert file["pad"][()] == 4 and layout.read_tasks(file) == ["heat", "cold", "acid"]
    expected = pd.read_csv(tiny.matrix, sep="\t", index_col=0)
    np.testing.assert_allclose(labels, expected.loc[windows["gene_id"]], rtol=1e-6)
    assert windows["split"].tolist() == [{"chr1": "train", "chr2": "val", "chr3": "test"}[c] for c in windows["chrom"]]


def test_zscores_are_of_training_genes(tiny, select):
    folder = select({"val": ["chr2"], "test": ["chr3"]})
    with layout.open_dataset(write(tiny, folder, "--set=targets.transform=zscore")) as file:
        windows, labels = layout.read_windows(file), layout.read_labels(file)
        assert layout.read_transform(file)["kind"] == "zscore"
    train = labels[windows["split"] == "train"][:, :2]
    np.testing.assert_allclose(train.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train.std(axis=0), 1, atol=1e-6)
    assert abs(labels[windows["split"] != "train"][:, 0].mean()) > 1e-3


def test_with_folds_labels_have_the_scale_of_the_fold_that_holds_the_gene_out(tiny, select):
    folder = select({"folds": 3})
    options = ("--set=targets.transform=[zscore]", "--set=splits.folds=3")
    with layout.open_dataset(write(tiny, folder, *options)) as file:
        windows, labels = layout.read_windows(file), layout.read_labels(file)
        transform = ExpressionTransform.from_dict(layout.read_transform(file))
    x = pd.read_csv(tiny.matrix, sep="\t", index_col=0).loc[windows["gene_id"]].to_numpy()
    for fold in range(3):
        test = (windows["fold"] == fold).to_numpy()
        train = x[windows["fold"] == (fold + 2) % 3]
        sd = np.where(np.nanstd(train, axis=0) > 0, np.nanstd(train, axis=0), 1)
        np.testing.assert_allclose(labels[test], ((x - np.nanmean(train, axis=0)) / sd)[test], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(transform.inverse(labels, folds=windows["fold"].to_numpy()), x, rtol=1e-5, atol=1e-6)


def test_kept_pseudobulks_become_log_counts_per_million(tiny, select, tmp_path: Path):
    rng = np.random.default_rng(0)
    ids = [line.split("\t")[0] for line in tiny.matrix.read_text().splitlines()[1:]]
    counts = rng.poisson(20, (4, 15)).astype(np.float32)
    counts[2] = rng.poisson(0.1, 15)
    counts[:, 1] = [0, 0, 1, 0]
    obs = pd.DataFrame({"organ": ["liver", "liver", "skin", "brain"], "n_cells": [60, 70, 80, 90]}, list("abcd"))
    # Three rows without an annotated gene, which count towards the totals.
    var = pd.DataFrame({"gene": [*ids, "x", "y", "z"]}, [f"s{i}" for i in range(15)])
    path = tmp_path / "m.h5ad"
    anndata.AnnData(counts / 7, obs=obs, var=var, layers={"counts": counts}).write_h5ad(path)
    counts_of = {"layer": "counts", "gene_column": "gene"}
    filters = {"tasks": {"min_total": 100}, "genes": {"min_tasks": 1}}
    contrasts = {"one": {"on_tasks": ["liver"], "score": "specificity"}}
    asked = {
        "targets": counts_of | {"filters": filters, "task_columns": {"group": "organ"}},
        "attribution": {"contrasts": contrasts},
    }
    splits = {"val": ["chr2"], "test": ["chr3"]}
    folder = select(splits, matrix=path, sections=asked)
    tasks = read_table(folder / "tasks")
    assert tasks[["task", "group", "organ", "n_cells"]].values.tolist() == [
        ["a", "liver", "liver", "60"], ["b", "liver", "liver", "70"], ["d", "brain", "brain", "90"],
    ]  # fmt: skip
    assert read_table(folder / "tasks-dropped")[["task", "reason"]].values.tolist() == [["c", "low_total"]]
    dropped = read_table(folder / "dropped")
    assert dropped[["gene_id", "reason", "detail"]].values.tolist() == [[ids[1], "few_tasks", "above 0 in 0 tasks"]]
    summary = json.loads((folder / "summary").read_text())
    assert (summary["n_tasks"], summary["n_tasks_dropped"], summary["n_kept"]) == (3, 1, 11)
    options = [f"--set=targets.{key}={value}" for key, value in counts_of.items()]
    with layout.open_dataset(write(tiny, folder, *options, "--set=targets.transform=log1p_cpm", matrix=path)) as file:
        windows, labels = layout.read_windows(file), layout.read_labels(file)
        transform = ExpressionTransform.from_dict(layout.read_transform(file))
        assert layout.read_tasks(file) == ["a", "b", "d"]
    rows = [ids.index(gene) for gene in windows["gene_id"]]
    kept = counts[[0, 1, 3]].T.astype(np.float64)
    np.testing.assert_allclose(labels, np.log1p(1e6 * kept[rows] / kept.sum(axis=0)), rtol=1e-6)
    np.testing.assert_allclose(transform.inverse(labels), kept[rows], rtol=1e-5, atol=1e-5)
    # Contrasts cannot use a filtered task: this is reported before training.
    contrasts["one"]["off_tasks"] = ["skin"]
    with pytest.raises(InputError, match="contrast one 'skin'"):
        select(splits, matrix=path, sections=asked)
    with pytest.raises(InputError, match=r"targets\.filters\.tasks drops every task"):
        select(splits, *options, "--set=targets.filters.tasks.min_genes=99", matrix=path)


def test_splits_that_share_bases_are_rejected_unless_allowed(select, tmp_path: Path):
    parts = {"a": "train", "b": "test", "c": "train", "d": "val"}
    table = "".join(f"G{i}{letter}\t{part}\n" for i in (1, 2, 3) for letter, part in parts.items())
    (tmp_path / "splits.tsv").write_text("gene_id\tsplit\n" + table)
    splits, table = {"genes": "elsewhere.tsv"}, f"--splits={tmp_path / 'splits.tsv'}"
    # Test windows end at 350, training windows begin at 320.
    with pytest.raises(InputError, match=r"training gene G1c .*test gene G1b"):
        select(splits, table)
    assert not (tmp_path / "genes").exists()
    select(splits | {"allow_overlap": True}, table)
    assert len(read_table(tmp_path / "genes")) == 12
    # Windows that are 6 bases apart.
    select(splits, table, upstream=2, downstream=3, max_shift=6)
    with pytest.raises(InputError, match="shifted by up to 7 bp"):
        select(splits, table, upstream=2, downstream=3, max_shift=7)


def test_folds_hold_out_every_gene(select):
    folder = select({"folds": 3})
    genes = read_table(folder / "genes")
    assert sorted(genes["fold"].unique()) == ["0", "1", "2"] and set(genes["split"]) == {"test"}
    assert genes.groupby("chrom")["fold"].nunique().tolist() == [1, 1, 1]


@pytest.mark.parametrize("library", ["matrix", "annotation"])
def test_labels_do_not_depend_on_rows_that_are_no_genes(tiny, select, library: str) -> None:
    """Summaries of htseq-count never count; ids that the annotation lacks count only with `matrix`."""
    rng = np.random.default_rng(4)
    ids = [line.split("\t")[0] for line in tiny.matrix.read_text().splitlines()[1:]]
    counts = pd.DataFrame(rng.poisson(50, (12, 3)), pd.Index(ids, name="gene"), ["heat", "cold", "acid"])
    summary = pd.DataFrame(rng.poisson(500, (3, 3)), ["__no_feature", "ambiguous", "N_unmapped"], counts.columns)
    spikes = pd.DataFrame(rng.poisson(900, (1, 3)), ["ERCC-1"], counts.columns)
    splits, labels = {"val": ["chr2"], "test": ["chr3"]}, {}
    for name, tables in (("clean", [counts]), ("summary", [summary, counts]), ("spikes", [counts, spikes])):
        pd.concat(tables).to_csv(tiny.matrix, sep="\t", index_label="gene")
        # A gene that is dropped by a filter still counts in the library.
        sections = {"targets": {"filters": {"genes": {"min_total": int(counts.sum(axis=1).min()) + 1}}}}
        folder = select(splits, sections=sections)
        options = [f"--dropped={folder / 'dropped'}", f"--set=targets.library={library}", "--set=targets.transform=log1p_cpm"]
        with layout.open_dataset(write(tiny, folder, *options)) as file:
            kept, labels[name] = layout.read_windows(file)["gene_id"], layout.read_labels(file)
            assert 0 < len(kept) < 12
    np.testing.assert_allclose(labels["clean"], np.log1p(1e6 * (counts / counts.sum()).loc[kept]), rtol=1e-6)
    np.testing.assert_array_equal(labels["summary"], labels["clean"])
    assert np.array_equal(labels["spikes"], labels["clean"]) == (library == "annotation")
    if library == "annotation":
        with pytest.raises(InputError, match="requires --dropped"):
            write(tiny, folder, *options[1:])


def test_a_transposed_matrix_is_recognised(tiny, select) -> None:
    table = pd.read_csv(tiny.matrix, sep="\t", index_col=0).T.rename_axis("task")
    table.to_csv(tiny.matrix, sep="\t")
    with pytest.raises(InputError, match="The matrix is transposed"):
        select({"val": ["chr2"], "test": ["chr3"]})


def test_genes_at_borders_are_dropped_counted_and_logged(tiny, select, tmp_path: Path, caplog):
    # Windows of 50 bases around four TSSs, at 100 (+), 329 (-), 340 (+) and 499 (-) of each chromosome.
    with caplog.at_level("INFO"):
        folder = select({"val": ["chr1:1-200"], "test": ["chr1:330-600", "chr2"]})
    genes, dropped = read_table(folder / "genes"), read_table(folder / "dropped")
    assert genes.loc[genes["chrom"] == "chr1", ["gene_id", "split"]].values.tolist() == [["G1a", "val"], ["G1d", "test"]]
    assert dropped[["gene_id", "reason"]].values.tolist() == [["G1b", "split_border"], ["G1c", "split_border"]]
    assert dropped["detail"].tolist() == [
        "the window lies partly in test, chr1:330-350",
        "the window lies partly in test, chr1:330-370",
    ]
    summary = json.loads((folder / "summary").read_text())
    assert summary["dropped"] == {"split_border": 2} and (summary["n_kept"], summary["n_dropped"]) == (10, 2)
    assert summary["split"] == {"train": 4, "val": 1, "test": 5}
    assert "10 genes kept, 2 dropped: {'split_border': 2}" in caplog.text


def test_regions_come_from_a_table(select, tmp_path: Path):
    (tmp_path / "regions.tsv").write_text(
        "chrom\tstart\tend\tsplit\nchr1\t0\t300\tval\nchr1\t400\t600\ttest\nchr2\t0\t600\ttrain\n"
    )
    folder = select({"regions": "elsewhere.tsv"}, f"--regions={tmp_path / 'regions.tsv'}")
    genes, dropped = read_table(folder / "genes"), read_table(folder / "dropped")
    assert dict(zip(genes["gene_id"], genes["split"])) == {
        "G1a": "val", "G1d": "test", **{f"G2{letter}": "train" for letter in "abcd"}
    }  # fmt: skip
    assert set(dropped["reason"]) == {"outside_regions"} and len(dropped) == 6


def test_fractions_depend_on_the_seed_of_the_run(select, tmp_path: Path):
    splits = {"val": ["chr1"], "test_fraction": 0.3}
    drawn = {seed: read_table(select(splits, f"--set=run.seed={seed}") / "genes")["split"].tolist() for seed in (1, 2, 3, 4)}
    assert drawn[1] == read_table(select(splits, "--set=run.seed=1") / "genes")["split"].tolist()
    assert len(set(map(tuple, drawn.values()))) > 1
