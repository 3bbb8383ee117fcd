import dataclasses
import json
import shutil

import anndata
import h5py
import keras
import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr, spearmanr

from cisnake import configuration
from cisnake.data.dataset import writer
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.matrix.transform import ExpressionTransform
from cisnake.errors import InputError
from cisnake.evaluate.evaluation import evaluate_split, write_evaluation
from cisnake.evaluate.fitted_baselines import fit_baselines, read_baselines, read_choices, write_baselines
from cisnake.evaluate.scores import SUMMARY_KEYS, specificity
from cisnake.files import read_table
from cisnake.interpret import Contrast
from cisnake.words.kmers import count_kmers, kmer_features
from cisnake.words.ridge import Ridge

LENGTH, PAD, ANCHOR, TASKS, N = 30, 3, 20, ["t0", "t1", "t2"], 36
BASELINE = configuration.section("evaluate.baseline", k=2, upstream=15, downstream=5, alpha=1.0, words="canonical")
CONTRASTS = [Contrast("a_only", ("t0", "t1"), ("t2",), "specificity"), Contrast("last", ("t2",), (), "aggregate")]
TASK_TABLE = pd.DataFrame({"task": TASKS, "group": ["a", "a", "b"], "description": ""})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Return a function that writes a data set with a number of folds and returns its path, windows, labels and codes."""

    def write(n_folds):
        folder = tmp_path_factory.mktemp("dataset")
        rng = np.random.default_rng(0)
        (folder / "genome.fa").write_text(f">chr1\n{decode(rng.integers(0, 4, N * 40 + 50).astype(np.int8))}\n")
        genome = Genome(folder / "genome.fa")
        start, strand = 20 + 40 * np.arange(N), np.where(np.arange(N) % 2, "-", "+")
        tss = np.where(strand == "+", start + ANCHOR, start + LENGTH - 1 - ANCHOR)
        # Fold and split alternate along the genome, so that rows of a fold are not contiguous.
        fold = np.arange(N) % n_folds
        split = np.where(np.arange(N) % 3 == 2, "test", np.where(np.arange(N) % 3 == 1, "val", "train"))
        genes = pd.DataFrame(
            {
                "gene_id": [f"g{i}" for i in range(N)], "chrom": "chr1", "strand": strand, "tss": tss,
                "start": np.where(strand == "+", tss, tss - 5), "end": np.where(strand == "+", tss + 6, tss + 1),
                "window_start": start, "window_end": start + LENGTH, "mask_start": ANCHOR, "mask_end": ANCHOR + 6,
                "split": split if n_folds == 1 else "test", "fold": fold,
            }
        )  # fmt: skip
        labels = (rng.normal(size=(N, 3)) + 2 * fold[:, None]).astype(np.float32)
        labels[::7, 1] = np.nan
        path = folder / "dataset.h5"
        writer.write_dataset(path, genes, writer.Labels(labels, TASKS), genome, writer.Layout(PAD), {"n_folds": n_folds})
        codes = np.stack([genome.codes("chr1", at, at + LENGTH, s) for at, s in zip(start, strand)])
        return path, genes, labels, codes

    return write


def save_models(folder, n_folds, n_replicates, constant=False):
    """Save models with random weights, or models that predict 10 fold + replicate for every gene."""
    paths = []
    for fold in range(n_folds):
        for replicate in range(n_replicates):
            keras.utils.set_random_seed(100 * fold + replicate)
            model = keras.Sequential([keras.Input((LENGTH, 4)), keras.layers.Flatten(), keras.layers.Dense(3)])
            if constant:
                kernel, bias = model.weights
                kernel.assign(np.zeros(kernel.shape))
                bias.assign(np.full(3, 10 * fold + replicate))
            path = folder / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            model.save(path)
            paths.append(path)
    return paths


def evaluate(path, models, split, tasks=TASK_TABLE):
    predictions, choices = fit_baselines(path, [split], BASELINE, ANCHOR, CONTRASTS)
    return evaluate_split(path, models, split, predictions[split], choices, tasks, CONTRASTS, 8)


def each_task(true, predicted, score):
    measured = np.isfinite(true)
    return [float(score(t[m].astype(np.float64), p[m].astype(np.float64))) for t, p, m in zip(true.T, predicted.T, measured.T)]


def r2(t, p):
    return 1 - ((t - p) ** 2).sum() / ((t - t.mean()) ** 2).sum()


def test_scores_equal_those_of_scipy(written, tmp_path):
    path, genes, labels, codes = written(1)
    models = save_models(tmp_path, 1, 2)
    done = evaluate(path, models, "test")
    summary, by_task, by_gene, predictions = done.summary, done.by_task, done.by_gene, done.predictions
    rows = np.flatnonzero(genes["split"] == "test")
    one_hot = np.eye(5, 4, dtype=np.float32)[codes[rows]]
    replicates = [np.asarray(keras.saving.load_model(model)(one_hot)) for model in models]
    true, mean = labels[rows], np.mean(replicates, axis=0)

    assert (summary["split"], summary["n_genes"], summary["n_tasks"]) == ("test", len(rows), 3)
    assert list(by_task["task"]) == TASKS
    assert list(by_task["group"]) == ["a", "a", "b"]
    assert list(by_task["n"]) == list(np.isfinite(true).sum(axis=0))
    pearson = each_task(true, mean, lambda t, p: pearsonr(t, p)[0])
    np.testing.assert_allclose(by_task["pearson"], pearson, rtol=1e-5)
    np.testing.assert_allclose(by_task["spearman"], each_task(true, mean, lambda t, p: spearmanr(t, p)[0]), rtol=1e-5)
    np.testing.assert_allclose(by_task["r2"], each_task(true, mean, r2), rtol=1e-5)
    np.testing.assert_allclose(by_task["specificity_pearson"], specificity(true, mean, ["all"] * 3), rtol=1e-5)
    assert summary["model"]["pearson_median"] == pytest.approx(np.median(pearson), rel=1e-5)
    assert summary["model"]["pearson_max"] == pytest.approx(max(pearson), rel=1e-5)
    for i, replicate in enumerate(replicates):
        pearson = each_task(true, replicate, lambda t, p: pearsonr(t, p)[0])
        np.testing.assert_allclose(by_task[f"replicate_{i}_pearson"], pearson, rtol=1e-5)
        assert summary["replicates"][i]["pearson_mean"] == pytest.approx(np.mean(pearson), rel=1e-5)
        np.testing.assert_allclose(predictions.layers[f"replicate_{i}"], replicate.T, atol=1e-6)
    assert list(by_gene["gene_id"]) == list(genes["gene_id"][rows])
    np.testing.assert_allclose(by_gene["mse"], np.nanmean((true - mean) ** 2, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(predictions.X, true.T)
    np.testing.assert_allclose(predictions.layers["predicted"], mean.T, atol=1e-6)
    contrast = np.nanmean(true[:, :2], axis=1) - true[:, 2], mean[:, :2].mean(axis=1) - mean[:, 2]
    first = done.by_contrast.set_index("contrast").loc["a_only"]
    assert first["pearson"] == pytest.approx(pearsonr(*contrast)[0], rel=1e-5)
    assert first["spearman"] == pytest.approx(spearmanr(*contrast)[0], rel=1e-5)
    assert first["r2"] == pytest.approx(r2(*contrast), rel=1e-5)


@pytest.mark.parametrize("split", ["test", "val"])
def test_each_gene_is_predicted_and_compared_within_its_fold(written, tmp_path, split):
    path, genes, labels, codes = written(3)
    done = evaluate(path, save_models(tmp_path, 3, 2, constant=True), split)
    by_task, by_gene, predictions = done.by_task, done.by_gene, done.predictions
    assert sorted(by_gene["gene_id"]) == sorted(genes["gene_id"])
    row_of = {gene: row for row, gene in enumerate(genes["gene_id"])}
    rows = [row_of[gene] for gene in by_gene["gene_id"]]
    assert list(predictions.var_names) == list(by_gene["gene_id"])
    np.testing.assert_array_equal(predictions.X, labels[rows].T)
    assert list(by_gene["fold"]) == list(genes["fold"][rows])

    # Genes of fold f are test genes for the models of fold f, and validation genes for those of fold f - 1.
    model_fold = genes["fold"].to_numpy()[rows] if split == "test" else (genes["fold"].to_numpy()[rows] - 1) % 3
    np.testing.assert_allclose(predictions.layers["predicted"], np.tile(10 * model_fold + 0.5, (3, 1)))
    for replicate in (0, 1):
        np.testing.assert_allclose(predictions.layers[f"replicate_{replicate}"], np.tile(10 * model_fold + replicate, (3, 1)))

    # The baselines are fitted neither to the test fold nor to the validation fold.
    region = codes[:, ANCHOR - BASELINE.upstream : ANCHOR + BASELINE.downstream]
    mean, ridge = np.empty((N, 3)), np.empty((N, 3))
    for fold in range(3):
        train = ~genes["fold"].isin([fold, (fold + 1) % 3]).to_numpy()
        rows_of_fold = np.flatnonzero(model_fold == fold)
        mean[rows_of_fold] = np.nanmean(labels[train].astype(np.float64), axis=0)
        features = kmer_features(count_kmers(region, 2), "canonical", "log1p")
        fitted = Ridge(features[train])
        held_out = fitted.rotate(features[np.array(rows)[rows_of_fold]])
        ridge[rows_of_fold] = fitted.predict(fitted.fill_missing(labels[train], 1.0), held_out, 1.0)
    np.testing.assert_allclose(predictions.layers["kmer_ridge"], ridge.T, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(by_task["train_mean_r2"], each_task(labels[rows], mean, r2), rtol=1e-5)
    np.testing.assert_allclose(by_task["kmer_ridge_r2"], each_task(labels[rows], ridge, r2), rtol=1e-3)


def test_without_measurements_there_are_predictions_but_no_scores(written, tmp_path):
    path = written(1)[0]
    models = save_models(tmp_path, 1, 2)
    measured = evaluate(path, models, "test")
    with h5py.File(path, "r+") as file:
        file["labels"][:] = np.nan
    found = evaluate_split(path, models, "test", None, None, TASK_TABLE, CONTRASTS, 8)
    np.testing.assert_array_equal(found.predictions.layers["predicted"], measured.predictions.layers["predicted"])
    assert found.summary["measured"] is False and measured.summary["measured"] is True
    assert found.summary["verdict"] == "unknown" and found.summary["baselines"]["kmer_ridge"]["ridges"] == []
    assert found.by_task["pearson"].isna().all() and found.by_contrast["pearson"].isna().all()


def test_files(written, tmp_path):
    path = written(1)[0]
    write_evaluation(tmp_path / "out", evaluate(path, save_models(tmp_path, 1, 2), "val"))
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    keys = [
        "split",
        "n_genes",
        "measured",
        "n_tasks",
        "model",
        "baselines",
        "replicates",
        "parts",
        "ceiling",
        "conditions",
        "intervals",
    ]
    assert list(summary) == [*keys, "verdict", "contrasts"] and summary["parts"] == {}
    assert set(summary["baselines"]) == {"train_mean", "kmer_ridge"}
    (ridge,) = summary["baselines"]["kmer_ridge"].pop("ridges")
    assert (ridge["fold"], ridge["upstream"], ridge["downstream"], ridge["words"], ridge["penalty"]) == (
        0,
        15,
        5,
        "canonical",
        1,
    )
    for scores in (summary["model"], *summary["baselines"].values(), *summary["replicates"]):
        assert tuple(scores) == SUMMARY_KEYS
    assert len(summary["replicates"]) == 2
    assert summary["baselines"]["train_mean"]["pearson_median"] is None
    assert summary["baselines"]["train_mean"]["r2_median"] is not None
    # Twelve genes are too few for intervals, and no replicates are named.
    assert summary["intervals"] is None and summary["ceiling"] == "unknown" and summary["conditions"] is None
    assert list(summary["contrasts"]) == ["a_only", "last"]
    assert summary["contrasts"]["last"]["pearson_low"] is None and len(summary["contrasts"]["last"]["ridges"]) == 1
    columns = [
        "task",
        "group",
        "description",
        "n",
        "pearson",
        "spearman",
        "r2",
        "kmer_ridge_pearson",
        "kmer_ridge_r2",
        "train_mean_r2",
        "specificity_pearson",
        "ceiling",
    ]
    by_task = read_table(tmp_path / "out" / "tasks.tsv")
    assert list(by_task.columns) == [*columns, "replicate_0_pearson", "replicate_1_pearson"]
    by_contrast = read_table(tmp_path / "out" / "contrasts.tsv")
    assert by_contrast["contrast"].tolist() == ["a_only", "last"] and (by_contrast["ceiling"] == "").all()
    assert list(read_table(tmp_path / "out" / "genes.tsv").columns) == ["gene_id", "fold", "n", "pearson", "mse"]
    predictions = anndata.read_h5ad(tmp_path / "out" / "predictions.h5ad")
    assert list(predictions.obs_names) == TASKS
    assert list(predictions.obs["group"]) == ["a", "a", "b"]
    # anndata 0.13 lists X among the layers, as None.
    assert set(predictions.layers) - {None} == {"predicted", "kmer_ridge", "replicate_0", "replicate_1"}


def test_an_undefined_validation_score_is_null_in_the_summary(written, tmp_path):
    path = tmp_path / "dataset.h5"
    shutil.copy(written(1)[0], path)
    val = np.flatnonzero(written(1)[1]["split"] == "val")
    with h5py.File(path, "r+") as file:
        for row in val:
            file["labels"][row] = 1.0
    write_evaluation(tmp_path / "out", evaluate(path, save_models(tmp_path, 1, 1), "test"))
    text = (tmp_path / "out" / "summary.json").read_text()
    summary = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert summary["baselines"]["kmer_ridge"]["ridges"][0]["val_pearson"] is None


def test_replicates_that_are_named_give_ceilings(written, tmp_path):
    path, genes, labels, _ = written(1)
    done = evaluate(path, save_models(tmp_path, 1, 1), "test", TASK_TABLE.assign(replicate_of=["x", "x", "y"]))
    true = labels[genes["split"] == "test"]
    both = np.isfinite(true[:, :2]).all(axis=1)
    expected = np.sqrt(max(pearsonr(true[both, 0], true[both, 1])[0], 0))
    np.testing.assert_allclose(done.by_task["ceiling"], [expected, expected, np.nan], rtol=1e-5)
    assert done.summary["ceiling"] == pytest.approx(expected, rel=1e-5)
    # One side of the first contrast has a single replicate.
    assert done.by_contrast["ceiling"].isna().all()


def test_baselines_survive_writing_and_belong_to_their_genes(written, tmp_path):
    path = written(3)[0]
    predictions, choices = fit_baselines(path, ["val", "test"], BASELINE, ANCHOR, CONTRASTS)
    write_baselines(predictions, choices, tmp_path / "predictions.h5", tmp_path / "choices.tsv")
    for split in ("val", "test"):
        read = read_baselines(tmp_path / "predictions.h5", split)
        np.testing.assert_array_equal(read.rows, np.arange(N))
        np.testing.assert_array_equal(read.tasks, predictions[split].tasks)
        np.testing.assert_array_equal(read.contrasts, predictions[split].contrasts)
        assert read.names == ["a_only", "last"]
    pd.testing.assert_frame_equal(read_choices(tmp_path / "choices.tsv"), choices, rtol=1e-6, check_dtype=False)
    assert choices["target"].tolist() == ["all tasks", "a_only", "last"] * 3
    with pytest.raises(InputError, match="no predictions for the split train, only for test, val"):
        read_baselines(tmp_path / "predictions.h5", "train")
    models = save_models(tmp_path, 1, 1)
    with pytest.raises(InputError, match="belong to another data set"):
        few = dataclasses.replace(read, rows=read.rows[:3])
        evaluate_split(written(1)[0], models, "test", few, choices, TASK_TABLE, CONTRASTS, 8)


def test_in_coverage_runs_training_genes_that_share_bases_with_held_out_genes_are_not_used(written, tmp_path, monkeypatch):
    """Genes 1 and 2 are for validation and testing; a training gene is moved onto each, and one beside."""
    path, genes, labels, codes = written(1)
    moved = tmp_path / "genes.h5"
    shutil.copy(path, moved)
    train = np.flatnonzero(genes["split"] == "train")
    start = genes["window_start"].to_numpy().copy()
    start[train[:3]] = start[1] + LENGTH - 1, start[2] - LENGTH + 1, start[5] + LENGTH
    with h5py.File(moved, "r+") as file:
        file["windows/start"][:], file["windows/end"][:] = start, start + LENGTH
    as_expression = fit_baselines(moved, ["test"], BASELINE, ANCHOR, CONTRASTS)[0]["test"].tasks
    with h5py.File(moved, "r+") as file:
        file["gene_bins"] = np.ones((N, 1), np.int8)
    features = kmer_features(count_kmers(codes[:, ANCHOR - 15 : ANCHOR + 5], 2), "canonical", "log1p")

    def expected(rows):
        fitted = Ridge(features[rows])
        known = fitted.fill_missing(labels[rows], 1.0)
        return fitted.predict(known, fitted.rotate(features[genes["split"] == "test"]), 1.0)

    np.testing.assert_allclose(as_expression, expected(train), rtol=1e-4, atol=1e-5)
    monkeypatch.setattr("cisnake.evaluate.fitted_baselines.measured_values", lambda file, fold: labels)
    found = fit_baselines(moved, ["test"], BASELINE, ANCHOR, CONTRASTS)[0]["test"].tasks
    np.testing.assert_allclose(found, expected(train[2:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["a_only", "last"])
def test_the_ridge_of_a_contrast_is_fitted_to_the_measured_contrast(written, name):
    path, genes, labels, codes = written(1)
    contrast = next(contrast for contrast in CONTRASTS if contrast.name == name)
    predictions, _ = fit_baselines(path, ["test"], BASELINE, ANCHOR, CONTRASTS)
    train, test = (np.flatnonzero(genes["split"] == split) for split in ("train", "test"))
    measured = contrast.measured(labels[train], TASKS)[:, None]
    features = kmer_features(count_kmers(codes[:, ANCHOR - 15 : ANCHOR + 5], 2), "canonical", "log1p")
    known = np.isfinite(measured[:, 0])
    fitted = Ridge(features[train][known])
    expected = fitted.predict(measured[known], fitted.rotate(features[test]), 1.0)
    found = predictions["test"].contrasts[:, predictions["test"].names.index(name)]
    np.testing.assert_allclose(found, expected[:, 0], rtol=1e-4, atol=1e-5)


def test_folds_with_different_numbers_of_replicates_are_refused(written, tmp_path):
    path = written(3)[0]
    with pytest.raises(InputError, match="different numbers of replicates"):
        evaluate(path, save_models(tmp_path, 3, 2)[:-1], "test")


def test_predictions_are_transformed_back_to_the_scale_of_the_matrix(written, tmp_path):
    path = written(1)[0]
    models = save_models(tmp_path, 1, 2)
    assert "predicted_original" not in evaluate(path, models, "test").predictions.layers
    transform = ExpressionTransform("zscore", mean=[1.0, -2.0, 3.0], sd=[2.0, 1.0, 0.5])
    copy = shutil.copy(path, tmp_path / "transformed.h5")
    with h5py.File(copy, "r+") as file:
        file["target_transform"][()] = json.dumps(transform.to_dict())
    tasks = TASK_TABLE.assign(organ=["liver", "skin", "brain"])
    predictions = evaluate(copy, models, "test", tasks).predictions
    expected = predictions.layers["predicted"].T * [2.0, 1.0, 0.5] + [1.0, -2.0, 3.0]
    np.testing.assert_allclose(predictions.layers["predicted_original"], expected.T, rtol=1e-6)
    assert predictions.layers["predicted_original"].dtype == np.float32
    assert list(predictions.obs["organ"]) == ["liver", "skin", "brain"] and predictions.uns["split"] == "test"


@pytest.mark.parametrize("split", ["test", "val"])
def test_with_folds_measurements_have_the_scale_of_the_models_that_predict_them(written, tmp_path, split):
    path, genes, labels, _ = written(3)
    mean, sd = np.arange(9.0).reshape(3, 3) ** 2, np.arange(1.0, 10.0).reshape(3, 3)
    copy = shutil.copy(path, tmp_path / "scaled.h5")
    fold = genes["fold"].to_numpy()
    with h5py.File(copy, "r+") as file:
        file["target_transform"][()] = json.dumps(ExpressionTransform("zscore", mean=mean, sd=sd).to_dict())
    predictions = evaluate(copy, save_models(tmp_path, 3, 1, constant=True), split).predictions
    original = pd.DataFrame(labels * sd[fold] + mean[fold], genes["gene_id"]).loc[predictions.var_names].to_numpy()
    # In the split val, genes of fold f are predicted by the models of fold f - 1.
    model = (predictions.var["fold"].to_numpy() - (split == "val")) % 3
    np.testing.assert_allclose(predictions.X.T, (original - mean[model]) / sd[model], rtol=1e-5, atol=1e-5)
    predicted = predictions.layers["predicted"].T * sd[model] + mean[model]
    np.testing.assert_allclose(predictions.layers["predicted_original"].T, predicted, rtol=1e-6)
    # A ridge follows any change of scale of its labels, so it is the one of the untransformed measurements.
    plain = shutil.copy(path, tmp_path / "plain.h5")
    with h5py.File(plain, "r+") as file:
        file["labels"][:] = (labels * sd[fold] + mean[fold])[:, :, None]
    ridge = fit_baselines(plain, [split], BASELINE, ANCHOR, CONTRASTS)[0][split]
    at = [list(genes["gene_id"]).index(gene) for gene in predictions.var_names]
    found = predictions.layers["kmer_ridge"].T * sd[model] + mean[model]
    np.testing.assert_allclose(found, ridge.tasks[np.searchsorted(ridge.rows, at)], rtol=1e-3, atol=1e-2)


def test_a_split_without_genes_is_refused(written, tmp_path):
    path = written(2)[0]
    with pytest.raises(InputError, match="no gene is in the split train"):
        evaluate(path, save_models(tmp_path, 2, 1), "train")
