"""Seeds of the models of a run."""

from __future__ import annotations


def replicate_seed(seed: int, fold: int, replicate: int) -> int:
    """Return the seed of one model: of its initial weights, dropout, order of genes and shifts.

    Parameters
    ----------
    seed: int
        Of the run.
    fold, replicate: int
        Numbers of the model, from 0.

    Examples
    --------
    >>> replicate_seed(7, 1, 2)
    1009
    """
    return seed + 1000 * fold + replicate
