"""Seeds of the models of a run."""

from __future__ import annotations

import numpy as np


def replicate_seed(seed: int, fold: int, replicate: int) -> int:
    """Return the seed of one model: of its initial weights, dropout, order of genes and shifts.

    Parameters
    ----------
    seed: int
        Of the run.
    fold, replicate: int
        Numbers of the model, from 0.

    Returns
    -------
    int
        Below 2^32, from NumPy's `SeedSequence`: a sum would give runs of neighbouring seeds the same models.

    Examples
    --------
    >>> replicate_seed(0, 0, 1) == replicate_seed(1, 0, 0)
    False
    """
    return int(np.random.SeedSequence([seed, fold, replicate]).generate_state(1)[0])
