"""Assign genes to training, validation and test, and check that their windows share no base."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import overlaps
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table
from cisnake.joins import explain_mismatch
from cisnake.sections import SplitsSection

SPLITS = ("train", "val", "test")
_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def assign_splits(genes: pd.DataFrame, splits: SplitsSection, chromosomes: list[str], max_shift: int = 0) -> pd.DataFrame:
    """Return the genes with the columns `split` and `fold`.

    If genes are split by chromosome or by a table, `fold` is 0 for all. With folds, `fold` is the fold for whose models the
    gene is held out, and `split` is "test" for all, because every gene is scored only by models that never saw it.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, window_start, window_end.
    splits: SplitsSection
        `val` and `test` (chromosomes), or `genes` (path of a TSV with gene_id and split), or `folds` (number of folds).
    chromosomes: list of str
        Chromosomes of the genome, to check names.
    max_shift: int
        Largest shift of training windows, bp; folds are kept at least this far apart. Default 0.

    Raises
    ------
    InputError
        A chromosome or split is unknown, a gene has no split or more than one, or a split has no genes.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import assign_splits
    >>> genes = pd.DataFrame({"gene_id": ["a", "b", "c"], "chrom": ["chr1", "chr2", "chr3"]})
    >>> genes = genes.assign(window_start=0, window_end=100)
    >>> from cisnake import configuration
    >>> by_chromosome = configuration.section("splits", val=["chr2"], test=["chr3"])
    >>> assign_splits(genes, by_chromosome, ["chr1", "chr2", "chr3"])["split"].tolist()
    ['train', 'val', 'test']
    """
    genes = genes.copy()
    if splits.folds:
        genes["fold"] = _assign_folds(genes, splits.folds, max_shift)
        genes["split"] = "test"
        return genes
    genes["fold"] = 0
    if splits.genes:
        table = read_user_table(str(splits.genes))
        if not {"gene_id", "split"} <= set(table.columns):
            raise InputError(f"{splits.genes} must have the columns gene_id and split.")
        for split in table["split"].unique():
            if split not in SPLITS:
                raise unknown_name(f"split in {splits.genes}", split, SPLITS)
        table = table.drop_duplicates(["gene_id", "split"])
        repeated = table["gene_id"][table["gene_id"].duplicated()]
        if len(repeated):
            raise InputError(f"{splits.genes} assigns gene {repeated.iloc[0]} to two splits.")
        genes["split"] = genes["gene_id"].map(table.set_index("gene_id")["split"])
        unassigned = genes["gene_id"][genes["split"].isna()]
        if len(unassigned):
            causes = {"It has gene names: name genes by their gene_id": (table["gene_id"], genes.get("gene_name", ()))}
            why = explain_mismatch("genes.tsv", genes["gene_id"], "the table", table["gene_id"], causes)
            raise InputError(f"{splits.genes} assigns no split to {len(unassigned)} of {len(genes)} genes: {why}. Add them.")
    else:
        genes["split"] = split_by_chromosome(genes["chrom"], splits, chromosomes)
    _check_all_splits(genes)
    return genes


def _check_all_splits(genes: pd.DataFrame) -> None:
    for split in SPLITS:
        if not (genes["split"] == split).any():
            raise InputError(f"no genes are left for the split {split}: check the section splits and genes_dropped.tsv.")


def assign_genes(genes: pd.DataFrame, tiles: pd.DataFrame, max_shift: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assign the genes of a coverage run to splits or folds by the tiles that overlap their windows.

    A gene is "train" if its window shares a base with a training tile shifted by up to `max_shift`. Otherwise it is "val" if it
    overlaps a validation tile, and "test" if it overlaps a test tile. With folds, a gene belongs to the only fold whose tiles,
    shifted likewise, overlap its window, and its split is "test". Models therefore never train on any base in the window of a
    gene that is held out from them.

    Parameters
    ----------
    genes: pandas.DataFrame
        chrom, window_start, window_end.
    tiles: pandas.DataFrame
        chrom, window_start, window_end, split, fold; more than one value of `fold` means cross-validation.
    max_shift: int
        Largest shift of training tiles, bp. Default 0.

    Returns
    -------
    kept: pandas.DataFrame
        The assigned genes, in their order, with `split` and `fold`.
    dropped: pandas.DataFrame
        All other genes, with `reason` (outside_tiles, spans_folds) and `detail`.

    Raises
    ------
    InputError
        Without folds, a split has no genes.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import assign_genes
    >>> tiles = pd.DataFrame({"chrom": "chr1", "window_start": [0, 100, 200], "window_end": [90, 190, 290]})
    >>> tiles = tiles.assign(split=["train", "val", "test"], fold=0)
    >>> genes = pd.DataFrame({"chrom": "chr1", "window_start": [80, 110, 250, 500], "window_end": [120, 150, 280, 540]})
    >>> kept, dropped = assign_genes(genes, tiles)
    >>> kept["split"].tolist(), dropped["reason"].tolist()
    (['train', 'val', 'test'], ['outside_tiles'])
    """

    def overlapping(tiles: pd.DataFrame, reach: int) -> np.ndarray:
        return overlaps(_windows(genes), _windows(tiles, reach))

    n_folds = int(tiles["fold"].max()) + 1
    if n_folds > 1:
        hits = np.stack([overlapping(tiles[tiles["fold"] == fold], max_shift) for fold in range(n_folds)])
        genes = genes.assign(split="test", fold=hits.argmax(axis=0))
        spans = hits.sum(axis=0) > 1
    else:
        hits = np.stack([overlapping(tiles[tiles["split"] == split], max_shift * (split == "train")) for split in SPLITS])
        genes = genes.assign(split=np.array(SPLITS, dtype=object)[hits.argmax(axis=0)], fold=0)
        spans = np.zeros(len(genes), dtype=bool)
    outside = ~hits.any(axis=0)
    detail = np.where(spans, "the window overlaps tiles of several folds", "the window overlaps no tile")
    dropped = genes.assign(reason=np.where(spans, "spans_folds", "outside_tiles"), detail=detail)[spans | outside]
    kept = genes[~(spans | outside)]
    if n_folds == 1:
        _check_all_splits(kept)
    return kept.reset_index(drop=True), dropped.drop(columns=["split", "fold"]).reset_index(drop=True)


def _windows(table: pd.DataFrame, reach: int = 0) -> pd.DataFrame:
    """Return the windows of genes or tiles as regions, extended by `reach` bp at each end."""
    return pd.DataFrame({"chrom": table["chrom"], "start": table["window_start"] - reach, "end": table["window_end"] + reach})


def split_by_chromosome(chrom: pd.Series, splits: SplitsSection, chromosomes: list[str]) -> pd.Series:
    """Return the split of each gene or contig by chromosome: `splits.val`, `splits.test`, and training for the rest.

    Raises
    ------
    InputError
        `splits.val` or `splits.test` names a chromosome that is not in the genome.
    """
    split = pd.Series("train", index=chrom.index, dtype=object)
    for key in ("val", "test"):
        for name in getattr(splits, key) or ():
            if name not in chromosomes:
                raise unknown_name(f"chromosome in splits.{key}", name, chromosomes)
        split[chrom.isin(getattr(splits, key) or ())] = key
    return split


def _assign_folds(genes: pd.DataFrame, folds: int, max_shift: int) -> np.ndarray:
    """Assign chromosomes to folds, the largest first, each to the fold with the fewest genes so far.

    If there are fewer chromosomes than folds, runs of overlapping windows are assigned instead.
    """
    unit = genes["chrom"].astype(str)
    if unit.nunique() < folds:
        order = genes.sort_values(["chrom", "window_start"]).index
        reach = genes.loc[order].groupby("chrom")["window_end"].cummax() + max_shift
        reach = reach.groupby(genes.loc[order, "chrom"]).shift(fill_value=-1)
        unit = unit + ":" + (genes.loc[order, "window_start"] >= reach).cumsum().reindex(genes.index).astype(str)
    sizes = unit.value_counts()
    if len(sizes) < folds:
        raise InputError(
            f"splits.folds is {folds}, but the windows cannot be divided into more than {len(sizes)} groups that share no "
            "bases: use fewer folds."
        )
    counts, fold_of = np.zeros(folds, dtype=int), {}
    for name in sorted(sizes.index, key=lambda name: (-sizes[name], name)):
        fold_of[name] = int(np.argmin(counts))
        counts[fold_of[name]] += sizes[name]
    return unit.map(fold_of).to_numpy()


def split_for_fold(windows: pd.DataFrame, fold: int, n_folds: int) -> np.ndarray:
    """Return the role of each gene for the models of one fold: "train", "val" or "test"; shape=(n,), dtype=object.

    With several folds, test genes are those of fold f, validation genes those of fold f + 1 (wrapping round), and all others
    are training genes.

    Parameters
    ----------
    windows: pandas.DataFrame, n rows
        split and fold.
    fold: int
        The fold f whose models are trained.
    n_folds: int
        Number of folds; 1 means that the column `split` is used.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import split_for_fold
    >>> windows = pd.DataFrame({"fold": [0, 1, 2, 3], "split": "test"})
    >>> split_for_fold(windows, fold=3, n_folds=4).tolist()
    ['val', 'train', 'train', 'test']
    """
    if n_folds == 1:
        return windows["split"].to_numpy(object)
    role = np.full(len(windows), "train", dtype=object)
    role[windows["fold"] == fold] = "test"
    role[windows["fold"] == (fold + 1) % n_folds] = "val"
    return role


def check_overlap(genes: pd.DataFrame, n_folds: int, max_shift: int) -> None:
    """Check that training, validation and test windows share no bases.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, window_start, window_end, split, fold.
    n_folds: int
        Number of folds; 1 without folds.
    max_shift: int
        Largest shift of training windows in either direction, bp; bases reached by shifting count as part of the window.

    Raises
    ------
    InputError
        Windows of different parts share a base. The message names the first pair, and the key that permits it.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import check_overlap
    >>> genes = pd.DataFrame({"gene_id": ["a", "b"], "chrom": "chr1", "window_start": [0, 100], "window_end": [100, 200]})
    >>> genes = genes.assign(split=["train", "test"], fold=0)
    >>> check_overlap(genes, n_folds=1, max_shift=0)
    >>> check_overlap(genes, n_folds=1, max_shift=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    cisnake.errors.InputError: the window of training gene a (chr1:0-100), shifted by up to 1 bp, shares bases ...
    """
    for fold in range(n_folds):
        table = genes.assign(role=split_for_fold(genes, fold, n_folds))
        for chrom, windows in table.groupby("chrom"):
            for first, second, shift in (("train", "test", max_shift), ("train", "val", max_shift), ("val", "test", 0)):
                _refuse_shared(chrom, windows[windows["role"] == first], windows[windows["role"] == second], shift)


def _refuse_shared(chrom: Any, windows: pd.DataFrame, others: pd.DataFrame, shift: int) -> None:
    """Raise an InputError if windows of two splits on one chromosome share a base."""
    if windows.empty or others.empty:
        return
    others = others.sort_values("window_start")
    starts, ends = others["window_start"].to_numpy(), others["window_end"].cummax().to_numpy()
    before = np.searchsorted(starts, windows["window_end"].to_numpy() + shift, side="left") - 1
    reached = (before >= 0) & (ends[np.maximum(before, 0)] > windows["window_start"].to_numpy() - shift)
    if not reached.any():
        return
    row = int(np.argmax(reached))
    gene, other = windows.iloc[row], others.iloc[int(others["window_end"].to_numpy()[: before[row] + 1].argmax())]
    shifted = f", shifted by up to {shift} bp," if shift else ""
    raise InputError(
        f"the window of {_IN_WORDS[gene['role']]} gene {gene['gene_id']} ({chrom}:{gene['window_start']}-{gene['window_end']})"
        f"{shifted} shares bases with that of {_IN_WORDS[other['role']]} gene {other['gene_id']} "
        f"({other['window_start']}-{other['window_end']}), as do {int(reached.sum()) - 1} other windows on this chromosome: "
        "split by chromosome, or set splits.allow_overlap: true and state this when you report the score."
    )
