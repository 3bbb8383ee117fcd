"""Baselines agree with independent implementations: the mean, k-mer counts and ridge regression."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from cisnake import configuration
from cisnake.data.annotation import features
from cisnake.data.dataset import layout, writer
from cisnake.data.genome.bases import decode, encode, reverse_complement
from cisnake.data.genome.fasta import Genome
from cisnake.data.matrix import measurements
from cisnake.data.windows import gene_windows
from cisnake.evaluate import baselines, scores
from cisnake.evaluate.baselines import count_kmers, kmer_ridge, train_mean

PAIR = str.maketrans("ACGT", "TGCA")


def canonical(word: str) -> str:
    return min(word, word.translate(PAIR)[::-1])


def plain_counts(text: str, k: int) -> list[int]:
    words = sorted({canonical("".join(letters)) for letters in itertools.product("ACGT", repeat=k)})
    found = [canonical(text[i : i + k]) for i in range(len(text) - k + 1) if "N" not in text[i : i + k]]
    return [found.count(word) for word in words]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_kmer_counts_equal_those_from_strings(k):
    rng = np.random.default_rng(k)
    texts = ["".join(rng.choice(list("ACGTN"), 60, p=[0.24] * 4 + [0.04])) for _ in range(20)] + ["N" * 60, "A" * 60]
    found = count_kmers(np.stack([encode(text) for text in texts]), k)
    assert found.shape[1] == (4**k + (2**k if k % 2 == 0 else 0)) // 2
    assert found.tolist() == [plain_counts(text, k) for text in texts]


def test_reverse_complements_have_identical_counts():
    codes = np.random.default_rng(0).integers(0, 5, (30, 80)).astype(np.int8)
    np.testing.assert_array_equal(count_kmers(codes, 6), count_kmers(reverse_complement(codes), 6))


def test_train_mean_ignores_missing_values():
    found = train_mean(np.float32([[1, np.nan], [3, 5]]), 4)
    assert found.tolist() == [[2, 5]] * 4 and found.dtype == np.float64


def regression(n: int, missing: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 4, (n + 40, 200)).astype(np.int8)
    counts = count_kmers(codes[:n], 3)
    labels = counts @ rng.normal(size=(counts.shape[1], 4)) * 0.2 + rng.normal(size=(n, 4)) + [0, 5, -100, 1]
    labels[rng.random(labels.shape) < missing] = np.nan
    return codes[:n], labels.astype(np.float32), codes[n:]


@pytest.mark.parametrize("missing", [0.0, 0.3, 0.8])
@pytest.mark.parametrize(("n", "k"), [(300, 3), (60, 4)])
@pytest.mark.parametrize("alpha", [1.0, 100.0, 10_000.0])
@pytest.mark.parametrize("kind", ["log1p", "counts"])
def test_ridge_equals_a_fit_per_task_to_its_measured_genes(missing, n, k, alpha, kind):
    """With more genes than k-mers, and with fewer."""
    train, labels, held_out = regression(n, missing)
    found = kmer_ridge(train, labels, held_out, k=k, counts=kind, alpha=alpha)
    scale = np.log1p if kind == "log1p" else np.asarray
    x, x_held_out = (scale(count_kmers(codes, k).astype(np.float64)) for codes in (train, held_out))
    for task in range(4):
        measured = np.isfinite(labels[:, task])
        one = Ridge(alpha=alpha).fit(x[measured], labels[measured, task].astype(np.float64))
        expected = one.predict(x_held_out)
        spread = np.nanstd(labels[:, task])
        np.testing.assert_allclose(found[:, task], expected, rtol=0, atol=1e-5 * spread)


def test_tasks_are_independent_and_a_task_without_labels_is_nan():
    train, labels, held_out = regression(100, 0.3)
    alone = kmer_ridge(train, labels[:, :1], held_out, k=3, alpha=50)
    labels[:, 2] = np.nan
    found = kmer_ridge(train, labels, held_out, k=3, alpha=50)
    np.testing.assert_allclose(found[:, :1], alone, atol=1e-9)
    assert np.isnan(found[:, 2]).all() and np.isfinite(found[:, [0, 1, 3]]).all()


def test_fits_that_do_not_converge_are_reported(monkeypatch, caplog):
    train, labels, held_out = regression(100, 0.6)
    monkeypatch.setattr(baselines, "_MAX_FITS", 2)
    monkeypatch.setattr(baselines.log, "propagate", True)
    kmer_ridge(train, labels, held_out, k=3, alpha=50)
    assert "4 tasks" in caplog.text


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
    predicted = kmer_ridge(codes[~held_out], labels[~held_out], codes[held_out])
    found = pd.Series(scores.pearson(labels[held_out], predicted))
    assert found.notna().all() and len(found) == 173
    assert found.median() == pytest.approx(median, abs=0.01)
