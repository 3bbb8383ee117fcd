"""TOMTOM: find the known motifs most similar to a query motif, with their alignment."""

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
    """Return the motifs of a database that are most similar to each query.

    This is TOMTOM with the complete score, computed by memelite. Columns are compared by Euclidean distance. The null
    distribution of a column consists of its distances to all columns of the database. p is that of the best alignment on either
    strand. On first use, memelite compiles for about a minute and caches the result.

    Parameters
    ----------
    queries, database: sequence of Motif
    top: int
        Number of motifs to keep per query. Default 10.
    threads: int
        Number of threads. Default 1.

    Returns
    -------
    pandas.DataFrame
        The columns of `MATCH_COLUMNS`, sorted by query and rank. e_value: p times the number of motifs in the database.
        q_value: Benjamini-Hochberg over all queries and motifs. overlap: number of aligned columns. strand: "-" if the motif is
        reverse complemented. offset: column of the query aligned to the first column of the motif in this orientation; negative
        if the motif starts before the query.
    """
    if not queries or not database:
        return pd.DataFrame({column: [] for column in MATCH_COLUMNS})
    from memelite import tomtom

    with warnings.catch_warnings():
        # memelite warns that fewer than 25 motifs make a poor null distribution; a small database may be intended.
        warnings.simplefilter("ignore")
        p, _, offset, overlap, turned = tomtom(
            [np.ascontiguousarray(query.probabilities.T) for query in queries],
            [np.ascontiguousarray(motif.probabilities.T) for motif in database],
            n_jobs=threads,
        )
    # Rounding in long sums may push p out of bounds.
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
