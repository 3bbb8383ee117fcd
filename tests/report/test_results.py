"""Reading a results folder: errors name missing files, and large files are read in chunks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cisnake import files
from cisnake.errors import InputError
from cisnake.files import read_table, write_table
from cisnake.report import results as module


@pytest.mark.parametrize(
    "missing",
    [
        "genes.tsv", "genes_dropped.tsv", "genes_summary.json", "models/fold_0/replicate_1/params.yaml",
        "evaluation/test/tasks.tsv", "peaks/heat.tsv", "motifs/heat/hits.tsv", "motifs/acid/enrichment.tsv",
    ],
)  # fmt: skip
def test_a_missing_required_part_is_named(results: Path, missing: str):
    (results / missing).unlink()
    with pytest.raises(InputError, match=missing):
        module.read_results(results)


def test_a_table_of_an_earlier_version_is_named(results: Path):
    path = results / "motifs/heat/enrichment.tsv"
    write_table(read_table(path).drop(columns="representative"), path)
    with pytest.raises(InputError, match=r"heat/enrichment.tsv has no column representative: .* rerun the workflow"):
        module.read_results(results)


def test_a_run_without_models_or_evaluation_is_refused(results: Path):
    (results / "evaluation/test/summary.json").unlink()
    with pytest.raises(InputError, match="evaluate_model"):
        module.read_results(results)
    for path in (results / "models").glob("*/*/history.tsv"):
        path.unlink()
    with pytest.raises(InputError, match="train_model"):
        module.read_results(results)


def test_the_history_of_a_run_is_that_of_its_own_head(results: Path):
    path = results / "models/fold_0/replicate_0/history.tsv"
    expected = module.read_results(results).trainings[0].history
    table = pd.read_csv(path, sep="\t")
    other = table.assign(head="head_mouse", seconds=9.0, val_score=-1.0, val_pearsonr=-1.0)
    files.write_table(pd.concat([table, other]).sort_values("epoch", kind="stable"), path)
    found = module.read_results(results).trainings[0].history
    pd.testing.assert_frame_equal(found.drop(columns="seconds"), expected.drop(columns="seconds"))
    assert (found["seconds"] == 9.0).all() and (expected["seconds"] == 6.5).all()


def test_largest_effects_and_status_counts_do_not_depend_on_the_chunks(whole: Path, monkeypatch):
    path = whole / "variants/effects.tsv"
    table = read_table(path, effect_mean="float")
    for rows in (7, 100_000):
        monkeypatch.setattr(module, "CHUNK_ROWS", rows)
        variants = module.summarise_variants(path, 5)
        assert variants.status == {"scored": 7, "outside": 1} and variants.n_variants == 8
        assert variants.significant == 2
        expected = table["effect_mean"].abs().groupby([table["variant_id"], table["gene_id"]]).max().nlargest(5)
        np.testing.assert_allclose(variants.top["effect_mean"].abs(), expected)
        assert list(variants.top["variant_id"]) == [variant for variant, _ in expected.index]


def test_hits_are_those_in_peaks_of_the_given_genes(whole: Path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK_ROWS", 11)
    all_hits = read_table(whole / "motifs/heat/hits.tsv")
    hits = module.read_hits_of_genes(whole / "motifs/heat/hits.tsv", ["Y0003W", "Y0020W"])
    assert len(hits) == all_hits["gene_id"].isin(["Y0003W", "Y0020W"]).sum() > 0
    assert set(hits["gene_id"]) == {"Y0003W", "Y0020W"} and hits["p_value"].dtype == float


def test_hits_of_an_empty_table(tmp_path: Path, whole: Path):
    header = (whole / "motifs/heat/hits.tsv").read_text().splitlines()[0]
    (tmp_path / "hits.tsv").write_text(header + "\n")
    assert module.read_hits_of_genes(tmp_path / "hits.tsv", ["Y0003W"]).empty


def test_predictions_of_one_task_are_read(whole: Path):
    import anndata

    data = anndata.read_h5ad(whole / "evaluation/test/predictions.h5ad")
    measured, predicted = module.read_predictions(whole / "evaluation/test/predictions.h5ad", data.obs_names[3])
    np.testing.assert_array_equal(measured, np.asarray(data.X)[3])
    np.testing.assert_array_equal(predicted, np.asarray(data.layers["predicted"])[3])
    with pytest.raises(InputError, match="no such task"):
        module.read_predictions(whole / "evaluation/test/predictions.h5ad", "no such task")


def test_results_not_in_the_configuration_are_ignored(whole: Path):
    config = {
        "genome": {"fasta": "genome.fa"},
        "splits": {"val": ["chr2"], "test": ["chr3"]},
        "train": {"replicates": 2},
        "evaluate": {"splits": ["val"]},
        "attribution": {"contrasts": {"heat": {}}},
        "variants": {},
    }
    read = module.read_results(whole, config)
    assert [evaluation.split for evaluation in read.evaluations] == ["val"]
    assert [training.replicate for training in read.trainings] == ["replicate_0", "replicate_1"]
    assert [contrast.name for contrast in read.contrasts] == ["heat"]
    assert read.variants is None and read.recovery is None
    assert module.read_results(whole, config | {"variants": {"vcf": "v.vcf"}}).variants is not None
    with pytest.raises(InputError, match="replicate_3"):
        module.read_results(whole, config | {"train": {"replicates": 4}})
