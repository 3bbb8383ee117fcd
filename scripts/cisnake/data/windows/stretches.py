"""Hold out a fraction of the genes, in stretches of neighbouring genes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cisnake.errors import InputError

# A held-out split consists of about this many stretches, unless these would have fewer genes than the minimum. Long stretches
# have few borders, at which training genes are lost; many stretches represent the whole genome.
_STRETCHES = 10
_MIN_GENES = 4


def hold_out_stretches(genes: pd.DataFrame, fractions: Mapping[str, float], total: int, seed: int) -> pd.Series:
    """Hold out stretches of neighbouring genes, at random and in proportion from all chromosomes.

    Parameters
    ----------
    genes: pandas.DataFrame, n rows
        gene_id, chrom, window_start, split. Only genes with the split "train" are divided; genes of other splits separate
        stretches.
    fractions: mapping of str to float
        Fraction of `total` to hold out, by split.
    total: int
        Number of genes to which the fractions refer.
    seed: int
        Random seed.

    Returns
    -------
    pandas.Series, n rows, dtype=object
        The split of each gene, with the index of `genes`. The number of genes of each split in `fractions` differs from its
        fraction by less than a stretch, which has about a tenth of the genes of the smallest such split, but at least four.

    Raises
    ------
    InputError
        Nothing would be left for training.

    Examples
    --------
    >>> import pandas as pd
    >>> genes = pd.DataFrame({"gene_id": [f"g{i}" for i in range(40)], "chrom": "chr1", "window_start": range(40)})
    >>> split = hold_out_stretches(genes.assign(split="train"), {"test": 0.2}, total=40, seed=0)
    >>> split.value_counts().to_dict()
    {'train': 32, 'test': 8}
    """
    order = genes.sort_values(["chrom", "window_start", "gene_id"])
    run = ((order["chrom"] != order["chrom"].shift()) | (order["split"] != order["split"].shift())).cumsum()
    run = run[order["split"] == "train"]
    wanted = sum(fractions.values()) * total
    if wanted >= len(run):
        raise InputError(
            f"the fractions in splits hold out {wanted:.0f} genes, but the other keys leave only {len(run)}: nothing is left "
            "for training; reduce them."
        )
    length = max(_MIN_GENES, round(min(fractions.values()) * total / _STRETCHES))
    n_genes = run.groupby(run).transform("size")
    n_stretches = (n_genes / length).round().clip(lower=1).astype(int)
    stretch = (run.groupby(run).cumcount() * n_stretches) // n_genes
    sizes = run.groupby([run, stretch]).size()
    # Within a run the order is random; across runs, equal shares come first.
    rng = np.random.default_rng(seed)
    run_of = sizes.index.get_level_values(0)
    position = pd.Series(rng.random(len(sizes)), sizes.index).groupby(run_of).rank(method="first") - 1
    start = pd.Series(rng.random(run_of.nunique()), run_of.unique()).reindex(run_of).to_numpy()
    share = (position + start) / position.groupby(run_of).transform("size")
    drawn = sizes[share.sort_values(kind="stable").index]
    split = pd.Series("train", index=drawn.index, dtype=object)
    for name, fraction in fractions.items():
        free = drawn[split == "train"]
        if free.empty:
            break
        n = int((free.cumsum() - fraction * total).abs().to_numpy().argmin()) + 1
        split[free.index[:n]] = name
    found = genes["split"].astype(object).copy()
    found[run.index] = split.reindex(pd.MultiIndex.from_arrays([run, stretch])).to_numpy()
    return found
