"""Random seeds of the models of a run."""

from __future__ import annotations

import numpy as np


def replicate_seed(seed: int, fold: int, replicate: int) -> int:
    """Return the random seed of one model, for its initial weights, dropout, shifts and order of genes.

    Parameters
    ----------
    seed: int
        Random seed of the run.
    fold, replicate: int
        Fold and replicate of the model, from 0.

    Returns
    -------
    int
        Below 2^32, from NumPy's `SeedSequence`. A sum would give runs with neighbouring seeds the same models.

    Examples
    --------
    >>> replicate_seed(0, 0, 1) == replicate_seed(1, 0, 0)
    False
    """
    return int(np.random.SeedSequence([seed, fold, replicate]).generate_state(1)[0])
