"""The genes of the factors that motifs are named after, with their own expression beside the effect of the motif."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from cisnake.interpret.contrasts import Contrast

MIN_CONTRASTS = 4
"""Over fewer contrasts, the correlation of expression and effect is not computed."""

_ENRICHED_Q = 0.05

# What databases add to the name of a factor: HOCOMOCO's "GATA1.H13CORE.0.P.B", JASPAR's "SREBF1(var.2)".
_SUFFIX = re.compile(r"(\.H\d+[A-Z]*\..*|_HUMAN\..*|_MOUSE\..*|\s*\(.*\))$")


def factor_names(motif_name: str) -> list[str]:
    """Return the names of the factors that a motif is named after, in upper case.

    Examples
    --------
    >>> factor_names("FOS::Jun"), factor_names("GATA1.H13CORE.0.P.B"), factor_names("SREBF1(var.2)")
    (['FOS', 'JUN'], ['GATA1'], ['SREBF1'])
    """
    return [_SUFFIX.sub("", part).strip().upper() for part in motif_name.split("::")]


def factor_rows(genes: pd.DataFrame, motif_names: Collection[str]) -> np.ndarray:
    """Return the rows of the genes that may be factors of these motifs, in ascending order.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id and gene_name.
    motif_names: collection of str
    """
    factors = {factor for name in motif_names for factor in factor_names(name)}
    return np.flatnonzero(genes["gene_name"].str.upper().isin(factors) | genes["gene_id"].str.upper().isin(factors))


def factor_table(
    contrasts: Sequence[Contrast],
    enrichment: Mapping[str, pd.DataFrame],
    effects: Mapping[str, pd.DataFrame],
    genes: pd.DataFrame,
    labels: np.ndarray,
    tasks: list[str],
) -> pd.DataFrame:
    """Return the factors of all probed motifs in each contrast, with the expression of their genes.

    The factors of a motif are those that it is named after, and those of the motifs in its cluster that are enriched in the
    contrast: q ≤ 0.05, and in more peaks than expected. A gene is that of a factor if its name, or else its id, is that of the
    factor, whatever the case.

    Parameters
    ----------
    contrasts: sequence of Contrast
    enrichment, effects: mapping of str to pandas.DataFrame
        enrichment.tsv and effects.tsv of each contrast, with numbers as float64; insertion_on_mean is NaN without off-tasks.
    genes: pandas.DataFrame
        gene_id and gene_name of the genes in the data set.
    labels: numpy.ndarray, shape=(n_genes, n_tasks)
        Measured values in the order of `genes` and `tasks`; NaN where missing.
    tasks: list of str

    Returns
    -------
    pandas.DataFrame
        motif_id, motif_name, factor, gene_id, gene_name (both empty if the data set has no such gene and the motif itself is
        named after the factor), contrast, verdict, insertion_mean, expression_on and expression_off (means of the gene over the
        tasks on either side; off is NaN without off-tasks), and, over all contrasts in which the motif was probed and the gene
        measured: n_contrasts, and pearson, the correlation of the effect of inserting the motif on the on-tasks with
        expression_on; NaN for fewer than four contrasts. Off-tasks are left out: a motif that lowers them raises the contrast,
        whether or not its factor is in the on-tasks.
    """
    rows_of = _rows_by_name(genes)
    found = []
    for contrast in contrasts:
        table, clusters = enrichment[contrast.name], enrichment[contrast.name].set_index("motif_id")["cluster"]
        sure = table[(table["q_value"] <= _ENRICHED_Q) & (table["odds_ratio"] > 1)]
        on, off = contrast.sides(tasks)
        for effect in effects[contrast.name].to_dict("records"):
            own = factor_names(effect["motif_name"])
            cluster = clusters.get(effect["motif_id"], "")
            members = sure.loc[(sure["cluster"] == cluster) & (cluster != ""), "motif_name"]
            names = dict.fromkeys([*own, *(name for member in members for name in factor_names(member))])
            row = {name: effect[name] for name in ("motif_id", "motif_name", "verdict", "insertion_mean")}
            row |= {"contrast": contrast.name, "effect_on": effect["insertion_on_mean" if off else "insertion_mean"]}
            for name in names:
                places = rows_of.get(name, [])
                if not places and name in own:
                    found.append({**row, "factor": name, "gene_id": "", "gene_name": ""})
                for place in places:
                    gene = {"gene_id": genes["gene_id"].iat[place], "gene_name": genes["gene_name"].iat[place]}
                    means = {"expression_on": _mean(labels[place, on]), "expression_off": _mean(labels[place, off])}
                    found.append({**row, "factor": name, **gene, **means})
    columns = [
        *("motif_id", "motif_name", "factor", "gene_id", "gene_name", "contrast", "verdict", "insertion_mean"),
        *("expression_on", "expression_off", "effect_on"),
    ]
    return _correlated(pd.DataFrame(found, columns=columns))


def _rows_by_name(genes: pd.DataFrame) -> dict[str, list[int]]:
    """Return the rows of the genes with each name in upper case, or, if no gene has this name, with this id."""
    rows: dict[str, list[int]] = {}
    for column in ("gene_name", "gene_id"):
        of_column: dict[str, list[int]] = {}
        for row, name in enumerate(genes[column]):
            of_column.setdefault(str(name).upper(), []).append(row)
        rows = of_column | rows if rows else of_column
    rows.pop("", None)
    return rows


def _mean(values: np.ndarray) -> float:
    measured = values[np.isfinite(values)].astype(np.float64)
    return float(measured.mean()) if len(measured) else np.nan


def _correlated(table: pd.DataFrame) -> pd.DataFrame:
    """Add n_contrasts and pearson, and leave out effect_on."""
    table[["n_contrasts", "pearson"]] = 0, np.nan
    expression, effect = (table[name].to_numpy(np.float64) for name in ("expression_on", "effect_on"))
    for places in table.groupby(["motif_id", "gene_id"], sort=False).indices.values():
        x, y = expression[places], effect[places]
        known = np.isfinite(x) & np.isfinite(y)
        table.iloc[places, table.columns.get_loc("n_contrasts")] = int(known.sum())
        if known.sum() >= MIN_CONTRASTS and np.ptp(x[known]) > 0 and np.ptp(y[known]) > 0:
            table.iloc[places, table.columns.get_loc("pearson")] = float(np.corrcoef(x[known], y[known])[0, 1])
    return table.drop(columns="effect_on")
