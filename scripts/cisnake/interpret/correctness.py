"""When the contrast of a gene counts as correctly predicted, and how often that happens by chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import rankdata

CORRECT, POOR, NOT_MEASURED = "correct", "poor", "not_measured"


def thirds(values: np.ndarray) -> np.ndarray:
    """Return the third of the values that each value belongs to: 0 (low), 1 (middle) or 2 (high).

    Parameters
    ----------
    values: numpy.ndarray, shape=(n,)
        Without NaN. Tied values are in the same third.

    Examples
    --------
    >>> import numpy as np
    >>> from cisnake.interpret import thirds
    >>> thirds(np.array([5.0, 1.0, 3.0])).tolist(), thirds(np.array([2.0, 2.0, 2.0])).tolist()
    ([2, 0, 1], [1, 1, 1])
    """
    return np.minimum(3 * (rankdata(values) - 0.5) / max(len(values), 1), 2).astype(int)


def judge_predictions(genes: pd.DataFrame) -> np.ndarray:
    """Classify the prediction of each gene as "correct", "poor" or "not_measured".

    A prediction is correct if the measured and the predicted contrast of the gene are in the same third of the genes. Training
    genes, which are predicted better, and held-out genes are ranked apart.

    Parameters
    ----------
    genes: pandas.DataFrame, n rows
        split, measured (NaN for missing values) and predicted.

    Returns
    -------
    numpy.ndarray, shape=(n,), dtype=object
        Genes without a finite prediction are "poor".

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.interpret import judge_predictions
    >>> genes = pd.DataFrame({"split": "test", "measured": [0.1, 0.2, 0.9, None], "predicted": [0.0, 5.0, 1.0, 1.0]})
    >>> judge_predictions(genes).tolist()
    ['correct', 'poor', 'poor', 'not_measured']
    """
    measured, predicted = (genes[name].to_numpy(np.float64) for name in ("measured", "predicted"))
    verdicts = np.where(np.isfinite(measured), POOR, NOT_MEASURED).astype(object)
    for rows in _ranked_together(genes):
        verdicts[rows[thirds(measured[rows]) == thirds(predicted[rows])]] = CORRECT
    return verdicts


def correct_by_chance(genes: pd.DataFrame) -> float:
    """Return the share of measured genes that would be correct if predictions were exchanged between them at random.

    Parameters
    ----------
    genes: pandas.DataFrame
        As for `judge_predictions`.

    Returns
    -------
    float
        1/3 without ties. NaN if no gene is measured.
    """
    measured, predicted = (genes[name].to_numpy(np.float64) for name in ("measured", "predicted"))
    expected = 0.0
    for rows in _ranked_together(genes):
        counts = [np.bincount(thirds(values[rows]), minlength=3) for values in (measured, predicted)]
        expected += float(counts[0] @ counts[1]) / len(rows)
    n = int(np.isfinite(measured).sum())
    return expected / n if n else float("nan")


def _ranked_together(genes: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of the training genes, and those of all others, that have a measurement and a finite prediction."""
    known = np.isfinite(genes["measured"].to_numpy(np.float64)) & np.isfinite(genes["predicted"].to_numpy(np.float64))
    seen = (genes["split"] == "train").to_numpy()
    return [rows for rows in (np.flatnonzero(known & seen), np.flatnonzero(known & ~seen)) if len(rows)]
