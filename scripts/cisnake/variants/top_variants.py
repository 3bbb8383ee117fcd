"""Choose the variants of a run that are worth explaining."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cisnake.files import read_chunks, read_header

# A picture of more bases would show nothing.
LONGEST_ALLELE = 50

_VARIANT = ["chrom", "start", "end", "ref", "alt"]
_WHOLE, _REAL = ("start", "end", "from_tss"), ("effect_mean", "effect_sd", "q_value")
TOP_VARIANT_COLUMNS = (
    "variant_id", *_VARIANT, "gene_id", "status", "from_tss", "task", "effect_mean", "effect_sd", "q_value",
)  # fmt: skip


def choose_top_variants(path: str | Path, number: int) -> pd.DataFrame:
    """Choose the variants with the lowest q-values from effects.tsv; among equal q-values, those with the largest effects.

    Each variant is shown in one gene and one task. In each gene, its task is the one with the largest absolute effect, and its
    q-value is that of this task. Of its genes, it is shown in the one with the lowest q-value, and among equal ones with the
    largest absolute effect.

    The table is read once, in chunks, because it can exceed memory.

    Parameters
    ----------
    path: str or Path
        effects.tsv, in which the rows of a variant and a gene follow each other.
    number: int
        Maximum number of variants. Variants with an allele of more than `LONGEST_ALLELE` bases are left out.

    Returns
    -------
    pandas.DataFrame
        The columns of `TOP_VARIANT_COLUMNS`, best variant first. start, end, from_tss are int64; the effects and q_value, which
        is NaN in a run without controls, are float64.

    Raises
    ------
    InputError
        The table cannot be read or lacks a column.
    """
    # Effects have q-values only if the run has controls.
    columns = [name for name in TOP_VARIANT_COLUMNS if name != "q_value" or name in read_header(path)]
    top = open_rows = pd.DataFrame(columns=columns, dtype=str)
    for chunk in read_chunks(path, dict.fromkeys(columns, str)):
        chunk = pd.concat([open_rows, chunk[chunk["effect_mean"] != ""]], ignore_index=True)
        # The next chunk may have more tasks of the last pair.
        pairs = chunk[[*_VARIANT, "gene_id"]]
        last = (pairs == pairs.iloc[-1]).all(axis=1) if len(chunk) else np.zeros(0, bool)
        open_rows = chunk[last]
        top = _best(pd.concat([top, chunk[~last]], ignore_index=True), number)
    top = _best(pd.concat([top, open_rows], ignore_index=True), number).reindex(columns=list(TOP_VARIANT_COLUMNS))
    kinds = dict.fromkeys(_WHOLE, np.int64) | dict.fromkeys(_REAL, np.float64)
    return top.assign(**{name: pd.to_numeric(top[name]).astype(kind) for name, kind in kinds.items()})


def _best(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """Return the best `number` variants among rows of effects.tsv, as text, which are complete for their pairs."""
    rows = rows[np.maximum(rows["ref"].str.len(), rows["alt"].str.len()) <= LONGEST_ALLELE]
    size, start = pd.to_numeric(rows["effect_mean"]).abs().astype(float), pd.to_numeric(rows["start"])
    keys = rows[[*_VARIANT, "gene_id"]].assign(size=size, start=start)
    keys["q_value"] = pd.to_numeric(rows["q_value"]) if "q_value" in rows else 0.0
    strongest = keys.sort_values("size", ascending=False, kind="stable").drop_duplicates([*_VARIANT, "gene_id"])
    order = ["q_value", "size", *_VARIANT, "gene_id"]
    ranked = strongest.sort_values(order, ascending=[name != "size" for name in order], kind="stable")
    return rows.loc[ranked.drop_duplicates(_VARIANT).index[:number]].reset_index(drop=True)
