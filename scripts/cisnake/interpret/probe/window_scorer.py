"""Score arbitrary sequences in the windows of genes for one contrast."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cisnake.errors import InputError
from cisnake.program import Progress

if TYPE_CHECKING:
    from cisnake.model import Predictor

# Number of bases to build and predict at a time.
_BASES = 1 << 23


@dataclass(frozen=True)
class Scorer:
    """Weighted sums over tasks for windows of genes, averaged over replicate models.

    Attributes
    ----------
    windows: pandas.DataFrame, N rows
        gene_id, mask_start, mask_end, fold, and row in the data set. Below, genes are identified by their row in this table,
        0 to N - 1.
    length: int
        Bases in a window.
    read: callable
        Maps rows, shape=(n,), to base codes, shape=(n, length), dtype=int8, in the orientation of the gene.
    predictors: mapping of fold to sequence of predictors
        The replicate models of each fold.
    weights: numpy.ndarray, shape=(tasks, sums), dtype=float32
        From `contrasts.Contrast.side_weights`: the first sum is the score of the contrast.
    """

    windows: pd.DataFrame
    length: int
    read: Callable[[np.ndarray], np.ndarray]
    predictors: Mapping[int, Sequence[Predictor]]
    weights: np.ndarray

    @property
    def replicates(self) -> int:
        """Number of models per fold; the maximum over folds."""
        return max(map(len, self.predictors.values()), default=0)

    def score(self, rows: np.ndarray, make: Callable[[np.ndarray], np.ndarray], what: str) -> np.ndarray:
        """Return the sums of each of n windows, averaged over the replicates of the fold of its gene.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            The gene of each window.
        make: callable
            Maps indices of windows to their base codes; called in batches to bound memory.
        what: str
            Description of the windows for the progress line.

        Returns
        -------
        numpy.ndarray, shape=(n, sums), dtype=float64

        Raises
        ------
        InputError
            There is no model for the fold of a gene.
        """
        scores = np.full((len(rows), self.weights.shape[1]), np.nan)
        columns = ("fold", "mask_start", "mask_end", "row")
        folds, starts, ends, stored = (self.windows[name].to_numpy(np.int64)[rows] for name in columns)
        missing = sorted(set(folds.tolist()) - set(self.predictors))
        if missing:
            gene = self.windows["gene_id"].iloc[rows[folds == missing[0]][0]]
            raise InputError(f"no model for fold {missing[0]}, which contains the gene {gene}: pass all models of the run.")
        progress = Progress(what, len(rows))
        size = max(1, _BASES // self.length)
        for fold in np.unique(folds).tolist():
            members = np.flatnonzero(folds == fold)
            for first in range(0, len(members), size):
                at = members[first : first + size]
                codes = make(at)
                replicates = [predictor(codes, starts[at], ends[at], stored[at]) for predictor in self.predictors[fold]]
                scores[at] = np.mean([predicted @ self.weights for predicted in replicates], axis=0)
                progress.advance(len(at))
        return scores
