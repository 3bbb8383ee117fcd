"""Every model of every run must have a different random seed."""

from __future__ import annotations

from cisnake.model.seeds import replicate_seed


def test_no_two_models_of_any_of_many_runs_share_a_seed() -> None:
    models = [(seed, fold, replicate) for seed in range(60) for fold in range(12) for replicate in range(12)]
    seeds = [replicate_seed(*model) for model in models]
    # Among this many random numbers below 2^32, two coincide in one of a hundred sets; in this set, all differ.
    assert len(set(seeds)) == len(models)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_seeds_are_reproducible() -> None:
    assert replicate_seed(1, 2, 3) == replicate_seed(1, 2, 3) != replicate_seed(3, 2, 1)
