"""Divide the genome into contigs to tile, and assign them to training, validation and test.

The procedure follows Basenji: chromosomes are cut at gaps, contigs are halved until none is too long, and each is assigned to
a split at random so that every split gets about its share of the bases. Unlike in Basenji, contigs are shortened where windows
of two splits would share bases.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from cisnake.data.genome import Genome, N, intersect, merge, subtract, total_bases
from cisnake.data.windows.split_regions import SPLITS, resolve_regions
from cisnake.errors import InputError
from cisnake.program import Progress
from cisnake.sections import SplitsSection

# A contig longer than this fraction of the bases that a held-out split still needs goes to training, to avoid overshooting.
ABSTAIN = 0.2
# With fractions, a contig is at most this part of a held-out split. Despite `ABSTAIN`, four fifths of the split are filled.
_PART_OF_SPLIT = 1 / 25
_BASES_AT_ONCE = 1 << 24


def find_unknown(genome: Genome, chromosomes: list[str]) -> pd.DataFrame:
    """Find the runs of N on the given chromosomes: chrom, start, end. Any letter other than A, C, G and T counts as N."""
    runs = []
    progress = Progress("bases searched for N", sum(genome.sizes[chrom] for chrom in chromosomes))
    for chrom in chromosomes:
        for start in range(0, genome.sizes[chrom], _BASES_AT_ONCE):
            unknown = genome.codes(chrom, start, min(start + _BASES_AT_ONCE, genome.sizes[chrom])) == N
            edges = start + np.flatnonzero(np.diff(np.r_[False, unknown, False]))
            runs.append(pd.DataFrame({"chrom": chrom, "start": edges[::2], "end": edges[1::2]}))
            progress.advance(len(unknown))
    return merge(pd.concat(runs))


def make_contigs(
    sizes: dict[str, int], gaps: pd.DataFrame, limit: pd.DataFrame | None, shortest: int, break_length: int
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Divide a genome into contigs, and count the bases left out, by reason.

    Parameters
    ----------
    sizes: dict of str to int
        Length of each chromosome to use.
    gaps: pandas.DataFrame
        chrom, start, end of the gaps between contigs.
    limit: pandas.DataFrame, optional
        Regions to which contigs are restricted. Default None: the whole genome.
    shortest: int
        Minimum length of a contig, bp; shorter ones are dropped.
    break_length: int
        Contigs longer than this, bp, are halved repeatedly, unless the halves would be shorter than `shortest`.

    Returns
    -------
    contigs: pandas.DataFrame
        chrom, start, end, by position.
    dropped: dict of str to int
        Bases by reason: gaps, outside_limit, short_contigs.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import make_contigs
    >>> gaps = pd.DataFrame({"chrom": ["chr1"], "start": [40], "end": [50]})
    >>> contigs, dropped = make_contigs({"chr1": 100, "chr2": 5}, gaps, None, shortest=10, break_length=45)
    >>> contigs.values.tolist()
    [['chr1', 0, 40], ['chr1', 50, 75], ['chr1', 75, 100]]
    >>> dropped
    {'gaps': 10, 'outside_limit': 0, 'short_contigs': 5}
    """
    contigs = pd.DataFrame({"chrom": list(sizes), "start": 0, "end": list(sizes.values())})
    dropped, bases = {}, int(sum(sizes.values()))
    contigs = subtract(contigs, gaps)
    dropped["gaps"] = bases - (bases := total_bases(contigs))
    if limit is not None:
        contigs = intersect(contigs, limit)
    dropped["outside_limit"] = bases - (bases := total_bases(contigs))
    contigs = contigs[contigs["end"] - contigs["start"] >= shortest]
    dropped["short_contigs"] = bases - total_bases(contigs)
    return break_contigs(contigs, shortest, break_length), dropped


def break_contigs(contigs: pd.DataFrame, shortest: int, longest: int) -> pd.DataFrame:
    """Halve contigs repeatedly until none exceeds `longest` bp, except if the halves would be shorter than `shortest`.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import break_contigs
    >>> contigs = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [100]})
    >>> break_contigs(contigs, shortest=20, longest=60).values.tolist()
    [['chr1', 0, 50], ['chr1', 50, 100]]
    """
    pieces = contigs.reset_index(drop=True)
    while True:
        half = (pieces["end"] - pieces["start"]) // 2
        halved = (pieces["end"] - pieces["start"] > longest) & (half >= shortest)
        if not halved.any():
            return pieces.sort_values("start").sort_index(kind="stable").reset_index(drop=True)
        middle = pieces["start"] + half
        left = pieces.assign(end=middle.where(halved, pieces["end"]))
        pieces = pd.concat([left, pieces.assign(start=middle)[halved]])


def break_for_fractions(contigs: pd.DataFrame, splits: SplitsSection, shortest: int) -> pd.DataFrame:
    """Halve contigs that are too long to be held out by fractions, which concerns small genomes.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake import configuration
    >>> contigs = pd.DataFrame({"chrom": ["chr1"], "start": [0], "end": [1000]})
    >>> splits = configuration.section("splits", val_fraction=0.2, test_fraction=0.3)
    >>> len(break_for_fractions(contigs, splits, shortest=5)), len(break_for_fractions(contigs, splits, shortest=200))
    (128, 4)
    """
    fractions = [fraction for fraction in (splits.val_fraction, splits.test_fraction) if fraction]
    if not fractions:
        return contigs
    return break_contigs(contigs, shortest, int(min(fractions) * _PART_OF_SPLIT * total_bases(contigs)))


def divide_contigs(contigs: pd.DataFrame, splits: SplitsSection, sizes: Mapping[str, int], seed: int) -> pd.DataFrame:
    """Assign contigs, or parts of them, to splits or folds, and rejoin adjacent contigs of the same split.

    Parameters
    ----------
    contigs: pandas.DataFrame
        chrom, start, end.
    splits: SplitsSection
        `val` or `val_fraction` with `test` or `test_fraction` (chromosomes and regions, or fractions of the bases), or
        `regions` (path of a table), or `folds` (number of folds). With folds, `split` is "test" for all, as for genes;
        otherwise `fold` is 0. Contigs are cut at the borders of regions.
    sizes: mapping of str to int
        Lengths of the chromosomes of the genome, in the order of the result.
    seed: int
        Random seed of the assignment.

    Returns
    -------
    pandas.DataFrame
        chrom, start, end, split, fold, by position. Bases in no region of `splits.regions` are left out.

    Raises
    ------
    InputError
        A region is invalid, a split has no contigs, nothing is left for training, or `splits.genes` is set.
    """
    if splits.genes:
        raise InputError("splits.genes does not apply to tiles: use chromosomes, regions, fractions, or folds instead.")
    rng = np.random.default_rng(seed)
    advice = "other splits, or a smaller tiles.break_length"
    if splits.folds:
        length = (contigs["end"] - contigs["start"]).to_numpy()
        aim = np.full(splits.folds, np.ceil(length.sum() / splits.folds))
        divided = contigs.assign(split="test", fold=_assign_parts(length, aim, aim < 0, rng))
        missing = [f"fold {i}" for i in range(splits.folds) if i not in set(divided["fold"])]
    else:
        regions = resolve_regions(splits, sizes)
        parts = [intersect(contigs, regions[regions["split"] == split]).assign(split=split, fold=0) for split in SPLITS]
        divided = pd.concat(parts, ignore_index=True)
        fractions = {"val": splits.val_fraction, "test": splits.test_fraction}
        given = {split: fraction for split, fraction in fractions.items() if fraction}
        if given:
            divided["split"] = _hold_out_fractions(divided, given, rng)
            advice = (
                f"larger fractions, or regions instead. With fractions, a contig can go to val or test only if it is not "
                f"longer than {ABSTAIN:.0%} of the bases still needed, and it cannot be shorter than a window"
            )
        missing = [name for name in SPLITS if name not in set(divided["split"])]
    if missing:
        longest = (contigs["end"] - contigs["start"]).max() if len(contigs) else 0
        raise InputError(
            f"none of the {len(contigs)} contigs, of up to {longest} bp, was assigned to {missing[0]}: use {advice}."
        )
    order = {chrom: rank for rank, chrom in enumerate(sizes)}
    joined = [merge(part).assign(split=split, fold=fold) for (split, fold), part in divided.groupby(["split", "fold"])]
    return _in_order(pd.concat(joined), order)


def _hold_out_fractions(contigs: pd.DataFrame, fractions: Mapping[str, float], rng: np.random.Generator) -> pd.Series:
    """Return the split of each contig after holding out fractions of all bases from the contigs for training."""
    total, free = total_bases(contigs), contigs[contigs["split"] == "train"]
    held_out = np.array(list(fractions.values()))
    elsewhere = total - total_bases(free)
    rest = (1 - held_out.sum()) * total - elsewhere
    if held_out.sum() >= 1 or rest <= 0:
        raise InputError(
            f"validation and test together are {held_out.sum() + elsewhere / total:.3g} of the bases: nothing is left for "
            "training; reduce them in the section splits."
        )
    parts = np.array(["train", *fractions], dtype=object)
    aim, abstains = np.r_[rest, held_out * total], parts != "train"
    drawn = _assign_parts((free["end"] - free["start"]).to_numpy(), aim, abstains, rng)
    split = contigs["split"].astype(object).copy()
    split[free.index] = parts[drawn]
    return split


def _in_order(contigs: pd.DataFrame, order: dict[str, int]) -> pd.DataFrame:
    rank = contigs["chrom"].map(order)
    return contigs.assign(rank=rank).sort_values(["rank", "start"]).drop(columns="rank").reset_index(drop=True)


def _assign_parts(length: np.ndarray, aim: np.ndarray, abstains: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Assign contigs to parts at random, longest first, with probabilities proportional to the bases each part still needs."""
    has, part = np.zeros(len(aim)), np.empty(len(length), dtype=np.int64)
    for i in np.argsort(-length, kind="stable"):
        # If no part needs more bases, the contig goes to training.
        lacks = np.maximum(aim - has, np.where(abstains | ~abstains.any(), 0, 1))
        lacks[abstains & (length[i] > ABSTAIN * lacks)] = 0
        part[i] = rng.choice(len(aim), p=lacks / lacks.sum())
        has[part[i]] += length[i]
    return part


def separate_contigs(contigs: pd.DataFrame, distance: int) -> pd.DataFrame:
    """Shorten contigs until those of different splits are at least `distance` bp apart.

    Training contigs are shortened next to validation and test contigs, and validation contigs next to test contigs, so that
    held-out sequence is preserved. Between folds, each of which is held out once, the downstream contig is shortened.

    Parameters
    ----------
    contigs: pandas.DataFrame
        chrom, start, end, split, fold; contigs do not overlap.
    distance: int
        Minimum distance, bp: twice the crop, because windows extend beyond their contigs by the crop, plus the largest shift
        of training windows.

    Returns
    -------
    pandas.DataFrame
        The same columns; contigs may have been removed or divided.

    Examples
    --------
    >>> import pandas as pd
    >>> from cisnake.data.windows import separate_contigs
    >>> contigs = pd.DataFrame({"chrom": "chr1", "start": [0, 100], "end": [100, 200], "split": ["train", "test"], "fold": 0})
    >>> separate_contigs(contigs, distance=10)[["start", "end"]].values.tolist()
    [[0, 90], [100, 200]]
    """
    parts = []
    if contigs["fold"].nunique() > 1:
        for fold, part in contigs.groupby("fold"):
            others = contigs[contigs["fold"] != fold]
            parts.append(subtract(part, others.assign(start=others["end"], end=others["end"] + distance)))
    else:
        held_out = contigs[:0]
        for split in reversed(SPLITS):
            around = held_out.assign(start=held_out["start"] - distance, end=held_out["end"] + distance)
            parts.append(subtract(contigs[contigs["split"] == split], around))
            held_out = pd.concat([held_out, parts[-1]])
    order = {chrom: rank for rank, chrom in enumerate(contigs["chrom"].unique())}
    return _in_order(pd.concat(parts), order)
