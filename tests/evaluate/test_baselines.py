"""The baselines: the training mean, and the ridge regression on k-mers that validation genes choose."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge as SklearnRidge

from cisnake import configuration
from cisnake.data.annotation import features
from cisnake.data.dataset import layout, writer
from cisnake.data.genome.bases import decode
from cisnake.data.genome.fasta import Genome
from cisnake.data.matrix import measurements
from cisnake.data.windows import gene_windows
from cisnake.evaluate import scores
from cisnake.evaluate.baselines import candidate_windows, fit_kmer_ridges, train_mean
from cisnake.words.kmers import add_reverse_complements, count_kmers, kmer_features
from cisnake.words.ridge import PENALTIES, Ridge


def test_train_mean_ignores_missing_values():
    found = train_mean(np.float32([[1, np.nan], [3, 5]]), 4)
    assert found.tolist() == [[2, 5]] * 4 and found.dtype == np.float64


def planted(n: int = 600, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return bases, 40 before the anchor and 20 from it, and labels: stranded upstream, canonical downstream, and noise."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n, 60)).astype(np.int8)
    upstream, downstream = (count_kmers(part, 2) for part in (codes[:, :40], codes[:, 40:]))
    stranded = upstream @ rng.normal(size=16)
    # Only words downstream count: over the whole window, they are mixed with those upstream.
    canonical = add_reverse_complements(downstream) @ rng.normal(size=10)
    return codes, np.stack([stranded, canonical, rng.normal(size=n)], axis=1).astype(np.float32)


def fit(codes: np.ndarray, labels: np.ndarray, groups: list[int], **settings):
    roles = {"train": np.arange(300), "val": np.arange(300, 450), "predicted": np.arange(450, 600)}
    baseline = configuration.section("evaluate.baseline", **{"k": 2, "counts": "counts"} | settings)
    windows = candidate_windows(baseline, 40, 20)
    return fit_kmer_ridges(
        lambda rows, before, after: codes[rows, 40 - before : 40 + after], labels, np.array(groups), roles, windows, baseline
    )


def test_each_group_gets_the_window_words_and_penalty_that_predict_its_validation_genes():
    codes, labels = planted()
    predicted, chosen = fit(codes, labels, [0, 1, 2])
    assert (chosen[0].upstream, chosen[0].downstream, chosen[0].words) == (40, 0, "stranded")
    assert (chosen[1].upstream, chosen[1].downstream) == (40, 20)
    assert chosen[0].val_pearson > 0.99 and chosen[1].val_pearson > 0.3 and chosen[2].val_pearson < 0.3
    assert scores.pearson(labels[450:], predicted)[0] > 0.99


def test_no_other_candidate_has_a_higher_validation_score():
    codes, labels = planted(seed=3)
    _, (best,) = fit(codes, labels, [0, 0, 0])
    others = [
        fit(codes, labels, [0, 0, 0], window=window, words=words, alpha=penalty)[1][0].val_pearson
        for window in ("promoter", "whole")
        for words in ("stranded", "canonical")
        for penalty in PENALTIES
    ]
    assert best.val_pearson == pytest.approx(max(others))


def test_the_choice_ignores_labels_of_genes_to_predict():
    codes, labels = planted()
    before = fit(codes, labels, [0, 0, 1])
    labels[450:] = np.nan
    after = fit(codes, labels, [0, 0, 1])
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]


def test_settings_are_used_as_they_are():
    codes, labels = planted()
    predicted, (chosen,) = fit(codes, labels, [0, 0, 0], upstream=10, downstream=5, words="canonical", alpha=30.0)
    x = add_reverse_complements(count_kmers(codes[:, 30:45], 2)).astype(np.float64)
    expected = SklearnRidge(alpha=30.0).fit(x[:300], labels[:300].astype(np.float64)).predict(x[450:])
    np.testing.assert_allclose(predicted, expected, atol=1e-8)
    assert (chosen.upstream, chosen.downstream, chosen.words, chosen.penalty) == (10, 5, "canonical", 30.0)
    expected_val = SklearnRidge(alpha=30.0).fit(x[:300], labels[:300].astype(np.float64)).predict(x[300:450])
    assert chosen.val_pearson == pytest.approx(np.median(scores.pearson(labels[300:450], expected_val)))


def test_a_task_without_training_labels_is_nan_and_one_without_validation_labels_is_predicted():
    codes, labels = planted()
    labels[:300, 0] = np.nan
    labels[300:450, 1] = np.nan
    predicted, chosen = fit(codes, labels, [0, 1, 2])
    assert np.isnan(predicted[:, 0]).all() and np.isfinite(predicted[:, 1:]).all()
    assert np.isnan([chosen[0].val_pearson, chosen[1].val_pearson]).all() and len(chosen) == 3


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [(500, 0), (2000, 1000)]),
        ({"window": "promoter"}, [(500, 0)]),
        ({"window": "whole"}, [(2000, 1000)]),
        ({"downstream": 100}, [(500, 100)]),
        ({"upstream": 0, "downstream": 100}, [(0, 100)]),
    ],
)
def test_candidate_windows(settings, expected):
    assert candidate_windows(configuration.section("evaluate.baseline", **settings), 2000, 1000) == expected


def test_a_window_without_promoter_is_used_whole():
    assert candidate_windows(configuration.section("evaluate.baseline"), 0, 300) == [(0, 300)]
    assert candidate_windows(configuration.section("evaluate.baseline"), 300, 0) == [(300, 0)]


# Yeast genes with an intron after the A of the start codon (YIL111W has the rare donor GC).
INTRON_IN_START_CODON = {"YJL041W": "AGT", "YMR242C": "AGT", "YOR312C": "AGT", "YIL111W": "AGC"}


@pytest.fixture(scope="module")
def yeast_genes(yeast: Path):
    """Select genes of the real annotation with the filters of the configuration, except for `exclude`."""

    def select(exclude: dict, upstream: int, downstream: int, feature: str = "gene"):
        genome = Genome(yeast / "sacCer3.fa.gz")
        ids, tasks, values = measurements.read_matrix(yeast / "gasch2000_log2ratio.tsv.gz")
        kept, _, summary = gene_windows.select_genes(
            features.read_genes(yeast / "sacCer3.SGD_R64-2-1.gtf.gz", list(exclude), feature),
            features.read_tss(yeast / "rossi2021_tss.bed"),
            genome,
            configuration.section("annotation", biotypes=["protein_coding"], exclude=exclude, exclude_chromosomes=["chrM"]),
            configuration.section("windows", anchor="start", upstream=upstream, downstream=downstream),
            gene_windows.MatrixGenes(ids, np.isfinite(values).any(axis=1)),
        )
        return kept, values[measurements.find_rows(ids, kept["matrix_id"])], tasks, genome, summary

    return select


def test_yeast_windows_have_the_start_codon_at_the_anchor(yeast_genes, tmp_path: Path):
    kept, labels, tasks, genome, summary = yeast_genes({"orf_classification": ["Dubious"]}, 600, 200, "CDS")
    assert set(kept["strand"]) == {"+", "-"} and len(kept) > 5200 and len(tasks) == 173
    assert summary["tss_source"]["bed"] > 4500
    kept = kept.assign(split="train", fold=0)
    writer.write_dataset(tmp_path / "dataset.h5", kept, writer.Labels(labels, tasks), genome, writer.Layout(8), {"n_folds": 1})
    with layout.open_dataset(tmp_path / "dataset.h5") as file:
        codons = layout.read_codes(file, np.arange(len(kept)), 608, 611)
    read = dict(zip(kept["gene_id"], (decode(codon) for codon in codons)))
    assert {gene: codon for gene, codon in read.items() if codon != "ATG"} == INTRON_IN_START_CODON


@pytest.mark.parametrize(("exclude", "median"), [({}, 0.259), ({"orf_classification": ["Dubious"]}, 0.277)])
def test_yeast_ridge_reaches_its_known_score(yeast_genes, exclude, median):
    kept, labels, _, genome, _ = yeast_genes(exclude, 500, 3)
    places = kept[["chrom", "window_start", "window_end", "strand"]].itertuples(index=False, name=None)
    codes = np.stack([genome.codes(*place) for place in places])[:, :500]
    held_out = kept["chrom"].isin(["chrIV", "chrVIII", "chrXIII"]).to_numpy()
    counts = [kmer_features(count_kmers(part, 6), "canonical", "log1p") for part in (codes[~held_out], codes[held_out])]
    ridge = Ridge(counts[0])
    predicted = ridge.predict(ridge.fill_missing(labels[~held_out], 10_000), ridge.rotate(counts[1]), 10_000)
    found = pd.Series(scores.pearson(labels[held_out], predicted))
    assert found.notna().all() and len(found) == 173
    assert found.median() == pytest.approx(median, abs=0.01)
