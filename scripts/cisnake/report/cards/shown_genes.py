"""Choose the genes, regions and hits that the report shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from cisnake.interpret import CORRECT, correct_by_chance, judge_predictions

LOGO_BASES = 110


@dataclass(frozen=True, eq=False)
class ShownGene:
    """Data of one gene for a contrast. Arrays and window positions are gene-oriented, 0-based and half-open.

    Attributes
    ----------
    window: pandas.Series
        gene_id, chrom, start, end, strand. The page also requires the other columns that `choose_shown_genes` returns.
    codes: numpy.ndarray, shape=(length,), dtype=int8
        A0 C1 G2 T3 N4.
    scores: numpy.ndarray, shape=(length,), dtype=float32
        Attribution of each base.
    region: tuple of int
        Start and end of the region that is drawn as letters.
    peaks: pandas.DataFrame
        Rows of peaks/<contrast>.tsv: peak_id, window_start, window_end, attribution, and p_value and q_value if the file has
        them.
    hits: pandas.DataFrame, optional
        Hits in the peaks, as returned by `results.read_hits_of_genes`, with the columns of `peak_labels.add_clusters`. Default
        None: motifs were not scanned for.
    variants: pandas.DataFrame, optional
        As returned by `read_strongest_effects`. Default None: no variants were scored.
    """

    window: pd.Series
    codes: np.ndarray
    scores: np.ndarray
    region: tuple[int, int]
    peaks: pd.DataFrame
    hits: pd.DataFrame | None = None
    variants: pd.DataFrame | None = None


def choose_shown_genes(windows: pd.DataFrame, n: int) -> tuple[pd.DataFrame, str]:
    """Choose the genes that best illustrate a contrast, from both of its ends.

    Half of the genes have a high predicted contrast, half a low one, counted from the median over genes. At either end,
    correctly predicted held-out genes come first, then correctly predicted training genes, then all others; within each class,
    those farthest from the median. See `judge_predictions` for what is correct.

    Parameters
    ----------
    windows: pandas.DataFrame
        gene_id, split, predicted and measured (NaN for missing values). With several folds, the split of every gene is `test`,
        because it is predicted by models that were not trained on it.
    n: int
        Maximum number of genes.

    Returns
    -------
    chosen: pandas.DataFrame
        Up to `n` rows of `windows`, those at the high end first, with the additional columns row (in the file), unseen and
        prediction.
    how: str
        A description of the choice for the report.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = {"predicted": [2.0, 0.0, 1.0, -1.0, -2.0], "measured": [1.8, 0.1, -2.0, -0.9, -1.0]}
    >>> windows = pd.DataFrame({"gene_id": list("abcde"), "split": "test", **scores})
    >>> choose_shown_genes(windows, 4)[0]["gene_id"].tolist()
    ['a', 'c', 'e', 'd']
    """
    windows = windows.reset_index(drop=True)
    table = windows.assign(row=windows.index, unseen=windows["split"] != "train", prediction=judge_predictions(windows))
    correct = table["prediction"] == CORRECT
    table["class"] = np.where(correct, np.where(table["unseen"], 0, 1), 2)
    table["size"] = (table["predicted"] - table["predicted"].median()).astype(float)
    table = table[table["size"].notna()].sort_values(["class", "gene_id"])
    high, low = (
        table[ends]
        .assign(far=lambda end: end["size"].abs())
        .sort_values(["class", "far"], ascending=[True, False], kind="stable")
        for ends in (table["size"] >= 0, table["size"] < 0)
    )
    n_low = min(len(low), max(n // 2, n - len(high)))
    chosen = pd.concat([high.head(n - n_low), low.head(n_low)])
    held_out = windows[windows["split"] != "train"]
    n_measured, pool = int(held_out["measured"].notna().sum()), int((table["class"] == 0).sum())
    how = (
        f"Of {n_measured:,} measured held-out genes, {pool:,} are correctly predicted (measured and predicted contrast in the "
        f"same third of the genes); shuffled predictions would give {correct_by_chance(held_out) * n_measured:,.0f}. "
        if n_measured
        else "No held-out gene is measured. "
    )
    how += "Shown are genes from both ends: those with the highest predicted contrast, then those with the lowest"
    n_seen, n_wrong = int((chosen["class"] == 1).sum()), int((chosen["class"] == 2).sum())
    others = [
        *([f"{n_seen} of the training split, which the model has seen"] if n_seen else []),
        *([f"{n_wrong} predicted poorly or not measured"] if n_wrong else []),
    ]
    how += f"; among them {' and '.join(others)}" if others else ""
    return chosen.drop(columns=["class", "size", "far"]), how + "."


def best_region(scores: np.ndarray, n: int = LOGO_BASES) -> tuple[int, int]:
    """Return the region [start, end) of at most `n` bases with the largest sum of |score|; the first one for ties.

    Examples
    --------
    >>> import numpy as np
    >>> best_region(np.array([0.1, 0.0, 0.5, -0.9, 0.2]), n=2)
    (2, 4)
    """
    length = len(scores)
    if length <= n:
        return 0, length
    total = np.concatenate([[0.0], np.cumsum(np.abs(np.nan_to_num(scores.astype(np.float64))))])
    start = int(np.argmax(total[n:] - total[:-n]))
    return start, start + n
