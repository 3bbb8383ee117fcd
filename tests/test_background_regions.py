"""Background regions from the file of regions to the data set, by the programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyBigWig
import pytest

import make_tiles
import select_covered_genes
import select_genes
import write_coverage
import write_dataset
from cisnake.data.dataset import layout
from cisnake.data.genome.bases import encode, reverse_complement
from cisnake.data.matrix.transform import ExpressionTransform
from cisnake.files import read_table

from .configured import configured

SIZE, TASKS = 8000, ["liver", "brain"]
SELECTED = ("genes", "dropped", "tasks", "summary")
Inputs = dict[str, str]


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    """Four chromosomes with 15 regions each on both strands, and a matrix of counts in which one region is missing."""
    rng = np.random.default_rng(2)
    sequences = {f"chr{i}": "".join(rng.choice([*"ACGT"], SIZE)) for i in range(1, 5)}
    rows, cells = [], ["region\t" + "\t".join(TASKS) + "\n"]
    for chrom in sequences:
        for i, start in enumerate(np.sort(rng.choice(SIZE - 200, 15, replace=False)) + 50):
            rows.append(f"{chrom}\t{start}\t{start + 30}\tpeak_{chrom}_{i}\t{i}\t{'+-.'[i % 3]}\n")
            if i != 7:
                cells.append(f"peak_{chrom}_{i}\t{rng.poisson(30)}\t{rng.poisson(5)}\n")
    (tmp_path / "genome.fa").write_text("".join(f">{name}\n{text}\n" for name, text in sequences.items()))
    (tmp_path / "peaks.bed").write_text("".join(rows))
    (tmp_path / "counts.tsv").write_text("".join(cells))
    return sequences


def run(program: Any, folder: Path, options: list[str], sections: dict[str, Any], outputs: tuple[str, ...]) -> None:
    given = [*configured(folder, **sections), *options, *(f"--output-{name}={folder / name}" for name in outputs)]
    program.main(program.parser().parse_args(given))


def sections(negatives: int = 2, **more: Any) -> dict[str, Any]:
    windows = {"upstream": 20, "downstream": 40, "max_shift": 3}
    return {
        "run": {"name": "a", "seed": 1},
        "regions": {"file": "peaks.bed", "negatives": negatives},
        "windows": windows,
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        **more,
    }


@pytest.fixture
def data(inputs: Inputs, tmp_path: Path) -> Callable[..., tuple[pd.DataFrame, np.ndarray, dict[str, Any]]]:
    """A function that selects regions and writes their data set, and returns windows, labels and the transform."""

    def make(transform: Any, **more: Any) -> tuple[pd.DataFrame, np.ndarray, dict[str, Any]]:
        given = [f"--genome={tmp_path / 'genome.fa'}", f"--matrix={tmp_path / 'counts.tsv'}"]
        asked = sections(**more)
        run(select_genes, tmp_path, [*given, f"--gtf={tmp_path / 'peaks.bed'}"], asked, (*SELECTED, "tasks-dropped"))
        tables = [f"--{name}={tmp_path / name}" for name in ("genes", "tasks", "dropped")]
        asked["targets"] = {"transform": transform}
        run(write_dataset, tmp_path, [*given, *tables, f"--output={tmp_path / 'd.h5'}"], asked, ())
        with layout.open_dataset(tmp_path / "d.h5") as file:
            return layout.read_windows(file), layout.read_labels(file), layout.read_transform(file)

    return make


@pytest.mark.parametrize("splits", [{"val": ["chr2"], "test": ["chr3"]}, {"folds": 4}])
def test_in_a_matrix_the_value_of_background_is_0_before_the_transform(
    inputs: Inputs, data: Any, tmp_path: Path, splits: dict[str, Any]
) -> None:
    windows, labels, transform = data(["log1p", "zscore"], splits=splits)
    background = (windows["background"] == 1).to_numpy()
    assert 60 < background.sum() <= 2 * (~background).sum() and set(windows["chrom"]) == set(inputs)
    values = pd.read_csv(tmp_path / "counts.tsv", sep="\t", index_col=0)
    x = np.zeros(labels.shape)
    x[~background] = values.loc[windows["gene_id"][~background]]
    folds = windows["fold"].to_numpy()
    for fold in np.unique(folds):
        train = (windows["split"] == "train") if len(np.unique(folds)) == 1 else ~np.isin(folds, [fold, (fold + 1) % 4])
        known = np.log1p(x[train])
        expected = (np.log1p(x) - known.mean(axis=0)) / known.std(axis=0)
        np.testing.assert_allclose(labels[folds == fold], expected[folds == fold], rtol=1e-5, atol=1e-6)
    inverse = ExpressionTransform.from_dict(transform).inverse(labels, folds=folds)
    np.testing.assert_allclose(inverse, x, rtol=1e-4, atol=1e-4)


def test_background_changes_neither_the_regions_nor_their_counts_per_million(data: Any, tmp_path: Path) -> None:
    windows, labels, _ = data("log1p_cpm")
    regions = windows["background"] == 0
    listed, summary = read_table(tmp_path / "dropped"), json.loads((tmp_path / "summary").read_text())
    assert listed["reason"].eq("no_label").sum() == 4 and "background" not in listed
    assert (summary["n_annotated"], summary["n_kept"], summary["n_dropped"]) == (60, regions.sum(), len(listed))
    numbers = summary["background"]
    assert numbers["asked"] == 2 * regions.sum() >= numbers["found"] >= numbers["n_kept"] == (~regions).sum()
    assert sum(summary["split"].values()) == len(windows)
    assert abs(numbers["gc"]["regions"]["mean"] - numbers["gc"]["background"]["mean"]) < 0.02
    alone, labels_alone, _ = data("log1p_cpm", negatives=0)
    assert "background" not in alone and "background" not in read_table(tmp_path / "genes")
    assert "background" not in json.loads((tmp_path / "summary").read_text())
    kept = windows[regions].drop(columns="background").reset_index(drop=True)
    assert kept.equals(alone)
    np.testing.assert_array_equal(labels[regions], labels_alone)
    assert (labels[~regions] == 0).all()


def test_background_at_borders_between_splits_is_counted_but_not_listed(data: Any, tmp_path: Path) -> None:
    test = [f"chr3:{first + 1}-{first + 500}" for first in range(0, SIZE, 1000)]
    windows, _, _ = data("none", splits={"val": ["chr2"], "test": test})
    listed, summary = read_table(tmp_path / "dropped"), json.loads((tmp_path / "summary").read_text())
    assert not listed["gene_id"].str.startswith("background").any()
    assert summary["dropped"] == listed["reason"].value_counts().to_dict()
    assert summary["background"]["found"] > summary["background"]["n_kept"] == (windows["background"] == 1).sum()
    inside = windows[windows["chrom"] == "chr3"]
    assert set(inside["split"]) == {"train", "test"}
    for row in inside.itertuples():
        assert {base // 500 % 2 == 0 for base in range(row.start, row.end)} == {row.split == "test"}


def test_with_tracks_background_has_its_own_coverage(inputs: Inputs, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    coverage = {chrom: rng.poisson(3, SIZE).astype(np.float64) for chrom in inputs}
    with pyBigWig.open(str(tmp_path / "a.bw"), "w") as file:
        file.addHeader([(chrom, SIZE) for chrom in coverage])
        for chrom, values in coverage.items():
            file.addEntries(chrom, 0, values=values.tolist(), span=1, step=1)
    (tmp_path / "tracks.tsv").write_text(f"identifier\tfile\tgroup\nliver\t{tmp_path / 'a.bw'}\tall\n")
    score = {"region": "tss", "upstream": 10, "downstream": 20}
    targets = {"kind": "coverage", "bin_size": 10, "crop": 0, "clip_pct": 1.0, "gene_score": score}
    asked = sections(targets=targets, tiles={"stride_test": 20, "stride_train": 20, "break_length": 2000})
    genome, tracks = f"--genome={tmp_path / 'genome.fa'}", f"--tracks={tmp_path / 'tracks.tsv'}"
    run(make_tiles, tmp_path, [genome, f"--output={tmp_path / 'tiles.tsv'}"], asked, ("summary",))
    options = [genome, tracks, f"--gtf={tmp_path / 'peaks.bed'}", f"--tiles={tmp_path / 'tiles.tsv'}"]
    run(select_covered_genes, tmp_path, options, asked, SELECTED)
    options = [genome, tracks, f"--windows={tmp_path / 'genes'}", f"--converted={tmp_path}", "--gene-bins"]
    run(write_coverage, tmp_path, [*options, f"--output={tmp_path / 'genes.h5'}"], asked, ())
    with layout.open_dataset(tmp_path / "genes.h5") as file:
        windows, bins = layout.read_windows(file), file["gene_bins"][:]
        labels, codes = layout.read_label_rows(file, np.arange(len(windows))), file["sequences"][:, 3:63]
    background = windows["background"] == 1
    summary = json.loads((tmp_path / "summary").read_text())
    assert summary["background"]["n_kept"] == background.sum() > 60 and {"+", "-"} == set(windows["strand"][background])
    assert (bins[background] == bins[~background][0]).all() and bins.any(axis=1).all()
    assert set(windows["split"][background]) == {"train", "val", "test"}
    for row, (window, own) in enumerate(zip(windows.itertuples(), labels, strict=True)):
        values = coverage[window.chrom][window.start : window.end].reshape(-1, 10).sum(axis=1)
        sequence = encode(inputs[window.chrom][window.start : window.end])
        turned = window.strand == "-"
        np.testing.assert_allclose(own[0], values[::-1] if turned else values, rtol=1e-5)
        np.testing.assert_array_equal(codes[row], reverse_complement(sequence) if turned else sequence)
