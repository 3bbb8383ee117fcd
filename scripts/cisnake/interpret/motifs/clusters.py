"""Motifs that say the same: similarity of matrices and its clusters."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cisnake.data import Motif

MIN_OVERLAP = 5
MIN_SIMILARITY = 0.8


def motif_similarity(motifs: Sequence[Motif], min_overlap: int = MIN_OVERLAP) -> np.ndarray:
    """Return how alike motifs are at their best alignment, on either strand.

    A column p becomes a vector along p - 1/4 whose squared length is its information content, sum_b p log2(4 p). The product of
    two columns is then their Pearson correlation weighted by the geometric mean of their information. Similarity is the sum
    of these products over the overlap, divided by the root of two informations: the whole of the less informative motif, and
    the other's within the overlap. So a motif is like a longer one that holds it; a few columns of little information that
    happen to agree count for little.

    Parameters
    ----------
    motifs: sequence of Motif
    min_overlap: int
        Least number of columns that overlap; or the whole of the shorter motif. Default is 5.

    Returns
    -------
    numpy.ndarray, shape=(n, n), dtype=float64
        Symmetric, at most 1, with 1 on the diagonal.
    """
    # The widest first, so that those that a shift leaves in reach of one another are the first ones.
    order = np.argsort([-len(motif) for motif in motifs], kind="stable")
    n = len(motifs)
    widths = np.array([len(motifs[index]) for index in order], dtype=int)
    longest = int(widths.max(initial=0))
    columns = np.zeros((n, longest, 4))
    information = np.zeros((n, longest))
    for row, index in enumerate(order):
        columns[row, : widths[row]], information[row, : widths[row]] = _columns(motifs[index].probabilities)
    totals = information.sum(axis=1)
    smaller = np.minimum(totals[:, None], totals[None])
    row_is_smaller = totals[:, None] <= totals[None]
    needed = np.minimum(min_overlap, np.minimum(widths[:, None], widths[None]))
    best = np.full((n, n), -1.0)
    for orientation in (1, -1):
        other, other_information = columns, information
        if orientation < 0:
            other, other_information = np.zeros_like(columns), np.zeros_like(information)
            for row, width in enumerate(widths):
                other[row, :width] = columns[row, :width][::-1, ::-1]
                other_information[row, :width] = information[row, :width][::-1]
        for shift in range(-longest + 1, longest):
            # Column i of the row's motif lies over column i - shift of the other one's.
            first, last = max(shift, 0), min(longest, longest + shift)
            a, b = (int(np.count_nonzero(widths > start)) for start in (first, first - shift))
            mine, theirs = slice(first, last), slice(first - shift, last - shift)
            product = columns[:a, mine].reshape(a, -1) @ other[:b, theirs].reshape(b, -1).T
            reach = np.arange(last - first)
            here = (reach < widths[:a, None] - first).astype(float)
            there = (reach < widths[:b, None] - (first - shift)).astype(float)
            overlap = here @ there.T
            mine_in, theirs_in = information[:a, mine] @ there.T, here @ other_information[:b, theirs].T
            scale = np.sqrt(smaller[:a, :b] * np.where(row_is_smaller[:a, :b], theirs_in, mine_in))
            enough = (overlap >= needed[:a, :b]) & (scale > 0)
            reached = best[:a, :b]
            reached[enough] = np.maximum(reached[enough], product[enough] / scale[enough])
    best = np.clip(np.maximum(best, best.T), -1, 1)
    np.fill_diagonal(best, 1.0)
    found = np.empty_like(best)
    found[np.ix_(order, order)] = best
    return found


def cluster_motifs(motifs: Sequence[Motif], min_similarity: float = MIN_SIMILARITY) -> np.ndarray:
    """Return clusters of similar motifs, by average linkage on 1 - similarity.

    Parameters
    ----------
    motifs: sequence of Motif
    min_similarity: float
        Clusters are joined as long as their mean similarity is at least this. Default is 0.8, which makes one cluster each of
        yeast's AGGGG factors and of its bHLH factors, and keeps what binds elsewhere apart.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=int
        Cluster of each motif, numbered from 0 by first member.
    """
    if len(motifs) < 2:
        return np.zeros(len(motifs), dtype=int)
    distance = squareform(1 - motif_similarity(motifs), checks=False)
    labels = fcluster(linkage(distance, method="average"), 1 - min_similarity, criterion="distance")
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse]


def _columns(probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    positive = np.where(probabilities > 0, probabilities, 1)
    information = np.maximum(2 + (probabilities * np.log2(positive)).sum(axis=1), 0)
    centred = probabilities - 0.25
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    direction = np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
    return direction * np.sqrt(information)[:, None], information
