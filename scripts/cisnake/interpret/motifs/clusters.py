"""Similarity between motifs, and clusters of similar motifs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cisnake.data import Motif

MIN_OVERLAP = 5
MIN_SIMILARITY = 0.8


def motif_similarity(motifs: Sequence[Motif], min_overlap: int = MIN_OVERLAP) -> np.ndarray:
    """Return the pairwise similarity of motifs at their best alignment on either strand.

    A column p becomes a vector along p - 1/4 whose squared length is its information content, sum_b p log2(4 p). The product of
    two columns is then their Pearson correlation weighted by the geometric mean of their information. Similarity is the
    sum of these products over the overlap, divided by the square root of the product of two information contents: that of the
    whole less informative motif, and that of the other motif within the overlap. A motif is therefore similar to a longer motif
    that contains it, and columns with little information have little weight.

    TOMTOM (`patterns.match_motifs`) is not used here. It tests whether a match is unlikely given the columns of a database. Its
    p-values depend on that database and on which motif is the query, so they are not a distance for clustering. Also, every run
    needs clusters, but memelite, which computes TOMTOM, is an optional package.

    Parameters
    ----------
    motifs: sequence of Motif
    min_overlap: int
        Minimum number of overlapping columns; for shorter motifs, the whole motif must overlap. Default is 5.

    Returns
    -------
    numpy.ndarray, shape=(n, n), dtype=float64
        Symmetric, at most 1, with 1 on the diagonal.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs import motif_similarity
    >>> words = ["TGACTCA", "GTGACTCAC", "GGGGCGG"]
    >>> motifs = [Motif(word, word, np.eye(4)[encode(word)], 20) for word in words]
    >>> motif_similarity(motifs).round(2).tolist()
    [[1.0, 1.0, 0.31], [1.0, 1.0, 0.31], [0.31, 0.31, 1.0]]
    """
    similarities = np.maximum(*_strand_similarities(motifs, min_overlap))
    np.fill_diagonal(similarities, 1.0)
    return similarities


def motif_orientations(motifs: Sequence[Motif], reference: int, min_overlap: int = MIN_OVERLAP) -> list[str]:
    """Return "+" for each motif that aligns best with the reference as it is, and "-" for those that do reverse complemented.

    Parameters
    ----------
    motifs: sequence of Motif
    reference: int
        Index of the reference among the motifs. A motif that is as similar in either orientation, such as a palindrome, is "+".
    min_overlap: int
        See `motif_similarity`. Default is 5.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs import motif_orientations
    >>> words = ["GGATTAACC", "GGTTAATCC", "GGATTAA", "GAATTC"]
    >>> motif_orientations([Motif(word, word, np.eye(4)[encode(word)], 20) for word in words], 0)
    ['+', '-', '+', '+']
    """
    forward, reverse = _strand_similarities(motifs, min_overlap)
    # The two similarities of a palindrome differ by rounding only.
    return ["-" if turned > kept + 1e-9 else "+" for kept, turned in zip(forward[reference], reverse[reference], strict=True)]


def _strand_similarities(motifs: Sequence[Motif], min_overlap: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairwise similarities in the same and in opposite orientations; shape=(n, n), symmetric, at most 1."""
    # Sorted by decreasing width, the motifs that still overlap at a given shift come first.
    order = np.argsort([-len(motif) for motif in motifs], kind="stable")
    forward, reverse = (_stack([motifs[index] for index in order], turned) for turned in (False, True))
    needed = np.minimum(min_overlap, np.minimum(forward.widths[:, None], forward.widths[None]))
    same, opposite = (_best_over_shifts(forward, stack, needed) for stack in (forward, reverse))
    back = np.argsort(order)
    return same[np.ix_(back, back)], opposite[np.ix_(back, back)]


def _best_over_shifts(mine: _Stack, theirs: _Stack, needed: np.ndarray) -> np.ndarray:
    """Return the similarities at the best alignment with at least `needed` overlapping columns."""
    best = np.full(needed.shape, -1.0)
    for shift in range(1 - mine.information.shape[1], mine.information.shape[1]):
        similarity, overlap = _at_shift(mine, theirs, shift)
        a, b = similarity.shape
        np.copyto(best[:a, :b], similarity, where=(overlap >= needed[:a, :b]) & (similarity > best[:a, :b]))
    return np.clip(np.maximum(best, best.T), -1, 1)


@dataclass(frozen=True, eq=False)
class _Stack:
    """Padded motif columns, shape=(motifs, longest, 4), and information, (motifs, longest); zero beyond the width."""

    columns: np.ndarray
    information: np.ndarray
    widths: np.ndarray


def _stack(motifs: Sequence[Motif], turned: bool) -> _Stack:
    """Stack motifs, reverse complemented if `turned`."""
    widths = np.array([len(motif) for motif in motifs], dtype=int)
    columns = np.zeros((len(motifs), int(widths.max(initial=0)), 4))
    information = np.zeros(columns.shape[:2])
    for row, motif in enumerate(motifs):
        columns[row, : widths[row]], information[row, : widths[row]] = _columns(motif.probabilities)
        if turned:
            columns[row, : widths[row]] = columns[row, : widths[row]][::-1, ::-1]
            information[row, : widths[row]] = information[row, : widths[row]][::-1]
    return _Stack(columns, information, widths)


def _at_shift(mine: _Stack, theirs: _Stack, shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return similarities and overlaps with column i of the first motif aligned to column i - shift of the second.

    Returns
    -------
    similarity: numpy.ndarray, shape=(a, b), dtype=float64
        For the first a and b motifs, which are wide enough to overlap; -1 if the overlap has no information.
    overlap: numpy.ndarray, shape=(a, b), dtype=float64
        Number of overlapping columns.
    """
    longest = mine.information.shape[1]
    first, last = max(shift, 0), min(longest, longest + shift)
    a, b = (int(np.count_nonzero(mine.widths > start)) for start in (first, first - shift))
    at_mine, at_theirs = slice(first, last), slice(first - shift, last - shift)
    product = mine.columns[:a, at_mine].reshape(a, -1) @ theirs.columns[:b, at_theirs].reshape(b, -1).T
    reach = np.arange(last - first)
    has_mine = (reach < mine.widths[:a, None] - first).astype(float)
    has_theirs = (reach < mine.widths[:b, None] - (first - shift)).astype(float)
    mine_inside = mine.information[:a, at_mine] @ has_theirs.T
    theirs_inside = has_mine @ theirs.information[:b, at_theirs].T
    totals = mine.information.sum(axis=1)
    mine_total, theirs_total = totals[:a, None], totals[None, :b]
    inside = np.where(mine_total <= theirs_total, theirs_inside, mine_inside)
    scale = np.sqrt(np.minimum(mine_total, theirs_total) * inside)
    similarity = np.divide(product, scale, out=np.full(product.shape, -1.0), where=scale > 0)
    return similarity, has_mine @ has_theirs.T


def cluster_motifs(motifs: Sequence[Motif], min_similarity: float = MIN_SIMILARITY) -> np.ndarray:
    """Cluster similar motifs by average linkage on 1 - similarity.

    Parameters
    ----------
    motifs: sequence of Motif
    min_similarity: float
        Clusters are merged while their mean similarity is at least this. Default is 0.8. In yeast this gives one cluster for
        the AGGGG factors and one for the bHLH factors, and keeps motifs of other families apart.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=int
        Cluster of each motif, numbered from 0 by first member.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.data import Motif
    >>> from cisnake.data.genome import encode
    >>> from cisnake.interpret.motifs import cluster_motifs
    >>> words = ["TGACTCA", "GGGGCGG", "GTGAGTCAC"]
    >>> cluster_motifs([Motif(word, word, np.eye(4)[encode(word)], 20) for word in words]).tolist()
    [0, 1, 0]
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
