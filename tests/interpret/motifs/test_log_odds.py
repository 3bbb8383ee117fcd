import itertools

import numpy as np
import pytest
from scipy.stats import false_discovery_control

from cisnake.data.genome.bases import encode
from cisnake.interpret.motifs import log_odds
from cisnake.interpret.motifs.log_odds import PSEUDO_SHARE, STEP, base_composition, motif_scores, score_motifs
from cisnake.interpret.q_values import bh_q_values_of_smallest

from .scanned import consensus_motif, random_motif

SKEWED = np.array([0.38, 0.12, 0.12, 0.38])


@pytest.mark.parametrize("background", [np.full(4, 0.25), SKEWED, np.array([0.1, 0.4, 0.4, 0.1])])
@pytest.mark.parametrize("width", [1, 4, 7, 8])
def test_p_values_are_those_of_all_words(background, width):
    motif = random_motif(np.random.default_rng(width), width)
    scores = motif_scores(motif, background)
    words = np.array(list(itertools.product(range(4), repeat=width)))
    total = scores.steps[np.arange(width), words].sum(axis=1)
    chance = background[words].prod(axis=1)
    for observed in np.unique(total)[:: max(1, len(np.unique(total)) // 200)]:
        exact = chance[total >= observed].sum()
        assert scores.tail[observed - scores.lowest] == pytest.approx(exact, rel=1e-9)
    mixed = (1 - PSEUDO_SHARE) * motif.probabilities + PSEUDO_SHARE * background
    exact_score = np.log2(mixed / background)[np.arange(width), words].sum(axis=1)
    assert np.abs(total * STEP - exact_score).max() <= width * STEP / 2 + 1e-9


@pytest.mark.parametrize("p_threshold", [0.3, 1e-2, 1e-3])
def test_the_threshold_is_the_lowest_score_that_reaches_p(p_threshold):
    scores = motif_scores(random_motif(np.random.default_rng(5), 8), SKEWED)
    cut = scores.cut(p_threshold) - scores.lowest
    assert scores.tail[cut] <= p_threshold < scores.tail[cut - 1]


@pytest.mark.parametrize("p_threshold", [0.5, 1e-2, 1e-4, 1e-7])
@pytest.mark.parametrize("width", [3, 9, 21])
def test_a_tail_computed_for_a_threshold_is_part_of_the_full_distribution(p_threshold, width, monkeypatch):
    monkeypatch.setattr(log_odds, "_REACH", 3)
    motif = random_motif(np.random.default_rng(width), width)
    whole, part = motif_scores(motif, SKEWED), motif_scores(motif, SKEWED, p_threshold)
    assert part.cut(p_threshold) == whole.cut(p_threshold)
    assert len(part.tail) < len(whole.tail) or part.tail[0] <= p_threshold
    np.testing.assert_allclose(part.tail, whole.tail[part.lowest - whole.lowest :], rtol=1e-12)


def test_levels_number_the_scores_of_all_motifs_and_backgrounds():
    motifs = [random_motif(np.random.default_rng(i), 6 + i, f"m{i}") for i in range(3)] + [consensus_motif("ACG", "short")]
    backgrounds = np.stack([np.full(4, 0.25), SKEWED])
    scores = score_motifs(motifs, backgrounds, 1e-3)
    table = scores.describe(np.arange(len(scores.p)))
    for number, background in enumerate(backgrounds):
        for index, motif in enumerate(motifs):
            here = np.flatnonzero((table["gc_class"] == number) & (table["motif"] == index))
            whole = motif_scores(motif, background)
            cut = whole.cut(1e-3)
            assert scores.cuts[number, index] == cut
            assert here[0] == scores.first_level[number, index]
            np.testing.assert_allclose(table["p_value"][here], whole.tail[cut - whole.lowest :], rtol=1e-12)
            np.testing.assert_allclose(table["score"][here], STEP * (cut + np.arange(len(here))))
    assert (scores.cut_p[:, :3] <= 1e-3).all()
    assert (scores.cut_p[:, 3] > 1e-3).all()


def test_base_composition_pools_strands_and_leaves_out_n():
    blocks = [encode("AAAAAAACC" + "N" * 50)[None], encode("AGT" + "N" * 3)[None]]
    # A 8+1, C 2+1, G 1+1, T 1+1, with a pseudocount of one
    np.testing.assert_allclose(base_composition(blocks), np.array([11, 5, 5, 11]) / 32)
    np.testing.assert_allclose(base_composition([]), 0.25)


def test_q_values_of_all_tests_are_those_of_benjamini_and_hochberg():
    p = np.random.default_rng(0).choice([0.001, 0.004, 0.01, 0.2, 0.5, 0.9, 1.0], 300)
    levels, counts = np.unique(p, return_counts=True)
    shuffled = np.random.default_rng(1).permutation(len(levels))
    q = np.empty(len(levels))
    q[shuffled] = bh_q_values_of_smallest(levels[shuffled], counts[shuffled], len(p))
    np.testing.assert_allclose(q[np.searchsorted(levels, p)], false_discovery_control(p))
    # The same level occurs twice (from two motifs), once without a test.
    twice = bh_q_values_of_smallest(np.repeat(levels, 2), np.column_stack([counts - 1, np.ones_like(counts)]).ravel(), len(p))
    np.testing.assert_allclose(twice[::2], q)
    np.testing.assert_allclose(twice[1::2], q)
