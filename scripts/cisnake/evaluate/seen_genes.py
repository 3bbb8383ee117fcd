"""Scores without some of the genes: those on which a network from elsewhere was trained, or background regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import chromosome_of, overlaps, parse_region
from cisnake.data.windows import is_background
from cisnake.evaluate.scores import score_tasks, summarize_scores

# Stands for the length of a chromosome, which only matters for whole chromosomes.
_WHOLE = 1 << 32


def find_seen_genes(genes: pd.DataFrame, trained_on: Sequence[str]) -> np.ndarray:
    """Return whether the window of each gene shares a base with the regions on which a network was trained.

    Parameters
    ----------
    genes: pandas.DataFrame
        chrom, start and end of each window.
    trained_on: sequence of str
        Chromosomes, or regions such as chr2:1-500000, on the genome of the run.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=bool

    Examples
    --------
    >>> genes = pd.DataFrame({"chrom": ["chr1", "chr2", "chr2"], "start": [0, 0, 500], "end": [90, 90, 590]})
    >>> find_seen_genes(genes, ["chr1", "chr2:590-600", "chr9"]).tolist()
    [True, False, True]
    """
    sizes = dict.fromkeys(genes["chrom"], _WHOLE)
    regions = [parse_region(text, sizes, "model.trained_on") for text in trained_on if chromosome_of(text) in sizes]
    if not regions:
        return np.zeros(len(genes), bool)
    return overlaps(genes[["chrom", "start", "end"]], pd.DataFrame(regions, columns=["chrom", "start", "end"]))


def score_unseen_genes(
    true: np.ndarray, ensemble: np.ndarray, kmer_ridge: np.ndarray, genes: pd.DataFrame, trained_on: Sequence[str] | None
) -> dict[str, Any]:
    """Return how many genes a network was trained on, and the scores without them.

    Parameters
    ----------
    true, ensemble, kmer_ridge: numpy.ndarray, shape=(n, tasks)
        Measurements, and predictions of the networks and of the baseline.
    genes: pandas.DataFrame
        As for `find_seen_genes`.
    trained_on: sequence of str, optional
        As for `find_seen_genes`; None if the regions are not known.

    Returns
    -------
    dict
        n_seen: number of genes, or "unknown"; model and kmer_ridge: summaries of scores over the other genes, None if these are
        not known, or if none or all of the genes were seen.
    """
    if trained_on is None:
        return {"n_seen": "unknown", "model": None, "kmer_ridge": None}
    seen = find_seen_genes(genes, trained_on)
    if seen.all() or not seen.any():
        return {"n_seen": int(seen.sum()), "model": None, "kmer_ridge": None}
    return {"n_seen": int(seen.sum())} | _score_part(true, ensemble, kmer_ridge, ~seen)


def score_without_background(
    true: np.ndarray, ensemble: np.ndarray, kmer_ridge: np.ndarray, genes: pd.DataFrame
) -> dict[str, Any] | None:
    """Return how many genes are background regions, and the scores without them.

    Parameters
    ----------
    true, ensemble, kmer_ridge: numpy.ndarray, shape=(n, tasks)
        Measurements, and predictions of the networks and of the baseline.
    genes: pandas.DataFrame, n rows
        As from `read_windows`.

    Returns
    -------
    dict or None
        n_background; model and kmer_ridge: summaries of scores over the other genes. None if there are no background regions,
        or nothing else.
    """
    background = is_background(genes)
    if background.all() or not background.any():
        return None
    return {"n_background": int(background.sum())} | _score_part(true, ensemble, kmer_ridge, ~background)


def _score_part(true: np.ndarray, ensemble: np.ndarray, kmer_ridge: np.ndarray, part: np.ndarray) -> dict[str, Any]:
    predictors = {"model": ensemble, "kmer_ridge": kmer_ridge}
    return {name: summarize_scores(score_tasks(true[part], values[part])) for name, values in predictors.items()}
