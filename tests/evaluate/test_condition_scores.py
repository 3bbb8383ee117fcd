import numpy as np
import pandas as pd
import pytest

from cisnake.evaluate.condition_scores import score_conditions

TABLE = pd.DataFrame({"task": list("abcde"), "replicate_of": ["x", "x", "y", "y", ""]})


def noisy(n=4000):
    """Return two conditions with two replicates each, and a single sample; all have as much noise as signal."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n, 3))[:, [0, 0, 1, 1, 2]]
    return signal, signal + rng.normal(size=signal.shape)


def test_noise_of_replicates_cancels_in_their_mean():
    signal, true = noisy()
    scores = score_conditions(true, signal, -signal, TABLE)
    assert scores["n_conditions"] == 3
    # A perfect prediction reaches sqrt(1 / (1 + 1/2)) for two replicates, and sqrt(1/2) for one.
    assert scores["model"]["pearson_median"] == pytest.approx(np.sqrt(2 / 3), abs=0.02)
    assert scores["ceiling"] == pytest.approx(np.sqrt(2 / 3), abs=0.02)
    assert scores["kmer_ridge"]["pearson_median"] == pytest.approx(-scores["model"]["pearson_median"])


def test_genes_with_one_measured_replicate_count():
    signal, true = noisy(50)
    true[:20, 0] = true[20:, 1] = np.nan
    only = np.where(np.isnan(true[:, 0]), true[:, 1], true[:, 0])
    scores = score_conditions(true[:, :2], signal[:, :2], signal[:, :2], TABLE.head(2))
    assert scores["model"]["pearson_max"] == pytest.approx(np.corrcoef(only, signal[:, 0])[0, 1])
    assert scores["ceiling"] == "unknown"


def test_without_replicates_there_are_no_conditions():
    signal, true = noisy(10)
    assert score_conditions(true, signal, signal, TABLE[["task"]]) is None
    assert score_conditions(true, signal, signal, TABLE.assign(replicate_of="")) is None
    assert score_conditions(true, signal, signal, TABLE.assign(replicate_of=list("abcde"))) is None
