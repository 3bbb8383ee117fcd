"""The genes whose cards are in the page, and the region at which a card opens."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cisnake.report.cards import shown_genes


def test_best_region_agrees_with_brute_force():
    rng = np.random.default_rng(0)
    for length in (5, 110, 111, 300):
        scores = rng.standard_normal(length)
        sums = [np.abs(scores[i : i + 110]).sum() for i in range(max(length - 110, 0) + 1)]
        start = int(np.argmax(sums))
        assert shown_genes.best_region(scores) == (start, min(start + 110, length))


def windows(predicted, measured, split) -> pd.DataFrame:
    ids = [f"g{i}" for i in range(len(predicted))]
    return pd.DataFrame({"gene_id": ids, "predicted": predicted, "measured": measured, "split": split})


def test_choice_of_genes_prefers_held_out_then_seen_then_wrong_at_either_end():
    predicted = [9.0, 8.0, 7.0, 6.0, -6.0, -7.0, -8.0, 0.5, 0.4, 20.0]
    measured = [9.0, -8.0, 7.0, 6.0, -6.0, -7.0, 8.0, 0.5, 0.4, np.nan]
    split = ["train", "test", "test", "test", "test", "test", "test", "train", "train", "test"]
    table = windows(predicted, measured, split)
    chosen, how = shown_genes.choose_shown_genes(table, 10)
    of_ends = {gene: table["prediction"] for gene, table in chosen.set_index("gene_id").iterrows()}
    assert next(iter(of_ends)) == "g2" and of_ends["g1"] == "poor" and of_ends["g9"] == "not_measured"
    high = [gene for gene in of_ends if predicted[int(gene[1:])] > np.median(predicted)]
    assert list(of_ends)[: len(high)] == high, "the high end comes first"
    ranks = [{"correct": 0 if split[int(gene[1:])] == "test" else 1}.get(of_ends[gene], 2) for gene in high]
    assert ranks == sorted(ranks) and set(ranks) == {0, 1, 2}
    few = shown_genes.choose_shown_genes(table, 4)[0]["predicted"] - np.median(predicted)
    assert (few.iloc[:2] > 0).all() and (few.iloc[2:] < 0).all()
    assert "of the training split, which the model has seen" in how and "predicted poorly or not measured" in how


def test_an_offset_of_the_contrast_does_not_change_the_choice():
    rng = np.random.default_rng(0)
    measured = rng.normal(size=60)
    predicted = 0.5 * measured + rng.normal(size=60)
    plain, how = shown_genes.choose_shown_genes(windows(predicted, measured, "test"), 10)
    moved, how_moved = shown_genes.choose_shown_genes(windows(predicted + 100, measured - 3, "test"), 10)
    assert list(plain["gene_id"]) == list(moved["gene_id"]) and how == how_moved


def test_one_end_fills_the_places_of_the_other():
    table = windows([1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 1.0, 5.0], "test")
    assert sorted(shown_genes.choose_shown_genes(table, 4)[0]["gene_id"]) == ["g0", "g1", "g2", "g3"]
    assert len(shown_genes.choose_shown_genes(table, 2)[0]) == 2
