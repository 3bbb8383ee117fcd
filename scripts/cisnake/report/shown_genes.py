"""Choose the genes, regions and hits that the report shows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

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
        Hits in the peaks, as returned by `results.read_hits_of_genes`. Default None: motifs were not scanned for.
    variants: pandas.DataFrame, optional
        As returned by `igv_views.read_strongest_effects`. Default None: no variants were scored.
    """

    window: pd.Series
    codes: np.ndarray
    scores: np.ndarray
    region: tuple[int, int]
    peaks: pd.DataFrame
    hits: pd.DataFrame | None = None
    variants: pd.DataFrame | None = None


def choose_shown_genes(windows: pd.DataFrame, score: str, n: int) -> tuple[pd.DataFrame, str]:
    """Choose the genes that best illustrate a contrast.

    Correctly predicted held-out genes come first, then correctly predicted training genes, then all others. Within each class,
    genes are sorted by decreasing absolute value of the predicted contrast. A prediction is correct if the measured contrast
    has the same sign and at least half the absolute value. An `aggregate` score has no natural zero, so the median over all
    genes is subtracted first.

    Parameters
    ----------
    windows: pandas.DataFrame
        gene_id, split, predicted and measured (NaN for missing values). With several folds, the split of every gene is `test`,
        because it is predicted by models that were not trained on it.
    score: str
        "specificity" or "aggregate".
    n: int
        Maximum number of genes.

    Returns
    -------
    chosen: pandas.DataFrame
        Up to `n` rows of `windows`, with the additional columns row (in the file), unseen and correct.
    how: str
        A description of the choice for the report.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = {"predicted": [2.0, 1.0, 3.0], "measured": [1.8, 0.9, -0.1]}
    >>> windows = pd.DataFrame({"gene_id": ["a", "b", "c"], "split": ["train", "test", "test"], **scores})
    >>> chosen, how = choose_shown_genes(windows, "specificity", 3)
    >>> chosen["gene_id"].tolist()
    ['b', 'a', 'c']
    """
    predicted, measured = windows["predicted"].astype(float), windows["measured"].astype(float)
    if score == "aggregate":
        predicted, measured = predicted - predicted.median(), measured - measured.median()
    correct = (predicted * measured > 0) & (measured.abs() >= predicted.abs() / 2)
    table = windows.assign(
        row=np.arange(len(windows)), unseen=windows["split"] != "train", correct=correct, size=predicted.abs()
    )
    table = table[predicted.notna().to_numpy()]
    table["class"] = np.where(table["correct"], np.where(table["unseen"], 0, 1), 2)
    chosen = table.sort_values(["class", "size", "gene_id"], ascending=[True, False, True]).head(n)
    from_median = ", counted from the median over genes" if score == "aggregate" else ""
    pool = int((table["class"] == 0).sum())
    how = (
        f"Of {len(windows):,} genes with attributions, {pool:,} are held out and correctly predicted (the measured contrast "
        f"has the sign of the predicted one and at least half its size{from_median}). Shown are those with the largest "
        "predicted contrast"
    )
    n_seen, n_wrong = int((chosen["class"] == 1).sum()), int((chosen["class"] == 2).sum())
    if n_seen:
        how += f", filled up with {n_seen} correctly predicted from the training split, which the model has seen"
    if n_wrong:
        how += f"{' and' if n_seen else ', filled up with'} {n_wrong} whose prediction is not borne out by a measurement"
    return chosen.drop(columns=["class", "size"]), how + "."


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


def best_hits(hits: pd.DataFrame) -> dict[str, str]:
    """Return a label per peak_id: the name of the hit with the smallest p-value, and an arrow for its orientation.

    Parameters
    ----------
    hits: pandas.DataFrame
        motif_id, motif_name, peak_id, orientation, p_value.

    Examples
    --------
    >>> import pandas as pd
    >>> names = {"motif_id": ["M1", "M2"], "motif_name": ["GCN4", "RAP1"], "peak_id": ["p", "p"]}
    >>> best_hits(pd.DataFrame({**names, "orientation": ["+", "-"], "p_value": [1e-4, 1e-6]}))
    {'p': 'RAP1 ←'}
    """
    best = hits.sort_values(["p_value", "motif_id"], kind="stable").drop_duplicates("peak_id")
    arrows = best["orientation"].map({"+": " →", "-": " ←"}).fillna("")
    return dict(zip(best["peak_id"], best["motif_name"] + arrows, strict=True))
