"""Choose the genes to interpret."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.errors import InputError, unknown_name
from cisnake.text_files import read_lines


def choose_genes(windows: pd.DataFrame, which: str) -> np.ndarray:
    """Return the rows of the genes to attribute and scan: all genes, held-out genes, or those listed in a file.

    Parameters
    ----------
    windows: pandas.DataFrame
        gene_id and split, as returned by `read_windows`.
    which: str
        "all", "held_out" (genes of the test split), or the path of a file with one gene id per line.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=int64
        Row numbers, ascending.

    Raises
    ------
    InputError
        The file is missing or empty, or lists a gene that is not in the data set.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import choose_genes
    >>> choose_genes(pd.DataFrame({"gene_id": ["a", "b", "c"], "split": ["test", "train", "test"]}), "held_out").tolist()
    [0, 2]
    """
    if which == "all":
        return np.arange(len(windows))
    if which == "held_out":
        return np.flatnonzero(windows["split"] == "test")
    path = Path(which)
    if not path.is_file():
        raise InputError(f"attribution.genes is {which}; it must be all, held_out, or a file with one gene id per line.")
    row_of = {gene: row for row, gene in enumerate(windows["gene_id"])}
    wanted = {line.strip() for _, line in read_lines(path, "list of genes")} - {""}
    if not wanted:
        raise InputError(f"attribution.genes is {which}, but this file contains no gene ids.")
    for gene in sorted(wanted):
        if gene not in row_of:
            raise unknown_name(f"gene in {path}", gene, row_of)
    return np.array(sorted(row_of[gene] for gene in wanted), dtype=np.int64)
