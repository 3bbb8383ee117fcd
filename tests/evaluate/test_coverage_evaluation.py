import h5py
import keras
import numpy as np
import pandas as pd
import pytest

from cisnake import configuration
from cisnake.data.coverage.transform import TargetTransform
from cisnake.data.dataset import layout
from cisnake.data.dataset.writer import Labels, Layout, write_dataset
from cisnake.data.genome.fasta import Genome
from cisnake.errors import InputError
from cisnake.evaluate import scores
from cisnake.evaluate.coverage_evaluation import evaluate_tiles, gene_profiles
from cisnake.evaluate.intervals import draw_scores, median_over_tasks, neighbour_blocks, percentile_interval, sum_blocks
from cisnake.words.ridge import PENALTIES

TASKS, BIN, CROP, BINS, PAD = ["plus", "minus"], 4, 6, 5, 2
LENGTH = 2 * CROP + BIN * BINS
TABLE = pd.DataFrame({"task": TASKS, "group": "g", "description": ["a", "b"]})
BASELINE = configuration.section("evaluate.baseline", k=2, alpha=1.0)


@pytest.fixture(scope="module")
def genome(tmp_path_factory):
    path = tmp_path_factory.mktemp("genome") / "genome.fa"
    rng = np.random.default_rng(0)
    path.write_text("".join(f">{c}\n{''.join(rng.choice(list('ACGT'), 1200))}\n" for c in ("one", "two")))
    return Genome(path)


TRANSFORM = TargetTransform(scale=(0.5, 2.0), power=0.5)


def write(folder, genome, n_folds=1, gene_bins=None):
    start = np.arange(-CROP, 1200 - LENGTH, BIN * BINS)
    windows = pd.DataFrame({"chrom": np.repeat(["one", "two"], len(start)), "window_start": np.tile(start, 2)})
    windows["window_end"] = windows["window_start"] + LENGTH
    windows["gene_id"] = windows["chrom"] + ":" + windows["window_start"].astype(str)
    windows = windows.assign(strand="+", mask_start=0, mask_end=0, split="train", fold=0)
    windows.loc[::5, "split"] = "test"
    windows.loc[1::5, "split"] = "val"
    if n_folds > 1:
        windows["fold"], windows["split"] = np.arange(len(windows)) % n_folds, "test"
    rng = np.random.default_rng(1)
    labels = rng.gamma(1.0, 2.0, (len(windows), len(TASKS), BINS)).astype(np.float32)
    labels[3, 1, 2:4] = labels[5, 0] = np.nan
    path = folder / "dataset.h5"
    measured = Labels(labels, TASKS, TRANSFORM.to_dict(), gene_bins)
    write_dataset(path, windows, measured, genome, Layout(PAD, BIN, CROP), {"n_folds": n_folds})
    return path, windows, labels


def save_models(folder, folds, replicates=2):
    paths, models = [], {}
    for fold in range(folds):
        for replicate in range(replicates):
            inputs = keras.Input((LENGTH, 4))
            x = keras.layers.Cropping1D(CROP)(inputs)
            outputs = keras.layers.Conv1D(len(TASKS), BIN, strides=BIN, activation="softplus")(x)
            path = folder / f"fold_{fold}" / f"replicate_{replicate}" / "model.keras"
            path.parent.mkdir(parents=True)
            models[fold, replicate] = keras.Model(inputs, outputs)
            models[fold, replicate].save(path)
            paths.append(path)
    return paths, models


def one_hot(genome, windows):
    codes = np.stack(
        [genome.codes(c, s, e) for c, s, e in zip(windows["chrom"], windows["window_start"], windows["window_end"])]
    )
    return np.eye(5, 4, dtype=np.float32)[codes]


def genes(chrom="one"):
    return pd.DataFrame({"chrom": [chrom] * 3, "strand": ["+", "-", "+"], "tss": [200, 500, 900]})


def test_scores_are_computed_over_all_bins_of_the_split(tmp_path, genome):
    path, windows, labels = write(tmp_path, genome)
    paths, models = save_models(tmp_path, 1)
    summary, by_task, examples = evaluate_tiles(path, paths, "test", genes(), TABLE, BASELINE, 3)
    rows = np.flatnonzero(windows["split"] == "test")
    x = one_hot(genome, windows.iloc[rows])
    replicates = [np.asarray(models[0, i](x), np.float64).reshape(-1, 2) for i in range(2)]
    true = labels[rows].transpose(0, 2, 1).reshape(-1, 2)
    ensemble = np.mean(replicates, axis=0)
    np.testing.assert_allclose(by_task["pearson"], scores.pearson(true, ensemble), atol=1e-6)
    np.testing.assert_allclose(by_task["r2"], scores.r2(true, ensemble), atol=1e-6)
    np.testing.assert_allclose(by_task["replicate_1_pearson"], scores.pearson(true, replicates[1]), atol=1e-6)
    mean = np.nanmean(labels[windows["split"] == "train"].transpose(0, 2, 1).reshape(-1, 2), axis=0)
    np.testing.assert_allclose(by_task["train_mean_r2"], scores.r2(true, np.broadcast_to(mean, true.shape)), atol=1e-5)
    assert by_task["n"].tolist() == np.isfinite(true).sum(axis=0).tolist()
    assert (summary["n_tiles"], summary["n_bins"]) == (len(rows), int(np.isfinite(true).sum(axis=0).max()))
    assert summary["model"]["pearson_max"] == pytest.approx(by_task["pearson"].max())
    assert summary["baselines"]["train_mean"]["pearson_median"] is None
    assert {name: part["r2_median"] is not None for name, part in summary["baselines"].items()} == dict.fromkeys(
        ("train_mean", "tss_profile", "kmer_ridge"), True
    )
    # The example tiles have the right values and positions.
    tile = windows.set_index("gene_id").loc[examples["tile"].iloc[0]]
    row = windows.index[windows["gene_id"] == examples["tile"].iloc[0]][0]
    example = examples[(examples["tile"] == examples["tile"].iloc[0]) & (examples["task"] == "minus")].iloc[:BINS]
    np.testing.assert_allclose(example["measured"], labels[row, 1], equal_nan=True)
    assert example["start"].tolist() == [tile["window_start"] + CROP + BIN * i for i in range(BINS)]
    at = int(np.flatnonzero(rows == row)[0])
    np.testing.assert_allclose(example["predicted"], ensemble.reshape(-1, BINS, 2)[at, :, 1], atol=1e-6)
    assert sorted(examples["quantile"].unique()) == [0.25, 0.5, 0.75]


def test_with_folds_each_tile_is_scored_by_models_not_trained_on_it(tmp_path, genome):
    path, windows, labels = write(tmp_path, genome, n_folds=3)
    paths, models = save_models(tmp_path, 3, replicates=1)
    summary, by_task, _ = evaluate_tiles(path, paths, "test", genes("two"), TABLE, BASELINE, 64)
    x = one_hot(genome, windows)
    predicted = np.stack([np.asarray(models[fold, 0](x[i : i + 1]))[0] for i, fold in enumerate(windows["fold"])])
    true = labels.transpose(0, 2, 1).reshape(-1, 2)
    np.testing.assert_allclose(by_task["pearson"], scores.pearson(true, predicted.reshape(-1, 2)), atol=1e-6)
    assert summary["n_tiles"] == len(windows)


def test_a_split_without_tiles_is_refused(tmp_path, genome):
    path = write(tmp_path, genome)[0]
    paths, _ = save_models(tmp_path, 1, replicates=1)
    with layout.h5py.File(path, "r+") as file:
        values = file["genes"].asstr()[:]
        values[values == "val"] = "train"
        file["genes"][...] = values
    with pytest.raises(InputError, match="no tile is in the split val"):
        evaluate_tiles(path, paths, "val", genes(), TABLE, BASELINE, 8)


def test_gene_profiles_use_the_most_variable_genes(tmp_path, genome):
    rng = np.random.default_rng(5)
    bins = rng.choice([0.0, 0.5, 1.0], (118, BINS)).astype(np.float32)
    bins[:, :3] = 1
    path, windows, labels = write(tmp_path, genome, gene_bins=bins)
    paths, models = save_models(tmp_path, 1)
    rows = np.flatnonzero(windows["split"] == "test")
    x = one_hot(genome, windows)
    ensemble = np.mean([np.asarray(models[0, i](x), np.float64) for i in range(2)], axis=0)
    expected = []
    for task in range(2):
        pairs = []
        for row in rows:
            in_gene = bins[row] > 0
            t, p = (
                np.log2(1 + TRANSFORM.inverse(values.astype(np.float64))[in_gene, task])
                for values in (labels[row].T, ensemble[row])
            )
            known = np.isfinite(t)
            if known.sum() > 1:
                pairs.append((t[known].var(), np.corrcoef(t[known], p[known])[0, 1]))
        variance, correlation = np.array(pairs).T
        expected.append(correlation[variance >= np.quantile(variance, 0.8)].mean())
    # One of the correlations is near 0, where float32 has few exact digits.
    np.testing.assert_allclose(gene_profiles(path, paths, "test", 4), expected, rtol=1e-5, atol=1e-6)


def test_the_penalty_is_that_with_the_best_score_over_validation_bins(tmp_path, genome):
    path = write(tmp_path, genome)[0]
    paths, _ = save_models(tmp_path, 1, 1)
    summary = evaluate_tiles(path, paths, "test", genes(), TABLE, configuration.section("evaluate.baseline", k=2), 64)[0]
    (chosen,) = summary["baselines"]["kmer_ridge"]["ridges"]
    # Scored as a split, validation tiles give the score of each penalty; bins are few, so that all of them are used.
    scored = {}
    for penalty in PENALTIES:
        fixed = configuration.section("evaluate.baseline", k=2, alpha=penalty)
        scored[penalty] = evaluate_tiles(path, paths, "val", genes(), TABLE, fixed, 64)[0]["baselines"]["kmer_ridge"]
    best = max(scored, key=lambda penalty: scored[penalty]["pearson_median"])
    assert chosen["penalty"] == best
    assert chosen["val_pearson"] == pytest.approx(scored[best]["pearson_median"], abs=1e-3)
    assert scored[best]["ridges"][0]["penalty"] == best and scored[best]["ridges"][0]["val_pearson"] is None


def test_strand_pairs_are_also_scored_against_the_partner(tmp_path, genome):
    path, windows, labels = write(tmp_path, genome)
    paths, models = save_models(tmp_path, 1, 1)
    alone, by_task, _ = evaluate_tiles(path, paths, "test", genes(), TABLE, BASELINE, 64)
    assert "partner_strand" not in alone and "partner_strand_pearson" not in by_task
    with h5py.File(path, "r+") as file:
        file["strand_pair"] = np.int32([1, 0])
    summary, by_task, _ = evaluate_tiles(path, paths, "test", genes(), TABLE, BASELINE, 64)
    rows = np.flatnonzero(windows["split"] == "test")
    predicted = np.asarray(models[0, 0](one_hot(genome, windows.iloc[rows]))).reshape(-1, 2)
    true = labels[rows].transpose(0, 2, 1).reshape(-1, 2)
    np.testing.assert_allclose(by_task["partner_strand_pearson"], scores.pearson(true[:, ::-1], predicted), atol=1e-6)
    assert summary["partner_strand"]["pearson_median"] == pytest.approx(by_task["partner_strand_pearson"].median())
    assert summary["model"] == alone["model"]


def test_intervals_of_bins_are_those_of_blocks_of_tiles(tmp_path, genome):
    path, windows, labels = write(tmp_path, genome)
    paths, models = save_models(tmp_path, 1, 1)
    # A fifth of the tiles is too few for intervals.
    assert evaluate_tiles(path, paths, "test", genes(), TABLE, BASELINE, 64)[0]["intervals"] is None
    with h5py.File(path, "r+") as file:
        table = file["genes"][:]
        table[:, 1] = np.where(np.arange(len(table)) % 10 < 7, b"test", table[:, 1])
        file["genes"][:] = table
    split = np.where(np.arange(len(windows)) % 10 < 7, "test", windows["split"])
    rows = np.flatnonzero(split == "test")
    summary = evaluate_tiles(path, paths, "test", genes(), TABLE, BASELINE, 64)[0]
    scored = windows.iloc[rows].assign(start=windows["window_start"] + CROP, end=windows["window_end"] - CROP)
    blocks = np.repeat(neighbour_blocks(scored), BINS)
    predicted = np.asarray(models[0, 0](one_hot(genome, windows.iloc[rows]))).reshape(-1, 2)
    true = labels[rows].transpose(0, 2, 1).reshape(-1, 2)
    expected = draw_scores(sum_blocks(true, [predicted], blocks, blocks.max() + 1, np.zeros(2)))
    for name, values in (("pearson", expected.pearson[0]), ("r2", expected.r2[0])):
        np.testing.assert_allclose(
            summary["intervals"][name], percentile_interval(median_over_tasks(values)), rtol=1e-3, atol=1e-4
        )
    assert summary["verdict"] in ("no better than the mean", "below the baseline", "at the baseline", "well above the baseline")
