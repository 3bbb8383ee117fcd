"""Fractions of the genes in stretches of neighbours, spread over the genome."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd
import pytest

from cisnake.data.windows.stretches import hold_out_stretches
from cisnake.errors import InputError


def genes_on(**numbers: int) -> pd.DataFrame:
    rows = [(f"{chrom}_{i}", chrom, 10 * i, "train") for chrom, n in numbers.items() for i in range(n)]
    return pd.DataFrame(rows, columns=["gene_id", "chrom", "window_start", "split"])


def stretches(genes: pd.DataFrame, split: pd.Series) -> list[tuple[str, str, int]]:
    """Return chromosome, split and length of each stretch of neighbours of one split."""
    order = genes.assign(split=split).sort_values(["chrom", "window_start"])
    return [(*key, len(list(rows))) for key, rows in groupby(zip(order["chrom"], order["split"], strict=True))]


@pytest.mark.parametrize("seed", range(20))
def test_fractions_are_met_within_a_stretch_on_genomes_of_any_shape(seed):
    rng = np.random.default_rng(seed)
    genes = genes_on(**{f"chr{i}": int(rng.integers(1, 400)) for i in range(rng.integers(1, 30))}, long=200)
    fractions = {"test": float(rng.uniform(0.05, 0.4)), "val": float(rng.uniform(0.05, 0.4))}
    total = len(genes)
    split = hold_out_stretches(genes, fractions, total, seed)
    length = max(4, round(min(fractions.values()) * total / 10))
    for name, fraction in fractions.items():
        assert abs((split == name).sum() - fraction * total) < 1.5 * length
        assert (split == name).any()
    assert set(split) == {"train", "val", "test"}


def test_held_out_genes_are_neighbours_and_on_all_chromosomes():
    genes = genes_on(chr1=600, chr2=400, chr3=200)
    split = hold_out_stretches(genes, {"test": 0.1, "val": 0.1}, 1200, seed=3)
    runs = [run for run in stretches(genes, split) if run[1] != "train"]
    assert len(runs) <= 20 and min(n for *_, n in runs) >= 8
    share = split.ne("train").groupby(genes["chrom"]).mean()
    assert share.between(0.1, 0.3).all()


def test_the_draw_depends_on_the_seed_but_not_on_the_order_of_genes():
    genes = genes_on(chr1=300, chr2=200)
    first, again, other = (hold_out_stretches(genes, {"val": 0.2}, 500, seed) for seed in (1, 1, 2))
    assert first.equals(again) and not first.equals(other)
    mixed = genes.sample(frac=1, random_state=0)
    assert hold_out_stretches(mixed, {"val": 0.2}, 500, 1).sort_index().equals(first)
    # The names of other columns' indices have no effect.
    assert hold_out_stretches(mixed.reset_index(drop=True), {"val": 0.2}, 500, 1).tolist() == first[mixed.index].tolist()


def test_genes_of_other_splits_are_left_alone_and_separate_stretches():
    genes = genes_on(chr1=60)
    genes.loc[20:39, "split"] = "test"
    for seed in range(20):
        split = hold_out_stretches(genes, {"val": 0.2}, 60, seed)
        assert (split[20:40] == "test").all() and "test" not in set(split[:20]) | set(split[40:])
        assert (split == "val").sum() == 12


def test_too_large_fractions_are_refused():
    genes = genes_on(chr1=100)
    genes.loc[:49, "split"] = "test"
    with pytest.raises(InputError, match="hold out 50 genes, but the other keys leave only 50"):
        hold_out_stretches(genes, {"val": 0.5}, 100, 0)
