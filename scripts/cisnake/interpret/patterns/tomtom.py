"""TOMTOM: which known motifs a matrix resembles, and where they lie on it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

from cisnake.data import Motif
from cisnake.interpret.q_values import bh_q_values

MATCH_COLUMNS = (
    "pattern", "rank", "motif_id", "motif_name", "p_value", "e_value", "q_value", "overlap", "offset", "strand",
)  # fmt: skip


def match_motifs(queries: Sequence[Motif], database: Sequence[Motif], top: int = 10, threads: int = 1) -> pd.DataFrame:
    """Return the motifs of a database that are most like each query.

    TOMTOM with the complete score, as memelite computes it: columns are compared by their Euclidean distance, the null of a
    column are its distances to all columns of the database, and p is that of the best alignment on either strand. The first
    time, memelite compiles itself for about a minute, and keeps what it compiled.

    Parameters
    ----------
    queries, database: sequence of Motif
    top: int
        Motifs kept for each query. Default 10.
    threads: int
        Default 1.

    Returns
    -------
    pandas.DataFrame
        The columns of `MATCH_COLUMNS`, by query and rank. e_value is p times the motifs of the database, q_value that of
        Benjamini and Hochberg over all queries and motifs, overlap counts the columns that lie on each other. Where strand is
        "-" the motif is turned. offset is the column of the query on which the first column of the motif, as it is turned,
        lies: negative where the motif begins before the query.
    """
    if not queries or not database:
        return pd.DataFrame({column: [] for column in MATCH_COLUMNS})
    from memelite import tomtom

    with warnings.catch_warnings():
        # Fewer than 25 motifs make a poor null; so does a database that someone chose to be small.
        warnings.simplefilter("ignore")
        p, _, offset, overlap, turned = tomtom(
            [np.ascontiguousarray(query.probabilities.T) for query in queries],
            [np.ascontiguousarray(motif.probabilities.T) for motif in database],
            n_jobs=threads,
        )
    # Sums of many small numbers: a p may miss its bounds by rounding.
    p = np.clip(p, 0, 1)
    q = bh_q_values(p.ravel()).reshape(p.shape)
    order = np.argsort(p, axis=1, kind="stable")[:, :top]
    at = np.arange(len(queries))[:, None], order
    chosen = [database[index] for index in order.ravel().tolist()]
    ranks = np.arange(1, order.shape[1] + 1)
    columns = [
        np.repeat([query.id for query in queries], len(ranks)), np.tile(ranks, len(queries)),
        [motif.id for motif in chosen], [motif.name for motif in chosen],
        p[at].ravel(), len(database) * p[at].ravel(), q[at].ravel(), overlap[at].ravel().astype(int),
        -offset[at].ravel().astype(int), np.where(turned[at].ravel() > 0, "-", "+"),
    ]  # fmt: skip
    return pd.DataFrame(dict(zip(MATCH_COLUMNS, columns, strict=True)))
