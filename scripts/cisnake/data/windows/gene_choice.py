"""Choose the genes to interpret."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.data.windows.background import is_background
from cisnake.errors import InputError, unknown_name
from cisnake.joins import explain_mismatch
from cisnake.program import log
from cisnake.text_files import read_lines


def choose_genes(windows: pd.DataFrame, which: str) -> np.ndarray:
    """Return the rows of the genes to attribute and scan: all genes, held-out genes, or those listed in a file.

    Background regions are only chosen if the file lists them.

    Parameters
    ----------
    windows: pandas.DataFrame
        gene_id and split, as returned by `read_windows`, and `background` if there are background regions.
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
        return np.flatnonzero(~is_background(windows))
    if which == "held_out":
        return np.flatnonzero((windows["split"] == "test") & ~is_background(windows))
    row_of = {gene: row for row, gene in enumerate(windows["gene_id"])}
    if not Path(which).is_file():
        raise InputError(f"attribution.genes is {which}; it must be all, held_out, or a file with one gene id per line.")
    wanted = _read_list(which)
    for gene in sorted(wanted):
        if gene not in row_of:
            raise unknown_name(f"gene in {which}", gene, row_of)
    return np.array(sorted(row_of[gene] for gene in wanted), dtype=np.int64)


def read_gene_list(path: str | Path, annotated: pd.DataFrame) -> list[str]:
    """Return the genes of a list in the order of the file, without repeats.

    Parameters
    ----------
    path: str or Path
        File with one gene id per line.
    annotated: pandas.DataFrame
        gene_id and gene_name of all genes of the annotation.

    Raises
    ------
    InputError
        The file is missing or empty, or lists an id that the annotation lacks.
    """
    wanted, known = _read_list(path), set(annotated["gene_id"])
    unknown = [gene for gene in wanted if gene not in known]
    if unknown:
        causes = {"The list has gene names: list gene ids": (unknown, annotated["gene_name"])}
        why = explain_mismatch("the list", wanted, "the annotation", annotated["gene_id"], causes)
        raise InputError(f"{path} lists {len(unknown)} of {len(wanted)} genes that are not in the annotation: {why}.")
    return wanted


def check_list(path: str | Path, genes: pd.DataFrame, dropped: pd.DataFrame) -> list[str]:
    """Return the genes of a list that were selected, and warn of those that were dropped.

    Parameters
    ----------
    path: str or Path
        File with one gene id per line.
    genes: pandas.DataFrame
        gene_id and gene_name of the selected genes.
    dropped: pandas.DataFrame
        gene_id, gene_name and reason of the dropped genes.

    Returns
    -------
    list of str
        In the order of the file, without repeats.

    Raises
    ------
    InputError
        The file is missing or empty, lists an id that the annotation lacks, or lists only dropped genes.
    """
    annotated = pd.concat([genes[["gene_id", "gene_name"]], dropped[["gene_id", "gene_name"]]])
    wanted, kept = read_gene_list(path, annotated), set(genes["gene_id"])
    reasons = dropped.drop_duplicates("gene_id").set_index("gene_id")["reason"]
    lost = [gene for gene in wanted if gene not in kept]
    shown = ", ".join(f"{gene} ({reasons[gene]})" for gene in lost[:3]) + (", …" if len(lost) > 3 else "")
    if len(lost) == len(wanted):
        raise InputError(
            f"all {len(wanted)} genes of {path} were dropped: {shown}. List other genes; docs/troubleshooting.md explains the "
            "reasons."
        )
    if lost:
        log.warning("%d of %d genes of %s were dropped and are left out: %s", len(lost), len(wanted), path, shown)
    return [gene for gene in wanted if gene in kept]


def _read_list(path: str | Path) -> list[str]:
    if not Path(path).is_file():
        raise InputError(f"the list of genes {path} does not exist: check its path.")
    wanted = dict.fromkeys(line.strip() for _, line in read_lines(path, "list of genes"))
    wanted.pop("", None)
    if not wanted:
        raise InputError(f"the list of genes {path} contains no gene ids: write one per line.")
    return list(wanted)
