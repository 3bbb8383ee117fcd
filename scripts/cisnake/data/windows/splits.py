"""Assign genes to training, validation and test, and check that their windows share no base."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cisnake.data.genome import count_bases, intersect, overlaps
from cisnake.data.windows.split_regions import SPLITS, place_in_words, resolve_regions
from cisnake.data.windows.stretches import hold_out_stretches
from cisnake.errors import InputError, unknown_name
from cisnake.files import read_user_table
from cisnake.joins import explain_mismatch
from cisnake.sections import SplitsSection

_PLACE = ["gene_id", "chrom", "window_start", "window_end"]
_IN_WORDS = {"train": "training", "val": "validation", "test": "test"}


def assign_splits(
    genes: pd.DataFrame, splits: SplitsSection, sizes: Mapping[str, int], max_shift: int = 0, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assign genes to splits or folds, and drop genes whose windows cross a border between splits.

    By region, a gene belongs to the split in which its whole window lies. By fraction, stretches of neighbouring genes are
    drawn at random; the fraction is that of all given genes. Then validation genes whose windows share bases with those of test
    genes are dropped, and training genes whose windows, shifted by up to `max_shift`, share bases with those of validation or
    test genes. With `splits.allow_overlap`, none of these is dropped: a window in several splits goes to the first of training,
    validation and test. With a table of genes, or folds, nothing is dropped; use `check_overlap`.

    Parameters
    ----------
    genes: pandas.DataFrame
        gene_id, chrom, window_start, window_end.
    splits: SplitsSection
        `val` or `val_fraction` with `test` or `test_fraction`, or `regions` (path of a table), or `genes` (path of a TSV with
        gene_id and split), or `folds` (number of folds).
    sizes: mapping of str to int
        Lengths of the chromosomes of the genome.
    max_shift: int
        Largest shift of training windows, bp; folds are kept at least this far apart. Default 0.
    seed: int
        Random seed of the fractions. Default 0.

    Returns
    -------
    kept: pandas.DataFrame
        The assigned genes, in their order, with `split` and `fold`. With folds, `fold` is the fold for whose models the gene is
        held out, and `split` is "test" for all, because every gene is scored only by models that never saw it. Otherwise `fold`
        is 0 for all.
    dropped: pandas.DataFrame
        All other genes, with `reason` (split_border, outside_regions) and `detail`.

    Raises
    ------
    InputError
        A region or split is invalid, a gene has no split or more than one, or a split has no genes.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake import configuration
    >>> from cisnake.data.windows import assign_splits
    >>> genes = pd.DataFrame({"gene_id": list("abcd"), "chrom": "chr1", "window_start": [0, 150, 250, 500]})
    >>> genes = genes.assign(window_end=genes["window_start"] + 100)
    >>> by_region = configuration.section("splits", val=["chr1:201-400"], test=["chr1:401-900"])
    >>> kept, dropped = assign_splits(genes, by_region, {"chr1": 900})
    >>> kept["split"].tolist(), dropped["detail"].tolist()
    (['train', 'val', 'test'], ['the window lies partly in val, chr1:201-250'])
    """
    genes = genes.reset_index(drop=True).assign(fold=0, split="train")
    dropped = genes.assign(reason="", detail="")[:0]
    if splits.folds:
        kept = genes.assign(split="test", fold=_assign_folds(genes, splits.folds, max_shift))
    elif splits.genes:
        kept = genes.assign(split=_splits_of_table(str(splits.genes), genes))
    else:
        kept, dropped = _assign_by_region(genes, resolve_regions(splits, sizes), splits.allow_overlap)
        fractions = {"test": splits.test_fraction, "val": splits.val_fraction}
        given = {split: fraction for split, fraction in fractions.items() if fraction}
        if given:
            kept["split"] = hold_out_stretches(kept, given, len(genes), seed)
        if not splits.allow_overlap:
            kept, near = _drop_near_others(kept, max_shift)
            dropped = pd.concat([dropped, near]).sort_index()
    if not splits.folds:
        _check_all_splits(kept, dropped)
    return kept.reset_index(drop=True), dropped.drop(columns=["split", "fold"]).reset_index(drop=True)


def _splits_of_table(path: str, genes: pd.DataFrame) -> pd.Series:
    """Return the split of each gene in a TSV with gene_id and split."""
    table = read_user_table(path)
    if not {"gene_id", "split"} <= set(table.columns):
        raise InputError(f"{path} must have the columns gene_id and split.")
    for split in table["split"].unique():
        if split not in SPLITS:
            raise unknown_name(f"split in {path}", split, SPLITS)
    table = table.drop_duplicates(["gene_id", "split"])
    repeated = table["gene_id"][table["gene_id"].duplicated()]
    if len(repeated):
        raise InputError(f"{path} assigns gene {repeated.iloc[0]} to two splits.")
    split = genes["gene_id"].map(table.set_index("gene_id")["split"])
    if split.isna().any():
        causes = {"It has gene names: name genes by their gene_id": (table["gene_id"], genes.get("gene_name", ()))}
        why = explain_mismatch("genes.tsv", genes["gene_id"], "the table", table["gene_id"], causes)
        raise InputError(f"{path} assigns no split to {int(split.isna().sum())} of {len(genes)} genes: {why}. Add them.")
    return split


def _assign_by_region(genes: pd.DataFrame, regions: pd.DataFrame, overlap: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Assign genes to the split in which their whole window lies; return those of one split, and all others with the reason."""
    windows = _windows(genes)
    bases = np.stack([count_bases(windows, regions[regions["split"] == split]) for split in SPLITS])
    length = (windows["end"] - windows["start"]).to_numpy()
    genes = genes.assign(split=np.array(SPLITS, dtype=object)[(bases > 0).argmax(axis=0)])
    outside = bases.sum(axis=0) < length
    border = ~outside & (bases.max(axis=0) < length) & (not overlap)
    held_out = [
        intersect(windows[border].assign(row=genes.index[border]), regions[regions["split"] == split]).assign(split=split)
        for split in ("test", "val")
    ]
    parts = pd.concat(held_out).drop_duplicates("row")
    detail = pd.Series("the window is not entirely in the regions of splits.regions", index=genes.index)
    detail[parts["row"]] = [
        f"the window lies partly in {split}, {place_in_words(chrom, start, end)}"
        for chrom, start, end, split in parts[["chrom", "start", "end", "split"]].itertuples(index=False)
    ]
    dropped = genes.assign(reason=np.where(border, "split_border", "outside_regions"), detail=detail)[border | outside]
    return genes[~(border | outside)].copy(), dropped


def _drop_near_others(genes: pd.DataFrame, max_shift: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Drop validation genes that share bases with test genes, then training genes that share bases with either."""
    dropped = []
    for split, others, shift in (("val", ["test"], 0), ("train", ["val", "test"], max_shift)):
        own, held_out = genes[genes["split"] == split], genes[genes["split"].isin(others)]
        other = _sharing(own, held_out, shift)
        near = held_out.iloc[other[other >= 0]]
        shifted = f", shifted by up to {shift} bp," if shift else ""
        detail = [
            f"the window{shifted} shares bases with {role} gene {gene}, {place_in_words(chrom, start, end)}"
            for role, gene, chrom, start, end in near[["split", *_PLACE]].itertuples(index=False)
        ]
        dropped.append(own[other >= 0].assign(reason="split_border", detail=detail))
        genes = genes.drop(index=dropped[-1].index)
    return genes, pd.concat(dropped)


def _check_all_splits(kept: pd.DataFrame, dropped: pd.DataFrame) -> None:
    for split in SPLITS:
        if not (kept["split"] == split).any():
            n = int((dropped["reason"] == "split_border").sum())
            lost = f"; the windows of {n} genes cross a border between splits" if n else ""
            raise InputError(f"no genes are left for the split {split}{lost}: check the section splits.")


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
        _check_all_splits(kept, dropped)
    return kept.reset_index(drop=True), dropped.drop(columns=["split", "fold"]).reset_index(drop=True)


def _windows(table: pd.DataFrame, reach: int = 0) -> pd.DataFrame:
    """Return the windows of genes or tiles as regions, extended by `reach` bp at each end."""
    return pd.DataFrame({"chrom": table["chrom"], "start": table["window_start"] - reach, "end": table["window_end"] + reach})


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


def _sharing(windows: pd.DataFrame, others: pd.DataFrame, shift: int) -> np.ndarray:
    """Return for each window the row in `others` of a window that it shares a base with when shifted, or -1; dtype=int64."""
    found = np.full(len(windows), -1, dtype=np.int64)
    rows_of = others.groupby("chrom").indices
    for chrom, rows in windows.groupby("chrom").indices.items():
        if chrom not in rows_of:
            continue
        on_chrom = others.iloc[rows_of[chrom]]
        order = np.argsort(on_chrom["window_start"].to_numpy(), kind="stable")
        starts, ends = (on_chrom[column].to_numpy()[order] for column in ("window_start", "window_end"))
        reach = np.maximum.accumulate(ends)
        # Of the windows that start before a position, the one that ends last.
        last = np.maximum.accumulate(np.where(np.r_[True, ends[1:] > reach[:-1]], np.arange(len(ends)), 0))
        own = windows.iloc[rows]
        before = np.searchsorted(starts, own["window_end"].to_numpy() + shift, side="left") - 1
        shared = (before >= 0) & (reach[np.maximum(before, 0)] > own["window_start"].to_numpy() - shift)
        found[rows[shared]] = rows_of[chrom][order[last[before[shared]]]]
    return found


def _refuse_shared(chrom: Any, windows: pd.DataFrame, others: pd.DataFrame, shift: int) -> None:
    """Raise an InputError if windows of two splits on one chromosome share a base."""
    found = _sharing(windows, others, shift)
    reached = found >= 0
    if not reached.any():
        return
    row = int(np.argmax(reached))
    gene, other = windows.iloc[row], others.iloc[found[row]]
    shifted = f", shifted by up to {shift} bp," if shift else ""
    raise InputError(
        f"the window of {_IN_WORDS[gene['role']]} gene {gene['gene_id']} ({chrom}:{gene['window_start']}-{gene['window_end']})"
        f"{shifted} shares bases with that of {_IN_WORDS[other['role']]} gene {other['gene_id']} "
        f"({other['window_start']}-{other['window_end']}), as do {int(reached.sum()) - 1} other windows on this chromosome: "
        "give neighbours the same split, split by region or fraction (which drops genes at borders), or set "
        "splits.allow_overlap: true and state this when you report the score."
    )
