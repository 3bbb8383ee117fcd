"""Intervals: blocks do not depend on each other, sums give the scores themselves, and intervals cover the truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from cisnake.evaluate import scores
from cisnake.evaluate.intervals import (
    LEAST_BLOCKS,
    draw_scores,
    median_over_tasks,
    neighbour_blocks,
    percentile_interval,
    sum_blocks,
)


def random_windows(n: int, length: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    start = rng.integers(0, 60 * n, n)
    return pd.DataFrame({"chrom": rng.choice(["chr1", "chr10", "chr2"], n), "start": start, "end": start + length})


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "length"), [(40, 10), (200, 50), (2000, 100)])
def test_blocks_are_neighbours_that_share_no_base_with_another_block(n, length, seed):
    windows = random_windows(n, length, seed)
    blocks = neighbour_blocks(windows)
    assert blocks is not None and len(np.unique(blocks)) == blocks.max() + 1 >= LEAST_BLOCKS
    spans = windows.assign(block=blocks).groupby("block").agg({"chrom": "nunique", "start": "min", "end": "max"})
    assert (spans["chrom"] == 1).all()
    spans["chrom"] = windows.assign(block=blocks).groupby("block")["chrom"].first()
    for _, on_chromosome in spans.sort_values("start").groupby("chrom"):
        # Spans from first to last base are disjoint: no base is shared, and no block lies within another.
        assert (on_chromosome["start"].to_numpy()[1:] >= on_chromosome["end"].to_numpy()[:-1]).all()


def test_many_genes_give_blocks_of_about_ten_and_few_genes_at_least_thirty_blocks():
    apart = pd.DataFrame({"chrom": "chr1", "start": np.arange(3000) * 100}).assign(end=lambda table: table["start"] + 90)
    assert np.bincount(neighbour_blocks(apart)).tolist() == [10] * 300
    assert neighbour_blocks(apart.iloc[:100]).max() + 1 >= LEAST_BLOCKS
    assert neighbour_blocks(apart.iloc[:30]).tolist() == list(range(30))


def test_genes_of_small_contigs_are_never_in_one_block():
    contigs = pd.DataFrame({"chrom": np.repeat([f"c{i}" for i in range(40)], 2), "start": np.tile([0, 200], 40)})
    blocks = neighbour_blocks(contigs.assign(end=contigs["start"] + 100))
    assert (contigs.assign(block=blocks).groupby("block")["chrom"].nunique() == 1).all() and blocks.max() + 1 == 40


def test_too_few_blocks_give_none():
    apart = pd.DataFrame({"chrom": "chr1", "start": np.arange(300) * 100}).assign(end=lambda table: table["start"] + 90)
    assert neighbour_blocks(apart.iloc[:29]) is None
    chained = apart.assign(end=apart["start"] + 101)
    assert neighbour_blocks(chained) is None
    # One long window that covers all others makes them one block.
    assert neighbour_blocks(pd.concat([apart, pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [10**6]})])) is None


def test_the_order_of_rows_does_not_matter():
    windows = random_windows(300, 50, 0).drop_duplicates(["chrom", "start"])
    order = np.random.default_rng(1).permutation(len(windows))
    blocks = neighbour_blocks(windows)
    np.testing.assert_array_equal(neighbour_blocks(windows.iloc[order]), blocks[order])


def noisy(n: int, tasks: int, seed: int, offset: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = rng.normal(size=(n, tasks)) + offset
    good = true * 0.5 + rng.normal(size=(n, tasks)) * 0.5 + offset / 2
    true[rng.random(true.shape) < 0.1] = np.nan
    return true, good, rng.normal(size=(n, tasks)) + offset


@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_scores_of_a_draw_equal_those_of_its_genes(offset):
    """Every draw is rebuilt gene by gene, and scored by the functions that score the run."""
    true, good, bad = noisy(120, 3, 0, offset)
    blocks = np.random.default_rng(1).integers(0, 40, 120)
    sums = sum_blocks(true, [good, bad], blocks, 41, np.full(3, offset))
    found = draw_scores(sums, seed=7, draws=20)
    times = np.random.default_rng(7).multinomial(41, np.full(41, 1 / 41), size=20)
    for draw in range(20):
        genes = np.concatenate([np.repeat(np.flatnonzero(blocks == block), n) for block, n in enumerate(times[draw])])
        for i, predicted in enumerate((good, bad)):
            np.testing.assert_allclose(found.pearson[i, draw], scores.pearson(true[genes], predicted[genes]), atol=1e-6)
            np.testing.assert_allclose(found.r2[i, draw], scores.r2(true[genes], predicted[genes]), atol=1e-5)


def test_parts_of_draws_do_not_change_the_result(monkeypatch):
    true, good, bad = noisy(120, 3, 0)
    sums = sum_blocks(true, [good, bad], np.arange(120) // 3, 40, np.zeros(3))
    whole = draw_scores(sums, seed=1)
    monkeypatch.setattr("cisnake.evaluate.intervals._NUMBERS", 300)
    np.testing.assert_array_equal(draw_scores(sums, seed=1).pearson, whole.pearson)


def test_constant_predictions_score_zero_and_constant_measurements_are_undefined():
    rng = np.random.default_rng(0)
    true = np.stack([rng.normal(size=90), np.full(90, 3.0)], axis=1)
    sums = sum_blocks(true, [np.full((90, 2), 5.0)], np.arange(90) // 3, 30, np.zeros(2))
    found = draw_scores(sums)
    assert (found.pearson[0, :, 0] == 0).all() and np.isnan(found.pearson[0, :, 1]).all()
    assert (found.r2[0, :, 0] < 0).all() and np.isnan(found.r2[0, :, 1]).all()
    assert percentile_interval(found.pearson[0, :, 1]) is None


def test_the_median_is_over_tasks_with_a_score():
    values = np.array([[1.0, np.nan, 3.0], [5.0, np.nan, np.nan]])
    assert median_over_tasks(values).tolist() == [2.0, 5.0]
    assert np.isnan(median_over_tasks(np.full((2, 3), np.nan))).all()


def correlated_blocks(rng: np.random.Generator, blocks: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return measurements and two predictions of genes whose blocks share half of the variance; r is 0.6 and 0.4."""
    shared, own = rng.normal(size=(blocks, 1, 3)), rng.normal(size=(blocks, size, 3))
    signal, first, second = np.moveaxis((shared + own).reshape(-1, 3), 1, 0) / np.sqrt(2)
    return signal, 0.6 * signal + 0.8 * first, 0.4 * signal + np.sqrt(1 - 0.16) * second


def test_intervals_cover_the_truth_as_often_as_they_say():
    """Genes of a block are regulated together; intervals over single genes would be too narrow."""
    rng = np.random.default_rng(0)
    covered, alone = np.zeros(2), 0
    trials = 300
    for trial in range(trials):
        true, first, second = (values[:, None] for values in correlated_blocks(rng, 60, 10))
        both = [first, second]
        by_block = draw_scores(sum_blocks(true, both, np.repeat(np.arange(60), 10), 60, np.zeros(1)), trial, 400).pearson[
            ..., 0
        ]
        by_gene = draw_scores(sum_blocks(true, both, np.arange(600), 600, np.zeros(1)), trial, 400).pearson[..., 0]
        for i, (values, truth) in enumerate(((by_block[0], 0.6), (by_block[0] - by_block[1], 0.2))):
            low, high = percentile_interval(values)
            covered[i] += low <= truth <= high
        low, high = percentile_interval(by_gene[0])
        alone += low <= 0.6 <= high
    # The standard error of a coverage of 95% is 1.3%.
    assert (covered / trials >= 0.90).all() and (covered / trials <= 0.985).all()
    assert alone / trials < 0.90
