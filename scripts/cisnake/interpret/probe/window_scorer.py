"""The models' score of a contrast, for any sequences in the place of genes' windows."""

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

# Bases of the windows that are made and predicted at a time.
_BASES = 1 << 23


@dataclass(frozen=True)
class Scorer:
    """The models' score of a contrast, for windows of some genes.

    Attributes
    ----------
    windows: pandas.DataFrame, N rows
        gene_id, mask_start, mask_end, fold, and row, that in the data set. A row of the table, 0 to N - 1, stands for a gene
        below.
    length: int
        Length of the windows.
    read: callable
        From rows, shape=(n,), to their sequences, shape=(n, length), dtype=int8, in the gene's direction.
    predictors: mapping of fold to sequence of predictors
        The replicates of each fold.
    weights: numpy.ndarray, shape=(tasks,), dtype=float32
        From `contrasts.Contrast.weights`.
    """

    windows: pd.DataFrame
    length: int
    read: Callable[[np.ndarray], np.ndarray]
    predictors: Mapping[int, Sequence[Predictor]]
    weights: np.ndarray

    @property
    def replicates(self) -> int:
        """How many models score a window, of the fold that has the most."""
        return max(map(len, self.predictors.values()), default=0)

    def score(self, rows: np.ndarray, make: Callable[[np.ndarray], np.ndarray], what: str) -> np.ndarray:
        """Return the score of each of n windows, mean over the replicates of the fold of its gene.

        Parameters
        ----------
        rows: numpy.ndarray, shape=(n,), dtype=int
            The gene that each window belongs to.
        make: callable
            From the indices of some of the n windows to their codes; called on pieces, so that memory is bounded.
        what: str
            The windows, as they should read in a line of progress.

        Returns
        -------
        numpy.ndarray, shape=(n,), dtype=float64

        Raises
        ------
        InputError
            A gene is of a fold that has no model.
        """
        scores = np.full(len(rows), np.nan)
        columns = ("fold", "mask_start", "mask_end", "row")
        folds, starts, ends, stored = (self.windows[name].to_numpy(np.int64)[rows] for name in columns)
        missing = sorted(set(folds.tolist()) - set(self.predictors))
        if missing:
            gene = self.windows["gene_id"].iloc[rows[folds == missing[0]][0]]
            raise InputError(
                f"no model is given for fold {missing[0]}, to which the gene {gene} belongs: give all models of the run."
            )
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
