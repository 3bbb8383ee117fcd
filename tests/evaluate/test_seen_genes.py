"""Held-out genes on which networks from elsewhere were trained."""

import numpy as np
import pandas as pd
import pytest

from cisnake.errors import InputError
from cisnake.evaluate.seen_genes import find_seen_genes, score_unseen_genes, score_without_background


def genes(n=200):
    rng = np.random.default_rng(0)
    start = rng.integers(0, 5000, n)
    return pd.DataFrame({"chrom": rng.choice(["chr1", "chr2", "chr3"], n), "start": start, "end": start + 100})


def test_genes_are_seen_if_their_window_shares_a_base_with_a_region():
    table = genes()
    # Positions count from 1, and the last one is included.
    found = find_seen_genes(table, ["chr3", "chr1:1,001-2000", "chr1:1500-1600", "chrX"])
    chrom, start, end = (table[name].to_numpy() for name in ("chrom", "start", "end"))
    expected = (chrom == "chr3") | ((chrom == "chr1") & (start < 2000) & (end > 1000))
    np.testing.assert_array_equal(found, expected)
    assert 20 < found.sum() < 180
    assert not find_seen_genes(table, ["chrX"]).any()
    with pytest.raises(InputError, match=r"model\.trained_on: chr1:9-5 is not a region"):
        find_seen_genes(table, ["chr1:9-5"])


def test_scores_are_also_those_of_the_other_genes():
    table, rng = genes(), np.random.default_rng(1)
    true = rng.normal(size=(200, 3))
    seen = (table["chrom"] == "chr2").to_numpy()
    # Networks that remember the genes they were trained on, and know nothing of the others.
    ensemble = np.where(seen[:, None], true, rng.normal(size=(200, 3)))
    ridge = true + rng.normal(size=(200, 3))
    found = score_unseen_genes(true, ensemble, ridge, table, ["chr2"])
    assert found["n_seen"] == seen.sum()
    for name, values in (("model", ensemble), ("kmer_ridge", ridge)):
        r = [np.corrcoef(true[~seen, i], values[~seen, i])[0, 1] for i in range(3)]
        assert found[name]["pearson_median"] == pytest.approx(np.median(r))
    assert found["model"]["pearson_median"] < 0.2 < found["kmer_ridge"]["pearson_median"]


@pytest.mark.parametrize(("trained_on", "n_seen"), [(None, "unknown"), (["chr9"], 0), (["chr1", "chr2", "chr3"], 200)])
def test_without_two_kinds_of_genes_there_is_nothing_to_compare(trained_on, n_seen):
    values = np.random.default_rng(0).normal(size=(200, 2))
    found = score_unseen_genes(values, values, values, genes(), trained_on)
    assert found == {"n_seen": n_seen, "model": None, "kmer_ridge": None}


def test_scores_without_background_are_those_of_the_regions():
    table, rng = genes(), np.random.default_rng(2)
    background = rng.random(200) < 0.5
    # Predictions that tell regions from background, but not regions from each other.
    true = np.where(background[:, None], 0, 5 + rng.normal(size=(200, 3)))
    ensemble, ridge = np.where(background[:, None], 0, 5) + rng.normal(size=(200, 3)), true + rng.normal(size=(200, 3))
    found = score_without_background(true, ensemble, ridge, table.assign(background=background.astype(int)))
    assert found["n_background"] == background.sum()
    for name, values in (("model", ensemble), ("kmer_ridge", ridge)):
        r = [np.corrcoef(true[~background, i], values[~background, i])[0, 1] for i in range(3)]
        assert found[name]["pearson_median"] == pytest.approx(np.median(r))
    assert found["model"]["pearson_median"] < 0.3 < found["kmer_ridge"]["pearson_median"]
    for column in ({}, {"background": 0}, {"background": 1}):
        assert score_without_background(true, ensemble, ridge, table.assign(**column)) is None
