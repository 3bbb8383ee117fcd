"""Scores of a model on held-out genes, and the baselines beside them."""
