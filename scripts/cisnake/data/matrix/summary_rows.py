"""Recognise rows of a count matrix that are not genes: the reads that a counting program could not assign."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cisnake.program import log

_HTSEQ = ("no_feature", "ambiguous", "too_low_aQual", "not_aligned", "alignment_not_unique")
_STAR = ("N_unmapped", "N_multimapping", "N_noFeature", "N_ambiguous")


def find_summary_rows(genes: pd.Index) -> np.ndarray:
    """Return which ids of a matrix name a summary of htseq-count or STAR instead of a gene; shape=(n,), dtype=bool.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.matrix import find_summary_rows
    >>> find_summary_rows(pd.Index(["__no_feature", "ambiguous", "N_unmapped", "NA", "N_gene"])).tolist()
    [True, True, True, False, False]
    """
    return np.asarray(genes.str.startswith("__") | genes.isin(_HTSEQ + _STAR), bool)


def drop_summary_rows(genes: pd.Index, values: np.ndarray, axis: int = 0) -> tuple[pd.Index, np.ndarray]:
    """Return genes and values without summary rows, and log which were dropped.

    Parameters
    ----------
    genes: pandas.Index of str, n rows
    values: numpy.ndarray
        The array itself is returned if there are no summary rows.
    axis: int
        Axis of the genes in `values`. Default 0.
    """
    is_summary = find_summary_rows(genes)
    if not is_summary.any():
        return genes, values
    log.info("rows of the matrix that are not genes are left out: %s", ", ".join(genes[is_summary]))
    return genes[~is_summary], np.compress(~is_summary, values, axis=axis)
