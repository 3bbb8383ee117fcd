"""Every model of every run has a seed of its own."""

from __future__ import annotations

from cisnake.model.seeds import replicate_seed


def test_no_two_models_of_any_of_many_runs_share_a_seed() -> None:
    models = [(seed, fold, replicate) for seed in range(60) for fold in range(12) for replicate in range(12)]
    seeds = [replicate_seed(*model) for model in models]
    # By chance two of so many numbers below 2^32 are alike once in a hundred such sets; in this one none are.
    assert len(set(seeds)) == len(models)
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_seed_depends_on_nothing_else() -> None:
    assert replicate_seed(1, 2, 3) == replicate_seed(1, 2, 3) != replicate_seed(3, 2, 1)
